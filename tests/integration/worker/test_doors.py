"""The door with real servers: what is stored, who is told, and what happens when two come at once."""

import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, text

from analytics.core.clock import utc_now
from analytics.core.errors import ConflictError, InputError, NotFoundError, PolicyError
from analytics.core.settings import Settings
from analytics.live.client import connect
from analytics.store.engine import session_scope
from worker.enqueue import CONTROL_CHANNEL, Door
from worker.workflow.definition import parse_definition, register_workflow

pytestmark = pytest.mark.integration


def transform(node_id: str, *needs: str) -> dict[str, Any]:
    return {"id": node_id, "kind": "transform", "needs": list(needs), "config": {"input": [], "steps": []}}


def store(engine: Engine, name: str = "w", **more: Any) -> None:
    nodes = [transform("a"), transform("b", "a"), transform("c")]
    with session_scope(engine) as session:
        register_workflow(session, parse_definition({"name": name, "nodes": nodes, **more}), created_by=None)


@pytest.fixture
def door(engine: Engine, settings: Settings) -> Iterator[Door]:
    store(engine)
    client = connect(settings)
    yield Door(engine, client, settings)
    client.close()


def start(door: Door, **more: Any) -> uuid.UUID:
    return door.queue_run(**({"workflow": "w", "params": {}, "requested_by": "ada"} | more)).run_id


def execute(engine: Engine, statement: str, **values: Any) -> None:
    with session_scope(engine) as session:
        session.execute(text(statement), values)


def one(engine: Engine, statement: str, **values: Any) -> Any:
    with session_scope(engine) as session:
        return session.execute(text(statement), values).one_or_none()


def state(engine: Engine, run_id: uuid.UUID) -> str | None:
    found = one(engine, "SELECT status FROM run_active WHERE run_id = :id", id=run_id)
    return None if found is None else found[0]


def carried(engine: Engine, run_id: uuid.UUID, status: str = "running") -> uuid.UUID:
    """As if a worker had claimed it."""
    execute(
        engine,
        "WITH a AS (UPDATE run_active SET status = :status, owner = 'w', epoch = 1, lease_until = now() + interval '1h'"
        " WHERE run_id = :id) UPDATE run SET status = :status WHERE id = :id",
        id=run_id,
        status=status,
    )
    return run_id


def end(engine: Engine, run_id: uuid.UUID, status: str = "failed", **nodes: str) -> uuid.UUID:
    """As if a worker had ended it."""
    execute(engine, "DELETE FROM run_active WHERE run_id = :id", id=run_id)
    execute(engine, "UPDATE run SET status = :status, finished_at = now() WHERE id = :id", id=run_id, status=status)
    for name, became in nodes.items():
        execute(
            engine,
            "INSERT INTO node_run (run_id, run_created_at, node_id, kind, status, output)"
            " SELECT id, created_at, :node, 'transform', :status, '{\"n\": 1}' FROM run WHERE id = :id",
            id=run_id,
            node=name,
            status=became,
        )
    return run_id


def waits(engine: Engine, run_id: uuid.UUID, kind: str, node_id: str = "a", **more: Any) -> None:
    """As if a worker had parked a node of it."""
    columns = {"kind": kind, "node_id": node_id, **more}
    names = ", ".join(columns)
    values = ", ".join(f"CAST(:{name} AS jsonb)" if name == "form" else f":{name}" for name in columns)
    insert = f"INSERT INTO node_wait (run_id, run_created_at, {names}) SELECT id, created_at, {values}"
    execute(engine, f"{insert} FROM run WHERE id = :id", id=run_id, **columns)


def both(first: Callable[[], Any], second: Callable[[], Any]) -> list[Any]:
    """Call both at the same moment; return results and errors."""
    gate = threading.Barrier(2)

    def call(work: Callable[[], Any]) -> Any:
        gate.wait(timeout=10)
        try:
            return work()
        except (ConflictError, InputError) as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        return [future.result() for future in [pool.submit(call, first), pool.submit(call, second)]]


# ---- Queueing ----


