"""What all that is found in a course stands on: its usual shape by hour, and what is left without it.

A course is an array of values by equal steps; not a number (NaN) where nothing was measured. A season is the number of
steps after which the shape repeats: 24 for hours of a day, 168 for those of a week.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_WEEK_DAYS = 7
_LEAST_WEEKS = 3
_CLEARLY_LESS = 0.9


def usual(values: Floats, season: int, *, most: int = 14, least: int = 3) -> Floats:
    """Return what each step had at the same place of earlier seasons: the median of the last *most*.

    Nothing after a step is looked at. Not a number until *least* seasons have passed.
    """
    n = len(values)
    expected = np.full(n, np.nan)
    if n <= least * season:
        return expected
    rows = -(-n // season)
    grid = np.full((rows, season), np.nan)
    grid.ravel()[:n] = values
    padded = np.vstack([np.full((most, season), np.nan), grid])
    windows = sliding_window_view(padded, most, axis=0)[:rows]
    found = np.where(np.isfinite(windows).sum(axis=2) >= least, median(windows), np.nan)
    expected[:] = found.ravel()[:n]
    return expected


def shape(values: Floats, season: int) -> Floats:
    """Return the usual difference of each place of the season from the level around it; zeros when unknown.

    The level is the mean over one season around each step, so that neither a trend nor a change of level bends it.
    """
    n = len(values)
    if season < 2 or n < 2 * season:  # noqa: PLR2004 - one season shows no repetition
        return np.zeros(max(season, 1))
    known = np.isfinite(values)
    before = season // 2
    sums, counts = (
        np.concatenate([[0.0], np.cumsum(np.pad(part, (before, season - before - 1)))])
        for part in (np.where(known, values, 0.0), known.astype(np.float64))
    )
    count = counts[season:] - counts[:-season]
    level = np.where(count > 0, (sums[season:] - sums[:-season]) / np.maximum(count, 1), np.nan)
    rows = -(-n // season)
    grid = np.full(rows * season, np.nan)
    grid[:n] = values - level
    found = median(grid.reshape(rows, season).T)
    return np.where(np.isfinite(found), found, 0.0)


def without_shape(values: Floats, season: int) -> Floats:
    """Return *values* less their usual shape by place of the season; the level stays."""
    found = shape(values, season)
    if season < 2:  # noqa: PLR2004 - nothing repeats
        return values.copy()
    rest: Floats = values - np.resize(found, len(values))
    return rest


def season_of(values: Floats, day: int) -> int:
    """Return after how many steps *values* repeat best: a week if weeks foretold values clearly better than days did.

    Args:
        values: By equal steps; with less than three weeks it is a day.
        day: Steps of a day; 1 when nothing repeats.
    """
    week = _WEEK_DAYS * day
    if day < 2 or len(values) < _LEAST_WEEKS * week:  # noqa: PLR2004 - nothing repeats
        return day
    by_day, by_week = (
        np.abs(values - foretold) for foretold in (usual(values, day), usual(values, week, most=4, least=2))
    )
    both = np.isfinite(by_day) & np.isfinite(by_week)
    if both.sum() < day:
        return day
    return week if by_week[both].mean() < _CLEARLY_LESS * by_day[both].mean() else day


def memory(values: Floats) -> float:
    """Return how much of a step's distance from the mean is left one step later, 0 to 0.95; gaps are passed over."""
    centred = values - np.nanmean(values) if np.isfinite(values).any() else values
    both = np.isfinite(centred[1:]) & np.isfinite(centred[:-1])
    if both.sum() < 3:  # noqa: PLR2004 - fewer pairs say nothing
        return 0.0
    left, right = centred[:-1][both], centred[1:][both]
    scale = float(np.sqrt((left**2).sum() * (right**2).sum()))
    return 0.0 if scale <= 0 else min(0.95, max(0.0, float((left * right).sum()) / scale))


def median(rows: Floats) -> Floats:
    """Return the median of the last axis over what is a number there; not a number where nothing is.

    Many times as fast as ``nanmedian``, which goes through the rows one by one.
    """
    ordered = np.sort(rows, axis=-1)
    count = np.isfinite(ordered).sum(axis=-1)
    low, high = (np.maximum(place, 0)[..., None] for place in ((count - 1) // 2, count // 2))
    ends = [
        np.take_along_axis(ordered, np.minimum(place, rows.shape[-1] - 1), axis=-1)[..., 0] for place in (low, high)
    ]
    found: Floats = np.where(count > 0, (ends[0] + ends[1]) / 2, np.nan)
    return found
