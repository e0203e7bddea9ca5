"""What a run took and will take: timeline, estimate, comparison."""

import pytest
from history_kit import MINUTE, SECOND, created, node, rows, run, step, workflow

from analytics.core.clock import utc_now
from analytics.core.errors import NotFoundError
from analytics.core.ids import new_id
from analytics.store.queries import compare, timeline
from analytics.store.queries.compare import compare_runs
from analytics.store.queries.estimate import estimate
from analytics.store.tables import Artifact, NodeAttempt, NodeWait

pytestmark = pytest.mark.integration


def bars(session, run_id):
    """Return node, kind, begin and end in seconds after the run was created, and status."""
    found = timeline.timeline(session, run_id)
    at = created(session, run_id)
    return [
        (
            item.node_id,
            item.kind,
            (item.began - at).total_seconds(),
            None if item.ended is None else (item.ended - at).total_seconds(),
            item.status,
        )
        for item in found.segments
    ]


def test_a_timeline_tells_waiting_running_retries_the_cache_and_parking_apart(session):
    flow = workflow(session, "flow", step("a"))
    this = run(session, flow, waited_s=2, took_s=60)
    at = created(session, this)
    node(session, this, "plain", began_s=3, took_s=4, ready_at=at + 2 * SECOND)
    node(session, this, "known", began_s=7, took_s=0.01, cache_hit=True)
    node(session, this, "shaky", began_s=20, took_s=5, ready_at=at + 8 * SECOND, attempt=3)
    for attempt, begun in ((1, 9), (2, 14)):
        values = {"started_at": at + begun * SECOND, "finished_at": at + (begun + 1) * SECOND}
        rows(
            session,
            NodeAttempt,
            {"run_id": this, "run_created_at": at, "node_id": "shaky", "attempt": attempt, **values},
        )
    node(session, this, "asks", began_s=26, took_s=20, kind="approval")
    waited = {"created_at": at + 27 * SECOND, "resolved_at": at + 40 * SECOND, "outcome": "approved"}
    rows(session, NodeWait, {"run_id": this, "run_created_at": at, "node_id": "asks", "kind": "approval", **waited})
    assert bars(session, this) == [
        ("", "queue", 0, 2, "completed"),
        ("plain", "wait", 2, 3, "completed"),
        ("plain", "run", 3, 7, "completed"),
        ("known", "cache", 7, 7.01, "completed"),
        ("shaky", "wait", 8, 9, "completed"),
        ("shaky", "retry", 9, 14, "failed"),
        ("shaky", "retry", 14, 20, "failed"),
        ("shaky", "run", 20, 25, "completed"),
        ("asks", "run", 26, 27, "completed"),
        ("asks", "parked", 27, 40, "completed"),
        ("asks", "run", 40, 46, "completed"),
    ]  # fmt: skip


def test_what_goes_on_has_no_end(session):
    flow = workflow(session, "flow", step("a"))
    this = run(session, flow, status="running", waited_s=1)
    node(session, this, "works", began_s=1, took_s=None, status="running")
    node(session, this, "ready", began_s=None, status="pending", ready_at=created(session, this) + 2 * SECOND)
    node(session, this, "asks", began_s=3, took_s=None, status="waiting")
    rows(
        session,
        NodeWait,
        {"run_id": this, "run_created_at": created(session, this), "node_id": "asks", "kind": "signal",
         "created_at": created(session, this) + 3 * SECOND},
    )  # fmt: skip
    assert bars(session, this) == [
        ("", "queue", 0, 1, "running"),
        ("works", "run", 1, None, "running"),
        ("ready", "wait", 2, None, "pending"),
        ("asks", "parked", 3, None, "waiting"),
    ]
    queued = run(session, flow, status="queued", at=utc_now())
    assert bars(session, queued) == [("", "queue", 0, None, "queued")]
    assert timeline.timeline(session, new_id()) is None


