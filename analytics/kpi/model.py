"""What a key figure is, and what a reading of one says. Nothing here reads anything."""

import enum
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from analytics.core.clock import Interval
from analytics.core.errors import InputError

MAX_POINTS = 60
"""The most points of a reading's trend."""

_ALL_BOUNDS = 3
_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_STEPS = (
    *(number * _MINUTE for number in (2, 5, 15, 30)),
    *(number * _HOUR for number in (1, 2, 3, 4, 6, 12)),
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
class CellSource:
    """A figure computed from cells of the rollup: *value*, or *value* over *total*.

    *value*, *total* and *samples* are names of ``analytics.kpi.cells.MEASURES``.
    """

    cut: str
    """The kind of fact, such as ``agent_run``, or one cut of it, such as ``work_done.kind``, with its *key*."""
    value: str
    samples: str = "n"
    """On how many facts the value rests."""
    total: str | None = None
    key: str = ""

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
class GaugeSource:
    """A gauge of Prometheus, averaged over time.

    Processes that show the same thing are not added up: of each value of the label *by* the highest counts, and those
    are added, or averaged where the figure is a share; without *by*, the highest of all counts.
    """

    selector: str
    by: str = ""
    is_share: bool = False

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


Source = CellSource | CounterSource | GaugeSource | QuantileSource


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where a figure is on target, where good, and where a warning ends and critical begins; all, or none of them."""

    target: float | None = None
    good: float | None = None
    warning: float | None = None

    @property
    def are_set(self) -> bool:
        """Return whether there are any."""
        return self.target is not None

    def problem(self, direction: Direction) -> str | None:
        """Return what is wrong with them for a figure of *direction*, or None."""
        values = [value for value in (self.target, self.good, self.warning) if value is not None]
        steps = [after - before for before, after in itertools.pairwise(values)]
        problems = (
            (len(values) < _ALL_BOUNDS, "needs a target, a bound of good and one of warning, or none of them"),
            (not all(map(math.isfinite, values)), "needs bounds that are finite numbers"),
            (direction is Direction.NEITHER, "has no better and no worse, so it takes no bounds"),
            (
                direction is Direction.LOWER and min(steps, default=0.0) <= 0,
                "is better when lower, so its bounds must rise: target < good < warning",
            ),
            (
                direction is Direction.HIGHER and max(steps, default=0.0) >= 0,
                "is better when higher, so its bounds must fall: target > good > warning",
            ),
        )
        return next((text for is_wrong, text in problems if is_wrong), None) if values else None


@dataclass(frozen=True, slots=True)
class Kpi:
    """One key figure, defined once for page, API, alert and report.

    Better than *target*, or equal: on target. Else as good as *good*: good. Else as good as *warning*: a warning.
    Else critical. Without a target a figure is only measured.
    """

    id: str
    title: str
    group: str
    unit: str
    """``ratio`` (0 to 1), ``s``, ``usd``, ``count``, ``tokens``, ``bytes``, ``points`` (0 to 100)."""
    direction: Direction
    doc: str
    measure: Source
    target: float | None = None
    good: float | None = None
    warning: float | None = None
    """Beyond it a value is critical."""
    best: float | None = None
    """The best value there can be, worth 100 points; None: 0 where lower is better, 1 for a ratio."""
    weight: float = 1.0
    """In the performance score, against the other figures; 0 keeps a figure out of it, as do missing bounds."""
    dims: Mapping[str, str] = field(default_factory=dict)
    """What it can be split by, such as ``agent``: the cut of the rollup, or the label of Prometheus, for each."""
    revision: int = 0
    """Of the bounds; 0: as shipped."""

    def __post_init__(self) -> None:
        """Refuse bounds that are not in order, or given in part."""
        problem = self.bounds.problem(self.direction)
        if problem is not None:
            raise InputError(f"{self.title} ({self.id}) {problem}.")

    @property
    def bounds(self) -> Bounds:
        """Return target, good and warning."""
        return Bounds(self.target, self.good, self.warning)

    @property
    def ideal(self) -> float | None:
        """Return the value worth 100 points: *best*, else what its direction and unit make the best there can be.

        None for a figure without bounds. Never worse than the target.
        """
        if self.target is None or self.good is None:
            return None
        if self.direction is Direction.LOWER:
            return min(self.best if self.best is not None else 0.0, self.target)
        natural = 1.0 if self.unit == "ratio" else self.target + (self.target - self.good)
        return max(self.best if self.best is not None else natural, self.target)

    @property
    def source(self) -> str:
        """Return where the figure comes from, in a word."""
        return self.measure.part

    @property
    def can_drill(self) -> bool:
        """Return whether the rows behind it can be shown."""
        return isinstance(self.measure, CellSource)

    def with_bounds(self, bounds: Bounds, *, revision: int) -> "Kpi":
        """Return the same figure with other bounds.

        Raises:
            InputError: If they are not in order, or given in part.
        """
        return replace(self, target=bounds.target, good=bounds.good, warning=bounds.warning, revision=revision)

    def rate(self, value: float | None) -> KpiState:
        """Return what *value* is worth."""
        if value is None:
            return KpiState.NO_DATA
        if self.target is None or self.good is None or self.warning is None:
            return KpiState.MEASURED
        for bound, state in (
            (self.target, KpiState.ON_TARGET),
            (self.good, KpiState.GOOD),
            (self.warning, KpiState.WARNING),
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
    """What was really measured; of long ranges whole hours or days."""
    series: Sequence[tuple[datetime, float | None]] = ()
    """At most 60 points, each at the start of its step; None where nothing was seen."""
    previous: float | None = None
    """The value over the interval of the same length before."""
    includes_demo: bool = False
    key: str = ""
    """Of which agent, model, … it is, when the figure was split; empty for all."""


@dataclass(frozen=True, slots=True)
class KpiPoint:
    """One step of a series."""

    start: datetime
    value: float | None
    """None where nothing was seen."""
    samples: int


@dataclass(frozen=True, slots=True)
class KpiSeries:
    """One key figure over time."""

    kpi: Kpi
    interval: Interval
    """What was really measured: whole steps."""
    step: timedelta
    points: Sequence[KpiPoint]
    """One for each step, in order of time."""
    measured_at: datetime | None
    """Up to when facts were read; None when the source is not there."""
    includes_demo: bool = False
    key: str = ""


@dataclass(frozen=True, slots=True)
class Grid:
    """The steps of a trend over an interval, and those of the same length before it."""

    interval: Interval
    step: timedelta
    count: int
    with_before: bool = True

    @property
    def before(self) -> datetime:
        """Return where the steps before the interval start; without them, where the interval does."""
        return self.interval.since - (self.count * self.step if self.with_before else timedelta(0))

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
    points: Sequence[KpiPoint] = ()
    """Every step. A step in which nothing was seen has 0 for amounts once anything was seen, else None."""
    measured_at: datetime | None = None
    includes_demo: bool = False


def grid_of(interval: Interval, *, finest: timedelta = _MINUTE) -> Grid:
    """Return at most 60 steps over *interval*, of round length where it divides.

    Args:
        interval: The time to look at.
        finest: A minute, an hour or a day. From an hour, steps are whole multiples of it.

    Raises:
        InputError: If the interval is empty.
    """
    if interval.length <= timedelta(0):
        raise InputError("An empty interval has no figures; choose an end after the start.")
    wanted = interval.length / MAX_POINTS
    whole = math.ceil(wanted / _DAY) * _DAY
    round_step = next((step for step in _STEPS if step >= max(wanted, finest)), whole)
    count = math.ceil(interval.length / round_step)
    if finest >= _HOUR:
        return Grid(interval, round_step, count)
    step_s = math.ceil(interval.length.total_seconds() / count)
    return Grid(interval, timedelta(seconds=step_s), count)
