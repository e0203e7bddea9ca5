"""What was counted of one objective, step by step: what budgets, alerts, back-tests and forecasts are made of."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np

from analytics.core.clock import Interval, floor_time
from analytics.core.errors import InputError
from analytics.slo import composite
from analytics.slo.math import coverage
from analytics.slo.model import BUCKET, WHOLE, Budgeting, CompositeEvents, Objective
from analytics.slo.timeslices import Counts, Numbers, Places, in_slices, summed

_HOUR = timedelta(hours=1)


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

    def place(self, moment: datetime) -> int:
        """Return the place of the first step that begins at or after *moment*; the length when none does."""
        if moment <= self.interval.since:
            return 0
        return min(len(self), -((floor_time(self.interval.since, self.step) - moment) // self.step))

    def hours(self) -> tuple[list[datetime], Places]:
        """Return when each hour of the clock that the interval touches begins, cut to it, and at which place.

        Both have one more at their end: the end of the interval, and the length.
        """
        first = floor_time(self.interval.since, _HOUR) + _HOUR
        count = max(0, -((first - self.interval.until) // _HOUR))
        starts = [self.interval.since, *(first + hour * _HOUR for hour in range(count)), self.interval.until]
        inner = self.place(first) + np.arange(count) * (_HOUR // self.step)
        return starts, np.concatenate(([0], inner, [len(self)]))

    def bounds(self, places: Iterable[int]) -> list[datetime]:
        """Return when the steps at *places* begin; the end of the interval for the length."""
        first, size = floor_time(self.interval.since, self.step), len(self)
        return [
            self.interval.until if place >= size else max(self.interval.since, first + place * self.step)
            for place in places
        ]

    def within(self, interval: Interval) -> "History":
        """Return the steps that begin in *interval*, as far as the history goes; how much is demo history stays."""
        last = self.place(interval.until)
        first = min(self.place(interval.since), last)
        origin = floor_time(self.interval.since, self.step)
        since = self.interval.since if first == 0 else min(self.interval.until, origin + first * self.step)
        until = since if first == last else min(self.interval.until, origin + last * self.step)
        kept = slice(first, last)
        return replace(
            self,
            interval=Interval(since, until),
            good=self.good[kept],
            total=self.total[kept],
            measured_s=self.measured_s[kept],
            excluded_s=self.excluded_s[kept],
            parts=tuple(part.within(interval) for part in self.parts),
        )

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


def history_of(
    objective: Objective,
    interval: Interval,
    counts: Counts,
    *,
    step: timedelta = BUCKET,
    exclusions: Sequence[Interval] = (),
    group_key: str = WHOLE,
    demo_total: float = 0.0,
) -> History:
    """Return the history that *counts* make: those in *interval* and not excluded, in the unit of the budget.

    Args:
        objective: Not a composite.
        interval: Its ends are bounds of buckets.
        counts: Pieces not longer than *step*, and not longer than the slices of an objective that budgets time.
        step: How long a step is.
        exclusions: What corrections take out: in order, apart from each other, within *interval*, of whole buckets.
        group_key: Which group of the objective was counted.
        demo_total: How many of the events are demo history.
    """
    since, until, step_s = _seconds(interval.since), _seconds(interval.until), int(step.total_seconds())
    bounds = _bounds(interval, step)
    first, length = since // step_s, len(bounds) - 1
    is_in = (counts.starts >= since) & (counts.starts < until)
    excluded_s = np.zeros(length)
    for span in exclusions:
        start, end = _seconds(span.since), _seconds(span.until)
        is_in &= (counts.starts < start) | (counts.starts >= end)
        excluded_s += (np.minimum(bounds[1:], end) - np.maximum(bounds[:-1], start)).clip(0)
    events = counts.only(is_in)
    counted = events
    if objective.budgeting is not Budgeting.OCCURRENCES:
        counted = in_slices(objective, events, since=since, until=until)
        demo_total *= float(counted.total.sum()) / max(float(events.total.sum()), 1.0)
    places = counted.starts // step_s - first
    return History(
        objective,
        interval,
        summed(places, counted.good, length),
        summed(places, counted.total, length),
        summed(events.starts // step_s - first, events.measured_s, length),
        excluded_s,
        step=step,
        group_key=group_key,
        demo_total=demo_total,
    )


def composite_of(objective: Objective, parts: Sequence[History], *, interval: Interval, step: timedelta) -> History:
    """Return the history of the composite *objective*, given the histories of its members over the same steps."""
    nothing = np.zeros(0)
    length, members = len(_bounds(interval, step)) - 1, max(1, len(parts))
    return History(
        objective,
        interval,
        nothing,
        nothing,
        sum((part.measured_s for part in parts), np.zeros(length)) / members,
        sum((part.excluded_s for part in parts), np.zeros(length)) / members,
        step=step,
        demo_total=sum(part.demo_total for part in parts),
        parts=tuple(parts),
    )


def _bounds(interval: Interval, step: timedelta) -> Places:
    """Return where steps begin, and where the last one ends, in seconds since the epoch."""
    since, until, step_s = _seconds(interval.since), _seconds(interval.until), int(step.total_seconds())
    inner = np.arange(since // step_s + 1, -(-until // step_s)) * step_s
    return np.concatenate(([since], inner, [until])) if since < until else np.array([since])


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def _running(values: Numbers) -> Numbers:
    return np.concatenate(([0.0], np.cumsum(values)))
