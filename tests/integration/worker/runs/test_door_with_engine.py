"""The door and the engine together: what a retry executes, runs that schedules and triggers start, children."""

import dataclasses
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from runs_kit import ended, executions, hosting, node, statuses, store, until
from sqlalchemy import Engine, text

from analytics.core.errors import ConflictError
from analytics.core.settings import Settings
from analytics.live.client import connect
from analytics.store.engine import session_scope
from worker.doors.waking import Waker
from worker.enqueue import Door
from worker.workflow import schedules, triggers
from worker.workflow.schedules import ScheduleSpec
from worker.workflow.triggers import TriggerSpec

pytestmark = pytest.mark.integration


def status(engine: Engine, run_id: object) -> str:
    with session_scope(engine) as session:
        return str(session.scalar(text("SELECT status FROM run WHERE id = :id"), {"id": run_id}))


def test_a_retry_executes_what_failed_and_what_follows_and_nothing_else(
    engine: Engine, quick: Settings, door: Door, log: Path
):
    store(
        engine,
        "w",
        node("a", log=str(log), value=1),
        node("b", "a", log=str(log), fail_times=1, error="input"),
        node("c", "b", log=str(log), value="{{ nodes.a.output }}"),
        node("d", log=str(log)),
    )
    with hosting(quick):
        first = door.queue_run(workflow="w", params={}, requested_by=None).run_id
        assert ended(engine, first).row.status == "failed"
        store(
            engine,
            "w",
            node("a", log=str(log), value=1),
            node("b", "a", log=str(log)),
            node("c", "b", log=str(log), value="{{ nodes.a.output }}"),
            node("d", log=str(log)),
        )
        again = door.retry_run(first, version="current", requested_by="ada").run_id
        found = ended(engine, again)

    assert found.row.status == "completed"
    assert set(statuses(found).values()) == {"completed"}
    assert executions(log) == {"a": 1, "b": 2, "c": 1, "d": 1}
    assert {item.node_id: item.output for item in found.nodes}["c"] == 1


def test_a_retry_of_a_loop_executes_the_items_that_broke(engine: Engine, quick: Settings, door: Door, log: Path):
    inner = [
        node("x", log=str(log)),
        node("y", "x", log=str(log), fail_times="{{ item }}", error="input"),
    ]
    each = {
        "id": "each",
        "kind": "foreach",
        "config": {"items": [0, 1, 0], "max_parallel": 1},
        "body": {"nodes": inner},
    }
    store(engine, "loop", each)
    with hosting(quick):
        first = door.queue_run(workflow="loop", params={}, requested_by=None).run_id
        assert ended(engine, first).row.status == "failed"
        before = executions(log)
        again = door.retry_run(first, requested_by="ada").run_id
        assert ended(engine, again).row.status == "failed"

    assert before == {"each/x": 2, "each/y": 2}
    assert executions(log) - before == {"each/y": 1}


def test_a_retry_from_a_node_does_it_again_although_it_was_completed(
    engine: Engine, quick: Settings, door: Door, log: Path
):
    store(engine, "w", node("a", log=str(log)), node("b", "a", log=str(log)), node("c", "b", log=str(log)))
    with hosting(quick):
        first = door.queue_run(workflow="w", params={}, requested_by=None).run_id
        assert ended(engine, first).row.status == "completed"
        again = door.retry_run(first, from_nodes=["b"], requested_by="ada").run_id
        assert ended(engine, again).row.status == "completed"

    assert executions(log) == {"a": 1, "b": 2, "c": 2}


