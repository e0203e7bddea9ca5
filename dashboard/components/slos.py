"""Objectives in words: state, indicator, budget, burn, window; and the columns of their tables."""

import json
import math
from collections.abc import Mapping, Sequence
from datetime import timedelta

from analytics.slo import Objective, SloStatus
from analytics.slo.model import WHOLE, BurnPair, CalendarWindow, Severity, Window
from dashboard import formats
from dashboard.components.status import SLO_LOOKS, Look, look_of
from dashboard.components.tables import Column

_HOUR, _SIX_HOURS = timedelta(hours=1), timedelta(hours=6)

SEVERITY_LOOKS: Mapping[str, Look] = {
    "page": Look("Page", ":material/notifications_active:", "red"),
    "ticket": Look("Ticket", ":material/confirmation_number:", "orange"),
}


def look(status: SloStatus) -> Look:
    """Return how the state of an objective reads."""
    return look_of(SLO_LOOKS, status.state)


def alert_look(pairs: Sequence[BurnPair]) -> Look | None:
    """Return how the gravest of the pairs that fire reads, or None when none does."""
    if not pairs:
        return None
    gravest = Severity.PAGE if any(pair.severity is Severity.PAGE for pair in pairs) else Severity.TICKET
    return SEVERITY_LOOKS[gravest]


def indicator_words(status: SloStatus) -> str:
    """Return the share of good events, precise enough to see on which side of the target it is."""
    return formats.percent_against(status.sli, status.objective.target)


def left_words(ratio: float | None) -> str:
    """Return the share of a budget that is left; of one that allows nothing, that it is gone."""
    return "None" if ratio == -math.inf else formats.percent(ratio)


def budget_words(status: SloStatus) -> str:
    """Return the share of the budget that is left."""
    return left_words(None if status.budget is None else status.budget.remaining_ratio)


def rate_words(rate: float | None) -> str:
    """Return a burn rate, a multiple of the rate that would just use up the budget."""
    if rate is None:
        return formats.NO_DATA
    return "Endless" if math.isinf(rate) else f"{rate:.2f}x"


def burn_words(status: SloStatus, window: timedelta) -> str:
    """Return the burn rate of *window*."""
    return rate_words(status.burn_rates.get(window))


def lasts_words(status: SloStatus) -> str:
    """Return how long the budget lasts at the burn rate of the last day."""
    if status.budget is None:
        return formats.NO_DATA
    if status.budget.is_exhausted:
        return "Used up"
    return "Not spent" if status.exhausted_in is None else formats.duration(status.exhausted_in)


def window_words(window: Window) -> str:
    """Return a window in few words, such as ``30 d`` and ``Month``."""
    if isinstance(window, CalendarWindow):
        return window.unit.value.capitalize()
    return formats.duration(window.length)


def span_words(window: Window) -> str:
    """Return a window as it stands in a sentence, such as ``the last 30 d``."""
    if isinstance(window, CalendarWindow):
        return f"this {window.unit.value} in {window.zone}"
    return f"the last {formats.duration(window.length)}"


def group_words(group_key: str) -> str:
    """Return a group as its labels, such as ``route=/login``; of the whole, that it is the whole."""
    if group_key == WHOLE:
        return "All"
    labels: Mapping[str, str] = json.loads(group_key)
    return ", ".join(f"{name}={value}" for name, value in labels.items())


def target_words(objective: Objective) -> str:
    """Return the target of an objective."""
    return formats.percent(objective.target)


def _left(status: SloStatus) -> float | None:
    """Return the share of the budget that is left, for a bar; what is beyond its end stands at the end."""
    return None if status.budget is None else max(status.budget.remaining_ratio, -9.99)


def columns(
    trends: Mapping[str, Sequence[float | None]] | None = None, *, with_alerts: bool = True
) -> list[Column[SloStatus]]:
    """Return the columns of a table of objectives; *trends* is the share of the budget left over each window."""
    courses = trends or {}
    alerts: list[Column[SloStatus]] = [
        Column("Alert", lambda status: alert_look(status.alerts), "state", width="small"),
    ]
    return [
        Column("Objective", lambda status: status.objective.title, width="medium"),
        Column("State", look, "state", width="small"),
        Column(
            "Budget left",
            _left,
            "progress",
            width="small",
            help="Of the events that may be bad in the window. Below 0 % more was spent than there was.",
        ),
        Column(
            "Course",
            lambda status: courses.get(status.objective.id, ()),
            "share",
            width="small",
            help="The budget over the window, from all to none.",
        ),
        *(alerts if with_alerts else []),
        Column(
            "Burn 1 h",
            lambda status: burn_words(status, _HOUR),
            width="small",
            help="1x spends exactly the budget over the window.",
        ),
        Column("Burn 6 h", lambda status: burn_words(status, _SIX_HOURS), width="small"),
        Column("Lasts", lasts_words, width="small", help="At the burn rate of the last day."),
        Column("Indicator", indicator_words, width="small", help="Share of good events."),
        Column("Target", lambda status: target_words(status.objective), width="small"),
        Column("Window", lambda status: window_words(status.objective.window), width="small"),
        Column(
            "Coverage",
            lambda status: status.coverage_ratio,
            "progress",
            width="small",
            help="Share of the window in which the source was seen; below 90 % nothing is claimed.",
        ),
        Column("Service", lambda status: status.objective.service, width="small"),
    ]


_OF_PARTS = ("State", "Budget left", "Alert", "Burn 1 h", "Burn 6 h", "Lasts", "Indicator", "Target", "Coverage")


def part_columns(parts: Sequence[SloStatus]) -> list[Column[SloStatus]]:
    """Return the columns of a table of groups or members, beside their names; of alerts only when one fires."""
    shown = columns(with_alerts=any(part.alerts for part in parts))
    events: Column[SloStatus] = Column("Events", lambda status: status.total, "number", width="small")
    return [*(column for column in shown if column.title in _OF_PARTS), events]


def pair_words(pair: BurnPair) -> str:
    """Return when a pair of burn windows fires."""
    windows = f"{formats.duration(pair.long)} and over {formats.duration(pair.short)}"
    return f"the budget burns faster than {rate_words(pair.factor)} over {windows}"
