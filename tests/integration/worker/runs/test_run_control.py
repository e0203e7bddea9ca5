"""Branches, loops, waits, approvals and runs inside runs, with real PostgreSQL and Valkey."""

import time
import uuid
from datetime import timedelta

import pytest
from runs_kit import detail, ended, executions, frozen, hosting, node, statuses, store, until
from sqlalchemy import text

from analytics.core.clock import utc_now
from analytics.core.errors import NotFoundError
from analytics.store.engine import session_scope
from worker.workflow.inputs import node_input

pytestmark = pytest.mark.integration

ANY = {"type": "object"}


def queue(door, workflow: str, **more) -> uuid.UUID:
    return door.queue_run(
        workflow=workflow, params=more.pop("params", {}), requested_by="ada@example.com", **more
    ).run_id


def body(*nodes, **more):
    return {"nodes": list(nodes), **more}


def places(found) -> dict[tuple[str, int], str]:
    return {(item.node_id, item.map_index): item.status for item in found.nodes}


def is_status(engine, run_id, *wanted: str):
    return until(
        lambda: (found := detail(engine, run_id)).row.status in wanted and found, what=f"status {wanted} of the run"
    )


def branch(node_id: str, *needs: str, value, **more):
    cases = [
        {"name": "large", "when": {"value": value, "is": ">", "than": 10}},
        {"name": "even", "when": {"any": [{"value": value, "is": "==", "than": n} for n in (2, 4)]}},
    ]
    return node(node_id, *needs, kind="branch", cases=cases, **more)


@pytest.mark.parametrize(
    ("n", "taken", "expected"),
    [
        (11, "large", {"big": "completed", "pair": "skipped", "other": "skipped"}),
        (4, "even", {"big": "skipped", "pair": "completed", "other": "skipped"}),
        (3, "rest", {"big": "skipped", "pair": "skipped", "other": "completed"}),
    ],
)
def test_only_the_branch_that_was_taken_is_run_and_branches_meet_again(*, engine, quick, door, n, taken, expected):
    store(
        engine,
        "branches",
        node("n", value=n),
        branch("route", "n", value="{{ nodes.n.output }}", **{"else": "rest"}),
        node("big", "route.large", value=1),
        node("pair", "route.even", value=2),
        node("other", "route.rest", value=3),
        node("meet", "big", "pair", "other", run_if="any", value="{{ nodes.pair.output? }}"),
        node("lost", "big", "pair"),
    )
    with hosting(quick):
        found = ended(engine, queue(door, "branches"))
    assert found.row.status == "completed"
    common = {"n": "completed", "route": "completed", "meet": "completed", "lost": "skipped"}
    assert statuses(found) == common | expected
    assert {item.node_id: item.output for item in found.nodes}["route"] == {"taken": taken}


def test_a_branch_that_is_not_taken_and_has_no_else_skips_all(engine, quick, door):
    store(engine, "none", branch("route", value=3), node("big", "route.large"), node("after", "big", run_if="always"))
    with hosting(quick):
        found = ended(engine, queue(door, "none"))
    assert statuses(found) == {"route": "completed", "big": "skipped", "after": "completed"}


def test_a_node_that_may_fail_does_not_fail_its_run(engine, quick, door):
    store(
        engine,
        "tolerant",
        node("bad", fail_times=9, retries=0, on_error="continue"),
        node("after", "bad", value=["{{ nodes.bad.output }}", "{{ nodes.bad.error.code }}", "{{ nodes.bad.status }}"]),
    )
    with hosting(quick):
        found = ended(engine, queue(door, "tolerant"))
    assert (found.row.status, found.output) == ("completed", {"after": [None, "dependency", "failed"]})
    assert statuses(found) == {"bad": "failed", "after": "completed"}
    with session_scope(engine) as session:
        counts = session.scalar(text("SELECT node_counts FROM run WHERE id = :id"), {"id": found.row.id})
    assert counts == {"failed": 1, "completed": 1}