def test_a_run_of_higher_priority_goes_first_but_not_before_one_that_waits_long(door: Door, engine: Engine):
    low = start(door)
    high = start(door, priority=2)
    execute(engine, "UPDATE run_active SET rank = rank - interval '11 minutes' WHERE run_id = :id", id=low)
    urgent = start(door, priority=3)

    with session_scope(engine) as session:
        order = session.scalars(text("SELECT run_id FROM run_active ORDER BY rank, run_id")).all()

    assert order == [urgent, low, high]


def test_a_key_stands_for_its_run_also_after_it_ended(door: Door, engine: Engine):
    first = start(door, idempotency_key="k")
    end(engine, first, "completed")

    again = door.queue_run(workflow="w", params={}, requested_by=None, idempotency_key="k")

    assert (again.run_id, again.status) == (first, "completed")


def test_a_key_with_other_parameters_is_refused(door: Door):
    start(door, idempotency_key="k", params={"x": 1})

    with pytest.raises(ConflictError, match="other parameters"):
        start(door, idempotency_key="k", params={"x": 2})


def test_two_who_bring_the_same_key_at_once_get_the_same_run(door: Door, engine: Engine):
    for place in range(5):
        found = both(
            lambda key=f"k{place}": start(door, idempotency_key=key),
            lambda key=f"k{place}": start(door, idempotency_key=key),
        )
        assert found[0] == found[1]
    assert one(engine, "SELECT count(*) FROM run")[0] == 5


def test_a_key_whose_run_is_no_longer_kept_is_free(door: Door, engine: Engine):
    first = start(door, idempotency_key="k")
    end(engine, first)
    execute(engine, "DELETE FROM run WHERE id = :id", id=first)

    assert start(door, idempotency_key="k") != first


def test_tags_version_and_the_number_of_nodes_are_stored(door: Door, engine: Engine):
    store(engine, description="second version")

    run_id = start(door, tags=["night", "eu", "night"], version=1, use_cache=False)

    row = one(engine, "SELECT tags, version, nodes_total, use_cache FROM run WHERE id = :id", id=run_id)
    assert tuple(row) == (["night", "eu"], 1, 3, False)


def test_a_version_that_is_not_there_is_refused(door: Door):
    with pytest.raises(NotFoundError, match="no version 7"):
        start(door, version=7)


def test_what_cannot_be_stored_is_refused(door: Door):
    for wrong in ({"priority": 1001}, {"tags": ["x" * 41]}, {"tags": [" "]}, {"idempotency_key": ""}):
        with pytest.raises(InputError, match="nothing was queued"):
            start(door, **wrong)


def test_live_pages_hear_of_a_run(door: Door, engine: Engine, settings: Settings):
    with psycopg.connect(settings.dsn, autocommit=True) as listener:
        listener.execute("LISTEN helmsight_runs")
        run_id = start(door)
        heard = [note.payload for note in listener.notifies(timeout=5, stop_after=1)]

    assert heard == [str(run_id)]


# ---- Cancel, pause, resume ----


def test_a_run_that_nobody_carries_is_cancelled_at_once(door: Door, engine: Engine):
    for status in ("queued", "waiting", "paused", "needs_attention"):
        run_id = carried(engine, start(door), status)
        waits(engine, run_id, "approval")

        door.cancel_run(run_id, requested_by="ada")

        assert state(engine, run_id) is None
        assert one(engine, "SELECT status FROM run WHERE id = :id", id=run_id)[0] == "cancelled"
        assert one(engine, "SELECT count(*) FROM run_ended WHERE run_id = :id", id=run_id)[0] == 1
        assert one(engine, "SELECT outcome FROM node_wait WHERE run_id = :id", id=run_id)[0] == "cancelled"


def test_the_worker_of_a_run_is_told_to_stop_it(door: Door, engine: Engine, settings: Settings):
    run_id = carried(engine, start(door))
    with psycopg.connect(settings.dsn, autocommit=True) as listener:
        listener.execute(f"LISTEN {CONTROL_CHANNEL}")
        door.cancel_run(run_id, requested_by="ada")
        heard = [note.payload for note in listener.notifies(timeout=5, stop_after=1)]

    assert heard == [f"cancel:{run_id}"]
    assert state(engine, run_id) == "running"


