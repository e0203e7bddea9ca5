"""Statistics of workflows: every run that ends is counted once, whoever counts and whenever that breaks off."""

import threading
from datetime import timedelta

import pytest
from history_kit import MINUTE, rows, run, step, workflow
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from analytics.core.clock import utc_now
from analytics.core.errors import InputError
from analytics.store.ended import count_ended
from analytics.store.engine import session_scope
from analytics.store.queries.workflows import (
    get_version,
    get_workflow,
    list_versions,
    list_workflows,
    workflow_stats,
)
from analytics.store.tables import RunEnded, Schedule, WorkflowDay, WorkflowVersion

pytestmark = pytest.mark.integration
DAY = timedelta(days=1)
_CUT = text(
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'helmsight-test'"
)


def sums(session: Session) -> dict[str, float]:
    row = session.execute(
        text(
            "SELECT sum(completed) AS completed, sum(failed) AS failed, sum(cancelled) AS cancelled,"
            " sum(started) AS started, sum(duration_s) AS duration_s, sum(wait_s) AS wait_s FROM workflow_day"
        )
    ).one()
    return {name: float(value or 0) for name, value in row._mapping.items()}


def test_what_became_of_runs_is_summed_by_day_and_told_once(session):
    flow = workflow(session, "flow", step("a"))
    at = utc_now() - MINUTE
    run(session, flow, at=at, took_s=4, waited_s=1, outbox=True)
    run(session, flow, at=at, took_s=6, waited_s=3, outbox=True)
    failed = run(session, flow, at=at, status="failed", took_s=9, waited_s=0, outbox=True, error={"code": "timeout"})
    run(session, flow, at=at, status="cancelled", started_at=None, outbox=True)
    told = count_ended(session)
    assert {item.status for item in told} == {"completed", "failed", "cancelled"}
    assert [(item.workflow_name, item.error) for item in told if item.id == failed] == [("flow", {"code": "timeout"})]
    assert count_ended(session) == []
    assert session.scalars(select(RunEnded)).all() == []
    expected = {"completed": 2, "failed": 1, "cancelled": 1, "started": 3, "duration_s": 10, "wait_s": 4}
    assert sums(session) == pytest.approx(expected)
    run(session, flow, at=at, took_s=1, waited_s=0, outbox=True)
    count_ended(session)
    assert sums(session)["completed"] == 3
    assert len(session.scalars(select(WorkflowDay)).all()) == 1


def test_a_run_belongs_to_the_day_it_was_created_on_and_to_its_origin(session):
    flow = workflow(session, "flow", step("a"))
    midnight = utc_now().replace(hour=0, minute=0, second=0, microsecond=0)
    run(session, flow, at=midnight, outbox=True)
    run(session, flow, at=midnight, outbox=True, origin="demo")
    count_ended(session)
    days = session.execute(select(WorkflowDay.day, WorkflowDay.origin, WorkflowDay.completed)).all()
    assert sorted(map(tuple, days)) == [(midnight.date(), "demo", 1), (midnight.date(), "live", 1)]


def test_no_more_than_the_limit_is_counted_at_once_and_the_oldest_end_comes_first(session):
    flow = workflow(session, "flow", step("a"))
    made = [run(session, flow) for _ in range(5)]
    for place, run_id in enumerate(reversed(made)):
        at = utc_now() + place * timedelta(seconds=1)
        rows(session, RunEnded, {"run_id": run_id, "run_created_at": utc_now() - MINUTE, "ended_at": at})
    session.execute(text("UPDATE run_ended e SET run_created_at = r.created_at FROM run r WHERE r.id = e.run_id"))
    assert [item.id for item in count_ended(session, limit=2)] == made[:2:-1]
    assert len(count_ended(session, limit=10)) == 3


def test_a_run_whose_month_is_gone_leaves_the_outbox_without_being_counted(session):
    flow = workflow(session, "flow", step("a"))
    this = run(session, flow, outbox=True)
    session.execute(text("DELETE FROM run WHERE id = :id"), {"id": this})
    assert count_ended(session) == []
    assert session.scalars(select(RunEnded)).all() == []


def test_counting_that_breaks_off_is_as_if_it_had_not_begun(engine):
    with session_scope(engine) as session:
        flow = workflow(session, "flow", step("a"))
        run(session, flow, outbox=True)
    with Session(engine) as broken:
        assert len(count_ended(broken)) == 1
        broken.rollback()
    with session_scope(engine) as session:
        assert sums(session)["completed"] == 0
        assert len(count_ended(session)) == 1
    with session_scope(engine) as session:
        assert sums(session)["completed"] == 1
        assert count_ended(session) == []


def test_two_tickers_of_which_connections_are_killed_count_every_run_once(engine):
    """Runs keep ending while two count them; their connections are cut again and again."""
    with session_scope(engine) as session:
        flows = [workflow(session, name, step("a")) for name in ("one", "two", "three")]
    stop, told, told_lock = threading.Event(), [], threading.Lock()

    def tick() -> None:
        while True:
            last = stop.is_set()
            try:
                with session_scope(engine) as session:
                    found = count_ended(session, limit=7)
            except Exception:  # noqa: BLE001, S112 - the connection was cut, as it should be
                continue
            with told_lock:
                told.extend(item.id for item in found)
            if last and not found:
                return

    tickers = [threading.Thread(target=tick) for _ in range(2)]
    for ticker in tickers:
        ticker.start()
    made, cut = [], 0
    for number in range(30):
        with session_scope(engine) as session:
            made += [run(session, flow, outbox=True) for flow in flows for _ in range(2)]
        if number % 3 == 0:
            with session_scope(engine) as session:
                cut += session.scalar(_CUT) or 0
    stop.set()
    for ticker in tickers:
        ticker.join()
    with session_scope(engine) as session:
        assert sums(session)["completed"] == len(made) == 180
    assert cut > 0
    assert len(told) == len(set(told))
    assert set(told) <= set(made)


