"""Results of nodes in whole runs: kept and found again, too large for a row, with a log."""

import os
import signal
import time

import pytest
from runs_kit import detail, ended, executions, hosting, model_worker, node, store, token_worker, until
from sqlalchemy import Engine, text

from analytics.store.engine import session_scope

pytestmark = pytest.mark.integration

LARGE = 100_000


def question(engine: Engine, statement: str, **values):
    with session_scope(engine) as session:
        return session.execute(text(statement), values).all()


def queue(door, name: str, **more):
    return door.queue_run(workflow=name, params={}, requested_by=None, **more).run_id


def hits(engine: Engine, run_id) -> int:
    rows = question(engine, "SELECT count(*) FROM node_run WHERE run_id = :id AND cache_hit", id=run_id)
    return rows[0][0]


def test_a_result_is_found_again_by_the_next_run_and_worked_out_anew_without_cache(engine, quick, door, log):
    store(engine, "w", node("a", kind="test.kept", cache="10m", log=str(log), value={"n": 5}))
    with hosting(quick):
        first = queue(door, "w")
        assert ended(engine, first).row.status == "completed"
        assert hits(engine, first) == 0
        second = queue(door, "w")
        assert ended(engine, second).output == {"a": {"n": 5}}
        assert hits(engine, second) == 1
        assert executions(log) == {"a": 1}
        kept = until(lambda: question(engine, "SELECT run_id, created_at FROM node_cache WHERE status = 'ready'"))
        assert kept[0].run_id == first
        third = queue(door, "w", use_cache=False)
        assert ended(engine, third).row.status == "completed"
        assert hits(engine, third) == 0
        assert executions(log) == {"a": 2}
        until(lambda: question(engine, "SELECT 1 FROM node_cache WHERE run_id = :id", id=third))


def test_equal_nodes_of_a_run_are_worked_out_once(engine, quick, door, log):
    equal = [node(f"n{number}", kind="test.kept", cache="10m", log=str(log), wait_s=0.1) for number in range(200)]
    store(engine, "w", *equal)
    with hosting(quick):
        run_id = queue(door, "w")
        assert ended(engine, run_id).row.status == "completed"
    assert sum(executions(log).values()) == 1
    assert hits(engine, run_id) == 199


def test_a_failure_is_not_kept_and_lets_the_next_try(engine, quick, door, log):
    broken = {"kind": "test.kept", "cache": "10m", "log": str(log), "fail_times": 1, "error": "input"}
    store(engine, "w", node("a", **broken), node("b", **broken))
    with hosting(quick):
        assert ended(engine, queue(door, "w")).row.status == "failed"
    assert sum(executions(log).values()) == 2
    assert question(engine, "SELECT 1 FROM node_cache") == []


def test_a_worker_that_is_killed_while_it_works_a_result_out_blocks_nobody(
    engine, quick, door, log, run_worker_process
):
    store(engine, "w", node("a", kind="test.kept", cache="10m", log=str(log), wait_s=3, value=1))
    with run_worker_process() as worker:
        first = queue(door, "w")
        until(lambda: executions(log), within_s=60, what="the first execution")
        with hosting(quick, name="second", slots=1):
            os.kill(worker.pid, signal.SIGSTOP)  # So that the second run is carried by the second worker.
            second = queue(door, "w")
            until(lambda: detail(engine, second).row.status == "running")
            worker.kill()
            worker.wait()
            killed_at = time.monotonic()
            assert ended(engine, second, within_s=60).row.status == "completed"
            assert time.monotonic() - killed_at < 20
            assert ended(engine, first, within_s=60).row.status == "completed"
    assert 2 <= sum(executions(log).values()) <= 3


