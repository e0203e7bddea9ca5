"""How a course goes on: its usual shape on a level that follows the latest values, with what earlier forecasts missed.

The simplest model that was no worse than the large ones on hourly operational series: the median shape of a day (or a
week) plus an exponentially weighted level. How fast the level follows, and whether the day or the week is its shape, is
what would have been best before; the same trial says how wide the interval has to be.
"""

from dataclasses import dataclass

import numpy as np

from analytics.insights.course import Floats, shape

COVERAGE = 0.9
"""The interval would have held this share of what came, in the trials."""
_SPEEDS = np.array([0.02, 0.05, 0.1, 0.2, 0.35, 0.6])
"""How much of a new value the level takes on in one step."""
_LEAST_BEFORE = 2
"""So many seasons have to lie before the first trial."""
_LEAST_KNOWN = 0.3
"""Share of the steps that has to have a value."""
_MOST_TRIALS = 40
_WEEK_DAYS = 7
_LEAST_WEEKS = 3
_ANCHORS = 8
_FORGOTTEN = 1e-6
"""Weights below it are left out of the level."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """How a course goes on."""

    middle: Floats
    """The value expected at each step ahead."""
    low: Floats
    """Lower edge of where :data:`COVERAGE` of the trials ended."""
    high: Floats
    speed: float
    """How much of a new value the level takes on in one step."""
    season: int
    """Steps of the shape that was best; 1 for none."""
    trials: int
    """On how many earlier forecasts the interval rests; neighbours share most of what came."""
    error: float
    """Mean distance from what came in the trials, in the unit of the course."""
    naive_error: float
    """The same for repeating the last season; a forecast much worse than that is none."""


@dataclass(frozen=True, slots=True)
class _Trial:
    season: int
    speed: float
    level: float
    shape: Floats
    errors: Floats
    """By origin and step ahead: what came less what was said."""
    error: float


def forecast(values: Floats, *, season: int = 24, ahead: int = 24) -> Forecast | None:
    """Return how *values* go on for *ahead* steps; None when too little is known.

    That is less than two seasons before the first trial, or a value at less than 30 % of the steps.

    Args:
        values: By equal steps, oldest first; not a number where nothing was measured.
        season: Steps of a day; a week is tried too when three are there.
        ahead: How many steps to look ahead, at least 1.
    """
    seasons = [season]
    if len(values) >= _LEAST_WEEKS * _WEEK_DAYS * season:
        seasons.append(_WEEK_DAYS * season)
    trials = [trial for one in seasons if (trial := _tried(values, one, season, ahead)) is not None]
    if not trials:
        return None
    best = min(trials, key=lambda trial: trial.error)
    places = (len(values) + np.arange(ahead)) % best.season
    middle = best.level + best.shape[places]
    low, high = _edges(best.errors)
    return Forecast(
        middle=middle,
        low=middle + low,
        high=middle + high,
        speed=best.speed,
        season=best.season,
        trials=int(np.isfinite(best.errors).any(axis=1).sum()),
        error=best.error,
        naive_error=_naive_error(values, season, ahead),
    )


def _tried(values: Floats, season: int, day: int, ahead: int) -> _Trial | None:
    n = len(values)
    last = n - ahead - 1
    # Trials over a whole week, so that working days and weekends count as they come.
    first = min(max(_LEAST_BEFORE * season, last - _WEEK_DAYS * day), last)
    if first < _LEAST_BEFORE * season or np.isfinite(values).sum() < n * _LEAST_KNOWN:
        return None
    # The shape the trials use knows nothing of what they are tried on; the forecast itself uses all.
    rest = values - np.resize(shape(values[: first + 1], season), n)
    levels = _levels(rest)
    origins = np.unique(np.linspace(first, last, _MOST_TRIALS).astype(np.intp))
    came = rest[origins[:, None] + 1 + np.arange(ahead)[None, :]]
    distances = [np.abs(came - levels[speed, origins][:, None]) for speed in range(len(_SPEEDS))]
    means = [float(one[np.isfinite(one)].mean()) if np.isfinite(one).any() else np.inf for one in distances]
    best = int(np.argmin(means))
    if not np.isfinite(means[best]):
        return None
    whole = shape(values, season)
    level = _levels(values - np.resize(whole, n))[best, -1]
    return _Trial(
        season=season,
        speed=float(_SPEEDS[best]),
        level=float(level),
        shape=whole,
        errors=came - levels[best, origins][:, None],
        error=means[best],
    )


def _levels(rest: Floats) -> Floats:
    """Return the level after each step, for every speed; a gap leaves it where it is."""
    is_known = np.isfinite(rest)
    known = rest[is_known]
    found = np.full((len(_SPEEDS), len(rest)), np.nan)
    if known.size == 0:
        return found
    steps = np.arange(known.size)
    first = float(np.median(known[: max(1, known.size // 10)]))
    # Which value was the last one at each step; before the first there is none.
    latest = np.maximum(np.cumsum(is_known) - 1, 0)
    for row, speed in enumerate(_SPEEDS.tolist()):
        kept = (1 - speed) ** steps
        counts = kept > _FORGOTTEN
        followed = np.convolve(known, speed * kept[counts])[: known.size] + (1 - speed) * kept * first
        found[row] = followed[latest]
    return found


def _edges(errors: Floats) -> tuple[Floats, Floats]:
    """Return how far below and above the middle the interval reaches, at each step ahead.

    It is taken at a few steps, from all trials near them, and goes straight between: one step has few trials.
    """
    ahead = errors.shape[1]
    reach = max(1, ahead // _ANCHORS)
    anchors, edges = [], []
    for step in np.unique(np.linspace(0, ahead - 1, _ANCHORS).astype(int)).tolist():
        near = errors[:, max(0, step - reach) : step + reach + 1]
        known = near[np.isfinite(near)]
        if known.size:
            anchors.append(step)
            edges.append(np.quantile(known, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2]))
    low, high = (np.interp(np.arange(ahead), anchors, [edge[side] for edge in edges]) for side in (0, 1))
    return np.minimum(low, 0.0), np.maximum(high, 0.0)


def _naive_error(values: Floats, season: int, ahead: int) -> float:
    """Return the mean distance of values from those so many whole seasons earlier that they were known in time."""
    back = -(-ahead // season) * season
    distance = np.abs(values[back:] - values[:-back])
    known = distance[np.isfinite(distance)]
    return float(known.mean()) if known.size else float("nan")
