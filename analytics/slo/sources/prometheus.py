"""Buckets counted by Prometheus: three queries for all objectives together."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from analytics.core.clock import Interval
from analytics.slo.ledger import Bucket
from analytics.slo.model import BUCKET, Objective, PromEvents
from analytics.sources.prometheus import PromClient, Series

_LOOK_EVERY = timedelta(minutes=1)


def prometheus_buckets(prom: PromClient, objectives: Sequence[Objective], interval: Interval) -> list[Bucket]:
    """Return the buckets in *interval*, whose ends are bounds of buckets; those in which nothing was seen are missing.

    Counts are those of ``increase``, so they need not be whole. A bucket was measured as long as the minutes in which
    the source was seen: a stopped process leaves a gap, a quiet one does not.

    Raises:
        DependencyError: If Prometheus is away.
    """
    wanted = {item.id: item.indicator for item in objectives if isinstance(item.indicator, PromEvents)}
    if not wanted or interval.length < BUCKET:
        return []
    # A bucket is computed at its end, so the first moment asked for is one bucket after the start.
    ends = Interval(interval.since + BUCKET, interval.until + timedelta(seconds=1))
    total = _by_id(prom, wanted, lambda events: events.total, ends, BUCKET)
    part = _by_id(prom, wanted, lambda events: events.good or events.bad or "", ends, BUCKET)
    minutes = Interval(interval.since + _LOOK_EVERY, interval.until + timedelta(seconds=1))
    present = _by_id(prom, wanted, lambda events: events.present or events.total, minutes, _LOOK_EVERY)
    buckets = []
    for slo_id, events in wanted.items():
        seen = _seconds_seen(present.get(slo_id), interval)
        totals, parts = _values(total.get(slo_id)), _values(part.get(slo_id))
        for end, seconds in seen.items():
            good, count = _good_and_total(events, totals.get(end, 0.0), parts.get(end, 0.0))
            buckets.append(Bucket(slo_id, _moment(end) - BUCKET, good, count, seconds))
    return buckets


def measure(prom: PromClient, events: PromEvents, interval: Interval) -> tuple[float, float] | None:
    """Return good and total events of *interval*, of any length; None when the source was not seen at its end.

    Raises:
        DependencyError: If Prometheus is away.
    """
    window = f"{max(1, round(interval.length.total_seconds()))}s"
    total = prom.instant(events.total.replace("{window}", window), interval.until)
    part = prom.instant((events.good or events.bad or "").replace("{window}", window), interval.until)
    if not total:
        return None
    return _good_and_total(events, total[0].value or 0.0, (part[0].value or 0.0) if part else 0.0)


def _by_id(
    prom: PromClient,
    wanted: Mapping[str, PromEvents],
    expression: Callable[[PromEvents], str],
    interval: Interval,
    step: timedelta,
) -> dict[str, Series]:
    window = f"{BUCKET // timedelta(seconds=1)}s"
    query = " or ".join(
        f'label_replace({expression(events)}, "slo", "{slo_id}", "", "")' for slo_id, events in wanted.items()
    )
    answer = prom.range(query.replace("{window}", window), interval, step)
    return {series.labels["slo"]: series for series in answer}


def _good_and_total(events: PromEvents, total: float, part: float) -> tuple[float, float]:
    """Return counts that can be: ``increase`` extrapolates, so a part may come out a little above its whole."""
    total = max(0.0, total)
    part = min(max(0.0, part), total)
    return (part if events.good else total - part), total


def _values(series: Series | None) -> dict[int, float]:
    if series is None:
        return {}
    known = np.isfinite(series.values)
    return dict(zip(series.times[known].astype(int).tolist(), series.values[known].tolist(), strict=True))


def _seconds_seen(series: Series | None, interval: Interval) -> dict[int, float]:
    """Return seconds seen by the end of the bucket, for buckets in which something was seen."""
    if series is None:
        return {}
    since, length = int(interval.since.timestamp()), int(BUCKET.total_seconds())
    index = (series.times.astype(int) - since - 1) // length
    places, minutes = np.unique(index, return_counts=True)
    seconds = minutes * _LOOK_EVERY.total_seconds()
    return {
        since + (place + 1) * length: float(value)
        for place, value in zip(places.tolist(), seconds.tolist(), strict=True)
    }


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
