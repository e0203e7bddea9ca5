"""What was counted of one objective, step by step: what budgets, alerts, back-tests and forecasts are made of."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from analytics.core.clock import Interval, floor_time
from analytics.core.errors import InputError
from analytics.slo import composite
from analytics.slo.math import coverage
from analytics.slo.model import BUCKET, WHOLE, CompositeEvents, Objective

Numbers = NDArray[np.float64]
Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """Good and total of consecutive steps of an interval, corrections taken out, in the unit of the budget.

    The unit is events, or slices of time where the objective budgets time; a slice counts in the step in which it
    ends. A step without a number holds zeros.

    Steps start at multiples of their length since the epoch. The first and the last hold only what is in the
    interval, so that the sum of all is exactly that of the interval.
    """

    objective: Objective
    interval: Interval
    """Its ends are bounds of buckets."""
    good: Numbers
    total: Numbers
    measured_s: Numbers
    """Seconds of each step in which the source was seen; of a composite the mean of its members."""
    excluded_s: Numbers
    """Seconds of each step that a correction takes out; they count neither as measured nor as elapsed."""
    step: timedelta = BUCKET
    group_key: str = WHOLE
    demo_total: float = 0.0
    """How much of the total is demo history; of a composite the sum of its members."""
    parts: tuple["History", ...] = field(default=())
    """Of a composite: the histories of those of its members that there are; its own good and total are then empty."""

    def __len__(self) -> int:
        return len(self.measured_s)

    @property
    def starts(self) -> list[datetime]:
        """Return when each step starts, oldest first."""
        first = floor_time(self.interval.since, self.step)
        return [max(self.interval.since, first + place * self.step) for place in range(len(self))]

    @property
    def ends(self) -> list[datetime]:
        """Return when each step ends, oldest first."""
        first = floor_time(self.interval.since, self.step)
        return [min(self.interval.until, first + (place + 1) * self.step) for place in range(len(self))]

    def totals(self) -> tuple[float, float, float]:
        """Return good, total and seconds measured of the whole interval; a composite's members taken together."""
        good, total = self.between(np.array([0]), np.array([len(self)]))
        return float(good[0]), float(total[0]), float(np.sum(self.measured_s))

    def trailing(self, window: timedelta) -> tuple[Numbers, Numbers]:
        """Return good and total of the *window* that ends with each step; less where the history is shorter.

        ``trailing(history.step)`` is what each step counts for itself, also of a composite.

        Raises:
            InputError: If *window* is not a whole number of steps, at least one.
        """
        if window < self.step or window % self.step:
            raise InputError(f"A window of {window} is not a whole number of steps of {self.step}.")
        ends = np.arange(1, len(self) + 1)
        return self.between(np.maximum(0, ends - window // self.step), ends)

    def cumulative(self) -> tuple[Numbers, Numbers]:
        """Return good and total from the start of the interval to the end of each step."""
        ends = np.arange(1, len(self) + 1)
        return self.between(np.zeros_like(ends), ends)

    def between(self, first: Places, last: Places) -> tuple[Numbers, Numbers]:
        """Return good and total of the steps ``[first, last)`` for each pair of the two arrays.

        Where nothing was bad, good equals total; where nothing happened, both are 0.
        """
        events = self.objective.indicator
        if isinstance(events, CompositeEvents):
            members = [composite.Part(part.objective, *part.between(first, last)) for part in self.parts]
            return composite.combine(events, members, budget_ratio=self.objective.budget_ratio, length=len(first))
        # Sums of bad ones instead of good ones: sums of zeros differ by exactly 0, whatever was summed before.
        bad, total = _running(self.total - self.good), _running(self.total)
        whole = total[last] - total[first]
        return np.maximum(0.0, whole - (bad[last] - bad[first])), whole

    def coverage(self, *, lag: timedelta = timedelta(0)) -> float:
        """Return the share of the interval that was measured, 0 to 1; what corrections take out is not asked for.

        Args:
            lag: How much of the end of the interval may not have been read yet; 0 when no time is left.
        """
        return coverage(
            float(np.sum(self.measured_s)),
            self.interval.length - timedelta(seconds=float(np.sum(self.excluded_s))) - lag,
        )


def _running(values: Numbers) -> Numbers:
    return np.concatenate(([0.0], np.cumsum(values)))
