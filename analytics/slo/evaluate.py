"""What the sums of an objective mean: compliance, budget, burn rates and one state. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from analytics.core.clock import Interval
from analytics.slo import math
from analytics.slo.math import ErrorBudget
from analytics.slo.model import WHOLE, BurnPair, Objective, SloState
from analytics.slo.windows import MIN_BAD_EVENTS, burn_pairs

ENOUGH_COVERAGE = 0.9
_RECENT = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Facts:
    """What was counted for one objective."""

    good: float
    total: float
    coverage_ratio: float
    """Share of the period in which the source was seen, 0 to 1."""
    windows: Mapping[timedelta, tuple[float, float]]
    """Good and total of windows that end now; one without a bucket is missing."""
    measured_at: datetime | None
    """End of the newest bucket."""
    demo_total: float
    series: Sequence[tuple[datetime, float | None]]


@dataclass(frozen=True, slots=True)
class Projection:
    """The budget of a whole calendar period, as time, after what was spent of it so far.

    The budget itself is that of the events so far; this one assumes that the rest of the period is as busy.
    """

    total_minutes: float
    consumed_minutes: float
    left_minutes: float
    """Below 0 when more was spent than the whole period has."""


@dataclass(frozen=True, slots=True)
class SloStatus:
    """How one objective, or one group of it, stands."""

    objective: Objective
    sli: float | None
    """Share of good events, 0 to 1; None when there was no event."""
    compliant: bool | None
    """None when too little was measured to say."""
    margin: float | None
    """SLI minus target; below 0 when the target is missed. None without events."""
    budget: ErrorBudget | None
    """Of the events so far, in :attr:`unit`; its minutes are those of the whole window."""
    burn_rates: Mapping[timedelta, float | None]
    state: SloState
    coverage_ratio: float
    """Share of the time so far that was measured, 0 to 1; what corrections take out is not asked for."""
    good: float
    total: float
    measured_at: datetime | None
    """End of the newest bucket."""
    includes_demo: bool
    """Whether some of the events are demo history."""
    series: Sequence[tuple[datetime, float | None]]
    """SLI over time, oldest first, None where there was no event."""
    exhausted_in: timedelta | None
    """How long the budget lasts at the rate of the last day; zero when gone, None when it is not being spent."""
    interval: Interval
    """The window the numbers are of: its end may be ahead when it is a calendar's."""
    group_key: str = WHOLE
    unit: str = "events"
    """What good, total and budget count: ``events`` or ``slices``; ``events`` for a mix of both in a composite."""
    excluded_s: float = 0.0
    """Seconds that corrections take out."""
    is_stale: bool = False
    """Whether the newest bucket is older than it should be, so that burn rates and alerts are of the past."""
    read_error: str | None = None
    """Why the source could not be read last time; None when it could."""
    warnings: Sequence[str] = ()
    """What the source warned of at the last reading."""
    alerts: Sequence[BurnPair] = ()
    """The pairs of windows that are over their factor now."""
    projection: Projection | None = None
    """Of calendar windows only; None without events."""
    volume_warning: str | None = None
    """Said when the target allows so few bad events that chance decides."""
    groups: Sequence["SloStatus"] = ()
    """When asked for: the groups with least budget left, worst first, at most 50."""
    group_count: int = 0
    """How many groups there are in all, when asked for."""
    members: Sequence["SloStatus"] = ()
    """Of a composite: its members over the same window."""


def evaluate(objective: Objective, facts: Facts, *, windows: Sequence[timedelta], period: timedelta) -> SloStatus:
    """Return how *objective* stands over *period*, given *facts*; *windows* are the burn rates to show."""
    ratio = objective.budget_ratio
    share = math.sli(facts.good, facts.total)
    budget = math.error_budget(facts.good, facts.total, budget_ratio=ratio, period=period)
    rates = {window: _rate(facts, window, ratio) for window in windows}
    lasts = None
    if budget is not None:
        lasts = math.time_to_exhaustion(budget.remaining_ratio, _rate(facts, _RECENT, ratio), period=period)
    return SloStatus(
        objective=objective,
        sli=share,
        compliant=None if share is None or facts.coverage_ratio < ENOUGH_COVERAGE else share >= float(objective.target),
        margin=None if share is None else share - float(objective.target),
        budget=budget,
        burn_rates=rates,
        state=_state(objective, facts, budget, lasts, period),
        coverage_ratio=facts.coverage_ratio,
        good=facts.good,
        total=facts.total,
        measured_at=facts.measured_at,
        includes_demo=facts.demo_total > 0,
        series=facts.series,
        exhausted_in=lasts,
        interval=Interval.last(period),
    )


def windows_needed(objective: Objective, *, shown: Sequence[timedelta], period: timedelta) -> set[timedelta]:
    """Return the windows :func:`evaluate` looks at for *objective*."""
    pairs = burn_pairs(budget_ratio=objective.budget_ratio, period=period)
    return {*shown, _RECENT, *(pair.long for pair in pairs), *(pair.short for pair in pairs)}


def _state(
    objective: Objective, facts: Facts, budget: ErrorBudget | None, lasts: timedelta | None, period: timedelta
) -> SloState:
    if budget is None:
        return SloState.NO_DATA
    if facts.coverage_ratio < ENOUGH_COVERAGE:
        return SloState.INSUFFICIENT_DATA
    if budget.is_exhausted:
        return SloState.EXHAUSTED
    if _is_burning(objective, facts, period):
        return SloState.DEGRADED
    good, total = facts.windows.get(_RECENT, (0.0, 0.0))
    if lasts is not None and lasts < period and total - good >= MIN_BAD_EVENTS:
        rate = math.burn_rate(good, total, budget_ratio=objective.budget_ratio)
        if rate is not None and rate > 1:
            return SloState.AT_RISK
    return SloState.HEALTHY


def _is_burning(objective: Objective, facts: Facts, period: timedelta) -> bool:
    """Return whether both windows of a pair burn faster than its factor, with enough bad events to tell."""
    ratio = objective.budget_ratio
    for pair in burn_pairs(budget_ratio=ratio, period=period):
        good, total = facts.windows.get(pair.long, (0.0, 0.0))
        if total - good < MIN_BAD_EVENTS:
            continue
        long, short = _rate(facts, pair.long, ratio), _rate(facts, pair.short, ratio)
        if long is not None and short is not None and min(long, short) > pair.factor:
            return True
    return False


def _rate(facts: Facts, window: timedelta, budget_ratio: float) -> float | None:
    if window not in facts.windows:
        return None
    good, total = facts.windows[window]
    return math.burn_rate(good, total, budget_ratio=budget_ratio)
