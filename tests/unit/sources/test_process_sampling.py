"""What a process measures of itself."""

from dataclasses import replace
from datetime import timedelta

import pytest

from analytics.core.memo import CacheStats
from analytics.core.telemetry import HTTP_REQUEST_SECONDS, HTTP_REQUESTS
from analytics.sources.process import ProcessSampler
from analytics.sources.system import Measurement
from analytics.store.engine import PoolState

POOL = PoolState(
    name="sync",
    size=20,
    most=30,
    checked_in=17,
    checked_out=3,
    overflow=0,
    checkouts=100,
    opened=3,
    invalid=0,
    exhausted=0,
    wait_s=0.5,
)
CACHE = CacheStats(
    name="leads",
    holds="leads",
    ttl=timedelta(minutes=5),
    size=4,
    max_size=10,
    declared_size=10,
    hits=30,
    shared_hits=0,
    misses=10,
    evictions=0,
    expired=0,
    regrets=0,
    invalidations=0,
    mean_compute_s=None,
)


def values(taken: list[Measurement]) -> dict[str, float]:
    return {" ".join([item.name, *item.tags.values()]): item.value for item in taken}


def test_pools_and_caches_are_sampled_since_the_sample_before() -> None:
    sampler = ProcessSampler()
    first = values(sampler.sample([POOL], [CACHE], {"page": 2}))
    assert first["db_pool_used_ratio sync"] == 0.1
    assert first["db_pool_wait_s sync"] == 0.005
    assert first["cache_hit_ratio leads"] == 0.75
    assert first["active_connections page"] == 2
    later = values(
        sampler.sample(
            [replace(POOL, checkouts=110, wait_s=0.6, exhausted=2)],
            [replace(CACHE, hits=39, misses=11, evictions=5)],
            {},
        )
    )
    assert later["db_pool_wait_s sync"] == pytest.approx(0.01)
    assert later["db_pool_exhausted sync"] == 2
    assert (later["cache_hit_ratio leads"], later["cache_evictions leads"]) == (0.9, 5)


def test_nothing_asked_is_no_sample_rather_than_a_zero() -> None:
    sampler = ProcessSampler()
    sampler.sample([POOL], [CACHE], {})
    assert {name.split()[0] for name in values(sampler.sample([POOL], [CACHE], {}))} == {"db_pool_used_ratio"}


def test_counts_that_began_anew_are_all_new() -> None:
    sampler = ProcessSampler()
    sampler.sample([POOL], [CACHE], {})
    anew = values(sampler.sample([replace(POOL, checkouts=4, wait_s=0.4)], [], {}))
    assert anew["db_pool_wait_s sync"] == 0.1


def test_answers_are_sampled_by_group_with_their_errors() -> None:
    sampler = ProcessSampler()
    sampler.sample([], [], {})
    for area, seconds in (("runs", 0.1), ("kpis", 0.3)):
        HTTP_REQUEST_SECONDS.labels("api", area).observe(seconds)
        HTTP_REQUESTS.labels("api", area, "GET", "2xx" if area == "runs" else "5xx").inc()
    HTTP_REQUEST_SECONDS.labels("static", "").observe(9)
    found = values(sampler.sample([], [], {}))
    assert round(found.pop("http_response_s api"), 9) == 0.2
    assert found == {"http_error_ratio api": 0.5}
