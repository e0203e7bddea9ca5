"""The cache of results of nodes, against a real PostgreSQL."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from analytics.core.clock import utc_now
from analytics.core.settings import Settings
from analytics.store.engine import make_async_engine
from analytics.store.retention import clean_expired
from worker.workflow.address import NodeAddress
from worker.workflow.cache import (
    MAX_CACHED_BYTES,
    Hit,
    Miss,
    NodeCache,
    cache_state,
    forget,
)

pytestmark = pytest.mark.integration

TTL = timedelta(minutes=10)
KEY = b"k" * 32
HERE = NodeAddress(uuid.UUID(int=1), datetime(2026, 1, 1, tzinfo=UTC), "fetch")


@asynccontextmanager
async def opened(settings: Settings, owner: str = "a", lease_s: float = 15) -> AsyncIterator[NodeCache]:
    """A cache that works, as of a process of its own."""
    engine = make_async_engine(settings, role="test")
    cache = NodeCache(engine, owner, timedelta(seconds=lease_s))
    work = asyncio.create_task(cache.work_forever())
    try:
        yield cache
    finally:
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
        await engine.dispose()


def ask(cache: NodeCache, key: bytes = KEY, ttl: timedelta = TTL):
    return cache.get(key, kind="transform", ttl=ttl)


def keep(cache: NodeCache, output: str = '{"n":1}', key: bytes = KEY, ttl: timedelta = TTL) -> None:
    cache.put(key, output, kind="transform", ttl=ttl, address=HERE)


@pytest.fixture
def rows(engine: Engine) -> Iterator[Session]:
    with Session(engine) as session:
        yield session


def age(session: Session, by: timedelta) -> None:
    session.execute(
        text("UPDATE node_cache SET created_at = created_at - :by, expires_at = expires_at - :by"), {"by": by}
    )
    session.commit()


def promises(session: Session) -> int:
    session.rollback()
    return session.execute(text("SELECT count(*) FROM node_cache")).scalar_one()


def test_a_result_is_a_miss_first_and_a_hit_then_also_for_another_process(settings):
    async def scenario() -> None:
        async with opened(settings) as first, opened(settings, "b") as second:
            assert await ask(first) == Miss()
            keep(first)
            found = await ask(first)
            assert isinstance(found, Hit)
            assert found.output == {"n": 1}
            assert found.run_id == HERE.run_id
            assert found.node_id == "fetch"
            other = await ask(second)
            assert isinstance(other, Hit)
            assert other.output == {"n": 1}

    asyncio.run(scenario())


def test_two_hundred_equal_nodes_are_worked_out_once(settings):
    worked_out = 0

    async def node(cache: NodeCache) -> object:
        nonlocal worked_out
        found = await ask(cache)
        if isinstance(found, Hit):
            return found.output
        worked_out += 1
        await asyncio.sleep(0.05)
        keep(cache)
        return {"n": 1}

    async def scenario() -> tuple[list[object], int]:
        async with opened(settings) as first, opened(settings, "b") as second:
            found = await asyncio.gather(*(node(cache) for _ in range(100) for cache in (first, second)))
            return found, first.statements + second.statements

    outputs, statements = asyncio.run(scenario())
    assert outputs == [{"n": 1}] * 200
    assert worked_out == 1
    assert statements < 20


def test_look_ups_of_one_turn_are_one_statement_and_so_are_results(settings):
    keys = [n.to_bytes(32, "big") for n in range(300)]

    async def scenario() -> None:
        async with opened(settings) as cache:
            assert set(await asyncio.gather(*(ask(cache, key) for key in keys))) == {Miss()}
            assert cache.statements == 1
            for key in keys:
                keep(cache, key=key)
            found = await asyncio.gather(*(ask(cache, key) for key in keys))
            assert all(isinstance(hit, Hit) for hit in found)
            assert cache.statements == 3

    asyncio.run(scenario())


def test_a_failure_lets_the_next_who_waits_work_it_out(settings):
    async def scenario() -> None:
        async with opened(settings) as cache, opened(settings, "b") as other:
            assert await ask(cache) == Miss()
            second, third = asyncio.create_task(ask(cache)), asyncio.create_task(ask(other))
            await asyncio.sleep(0.1)
            cache.release(KEY)
            assert await second == Miss()
            assert not third.done()
            cache.release(KEY)
            async with asyncio.timeout(5):
                assert await third == Miss()

    asyncio.run(scenario())


def test_whoever_waits_in_another_process_is_told_and_does_not_wait_for_a_poll(settings):
    async def scenario() -> float:
        async with opened(settings) as cache, opened(settings, "b") as other:
            assert await ask(cache) == Miss()
            waiting = asyncio.create_task(ask(other))
            await asyncio.sleep(0.3)
            loop = asyncio.get_running_loop()
            began = loop.time()
            keep(cache)
            assert isinstance(await waiting, Hit)
            return loop.time() - began

    assert asyncio.run(scenario()) < 0.25


def test_a_dead_holder_blocks_for_its_lease_and_no_longer(settings):
    async def scenario() -> float:
        async with opened(settings, "b", lease_s=1) as other:
            async with opened(settings, lease_s=1) as dead:
                assert await ask(dead) == Miss()
                dead._flights.clear()  # As if killed: nothing renews the promise, nothing takes it back.
            began = asyncio.get_running_loop().time()
            assert await ask(other) == Miss()
            return asyncio.get_running_loop().time() - began

    assert asyncio.run(scenario()) < 2.5


def test_a_promise_holds_as_long_as_its_worker_lives(settings):
    async def scenario() -> None:
        async with opened(settings, lease_s=0.5) as cache, opened(settings, "b", lease_s=0.5) as other:
            assert await ask(cache) == Miss()
            waiting = asyncio.create_task(ask(other))
            await asyncio.sleep(1.6)
            assert not waiting.done()
            keep(cache)
            assert isinstance(await waiting, Hit)

    asyncio.run(scenario())


def test_promises_are_taken_back_when_the_worker_stops(settings, rows):
    async def scenario() -> None:
        async with opened(settings) as cache:
            assert await ask(cache) == Miss()

    asyncio.run(scenario())
    assert promises(rows) == 0


def test_a_cancelled_look_up_does_not_keep_the_promise(settings):
    async def scenario() -> None:
        async with opened(settings) as cache, opened(settings, "b") as other:
            gone = asyncio.create_task(ask(cache))
            await asyncio.sleep(0)
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)
            async with asyncio.timeout(5):
                assert await ask(other) == Miss()

    asyncio.run(scenario())


def test_a_result_ends_with_its_time_and_earlier_for_whoever_wants_a_newer_one(settings, rows):
    async def scenario() -> None:
        async with opened(settings) as cache:
            keep(cache)
            assert isinstance(await ask(cache), Hit)
            age(rows, timedelta(minutes=2))
            assert isinstance(await ask(cache), Hit)
            assert await ask(cache, ttl=timedelta(minutes=1)) == Miss()
            keep(cache, '{"n":2}')
            assert (await ask(cache)).output == {"n": 2}
            age(rows, timedelta(minutes=11))
            assert await ask(cache) == Miss()

    asyncio.run(scenario())


def test_a_result_too_large_to_keep_still_reaches_those_who_wait(settings, rows):
    large = '"' + "x" * MAX_CACHED_BYTES + '"'

    async def scenario() -> None:
        async with opened(settings) as cache:
            assert await ask(cache) == Miss()
            waiting = asyncio.create_task(ask(cache))
            await asyncio.sleep(0)
            keep(cache, large)
            assert len((await waiting).output) == MAX_CACHED_BYTES
            assert await ask(cache) == Miss()

    asyncio.run(scenario())


def test_an_entry_that_cannot_be_read_is_a_miss(settings, rows):
    async def scenario() -> None:
        async with opened(settings) as cache:
            keep(cache)
            await ask(cache)
            rows.execute(text("UPDATE node_cache SET output = CAST('[1e999]' AS jsonb)"))
            rows.commit()
            assert isinstance(await ask(cache), Miss)
            keep(cache, '{"n":3}')
            assert (await ask(cache)).output == {"n": 3}

    asyncio.run(scenario())


def test_without_postgresql_every_look_up_is_a_miss_and_afterwards_the_cache_is_back(settings, rows):
    async def scenario() -> None:
        async with opened(settings) as cache:
            assert await ask(cache) == Miss()
            rows.execute(
                text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE :name"),
                {"name": "helmsight-cache%"},
            )
            rows.commit()
            async with asyncio.timeout(5):
                assert isinstance(await ask(cache, b"o" * 32), Miss)
                await asyncio.sleep(0.5)
                keep(cache, key=b"p" * 32)
                assert isinstance(await ask(cache, b"p" * 32), Hit)

    asyncio.run(scenario())


def test_upkeep_drops_what_is_expired_and_leaves_what_somebody_works_on(settings, engine, rows):
    async def scenario() -> None:
        async with opened(settings) as cache:
            keep(cache)
            await ask(cache)
            await ask(cache, b"o" * 32)
            age(rows, timedelta(hours=1))
            await asyncio.to_thread(clean_expired, engine, keep=timedelta(days=90), keep_keys=timedelta(days=7))
            assert cache_state(rows).kinds == {}
            assert promises(rows) == 1

    asyncio.run(scenario())
    assert promises(rows) == 0


def test_results_of_a_kind_are_forgotten_on_demand(settings, rows):
    async def scenario() -> None:
        async with opened(settings) as cache:
            keep(cache)
            await ask(cache)
            assert forget(rows, kind="sql.query") == 0
            assert forget(rows, kind="transform", before=utc_now() - timedelta(hours=1)) == 0
            assert forget(rows, kind="transform") == 1
            rows.commit()
            assert await ask(cache) == Miss()

    asyncio.run(scenario())
