"""Thresholds that fit what was measured, and how often thresholds would have alarmed."""

from dataclasses import dataclass

import numpy as np

from analytics.insights.course import Floats, season_of, shape

GOOD_SHARE = 0.95
WARNING_SHARE = 0.995
"""The warning threshold leaves this share of what deviates from the usual value inside."""
LEAST_STEPS = 168
"""A week of hours; from less no threshold is advised."""
NOISY_PER_WEEK = 7.0
"""More alarms than this a week are noise: more than one a day."""


@dataclass(frozen=True, slots=True)
class Advice:
    """Thresholds that would have fitted the course."""

    target: float
    """The usual value at the worst hour."""
    good: float
    """Beyond the usual value at the worst hour by what 95 % of all deviations stay within."""
    warning: float
    """The same with 99.5 %."""
    alarms_per_week: float
    """How many times a week the course would have gone beyond ``warning``."""
    steps: int
    """On how many values it rests."""


def advise(values: Floats, *, is_lower_better: bool, season: int = 24, most: float | None = None) -> Advice | None:
    """Return thresholds for *values*; None with less than a week of hours, or when they hardly vary.

    Args:
        values: By equal steps, oldest first.
        is_lower_better: Whether small values are good; else large ones are.
        season: Steps of a day; 1 when nothing repeats.
        most: The largest value there can be, such as 1 for a share.
    """
    known = values[np.isfinite(values)]
    if known.size < LEAST_STEPS:
        return None
    sign = 1.0 if is_lower_better else -1.0
    turned = sign * values
    repeats = season_of(turned, season)
    places = shape(turned, repeats)
    rest = turned - np.resize(places, len(turned))
    rest = rest[np.isfinite(rest)]
    level = float(np.median(rest))
    worst = level + float(places.max())
    good, warning = (worst + float(np.quantile(rest - level, share)) for share in (GOOD_SHARE, WARNING_SHARE))
    low = 0.0 if float(known.min()) >= 0 else -np.inf
    high = np.inf if most is None else most
    away = most if most is not None and not is_lower_better else 0.0
    target, good, warning = (_round(float(np.clip(sign * bound, low, high)), away) for bound in (worst, good, warning))
    if not target < good < warning and not target > good > warning:
        return None
    alarms = alarms_per_week(values, warning, is_lower_better=is_lower_better, steps_per_week=7 * season)
    return Advice(target, good, warning, alarms, int(known.size))


def alarms_per_week(values: Floats, bound: float, *, is_lower_better: bool, steps_per_week: int) -> float:
    """Return how many times a week *values* went beyond *bound*; neighbouring steps, and gaps between, are one time."""
    known = values[np.isfinite(values)]
    if known.size == 0:
        return 0.0
    is_beyond = known > bound if is_lower_better else known < bound
    starts = int(is_beyond[0]) + int((is_beyond[1:] & ~is_beyond[:-1]).sum())
    return starts * steps_per_week / known.size


def _round(value: float, away: float) -> float:
    """Return *value* to three digits of its distance from *away*, as people write thresholds."""
    return round(away + float(f"{value - away:.3g}"), 12)
