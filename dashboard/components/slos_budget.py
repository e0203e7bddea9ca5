"""How the budget of one objective was spent, how it may go on, and what it was spent on."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeAlias

import streamlit as st

from analytics.core.clock import Interval
from analytics.slo import SloStatus
from analytics.slo.burndown import BurnDown
from analytics.slo.explain import AnnotationCost, BurnExplanation, Cost
from analytics.slo.forecast import RECENT, Forecast
from analytics.slo.model import RollingWindow
from dashboard import formats
from dashboard.components import charts, slos, slos_page, states, tables
from dashboard.components.charts import Band, Chart, Mark, Series, Threshold, Tone
from dashboard.components.status import Look
from dashboard.components.tables import Column
from dashboard.zone import viewer_zone

Points: TypeAlias = Sequence[tuple[datetime, float | None]]

KIND_LOOKS = {
    "deploy": Look("Deploy", ":material/rocket_launch:", "blue"),
    "incident": Look("Incident", ":material/crisis_alert:", "red"),
    "note": Look("Note", ":material/sticky_note_2:", "gray"),
}
_SCENARIO_TONES: Mapping[timedelta, Tone] = dict(zip(RECENT, ("critical", "warning", "note"), strict=True))
_MOST_LABELS = 3
_APART = 0.16
"""Share of the chart that a label takes."""
_LONGEST_LABEL = 28
_FEW_ROWS = 8
_WORTH_TELLING = 0.0005
_FLOOR = -1.0
"""How far below nothing left a chart goes: what is overspent many times would flatten all else."""


def budget_chart(course: BurnDown, forecast: Forecast | None, costs: Sequence[AnnotationCost]) -> Chart:
    """Return the chart of the budget that is left over the window, and of how it may go on."""
    known = [value for _, value in course.remaining if value is not None]
    now = slos.left_words(known[-1]) if known else formats.NO_DATA
    series = [Series("Budget left", _drawable(course.remaining), kind="area")]
    if course.rolling:
        window = slos.window_words(course.objective.window)
        series.append(Series(f"Rolling {window}", _drawable(course.rolling), tone="note"))
    interval = course.interval
    marks = [*stretches(course), *marks_of(course, costs)]
    if forecast is not None and forecast.remaining is not None:
        interval = Interval(interval.since, max(interval.until, forecast.interval.until))
        series.append(Series("If nothing more is bad", _drawable(forecast.unspent), tone="target", is_dashed=True))
        series += [
            Series(
                f"At the last {formats.duration(one.recent)}",
                _drawable(one.remaining),
                tone=_SCENARIO_TONES[one.recent],
                is_dashed=True,
            )
            for one in forecast.scenarios
        ]
        marks.append(Mark(course.interval.until, "Now"))
    return Chart(
        alt=f"Error budget of {course.objective.title} over its window; {now} is left",
        unit="ratio",
        series=series,
        interval=interval,
        thresholds=[Threshold(0.0, "Used up", "critical")],
        marks=marks,
        bands=fan(forecast),
        height=380,
    )


def fan(forecast: Forecast | None) -> list[Band]:
    """Return the area between the best and the worst that the scenarios of a forecast say."""
    if forecast is None or len(forecast.scenarios) < 2:  # noqa: PLR2004 - one line has no area beside it
        return []
    courses = [dict(_drawable(one.remaining)) for one in forecast.scenarios]
    edges = []
    for at, _ in forecast.scenarios[0].remaining:
        values = [value for course in courses if (value := course.get(at)) is not None]
        if values:
            edges.append((at, min(values), max(values)))
    return [Band("Forecast", edges)] if edges else []


def stretches(course: BurnDown) -> list[Mark]:
    """Return the times in which nothing was measured, and those that corrections take out, as areas.

    The longest of each has a name.
    """
    marks = []
    kinds: tuple[tuple[Sequence[Interval], str, Tone], ...] = (
        (course.gaps, "Not measured", "note"),
        (course.excluded, "Corrected", "target"),
    )
    for spans, label, tone in kinds:
        longest = max(spans, key=lambda span: span.length, default=None)
        marks += [Mark(span.since, label if span is longest else "", span.until, tone) for span in spans]
    return marks


def marks_of(course: BurnDown, costs: Sequence[AnnotationCost]) -> list[Mark]:
    """Return what happened; only the dearest have a label, and none stands in another's way."""
    share = {cost.annotation.id: cost.minutes for cost in costs}
    labelled: list[datetime] = []
    names = {}
    for item in sorted(course.annotations, key=lambda item: (-share.get(item.id, 0.0), item.kind != "incident")):
        is_free = all(abs(item.at - other) >= course.interval.length * _APART for other in labelled)
        if is_free and len(labelled) < _MOST_LABELS and item.kind != "note":
            labelled.append(item.at)
            names[item.id] = item.title if len(item.title) <= _LONGEST_LABEL else f"{item.title[: _LONGEST_LABEL - 1]}…"
    return [
        Mark(
            max(item.at, course.interval.since),
            names.get(item.id, ""),
            item.until,
            "critical" if item.kind == "incident" else "note",
        )
        for item in course.annotations
    ]


def bad_chart(course: BurnDown, *, until: datetime, unit: str) -> Chart:
    """Return the chart of bad events over the window, as wide as the one of the budget."""
    total = sum(value for _, value in course.bad if value is not None)
    return Chart(
        alt=f"Bad {unit} of {course.objective.title} over its window; {formats.number(total)} in all",
        unit="count",
        series=[Series(f"Bad {unit}", course.bad, kind="bar", tone="critical")],
        interval=Interval(course.interval.since, max(course.interval.until, until)),
        marks=[Mark(mark.at, "", mark.until, mark.tone) for mark in stretches(course)],
        height=180,
        from_zero=True,
    )


