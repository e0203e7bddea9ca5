"""The top of the page of one objective: what it promises, what needs attention, and its figures."""

from collections.abc import Sequence
from datetime import timedelta

import streamlit as st

from analytics.core.clock import utc_now
from analytics.slo import SloState, SloStatus
from analytics.slo.forecast import Forecast, Scenario
from analytics.slo.model import Budgeting, CompositeEvents, Objective, RollingWindow
from dashboard import formats
from dashboard.components import slos
from dashboard.zone import viewer_zone

_HOUR, _SIX_HOURS = timedelta(hours=1), timedelta(hours=6)
_COMPOSITES = {
    "weighted": "The weighted mean of its members",
    "worst_of": "As bad as its worst member",
    "burn_sum": "The sum of what its members burn",
}


def title(status: SloStatus) -> str:
    """Return the name of an objective and how it stands."""
    parts = [formats.escaped(status.objective.title), slos.look(status).badge]
    firing = slos.alert_look(status.alerts)
    if firing is not None:
        parts.append(firing.badge)
    if status.includes_demo:
        parts.append(":violet-badge[:material/science: Demo data]")
    return " ".join(parts)


def promise(objective: Objective) -> str:
    """Return what an objective promises, in a sentence."""
    what = {
        Budgeting.OCCURRENCES: "of events are to be good",
        Budgeting.TIMESLICES: (
            f"of {formats.duration(objective.slices.length)} slices are to have at least"
            f" {formats.percent(objective.slices.target)} good events"
        ),
        Budgeting.RATIO_TIMESLICES: (
            f"is to be the mean share of good events of {formats.duration(objective.slices.length)} slices"
        ),
    }[objective.budgeting]
    return f"{slos.target_words(objective)} {what}, over {slos.span_words(objective.window)}."


def story(objective: Objective) -> str:
    """Return what an objective is about and whose it is."""
    parts = [f"Service {formats.escaped(objective.service)}"]
    if objective.owner:
        parts.append(f"owner {formats.escaped(objective.owner)}")
    if isinstance(objective.indicator, CompositeEvents):
        parts.append(_COMPOSITES[objective.indicator.mode.value].lower())
    parts.append(f"revision {objective.revision}" if objective.revision else "as shipped")
    labels = " ".join(
        f":gray-badge[{formats.escaped(name)}: {formats.escaped(value)}]" for name, value in objective.labels.items()
    )
    return f"{formats.escaped(objective.description)} {', '.join(parts)}. {labels}".strip()


def hints(status: SloStatus) -> list[tuple[str, str, str]]:
    """Return what a reader must know before believing the figures: tone, icon and words of each."""
    found = []
    if status.read_error:
        why = formats.escaped(status.read_error)
        found.append(("error", ":material/link_off:", f"**Its source could not be read.** {why}"))
    if status.is_stale and status.measured_at is not None:
        age = formats.age(status.measured_at, now=utc_now())
        words = f"**Its data stopped {age}.** Burn rates are of that time; alerts stay as they were until data come."
        found.append(("warning", ":material/history:", words))
    if status.state is SloState.NO_DATA:
        words = "**Nothing was measured in its window**, so nothing is known: that is neither good nor bad."
        found.append(("info", ":material/help:", words))
    elif status.state is SloState.INSUFFICIENT_DATA:
        words = f"**Only {formats.percent(status.coverage_ratio)} of its window was measured**, too little to say."
        found.append(("info", ":material/hourglass_empty:", words))
    if status.projection is not None and status.projection.left_minutes < 0:
        words = "**Its target cannot be met any more in this window**, if the rest of it is as busy."
        found.append(("error", ":material/flag:", words))
    for pair in status.alerts:
        tone = "error" if pair.severity.value == "page" else "warning"
        found.append((tone, slos.SEVERITY_LOOKS[pair.severity.value].icon, f"**Firing:** {slos.pair_words(pair)}."))
    if status.volume_warning:
        found.append(("info", ":material/straighten:", formats.escaped(status.volume_warning)))
    found += [("warning", ":material/rule:", formats.escaped(warning)) for warning in status.warnings]
    return found


def draw_hints(status: SloStatus) -> None:
    """Draw what a reader must know before believing the figures."""
    draw = {"error": st.error, "warning": st.warning, "info": st.info}
    for tone, icon, words in hints(status):
        draw[tone](words, icon=icon)


