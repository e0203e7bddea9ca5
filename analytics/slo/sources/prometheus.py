"""Buckets counted by Prometheus.

The increase over the time of a bucket leaves out what happened between the last scrape before it and its first one,
and puts a guess in its place: over a month of few bad events that is wrong by points of the budget. A counter is
therefore read at the bounds of the bucket and each minute between them, see :func:`in_bucket`.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import cached_property, partial
from typing import cast

import numpy as np

from analytics.core.clock import Interval
from analytics.core.errors import DependencyError, HelmsightError, InputError
from analytics.slo.model import (
    BUCKET,
    WHOLE,
    BooleanEvents,
    LatencyEvents,
    NativeLatencyEvents,
    Objective,
    PromEvents,
    PromIndicator,
    RawRatio,
)
from analytics.slo.sources.compile import (
    as_length,
    compiled,
    in_bucket,
    selector_of,
    together,
    with_window,
)
from analytics.slo.sources.reading import BUCKET_S, Reading, group_key, kept_groups
from analytics.slo.timeslices import Counts, Numbers
from analytics.sources.prometheus import PromClient, Series

PROM_INDICATORS = (PromEvents, LatencyEvents, NativeLatencyEvents, BooleanEvents, RawRatio)

_TOGETHER = 25
"""How many objectives share a query."""
_SHORT = timedelta(hours=2)
"""They do so for intervals up to this long; in longer ones it would be slower than one by one."""
_PAGE, _SMALLEST_PAGE = timedelta(days=5), timedelta(days=1)
_JUST = timedelta(milliseconds=1)
_USUAL_SCRAPES_S = np.array([1, 5, 10, 15, 20, 30, 60, 120, 300])
_MINUTES = timedelta(seconds=299)
"""A window that holds five full minutes, also where windows include both their ends."""
_GUESSED = 1e-5
"""Share of a count that may be the guess for the millisecond by which a window is longer than a bucket."""
_PART = "helmsight_part"


def read(
    prom: PromClient, objectives: Sequence[Objective], interval: Interval, *, one_by_one: bool = False
) -> dict[str, Reading]:
    """Return what Prometheus says of each of *objectives* in *interval*, whose ends are bounds of buckets, by id.

    Counts are those of counters, so they need not be whole; restarts are seen through. A bucket was measured for as
    long as it has scrapes: a stopped process leaves a gap, a quiet one does not. Where Prometheus computes NaN or
    infinity, nothing was measured. An objective that cannot be read does not keep the others from being read.

    Args:
        prom: Where to ask.
        objectives: Those that are not counted by Prometheus are passed over.
        interval: Its ends are bounds of buckets.
        one_by_one: Not to ask for several objectives by one query, because that is going to fail.
    """
    wanted = [item for item in objectives if isinstance(item.indicator, PROM_INDICATORS)]
    found: dict[str, Reading] = {}
    if len(wanted) > 1 and interval.length <= _SHORT and not one_by_one:
        for first in range(0, len(wanted), _TOGETHER):
            found |= _read_together(prom, wanted[first : first + _TOGETHER], interval)
    away: HelmsightError | None = None
    for item in wanted:
        if item.id not in found:
            found[item.id] = Reading(error=away) if away else _read_alone(prom, item, interval)
            error = found[item.id].error
            if isinstance(error, DependencyError) and not prom.is_ready():
                away = error
    return found


def measure(prom: PromClient, indicator: PromIndicator, interval: Interval) -> tuple[float, float] | None:
    """Return good and total events of *interval*, of any length; None when the source was not seen at its end.

    Raises:
        DependencyError: If Prometheus is away.
        InputError: If it refuses the query.
    """
    events = compiled(indicator)
    scale = interval.length.total_seconds() if events.per_second else 1.0
    answers = [
        prom.instant(together("sum", f"\n{with_window(text, interval.length)}\n", ()), interval.until)
        for text in (events.total, _part_of(events))
    ]
    total, part = (answer[0].value if answer else 0.0 for answer in answers)
    if not answers[0] or total is None or part is None or not np.isfinite([total, part]).all():
        return None
    good, count = _good_and_total(events, np.array([total * scale]), np.array([part * scale]))
    return float(good[0]), float(count[0])


# ---- Asking ----


def _read_together(prom: PromClient, objectives: Sequence[Objective], interval: Interval) -> dict[str, Reading]:
    """Return the readings of all by one query; of none when a part of it is refused, too slow or warned of."""
    try:
        jobs = [_Job(item, interval) for item in objectives]
        query = " or ".join(
            f'label_replace({expression}, "{_PART}", "{place} {name}", "", "")'
            for place, job in enumerate(jobs)
            for name, expression in job.asked().items()
        )
        answer = prom.range(query, _moments(interval), BUCKET)
    except (DependencyError, InputError):
        return {}
    if answer.warnings:
        return {}
    for series in answer:
        place, name = series.labels[_PART].split()
        jobs[int(place)].take(name, series)
    return {job.objective.id: job.reading() for job in jobs}


def _read_alone(prom: PromClient, objective: Objective, interval: Interval) -> Reading:
    warnings: list[str] = []
    try:
        job = _Job(objective, interval)
        for name, expression in job.asked().items():
            for page in _pages(_moments(interval), _PAGE):
                for series in _page(prom, expression, page, warnings):
                    job.take(name, series)
    except (DependencyError, InputError) as error:
        return Reading(error=error)
    return job.reading(warnings)


def _page(prom: PromClient, query: str, page: Interval, warnings: list[str]) -> list[Series]:
    """Return one page, and one that is too much for Prometheus in halves; adds to *warnings*."""
    try:
        answer = prom.range(query, page, BUCKET)
    except (DependencyError, InputError):
        if page.length <= _SMALLEST_PAGE or not prom.is_ready():
            raise
        half = page.length // BUCKET // 2 * BUCKET
        return [series for part in _pages(page, half) for series in _page(prom, query, part, warnings)]
    warnings += answer.warnings
    return answer


def _pages(interval: Interval, length: timedelta) -> Iterator[Interval]:
    since = interval.since
    while since < interval.until:
        yield Interval(since, min(interval.until, since + length))
        since += length


def _moments(interval: Interval) -> Interval:
    """Return the interval of a query that has both ends of *interval*: a bucket is computed at its end."""
    return Interval(interval.since, interval.until + timedelta(seconds=1))


# ---- What is asked of one objective, and what the answers mean ----


class _Job:
    """The reading of one objective: when its source was seen, and how much happened."""

    def __init__(self, objective: Objective, interval: Interval) -> None:
        self.objective = objective
        self._indicator = cast("PromIndicator", objective.indicator)
        self._events = compiled(self._indicator, objective.group_by)
        # A ratio was seen when it has a value, not when one of the series has that it is made of.
        self._selector = None if isinstance(self._indicator, RawRatio) else selector_of(self._events.total)
        self._since_s = int(interval.since.timestamp())
        self._buckets = interval.length // BUCKET
        self._answers: dict[str, dict[str, Numbers]] = {}

    def asked(self) -> dict[str, str]:
        """Return the queries, by names of our own."""
        fill = partial(with_window, window=BUCKET) if isinstance(self._indicator, RawRatio) else in_bucket
        parts = {"total": self._events.total, "part": _part_of(self._events)}
        asked = {name: self._by("sum", f"\n{fill(expression)}\n") for name, expression in parts.items()}
        if self._selector is not None:
            asked["scrapes"] = self._by("max", f"count_over_time({self._selector}[{as_length(BUCKET - _JUST)}])")
        if self._selector is None or self._events.present is not None:
            present = with_window(self._events.present or self._events.total, BUCKET)
            asked["minutes"] = self._by("max", f"count_over_time((\n{present}\n)[{as_length(_MINUTES)}:1m])")
        return asked

    def take(self, name: str, series: Series) -> None:
        """Keep what was answered: a value at each bound of a bucket, NaN for none, infinity for none that counts."""
        key = group_key(series.labels, self.objective.group_by)
        values = self._answers.setdefault(name, {}).setdefault(key, np.full(self._buckets + 1, np.nan))
        places = (series.times.astype(np.int64) - self._since_s) // BUCKET_S
        values[places] = np.where(np.isfinite(series.values), series.values, np.inf)

    def reading(self, warnings: Sequence[str] = ()) -> Reading:
        """Return what the answers mean."""
        seen = self._seconds_seen()
        if not seen:
            return Reading(warnings=warnings)
        everywhere: Numbers = np.maximum.reduce(list(seen.values()))
        found = {
            key: (self._counted("total", key), self._counted("part", key), seen.get(key, everywhere))
            for key in {*self._answers.get("total", ()), *self._answers.get("part", ())} or {WHOLE}
        }
        totals, parts, _ = (np.stack(values) for values in zip(*found.values(), strict=True))
        groups, too_many = kept_groups(found)
        counts = {key: self._counts(*found[key]) for key in groups}
        counts[WHOLE] = self._counts(totals.sum(axis=0), parts.sum(axis=0), everywhere)
        return Reading(counts, [*dict.fromkeys(warnings), *too_many])

    @cached_property
    def _scrape_s(self) -> float | None:
        """Return how far scrapes are apart; None when that cannot be told."""
        counts = np.concatenate([[], *self._answers.get("scrapes", {}).values()])
        counts = counts[counts > 0]
        if not len(counts):
            return None
        apart_s = BUCKET_S / float(np.median(counts))
        return float(_USUAL_SCRAPES_S[np.argmin(np.abs(np.log(_USUAL_SCRAPES_S / apart_s)))])

    def _by(self, operator: str, expression: str) -> str:
        return together(operator, expression, self.objective.group_by)

    def _seconds_seen(self) -> dict[str, Numbers]:
        """Return for how long each group was seen in each bucket, 0 to 300 seconds."""
        name, each_s = "scrapes", self._scrape_s or 0.0
        if self._selector is None or self._events.present is not None:
            name, each_s = "minutes", 60.0
        return {
            key: np.minimum(BUCKET_S, np.nan_to_num(values[1:]) * each_s)
            for key, values in self._answers.get(name, {}).items()
        }

    def _counted(self, name: str, key: str) -> Numbers:
        """Return how much happened in each bucket; infinity where that cannot be told."""
        nothing = np.full(self._buckets + 1, np.nan)
        counted = self._answers.get(name, {}).get(key, nothing)[1:]
        counted = counted * (BUCKET_S if self._events.per_second else 1.0)
        if not isinstance(self._indicator, RawRatio):
            whole = np.rint(counted)
            with np.errstate(invalid="ignore"):
                counted = np.where(np.abs(counted - whole) <= _GUESSED * np.maximum(1.0, whole), whole, counted)
        return np.nan_to_num(counted, posinf=np.inf, neginf=np.inf)

    def _counts(self, total: Numbers, part: Numbers, seconds: Numbers) -> Counts:
        """Return the buckets that were measured."""
        ends = self._since_s + np.arange(1, self._buckets + 1) * BUCKET_S
        is_known = (seconds > 0) & np.isfinite(total) & np.isfinite(part)
        good, total = _good_and_total(self._events, total[is_known], part[is_known])
        if isinstance(self._indicator, RawRatio):
            good, total = good / total, np.ones_like(total)
        return Counts(ends[is_known] - BUCKET_S, good, total, seconds[is_known])


def _part_of(events: PromEvents) -> str:
    return events.good or events.bad or ""


def _good_and_total(events: PromEvents, total: Numbers, part: Numbers) -> tuple[Numbers, Numbers]:
    """Return counts that can be: extrapolated, a part may come out a little above its whole."""
    total = np.maximum(0.0, total)
    part = np.clip(part, 0.0, total)
    return (part if events.good is not None else total - part), total