def _drawable(points: Points) -> Points:
    return [(at, None if value is None else max(value, _FLOOR)) for at, value in points]


def gap_words(course: BurnDown) -> str | None:
    """Return how much of the window has no numbers, and why; None when all of it has."""
    parts = []
    for spans, words in ((course.gaps, "not measured"), (course.excluded, "taken out by corrections")):
        length = sum((span.length for span in spans), timedelta(0))
        if length:
            parts.append(f"{formats.duration(length)} in {formats.plural(len(spans), 'stretch', 'stretches')} {words}")
    return f"Shaded: {' and '.join(parts)}; the budget does not change in it." if parts else None


def forecast_words(forecast: Forecast | None) -> str | None:
    """Return what the forecast says in a sentence; None when there is none."""
    if forecast is None or forecast.remaining is None or not forecast.scenarios:
        return None
    by = _day(forecast.interval.until)
    parts = []
    back = forecast.unspent[-1][1]
    if back is not None and math.inf > back - forecast.remaining > _WORTH_TELLING:
        if isinstance(forecast.objective.window, RollingWindow):
            parts.append(
                f"{formats.percent(back - forecast.remaining)} of the budget returns by {by} as bad events age out"
            )
        else:
            parts.append(
                f"if nothing more is bad, {formats.percent(back)} of the budget is left at the end of its window"
            )
    gone = [one for one in forecast.scenarios if one.exhausted_at is not None and forecast.remaining > 0]
    parts += [
        f"at the rate of the last {formats.duration(one.recent)} it is {slos_page.scenario_words(one)}" for one in gone
    ]
    if not gone and forecast.remaining > 0:
        rates = ", ".join(slos.rate_words(one.burn_rate) for one in forecast.scenarios)
        parts.append(f"at none of the recent burn rates ({rates}) is it used up by {by}")
    words = "; ".join(parts)
    return f"{words[:1].upper()}{words[1:]}." if words else None


def _day(moment: datetime) -> str:
    return moment.astimezone(viewer_zone()).strftime("%d %b")


def draw(status: SloStatus, course: BurnDown, forecast: Forecast | None, why: BurnExplanation | None) -> None:
    """Draw the budget over the window with its forecast, bad events below it, and what cost most."""
    slo_id = course.objective.id
    chart = budget_chart(course, forecast, why.annotations if why is not None else ())
    if charts.is_empty(chart):
        states.empty(
            "Nothing was measured yet",
            "The budget is drawn here as soon as events are counted. Its definition says where they come from.",
            icon=":material/hourglass_empty:",
        )
        return
    charts.draw(chart, key=f"slo.budget.{slo_id}")
    for words in (forecast_words(forecast), gap_words(course)):
        if words is not None:
            st.caption(words)
    until = forecast.interval.until if forecast is not None else course.interval.until
    st.markdown(f"**Bad {status.unit}**")
    charts.draw(bad_chart(course, until=until, unit=status.unit), key=f"slo.bad.{slo_id}")
    if why is not None:
        draw_costs(why, status.unit)


def draw_costs(why: BurnExplanation, unit: str) -> None:
    """Draw what the budget was spent on: happenings with their cost, and the dearest times."""
    st.markdown("**What happened, and what it cost**")
    if why.annotations:
        tables.table(
            why.annotations,
            annotation_columns(unit),
            alt="What happened to the service, with the share of the budget it cost",
            key="slo.costs",
            height="content" if len(why.annotations) <= _FEW_ROWS else 320,
        )
    else:
        st.caption("No deployment or incident was noted in this window.")
    st.markdown("**The dearest times**")
    hours = [cost for cost in why.hours if cost.share is None or cost.share >= _WORTH_TELLING]
    if hours:
        tables.table(
            hours,
            hour_columns(unit),
            alt="The stretches of time that cost most of the budget",
            key="slo.hours",
            height="content",
        )
    else:
        st.caption("At no time was the budget spent faster than it may be.")


def annotation_columns(unit: str) -> list[Column[AnnotationCost]]:
    """Return the columns of what happened."""
    return [
        Column("When", lambda cost: cost.annotation.at, "moment"),
        Column("What", lambda cost: KIND_LOOKS.get(cost.annotation.kind, KIND_LOOKS["note"]), "state", width="small"),
        Column("Title", lambda cost: cost.annotation.title, width="large"),
        Column("Cost", lambda cost: cost.share, "ratio", width="small", help="Share of the whole budget it cost."),
        Column("As time", lambda cost: formats.duration(cost.minutes * 60), width="small", help="Of a full outage."),
        Column(f"Bad {unit}", lambda cost: round(cost.bad, 1), "number", width="small"),
        Column(
            "Usual",
            lambda cost: round(cost.usual, 1),
            "number",
            width="small",
            help="At the error ratio of the day before.",
        ),
    ]


def hour_columns(unit: str) -> list[Column[Cost]]:
    """Return the columns of the dearest times."""
    return [
        Column("From", lambda cost: cost.interval.since, "moment"),
        Column("Lasted", lambda cost: formats.duration(cost.interval.length), width="small"),
        Column("Cost", lambda cost: cost.share, "ratio", width="small", help="Share of the whole budget."),
        Column("As time", lambda cost: formats.duration(cost.minutes * 60), width="small", help="Of a full outage."),
        Column(f"Bad {unit}", lambda cost: round(cost.bad, 1), "number", width="small"),
    ]
