import asyncio
import os
import signal
import socket
import time
import uuid
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from runs_kit import (
    detail,
    ended,
    executions,
    frozen,
    hosting,
    node,
    statuses,
    store,
    token_worker,
    until,
)
from sqlalchemy import text

from analytics.core.errors import ConflictError
from analytics.live.client import connect
from analytics.store.engine import make_async_engine, session_scope
from worker.workflow.claim import claim
from worker.workflow.reconcile import MAX_RECOVERIES, reconcile

pytestmark = pytest.mark.integration


def queue(door, workflow: str, **more) -> uuid.UUID:
    return door.queue_run(
        workflow=workflow, params=more.pop("params", {}), requested_by="ada@example.com", **more
    ).run_id


def test_a_run_hands_outputs_on_and_keeps_every_node(engine, quick, door):
    store(
        engine,
        "diamond",
        node("a", value={"n": 1}),
        node("b", "a", value="{{ nodes.a.output.n }}"),
        node("c", "a", value=["{{ params.who }}", "{{ run.id }}"]),
        node("d", "b", "c", value="{{ nodes.b.output }}-{{ nodes.c.output[0] }}"),
        params={"type": "object", "properties": {"who": {"type": "string", "default": "Ada"}}},
    )
    with hosting(quick):
        run_id = queue(door, "diamond")
        found = ended(engine, run_id)
    assert (found.row.status, found.row.attempt, found.output) == ("completed", 1, {"d": "1-Ada"})
    assert {item.node_id: item.output for item in found.nodes}["c"] == ["Ada", str(run_id)]
    assert statuses(found) == dict.fromkeys("abcd", "completed")
    assert all(item.executor == "host-1" and item.duration_s >= 0 for item in found.nodes)
    with session_scope(engine) as session:
        assert session.scalar(text("SELECT count(*) FROM run_active")) == 0


def test_higher_priority_first_then_older_first(engine, quick, door, log):
    for name in ("low", "high", "old", "new"):
        store(engine, name, node(name, log=str(log), wait_s=0.05))
    for name, priority in (("low", -1), ("old", 0), ("new", 0), ("high", 9)):
        queue(door, name, priority=priority)
    with hosting(quick, slots=1):
        until(lambda: executions(log).total() == 4)
    assert [line.split()[0] for line in log.read_text().splitlines()] == ["high", "old", "new", "low"]


def test_many_workers_at_once_claim_each_run_exactly_once(engine, quick, door):
    store(engine, "one", node("a"))
    queued = {queue(door, "one") for _ in range(30)}

    async def race() -> list:
        pools = [make_async_engine(quick, role=f"racer-{i}") for i in range(4)]

        async def take(owner: str, pool) -> list:
            taken = []
            while found := await claim(pool, owner=owner, lease=timedelta(seconds=30), limit=3):
                taken += [(run.id, run.epoch) for run in found]
            return taken

        taken = await asyncio.gather(*(take(f"w{i}", pools[i % 4]) for i in range(8)))
        for pool in pools:
            await pool.dispose()
        return [item for part in taken for item in part]

    claimed = asyncio.run(race())
    assert len(claimed) == 30
    assert {run_id for run_id, _ in claimed} == queued
    assert {epoch for _, epoch in claimed} == {1}


def test_an_error_that_may_pass_is_tried_again_and_others_are_not(engine, quick, door, log):
    store(engine, "passes", node("a", log=str(log), fail_times=2, retries=2, value=7))
    store(engine, "too-often", node("b", log=str(log), fail_times=9, retries=1))
    store(engine, "wrong", node("c", log=str(log), fail_times=9, retries=5, error="input"))
    store(engine, "bug", node("d", log=str(log), fail_times=9, retries=5, error="bug"))
    with hosting(quick):
        ends = {name: ended(engine, queue(door, name)) for name in ("passes", "too-often", "wrong", "bug")}
    assert executions(log) == {"a": 3, "b": 2, "c": 1, "d": 1}
    assert ends["passes"].output == {"a": 7}
    assert ends["passes"].nodes[0].attempt == 3
    assert ends["too-often"].error == {"code": "dependency", "message": "the other side is away", "node_id": "b"}
    assert ends["wrong"].error["code"] == "input"
    assert ends["bug"].error == {"code": "unexpected", "message": "KeyError: 'bug'", "node_id": "d"}
    keys = {line.split()[3] for line in log.read_text().splitlines() if line.startswith("a ")}
    assert len(keys) == 1, "the key is the same on every attempt"


