"""How long things took, by their labels: from Prometheus over an interval, or from what this process counted itself."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from prometheus_client import Histogram

from analytics.core.clock import Interval
from analytics.kpi.prometheus import histogram_quantile
from analytics.sources.prometheus import PromClient

_SHORTEST = timedelta(seconds=60)
_Buckets = dict[tuple[str, ...], dict[float, float]]


@dataclass(frozen=True, slots=True)
class Timing:
    """How long one kind of thing took; seconds."""

    labels: tuple[str, ...]
    """Values of the labels asked for, in their order."""
    count: int
    mean_s: float
    p50_s: float | None
    """Exact to a bucket of the histogram, as are the others."""
    p95_s: float | None
    p99_s: float | None


def timings(prom: PromClient, histogram: str, by: Sequence[str], interval: Interval) -> list[Timing]:
    """Return what *histogram* counted in *interval*, by the labels *by*, those seen most first; one query.

    Raises:
        DependencyError: If Prometheus is away.
    """
    labels, window = ",".join(by), f"[{max(1, round(interval.length.total_seconds()))}s]"
    query = (
        f'label_replace(sum by (le,{labels}) (increase({histogram}_bucket{window})), "figure", "bucket", "", "")'
        f' or label_replace(sum by ({labels}) (increase({histogram}_sum{window})), "figure", "sum", "", "")'
    )
    buckets: _Buckets = defaultdict(dict)
    sums: dict[tuple[str, ...], float] = defaultdict(float)
    for sample in prom.instant(query, at=interval.until):
        key = tuple(sample.labels.get(label, "") for label in by)
        if sample.labels["figure"] == "bucket":
            buckets[key][float(sample.labels["le"])] = sample.value or 0.0
        else:
            sums[key] = sample.value or 0.0
    return _timings(buckets, sums)


def own_timings(histogram: Histogram, by: Sequence[str]) -> list[Timing]:
    """Return what *histogram* counted in this process since its start, by the labels *by*, those seen most first."""
    buckets: _Buckets = defaultdict(lambda: defaultdict(float))
    sums: dict[tuple[str, ...], float] = defaultdict(float)
    for sample in (sample for family in histogram.collect() for sample in family.samples):
        key = tuple(sample.labels.get(label, "") for label in by)
        if sample.name.endswith("_bucket"):
            buckets[key][float(sample.labels["le"])] += sample.value
        elif sample.name.endswith("_sum"):
            sums[key] += sample.value
    return _timings(buckets, sums)


def courses(
    prom: PromClient, histogram: str, by: str, quantile: float, interval: Interval, *, step: timedelta
) -> dict[str, list[tuple[datetime, float | None]]]:
    """Return a quantile of *histogram* step by step, by the label *by*; None where nothing was counted; one query.

    Each point stands at the start of its step, of whole seconds and a minute or longer.

    Raises:
        DependencyError: If Prometheus is away.
    """
    step = timedelta(seconds=round(max(step, _SHORTEST).total_seconds()))
    since = interval.since.replace(microsecond=0)
    starts = [since + place * step for place in range(int((interval.until - since) / step))]
    query = (
        f"histogram_quantile({quantile:g},"
        f" sum by (le,{by}) (increase({histogram}_bucket[{round(step.total_seconds())}s])))"
    )
    if not starts:
        return {}
    found: dict[str, list[tuple[datetime, float | None]]] = {}
    for series in prom.range(query, Interval(starts[0] + step, starts[-1] + step + timedelta(seconds=1)), step):
        known = dict(zip(series.times.tolist(), series.values.tolist(), strict=True))
        values = [known.get((start + step).timestamp(), float("nan")) for start in starts]
        found[series.labels.get(by, "")] = [
            (start, value if np.isfinite(value) else None) for start, value in zip(starts, values, strict=True)
        ]
    return found


def _timings(
    buckets: Mapping[tuple[str, ...], Mapping[float, float]], sums: Mapping[tuple[str, ...], float]
) -> list[Timing]:
    taken = (_timing(key, counts, sums.get(key, 0.0)) for key, counts in buckets.items())
    return sorted(_known(taken), key=lambda item: (-item.count, item.labels))


def _timing(key: tuple[str, ...], counts: Mapping[float, float], total_s: float) -> Timing | None:
    bounds = np.array(sorted(counts), dtype=np.float64)
    reached = np.array([counts[bound] for bound in bounds.tolist()], dtype=np.float64)
    if reached[-1] <= 0:
        return None
    p50, p95, p99 = (histogram_quantile(share, bounds, reached) for share in (0.5, 0.95, 0.99))
    return Timing(key, max(1, round(float(reached[-1]))), total_s / float(reached[-1]), p50, p95, p99)


def _known(taken: Iterable[Timing | None]) -> list[Timing]:
    return [item for item in taken if item is not None]