def foreach(items, *nodes, output=None, **config):
    steps = body(*nodes) if output is None else body(*nodes, output=output)
    return {**node("each", kind="foreach", body=steps), "config": {"items": items, **config}}


def test_a_body_runs_once_for_each_item_and_outputs_keep_their_order(engine, quick, door):
    inner = node("inner", kind="foreach", items="{{ item.list }}", body=body(node("x", value="{{ item }}{{ run.id }}")))
    store(
        engine,
        "each",
        node("list", value=[{"n": 3, "list": ["a", "b"]}, {"n": 1, "list": []}]),
        {**foreach("{{ nodes.list.output }}",
                   node("a", value="{{ item.n }}", wait_s=0.02),
                   node("b", "a", value=["{{ nodes.a.output }}", "{{ index }}", "{{ nodes.list.output[0].n }}"]),
                   inner,
                   output={"b": "{{ nodes.b.output }}", "inner": "{{ nodes.inner.output }}"}), "needs": ["list"]},
    )  # fmt: skip
    with hosting(quick):
        run_id = queue(door, "each")
        found = ended(engine, run_id)
    assert found.row.status == "completed", found.error
    x = [{"x": f"a{run_id}"}, {"x": f"b{run_id}"}]
    assert found.output == {"each": [{"b": [3, 0, 3], "inner": x}, {"b": [1, 1, 3], "inner": []}]}
    assert set(places(found)) == {
        ("list", -1), ("each", -1), ("each/a", 0), ("each/a", 1), ("each/b", 0), ("each/b", 1),
        ("each/inner", 0), ("each/inner", 1), ("each[0]/inner/x", 0), ("each[0]/inner/x", 1),
    }  # fmt: skip
    with session_scope(engine) as session:
        assert node_input(session, run_id, "each/b", 1) == {"value": [1, 1, 3]}
        assert node_input(session, run_id, "each[0]/inner/x", 1) == {"value": f"b{run_id}"}
        with pytest.raises(NotFoundError):
            node_input(session, run_id, "each/nothing", 0)
        counts = session.scalar(text("SELECT node_counts FROM run WHERE id = :id"), {"id": run_id})
    assert counts == {"completed": 2}, "without what is inside loops"


def test_no_more_items_than_allowed_are_under_way_at_once(engine, quick, door, log):
    store(engine, "few", foreach(list(range(9)), node("a", log=str(log), wait_s=0.05), max_parallel=2))
    with hosting(quick):
        found = ended(engine, queue(door, "few"))
    inner = [item for item in found.nodes if item.map_index >= 0]
    assert len(inner) == 9
    for item in inner:
        assert sum(1 for other in inner if other.started_at <= item.started_at < other.finished_at) <= 2


def test_an_item_that_fails_fails_the_loop_or_is_null(engine, quick, door):
    broken = node("a", retries=0, fail_times="{{ item }}", value=1)
    store(engine, "strict", foreach([0, 9, 0], broken, max_parallel=1))
    store(engine, "lenient", foreach([0, 9, 0], broken, on_error="continue"))
    with hosting(quick):
        strict, lenient = (ended(engine, queue(door, name)) for name in ("strict", "lenient"))
    assert strict.row.status == "failed"
    assert strict.error["node_id"] == "each"
    assert "'a' of number 1: the other side is away" in strict.error["message"]
    assert places(strict) == {("each", -1): "failed", ("each/a", 0): "completed", ("each/a", 1): "failed"}
    assert lenient.output == {"each": [{"a": 1}, None, {"a": 1}]}


def test_too_many_items_and_items_that_are_no_list_begin_nothing(engine, quick, door):
    each = {**foreach("{{ params.items }}", node("a")), "needs": ["list"]}
    store(engine, "many", node("list", value="x"), each, params=ANY)
    with hosting(quick):
        many = ended(engine, queue(door, "many", params={"items": list(range(1001))}))
        text_ = ended(engine, queue(door, "many", params={"items": {"a": 1}}))
    assert "1,001 items, more than its max_items of 1,000; no item was begun" in many.error["message"]
    assert "are no list" in text_.error["message"] or "not" in text_.error["message"]
    assert places(many) == {("list", -1): "completed", ("each", -1): "failed"}