def test_what_needs_a_failed_node_is_skipped_and_the_rest_goes_on(engine, quick, door):
    store(
        engine,
        "halves",
        node("bad", fail_times=9, retries=0),
        node("after", "bad"),
        node("later", "after", "good"),
        node("good", value=1),
        node("better", "good", value=2),
    )
    with hosting(quick):
        found = ended(engine, queue(door, "halves"))
    assert found.row.status == "failed"
    assert found.error["node_id"] == "bad"
    expected = {"bad": "failed", "after": "skipped", "later": "skipped", "good": "completed", "better": "completed"}
    assert statuses(found) == expected


def test_a_node_that_takes_too_long_is_stopped_on_the_loop_and_in_a_thread(engine, quick, door, log):
    store(engine, "slow", node("a", timeout=0.15, retries=0, wait_s=60))
    store(engine, "slow-thread", node("b", kind="test.thread", log=str(log), timeout=0.15, retries=0, wait_s=60))
    with hosting(quick):
        ends = [ended(engine, queue(door, name), within_s=10) for name in ("slow", "slow-thread")]
    assert [item.error["code"] for item in ends] == ["timeout", "timeout"]
    assert "took longer than 0.15 s and was stopped" in ends[0].error["message"]
    until(log.with_suffix(".stopped").exists, what="the end of the thread")


def test_a_result_that_is_no_json_and_a_template_that_names_nothing_fail_their_node(engine, quick, door):
    store(engine, "objects", node("a", do="not_json"))
    store(engine, "typo", node("a", value={"x": 1}), node("b", "a", value="{{ nodes.a.output.y }}"))
    with hosting(quick):
        ends = [ended(engine, queue(door, name)) for name in ("objects", "typo")]
    assert "is not JSON" in ends[0].error["message"]
    assert "names 'y', which is not in nodes.a.output (it has x)" in ends[1].error["message"]


def test_a_running_run_is_cancelled_long_before_a_lease_ends_and_a_queued_one_at_once(engine, quick, door, log):
    store(engine, "long", node("a"), node("b", "a", log=str(log), wait_s=60), node("c", "b"))
    with hosting(
        quick.model_copy(update={"worker": quick.worker.model_copy(update={"lease": timedelta(seconds=60)})})
    ) as host:
        run_id = queue(door, "long")
        host.claim_one()
        until(lambda: executions(log)["b"])
        door.cancel_run(run_id, requested_by="ada@example.com")
        # The host looks by itself every twenty seconds: only the notification can have arrived in half of them.
        found = ended(engine, run_id, within_s=10)
        assert host.slots_used == 0
    assert found.row.status == "cancelled"
    assert statuses(found) == {"a": "completed", "b": "cancelled"}
    queued = queue(door, "long")
    door.cancel_run(queued, requested_by=None)
    assert detail(engine, queued).row.status == "cancelled"
    with pytest.raises(ConflictError, match="has ended already"):
        door.cancel_run(queued, requested_by=None)


def test_a_worker_that_stood_still_past_its_lease_can_no_longer_write(engine, quick, door, log):
    store(engine, "two", node("a", log=str(log), wait_s=0.3, value=1), node("b", "a", log=str(log), value=2))
    with hosting(quick, "sleeper") as sleeper:
        run_id = queue(door, "two")
        sleeper.claim_one()
        until(lambda: executions(log)["a"])
        with frozen(sleeper), hosting(quick, "successor"):
            found = ended(engine, run_id)
        until(lambda: sleeper.slots_used == 0, what="the sleeper giving up")
    assert (found.row.status, found.row.attempt) == ("completed", 2)
    later = detail(engine, run_id)
    assert (later.row, later.nodes) == (found.row, found.nodes), "the sleeper has changed nothing"
    assert {item.executor for item in found.nodes} == {"successor"}
    assert executions(log) == {"a": 2, "b": 1}


