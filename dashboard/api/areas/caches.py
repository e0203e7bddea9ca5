"""The caches and connection pools of the process that answers, and emptying them."""

from dataclasses import dataclass
from datetime import datetime

from pydantic import Field

from analytics.core.clock import utc_now
from analytics.core.errors import NotFoundError
from analytics.core.memo import CacheStats
from analytics.live.cache import STRATEGIES
from analytics.store.engine import PoolState, pool_state
from dashboard.api.operations import Asked, Call, Operation
from dashboard.auth.roles import Role
from dashboard.cache_stats import all_caches, question_caches
from dashboard.reading import stands_long


class PatternQuery(Asked):
    """Which answers of a cache."""

    pattern: str = Field(default="*", max_length=200, description="Keys to forget; `*` and `?` stand for anything.")


@dataclass(frozen=True, slots=True)
class CacheOut:
    """One cache, counted since the process began."""

    name: str
    holds: str
    ttl_s: float | None
    """None where it differs from entry to entry."""
    hit_rate: float | None
    """0 to 1; null when nobody asked."""
    size: int
    max_size: int
    declared_size: int
    hits: int
    shared_hits: int
    misses: int
    evictions: int
    expired: int
    regrets: int
    invalidations: int
    mean_compute_s: float | None
    stands_long: bool
    """Whether it keeps answers for half a minute or longer; what stands shorter only spares readers who ask at once."""


@dataclass(frozen=True, slots=True)
class CachesOut:
    """All caches of the process that answers."""

    at: datetime
    started_at: datetime
    is_shared: bool
    """Whether Redis takes part now."""
    caches: list[CacheOut]
    questions: list[CacheOut]
    """What pages keep, by question."""


@dataclass(frozen=True, slots=True)
class PoolOut:
    """One connection pool, counted since the process began."""

    name: str
    size: int
    most: int
    checked_in: int
    checked_out: int
    overflow: int
    invalid: int
    exhausted: int
    checkouts: int
    hit_rate: float | None
    """Share of callers who found an open connection."""
    mean_wait_s: float | None


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was forgotten."""

    entries: int
    """Those that the process that answers kept."""


async def list_caches(call: Call) -> CachesOut:
    """Return the caches."""
    caches = await call.in_thread(all_caches, call.context)
    return CachesOut(
        at=utc_now(),
        started_at=call.context.started_at,
        is_shared=call.context.caches.is_shared,
        caches=[_cache(cache, is_long=True) for cache in caches],
        questions=[_cache(cache, is_long=stands_long(cache.name)) for cache in question_caches()],
    )


async def list_pools(call: Call) -> list[PoolOut]:
    """Return the pools."""
    return [_pool(pool_state(call.context.engine)), _pool(pool_state(call.context.async_engine))]


async def forget(call: Call) -> Forgotten:
    """Forget answers of one cache."""
    name: str = call.path("name")
    if name not in {strategy.name for strategy in STRATEGIES}:
        raise NotFoundError(f"There is no cache called {name!r}; nothing was forgotten.")
    pattern = call.query(PatternQuery).pattern
    return Forgotten(await call.in_thread(call.context.caches.forget, name, pattern))


async def forget_user(call: Call) -> None:
    """Void what is kept for one person."""
    await call.in_thread(call.context.caches.invalidate_user, call.path("user"))


def _cache(cache: CacheStats, *, is_long: bool) -> CacheOut:
    return CacheOut(
        name=cache.name,
        holds=cache.holds,
        ttl_s=None if cache.ttl is None else cache.ttl.total_seconds(),
        hit_rate=cache.hit_rate,
        size=cache.size,
        max_size=cache.max_size,
        declared_size=cache.declared_size,
        hits=cache.hits,
        shared_hits=cache.shared_hits,
        misses=cache.misses,
        evictions=cache.evictions,
        expired=cache.expired,
        regrets=cache.regrets,
        invalidations=cache.invalidations,
        mean_compute_s=cache.mean_compute_s,
        stands_long=is_long,
    )


def _pool(pool: PoolState) -> PoolOut:
    return PoolOut(
        name=pool.name,
        size=pool.size,
        most=pool.most,
        checked_in=pool.checked_in,
        checked_out=pool.checked_out,
        overflow=pool.overflow,
        invalid=pool.invalid,
        exhausted=pool.exhausted,
        checkouts=pool.checkouts,
        hit_rate=pool.hit_rate,
        mean_wait_s=pool.mean_wait_s,
    )


OPERATIONS = (
    Operation(
        "GET",
        "/caches",
        list_caches,
        "Return the caches of the process that answers, with their hit rates and sizes.",
        Role.VIEWER,
        CachesOut,
    ),
    Operation(
        "DELETE",
        "/caches/{name}",
        forget,
        "Forget the answers of one cache whose keys match a pattern, here at once, in other processes within 30 s.",
        Role.OPERATOR,
        Forgotten,
        query=PatternQuery,
        doing="empty a cache",
    ),
    Operation(
        "DELETE",
        "/caches/users/{user}",
        forget_user,
        "Void everything that is kept for one person, in every process.",
        Role.OPERATOR,
        status=204,
        doing="empty a cache",
    ),
    Operation(
        "GET",
        "/pools",
        list_pools,
        "Return the connection pools of the process that answers.",
        Role.VIEWER,
        list[PoolOut],
    ),
)