def loop(*nodes, most=5, than=3, output=None):
    return node(
        "again",
        kind="while",
        max_iterations=most,
        condition={"value": "{{ loop.index }}", "is": "<", "than": than},
        body=body(*nodes) if output is None else body(*nodes, output=output),
    )


def test_a_body_is_repeated_while_the_condition_holds(engine, quick, door):
    step = node("a", value=["{{ loop.index }}", "{{ loop.last.seen? }}"])
    store(engine, "again", loop(step, output={"seen": "{{ nodes.a.output[0] }}"}))
    with hosting(quick):
        run_id = queue(door, "again")
        found = ended(engine, run_id)
    assert found.output == {"again": {"iterations": 3, "last": {"seen": 2}}}
    outputs = {(item.node_id, item.map_index): item.output for item in found.nodes}
    assert [outputs["again/a", turn] for turn in range(3)] == [[0], [1, 0], [2, 1]]
    with session_scope(engine) as session:
        assert node_input(session, run_id, "again/a", 2) == {"value": [2, 1]}


def test_a_loop_that_does_not_end_is_given_up_and_a_turn_that_fails_ends_it(engine, quick, door):
    store(engine, "endless", loop(node("a"), most=4, than=99))
    store(engine, "broken", loop(node("a", fail_times=9, retries=0)))
    with hosting(quick):
        endless, broken = (ended(engine, queue(door, name)) for name in ("endless", "broken"))
    assert endless.error["code"] == "loop_bound"
    assert len([item for item in endless.nodes if item.node_id == "again/a"]) == 4
    assert broken.error["code"] == "dependency"


def test_a_loop_goes_on_after_a_crash_where_it_was(engine, quick, door, log):
    steps = [node("a", log=str(log), value="{{ item }}"), node("b", "a", log=str(log), wait_s=0.25)]
    store(engine, "crash", foreach(list(range(6)), *steps, max_parallel=2, output="{{ nodes.a.output }}"))
    with hosting(quick, "lost") as lost:
        run_id = queue(door, "crash")
        lost.claim_one()
        until(lambda: places(detail(engine, run_id)).get(("each/b", 1)) == "completed")
        with frozen(lost):
            done = {
                key(run_id, place) for place, status in places(detail(engine, run_id)).items() if status == "completed"
            }
            before = len(log.read_text().splitlines())
            with hosting(quick, "next"):
                found = ended(engine, run_id)
            after = {line.split()[3] for line in log.read_text().splitlines()[before:]}
    assert found.output == {"each": [0, 1, 2, 3, 4, 5]}
    assert len(done) >= 4
    assert not done & after, "what was completed is not repeated"


def key(run_id: uuid.UUID, place: tuple[str, int]) -> str:
    return f"{run_id}/{place[0]}/{place[1]}"


def test_a_host_that_stands_still_within_a_transaction_keeps_its_runs_no_longer_than_a_lease(engine, quick, door, log):
    store(engine, "held", node("a", log=str(log), wait_s=0.5))
    with hosting(quick, "stuck") as stuck:
        run_id = queue(door, "held")
        stuck.claim_one()
        until(lambda: executions(log)["a"] == 1)
        with frozen(stuck, "SELECT FROM run_active FOR UPDATE"), hosting(quick, "next"):
            assert ended(engine, run_id).row.status == "completed"
    assert executions(log)["a"] == 2


def test_a_loop_may_take_no_longer_than_it_is_given(engine, quick, door):
    store(engine, "slow", {**foreach([1, 2], node("a", wait_s=60)), "timeout": 0.2})
    with hosting(quick):
        found = ended(engine, queue(door, "slow"))
    assert found.error["code"] == "timeout"
    assert places(found) == {("each", -1): "failed", ("each/a", 0): "cancelled", ("each/a", 1): "cancelled"}


