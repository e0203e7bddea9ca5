"""Values unlike all before them: a novelty envelope over several views of a course.

Every step is seen as its value, as mean and spread of the last 5 and 20 steps, and as the change from the step before;
all of these again for what is left when the usual value of the hour is taken out. For each view the envelope is the
highest and the lowest seen before; the score of a step is how far it lies outside, in standard deviations of that view.
Nothing after a step is looked at, so that what is found in history is what would have been found at the time. What was
found unlike is not learnt from while it cools down, so that one accident does not hide the next.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics.insights.course import Floats, usual

VIEWS = (
    *("the value", "the mean of 5 steps", "the spread of 5 steps", "the mean of 20 steps", "the spread of 20 steps"),
    "the change from the step before",
    "the distance from what is usual at this hour",
    *(f"{name}, against what is usual at this hour" for name in ("the mean of 5 steps", "the spread of 5 steps")),
    *(f"{name}, against what is usual at this hour" for name in ("the mean of 20 steps", "the spread of 20 steps")),
    "the change, against what is usual at this hour",
)
THRESHOLD = 1.25
"""So many standard deviations outside of the envelope are an anomaly."""
LEAST_STEPS = 48
"""Views with fewer values before a step are not judged."""
COOLDOWN = 0.02
"""Share of the course that is not learnt from after an anomaly began."""
FLOOR = 0.02
"""The smallest standard deviation, as a share of the mean size of the values: constant series stay silent."""
LEAST_CONFIDENCE = 0.5
"""What is more likely an accident than not is no anomaly."""

_SHORT, _LONG = 5, 20
_FULL_ENOUGH = 0.8
_WEEK_DAYS = 7
_MOST_PASSES = 12
_TAIL = 0.1
_TINY = 1e-12
_LEAST_OF_TAIL = 10
_RESIDUAL = 6
"""Place of the first view that is relative to the usual value."""
_REACH = np.array([1, _SHORT, _SHORT, _LONG, _LONG, 2] * 2)
"""So many steps a value takes part in each view."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is thought of each step of a course."""

    values: Floats
    score: Floats
    """Standard deviations outside of the envelope, 0 inside and where nothing can be said."""
    view: NDArray[np.intp]
    """Which of :data:`VIEWS` lies out furthest."""
    is_above: NDArray[np.bool_]
    """Whether it lies above its envelope, else below."""
    expected: Floats
    """What is usual at that hour; not a number while that is not known."""
    low: Floats
    """From where a single value would be an anomaly, downwards; not a number while that is not known."""
    high: Floats
    """The same upwards."""
    confidence: Floats
    """Chance that the whole course has no such step by accident, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Anomaly:
    """A stretch of steps unlike all before."""

    first: int
    last: int
    peak: int
    """The step whose value is furthest from the usual, of those that make it stand out."""
    score: float
    """Standard deviations outside of the envelope, at most."""
    view: str
    """As what it is unlike; one of :data:`VIEWS`."""
    is_above: bool
    """Whether that is higher than all before, else lower."""
    confidence: float


@dataclass(frozen=True, slots=True)
class _Envelope:
    low: Floats
    high: Floats
    mean: Floats
    scale: Floats
    count: Floats


def judge(values: Floats, *, season: int = 24, threshold: float = THRESHOLD, least_sigma: float = 0.0) -> Judgement:
    """Return what is thought of each step of *values*.

    Args:
        values: By equal steps, oldest first; not a number where nothing was measured or too little.
        season: Steps after which the shape repeats.
        threshold: From which score on a step is not learnt from.
        least_sigma: The smallest standard deviation, in the unit of the values: what is smaller does not matter.
    """
    expected = _expected(values, season)
    views = np.vstack([_views(values), _views(values - expected)])
    floor = np.fmax(FLOOR * _before(_running_mean(np.abs(values)[None])), max(least_sigma, _TINY))
    cooldown = cooldown_of(len(values))
    unlearnt = np.zeros(views.shape, dtype=bool)
    score, envelope = _scored(views, unlearnt, floor)
    best = score.max(axis=0)
    after = 0
    for _ in range(_MOST_PASSES):
        found = np.flatnonzero(best[after:] > threshold)
        if found.size == 0:
            break
        first = after + int(found[0])
        for view, reach in enumerate(_REACH):
            unlearnt[view, first : first + cooldown + reach - 1] = True
        after = first + cooldown
        score, envelope = _scored(views, unlearnt, floor)
        best = score.max(axis=0)
    view = score.argmax(axis=0)
    steps = np.arange(len(values))
    return Judgement(
        values=values,
        score=best,
        view=view,
        is_above=views[view, steps] > envelope.high[view, steps],
        expected=expected,
        low=_edge(envelope.low - threshold * envelope.scale, expected),
        high=_edge(envelope.high + threshold * envelope.scale, expected),
        confidence=_confidence(views, envelope, unlearnt, view),
    )


def anomalies(
    judged: Judgement, *, threshold: float = THRESHOLD, least_confidence: float = LEAST_CONFIDENCE
) -> list[Anomaly]:
    """Return the stretches in which *judged* lies above *threshold*, oldest first; those close together are one."""
    gap = _SHORT + 1
    stretches: list[list[int]] = []
    for place in np.flatnonzero(judged.score > threshold).tolist():
        if stretches and place - stretches[-1][-1] <= gap:
            stretches[-1].append(place)
        else:
            stretches.append([place])
    found = [_anomaly(judged, places) for places in stretches]
    return [one for one in found if one.confidence >= least_confidence]


def cooldown_of(steps: int) -> int:
    """Return how many steps an anomaly cools down in a course of *steps*."""
    return max(1, round(COOLDOWN * steps))


def _anomaly(judged: Judgement, places: Sequence[int]) -> Anomaly:
    top = max(places, key=lambda place: float(judged.score[place]))
    view = int(judged.view[top])
    reached = slice(max(0, top - int(_REACH[view]) + 1), top + 1)
    usual = np.where(np.isfinite(judged.expected), judged.expected, (judged.low + judged.high) / 2)
    away = np.abs(judged.values[reached] - usual[reached])
    peak = reached.start + int(np.nanargmax(away)) if np.isfinite(away).any() else top
    return Anomaly(
        first=min(places[0], peak),
        # A view of 20 steps stands out for as long as one value is among them: only what it must take counts.
        last=max(peak, *(place - int(_REACH[judged.view[place]]) + 1 for place in places)),
        peak=peak,
        score=float(judged.score[top]),
        view=VIEWS[view],
        is_above=bool(judged.is_above[top]),
        confidence=float(judged.confidence[top]),
    )


def _expected(values: Floats, season: int) -> Floats:
    """Return what is usual at each step: of the day or of the week, whichever was closer up to then."""
    daily = usual(values, season)
    if len(values) <= 2 * _WEEK_DAYS * season:
        return daily
    weekly = usual(values, _WEEK_DAYS * season, most=4, least=2)
    both = np.isfinite(daily) & np.isfinite(weekly) & np.isfinite(values)
    by_day, by_week = (np.cumsum(np.where(both, np.abs(values - one), 0.0)) for one in (daily, weekly))
    is_weekly = np.zeros(len(values), dtype=bool)
    is_weekly[1:] = ((np.cumsum(both) >= season) & (by_week < by_day))[:-1]
    return np.where(is_weekly & np.isfinite(weekly), weekly, daily)


def _views(values: Floats) -> Floats:
    known = np.isfinite(values)
    plain = np.where(known, values, 0.0)
    # Sums of squares lose digits far from zero.
    offset = float(plain[known].mean()) if known.any() else 0.0
    centred = np.where(known, values - offset, 0.0)
    rows = [values]
    for length in (_SHORT, _LONG):
        count, total, square = (_window(part, length) for part in (known.astype(np.float64), centred, centred**2))
        usable = known & (count >= length * _FULL_ENOUGH)
        divisor = np.where(usable, count, 1.0)
        mean = total / divisor
        spread = np.sqrt(np.maximum(square / divisor - mean**2, 0.0))
        rows += [np.where(usable, mean + offset, np.nan), np.where(usable, spread, np.nan)]
    change = np.full(len(values), np.nan)
    change[1:] = values[1:] - values[:-1]
    return np.vstack([*rows, change])


def _window(values: Floats, length: int) -> Floats:
    """Return the sum of the last *length* values at each step; 0 until there are so many."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    found = np.zeros(len(values))
    found[length - 1 :] = sums[length:] - sums[:-length]
    return found


