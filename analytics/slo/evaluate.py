"""What the sums of an objective mean: compliance, budget, burn rates and one state. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from analytics.core.clock import Interval
from analytics.slo import math
from analytics.slo.math import ErrorBudget
from analytics.slo.model import BUCKET, WHOLE, Budgeting, BurnPair, CompositeEvents, Objective, RawRatio, SloState
from analytics.slo.windows import BURN_WINDOWS, firing_pairs, guard_of, windows_of

ENOUGH_COVERAGE = 0.9
STALE_AFTER = 3 * BUCKET
"""A newest bucket that ended longer ago than this is overdue."""

EVENTS, SLICES = "events", "slices"
_ENOUGH_BAD = 10
_RECENT = timedelta(days=1)
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Facts:
    """What was counted for one objective, or one group of it."""

    good: float
    total: float
    coverage_ratio: float
    """Share of the time so far that was measured, 0 to 1."""
    windows: Mapping[timedelta, tuple[float, float]]
    """Good and total of windows that end now; one that is missing had no event."""
    measured_at: datetime | None
    """End of the newest bucket."""
    demo_total: float
    series: Sequence[tuple[datetime, float | None]]
    excluded_s: float = 0.0
    """Seconds that corrections take out of the time so far."""
    unit: str = EVENTS
    read_error: str | None = None
    warnings: Sequence[str] = ()


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
    """What good, total and budget count: ``events``, or ``slices`` of time; a composite of both says ``events``."""
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


def evaluate(
    objective: Objective, facts: Facts, *, interval: Interval, now: datetime, group_key: str = WHOLE
) -> SloStatus:
    """Return how *objective* stands in *interval* at *now*, given *facts* of its time so far."""
    ratio = objective.budget_ratio
    share = math.sli(facts.good, facts.total)
    budget = math.error_budget(facts.good, facts.total, budget_ratio=ratio, period=interval.length)
    end = max(interval.since, min(now, interval.until))
    projection = None if share is None or end == interval.until else _projection(1 - share, facts, ratio, interval, end)
    pairs = firing_pairs(objective, facts.windows)
    lasts = _lasts(budget, projection, _rate(facts, _RECENT, ratio), interval.length)
    return SloStatus(
        objective=objective,
        sli=share,
        compliant=None if share is None or facts.coverage_ratio < ENOUGH_COVERAGE else share >= float(objective.target),
        margin=None if share is None else share - float(objective.target),
        budget=budget,
        burn_rates={window: _rate(facts, window, ratio) for window in BURN_WINDOWS},
        state=_state(facts, budget, pairs, is_at_risk=_is_at_risk(objective, facts, lasts, interval, end)),
        coverage_ratio=facts.coverage_ratio,
        good=facts.good,
        total=facts.total,
        measured_at=facts.measured_at,
        includes_demo=facts.demo_total > 0,
        series=facts.series,
        exhausted_in=lasts,
        interval=interval,
        group_key=group_key,
        unit=facts.unit,
        excluded_s=facts.excluded_s,
        is_stale=facts.measured_at is None or facts.measured_at < end - STALE_AFTER,
        read_error=facts.read_error,
        warnings=facts.warnings,
        alerts=pairs,
        projection=projection,
        volume_warning=_volume_warning(objective, facts, interval, end),
    )


def windows_needed(objective: Objective) -> set[timedelta]:
    """Return the windows :func:`evaluate` looks at for *objective*."""
    return {*BURN_WINDOWS, _RECENT, *windows_of(objective)}


def _projection(error: float, facts: Facts, ratio: float, interval: Interval, end: datetime) -> Projection:
    excluded = timedelta(seconds=facts.excluded_s)
    total = ratio * ((interval.length - excluded) / _MINUTE)
    consumed = error * ((end - interval.since - excluded) / _MINUTE)
    return Projection(total, consumed, total - consumed)


def _lasts(
    budget: ErrorBudget | None, projection: Projection | None, rate: float | None, period: timedelta
) -> timedelta | None:
    """Return how long the budget lasts at burn *rate*: in a period that is not over, that of the whole period."""
    if budget is None:
        return None
    left = budget.remaining_ratio
    if projection is not None and projection.total_minutes > 0 and left > 0:
        left = projection.left_minutes / projection.total_minutes
    return math.time_to_exhaustion(left, rate, period=period)


def _is_at_risk(objective: Objective, facts: Facts, lasts: timedelta | None, interval: Interval, end: datetime) -> bool:
    """Return whether the budget will be gone before the period is over, with enough bad events to tell."""
    good, total = facts.windows.get(_RECENT, (0.0, 0.0))
    rate = _rate(facts, _RECENT, objective.budget_ratio)
    left = interval.until - end or interval.length  # of a period that is over, as of a rolling one, all of it
    return lasts is not None and lasts < left and rate is not None and rate > 1 and total - good >= guard_of(objective)


def _state(facts: Facts, budget: ErrorBudget | None, pairs: Sequence[BurnPair], *, is_at_risk: bool) -> SloState:
    if budget is None:
        return SloState.NO_DATA
    if facts.coverage_ratio < ENOUGH_COVERAGE:
        return SloState.INSUFFICIENT_DATA
    if budget.is_exhausted:
        return SloState.EXHAUSTED
    if pairs:
        return SloState.DEGRADED
    return SloState.AT_RISK if is_at_risk else SloState.HEALTHY


def _volume_warning(objective: Objective, facts: Facts, interval: Interval, end: datetime) -> str | None:
    """Return a warning when the whole window, as busy as so far, allows fewer than ten bad events."""
    is_counted = not isinstance(objective.indicator, RawRatio | CompositeEvents)
    if not is_counted or objective.budgeting is not Budgeting.OCCURRENCES or objective.budget_ratio == 0:
        return None
    measured_s = facts.coverage_ratio * ((end - interval.since).total_seconds() - facts.excluded_s)
    if facts.total <= 0 or measured_s <= 0:
        return None
    allowed = objective.budget_ratio * facts.total * (interval.length.total_seconds() / measured_s)
    if allowed >= _ENOUGH_BAD:
        return None
    return (
        f"At this traffic the target allows {allowed:.2g} bad events in the window; with fewer than {_ENOUGH_BAD}"
        " chance decides. A lower target or a longer window would tell more."
    )


def _rate(facts: Facts, window: timedelta, budget_ratio: float) -> float | None:
    good, total = facts.windows.get(window, (0.0, 0.0))
    return math.burn_rate(good, total, budget_ratio=budget_ratio)
