"""The performance score: one number of 0 to 100 from all figures that have thresholds, and where its points went.

Each figure earns points on a line through its thresholds: 100 at its best, 90 at its target, 80 where good ends, 70
where a warning ends, and 0 twice as far from the target as that. The score is their mean, weighted, over the figures
that have data; it is at most 30 above the worst of them, so that one broken part is not averaged away. What is lost
adds up: the lost points of the figures, and those that the limit takes, are 100 less the score.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from analytics.core.clock import Interval
from analytics.kpi.model import Direction, Kpi, KpiReading, KpiState

FULL, TARGET, GOOD, WARNING = 100.0, 90.0, 80.0, 70.0
"""The points of a figure at its best, at its target, where good ends and where a warning ends."""
HEADROOM = 30.0
"""So many points the score may lie above its worst figure."""
LEAST_COVERAGE = 0.5
"""With data on less of the weight there is no score."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one figure brings to the score."""

    reading: KpiReading
    points: float | None
    """0 to 100; None without data, and then it is left out."""
    share: float
    """Of the weight of all figures with data, 0 to 1; 0 without data."""
    lost: float
    """Points of the score that it costs: its share of what it lacks to 100."""

    @property
    def kpi(self) -> Kpi:
        """Return the figure."""
        return self.reading.kpi


@dataclass(frozen=True, slots=True)
class Score:
    """The performance score over one interval, with all that it is made of."""

    value: float | None
    """0 to 100; None with data on less than half of the weight."""
    mean: float | None
    """The weighted mean before the limit; None without any data."""
    limited_by: Part | None
    """The worst figure, when the score is held to 30 above it."""
    limit_lost: float
    """Points that the limit takes, 0 or more."""
    coverage: float
    """Share of the weight that has data, 0 to 1."""
    parts: Sequence[Part]
    """Every figure with thresholds and a weight: those that cost most first, those without data last."""
    interval: Interval | None
    """None when there are no figures at all."""
    measured_at: datetime | None
    """Up to when facts were read: the oldest of its figures; None without data."""
    includes_demo: bool = False

    @property
    def state(self) -> KpiState:
        """Return what the score is worth: 90 is the target, to 80 it is good, to 70 a warning."""
        return state_of(self.value)

    @property
    def samples(self) -> int:
        """Return on how many rows or events it rests."""
        return sum(part.reading.samples for part in self.parts if part.points is not None)


def points_of(kpi: Kpi, value: float | None) -> float | None:
    """Return the points, 0 to 100, that *value* earns; None without a value or without thresholds."""
    if value is None or not math.isfinite(value) or kpi.target is None or kpi.good is None or kpi.warning is None:
        return None
    sign = -1.0 if kpi.direction is Direction.HIGHER else 1.0
    # Measured so that more is worse, whatever the direction.
    badness = sign * value
    bounds = [sign * bound for bound in (kpi.target, kpi.good, kpi.warning)]
    best = _best(kpi, sign, bounds)
    corners = [
        (best, FULL),
        *zip(bounds, (TARGET, GOOD, WARNING), strict=True),
        (bounds[0] + 2 * (bounds[2] - bounds[0]), 0.0),
    ]
    if badness <= best:
        return FULL if best < bounds[0] else TARGET
    for (low, high_points), (high, low_points) in zip(corners, corners[1:], strict=False):
        if badness <= high:
            return high_points - (high_points - low_points) * (badness - low) / (high - low)
    return 0.0


def score_of(readings: Sequence[KpiReading]) -> Score:
    """Return the score of *readings*; figures without thresholds or weight take no part."""
    raise NotImplementedError


def score_if(score: Score, values: Mapping[str, float]) -> float | None:
    """Return what *score* would be with other *values* of some figures, by id; None when there is no score.

    Figures without data stay out of it.
    """
    raise NotImplementedError


def gain_of(score: Score, kpi_id: str, value: float) -> float | None:
    """Return how many points the score would gain if one figure had *value*; None when that is not known."""
    raise NotImplementedError


def state_of(value: float | None) -> KpiState:
    """Return what a score of *value* is worth."""
    if value is None:
        return KpiState.NO_DATA
    for bound, state in ((TARGET, KpiState.ON_TARGET), (GOOD, KpiState.GOOD), (WARNING, KpiState.WARNING)):
        if value >= bound:
            return state
    return KpiState.CRITICAL


def _best(kpi: Kpi, sign: float, bounds: Sequence[float]) -> float:
    """Return where 100 points begin, more being worse; without a best value, as far before the target as good is."""
    return sign * kpi.best if kpi.best is not None else bounds[0] - (bounds[1] - bounds[0])
