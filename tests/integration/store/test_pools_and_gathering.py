"""What a pool tells of itself, and several questions at once."""

import asyncio
import threading
import time
from datetime import timedelta

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from analytics.core.errors import DependencyError
from analytics.core.settings import Settings
from analytics.store.engine import (
    MAY_FAIL,
    PoolProfile,
    async_session_scope,
    make_async_engine,
    make_engine,
    pool_state,
    session_scope,
)
from analytics.store.parallel import gather

pytestmark = pytest.mark.integration


def test_a_pool_counts_who_took_connections_which_were_opened_and_how_long_callers_waited(engine: Engine) -> None:
    assert pool_state(engine).hit_rate is None
    assert pool_state(engine).mean_wait_s is None
    for _ in range(4):
        with session_scope(engine) as session:
            session.execute(text("SELECT 1"))
            assert pool_state(engine).checked_out == 1
    state = pool_state(engine)
    assert (state.checkouts, state.opened, state.checked_out, state.hit_rate) == (4, 1, 0, 0.75)
    assert state.mean_wait_s is not None
    assert state.mean_wait_s > 0
    assert (state.size, state.most, state.used) == (20, 30, 0)


def test_a_connection_that_died_is_replaced_and_counted(engine: Engine) -> None:
    with session_scope(engine) as session:
        pid = session.scalar(text("SELECT pg_backend_pid()"))
    other = create_engine(engine.url)
    with other.connect() as connection:
        connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
    other.dispose()
    with session_scope(engine) as session:
        assert session.scalar(text("SELECT 1")) == 1
    assert (pool_state(engine).invalid, pool_state(engine).opened) == (1, 2)


def test_a_pool_that_is_exhausted_says_so(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        make_engine.__globals__["POOL_PROFILES"], "local", PoolProfile(size=1, overflow=0, recycle_s=60, timeout_s=0)
    )
    engine = make_engine(settings, role="test")
    with session_scope(engine) as session:
        session.execute(text("SELECT 1"))
        with pytest.raises(DependencyError), session_scope(engine) as second:
            second.execute(text("SELECT 1"))
    assert pool_state(engine).exhausted == 1
    engine.dispose()
    assert pool_state(engine).exhausted == 0, "a new pool begins anew"


def driver_of(connection: Connection):
    return connection.connection.driver_connection


def test_what_is_still_read_when_a_process_ends_leaves_no_connection_open(engine: Engine) -> None:
    reading = engine.connect()
    reading.execute(text("SELECT 1"))
    before = driver_of(reading)
    engine.dispose()
    assert reading.scalar(text("SELECT 2")) == 2, "what is under way comes to its end"
    reading.close()
    with engine.connect() as late:
        after = driver_of(late)
    assert (before.closed, after.closed) == (True, True)


def test_what_asyncio_still_reads_when_a_process_ends_leaves_no_connection_open(settings: Settings) -> None:
    async def read_on() -> list[bool]:
        engine = make_async_engine(settings, role="test")
        async with engine.connect() as reading:
            await reading.execute(text("SELECT 1"))
            before = (await reading.get_raw_connection()).driver_connection
            await engine.dispose()
        async with engine.connect() as late:
            after = (await late.get_raw_connection()).driver_connection
        return [before.closed, after.closed]

    assert asyncio.run(read_on()) == [True, True]


def measured(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"helmsight_db_connection_{name}", {"pool": "sync", **labels}) or 0.0


