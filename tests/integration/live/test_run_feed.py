"""A watched run in a real database: heard of at once, read for what changed, over when it is over."""

import asyncio
import uuid
from collections.abc import Callable

import pytest
from sqlalchemy import Engine, text

from analytics.core.settings import Settings
from analytics.store.engine import make_async_engine, session_scope
from dashboard.live.feed import Reading
from dashboard.live.notices import RUNS_CHANNEL, RunNotices
from dashboard.live.run_reader import RunReader, run_exists
from worker.enqueue import Door

pytestmark = pytest.mark.integration

_NODE = text(
    "INSERT INTO node_run (run_id, run_created_at, node_id, map_index, kind, status, started_at)"
    " SELECT id, created_at, :node, :index, 'transform', :status, now() FROM run WHERE id = :id"
    " ON CONFLICT (run_id, run_created_at, node_id, map_index)"
    " DO UPDATE SET status = EXCLUDED.status, changed_at = clock_timestamp()"
)


@pytest.fixture
def run_id(engine: Engine) -> uuid.UUID:
    """A queued run of a workflow that ships with Helmsight."""
    door = Door(engine, None)
    door.ensure_builtins()
    return door.queue_run(workflow="document-intake", params={}, requested_by="test").run_id


def set_node(engine: Engine, run_id: uuid.UUID, node: str, status: str, index: int = -1) -> None:
    with session_scope(engine) as session:
        session.execute(_NODE, {"id": run_id, "node": node, "status": status, "index": index})


def tell(engine: Engine, payload: str) -> None:
    with session_scope(engine) as session:
        session.execute(text("SELECT pg_notify(:channel, :payload)"), {"channel": RUNS_CHANNEL, "payload": payload})


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.01)


def test_watchers_of_a_run_are_woken_by_its_notice_and_by_no_other(engine: Engine, settings: Settings):
    first, second = uuid.uuid4(), uuid.uuid4()

    async def scenario() -> None:
        notices = RunNotices(lambda: settings.dsn)
        async with notices.watching(first) as mine, notices.watching(second) as other:
            await until(lambda: notices.is_listening)
            mine.clear()
            other.clear()
            await asyncio.to_thread(tell, engine, f"{uuid.uuid4()},{first}")
            await asyncio.wait_for(mine.wait(), 10)
            assert not other.is_set()
        assert not notices.is_listening

    asyncio.run(scenario())


def test_a_listener_that_was_cut_off_comes_back_and_wakes_everybody(engine: Engine, settings: Settings):
    async def scenario() -> None:
        notices = RunNotices(lambda: settings.dsn)
        async with notices.watching(uuid.uuid4()) as changed:
            await until(lambda: notices.is_listening)
            changed.clear()
            with session_scope(engine) as session:
                session.execute(
                    text(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE application_name = 'helmsight-dashboard-listen' AND datname = current_database()"
                    )
                )
            await asyncio.wait_for(changed.wait(), 10)
            assert notices.is_listening

    asyncio.run(scenario())


def test_a_reading_adds_what_changed_and_leaves_the_rest_alone(engine: Engine, settings: Settings, run_id: uuid.UUID):
    async def scenario() -> tuple[Reading, Reading, Reading]:
        async_engine = make_async_engine(settings, role="test")
        try:
            reader = RunReader(async_engine, run_id)
            first = await reader.read()
            node = next(iter(first.entries))
            set_node(engine, run_id, node, "running")
            second = await reader.read()
            with session_scope(engine) as session:
                session.execute(
                    text("UPDATE run SET status = 'failed', finished_at = now() WHERE id = :id"), {"id": run_id}
                )
            set_node(engine, run_id, node, "failed")
            return first, second, await reader.read()
        finally:
            await async_engine.dispose()

    first, second, third = asyncio.run(scenario())
    changed = next(iter(first.entries))
    assert {entry["status"] for entry in first.entries.values()} == {"pending"}
    assert first.extra["run"]["status"] == "queued"
    assert first.extra["run"]["queue_position"] == 1
    assert second.entries[changed]["status"] == "running"
    assert all(second.entries[node] is entry for node, entry in first.entries.items() if node != changed)
    assert not second.is_over
    assert third.entries[changed]["status"] == "failed"
    assert third.is_over


def test_a_run_that_is_gone_is_over(settings: Settings):
    async def scenario() -> tuple[bool, Reading]:
        async_engine = make_async_engine(settings, role="test")
        try:
            gone = uuid.uuid4()
            return await run_exists(async_engine, gone), await RunReader(async_engine, gone).read()
        finally:
            await async_engine.dispose()

    exists, reading = asyncio.run(scenario())
    assert not exists
    assert reading.is_over
    assert reading.extra["run"]["status"] == "removed"
