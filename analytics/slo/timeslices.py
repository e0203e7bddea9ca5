"""Budgets of time: events cut into slices, each good or bad as a whole, or by its share. Pure."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics.slo.model import Budgeting

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Sliced:
    """Good and total slices, each at the place of its slice."""

    good: Numbers
    """1 or 0, or between where slices count by their share."""
    total: Numbers
    """1 where the slice had an event, 0 where not: silence is neither good nor bad."""


def to_slices(good: Numbers, total: Numbers, *, budgeting: Budgeting, target: float) -> Sliced:
    """Return slices with *good* of *total* events each as good and total slices.

    Args:
        good: Good events of each slice.
        total: All events of each slice.
        budgeting: Timeslices, good or not; or ratio timeslices, good by their share.
        target: The share of good events from which a slice is good; no use for ratios.
    """
    known = total > 0
    share = np.divide(good, total, out=np.zeros_like(total), where=known)
    is_good = share if budgeting is Budgeting.RATIO_TIMESLICES else (known & (share >= target)).astype(np.float64)
    return Sliced(is_good, known.astype(np.float64))
