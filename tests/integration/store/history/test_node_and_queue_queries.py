"""One node, the items of a loop, the queue, what waits for people, saved views."""

import pytest
from history_kit import MINUTE, SECOND, created, node, rows, run, step, workflow
from sqlalchemy import text

from analytics.core.clock import Interval, utc_now
from analytics.core.errors import ConflictError, InputError, NotFoundError
from analytics.core.ids import new_id
from analytics.store.queries import views
from analytics.store.queries.nodes import artifact, node_detail, node_items, node_log, run_artifacts
from analytics.store.queries.queue import dead_letters, open_waits, queue_position, queue_state, queued_runs
from analytics.store.queries.runs import run_events
from analytics.store.tables import Artifact, NodeAttempt, NodeLog, NodeWait, RunEvent

pytestmark = pytest.mark.integration


def store_artifact(session, run_id, content=b"[1]", **columns):
    values = {
        "id": new_id(), "run_created_at": created(session, run_id), "run_id": run_id, "node_id": "a", "name": "out",
        "media_type": "application/json", "size_bytes": len(content), "sha256": b"\xab\xcd", "content": content,
        **columns,
    }  # fmt: skip
    rows(session, Artifact, values)
    return values["id"]


def test_a_node_comes_with_attempts_wait_artifacts_and_a_large_output(session):
    this = run(session, workflow(session, "flow", step("a")))
    output = store_artifact(session, this, b'{"n": [1, 2]}')
    picture = store_artifact(session, this, b"png", name="page.png", media_type="image/png")
    node(session, this, "a", attempt=2, output_ref=output, log_lines=3)
    at = created(session, this)
    rows(
        session,
        NodeAttempt,
        {"run_id": this, "run_created_at": at, "node_id": "a", "attempt": 1, "started_at": at,
         "finished_at": at + 2 * SECOND, "error": {"message": "away"}},
    )  # fmt: skip
    rows(session, NodeWait, {"run_id": this, "run_created_at": at, "node_id": "a", "kind": "approval", "title": "OK?"})
    found = node_detail(session, this, "a")
    assert found.row.output == {"n": [1, 2]}
    assert (found.output_bytes, found.is_output_left_out) == (13, False)
    assert [(item.attempt, item.duration_s, item.error["message"]) for item in found.attempts] == [(1, 2.0, "away")]
    assert (found.wait.title, found.wait.resolved_at) == ("OK?", None)
    assert [(item.id, item.sha256, item.size_bytes) for item in found.artifacts] == [(picture, "abcd", 3)]
    assert {item.id for item in run_artifacts(session, this)} == {output, picture}
    assert artifact(session, picture).content == b"png"
    assert artifact(session, new_id()) is None
    assert node_detail(session, this, "b") is None
    assert node_detail(session, new_id(), "a") is None


def test_an_output_above_a_mebibyte_is_left_out_and_said_to_be(session):
    this = run(session, workflow(session, "flow", step("a")))
    node(session, this, "a", output_ref=store_artifact(session, this, b"1", size_bytes=2**20 + 1))
    found = node_detail(session, this, "a")
    assert (found.row.output, found.is_output_left_out) == (None, True)


def test_a_log_is_read_from_its_end_from_its_start_or_after_a_line(session):
    this = run(session, workflow(session, "flow", step("a")))
    at = created(session, this)
    for attempt, count in ((1, 2), (2, 5)):
        rows(
            session,
            NodeLog,
            *(
                {"run_id": this, "run_created_at": at, "node_id": "a", "map_index": 3, "attempt": attempt, "seq": seq,
                 "at": at, "level": "info", "message": f"{attempt}.{seq}"}
                for seq in range(1, count + 1)
            ),
        )  # fmt: skip

    def lines(**how):
        return [item.message for item in node_log(session, this, "a", 3, **how)]

    assert lines(limit=2) == ["2.4", "2.5"]
    assert lines(limit=2, tail=False) == ["2.1", "2.2"]
    assert lines(after_seq=3) == ["2.4", "2.5"]
    assert lines(after_seq=1, limit=2) == ["2.2", "2.3"]
    assert lines(attempt=1) == ["1.1", "1.2"]
    assert node_log(session, this, "a") == []
    with pytest.raises(InputError, match="lines"):
        lines(limit=0)