def test_a_large_output_is_kept_beside_its_row_and_reaches_templates_also_after_a_resume(engine, quick, door, log):
    store(
        engine, "w",
        node("big", kind="test.wait", value="ab", repeat=LARGE, log=str(log)),
        node("hold", "big", kind="test.wait", wait_s=1.5, log=str(log)),
        node("count", "hold", "big", kind="transform", input="{{ nodes.big.output }}", steps=[{"count": True}]),
        output={"size": "{{ nodes.count.output }}"},
    )  # fmt: skip
    run_id = queue(door, "w")
    with hosting(quick, name="first"):
        until(lambda: executions(log)["hold"])
    with hosting(quick, name="second"):
        found = ended(engine, run_id, within_s=30)
    assert found.output == {"size": 2 * LARGE}
    assert executions(log)["big"] == 1
    (row,) = question(engine, "SELECT output, output_ref FROM node_run WHERE node_id = 'big'")
    (kept,) = question(engine, "SELECT * FROM artifact")
    assert row.output is None
    assert kept.id == row.output_ref
    assert (kept.run_id, kept.node_id, kept.name) == (run_id, "big", "output.json")
    assert kept.size_bytes == len(kept.content) == 2 * LARGE + 2


@pytest.mark.parametrize("kind", ["test.wait", "test.child"])
def test_an_output_near_the_limit_holds_nobody_up(engine, quick, door, kind):
    store(
        engine, "w",
        node("big", kind=kind, value="ab", repeat=7_500_000, timeout="60s"),
        node("count", "big", kind="transform", input="{{ nodes.big.output }}", steps=[{"count": True}]),
    )  # fmt: skip
    with model_worker(quick), token_worker(quick):
        assert ended(engine, queue(door, "w"), within_s=40).output == {"count": 15_000_000}
    assert question(engine, "SELECT size_bytes FROM artifact")[0].size_bytes == 15_000_002


def test_a_large_result_from_the_cache_belongs_to_its_own_run(engine, quick, door, log):
    kept = node("big", kind="test.kept", cache="10m", value="ab", repeat=LARGE, log=str(log))
    store(
        engine,
        "w",
        kept,
        node("count", "big", kind="transform", input="{{ nodes.big.output }}", steps=[{"count": True}]),
    )
    with hosting(quick):
        runs = [queue(door, "w")]
        assert ended(engine, runs[0]).output == {"count": 2 * LARGE}
        runs.append(queue(door, "w"))
        assert ended(engine, runs[1]).output == {"count": 2 * LARGE}
    assert executions(log) == {"big": 1}
    assert hits(engine, runs[1]) == 1
    assert {row.run_id for row in question(engine, "SELECT run_id FROM artifact")} == set(runs)


def test_what_a_node_of_a_model_worker_says_saves_and_costs_is_stored(engine, quick, door):
    code = (
        "import sys\nprint('heard')\ncall.log.warning('said')\nsum(range(3_000_000))\n"
        f"output = [call.save('a.txt', b'abc', 'text/plain'), 'x' * {LARGE}]"
    )
    store(
        engine, "w",
        node("a", kind="test.code", code=code, timeout="60s"),
        node("b", "a", kind="test.code", code="output = len(call.config['text'])", text="{{ nodes.a.output[1] }}"),
    )  # fmt: skip
    with model_worker(quick), token_worker(quick):
        run_id = queue(door, "w")
        found = ended(engine, run_id, within_s=60)
        assert found.output == {"b": LARGE}
        lines = until(
            lambda: question(engine, "SELECT level, message FROM node_log WHERE run_id = :id ORDER BY seq", id=run_id)
        )
    assert sorted(lines) == [("info", "heard"), ("warning", "said")]
    (row,) = question(engine, "SELECT log_lines, cpu_ms, output_ref FROM node_run WHERE node_id = 'a'")
    assert row.log_lines == 2
    assert 1 < row.cpu_ms < 10_000
    files = {kept.name: kept for kept in question(engine, "SELECT * FROM artifact")}
    assert set(files) == {"a.txt", "output.json"}
    assert bytes(files["a.txt"].content) == b"abc"
    assert files["output.json"].id == row.output_ref
