"""Which courses change together: rank correlation of the changes that are left when the daily shape is taken out.

Levels of two courses that both grow are always alike; their changes from step to step are not. Ranks keep one accident
that both share from looking like a rule.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from analytics.insights.course import Floats, season_of, without_shape

LEAST_STEPS = 48
"""Pairs with fewer changes in common are not compared."""
LEAST_COEFFICIENT = 0.3
"""Weaker ones may be certain, and still explain less than a tenth."""
MOST_LAG = 6


@dataclass(frozen=True, slots=True)
class Correlation:
    """Two courses whose changes go together."""

    first: str
    second: str
    coefficient: float
    """Spearman's rank correlation of the changes, -1 to 1."""
    lag: int
    """So many steps the second comes after the first; negative: before it."""
    p_value: float
    """Two-sided, with the number of steps corrected for their memory, times all pairs and lags tried; at most 1."""
    steps: int
    """On how many pairs of changes it rests."""


def correlations(
    courses: Mapping[str, Floats], *, season: int = 24, most_lag: int = MOST_LAG, alpha: float = 0.01
) -> list[Correlation]:
    """Return the pairs whose changes go together, strongest first; each pair at its best lag.

    Args:
        courses: Values by equal steps over the same time, by name; not a number where nothing was measured.
        season: Steps of a day; 1 when nothing repeats.
        most_lag: How many steps one may come after the other.
        alpha: The chance to accept of one wrong pair among all (Bonferroni over pairs and lags).

    Source:
        Fisher's z of the coefficient; the number of independent steps is Bartlett's, from the first autocorrelation of
        both courses.
    """
    changes = {name: _changes(values, season) for name, values in courses.items()}
    usable = {name: one for name, one in changes.items() if np.isfinite(one).sum() >= LEAST_STEPS and np.nanstd(one)}
    tried = math.comb(len(usable), 2) * (2 * most_lag + 1)
    found = []
    for first, second in combinations(usable, 2):
        best = _best(usable[first], usable[second], most_lag)
        if best is None:
            continue
        coefficient, lag, steps = best
        worth = steps * _independent(usable[first], usable[second])
        p_value = min(1.0, tried * _chance(coefficient, worth))
        if abs(coefficient) >= LEAST_COEFFICIENT and p_value <= alpha:
            found.append(Correlation(first, second, coefficient, lag, p_value, steps))
    return sorted(found, key=lambda one: -abs(one.coefficient))


def _changes(values: Floats, season: int) -> Floats:
    """Return the ranks of the changes from step to step, from -1 to 1 about the middle."""
    changes = np.diff(without_shape(values, season_of(values, season)))
    # What is left of whole numbers less a shape differs in the last digits only.
    scale = float(np.nanmax(np.abs(changes))) if np.isfinite(changes).any() else 0.0
    known = np.flatnonzero(np.isfinite(changes))
    if scale <= 0 or known.size == 0:
        return np.full(len(changes), np.nan)
    _, place, count = np.unique(np.round(changes[known] / scale, 9), return_inverse=True, return_counts=True)
    middle = np.cumsum(count) - (count + 1) / 2
    ranks = np.full(len(changes), np.nan)
    ranks[known] = 2 * middle[place] / max(known.size - 1, 1) - 1
    return ranks


def _best(first: Floats, second: Floats, most_lag: int) -> tuple[float, int, int] | None:
    best: tuple[float, int, int] | None = None
    for lag in sorted(range(-most_lag, most_lag + 1), key=abs):
        left, right = (first[: len(first) - lag], second[lag:]) if lag >= 0 else (first[-lag:], second[:lag])
        both = np.isfinite(left) & np.isfinite(right)
        steps = int(both.sum())
        if steps < LEAST_STEPS:
            continue
        coefficient = _pearson(left[both], right[both])
        if best is None or abs(coefficient) > abs(best[0]):
            best = (coefficient, lag, steps)
    return best


def _pearson(left: Floats, right: Floats) -> float:
    left, right = left - left.mean(), right - right.mean()
    scale = math.sqrt(float((left**2).sum()) * float((right**2).sum()))
    return max(-1.0, min(1.0, float((left * right).sum()) / scale)) if scale > 0 else 0.0


def _independent(first: Floats, second: Floats) -> float:
    """Return which share of the steps counts as independent, at most 1."""
    left, right = (_pearson(*_pairs(one)) for one in (first, second))
    product = left * right
    return min(1.0, (1 - product) / (1 + product))


def _pairs(values: Floats) -> tuple[Floats, Floats]:
    both = np.isfinite(values[1:]) & np.isfinite(values[:-1])
    return values[:-1][both], values[1:][both]


def _chance(coefficient: float, worth: float) -> float:
    if abs(coefficient) >= 1:
        return 0.0
    return math.erfc(math.atanh(abs(coefficient)) * math.sqrt(max(worth - 3, 0.0)) / math.sqrt(2))