def test_a_run_is_resumed_without_repeating_completed_nodes(engine, quick, door, log):
    store(
        engine,
        "resumed",
        node("a", log=str(log), value="first"),
        node("b", "a", log=str(log), wait_s=0.5, value="{{ nodes.a.output }}"),
        node("c", "b", log=str(log), value="{{ nodes.b.output }}!"),
    )
    with hosting(quick, "lost") as lost:
        run_id = queue(door, "resumed")
        lost.claim_one()
        until(lambda: executions(log)["b"])
        until(lambda: statuses(detail(engine, run_id)).get("a") == "completed")
        with frozen(lost), hosting(quick, "next"):
            found = ended(engine, run_id)
    assert found.output == {"c": "first!"}
    assert executions(log) == {"a": 1, "b": 2, "c": 1}
    assert {item.node_id: (item.attempt, item.executor) for item in found.nodes}["a"] == (1, "lost")


def interrupted(engine, quick, door, log) -> uuid.UUID:
    """A run whose worker stood still while a node that is not safe to repeat was under way."""
    store(engine, "mail", node("send", kind="test.unsafe", log=str(log), wait_s=60, timeout=120), node("after", "send"))
    with hosting(quick, "lost") as lost:
        run_id = queue(door, "mail")
        lost.claim_one()
        until(lambda: executions(log)["send"])
        with frozen(lost), hosting(quick, "next"):
            until(lambda: detail(engine, run_id).row.status == "needs_attention")
    assert executions(log) == {"send": 1}
    assert statuses(detail(engine, run_id)) == {"send": "needs_attention"}
    return run_id


def test_a_node_that_is_not_safe_to_repeat_waits_for_a_person(engine, quick, door, log):
    run_id = interrupted(engine, quick, door, log)
    door.resolve_attention(run_id, "send", -1, action="completed", output={"sent": 1}, requested_by="ada@example.com")
    with hosting(quick):
        found = ended(engine, run_id)
    assert (found.row.status, executions(log)) == ("completed", {"send": 1})
    assert {item.node_id: item.output for item in found.nodes}["send"] == {"sent": 1}


def test_a_person_may_have_such_a_node_failed(engine, quick, door, log):
    run_id = interrupted(engine, quick, door, log)
    door.resolve_attention(run_id, "send", -1, action="failed", output=None, requested_by="ada@example.com")
    with hosting(quick):
        found = ended(engine, run_id)
    assert found.error["code"] == "unsafe_interrupted"
    assert statuses(found) == {"send": "failed", "after": "skipped"}


def test_a_run_that_outlives_too_many_workers_is_given_up(engine, quick, door):
    store(engine, "poison", node("a"))
    run_id = queue(door, "poison")

    async def take(owner: str) -> None:
        pool = make_async_engine(quick, role="victim")
        assert await claim(pool, owner=owner, lease=timedelta(seconds=-1))
        await pool.dispose()

    for attempt in range(1, MAX_RECOVERIES + 2):
        asyncio.run(take(f"victim-{attempt}"))
        report = reconcile(engine, None, grace=timedelta(0))
        assert (report.requeued, report.dead) == ((1, 0) if attempt <= MAX_RECOVERIES else (0, 1))
    found = detail(engine, run_id)
    assert (found.row.status, found.error["code"]) == ("failed", "dead_letter")
    assert "its worker died 4 times" in found.error["message"]


def test_a_worker_that_ends_gives_its_runs_back_without_counting_it(engine, quick, door, log):
    store(engine, "given-back", node("a", log=str(log), wait_s=0.4, value=1))
    run_id = queue(door, "given-back")
    with hosting(quick, "leaver") as leaver:
        leaver.claim_one()
        until(lambda: executions(log)["a"])
    assert detail(engine, run_id).row.status == "queued"
    assert detail(engine, run_id).row.attempt == 0
    with hosting(quick, "taker"):
        assert ended(engine, run_id).row.attempt == 1


def test_a_worker_that_may_drain_lets_its_runs_end(engine, quick, door, log):
    store(engine, "drained", node("a", log=str(log), wait_s=0.3, value=1))
    run_id = queue(door, "drained")
    with hosting(quick, drain_s=10) as host:
        host.claim_one()
        until(lambda: executions(log)["a"])
    assert detail(engine, run_id).row.status == "completed"