def test_a_run_that_has_ended_is_not_cancelled(door: Door, engine: Engine):
    run_id = end(engine, start(door))

    with pytest.raises(ConflictError, match="ended already"):
        door.cancel_run(run_id, requested_by=None)
    with pytest.raises(NotFoundError):
        door.cancel_run(uuid.uuid4(), requested_by=None)


def child_of(engine: Engine, door: Door, parent: uuid.UUID, status: str) -> uuid.UUID:
    child = carried(engine, start(door), status)
    execute(engine, "UPDATE run_active SET parent_run_id = :parent WHERE run_id = :id", id=child, parent=parent)
    return child


def test_cancelling_a_run_cancels_its_sub_workflows(door: Door, engine: Engine):
    parent = carried(engine, start(door), "waiting")
    waiting = child_of(engine, door, parent, "waiting")
    running = child_of(engine, door, waiting, "running")
    other = start(door)

    door.cancel_run(parent, requested_by="ada")

    assert [state(engine, run) for run in (parent, waiting, running, other)] == [None, None, "running", "queued"]
    assert one(engine, "SELECT cancel_requested FROM run_active WHERE run_id = :id", id=running)[0]


def test_a_run_goes_on_when_the_sub_workflow_it_waits_for_is_cancelled(door: Door, engine: Engine):
    parent = carried(engine, start(door), "waiting")
    child = child_of(engine, door, parent, "queued")
    waits(engine, parent, "run", child_run_id=child)

    door.cancel_run(child, requested_by="ada")

    assert state(engine, parent) == "queued"
    wait = one(engine, "SELECT outcome, data FROM node_wait WHERE run_id = :id", id=parent)
    assert (wait.outcome, wait.data["status"]) == ("ended", "cancelled")


def test_cancelling_while_a_run_ends_ends_it_once(door: Door, engine: Engine):
    run_id = carried(engine, start(door))
    inside, goes_on = threading.Event(), threading.Event()

    def ends() -> None:
        with session_scope(engine) as session:
            session.execute(text("SELECT 1 FROM run_active WHERE run_id = :id FOR UPDATE"), {"id": run_id})
            inside.set()
            assert goes_on.wait(10)
            session.execute(text("DELETE FROM run_active WHERE run_id = :id"), {"id": run_id})
            session.execute(text("UPDATE run SET status = 'completed' WHERE id = :id"), {"id": run_id})

    with ThreadPoolExecutor(2) as pool:
        ending = pool.submit(ends)
        assert inside.wait(10)
        cancelling = pool.submit(door.cancel_run, run_id, requested_by=None)
        goes_on.set()
        ending.result()
        with pytest.raises(ConflictError, match="completed"):
            cancelling.result()
    assert one(engine, "SELECT status FROM run WHERE id = :id", id=run_id)[0] == "completed"


def test_a_queued_run_is_paused_at_once_and_goes_on_when_resumed(door: Door, engine: Engine):
    run_id = start(door)

    assert door.pause_run(run_id, requested_by="ada") == "paused"
    assert state(engine, run_id) == "paused"
    with pytest.raises(ConflictError, match="paused already"):
        door.pause_run(run_id, requested_by="bob")
    door.resume_run(run_id, requested_by="ada")
    assert state(engine, run_id) == "queued"
    with pytest.raises(ConflictError, match="not paused"):
        door.resume_run(run_id, requested_by="bob")


def test_a_running_run_is_asked_to_pause_and_can_be_told_to_go_on(door: Door, engine: Engine):
    run_id = carried(engine, start(door))

    assert door.pause_run(run_id, requested_by="ada") == "pausing"
    door.resume_run(run_id, requested_by="ada")

    row = one(engine, "SELECT status, pause_requested FROM run_active WHERE run_id = :id", id=run_id)
    assert tuple(row) == ("running", False)


# ---- Signals, approvals, attention ----


def test_a_signal_goes_to_the_node_that_waits_for_it(door: Door, engine: Engine):
    run_id = carried(engine, start(door), "waiting")
    waits(engine, run_id, "signal", "other", name="stop")
    waits(engine, run_id, "signal", name="go")

    door.signal_run(run_id, name="go", data={"n": 5}, requested_by="ada")

    wait = one(engine, "SELECT outcome, data, resolved_by FROM node_wait WHERE run_id = :id AND name = 'go'", id=run_id)
    assert tuple(wait) == ("received", {"n": 5}, "ada")
    assert state(engine, run_id) == "queued"
    assert one(engine, "SELECT count(*) FROM run_signal")[0] == 0


