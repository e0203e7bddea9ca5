"""Levels that changed and stayed: kernel change points in a course, each with how large and how sure it is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from analytics.insights.course import Floats, memory, season_of, without_shape

LEAST_STEPS = 6
"""A level lasts at least so many steps."""
LEAST_EFFECT = 1.0
"""So many standard deviations, at least, a level has to move."""
LEAST_RELATIVE = 0.03
"""And so much of the level before, at least: what is exact may be significant and still not matter."""
LEAST_CONFIDENCE = 0.95
_MOST_STEPS = 1000
_REACH = 12
_CLEARLY = 6.0
"""By so much of Bayes' criterion (twice the logarithm of the odds) a line has to be better: strong evidence."""


@dataclass(frozen=True, slots=True)
class Shift:
    """A change of level."""

    at: int
    """The first step of the new level."""
    until: int | None
    """The first step of the level after it; None while it lasts."""
    before: float
    """Median of the level before."""
    after: float
    effect: float
    """The change in standard deviations within a level; positive when it rose."""
    confidence: float
    """1 less the chance that two equal levels differ so much somewhere in the course; see :func:`shifts`."""


def shifts(
    values: Floats, *, season: int = 24, least_effect: float = LEAST_EFFECT, least_confidence: float = LEAST_CONFIDENCE
) -> list[Shift]:
    """Return where the level of *values* changed, oldest first.

    The shape of the day, or of the week, is taken out first. Change points are those of the penalised kernel
    segmentation (RBF kernel, penalty 2 ln n), moved to the best place near them. Each is then tested by Welch's t of
    the levels on its two sides, with the number of steps corrected for their memory, times the number of places it
    could have been at. A course that a straight line explains clearly better than steps has none.

    Args:
        values: By equal steps, oldest first, at most 1000; not a number where nothing was measured.
        season: Steps of a day; 1 when nothing repeats.
        least_effect: The smallest change worth telling, in standard deviations.
        least_confidence: The smallest confidence worth telling.

    Source:
        Celisse, Marot, Pierre-Jean, Rigaill, *New efficient algorithms for multiple change-point detection with
        reproducing kernels*, 2018; the segmentation is that of ``ruptures``.
    """
    values = values[-_MOST_STEPS:]
    rest = without_shape(values, season_of(values, season))
    places = np.flatnonzero(np.isfinite(rest))
    if places.size < 4 * LEAST_STEPS:
        return []
    known = rest[places]
    if float(np.ptp(known)) <= 0:
        return []
    edges = _settled([0, *_change_points(known), known.size], known)
    levels = [known[start:end] for start, end in pairwise(edges)]
    if len(levels) == 1 or _is_line(known, levels):
        return []
    left = memory(np.concatenate([level - level.mean() for level in levels]))
    found = []
    for number, (before, after) in enumerate(pairwise(levels), start=1):
        end = edges[number + 1]
        until = None if end == known.size else int(places[end])
        shift = _shift(before, after, left, known.size, at=int(places[edges[number]]), until=until)
        base = abs(float(np.nanmedian(values[: shift.at])))
        is_worth = abs(shift.effect) >= least_effect and abs(shift.after - shift.before) >= LEAST_RELATIVE * base
        if is_worth and shift.confidence >= least_confidence:
            found.append(shift)
    return found


def _change_points(known: Floats) -> list[int]:
    # It takes seconds to import, and only the scheduler and a benchmark need it.
    from ruptures import KernelCPD  # noqa: PLC0415

    penalty = 2 * math.log(known.size)
    found: Sequence[int] = KernelCPD(kernel="rbf", min_size=LEAST_STEPS).fit(known[:, None]).predict(pen=penalty)
    return [int(place) for place in found[:-1]]


def _settled(edges: list[int], known: Floats) -> list[int]:
    """Return *edges* with each at most :data:`_REACH` steps away, where it parts the levels beside it best."""
    found = list(edges)
    for number in range(1, len(edges) - 1):
        start, end = found[number - 1], edges[number + 1]
        first = max(start + LEAST_STEPS, edges[number] - _REACH)
        last = min(end - LEAST_STEPS, edges[number] + _REACH)
        part = known[start:end]
        sums = np.cumsum(part)
        left = np.arange(first - start, last - start + 1)
        apart = (sums[left - 1] / left - sums[-1] / part.size) ** 2 * left / (part.size - left)
        found[number] = first + int(np.argmax(apart))
    return found


def _shift(before: Floats, after: Floats, left: float, steps: int, *, at: int, until: int | None) -> Shift:
    # So many independent values are worth as much as one that has memory.
    worth = (1 - left) / (1 + left)
    first, second = float(np.median(before)), float(np.median(after))
    spread = math.sqrt(
        (float(before.var()) * before.size + float(after.var()) * after.size) / (before.size + after.size)
    )
    floor = 1e-9 * max(abs(first), abs(second), 1e-300)
    error = math.sqrt(
        float(before.var()) / max(before.size * worth, 1) + float(after.var()) / max(after.size * worth, 1)
    )
    t = abs(float(after.mean() - before.mean())) / max(error, floor)
    chance = min(1.0, steps * math.erfc(t / math.sqrt(2)))
    return Shift(at, until, first, second, (second - first) / max(spread, floor), 1 - chance)


def _is_line(known: Floats, levels: Sequence[NDArray[np.float64]]) -> bool:
    """Tell whether a straight line describes *known* clearly better than *levels*, by Bayes' information criterion."""
    n = known.size
    steps = np.arange(n, dtype=np.float64)
    slope, start = np.polyfit(steps, known, 1)
    by_line = float(((known - (start + slope * steps)) ** 2).sum())
    by_levels = float(sum(((level - level.mean()) ** 2).sum() for level in levels))
    tiny = 1e-12 * max(float((known**2).sum()), 1e-300)
    line, stairs = (n * math.log(max(error, tiny) / n) for error in (by_line, by_levels))
    return line + 2 * math.log(n) + _CLEARLY < stairs + 2 * len(levels) * math.log(n)
