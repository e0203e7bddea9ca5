"""What pages say of a run: what happens next, how long it still takes, what its log says, what differs from another."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from analytics.store.queries.compare import NodeComparison, NodeSide, RunComparison, ValueChange
from analytics.store.queries.estimate import Estimate
from analytics.store.queries.nodes import LogRow
from analytics.store.queries.queue import QueueState, WaitRow, WorkerRow
from analytics.store.queries.runs import NodeRow, RunDetail, RunRow
from dashboard.auth.roles import Role
from dashboard.components import approvals, compare, logs, queue, run_actions, run_filters, run_steps, run_view

NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
RUN = uuid.UUID("01a2013a-88fd-7000-bebc-5708327ef45c")
SPEC = {
    "name": "orders",
    "nodes": [
        {"id": "a", "kind": "transform", "config": {"input": 1}},
        {"id": "b", "kind": "transform", "needs": ["a"], "config": {"input": 1}},
        {"id": "c", "kind": "transform", "needs": ["b"], "config": {"input": 1}},
        {"id": "d", "kind": "transform", "config": {"input": 1}},
    ],
}


def run_row(**changes: Any) -> RunRow:
    values: dict[str, Any] = dict.fromkeys(RunRow.__slots__)
    values |= {"id": RUN, "created_at": NOW, "queued_at": NOW, "workflow_id": RUN, "workflow_name": "orders"}
    values |= {"version": 1, "status": "running", "priority": 0, "trigger": "page", "attempt": 1, "tags": []}
    values |= {"use_cache": True, "origin": "live"}
    return RunRow(**values | changes)


def node_row(node_id: str, status: str = "completed", *, item: int = -1, **changes: Any) -> NodeRow:
    values: dict[str, Any] = dict.fromkeys(NodeRow.__slots__)
    values |= {"node_id": node_id, "map_index": item, "kind": "transform", "status": status, "attempt": 1}
    return NodeRow(**values | {"cache_hit": False, "log_lines": 0, "changed_at": NOW} | changes)


def detail(*nodes: NodeRow, spec: Any = SPEC, error: Any = None, **changes: Any) -> RunDetail:
    own = {key: changes.pop(key) for key in ("cancel_requested", "pause_requested", "queue_position") if key in changes}
    values: dict[str, Any] = dict.fromkeys(RunDetail.__slots__)
    values |= {"row": run_row(**changes), "spec": spec, "params": {}, "nodes": nodes, "error": error, "read_at": NOW}
    return RunDetail(**values | {"cancel_requested": False, "pause_requested": False} | own)


def wait(kind: str, **changes: Any) -> WaitRow:
    values: dict[str, Any] = dict.fromkeys(WaitRow.__slots__)
    values |= {"run_id": RUN, "run_created_at": NOW, "workflow_name": "orders", "node_id": "ask", "map_index": -1}
    return WaitRow(**values | {"kind": kind, "created_at": NOW, "waited_s": 1.0} | changes)


def hint(found: RunDetail, *waits: WaitRow, slots: int | None = 4) -> str:
    return " ".join(item.text for item in run_view.hints_of(found, waits, slots=slots, now=NOW))


@pytest.mark.parametrize(
    ("found", "words"),
    [
        pytest.param(detail(status="paused"), "until somebody resumes it", id="paused"),
        pytest.param(detail(pause_requested=True), "pauses when what is under way has ended", id="pausing"),
        pytest.param(detail(cancel_requested=True), "Being cancelled", id="cancelling"),
        pytest.param(detail(status="needs_attention"), "what became of the step", id="attention"),
        pytest.param(detail(status="queued", queue_position=9), "when 8 runs before it found a slot", id="queued"),
        pytest.param(
            detail(status="failed", error={"node_id": "b", "message": "No answer"}),
            "in step `b`: No answer",
            id="failed",
        ),
    ],
)
def test_a_run_says_what_happens_next(found, words):
    assert words in hint(found)


def test_a_run_that_just_runs_or_is_next_says_nothing():
    assert hint(detail()) == ""
    assert hint(detail(status="queued", queue_position=1)) == ""


def test_without_workers_a_queued_run_says_so_and_with_an_unknown_number_does_not():
    assert "No run worker is alive" in hint(detail(status="queued", queue_position=1), slots=0)
    assert "No run worker" not in hint(detail(status="queued", queue_position=1), slots=None)


def test_a_parked_run_says_whom_or_what_it_waits_for():
    parked = detail(status="waiting")
    assert "asks for below" in hint(parked, wait("approval"))
    assert "the run it started" in hint(parked, wait("run"))
    assert "goes on by itself" in hint(parked, wait("time"))


def test_an_estimate_says_what_it_rests_on_and_what_is_not_known():
    words, basis = run_view.estimate_words(Estimate(41.2, None, 20, ["b", "c"], ["b"]))
    assert words == "about 41 s"
    assert "20 completed runs" in basis
    assert "2 steps" in basis
    words, basis = run_view.estimate_words(Estimate(None, None, 0, ["a"], []))
    assert words == "No data"
    assert "nothing is known" in basis


def test_steps_that_did_not_begin_are_counted_and_items_of_loops_are_not():
    found = detail(node_row("a"), node_row("b", "failed"), node_row("b/x", item=3))
    assert run_view.counts_of(found) == {"completed": 1, "failed": 1, "pending": 2}
    assert run_view.progress_words(run_view.counts_of(found)) == "2 of 4"


def test_the_critical_path_follows_what_steps_really_took():
    quick = detail(node_row("a", duration_s=1.0), node_row("d", duration_s=0.1))
    slow = detail(node_row("a", duration_s=1.0), node_row("d", duration_s=900.0))
    assert run_steps.critical_path_of(quick) == ["a", "b", "c"]
    assert run_steps.critical_path_of(slow) == ["d"]


def test_a_branch_that_was_not_taken_is_on_no_critical_path():
    ended = detail(
        node_row("a", duration_s=0.1), node_row("b", "skipped"), node_row("d", duration_s=0.2), status="failed"
    )
    assert run_steps.critical_path_of(ended) == ["d"]


def test_a_retry_tells_what_it_keeps_by_the_rule_of_the_door():
    found = detail(node_row("a"), node_row("b", "failed"), node_row("d"), status="failed")
    assert run_actions.steps_to_retry(found) == ["b"]
    assert "2 of 4 steps: a, d" in run_actions.kept_words(found, ["b"])
    assert "1 of 4 steps: d" in run_actions.kept_words(found, ["a"])


def test_a_retry_without_anything_to_do_says_so():
    whole = detail(*(node_row(name) for name in "abcd"), status="completed")
    assert "nothing to retry" in run_actions.kept_words(whole, [])


@pytest.mark.parametrize(("address", "top"), [("a", "a"), ("each/fetch", "each"), ("each[3]/inner/x", "each")])
def test_a_retry_from_inside_a_loop_begins_at_the_loop(address, top):
    assert run_actions.top_level(address) == top


def line(seq: int, message: str, level: str = "info", attempt: int = 1) -> LogRow:
    return LogRow("a", -1, attempt, seq, NOW + timedelta(milliseconds=seq), level, message)


def test_a_log_is_shown_without_the_colours_of_terminals():
    assert logs.text_of([line(1, "\x1b[31mred\x1b[0m\tend\x07")]) == "03:00:00.001 INFO    red\tend"


def test_a_log_of_several_attempts_tells_them_apart():
    assert "#2 ERROR" in logs.text_of([line(1, "one"), line(1, "two", "error", attempt=2)])


def test_a_log_is_searched_by_level_and_words():
    rows = [line(1, "Began"), line(2, "No answer", "error"), line(3, "no luck", "warning")]
    assert [row.seq for row in logs.chosen(rows, levels=["error", "warning"], words="NO")] == [2, 3]
    assert len(logs.chosen(rows, levels=[], words="")) == 3


def test_no_wait_can_be_ended_by_less_than_an_operator():
    assert approvals.role_of(wait("approval")) == Role.OPERATOR
    assert approvals.role_of(wait("approval", role="viewer")) == Role.OPERATOR
    assert approvals.role_of(wait("approval", role="admin")) == Role.ADMIN


def test_the_place_behind_the_numbered_pages_survives_the_url():
    assert run_filters.parse_older(run_filters.older_words(NOW, RUN)) == (NOW, RUN)
    for mangled in (None, "", "x", "2026-11-22_x", f"2026-11-22T03:00:00_{RUN}", f"_{RUN}"):
        assert run_filters.parse_older(mangled) is None


def test_what_is_chosen_becomes_a_filter_and_unknown_states_are_left_out():
    found = run_filters.filter_of({"state": ["failed", "gone"], "of": "orders", "tags": ["eu"], "least_s": 2.0})
    assert found.statuses == ("failed",)
    assert (found.workflow, found.tags, found.min_duration_s) == ("orders", ("eu",), 2.0)
    assert run_filters.filter_of({}).statuses == ()


def side(status: str = "completed", seconds: float = 1.0) -> NodeSide:
    return NodeSide(status, seconds, 1, cache_hit=False, error_message=None)


@pytest.mark.parametrize(
    ("left", "right", "same", "expected"),
    [
        (side(), side(), True, False),
        (side(), side("failed"), None, True),
        (side(), None, None, True),
        (side(), side(seconds=1.02), True, False),
        (side(), side(seconds=2.0), True, True),
        (side(), side(), False, True),
    ],
)
def test_steps_that_differ_by_noise_only_are_not_notable(left, right, same, expected):
    delta = None if right is None else right.duration_s - left.duration_s
    assert compare.is_notable(NodeComparison("a", -1, left, right, delta, same)) is expected


def test_a_comparison_is_told_in_sentences():
    found = RunComparison(
        left=run_row(status="completed", duration_s=10.0),
        right=run_row(status="failed", version=2, duration_s=12.0),
        params=[ValueChange("customer", "Ada", "Grace", is_in_left=True, is_in_right=True)],
        is_output_same=None,
        delta_s=2.0,
        nodes=[NodeComparison("a", -1, side(), side("failed"), 0.0, None)],
        left_out=0,
    )
    words = compare.summary(found)
    assert "The left run is completed, the right one failed." in words
    assert "2 s longer (20 %)" in words
    assert "version 1, the right version 2" in words
    assert "1 parameter differs" in words
    assert "1 step ended otherwise" in words


def worker(*, alive: bool = True, used: int = 0) -> WorkerRow:
    stopped = None if alive else NOW
    return WorkerRow("w", "run", "h", 1, 4, used, NOW, NOW, stopped, alive)


@pytest.mark.parametrize(
    ("workers", "queued", "words"),
    [
        ([], 0, "No run worker is alive"),
        ([worker(alive=False)], 2, "No run worker is alive"),
        ([worker(used=4)], 2, "All slots are in use"),
        ([worker(used=4)], 0, None),
        ([worker(used=1)], 2, None),
    ],
)
def test_the_queue_says_what_keeps_runs_from_moving(workers, queued, words):
    state = QueueState(queued, 1, 0, 1.0 if queued else None, 0, 0)
    found = queue.advice(state, queue.slots_of(workers))
    assert found is None if words is None else words in found[1]