def test_fifty_runs_are_carried_at_once_by_one_worker(engine, quick, door, log):
    store(engine, "crowd", node("a", log=str(log), wait_s=0.5, value=1))
    run_ids = [queue(door, "crowd") for _ in range(50)]
    with hosting(quick, slots=50) as host:
        until(lambda: host.slots_used == 50 or executions(log).total() == 50, within_s=15)
        found = [ended(engine, run_id) for run_id in run_ids]
    starts = [item.row.started_at for item in found]
    ends = [item.row.finished_at for item in found]
    assert max(starts) < max(ends)
    assert {item.row.status for item in found} == {"completed"}
    most = max(sum(1 for s, e in zip(starts, ends, strict=True) if s <= moment < e) for moment in starts)
    assert most > 20


@st.composite
def graphs(draw) -> list[dict]:
    size = draw(st.integers(1, 12))
    return [
        node(f"n{i}", *(f"n{j}" for j in sorted(draw(st.sets(st.integers(0, i - 1), max_size=3)))), value=i)
        if i
        else node("n0", value=0)
        for i in range(size)
    ]


def test_every_node_of_any_graph_runs_once_and_after_what_it_needs(engine, quick, door):
    with hosting(quick) as host:

        @hypothesis_settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(graphs())
        def check(steps):
            name = f"g{uuid.uuid4().hex[:12]}"
            store(engine, name, *steps)
            run_id = queue(door, name)
            host.claim_one()
            found = ended(engine, run_id)
            assert found.row.status == "completed"
            rows = {item.node_id: item for item in found.nodes}
            assert len(found.nodes) == len(rows) == len(steps)
            assert {row.attempt for row in rows.values()} == {1}
            for step in steps:
                for need in step["needs"]:
                    assert rows[need].finished_at <= rows[step["id"]].started_at

        check()


def test_a_killed_worker_process_loses_nothing(engine, quick, door, log, run_worker_process):
    store(engine, "killed", node("a", log=str(log), value=1), node("b", "a", log=str(log), wait_s=1.0, value=2))
    with run_worker_process() as victim:
        run_ids = [queue(door, "killed") for _ in range(5)]
        until(lambda: executions(log)["b"] == 5, within_s=60)
        until(lambda: all(statuses(detail(engine, run_id)).get("a") == "completed" for run_id in run_ids))
        os.kill(victim.pid, signal.SIGKILL)
        victim.wait(timeout=10)
    began = time.monotonic()
    with hosting(quick, "rescuer"):
        found = [ended(engine, run_id) for run_id in run_ids]
    assert time.monotonic() - began < 20
    assert {item.row.status for item in found} == {"completed"}
    assert executions(log) == {"a": 5, "b": 10}, "completed nodes are not repeated"


def test_a_worker_process_stops_on_sigterm_and_says_where_its_metrics_are(engine, quick, door, run_worker_process):
    targets = quick.home / "run" / "targets"
    targets.mkdir(parents=True)
    left_behind = targets / f"{socket.gethostname()}.4194304.run.json"
    left_behind.write_text("[]")
    with run_worker_process() as process:
        target = until(lambda: next((t for t in targets.glob("*.run.json") if t != left_behind), None), within_s=60)
        assert not left_behind.exists(), "its process is gone"
        assert '"worker_kind":"run"' in target.read_text().replace(" ", "")
        store(engine, "quick", node("a", value=1))
        assert ended(engine, queue(door, "quick")).row.status == "completed"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
    assert not target.exists()
    with session_scope(engine) as session:
        assert session.scalar(text("SELECT stopped_at IS NOT NULL FROM worker_process WHERE kind = 'run'"))


def test_one_claim_answers_many_tokens_and_leaves_nothing_of_them(engine, quick, door):
    slow = quick.model_copy(update={"worker": quick.worker.model_copy(update={"lease": timedelta(seconds=60)})})
    store(engine, "many", node("a", value=1))
    run_ids = [queue(door, "many") for _ in range(40)]
    with connect(quick) as client:
        assert client.llen("rq:queue:runs") == 40
        with token_worker(slow):
            found = [ended(engine, run_id) for run_id in run_ids]
            until(lambda: client.llen("rq:queue:runs") == 0)
        tokens = [key for key in client.scan_iter("rq:job:run-*") if client.ttl(key) < 0]
    assert {item.row.status for item in found} == {"completed"}
    assert tokens == []