def test_a_schedule_and_a_trigger_start_runs_that_are_executed(engine: Engine, quick: Settings):
    store(engine, "etl", node("a", value=5))
    store(engine, "report", node("r"), params={"type": "object", "properties": {"of": {"type": "string"}}})
    noon = datetime(2026, 11, 2, 12, tzinfo=UTC)
    with session_scope(engine) as session:
        saved = schedules.save_schedule(session, ScheduleSpec("s", "etl", cron="@hourly"), requested_by=None)
        session.execute(text("UPDATE schedule SET next_at = :at WHERE id = :id"), {"at": noon, "id": saved})
        spec = TriggerSpec(
            name="t",
            workflow="report",
            kind="event",
            event_kind="run.completed",
            filter={"subject": "etl"},
            params={"of": "{{ event.data.run_id }}"},
        )
        triggers.save_trigger(session, spec, requested_by=None, installation="x")
    client = connect(quick)
    waker = Waker(engine, client)
    with hosting(quick):
        assert schedules.tick(engine, client, quick, now=noon + timedelta(seconds=1)).started == 1
        until(lambda: triggers.raise_run_ends(engine, waker, quick), what="the count of the run that ended")
        with session_scope(engine) as session:
            report = session.execute(text("SELECT id, input FROM run WHERE trigger = 'run'")).one()
            etl = session.scalar(text("SELECT id FROM run WHERE schedule_id = :id"), {"id": saved})
        assert ended(engine, report.id).row.status == "completed"
        client.close()

    assert report.input == {"of": str(etl)}


def test_cancelling_a_run_that_waits_for_another_cancels_both(engine: Engine, quick: Settings, door: Door):
    store(engine, "child", node("slow", wait_s=60))
    store(engine, "parent", {"id": "sub", "kind": "subworkflow", "config": {"workflow": "child"}})
    with hosting(quick):
        parent = door.queue_run(workflow="parent", params={}, requested_by=None).run_id
        until(lambda: status(engine, parent) == "waiting", what="the wait for the child")
        with session_scope(engine) as session:
            child = session.scalar(text("SELECT id FROM run WHERE parent_run_id = :id"), {"id": parent})
        until(lambda: status(engine, child) == "running", what="the start of the child")
        door.cancel_run(parent, requested_by="ada")
        assert ended(engine, child, within_s=5).row.status == "cancelled"

    assert status(engine, parent) == "cancelled"


def test_cancelling_a_child_lets_the_run_that_waits_for_it_go_on(engine: Engine, quick: Settings, door: Door):
    store(engine, "child", {"id": "ask", "kind": "approval", "config": {"title": "?"}})
    store(engine, "parent", {"id": "sub", "kind": "subworkflow", "config": {"workflow": "child"}})
    with hosting(quick):
        parent = door.queue_run(workflow="parent", params={}, requested_by=None).run_id
        until(lambda: status(engine, parent) == "waiting", what="the wait for the child")
        with session_scope(engine) as session:
            child = session.scalar(text("SELECT id FROM run WHERE parent_run_id = :id"), {"id": parent})
        until(lambda: status(engine, child) == "waiting", what="the approval")
        door.cancel_run(child, requested_by="ada")
        assert ended(engine, parent).row.status == "failed"


def test_runs_of_one_key_go_one_after_the_other(engine: Engine, quick: Settings, door: Door):
    limits = {"concurrency": {"key": "tenant-{{ params.tenant }}", "limit": 1}}
    params = {"type": "object", "properties": {"tenant": {"type": "string"}}}
    store(engine, "w", node("a", wait_s=0.2), params=params, **limits)
    with hosting(quick):
        ids = [
            door.queue_run(workflow="w", params={"tenant": tenant}, requested_by=None).run_id
            for tenant in ("x", "x", "x", "y")
        ]
        rows = [ended(engine, run_id).row for run_id in ids]

    spans = sorted((row.started_at, row.finished_at) for row in rows[:3])
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(spans))
    assert rows[3].started_at < spans[1][0]


def test_a_retry_while_the_run_goes_on_is_refused(engine: Engine, quick: Settings, door: Door):
    store(engine, "w", node("a", wait_s=60))
    with hosting(quick):
        run_id = door.queue_run(workflow="w", params={}, requested_by=None).run_id
        until(lambda: status(engine, run_id) == "running", what="the start")
        with pytest.raises(ConflictError):
            door.retry_run(run_id, requested_by=None)
        report = dataclasses.asdict(door.cancel_many([run_id], requested_by=None))
        assert ended(engine, run_id).row.status == "cancelled"

    assert report == {"done": 1, "refused": []}