def test_an_early_signal_is_kept(door: Door, engine: Engine):
    run_id = carried(engine, start(door))

    door.signal_run(run_id, name="go", data=None, requested_by="ada")

    assert one(engine, "SELECT count(*) FROM run_signal WHERE run_id = :id AND name = 'go'", id=run_id)[0] == 1
    assert state(engine, run_id) == "running"


def test_one_signal_wakes_one_of_two_nodes(door: Door, engine: Engine):
    run_id = carried(engine, start(door), "waiting")
    waits(engine, run_id, "signal", "a", name="go")
    waits(engine, run_id, "signal", "b", name="go")

    door.signal_run(run_id, name="go", data=None, requested_by="ada")

    assert one(engine, "SELECT count(*) FROM node_wait WHERE resolved_at IS NULL")[0] == 1


def test_of_two_who_decide_at_once_one_is_told_that_it_was_decided(door: Door, engine: Engine):
    run_id = carried(engine, start(door), "waiting")
    waits(engine, run_id, "approval")

    found = both(
        lambda: door.decide(run_id, "a", decision="approved", requested_by="ada"),
        lambda: door.decide(run_id, "a", decision="rejected", requested_by="bob"),
    )

    refusals = [item for item in found if isinstance(item, ConflictError)]
    assert len(refusals) == 1
    assert "settled by" in refusals[0].message
    assert one(engine, "SELECT count(*) FROM run_event WHERE kind IN ('approved', 'rejected')")[0] == 1


def test_an_approval_asks_for_its_form_its_role_and_its_time(door: Door, engine: Engine):
    run_id = carried(engine, start(door), "waiting")
    form = '{"type": "object", "required": ["amount"], "properties": {"amount": {"type": "integer"}}}'
    waits(engine, run_id, "approval", role="admin", form=form)
    late = carried(engine, start(door), "waiting")
    waits(engine, late, "approval", until=utc_now() - timedelta(seconds=1))

    with pytest.raises(PolicyError, match="needs the role admin"):
        door.decide(run_id, "a", decision="approved", data={"amount": 1}, requested_by="ada")
    with pytest.raises(InputError, match=r"data\.amount"):
        door.decide(run_id, "a", decision="approved", data={"amount": "x"}, requested_by="ada", role="admin")
    with pytest.raises(NotFoundError, match="does not wait"):
        door.decide(run_id, "b", decision="approved", requested_by="ada")
    with pytest.raises(ConflictError, match="deadline"):
        door.decide(late, "a", decision="approved", requested_by="ada")
    door.decide(run_id, "a", decision="approved", data={"amount": 1}, requested_by="ada", role="admin")
    assert state(engine, run_id) == "queued"


def test_a_decision_while_other_nodes_run_is_told_to_the_worker(door: Door, engine: Engine, settings: Settings):
    run_id = carried(engine, start(door))
    waits(engine, run_id, "approval")
    with psycopg.connect(settings.dsn, autocommit=True) as listener:
        listener.execute(f"LISTEN {CONTROL_CHANNEL}")
        door.decide(run_id, "a", decision="rejected", requested_by="ada")
        heard = [note.payload for note in listener.notifies(timeout=5, stop_after=1)]

    assert heard == [f"look:{run_id}"]


def test_a_decision_in_a_paused_run_waits_until_it_is_resumed(door: Door, engine: Engine):
    run_id = carried(engine, start(door), "waiting")
    waits(engine, run_id, "approval")
    door.pause_run(run_id, requested_by="ada")

    door.decide(run_id, "a", decision="approved", requested_by="ada")

    assert state(engine, run_id) == "paused"


def test_somebody_says_what_became_of_a_node(door: Door, engine: Engine):
    run_id = carried(engine, start(door), "needs_attention")
    waits(engine, run_id, "attention")

    door.resolve_attention(run_id, "a", action="completed", output={"sent": True}, requested_by="ada")

    wait = one(engine, "SELECT outcome, data FROM node_wait WHERE run_id = :id", id=run_id)
    assert tuple(wait) == ("completed", {"sent": True})
    assert state(engine, run_id) == "queued"