def test_a_node_that_pauses_before_its_next_attempt_shows_the_one_that_failed_once(session):
    this = run(session, workflow(session, "flow", step("a")), status="running", waited_s=0)
    at = created(session, this)
    node(session, this, "shaky", began_s=1, took_s=None, status="running")
    ended = {"started_at": at + SECOND, "finished_at": at + 3 * SECOND}
    rows(session, NodeAttempt, {"run_id": this, "run_created_at": at, "node_id": "shaky", "attempt": 1, **ended})
    assert bars(session, this)[1:] == [("shaky", "retry", 1, 3, "failed")]


def test_a_timeline_of_too_many_nodes_says_how_many_it_leaves_out(session, monkeypatch):
    monkeypatch.setattr(timeline, "MOST_NODES", 3)
    this = run(session, workflow(session, "flow", step("a")))
    for number in range(5):
        node(session, this, f"n{number}", began_s=number)
    found = timeline.timeline(session, this)
    assert [item.node_id for item in found.segments] == ["", "n0", "n1", "n2"]
    assert found.left_out == 2


def diamond(session):
    """Store a → (b, c) → d with three completed runs: medians 2, 10, 4, 1 seconds."""
    nodes = [step("a"), step("b", "a"), step("c", "a.yes"), step("d", "b", "c")]
    flow = workflow(session, "diamond", *nodes)
    for times in ((1, 9, 4, 1), (2, 10, 4, 1), (30, 11, 4, 1)):
        done = run(session, flow, at=utc_now() - 60 * MINUTE)
        for node_id, took_s in zip("abcd", times, strict=True):
            node(session, done, node_id, took_s=took_s)
    run(session, flow, status="failed")
    return flow


def test_an_estimate_follows_medians_along_the_longest_path_to_go(session):
    flow = diamond(session)
    queued = run(session, flow, status="queued", at=utc_now())
    found = estimate(session, queued)
    assert (found.remaining_s, found.finish_at, found.samples) == (13, None, 3)
    assert (list(found.path), list(found.unknown_nodes)) == (["a", "b", "d"], [])
    this = run(session, flow, status="running", at=utc_now() - 9 * SECOND, waited_s=0)
    node(session, this, "a", took_s=2)
    node(session, this, "b", began_s=2, took_s=None, status="running")
    found = estimate(session, this)
    assert found.remaining_s == pytest.approx(5, abs=1.5)  # c and d, because b is nearly done
    assert found.path == ["c", "d"]
    assert found.finish_at == pytest.approx(utc_now() + 5 * SECOND, abs=2 * SECOND)


def test_a_node_that_takes_longer_than_usual_is_due_now_and_ended_ones_take_nothing(session):
    flow = diamond(session)
    this = run(session, flow, status="running", at=utc_now() - MINUTE, waited_s=0)
    for node_id in "ac":
        node(session, this, node_id)
    node(session, this, "b", began_s=3, took_s=None, status="running")
    found = estimate(session, this)
    assert (found.remaining_s, found.path) == (1, ["b", "d"])


def test_what_nobody_can_know_is_named_and_never_counted_as_zero(session):
    flow = workflow(session, "new", step("a", estimated_duration_s=3), step("b", "a"), step("c", "b"))
    found = estimate(session, run(session, flow, status="running", at=utc_now(), waited_s=0))
    assert (found.remaining_s, list(found.unknown_nodes), found.samples) == (3, ["b", "c"], 0)
    blank = workflow(session, "blank", step("a"))
    found = estimate(session, run(session, blank, status="running"))
    assert (found.remaining_s, found.finish_at, list(found.unknown_nodes)) == (None, None, ["a"])


def test_a_wait_for_a_time_lasts_until_then_and_slots_bound_what_goes_at_once(session):
    flow = workflow(session, "waits", step("a", kind="wait"), step("b", "a", estimated_duration_s=1))
    this = run(session, flow, status="waiting")
    node(session, this, "a", kind="wait", status="waiting", took_s=None)
    until = {"until": utc_now() + 100 * SECOND, "kind": "time"}
    rows(session, NodeWait, {"run_id": this, "run_created_at": created(session, this), "node_id": "a", **until})
    found = estimate(session, this)
    assert found.remaining_s == pytest.approx(101, abs=2)
    assert found.finish_at is None
    wide = workflow(session, "wide", *(step(f"n{i}", estimated_duration_s=2) for i in range(10)), max_parallel=4)
    assert estimate(session, run(session, wide, status="running")).remaining_s == 5