def test_items_of_a_loop_are_summed_by_node_without_those_of_inner_loops(session):
    this = run(session, workflow(session, "flow", step("each", kind="foreach")))
    node(session, this, "each", kind="foreach")
    for index, status in enumerate(("completed", "failed", "completed", "needs_attention")):
        node(session, this, "each/fetch", map_index=index, status=status, began_s=1)
    node(session, this, "each/store", map_index=0, began_s=2)
    node(session, this, "each/inner", map_index=0, kind="foreach", began_s=3)
    node(session, this, "each[0]/inner/deep", map_index=7, status="failed")
    node(session, this, "eachother", status="failed")
    found = node_items(session, this, "each")
    assert [(item.node_id, dict(item.counts)) for item in found.nodes] == [
        ("each/fetch", {"completed": 2, "failed": 1, "needs_attention": 1}),
        ("each/store", {"completed": 1}),
        ("each/inner", {"completed": 1}),
    ]
    assert (found.nodes[0].total, list(found.failed)) == (4, [("each/fetch", 1), ("each/fetch", 3)])
    inner = node_items(session, this, "each[0]/inner")
    assert (inner.nodes[0].node_id, list(inner.failed)) == ("each[0]/inner/deep", [("each[0]/inner/deep", 7)])
    assert node_items(session, this, "nothing").nodes == []


def test_the_queue_is_listed_in_the_order_of_claims_with_exact_places(session):
    flow = workflow(session, "flow", step("a"))
    at = utc_now() - 10 * MINUTE
    late, early, urgent = (run(session, flow, status="queued", at=at + shift * SECOND) for shift in (2, 1, 3))
    session.execute(
        text("UPDATE run_active SET priority = 2, rank = rank - interval '10 min' WHERE run_id = :id"), {"id": urgent}
    )
    run(session, flow, status="running")
    page = queued_runs(session)
    assert [(row.run_id, row.position) for row in page.items] == [(urgent, 1), (early, 2), (late, 3)]
    assert [queue_position(session, row.run_id) for row in page.items] == [1, 2, 3]
    second = queued_runs(session, page=2, limit=2)
    assert ([(row.run_id, row.position) for row in second.items], second.total) == ([(late, 3)], 3)
    assert page.items[0].waited_s == pytest.approx(597, abs=20)
    state = queue_state(session)
    assert (state.queued, state.running, state.paused, state.needs_attention) == (3, 1, 0, 0)
    assert queue_position(session, new_id()) is None


def test_a_run_without_a_place_under_its_key_is_held_back(session):
    flow = workflow(session, "flow", step("a"))
    works, waits, free = (run(session, flow, status=status) for status in ("running", "queued", "queued"))
    session.execute(
        text("UPDATE run_active SET concurrency_key = 'c', concurrency_limit = 1 WHERE run_id = ANY(:ids)"),
        {"ids": [works, waits]},
    )
    assert {row.run_id: row.is_held_back for row in queued_runs(session).items} == {waits: True, free: False}


def test_dead_letters_name_the_nodes_that_were_in_flight(session):
    flow, now = workflow(session, "poison", step("a")), utc_now()
    error = {"code": "dead_letter", "message": "given up"}
    old, new = (run(session, flow, status="failed", at=now - ago * MINUTE, error=error, attempt=4) for ago in (9, 5))
    run(session, flow, status="failed", error={"code": "timeout"})
    node(session, new, "eater", status="failed", error=error)
    node(session, new, "other", status="failed", error={"code": "timeout"})
    found = dead_letters(session)
    assert [item.run_id for item in found] == [new, old]
    assert (found[0].suspects, found[0].attempt, found[0].message) == (["eater"], 4, "given up")
    assert [item.run_id for item in dead_letters(session, before=(found[0].created_at, new))] == [old]
    assert [item.run_id for item in dead_letters(session, interval=Interval(now - 6 * MINUTE, now))] == [new]


