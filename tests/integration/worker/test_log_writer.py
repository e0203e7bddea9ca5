"""Lines of nodes on their way to PostgreSQL."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from analytics.core.clock import utc_now
from analytics.core.errors import DependencyError
from analytics.core.ids import new_id
from analytics.core.settings import Settings
from analytics.store.engine import make_engine
from worker.workflow import logs as module
from worker.workflow.address import NodeAddress
from worker.workflow.logs import MAX_LINES, LogWriter, NodeLog

pytestmark = pytest.mark.integration


def place(node_id: str = "n", *, days: int = 0, map_index: int = -1) -> NodeAddress:
    return NodeAddress(new_id(), utc_now() + timedelta(days=days), node_id, map_index)


def stored(session: Session, where: NodeAddress) -> list[tuple[int, str, str]]:
    session.rollback()
    rows = session.execute(
        text("SELECT seq, level, message FROM node_log WHERE run_id = :run_id ORDER BY attempt, seq"),
        {"run_id": where.run_id},
    )
    return [(row.seq, row.level, row.message) for row in rows]


def test_lines_arrive_as_they_were_said(engine: Engine, session: Session):
    writer, where = LogWriter(engine), place("each/fetch ü\t\\", map_index=7)
    log = NodeLog(writer.put, where, 3)
    began = utc_now()
    log.info("plain")
    log.error("tab\tbackslash\\ newline\n carriage\r ü € 🙂 \\N")
    log.debug("")
    writer.drain()
    assert [message for _, _, message in stored(session, where)] == [
        "plain", "tab\tbackslash\\ newline\n carriage\r ü € 🙂 \\N", ""
    ]  # fmt: skip
    row = session.execute(text("SELECT * FROM node_log WHERE seq = 1")).one()
    assert (row.run_id, row.run_created_at, row.node_id, row.map_index, row.attempt) == (*where, 3)
    assert began <= row.at <= utc_now()


def test_what_was_cut_is_one_line_that_is_brought_up_to_date(engine: Engine, session: Session):
    writer, where = LogWriter(engine), place()
    log = NodeLog(writer.put, where, 1)
    for _ in range(MAX_LINES + 1):
        log.info("x")
    writer.drain()
    assert stored(session, where)[-1][2].startswith("1 lines with")
    log.skip(41, 4100)
    log.close()
    writer.drain()
    lines = stored(session, where)
    assert len(lines) == MAX_LINES + 1
    assert lines[-1][0] == MAX_LINES
    assert lines[-1][2].startswith("42 lines with")


def test_lines_are_written_while_the_loop_goes_on_and_at_its_end(engine: Engine, session: Session):
    writer, where = LogWriter(engine), place()
    log = NodeLog(writer.put, where, 1)

    async def scenario() -> None:
        writing = asyncio.create_task(writer.write_forever())
        log.info("first")
        async with asyncio.timeout(5):
            while not await asyncio.to_thread(stored, session, where):  # noqa: ASYNC110 - the table has no bell
                await asyncio.sleep(0.05)
        log.info("last")
        writing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await writing
        await writer.flush()

    asyncio.run(scenario())
    assert [message for _, _, message in stored(session, where)] == ["first", "last"]


def test_a_thread_writes_until_it_shall_stop_and_then_what_is_left(engine: Engine, session: Session):
    writer, where, stop = LogWriter(engine), place(), threading.Event()
    thread = threading.Thread(target=writer.write_until, args=(stop,))
    thread.start()
    NodeLog(writer.put, where, 1).info("x")
    stop.set()
    thread.join(timeout=5)
    assert stored(session, where) == [(0, "info", "x")]


def test_lines_wait_while_postgresql_is_away(settings: Settings, engine: Engine, session: Session):
    away = make_engine(settings.model_copy(update={"store": _nowhere(settings)}), role="test")
    writer, where = LogWriter(away), place()
    log = NodeLog(writer.put, where, 1)
    for number in range(3):
        log.write("info", str(number))
    with pytest.raises(DependencyError):
        writer.drain()
    away.dispose()
    writer._engine = engine
    log.info("3")
    writer.drain()
    assert [message for _, _, message in stored(session, where)] == ["0", "1", "2", "3"]


def _nowhere(settings: Settings):
    return settings.store.model_copy(update={"dsn": type(settings.store.dsn)("postgresql://x@127.0.0.1:1/x")})


def test_memory_is_bounded_while_lines_wait(engine: Engine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MAX_PENDING_BYTES", 100_000)
    writer = LogWriter(engine)
    log = NodeLog(writer.put, place(), 1)
    for _ in range(1000):
        log.info("x" * 1000)
    assert writer._pending_bytes < 110_000
    assert log.lines < 100
    writer.drain()
    log.close()
    writer.drain()
    assert writer._pending_bytes == 0


def test_what_is_refused_is_dropped_and_the_others_are_kept(engine: Engine, session: Session):
    writer, good, bad = LogWriter(engine), place("good"), place("bad", days=-36_500)
    for where in (good, bad, good):
        NodeLog(writer.put, where, 1 if where is bad else 2).info("x")
    writer.drain()
    assert [message for _, _, message in stored(session, good)] == ["x"]  # The second has the number of the first.
    assert stored(session, bad) == []


def test_many_threads_may_speak_at_once(engine: Engine, session: Session):
    writer, where = LogWriter(engine), place()
    log = NodeLog(writer.put, where, 1)

    def speak(name: str) -> None:
        for number in range(200):
            log.write("info", f"{name} {number}")

    _together([lambda name=name: speak(name) for name in "abcde"])
    writer.drain()
    lines = stored(session, where)
    assert [seq for seq, _, _ in lines] == list(range(1000))
    for name in "abcde":
        assert [m for _, _, m in lines if m.startswith(name)] == [f"{name} {number}" for number in range(200)]


def _together(work: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=one) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)


def test_thousands_of_lines_a_second_are_no_load(engine: Engine, session: Session):
    writer, where = LogWriter(engine), place()
    for attempt in range(1, 11):
        log = NodeLog(writer.put, where, attempt)
        for _ in range(2000):
            log.info("a line as nodes say it, with some words in it")
    began = time.thread_time()
    writer.drain()
    assert time.thread_time() - began < 2.0
    assert len(stored(session, where)) == 20_000
