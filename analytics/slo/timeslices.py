"""Budgets of time: events cut into slices, each good or bad as a whole, or by its share. Pure."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics.slo.model import Budgeting, Objective

Numbers = NDArray[np.float64]
Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """What was counted in pieces of time, in any order."""

    starts: Places
    """Seconds since the epoch."""
    good: Numbers
    total: Numbers
    measured_s: Numbers
    """Seconds of each piece in which the source was seen."""

    def only(self, which: NDArray[np.bool_]) -> "Counts":
        """Return the pieces that *which* is true of."""
        return Counts(self.starts[which], self.good[which], self.total[which], self.measured_s[which])


def in_slices(objective: Objective, events: Counts, *, since: int, until: int) -> Counts:
    """Return the slices of time that lie wholly in ``[since, until)``, from events in pieces not longer than a slice.

    A slice with an event counts 1, and is good by its share of good events: wholly or not, or by that share, as
    *objective* says. Silence is neither good nor bad. A slice stands at the last second of its time, because only
    then it is known.

    Args:
        objective: How time is cut and judged; slices start at multiples of their length since the epoch.
        events: The events.
        since: Seconds since the epoch.
        until: Seconds since the epoch.
    """
    length = int(objective.slices.length.total_seconds())
    first = -(-since // length)
    count = max(0, until // length - first)
    places = events.starts // length - first
    events = events.only((places >= 0) & (places < count))
    places = events.starts // length - first
    good, total = summed(places, events.good, count), summed(places, events.total, count)
    known = total > 0
    share = np.divide(good, total, out=np.zeros(count), where=known)
    if objective.budgeting is Budgeting.TIMESLICES:
        share = (known & (share >= float(objective.slices.target))).astype(np.float64)
    ends = (np.arange(first + 1, first + count + 1) * length) - 1
    return Counts(ends, share, known.astype(np.float64), summed(places, events.measured_s, count))


def summed(places: Places, values: Numbers, length: int) -> Numbers:
    """Return the sum of *values* at each of *length* places."""
    return np.bincount(places, values, length).astype(np.float64)