def draw_figures(status: SloStatus, forecast: Forecast | None) -> None:
    """Draw the figures of one objective in six cards; without a *forecast* it is not said when the budget ends."""
    with st.grid(6, min_column_width=150, key="slo.figures"):
        _draw_indicator(status)
        _draw_budget(status)
        _draw_time(status)
        _draw_burn(status)
        value, basis = runs_out(status, forecast)
        st.metric("Budget lasts", value, border=True, height="stretch", help=basis)
        _draw_coverage(status)


def _draw_indicator(status: SloStatus) -> None:
    st.metric(
        "Indicator",
        slos.indicator_words(status),
        None if status.margin is None else f"{status.margin * 100:+.3f} points",
        border=True,
        height="stretch",
        help=f"{formats.number(status.good)} good of {formats.number(status.total)} {status.unit}; the target is"
        f" {slos.target_words(status.objective)}.",
    )


def _draw_budget(status: SloStatus) -> None:
    budget = status.budget
    st.metric(
        "Budget left",
        slos.budget_words(status),
        None
        if budget is None
        else f"{formats.number(budget.remaining_events)} of {formats.number(budget.total_events)} {status.unit}",
        delta_color="off",
        delta_arrow="off",
        border=True,
        height="stretch",
        help=f"The budget is how many of the {status.unit} seen so far may be bad.",
    )


def left_minutes(status: SloStatus) -> tuple[float, float] | None:
    """Return how many minutes of a full outage the budget still allows, and how many in all; None without events.

    Of a calendar window those of the whole span, as busy as it was so far.
    """
    if status.projection is not None:
        return status.projection.left_minutes, status.projection.total_minutes
    if status.budget is None:
        return None
    return status.budget.minutes * max(status.budget.remaining_ratio, -1e6), status.budget.minutes


def _draw_time(status: SloStatus) -> None:
    minutes = left_minutes(status)
    whole = " Of the whole calendar span, if it stays as busy." if status.projection is not None else ""
    st.metric(
        "Budget as time",
        formats.duration(None if minutes is None else minutes[0] * 60),
        None if minutes is None else f"of {formats.duration(minutes[1] * 60)}",
        delta_color="off",
        delta_arrow="off",
        border=True,
        height="stretch",
        help=f"How long a full outage may still last.{whole}",
    )


def _draw_burn(status: SloStatus) -> None:
    st.metric(
        "Burn rate, 1 h",
        slos.burn_words(status, _HOUR),
        None if status.budget is None else f"{slos.burn_words(status, _SIX_HOURS)} over 6 h",
        delta_color="off",
        delta_arrow="off",
        border=True,
        height="stretch",
        help="1x spends exactly the budget over the window; 2x spends it in half of it.",
    )


def _draw_coverage(status: SloStatus) -> None:
    corrected = f"{formats.duration(status.excluded_s)} taken out" if status.excluded_s else None
    st.metric(
        "Coverage",
        formats.percent(status.coverage_ratio),
        corrected,
        delta_color="off",
        delta_arrow="off",
        border=True,
        height="stretch",
        help="Share of the window so far in which the source was seen. Corrections take time out.",
    )


def runs_out(status: SloStatus, forecast: Forecast | None) -> tuple[str, str]:
    """Return when the budget is used up, at the worst of the recent burn rates, and what that rests on."""
    if status.budget is None:
        return formats.NO_DATA, "Nothing was measured."
    if status.budget.is_exhausted:
        return "Used up", "More was spent than there was."
    if forecast is None or not forecast.scenarios:
        return formats.NO_DATA, "No recent burn rate is known."
    ends = _ends(forecast.scenarios)
    horizon = formats.duration(forecast.interval.length)
    is_rolling = isinstance(status.objective.window, RollingWindow)
    returning = ", with the budget that returns as bad events age out" if is_rolling else ""
    basis = f"If a recent burn rate goes on{returning}; {horizon} ahead."
    lines = "\n".join(f"- Rate of the last {formats.duration(one.recent)}: {scenario_words(one)}" for one in ends)
    first = ends[0].exhausted_at
    if first is None:
        return f"Over {horizon}" if is_rolling else "To its end", f"{basis}\n\n{lines}"
    return formats.duration((first - forecast.interval.since).total_seconds()), f"{basis}\n\n{lines}"


def _ends(scenarios: Sequence[Scenario]) -> list[Scenario]:
    return sorted(scenarios, key=lambda one: (one.exhausted_at is None, one.exhausted_at, one.recent))


def scenario_words(scenario: Scenario) -> str:
    """Return when the budget is used up at the rate of a recent time."""
    rate = slos.rate_words(scenario.burn_rate)
    if scenario.exhausted_at is None:
        return f"not used up ({rate})"
    return f"used up on {formats.moment(scenario.exhausted_at, viewer_zone(), seconds=False)} ({rate})"