def test_statistics_of_a_workflow_show_every_day_and_runs_not_counted_yet(session):
    flow, never = workflow(session, "used", step("a")), workflow(session, "unused", step("a"))
    today = utc_now().date()
    rows(
        session,
        WorkflowDay,
        {"workflow_id": flow, "day": today - DAY, "completed": 3, "failed": 1, "started": 5, "cancelled": 1,
         "duration_s": 30.0, "wait_s": 10.0, "last_run_at": utc_now() - DAY},
        {"workflow_id": flow, "day": today - 29 * DAY, "completed": 1, "started": 1, "duration_s": 2.0},
        {"workflow_id": flow, "day": today - 30 * DAY, "completed": 9, "started": 9, "duration_s": 900.0},
    )  # fmt: skip
    run(session, flow, took_s=8, waited_s=2, outbox=True)
    found = workflow_stats(session, flow)
    assert (len(found.days), found.days[-1].day, found.days[0].day) == (30, today, today - 29 * DAY)
    assert [item.completed for item in found.days if item.completed] == [1, 3, 1]
    assert (found.completed, found.failed, found.cancelled) == (5, 1, 1)
    assert found.success_ratio == pytest.approx(5 / 6)
    assert found.average_s == pytest.approx(8.0)
    assert found.average_wait_s == pytest.approx(12 / 7)
    assert (found.p50_s, found.p95_s, found.samples) == (8.0, 8.0, 1)
    count_ended(session)
    assert workflow_stats(session, flow).completed == 5
    nothing = workflow_stats(session, never, days=1)
    assert (len(nothing.days), nothing.completed, nothing.success_ratio, nothing.p95_s) == (1, 0, None, None)
    assert (nothing.average_s, nothing.average_wait_s, nothing.last_run_at) == (None, None, None)
    with pytest.raises(InputError, match="reach back"):
        workflow_stats(session, flow, days=0)


def test_percentiles_are_those_of_the_newest_completed_runs(session, monkeypatch):
    monkeypatch.setattr("analytics.store.queries.workflows.NEWEST", 4)
    flow = workflow(session, "flow", step("a"))
    for number, took_s in enumerate((1, 2, 3, 4, 100)):
        run(session, flow, at=utc_now() - (number + 1) * MINUTE, took_s=took_s)
    run(session, flow, at=utc_now(), status="failed", took_s=50)
    found = workflow_stats(session, flow)
    assert (found.p50_s, found.p95_s, found.samples) == (2.5, pytest.approx(3.85), 4)


def test_the_list_shows_workflows_that_never_ran_what_is_open_and_what_starts_next(session):
    used, unused = workflow(session, "b-used", step("a")), workflow(session, "a-unused", step("a"))
    run(session, used, took_s=3, outbox=True)
    open_run = run(session, used, status="queued", at=utc_now())
    next_at = utc_now() + DAY
    rows(
        session,
        Schedule,
        {"workflow_id": used, "name": "daily", "cron": "@daily", "next_at": next_at},
        {"workflow_id": unused, "name": "paused", "every_s": 60.0, "next_at": next_at, "paused_at": utc_now()},
    )
    found = {row.name: row for row in list_workflows(session, limit=100).items}
    row = found["b-used"]
    assert (row.runs_30d, row.completed_30d, row.open_runs, row.success_ratio, row.average_s) == (2, 1, 1, 1.0, 3.0)
    assert row.next_at == next_at
    assert row.last_run_at is not None
    assert row.last_run_at > utc_now() - MINUTE
    idle = found["a-unused"]
    assert (idle.runs_30d, idle.success_ratio, idle.average_s, idle.last_run_at, idle.next_at) == (0,) + (None,) * 4
    assert [item.name for item in list_workflows(session, search="b-u").items] == ["b-used"]
    assert get_workflow(session, str(used)).row == row
    assert get_workflow(session, "no such") is None
    assert open_run is not None


def test_versions_are_listed_newest_first_and_read_one_by_one(session):
    flow = workflow(session, "flow", step("a"))
    for version in (2, 3):
        spec = {"name": "flow", "nodes": [step("a"), step("b")]}
        rows(session, WorkflowVersion, {"workflow_id": flow, "version": version, "spec": spec, "spec_hash": "x"})
    session.execute(text("UPDATE workflow SET current_version = 3 WHERE id = :id"), {"id": flow})
    found = list_versions(session, flow)
    assert [(row.version, row.nodes, row.is_current) for row in found] == [(3, 2, True), (2, 2, False), (1, 1, False)]
    assert [row.version for row in list_versions(session, flow, before=3, limit=1)] == [2]
    assert get_version(session, flow, 2).spec["nodes"][1]["id"] == "b"
    assert get_version(session, flow, 9) is None