# ---- Again ----


def test_a_retry_keeps_what_was_completed(door: Door, engine: Engine):
    source = end(engine, start(door, params={"x": 1}, tags=["t"], priority=4), a="completed", b="failed", c="completed")

    queued = door.retry_run(source, requested_by="ada")

    rows = one(
        engine,
        "SELECT array_agg(node_id ORDER BY node_id) AS ids, bool_and(output = '{\"n\": 1}') AS same"
        " FROM node_run WHERE run_id = :id",
        id=queued.run_id,
    )
    run = one(engine, "SELECT source_run_id, input, tags, priority FROM run WHERE id = :id", id=queued.run_id)
    assert (rows.ids, rows.same) == (["a", "c"], True)
    assert tuple(run) == (source, {"x": 1}, ["t"], 4)


def test_a_run_that_is_still_active_is_not_retried(door: Door, engine: Engine):
    source = carried(engine, start(door))

    with pytest.raises(ConflictError, match="has not ended"):
        door.retry_run(source, requested_by="ada")


def test_of_two_retries_at_once_one_is_refused(door: Door, engine: Engine):
    source = end(engine, start(door), a="failed")

    found = both(lambda: door.retry_run(source, requested_by="ada"), lambda: door.retry_run(source, requested_by="bob"))

    assert len([item for item in found if isinstance(item, ConflictError)]) == 1
    assert one(engine, "SELECT count(*) FROM run WHERE source_run_id = :id", id=source)[0] == 1


def test_a_run_is_retried_again_when_its_retry_ended(door: Door, engine: Engine):
    source = end(engine, start(door), a="failed")
    end(engine, door.retry_run(source, requested_by="ada").run_id)

    assert door.retry_run(source, requested_by="ada").status == "queued"


def test_a_retry_on_the_current_version_does_what_changed_again(door: Door, engine: Engine):
    source = end(engine, start(door), a="completed", b="failed", c="completed")
    with session_scope(engine) as session:
        changed = [transform("a"), transform("b", "a"), transform("c") | {"retries": 1}]
        register_workflow(session, parse_definition({"name": "w", "nodes": changed}), created_by=None)

    queued = door.retry_run(source, version="current", requested_by="ada")

    rows = one(engine, "SELECT array_agg(node_id) AS ids FROM node_run WHERE run_id = :id", id=queued.run_id)
    assert rows.ids == ["a"]
    assert one(engine, "SELECT version FROM run WHERE id = :id", id=queued.run_id)[0] == 2


def test_a_rerun_does_everything_again_with_other_parameters(door: Door, engine: Engine):
    source = end(engine, start(door, params={"x": 1}), "completed", a="completed", b="completed", c="completed")

    queued = door.rerun(source, params={"x": 2}, use_cache=False, requested_by="ada")

    run = one(engine, "SELECT source_run_id, input, use_cache FROM run WHERE id = :id", id=queued.run_id)
    assert tuple(run) == (source, {"x": 2}, False)
    assert one(engine, "SELECT count(*) FROM node_run WHERE run_id = :id", id=queued.run_id)[0] == 0


def test_many_are_cancelled_and_retried_with_a_count_and_reasons(door: Door, engine: Engine):
    waiting, failed = start(door), end(engine, start(door), a="failed")
    unknown = uuid.uuid4()

    cancelled = door.cancel_many([waiting, failed, unknown, waiting], requested_by="ada")
    retried = door.retry_many([failed, waiting], requested_by="ada")

    assert (cancelled.done, [run_id for run_id, _ in cancelled.refused]) == (1, [failed, unknown])
    assert (retried.done, retried.refused) == (2, [])


def test_every_change_is_in_the_audit_log(door: Door, engine: Engine):
    run_id = start(door)
    door.pause_run(run_id, requested_by="ada")
    door.resume_run(run_id, requested_by="ada")
    door.signal_run(run_id, name="go", data=None, requested_by="ada")
    door.cancel_run(run_id, requested_by="ada")

    with session_scope(engine) as session:
        actions = session.scalars(text("SELECT action FROM audit_log ORDER BY at, id")).all()
    assert actions == ["run.queued", "run.paused", "run.resumed", "run.signalled", "run.cancel_requested"]