def test_metrics_tell_of_the_pools_of_whatever_process(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = PoolProfile(size=1, overflow=1, recycle_s=60, timeout_s=0)
    monkeypatch.setitem(make_engine.__globals__["POOL_PROFILES"], "local", profile)
    events = ("opened", "invalid", "exhausted")
    before = [measured("pool_events_total", event=event) for event in events]
    out, overflow = (measured("pool_size", state=state) for state in ("out", "overflow"))
    engine = make_engine(settings, role="test")
    with engine.connect() as first, engine.connect():
        assert measured("pool_size", state="out") == out + 2
        assert measured("pool_size", state="overflow") == overflow + 1
        with pytest.raises(DependencyError), session_scope(engine) as third:
            third.execute(text("SELECT 1"))
        first.invalidate()
    after = [measured("pool_events_total", event=event) for event in events]
    assert [now - then for now, then in zip(after, before, strict=True)] == [2, 1, 1]
    engine.dispose()


@pytest.mark.parametrize("size", [1, 3])
def test_a_pool_grows_by_its_overflow_under_load_and_shrinks_to_its_size(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    profile = PoolProfile(size=size, overflow=2, recycle_s=60, timeout_s=0)
    monkeypatch.setitem(make_engine.__globals__["POOL_PROFILES"], "local", profile)
    engine = make_engine(settings, role="test")
    taken = [engine.connect() for _ in range(size + 2)]
    assert (pool_state(engine).checked_out, pool_state(engine).overflow, pool_state(engine).used) == (size + 2, 2, 1.0)
    for connection in taken:
        connection.close()
    state = pool_state(engine)
    assert (state.checked_out, state.checked_in, state.overflow, state.opened) == (0, size, 0, size + 2)
    engine.dispose()


def test_a_connection_that_is_old_is_opened_anew(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = PoolProfile(size=1, overflow=0, recycle_s=600, timeout_s=5)
    monkeypatch.setitem(make_engine.__globals__["POOL_PROFILES"], "local", profile)
    engine = make_engine(settings, role="test")
    with engine.connect() as connection:
        first = driver_of(connection)
    with engine.connect() as connection:
        assert driver_of(connection) is first
    later = time.time() + 601
    monkeypatch.setattr("sqlalchemy.pool.base.time.time", lambda: later)
    with engine.connect() as connection:
        assert driver_of(connection) is not first
    assert (first.closed, pool_state(engine).opened, pool_state(engine).invalid) == (True, 2, 0)
    monkeypatch.undo()
    engine.dispose()


def test_whoever_stands_still_within_a_transaction_loses_what_it_locked(settings: Settings, engine: Engine) -> None:
    lock = text("SELECT pg_advisory_xact_lock(4711)")

    async def stand_still() -> None:
        stuck = make_async_engine(settings, role="stuck", longest_pause=timedelta(milliseconds=50))
        try:
            async with async_session_scope(stuck) as session:
                await session.execute(lock)
                with session_scope(engine) as other:  # in this thread, so that the loop stands still meanwhile
                    other.execute(lock)
                await session.execute(text("SELECT 1"))
        finally:
            await stuck.dispose()

    with pytest.raises(DependencyError, match="closed the connection"):
        asyncio.run(stand_still())


@pytest.mark.parametrize("lost_at", ["a statement", "the end"])
def test_only_when_a_connection_is_lost_at_the_end_it_is_not_known_what_was_kept(engine: Engine, lost_at: str) -> None:
    def work_and_lose() -> None:
        with session_scope(engine) as session:
            pid = session.scalar(text("SELECT pg_backend_pid()"))
            with session_scope(engine) as other:
                other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
            if lost_at == "a statement":
                session.execute(text("SELECT 1"))

    expected = "in full or not at all" if lost_at == "the end" else "nothing was changed"
    with pytest.raises(DependencyError, match=expected):
        work_and_lose()


@pytest.mark.parametrize(("options", "counted"), [({}, 1), ({MAY_FAIL: True}, 0)])
def test_a_failure_that_is_an_answer_is_no_error(engine: Engine, options: dict[str, bool], counted: int) -> None:
    def errors() -> float:
        return REGISTRY.get_sample_value("helmsight_db_errors_total", {"role": "test"}) or 0.0

    before = errors()
    with engine.connect() as connection, pytest.raises(DBAPIError):
        connection.exec_driver_sql("SELECT 1 / 0", execution_options=options)
    assert errors() - before == counted


def test_what_is_no_pool_has_no_figures() -> None:
    assert pool_state(create_engine("sqlite://")).used is None


def test_questions_are_asked_at_the_same_time_and_answered_by_name(engine: Engine) -> None:
    together = threading.Barrier(3, timeout=20)

    def ask(session: Session) -> int:
        together.wait()
        return session.scalar(text("SELECT pg_backend_pid()")) or 0

    answers = gather(engine, dict.fromkeys(("a", "b", "c"), ask))
    assert list(answers) == ["a", "b", "c"]
    assert len(set(answers.values())) == 3


def test_a_failing_question_fails_the_gathering_once_all_have_ended(engine: Engine) -> None:
    ended = threading.Event()

    def fails(_: Session) -> None:
        raise DependencyError("The first.")

    def ends(session: Session) -> None:
        session.execute(text("SELECT 1"))
        ended.set()

    with pytest.raises(DependencyError, match="The first"):
        gather(engine, {"a": fails, "b": ends})
    assert ended.is_set()
    assert pool_state(engine).checked_out == 0


def test_gatherings_within_gatherings_do_not_wait_for_each_other_and_exhaust_no_pool(engine: Engine) -> None:
    most_seen = 0

    def leaf(session: Session) -> int:
        nonlocal most_seen
        session.execute(text("SELECT 1"))
        most_seen = max(most_seen, pool_state(engine).checked_out)
        return 1

    def branch(_: Session) -> int:
        return sum(gather(engine, {str(number): leaf for number in range(4)}).values())

    answers = gather(engine, {str(number): branch for number in range(40)})
    assert sum(answers.values()) == 160
    assert most_seen <= 10