def test_a_run_that_only_waits_uses_no_slot_and_goes_on_in_time(engine, quick, door):
    store(engine, "sleep", node("a", value=1), node("w", "a", kind="wait", **{"for": "1.3s"}), node("b", "w", value=2))
    with hosting(quick) as host:
        run_id = queue(door, "sleep")
        host.claim_one()
        waiting = is_status(engine, run_id, "waiting")
        until(lambda: host.slots_used == 0)
        assert statuses(waiting)["w"] == "waiting"
        found = ended(engine, run_id)
    output = {item.node_id: item.output for item in found.nodes}["w"]
    assert 1.3 <= output["waited_s"] < 4
    assert found.row.status == "completed"
    assert found.row.attempt == 1, "a run that gave up its slot by itself has outlived no worker"
    with session_scope(engine) as session:
        open_waits = session.scalar(text("SELECT count(*) FROM node_wait WHERE resolved_at IS NULL"))
    assert open_waits == 0


def test_a_wait_until_a_time_that_has_passed_ends_at_once(engine, quick, door):
    past = (utc_now() - timedelta(hours=1)).isoformat()
    store(engine, "past", node("w", kind="wait", until=past), node("b", "w", value=1))
    with hosting(quick):
        assert ended(engine, queue(door, "past")).output == {"b": 1}


@pytest.mark.parametrize("is_early", [True, False])
def test_a_signal_is_taken_whether_it_comes_before_or_after(engine, quick, door, is_early):
    store(engine, "pay", node("w", kind="wait", signal="paid"), node("b", "w", value="{{ nodes.w.output.data.sum }}"))
    run_id = queue(door, "pay")
    if is_early:
        door.signal_run(run_id, name="paid", data={"sum": 7}, requested_by="ada@example.com")
    with hosting(quick) as host:
        host.claim_one()
        if not is_early:
            is_status(engine, run_id, "waiting")
            door.signal_run(run_id, name="other", data=None, requested_by=None)
            door.signal_run(run_id, name="paid", data={"sum": 7}, requested_by="ada@example.com")
        host.claim_one()
        found = ended(engine, run_id)
    assert found.output == {"b": 7}


def test_a_signal_reaches_a_run_that_is_busy_with_something_else(engine, quick, door, log):
    store(engine, "busy", node("w", kind="wait", signal="go"), node("b", "w", log=str(log)), node("c", wait_s=1.5))
    with hosting(quick) as host:
        run_id = queue(door, "busy")
        host.claim_one()
        until(lambda: statuses(detail(engine, run_id)).get("w") == "waiting")
        door.signal_run(run_id, name="go", data=None, requested_by=None)
        until(lambda: executions(log)["b"])
        assert statuses(detail(engine, run_id)).get("c") != "completed", "it was told, and did not wait for the end"
        assert ended(engine, run_id).row.status == "completed"


def test_a_signal_that_does_not_come_fails_the_node_at_its_deadline(engine, quick, door):
    store(engine, "late", node("w", kind="wait", signal="paid", deadline="300ms"))
    with hosting(quick):
        found = ended(engine, queue(door, "late"))
    assert found.error["code"] == "deadline"


def approval(**more):
    return node("ok", kind="approval", title="Send {{ params.n }} letters?", **more)