def test_a_run_that_ended_or_is_not_there_has_no_estimate(session):
    assert estimate(session, run(session, diamond(session))) is None
    assert estimate(session, new_id()) is None


def test_without_the_cache_only_runs_without_hits_are_an_example(session):
    flow = workflow(session, "cached", step("a"))
    for took_s, hit in ((0.001, True), (0.001, True), (8, False)):
        node(session, run(session, flow), "a", took_s=took_s, cache_hit=hit)
    assert estimate(session, run(session, flow, status="running")).remaining_s == pytest.approx(0.001)
    assert estimate(session, run(session, flow, status="running", use_cache=False)).remaining_s == 8


def test_two_runs_are_compared_by_input_output_and_node(session):
    flow = workflow(session, "flow", step("a"), step("b"), step("c"))
    left = run(session, flow, took_s=10, input={"page": 1, "who": {"name": "Ann"}, "l": [1, 2]}, output={"n": 1})
    right = run(
        session, flow, took_s=12, input={"page": "1", "who": {"name": "Bob", "x": None}, "l": [1]}, output={"n": 1}
    )
    for this, took_s, output in ((left, 1, {"k": 1}), (right, 4, {"k": 2})):
        node(session, this, "a", took_s=took_s, output=output)
    node(session, left, "b", took_s=2, output=[1])
    node(session, right, "b", status="failed", took_s=2, error={"message": "away"}, attempt=3)
    node(session, left, "c", output=7)
    node(session, right, "c", output=7, cache_hit=True)
    node(session, right, "c", map_index=4)
    found = compare_runs(session, left, right)
    assert (found.delta_s, found.is_output_same, found.left_out) == (2, True, 0)
    assert [(item.path, item.left, item.right, item.is_in_left, item.is_in_right) for item in found.params] == [
        ("l[1]", 2, None, True, False),
        ("page", 1, "1", True, True),
        ("who.name", "Ann", "Bob", True, True),
        ("who.x", None, None, False, True),
    ]
    by_node = {(item.node_id, item.map_index): item for item in found.nodes}
    assert [item.node_id for item in found.nodes] == ["b", "c", "a", "c"]
    assert (by_node["a", -1].delta_s, by_node["a", -1].is_output_same) == (3, False)
    failed = by_node["b", -1]
    assert (failed.left.status, failed.right.status, failed.right.attempt) == ("completed", "failed", 3)
    assert (failed.right.error_message, failed.is_output_same) == ("away", None)
    assert (by_node["c", -1].is_output_same, by_node["c", -1].right.cache_hit) == (True, True)
    assert (by_node["c", 4].left, by_node["c", 4].delta_s) == (None, None)


def test_large_outputs_are_compared_by_their_bytes_and_missing_runs_are_named(session, monkeypatch):
    flow = workflow(session, "flow", step("a"))
    runs = [run(session, flow), run(session, flow), run(session, flow, status="running")]
    for this, content in zip(runs, (b"same", b"same", b"other"), strict=True):
        reference = new_id()
        node(session, this, "a", output_ref=reference)
        rows(
            session,
            Artifact,
            {"id": reference, "run_created_at": created(session, this), "run_id": this, "node_id": "a", "name": "out",
             "media_type": "application/json", "size_bytes": 4, "sha256": content, "content": content},
        )  # fmt: skip
    assert compare_runs(session, runs[0], runs[1]).nodes[0].is_output_same is True
    other = compare_runs(session, runs[0], runs[2])
    assert (other.nodes[0].is_output_same, other.delta_s, other.is_output_same) == (False, None, None)
    with pytest.raises(NotFoundError, match="nothing was compared"):
        compare_runs(session, runs[0], new_id())
    monkeypatch.setattr(compare, "MOST_NODES", 1)
    node(session, runs[0], "b")
    assert compare_runs(session, runs[0], runs[1]).left_out == 1
