"""How fast something grows, and when it comes to its bound: a robust line through daily values."""

import math
from dataclasses import dataclass

import numpy as np

from analytics.insights.course import Floats, without_shape

LEAST_DAYS = 14
"""Fewer days show no growth that can be told from a good week."""
CERTAINTY = 0.9
"""The true slope lies between its edges with this chance."""
FARTHEST_DAYS = 730.0
"""What comes later than this is not foreseen."""
_Z = 1.6449
"""Of a normal distribution, 90 % in the middle."""


@dataclass(frozen=True, slots=True)
class Growth:
    """How a daily figure grows."""

    level: float
    """Where the line stands at the last day."""
    slope: float
    """Change a day: the median slope of all pairs of days."""
    slope_low: float
    slope_high: float
    days: int
    """On how many days it rests."""
    confidence: float
    """1 less the chance that a figure without a trend looks like this (Mann-Kendall, corrected for memory)."""
    spread: float
    """Standard deviation of the days about the line."""

    def in_days(self, days: float) -> float:
        """Return where the line stands so many days later."""
        return self.level + self.slope * days

    def monthly(self) -> float | None:
        """Return the growth in 30 days, as a share of the present level; None from nothing."""
        return None if self.level <= 0 else self.slope * 30 / self.level


@dataclass(frozen=True, slots=True)
class Reach:
    """In how many days a bound is reached; infinite where it is not foreseen."""

    likely: float
    early: float
    late: float


def growth(values: Floats) -> Growth | None:
    """Return how daily *values* grow; None with fewer than 14 of them.

    The weekly shape is taken out first, when three weeks are there.

    Source:
        Theil and Sen's slope with Sen's confidence interval; Mann and Kendall's test of trend.
    """
    season = 7 if len(values) >= 21 else 1  # noqa: PLR2004 - three weeks of seven days
    rest = without_shape(values, season)
    days = np.flatnonzero(np.isfinite(rest)).astype(np.float64)
    known = rest[np.isfinite(rest)]
    n = known.size
    if n < LEAST_DAYS:
        return None
    left, right = np.triu_indices(n, 1)
    slopes = np.sort((known[right] - known[left]) / (days[right] - days[left]))
    slope = float(np.median(slopes))
    start = float(np.median(known - slope * days))
    rest = known - start - slope * days
    deviation = math.sqrt(n * (n - 1) * (2 * n + 5) / 18 * _inflation(rest))
    signs = float(np.sign(known[right] - known[left]).sum())
    half = _Z * deviation
    low, high = (int(np.clip(round((slopes.size + sign * half) / 2), 0, slopes.size - 1)) for sign in (-1, 1))
    return Growth(
        level=start + slope * (len(values) - 1),
        slope=slope,
        slope_low=float(slopes[low]),
        slope_high=float(slopes[high]),
        days=n,
        confidence=1 - math.erfc(max(abs(signs) - 1, 0.0) / deviation / math.sqrt(2)),
        spread=float(rest.std()),
    )


def reach(found: Growth, bound: float, *, is_rising: bool = True) -> Reach:
    """Return in how many days the line of *found* comes to *bound*, from below (*is_rising*) or from above.

    Early and late are by the edges of the slope. 0 when it is there already.
    """
    sign = 1.0 if is_rising else -1.0
    left = sign * (bound - found.level)
    edges = sorted((sign * found.slope_low, sign * found.slope_high))
    return Reach(likely=_days(left, sign * found.slope), early=_days(left, edges[1]), late=_days(left, edges[0]))


def load_at(load: Floats, use: Floats, bound: float) -> tuple[float, float] | None:
    """Return how much load *use* bears until it comes to *bound*, and how much of it load explains (0 to 1).

    None when the two are not measured together often enough, or use does not grow with load.
    """
    both = np.isfinite(load) & np.isfinite(use)
    x, y = load[both], use[both]
    if x.size < 2 * LEAST_DAYS or float(np.ptp(x)) <= 0 or float(np.ptp(y)) <= 0:
        return None
    slope, start = np.polyfit(x, y, 1)
    explained = float(np.corrcoef(x, y)[0, 1]) ** 2
    if slope <= 0:
        return None
    return max(0.0, (bound - float(start)) / float(slope)), explained


def _days(left: float, slope: float) -> float:
    if left <= 0:
        return 0.0
    days = left / slope if slope > 0 else math.inf
    return days if days <= FARTHEST_DAYS else math.inf


def _inflation(rest: Floats) -> float:
    """Return by how much memory from day to day widens the test."""
    if rest.size < 3 or float(rest.std()) <= 0:  # noqa: PLR2004 - no pair of pairs
        return 1.0
    memory = float(np.corrcoef(rest[:-1], rest[1:])[0, 1])
    memory = min(0.9, max(0.0, memory)) if math.isfinite(memory) else 0.0
    return (1 + memory) / (1 - memory)