@pytest.mark.parametrize(
    ("decision", "more", "status", "decided"),
    [
        ("approved", {}, "completed", "approved"),
        ("rejected", {}, "completed", "rejected"),
        ("rejected", {"reject_fails": True}, "failed", None),
    ],
)
def test_a_person_decides_and_the_run_goes_on(*, engine, quick, door, decision, more, status, decided):
    store(engine, "approve", approval(**more), node("after", "ok", value="{{ nodes.ok.output.data.why? }}"), params=ANY)
    with hosting(quick) as host:
        run_id = queue(door, "approve", params={"n": 3})
        host.claim_one()
        is_status(engine, run_id, "waiting")
        with session_scope(engine) as session:
            assert session.scalar(text("SELECT title FROM node_wait")) == "Send 3 letters?"
        door.decide(
            run_id, "ok", -1, decision=decision, data={"why": "so"}, requested_by="bo@example.com", role="operator"
        )
        host.claim_one()
        found = ended(engine, run_id)
    assert found.row.status == status
    if decided is not None:
        output = {item.node_id: item.output for item in found.nodes}["ok"]
        assert (output["decision"], output["by"], output["data"]) == (decided, "bo@example.com", {"why": "so"})
        assert output["at"] is not None


@pytest.mark.parametrize(("rule", "status"), [("fail", "failed"), ("approve", "completed"), ("reject", "completed")])
def test_at_its_deadline_an_approval_does_as_it_says(engine, quick, door, rule, status):
    store(engine, "due", approval(deadline="1s", on_deadline=rule), params=ANY)
    with hosting(quick):
        found = ended(engine, queue(door, "due", params={"n": 1}))
    assert found.row.status == status
    if status == "completed":
        assert found.output["ok"]["decision"] == {"approve": "approved", "reject": "rejected"}[rule]
        assert found.output["ok"]["by"] is None
    else:
        assert found.error["code"] == "deadline"


def test_a_run_waits_for_the_run_it_started_and_gets_its_output(engine, quick, door):
    store(engine, "child", node("a", wait_s=0.3, value="{{ params.n }}"), params=ANY)
    store(
        engine,
        "parent",
        node("sub", kind="subworkflow", workflow="child", params={"n": 5}),
        node("b", "sub", value=["{{ nodes.sub.output.output.a }}", "{{ nodes.sub.output.status }}"]),
    )
    with hosting(quick, slots=1) as host:
        run_id = queue(door, "parent")
        host.claim_one()
        found = ended(engine, run_id)
    assert found.output == {"b": [5, "completed"]}
    with session_scope(engine) as session:
        row = session.execute(text("SELECT parent_run_id, parent_node FROM run WHERE parent_run_id IS NOT NULL")).one()
    assert (row.parent_run_id, row.parent_node) == (run_id, "sub")


def test_a_run_that_fails_fails_the_node_that_started_it(engine, quick, door):
    store(engine, "child", node("a", fail_times=9, retries=0))
    store(engine, "parent", node("sub", kind="subworkflow", workflow="child"))
    store(engine, "nobody", node("sub", kind="subworkflow", workflow="nothing"))
    with hosting(quick):
        failed, none = (ended(engine, queue(door, name)) for name in ("parent", "nobody"))
    assert failed.error["code"] == "subworkflow"
    assert "the other side is away" in failed.error["message"]
    assert "There is no workflow 'nothing'" in none.error["message"]


def test_runs_that_start_themselves_end_at_a_depth(engine, quick, door):
    store(engine, "self", node("sub", kind="subworkflow", workflow="self"))
    with hosting(quick):
        found = ended(engine, queue(door, "self"), within_s=40)
    assert found.row.status == "failed"
    with session_scope(engine) as session:
        assert session.scalar(text("SELECT count(*) FROM run")) == 10
        assert session.scalar(text("SELECT count(*) FROM run_active")) == 0


def test_cancelling_goes_down_to_what_the_run_started(engine, quick, door, log):
    store(engine, "child", node("a", log=str(log), wait_s=60, timeout=120))
    store(engine, "parent", node("sub", kind="subworkflow", workflow="child"), node("after", "sub"))
    with hosting(quick) as host:
        run_id = queue(door, "parent")
        host.claim_one()
        until(lambda: executions(log)["a"])
        is_status(engine, run_id, "waiting")
        asked = time.monotonic()
        door.cancel_run(run_id, requested_by=None)
        found = ended(engine, run_id)
        until(lambda: host.slots_used == 0, within_s=5)
        assert time.monotonic() - asked < 1.5
    assert (found.row.status, statuses(found)["sub"]) == ("cancelled", "cancelled")
    with session_scope(engine) as session:
        assert set(session.scalars(text("SELECT status FROM run"))) == {"cancelled"}
        assert session.scalar(text("SELECT count(*) FROM node_wait WHERE resolved_at IS NULL")) == 0


