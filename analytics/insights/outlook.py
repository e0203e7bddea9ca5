"""What lies ahead: the forecast of a figure, growth against bounds, and bounds that would fit. Computed when asked."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
from sqlalchemy.orm import Session

from analytics.core.clock import Interval
from analytics.core.errors import InputError
from analytics.insights.advice import Advice, advise, alarms_per_week
from analytics.insights.capacity import Growth, Reach, growth, load_at, reach
from analytics.insights.course import Floats
from analytics.insights.forecast import forecast
from analytics.insights.lines import DAY_STEPS, WHOLE, Line, daily, first_day, line_of, whole_hours
from analytics.kpi.model import Direction
from analytics.kpi.registry import registry
from analytics.kpi.series import many_series
from analytics.rollup.read import HOUR
from analytics.sources.prometheus import PromClient

AHEAD = timedelta(hours=72)
"""How far a figure is forecast."""
FARTHEST = timedelta(days=7)
LOOKED_BACK = timedelta(days=60)
"""How far back growth is looked for."""
LOADS = ("http_requests", "agent_runs", "llm_calls", "llm_tokens", "runs", "events", "active_people", "db_queries")
"""Figures that say how much is asked of this installation."""
RESOURCES = ("system_cpu", "system_memory", "system_disk", "db_pool_use", "queue_depth")
"""Figures that say how much of something limited is used."""
_Z90 = 1.6449
"""Standard deviations of a normal distribution from its middle to the edge of a 90 % interval."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """How one figure goes on, and whether it passes its bound of warning."""

    line: Line
    read_at: datetime
    middle: Floats
    low: Floats
    high: Floats
    """The interval holds 90 % of what came, in trials on its history."""
    bound: float | None
    """Beyond it the figure is critical; None without bounds."""
    is_beyond: bool
    """Whether the latest value is beyond it."""
    passes_at: datetime | None
    """Start of the first step whose expected value is beyond the bound; None if none is."""
    chance: float
    """That the worst step is beyond it, 0 to 1; 0 without a bound."""
    worst: float | None
    error: float
    """Mean distance of earlier forecasts from what came."""
    naive_error: float
    """The same for repeating the last day."""
    trials: int

    @property
    def skill(self) -> float | None:
        """Return by which share its error is smaller than that of repeating the last day; below 0: it is worse."""
        return 1 - self.error / self.naive_error if self.naive_error > 0 else None


@dataclass(frozen=True, slots=True)
class Load:
    """How much is asked, and how that grows."""

    line: Line
    per_day: Floats
    """By whole UTC days; not a number where less than half a day is known."""
    growth: Growth | None
    """None with less than 14 days."""

    @property
    def first_day(self) -> datetime:
        """Return the start of the first of ``per_day``."""
        return first_day(self.line)


@dataclass(frozen=True, slots=True)
class Resource:
    """Something limited, and when it comes to its bound."""

    line: Line
    per_day: Floats
    """What 95 % of the hours of each day stay below."""
    bound: float
    growth: Growth | None
    reach: Reach | None
    """None without growth."""
    driver: str | None
    """Id of the load that explains most of it; None when none explains a tenth."""
    explained: float | None
    """How much of it that load explains, 0 to 1."""
    bearable: float | None
    """How many times the present busy load it bears until the bound, if it goes on like this."""

    @property
    def first_day(self) -> datetime:
        """Return the start of the first of ``per_day``."""
        return first_day(self.line)

    @property
    def headroom(self) -> float | None:
        """Return which share of the bound is free on a busy hour; None when nothing is known."""
        return None if self.growth is None else max(0.0, 1 - self.growth.level / self.bound)


@dataclass(frozen=True, slots=True)
class Capacity:
    """The view of capacity: loads and resources over the last 60 days."""

    loads: Sequence[Load]
    resources: Sequence[Resource]
    interval: Interval
    read_at: datetime


@dataclass(frozen=True, slots=True)
class BoundAdvice:
    """Bounds of one figure beside those that would have fitted the last four weeks."""

    line: Line
    advice: Advice | None
    """None with less than a week of hours, or when the figure hardly varies."""
    alarms_per_week_now: float | None
    """How many times a week the figure went beyond its bound of warning; None without one, or without advice."""


def look_ahead(
    session: Session, prom: PromClient | None, kpi_id: str, *, now: datetime, ahead: timedelta = AHEAD
) -> Outlook | None:
    """Return how *kpi_id* goes on; None when too little of it is known.

    Raises:
        NotFoundError: If there is no such figure.
        InputError: If *ahead* is not 1 to 168 hours.
    """
    if not HOUR <= ahead <= FARTHEST:
        raise InputError("A forecast looks 1 to 168 hours ahead; nothing was computed.")
    series = many_series(session, prom, [kpi_id], whole_hours(WHOLE, now=now), step=HOUR)
    return outlook_of(line_of(series[kpi_id]), now=now, steps=int(ahead / HOUR))


def outlook_of(line: Line, *, now: datetime, steps: int = int(AHEAD / HOUR)) -> Outlook | None:
    """Return how *line* goes on for *steps*; None when too little is known."""
    said = forecast(line.values, season=DAY_STEPS, ahead=steps)
    if said is None:
        return None
    least = 0.0 if float(np.nanmin(line.values)) >= 0 else -math.inf
    most = 1.0 if line.kpi.unit == "ratio" and float(np.nanmax(line.values)) <= 1 else math.inf
    middle, low, high = (np.clip(edge, least, most) for edge in (said.middle, said.low, said.high))
    known = line.values[np.isfinite(line.values)]
    outlook = Outlook(
        line=line,
        read_at=now,
        middle=middle,
        low=low,
        high=high,
        bound=line.kpi.warning,
        is_beyond=False,
        passes_at=None,
        chance=0.0,
        worst=None,
        error=said.error,
        naive_error=said.naive_error,
        trials=said.trials,
    )
    return _against_bound(outlook, float(known[-1])) if line.kpi.warning is not None else outlook


def _against_bound(outlook: Outlook, latest: float) -> Outlook:
    bound = outlook.line.kpi.warning or 0.0
    sign = 1.0 if outlook.line.kpi.direction is Direction.LOWER else -1.0
    beyond = np.flatnonzero(sign * outlook.middle > sign * bound)
    worst = int(np.argmax(sign * outlook.middle))
    width = max(float(outlook.high[worst] - outlook.low[worst]) / (2 * _Z90), 1e-12)
    distance = sign * (float(outlook.middle[worst]) - bound) / width
    return replace(
        outlook,
        is_beyond=sign * latest > sign * bound,
        passes_at=outlook.line.at(len(outlook.line.values) + int(beyond[0])) if beyond.size else None,
        chance=0.5 * math.erfc(-distance / math.sqrt(2)),
        worst=float(outlook.middle[worst]),
    )


def capacity(session: Session, prom: PromClient | None, *, now: datetime) -> Capacity:
    """Return how loads grow, and when resources come to their bounds: that of warning, else the whole of it."""
    interval = whole_hours(LOOKED_BACK, now=now)
    series = many_series(session, prom, [*LOADS, *RESOURCES], interval, step=HOUR)
    found = {kpi_id: line_of(one) for kpi_id, one in series.items()}
    loads = [Load(found[name], per_day, growth(per_day)) for name in LOADS for per_day in [_sums(found[name])]]
    return Capacity(
        loads=[load for load in loads if np.isfinite(load.per_day).any()],
        resources=[
            _resource(found[name], [found[load] for load in LOADS])
            for name in RESOURCES
            if np.isfinite(found[name].values).any() and (found[name].kpi.warning or found[name].kpi.unit == "ratio")
        ],
        interval=interval,
        read_at=now,
    )


def _sums(line: Line) -> Floats:
    return daily(line, is_sum=True)


def _resource(line: Line, loads: Sequence[Line]) -> Resource:
    per_day = daily(line, is_sum=False)
    bound = line.kpi.warning or 1.0
    found = growth(per_day)
    best: tuple[float, str, float] | None = None
    for load in loads:
        borne = load_at(load.values, line.values, bound)
        if borne is None or borne[1] < max(0.1, best[0] if best else 0.0):
            continue
        busy = float(np.nanquantile(load.values, 0.95))
        best = (borne[1], load.kpi.id, borne[0] / busy if busy > 0 else math.inf)
    return Resource(
        line=line,
        per_day=per_day,
        bound=bound,
        growth=found,
        reach=None if found is None else reach(found, bound),
        driver=best[1] if best else None,
        explained=best[0] if best else None,
        bearable=best[2] if best else None,
    )


def threshold_advice(session: Session, prom: PromClient | None, *, now: datetime) -> list[BoundAdvice]:
    """Return, for every figure with a direction and some values, bounds that would have fitted the last four weeks.

    Figures with bounds come first, those that alarm most before the others.
    """
    ids = [item.id for item in registry() if item.direction is not Direction.NEITHER]
    series = many_series(session, prom, ids, whole_hours(WHOLE, now=now), step=HOUR)
    found = [advice_for(line_of(one)) for one in series.values()]
    known = [one for one in found if one.advice is not None]
    return sorted(
        known, key=lambda one: -1.0 if one.alarms_per_week_now is None else one.alarms_per_week_now, reverse=True
    )


def advice_for(line: Line) -> BoundAdvice:
    """Return bounds that would have fitted *line*, beside its own."""
    is_lower_better = line.kpi.direction is Direction.LOWER
    most = 1.0 if line.kpi.unit == "ratio" else None
    found = advise(line.values, is_lower_better=is_lower_better, season=DAY_STEPS, most=most)
    now = None
    if found is not None and line.kpi.warning is not None:
        now = alarms_per_week(
            line.values, line.kpi.warning, is_lower_better=is_lower_better, steps_per_week=7 * DAY_STEPS
        )
    return BoundAdvice(line, found, now)