def test_open_waits_are_those_of_runs_that_go_on_oldest_first(session):
    flow = workflow(session, "asks", step("a"))
    open_run, over = run(session, flow, status="waiting"), run(session, flow, status="cancelled")
    at = utc_now() - MINUTE
    for place, (run_id, kind, resolved) in enumerate(
        [(open_run, "approval", None), (open_run, "time", None), (open_run, "signal", at), (over, "approval", None),
         (open_run, "attention", None)]
    ):  # fmt: skip
        rows(
            session,
            NodeWait,
            {"run_id": run_id, "run_created_at": at, "node_id": f"n{place}", "kind": kind, "resolved_at": resolved,
             "created_at": at - place * SECOND, "title": kind, "form": {"type": "object"}, "until": at + MINUTE},
        )  # fmt: skip
    found = open_waits(session)
    assert [(item.node_id, item.kind) for item in found] == [("n4", "attention"), ("n0", "approval")]
    assert (found[1].form, found[1].deadline, found[1].workflow_name) == ({"type": "object"}, at + MINUTE, "asks")
    assert [item.node_id for item in open_waits(session, kinds=("time",), run_id=open_run)] == ["n1"]
    assert open_waits(session, run_id=over) == []
    with pytest.raises(InputError, match="do not wait for 'rain'"):
        open_waits(session, kinds=("rain",))


def test_events_of_a_run_come_in_order(session):
    this = run(session, workflow(session, "flow", step("a")))
    at = created(session, this)
    for place, kind in enumerate(("paused", "resumed")):
        event = {"id": new_id(), "run_id": this, "run_created_at": at, "at": at + place * SECOND, "kind": kind}
        rows(session, RunEvent, {**event, "actor": "ann", "data": {"n": place}})
    assert [(item.kind, item.data) for item in run_events(session, this)] == [
        ("paused", {"n": 0}),
        ("resumed", {"n": 1}),
    ]


def test_saved_views_are_ones_own_and_those_that_others_share(session):
    views.save_view(session, owner="ann", page="runs", name="failed ", query={"status": "failed"})
    views.save_view(session, owner="bob", page="runs", name="secret", query={})
    shared = views.save_view(session, owner="bob", page="runs", name="everybody", query={}, shared=True)
    changed = views.save_view(session, owner="ann", page="runs", name="failed", query={"status": "cancelled"})
    found = views.list_views(session, owner="ann", page="runs")
    assert [(item.name, item.is_own, item.query) for item in found] == [
        ("failed", True, {"status": "cancelled"}),
        ("everybody", False, {}),
    ]
    assert views.list_views(session, owner="ann", page="workflows") == []
    with pytest.raises(NotFoundError, match="no such view"):
        views.delete_view(session, shared.id, owner="ann")
    views.delete_view(session, changed.id, owner="ann")
    assert [item.name for item in views.list_views(session, owner="ann", page="runs")] == ["everybody"]


def test_views_without_a_name_too_large_or_too_many_are_refused(session, monkeypatch):
    for name, query, message in (
        (" ", {}, "1 to 80"),
        ("n" * 81, {}, "1 to 80"),
        ("n", {"q": "x" * 5000}, "4096 bytes"),
    ):
        with pytest.raises(InputError, match=message):
            views.save_view(session, owner="ann", page="runs", name=name, query=query)
    monkeypatch.setattr(views, "MOST_VIEWS", 1)
    views.save_view(session, owner="ann", page="runs", name="one", query={})
    with pytest.raises(ConflictError, match="Delete one first"):
        views.save_view(session, owner="ann", page="runs", name="two", query={})
    views.save_view(session, owner="ann", page="runs", name="one", query={"again": "yes"})
