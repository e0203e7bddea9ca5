"""Old history goes by whole months, beside those who write; what has expired besides goes with it."""

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from history_kit import node, rows, run, step, workflow
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from analytics.core.clock import utc_now
from analytics.core.errors import DependencyError, InputError
from analytics.core.ids import new_id
from analytics.store.engine import session_scope
from analytics.store.partitions import (
    OF_RUNS,
    PARTITIONED,
    drop_partition,
    ensure_partitions,
    next_month,
    partition_names,
    partitions_of,
)
from analytics.store.queries import runs
from analytics.store.retention import clean_expired, drop_old_months
from analytics.store.tables import NodeCache, NodeWait, RunKey, RunSignal, Schedule, ScheduleRun

pytestmark = pytest.mark.integration
DAY = timedelta(days=1)
KEEP = 90 * DAY


def first_of_month(months_ago: int) -> datetime:
    now = utc_now()
    year, number = divmod(now.year * 12 + now.month - 1 - months_ago, 12)
    return datetime(year, number + 1, 1, tzinfo=UTC)


@pytest.fixture
def old(engine):
    """Runs in this month and in each of the three before it; returns them by how many months ago."""
    with session_scope(engine) as session:
        ensure_partitions(session.connection(), since=first_of_month(3))
        flow = workflow(session, "flow", step("a"))
        made = {}
        for ago in range(4):
            made[ago] = run(session, flow, at=first_of_month(ago) + timedelta(hours=1))
            node(session, made[ago], "a")
        return made


def dropped_months(report) -> set[str]:
    return {name.rsplit("_y", 1)[1] for name in report.dropped}


def kept(engine, old) -> list[int]:
    with session_scope(engine) as session:
        return [ago for ago, run_id in old.items() if runs.run_detail(session, run_id) is not None]


def test_months_that_ended_before_what_is_kept_go_with_all_their_tables(engine, old):
    report = drop_old_months(engine, keep=utc_now() - first_of_month(1))
    expected = {f"{first_of_month(ago):%Ym%m}" for ago in (2, 3)}
    assert dropped_months(report) == expected
    assert len(report.dropped) == 2 * len(OF_RUNS)
    assert kept(engine, old) == [0, 1]
    assert drop_old_months(engine, keep=utc_now() - first_of_month(1)).dropped == []
    with session_scope(engine) as session:
        assert ensure_partitions(session.connection()) == []
        assert len(runs.run_detail(session, old[1]).nodes) == 1


def test_a_month_stays_while_one_of_its_runs_is_open_or_not_counted(engine, old):
    with session_scope(engine) as session:
        flow = workflow(session, "slow", step("a"))
        waits = run(session, flow, status="waiting", at=first_of_month(2) + DAY)
        run(session, flow, at=first_of_month(3) + DAY, outbox=True)
    report = drop_old_months(engine, keep=utc_now() - first_of_month(1))
    assert (report.dropped, report.held_back) == ([], [first_of_month(3), first_of_month(2)])
    with session_scope(engine) as session:
        session.execute(text("DELETE FROM run_active WHERE run_id = :id"), {"id": waits})
        session.execute(text("DELETE FROM run_ended"))
    assert len(dropped_months(drop_old_months(engine, keep=utc_now() - first_of_month(1)))) == 2


def test_what_a_killed_drop_left_behind_is_finished(engine, old):
    month = first_of_month(3)
    name = f"run_y{month:%Ym%m}"
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"ALTER TABLE run DETACH PARTITION {name} CONCURRENTLY"))
    with engine.connect() as connection:
        first = partitions_of(connection, "run")[0]
        assert (first.name, first.is_attached, first.is_pending) == (name, False, False)
    report = drop_old_months(engine, keep=utc_now() - first_of_month(2))
    assert set(report.dropped) == {f"{table}_y{month:%Ym%m}" for table in OF_RUNS}
    with engine.connect() as connection:
        assert name not in partition_names(connection)


def test_a_reader_of_long_standing_delays_dropping_but_loses_nothing_and_blocks_nobody(engine, old):
    """Detaching gives up after its time-out, leaves the month half detached, and the next call ends it."""
    name = f"run_y{first_of_month(3):%Ym%m}"
    with Session(engine) as reader:
        assert reader.scalar(text("SELECT count(*) FROM run")) == 4
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("SET statement_timeout = '300ms'"))
            partition = next(item for item in partitions_of(connection, "run") if item.name == name)
            with pytest.raises(Exception, match="statement timeout"):
                drop_partition(connection, partition)
            connection.execute(text("RESET statement_timeout"))
        with session_scope(engine) as session:
            run(session, workflow(session, "beside", step("a")))
        reader.rollback()
    with engine.connect() as connection:
        assert next(item for item in partitions_of(connection, "run") if item.name == name).is_pending
    assert name in drop_old_months(engine, keep=utc_now() - first_of_month(2)).dropped
    assert kept(engine, old) == [0, 1, 2]