def _scored(views: Floats, unlearnt: NDArray[np.bool_], floor: Floats) -> tuple[Floats, _Envelope]:
    learnt = np.where(unlearnt, np.nan, views)
    known = np.isfinite(learnt)
    count = _before(np.cumsum(known, axis=1).astype(np.float64), 0.0)
    mean = _before(_running_mean(learnt))
    around = np.where(known, learnt - np.where(np.isfinite(mean), mean, learnt), 0.0)
    spread = np.sqrt(_before(np.cumsum(around**2, axis=1), 0.0) / np.maximum(count, 1.0))
    scale = np.maximum(spread, floor)
    low, high = _before(np.fmin.accumulate(learnt, axis=1)), _before(np.fmax.accumulate(learnt, axis=1))
    outside = np.fmax(views - high, low - views)
    judged = np.isfinite(outside) & (count >= LEAST_STEPS)
    score = np.where(judged, np.maximum(np.where(judged, outside, 0.0) / scale, 0.0), 0.0)
    is_sure = count >= LEAST_STEPS
    low, high = np.where(is_sure, low, np.nan), np.where(is_sure, high, np.nan)
    return score, _Envelope(low, high, mean, scale, count)


def _running_mean(rows: Floats) -> Floats:
    known = np.isfinite(rows)
    count = np.cumsum(known, axis=1)
    total = np.cumsum(np.where(known, rows, 0.0), axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _before(rows: Floats, first: float = np.nan) -> Floats:
    """Return what stood one step earlier."""
    found = np.full(rows.shape, first)
    found[:, 1:] = rows[:, :-1]
    return found


def _edge(edges: Floats, expected: Floats) -> Floats:
    """Return the edge against the usual value where it is known, else that of the values themselves."""
    relative = edges[_RESIDUAL] + expected
    found: Floats = np.where(np.isfinite(relative), relative, edges[0])
    return found


def _confidence(views: Floats, envelope: _Envelope, unlearnt: NDArray[np.bool_], view: NDArray[np.intp]) -> Floats:
    """Return the chance that no step of the course lies out so far by accident.

    The distances of all steps from their mean, in standard deviations, have an exponential tail beyond their 90th
    percentile; it says how many of all steps and views to expect so far out, and Poisson how likely none is.
    """
    steps = np.arange(views.shape[1])
    distance = np.abs(views - envelope.mean) / envelope.scale
    usual_only = np.where(unlearnt | (envelope.count < LEAST_STEPS), np.nan, distance)
    tails = np.array([_tail(row) for row in usual_only])
    start, mean_excess = tails[view].T
    beyond = np.maximum(distance[view, steps] - start, 0.0) / mean_excess
    often = _TAIL * np.exp(-np.where(np.isfinite(beyond), beyond, 0.0)) * views.size
    found: Floats = np.exp(-often)
    return found


def _tail(distance: Floats) -> tuple[float, float]:
    """Return where the tail of *distance* begins and the mean excess over it."""
    known = np.sort(distance[np.isfinite(distance)])
    if known.size < _LEAST_OF_TAIL:
        return math.inf, 1.0
    start = float(np.quantile(known, 1 - _TAIL))
    excess = known[known > start] - start
    return start, max(float(excess.mean()) if excess.size else 0.0, 0.1)