def test_a_paused_run_lets_what_is_in_flight_end_and_goes_on_when_resumed(engine, quick, door, log):
    store(engine, "pausing", node("a", log=str(log), wait_s=0.5), node("b", "a", log=str(log)))
    with hosting(quick) as host:
        run_id = queue(door, "pausing")
        host.claim_one()
        until(lambda: executions(log)["a"])
        door.pause_run(run_id, requested_by=None)
        found = is_status(engine, run_id, "paused")
        assert statuses(found) == {"a": "completed"}
        until(lambda: host.slots_used == 0)
        door.resume_run(run_id, requested_by=None)
        host.claim_one()
        found = ended(engine, run_id)
    assert (found.row.status, found.row.attempt) == ("completed", 1)
    assert executions(log) == {"a": 1, "b": 1}


def test_a_run_may_take_no_longer_than_it_is_given(engine, quick, door):
    store(engine, "long", node("a", value=1), node("b", "a", wait_s=60, timeout=90), node("c", "b"), timeout="1s")
    store(engine, "parked", node("w", kind="wait", **{"for": "1h"}), timeout="1200ms")
    with hosting(quick):
        runs = [queue(door, name) for name in ("long", "parked")]
        long, parked = (ended(engine, run_id) for run_id in runs)
    assert (long.row.status, long.error["code"], parked.error["code"]) == ("failed", "timeout", "timeout")
    assert statuses(long) == {"a": "completed", "b": "cancelled"}
    assert statuses(parked) == {"w": "cancelled"}


def test_runs_of_one_key_never_are_more_at_once_than_allowed(engine, quick, door):
    store(
        engine,
        "keyed",
        node("a", wait_s=0.15),
        concurrency={"key": "c-{{ params.who }}", "limit": 2},
        params=ANY,
    )
    with hosting(quick, "one"), hosting(quick, "two"):
        runs = [queue(door, "keyed", params={"who": who}) for who in ["ada"] * 8 + ["bo"] * 2]
        found = [ended(engine, run_id, within_s=30) for run_id in runs]
    assert {item.row.status for item in found} == {"completed"}
    ada = [item.row for item in found[:8]]
    for row in ada:
        assert sum(1 for other in ada if other.started_at <= row.started_at < other.finished_at) <= 2


def test_a_version_that_cannot_be_read_fails_its_runs_and_holds_up_no_others(engine, quick, door):
    for name in ("broken", "whole"):
        store(engine, name, node("a", value=1))
    runs = [queue(door, name) for name in ("broken", "whole")]
    with session_scope(engine) as session:
        session.execute(
            text(
                "UPDATE workflow_version v SET spec = spec - 'nodes' FROM workflow w"
                " WHERE w.id = v.workflow_id AND w.name = 'broken'"
            )
        )
    with hosting(quick):
        broken, whole = (ended(engine, run_id) for run_id in runs)
    assert (broken.row.status, broken.error["code"]) == ("failed", "definition")
    assert whole.row.status == "completed"


def test_a_finished_node_whose_large_result_is_lost_is_executed_again(engine, quick, door, log):
    store(engine, "large", node("a", log=str(log), value="x" * 70_000), node("w", "a", kind="wait", signal="go"))
    with hosting(quick) as host:
        run_id = queue(door, "large")
        host.claim_one()
        is_status(engine, run_id, "waiting")
        with session_scope(engine) as session:
            assert session.execute(text("DELETE FROM artifact")).rowcount == 1
        door.signal_run(run_id, name="go", data=None, requested_by=None)
        host.claim_one()
        assert ended(engine, run_id).row.status == "completed"
    assert executions(log) == {"a": 2}
