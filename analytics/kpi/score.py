"""The performance score: one number of 0 to 100 from all figures that have thresholds, and where its points went.

Each figure earns points on a line through its thresholds: 100 at its best, 90 at its target, 80 where good ends, 70
where a warning ends, and 0 twice as far from the target as that. The score is their mean, weighted, over the figures
that have data; it is at most 30 above the worst of them, so that one broken part is not averaged away. What is lost
adds up: the lost points of the figures, and those that the limit takes, are 100 less the score. Figures whose source is
not there at all, such as those of Prometheus where none is set up, are left out and told apart from silent ones.
"""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from analytics.core.clock import Interval
from analytics.kpi.model import Direction, Kpi, KpiReading, KpiState

FULL, TARGET, GOOD, WARNING = 100.0, 90.0, 80.0, 70.0
"""The points of a figure at its best, at its target, where good ends and where a warning ends."""
HEADROOM = 30.0
"""So many points the score may lie above its worst figure."""
LEAST_SAMPLES = 20
"""A figure on fewer rows or events is left out: the worst of a handful of requests says nothing of the whole."""
LEAST_COVERAGE = 0.5
"""With data on less of the weight, of figures whose source is there, there is no score."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one figure brings to the score."""

    reading: KpiReading
    points: float | None
    """0 to 100; None without data, or with too few samples, and then it is left out."""
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
    """0 to 100; None where :attr:`coverage` is less than a half."""
    mean: float | None
    """The weighted mean before the limit; None without any data."""
    limited_by: Part | None
    """The worst figure, when the score is held to 30 above it."""
    limit_lost: float
    """Points that the limit takes, 0 or more."""
    coverage: float
    """Share of the weight that has data, of the figures whose source is there; 0 to 1."""
    unsourced: float
    """Share of the weight of all figures whose source is not there, 0 to 1."""
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
    nought = kpi.target + 2 * (kpi.warning - kpi.target)
    best = kpi.target if kpi.ideal is None else kpi.ideal
    values = (best, kpi.target, kpi.good, kpi.warning, nought)
    # Measured so that more is worse, whatever the direction.
    sign = -1.0 if kpi.direction is Direction.HIGHER else 1.0
    corners = [(sign * at, points) for at, points in zip(values, (FULL, TARGET, GOOD, WARNING, 0.0), strict=True)]
    badness = sign * value
    if badness <= corners[0][0]:
        return FULL
    for (low, high_points), (high, low_points) in itertools.pairwise(corners):
        if badness <= high:
            return high_points - (high_points - low_points) * (badness - low) / (high - low)
    return 0.0


def score_of(readings: Sequence[KpiReading]) -> Score:
    """Return the score of *readings*; figures without thresholds or weight, or on too few samples, take no part."""
    graded = [reading for reading in readings if reading.kpi.target is not None and reading.kpi.weight > 0]
    earned = {reading.kpi.id: _earned(reading) for reading in graded}
    whole = _weight(graded)
    weight = _weight(reading for reading in graded if earned[reading.kpi.id] is not None)
    reachable = _weight(reading for reading in graded if reading.state is not KpiState.NO_SOURCE)
    parts = sorted((_part(reading, earned[reading.kpi.id], weight) for reading in graded), key=_by_loss)
    known = [part for part in parts if part.points is not None]
    coverage = weight / reachable if reachable else 0.0
    mean = _mean(known)
    value = _limited(mean, known) if coverage >= LEAST_COVERAGE else None
    limit_lost = 0.0 if mean is None or value is None else mean - value
    times = [part.reading.measured_at for part in known if part.reading.measured_at is not None]
    return Score(
        value=value,
        mean=mean,
        limited_by=min(known, key=_points) if limit_lost > 0 else None,
        limit_lost=limit_lost,
        coverage=coverage,
        unsourced=1 - reachable / whole if whole else 0.0,
        parts=parts,
        interval=readings[0].interval if readings else None,
        measured_at=min(times, default=None),
        includes_demo=any(part.reading.includes_demo for part in known),
    )


def score_if(score: Score, values: Mapping[str, float]) -> float | None:
    """Return what *score* would be with other *values* of some figures, by id; None when there is no score.

    Figures without data stay out of it.
    """
    if score.value is None:
        return None
    changed = [_valued(part, values) for part in score.parts if part.points is not None]
    return _limited(_mean(changed), changed)


def gain_of(score: Score, kpi_id: str, value: float) -> float | None:
    """Return how many points the score would gain if one figure had *value*; None when that is not known."""
    after = score_if(score, {kpi_id: value})
    is_part = any(part.kpi.id == kpi_id and part.points is not None for part in score.parts)
    return None if after is None or score.value is None or not is_part else after - score.value


def state_of(value: float | None) -> KpiState:
    """Return what a score of *value* is worth."""
    if value is None:
        return KpiState.NO_DATA
    for bound, state in ((TARGET, KpiState.ON_TARGET), (GOOD, KpiState.GOOD), (WARNING, KpiState.WARNING)):
        if value >= bound:
            return state
    return KpiState.CRITICAL


def _earned(reading: KpiReading) -> float | None:
    return points_of(reading.kpi, reading.value) if reading.samples >= LEAST_SAMPLES else None


def _weight(readings: Iterable[KpiReading]) -> float:
    return math.fsum(reading.kpi.weight for reading in readings)


def _part(reading: KpiReading, points: float | None, weight: float) -> Part:
    share = 0.0 if points is None else reading.kpi.weight / weight
    return Part(reading, points, share, lost=0.0 if points is None else share * (FULL - points))


def _valued(part: Part, values: Mapping[str, float]) -> Part:
    return part if part.kpi.id not in values else replace(part, points=points_of(part.kpi, values[part.kpi.id]))


def _mean(known: Sequence[Part]) -> float | None:
    return math.fsum(part.share * _points(part) for part in known) if known else None


def _limited(mean: float | None, known: Sequence[Part]) -> float | None:
    """Return *mean*, held to 30 above the worst figure; that is no limit unless one is critical."""
    return None if mean is None else min(mean, FULL, min(map(_points, known)) + HEADROOM)


def _points(part: Part) -> float:
    return 0.0 if part.points is None else part.points


def _by_loss(part: Part) -> tuple[bool, float]:
    return part.points is None, -part.lost