def test_writers_and_readers_go_on_while_months_are_made_and_dropped(engine, old):
    stop, waits, errors = threading.Event(), [], []
    with session_scope(engine) as session:
        flow = workflow(session, "busy", step("a"))

    def write() -> None:
        while not stop.is_set():
            began = time.monotonic()
            try:
                with session_scope(engine) as session:
                    node(session, run(session, flow), "a")
                    runs.list_runs(session)
            except DependencyError as error:
                errors.append(error)
            waits.append(time.monotonic() - began)

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    try:
        report = drop_old_months(engine, keep=utc_now() - first_of_month(1))
        with session_scope(engine) as session:
            made = ensure_partitions(session.connection(), since=first_of_month(4))
            time.sleep(0.3)  # the transaction that made them is still open
            during = len(waits)
            time.sleep(0.5)
            assert len(waits) > during
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert len(report.dropped) == 2 * len(OF_RUNS)
    assert len(made) == len(PARTITIONED) + 2 * len(OF_RUNS)
    assert errors == []
    assert max(waits) < 5


def test_two_at_once_and_a_bad_length_do_no_harm(engine, old):
    reports = []
    keep = utc_now() - first_of_month(1)
    threads = [threading.Thread(target=lambda: reports.append(drop_old_months(engine, keep=keep))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(len(report.dropped) for report in reports) == [0, 2 * len(OF_RUNS)]
    with pytest.raises(InputError, match="a day at least"):
        drop_old_months(engine, keep=timedelta(hours=2))
    with engine.connect() as connection, pytest.raises(InputError, match="not kept in monthly"):
        partitions_of(connection, "workflow")


def test_a_month_is_made_with_every_index_and_check_of_its_table(engine):
    with session_scope(engine) as session:
        ensure_partitions(session.connection(), since=first_of_month(2))
        for table in OF_RUNS:
            count = text("SELECT count(*) FROM pg_index WHERE indrelid = CAST(:name AS regclass) AND indisvalid")
            name = f"{table}_y{first_of_month(2):%Ym%m}"
            assert session.scalar(count, {"name": name}) == session.scalar(count, {"name": table})
        flow = workflow(session, "flow", step("a"))
        old = run(session, flow, at=first_of_month(2), took_s=3)
        assert session.scalar(text("SELECT took_s FROM run WHERE id = :id"), {"id": old}) == 3
        with pytest.raises(Exception, match="ck_run_status"):
            run(session, flow, at=first_of_month(2), status="nonsense")
        session.rollback()


def test_what_has_expired_is_deleted_and_what_has_not_stays(engine, old):
    now = utc_now()
    with session_scope(engine) as session:
        flow = workflow(session, "cleaned", step("a"))
        active = run(session, flow, status="waiting", at=first_of_month(3) + DAY)
        for key, columns in {
            b"gone": {"status": "ready", "expires_at": now - DAY},
            b"kept": {"status": "ready", "expires_at": now + DAY},
            b"forever": {"status": "ready"},
            b"lost": {"status": "computing", "held_until": now - 2 * DAY},
            b"held": {"status": "computing", "held_until": now - timedelta(minutes=1)},
        }.items():
            rows(session, NodeCache, {"key": key, "kind": "transform", **columns})
        for key, run_id, at in (("old", old[3], now - 8 * DAY), ("open", active, now - 8 * DAY), ("new", old[0], now)):
            rows(
                session,
                RunKey,
                {"workflow_id": flow, "key": key, "run_id": run_id, "run_created_at": at, "created_at": at},
            )
        for run_id, at in ((old[3], first_of_month(3)), (active, first_of_month(3)), (old[0], first_of_month(0))):
            rows(session, NodeWait, {"run_id": run_id, "run_created_at": at, "node_id": "a", "kind": "signal"})
            rows(session, RunSignal, {"id": new_id(), "run_id": run_id, "name": "go"})
        schedule = new_id()
        rows(session, Schedule, {"id": schedule, "workflow_id": flow, "name": "s", "every_s": 60.0})
        for at in (now - 91 * DAY, now - 89 * DAY):
            rows(session, ScheduleRun, {"schedule_id": schedule, "scheduled_for": at})
        session.execute(text(f"DROP TABLE run_y{first_of_month(3):%Ym%m}"))
    report = clean_expired(engine, keep=KEEP, keep_keys=7 * DAY)
    assert report.rows == {"node_cache": 2, "run_key": 1, "node_wait": 1, "run_signal": 2, "schedule_run": 1}
    with session_scope(engine) as session:
        assert set(session.scalars(select(NodeCache.key))) == {b"kept", b"forever", b"held"}
        assert set(session.scalars(select(RunKey.key))) == {"open", "new"}
        assert set(session.scalars(select(NodeWait.run_id))) == {active, old[0]}
        assert set(session.scalars(select(RunSignal.run_id))) == {active}
    assert clean_expired(engine, keep=KEEP, keep_keys=7 * DAY).rows == {}


def test_much_that_has_expired_goes_batch_by_batch(engine, monkeypatch):
    monkeypatch.setattr("analytics.store.retention.BATCH", 10)
    with session_scope(engine) as session:
        gone = {"kind": "transform", "status": "ready", "expires_at": utc_now() - DAY}
        rows(session, NodeCache, *({"key": str(number).encode(), **gone} for number in range(25)))
    assert clean_expired(engine, keep=KEEP, keep_keys=DAY).rows == {"node_cache": 25}
    with session_scope(engine) as session:
        assert session.scalar(select(func.count()).select_from(NodeCache)) == 0


def test_the_month_after_december_is_january():
    assert next_month(datetime(2026, 12, 31, 23, tzinfo=UTC)) == datetime(2027, 1, 1, tzinfo=UTC)
