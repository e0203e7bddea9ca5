"""What one process measures of itself: its connection pools, its caches, and how it answered requests.

Samples it takes (``metric_sample``): ``db_pool_used_ratio``, ``db_pool_wait_s`` and ``db_pool_exhausted`` by ``pool``;
``cache_hit_ratio``, ``cache_entries`` and ``cache_evictions`` by ``cache``; ``http_response_s`` and
``http_error_ratio`` by ``group``; ``active_connections`` by ``kind``. What is counted is counted since the sample
before, and left out where nothing happened: no requests are not requests without errors.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence

from analytics.core.memo import CacheStats
from analytics.core.telemetry import HTTP_REQUEST_SECONDS, HTTP_REQUESTS
from analytics.sources.system import Measurement
from analytics.store.engine import PoolState

GROUPS = frozenset({"api", "page", "auth"})
"""Groups of requests that people and programs make; the others are files."""


class ProcessSampler:
    """Measures the present process; safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._before: dict[tuple[str, str], float] = {}

    def sample(
        self, pools: Sequence[PoolState], caches: Sequence[CacheStats], connections: Mapping[str, int]
    ) -> list[Measurement]:
        """Measure now; *connections* are those open, by kind. The first sample counts since the process began."""
        with self._lock:
            return [
                *(item for pool in pools for item in self._pool(pool)),
                *(item for cache in caches for item in self._cache(cache)),
                *self._requests(),
                *(
                    Measurement("active_connections", count, "connections", {"kind": kind})
                    for kind, count in connections.items()
                ),
            ]

    def _pool(self, pool: PoolState) -> Iterator[Measurement]:
        tags = {"pool": pool.name}
        if pool.used is not None:
            yield Measurement("db_pool_used_ratio", pool.used, "ratio", tags)
        asked = self._since("checkouts", pool.name, pool.checkouts)
        waited = self._since("wait_s", pool.name, pool.wait_s)
        exhausted = self._since("exhausted", pool.name, pool.exhausted)
        if asked:
            yield Measurement("db_pool_wait_s", waited / asked, "s", tags)
            yield Measurement("db_pool_exhausted", exhausted, "count", tags)

    def _cache(self, cache: CacheStats) -> Iterator[Measurement]:
        tags = {"cache": cache.name}
        hits = self._since("hits", cache.name, cache.hits)
        lookups = self._since("lookups", cache.name, cache.lookups)
        evictions = self._since("evictions", cache.name, cache.evictions)
        if lookups:
            yield Measurement("cache_hit_ratio", min(1.0, hits / lookups), "ratio", tags)
            yield Measurement("cache_entries", cache.size, "entries", tags)
            yield Measurement("cache_evictions", evictions, "count", tags)

    def _requests(self) -> Iterator[Measurement]:
        seconds, counts, errors = _answered()
        for group in sorted(GROUPS):
            spent = self._since("seconds", group, seconds.get(group, 0.0))
            answered = self._since("answered", group, counts.get(group, 0.0))
            failed = self._since("failed", group, errors.get(group, 0.0))
            if answered > 0:
                yield Measurement("http_response_s", spent / answered, "s", {"group": group})
                yield Measurement("http_error_ratio", min(1.0, failed / answered), "ratio", {"group": group})

    def _since(self, what: str, name: str, now: float) -> float:
        """Return how much *now* is above what it was; all of it when it began anew."""
        before = self._before.get((what, name), 0.0)
        self._before[what, name] = now
        return now - before if now >= before else now


def _answered() -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """Return seconds, requests and failed requests of this process by group."""
    seconds: dict[str, float] = {}
    counts: dict[str, float] = {}
    errors: dict[str, float] = {}
    for sample in (sample for family in HTTP_REQUEST_SECONDS.collect() for sample in family.samples):
        kept = {"_sum": seconds, "_count": counts}.get(
            sample.name.removeprefix("helmsight_http_request_duration_seconds")
        )
        if kept is not None:
            kept[sample.labels["group"]] = kept.get(sample.labels["group"], 0.0) + sample.value
    for sample in (sample for family in HTTP_REQUESTS.collect() for sample in family.samples):
        if sample.name.endswith("_total") and sample.labels["status_class"] == "5xx":
            errors[sample.labels["group"]] = errors.get(sample.labels["group"], 0.0) + sample.value
    return seconds, counts, errors
