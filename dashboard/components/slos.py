"""Objectives: the columns of their table, the figures of one, and its charts."""

from datetime import timedelta

import streamlit as st

from analytics.slo import SloStatus
from dashboard import formats
from dashboard.burn_down import BurnDown
from dashboard.components.charts import Chart, Mark, Series, Threshold
from dashboard.components.status import SLO_LOOKS, Look, look_of
from dashboard.components.tables import Column

_HOUR, _SIX_HOURS = timedelta(hours=1), timedelta(hours=6)


def look(status: SloStatus) -> Look:
    """Return how the state of an objective reads."""
    return look_of(SLO_LOOKS, status.state)


def indicator_words(status: SloStatus) -> str:
    """Return the share of good events, precise enough to see on which side of the target it is."""
    return formats.percent_against(status.sli, status.objective.target)


def budget_words(status: SloStatus) -> str:
    """Return the share of the budget that is left."""
    return formats.NO_DATA if status.budget is None else formats.percent(status.budget.remaining_ratio)


def burn_words(status: SloStatus, window: timedelta) -> str:
    """Return the burn rate of *window*, a multiple of the rate that would just use up the budget."""
    rate = status.burn_rates.get(window)
    return formats.NO_DATA if rate is None else f"{rate:.2f}x"


COLUMNS: list[Column[SloStatus]] = [
    Column("Objective", lambda status: status.objective.title),
    Column("State", look, "state", width="small"),
    Column("Target", lambda status: formats.percent(status.objective.target), width="small"),
    Column("Indicator", indicator_words, width="small", help="Share of good events."),
    Column("Trend", lambda status: [value for _, value in status.series], "trend", width="small"),
    Column("Budget left", budget_words, width="small"),
    Column("Burn 1 h", lambda status: burn_words(status, _HOUR), width="small", help="1 spends exactly the budget."),
    Column("Burn 6 h", lambda status: burn_words(status, _SIX_HOURS), width="small"),
    Column(
        "Coverage",
        lambda status: status.coverage_ratio,
        "progress",
        width="small",
        help="Share of the period in which the source was seen; below 90 % nothing is claimed.",
    ),
    Column("Events", lambda status: status.total, "number", width="small"),
    Column("Service", lambda status: status.objective.service, width="small"),
    Column("Measured", lambda status: status.measured_at, "moment"),
]


def draw_figures(status: SloStatus) -> None:
    """Draw what there is to know about one objective in four cards."""
    budget = status.budget
    margin = None if status.margin is None else f"{status.margin * 100:+.3f} points"
    st.metric(
        f"Indicator (target {formats.percent(status.objective.target)})",
        indicator_words(status),
        margin,
        border=True,
        height="stretch",
        help=f"{formats.number(status.good)} good of {formats.number(status.total)} events.",
    )
    st.metric(
        "Budget left",
        budget_words(status),
        None
        if budget is None
        else f"{formats.number(budget.remaining_events)} of {formats.number(budget.total_events)}",
        delta_color="off",
        delta_arrow="off",
        delta_description="bad events",
        border=True,
        height="stretch",
        help="The budget is the share of events that may be bad in the period.",
    )
    st.metric(
        "Budget as time",
        formats.duration(None if budget is None else budget.minutes * 60),
        border=True,
        height="stretch",
        help="How long a full outage would use it up.",
    )
    st.metric("Lasts", _lasts(status), border=True, height="stretch", help="At the burn rate of the last day.")


def _lasts(status: SloStatus) -> str:
    if status.budget is None:
        return formats.NO_DATA
    if status.budget.is_exhausted:
        return "Used up"
    return "Not being spent" if status.exhausted_in is None else formats.duration(status.exhausted_in)


def budget_chart(course: BurnDown) -> Chart:
    """Return the chart of the budget that is left over the period."""
    known = [value for _, value in course.remaining if value is not None]
    now = formats.percent(known[-1]) if known else formats.NO_DATA
    return Chart(
        alt=f"Error budget of {course.objective.title} over its period; {now} is left",
        unit="ratio",
        series=[Series("Budget left", course.remaining, kind="area")],
        interval=course.interval,
        thresholds=[Threshold(0.0, "Used up", "critical")],
        marks=[
            Mark(item.at, item.title, item.until, "critical" if item.kind == "incident" else "note")
            for item in course.annotations
            if item.kind == "incident"
        ],
        height=300,
    )


def bad_chart(course: BurnDown) -> Chart:
    """Return the chart of bad events over the period."""
    total = sum(value for _, value in course.bad if value is not None)
    return Chart(
        alt=f"Bad events of {course.objective.title} over its period; {formats.number(total)} in all",
        unit="count",
        series=[Series("Bad events", course.bad, kind="bar", tone="critical")],
        interval=course.interval,
        height=300,
        from_zero=True,
    )
