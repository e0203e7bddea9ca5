"""What a key figure is, and what a reading of one says. Nothing here reads anything."""

import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from analytics.core.clock import Interval
from analytics.core.errors import InputError

MAX_POINTS = 60
"""The most points of a reading's trend."""

_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_STEPS = (
    *(number * _MINUTE for number in (2, 5, 15, 30)),
    *(number * _HOUR for number in (1, 2, 3, 6, 12)),
    *(number * _DAY for number in (1, 2, 7)),
)


class Direction(enum.StrEnum):
    """Which values are better."""

    HIGHER = "higher"
    LOWER = "lower"
    NEITHER = ""


class KpiState(enum.StrEnum):
    """What a reading says."""

    ON_TARGET = "on_target"
    GOOD = "good"
    WARNING = "warning"
    CRITICAL = "critical"
    MEASURED = "measured"
    """There is a value, and no target to hold it against."""
    NO_DATA = "no_data"
    """The source answered, and nothing was seen."""
    NO_SOURCE = "no_source"
    """The source is not there, or does not keep this figure in the way asked for."""


@dataclass(frozen=True, slots=True)
class FactSource:
    """A figure counted from rows of PostgreSQL.

    The value is *value*, or *value* over *total*; both are columns of the fact table, as is *samples*.
    """

    table: str
    value: str
    samples: str
    total: str | None = None

    @property
    def part(self) -> str:
        """Return which part of Helmsight answers."""
        return "PostgreSQL"


@dataclass(frozen=True, slots=True)
class CounterSource:
    """A figure counted by Prometheus: the increase of *value*, or its share of the increase of *total*."""

    value: str
    total: str | None = None

    @property
    def part(self) -> str:
        """Return which part of Helmsight answers."""
        return "Prometheus"


@dataclass(frozen=True, slots=True)
class QuantileSource:
    """A quantile of a histogram of Prometheus, exact to the width of a bucket."""

    histogram: str
    quantile: float
    matchers: str = ""

    @property
    def part(self) -> str:
        """Return which part of Helmsight answers."""
        return "Prometheus"


Source = FactSource | CounterSource | QuantileSource


@dataclass(frozen=True, slots=True)
class Kpi:
    """One key figure, defined once for page, API, alert and report.

    Better than *target*, or equal: on target. Else as good as *good*: good. Else as good as *critical*: a warning.
    Else critical. Without a target a figure is only measured.
    """

    id: str
    title: str
    group: str
    unit: str
    """``ratio`` (0 to 1), ``s``, ``usd``, ``count``, ``tokens``."""
    direction: Direction
    doc: str
    measure: Source
    target: float | None = None
    good: float | None = None
    critical: float | None = None

    def __post_init__(self) -> None:
        """Refuse thresholds that are not in order, or given in part."""
        bounds = [bound for bound in (self.target, self.good, self.critical) if bound is not None]
        if len(bounds) not in {0, 3} or (bounds and self.direction is Direction.NEITHER):
            raise InputError(f"{self.id} needs all of its thresholds and a direction, or none.")
        if bounds != sorted(bounds, reverse=self.direction is Direction.HIGHER):
            raise InputError(f"The thresholds of {self.id} are not in order.")

    @property
    def source(self) -> str:
        """Return where the figure comes from, in a word."""
        return self.measure.part

    @property
    def warning(self) -> float | None:
        """Return where good ends and a warning begins."""
        return self.good

    def rate(self, value: float | None) -> KpiState:
        """Return what *value* is worth."""
        if value is None:
            return KpiState.NO_DATA
        if self.target is None or self.good is None or self.critical is None:
            return KpiState.MEASURED
        for bound, state in (
            (self.target, KpiState.ON_TARGET),
            (self.good, KpiState.GOOD),
            (self.critical, KpiState.WARNING),
        ):
            if value <= bound if self.direction is Direction.LOWER else value >= bound:
                return state
        return KpiState.CRITICAL


@dataclass(frozen=True, slots=True)
class KpiReading:
    """One key figure over one interval."""

    kpi: Kpi
    value: float | None
    """None when nothing was seen; never 0 for that."""
    state: KpiState
    samples: int
    """On how many rows or events the value rests."""
    measured_at: datetime | None
    """Up to when facts were read; None without a value."""
    interval: Interval
    series: Sequence[tuple[datetime, float | None]] = ()
    """At most 60 points, each at the start of its step; None where nothing was seen."""
    previous: float | None = None
    """The value over the interval of the same length before."""
    includes_demo: bool = False


@dataclass(frozen=True, slots=True)
class Grid:
    """The steps of a trend over an interval, and those of the same length before it."""

    interval: Interval
    step: timedelta
    count: int

    @property
    def before(self) -> datetime:
        """Return where the steps before the interval start."""
        return self.interval.since - self.count * self.step

    @property
    def starts(self) -> list[datetime]:
        """Return the start of each step of the interval."""
        return [self.interval.since + place * self.step for place in range(self.count)]


@dataclass(frozen=True, slots=True)
class Found:
    """What a source knows of one figure."""

    value: float | None
    samples: int
    previous: float | None = None
    series: Mapping[datetime, float | None] = field(default_factory=dict)
    empty_step: float | None = None
    """What a step without rows means: 0 for amounts once anything was seen, else None."""
    measured_at: datetime | None = None
    includes_demo: bool = False


def grid_of(interval: Interval) -> Grid:
    """Return at most 60 steps over *interval*, of round length where it divides.

    Raises:
        InputError: If the interval is empty.
    """
    if interval.length <= timedelta(0):
        raise InputError("An empty interval has no figures; choose an end after the start.")
    wanted = interval.length / MAX_POINTS
    round_step = next((step for step in _STEPS if step >= wanted), wanted)
    count = min(MAX_POINTS, math.ceil(interval.length / round_step))
    step_s = math.ceil(interval.length.total_seconds() / count)
    return Grid(interval, timedelta(seconds=step_s), count)
