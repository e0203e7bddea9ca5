"""What this process keeps and who is connected to it: the named caches, and what Streamlit counts for pages."""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import Counter
from streamlit import runtime

from analytics.core.memo import CacheStats
from analytics.core.telemetry import (
    CACHE_ENTRIES,
    CACHE_EVICTIONS,
    CACHE_LOOKUPS,
    CACHE_MOST_ENTRIES,
    PAGE_SESSIONS,
    WEBSOCKET_CONNECTIONS,
)
from dashboard.context import AppContext
from dashboard.reading import most_entries, stands_long

PAGES = "pages"
"""What stands for all answers that pages keep for half a minute or longer."""

_OF_QUESTIONS = "question."
_carried: dict[tuple[str, ...], float] = {}
_lock = threading.Lock()


@dataclass(slots=True)
class _Sums:
    size: int = 0
    hits: int = 0
    misses: int = 0
    evictions: int = 0
    expired: int = 0
    computed: int = 0
    compute_s: float = 0.0


@dataclass(frozen=True, slots=True)
class _Stat:
    value: float
    count: float
    labels: Mapping[str, str]


def all_caches(context: AppContext) -> list[CacheStats]:
    """Return every cache of this process: the named ones, then the answers that pages keep for long as one."""
    return [*context.caches.stats(), _as_one([item for item in question_caches() if stands_long(item.name)])]


def question_caches() -> list[CacheStats]:
    """Return what each question of pages keeps, by name; those that were never asked are left out."""
    found: dict[str, _Sums] = {}

    def of(stat: _Stat) -> _Sums:
        return found.setdefault(_question(stat), _Sums())

    for stat in _counted("cache_lookups"):
        if stat.labels.get("result") == "hit":
            of(stat).hits += round(stat.value)
        else:
            of(stat).misses += round(stat.value)
    for stat in _counted("cache_evictions"):
        if stat.labels.get("reason") == "ttl":
            of(stat).expired += round(stat.value)
        else:
            of(stat).evictions += round(stat.value)
    for stat in _counted("cache_compute_duration_seconds"):
        of(stat).computed += round(stat.count)
        of(stat).compute_s += stat.value
    for stat in _counted("cache_memory_bytes"):
        # Of resources Streamlit counts entries here, not bytes, unless it is told to measure them.
        of(stat).size += round(stat.value)
    most = most_entries()
    return [
        _stats(name, sums, most.get(name, 0)) for name, sums in sorted(found.items()) if sums.hits + sums.misses > 0
    ]


def show_caches(context: AppContext) -> None:
    """Carry what caches and Streamlit count over into our metrics."""
    PAGE_SESSIONS.set(page_sessions())
    for stat in _counted("cache_lookups"):
        if stands_long(_question(stat)):
            _carry(CACHE_LOOKUPS, stat.value, f"{_OF_QUESTIONS}{_question(stat)}", stat.labels.get("result", ""))
    for cache in all_caches(context):
        CACHE_ENTRIES.labels(cache.name).set(cache.size)
        CACHE_MOST_ENTRIES.labels(cache.name).set(cache.max_size)
        _carry(CACHE_EVICTIONS, cache.evictions, cache.name)


def open_sockets() -> int:
    """Return how many live sockets are open."""
    return round(sum(sample.value for family in WEBSOCKET_CONNECTIONS.collect() for sample in family.samples))


def page_sessions() -> int:
    """Return how many browser tabs are connected."""
    return round(sum(stat.value for stat in _counted("active_sessions")))


def _counted(family: str) -> Iterator[_Stat]:
    """Yield what Streamlit counts under *family*; of a histogram the sum and the count."""
    if not runtime.exists():
        return
    for stat in runtime.get_instance().stats_mgr.get_stats(family_names=[family]).get(family, ()):
        value = next(
            (getattr(stat, name) for name in ("value", "observation_sum", "byte_length") if hasattr(stat, name)), 0
        )
        labels = getattr(stat, "labels", None) or {"cache": getattr(stat, "cache_name", "")}
        yield _Stat(float(value), float(getattr(stat, "observation_count", 0)), labels)


def _question(stat: _Stat) -> str:
    return stat.labels.get("cache", "").rpartition(_OF_QUESTIONS)[2]


def _carry(counter: Counter, seen: float, *labels: str) -> None:
    key = (str(counter), *labels)
    with _lock:
        counter.labels(*labels).inc(max(0.0, seen - _carried.get(key, 0.0)))
        _carried[key] = seen


def _as_one(questions: list[CacheStats]) -> CacheStats:
    together = _Sums()
    most = sum(number for name, number in most_entries().items() if stands_long(name))
    for item in questions:
        together.size += item.size
        together.hits += item.hits
        together.misses += item.misses
        together.evictions += item.evictions
        together.expired += item.expired
        together.computed += item.misses if item.mean_compute_s is not None else 0
        together.compute_s += item.misses * (item.mean_compute_s or 0.0)
    return _stats(PAGES, together, most, holds="answers that pages keep for 30 s or longer")


def _stats(name: str, sums: _Sums, most: int, *, holds: str = "") -> CacheStats:
    return CacheStats(
        name=name,
        holds=holds,
        ttl=None,
        size=sums.size,
        max_size=most,
        declared_size=most,
        hits=sums.hits,
        shared_hits=0,
        misses=sums.misses,
        evictions=sums.evictions,
        expired=sums.expired,
        regrets=0,
        invalidations=0,
        mean_compute_s=sums.compute_s / sums.computed if sums.computed else None,
    )
