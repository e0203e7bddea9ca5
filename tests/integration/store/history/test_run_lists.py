"""Lists of runs: every filter, newest first, page by page."""

import uuid
from datetime import timedelta

import pytest
from history_kit import MINUTE, ids, node, rows, run, step, workflow

from analytics.core.clock import Interval, utc_now
from analytics.core.errors import InputError
from analytics.core.ids import new_id
from analytics.store.queries import runs
from analytics.store.queries.run_filter import RunFilter, id_range
from analytics.store.tables import NodeWait

pytestmark = pytest.mark.integration


def listed(session, **wanted):
    return ids(runs.list_runs(session, filter=RunFilter(**wanted)))


def test_each_filter_finds_what_it_names_and_nothing_else(session):
    now = utc_now()
    ocr, mail = workflow(session, "read-invoices", step("a")), workflow(session, "send_mail", step("a"))
    schedule = new_id()
    old = run(session, ocr, at=now - 9 * MINUTE, requested_by="ann@example.com", tags=["nightly", "eu"])
    slow = run(session, mail, at=now - 8 * MINUTE, took_s=90, requested_by="bob", trigger="api")
    failed = run(session, ocr, at=now - 7 * MINUTE, status="failed", trigger="schedule", schedule_id=schedule)
    queued = run(session, mail, at=now - 6 * MINUTE, status="queued", tags=["eu"])
    every = [queued, failed, slow, old]
    assert listed(session) == every
    assert listed(session, statuses=("failed", "queued")) == [queued, failed]
    assert listed(session, workflow_id=ocr) == [failed, old]
    assert listed(session, workflow="send_mail") == [queued, slow]
    assert listed(session, workflow="send") == []
    assert listed(session, tags=("eu",)) == [queued, old]
    assert listed(session, tags=("eu", "nightly")) == [old]
    assert listed(session, requested_by="bob") == [slow]
    assert listed(session, triggers=("api", "schedule")) == [failed, slow]
    assert listed(session, schedule_id=schedule) == [failed]
    assert listed(session, min_duration_s=60) == [slow]
    assert listed(session, min_duration_s=0) == [failed, slow, old]
    assert listed(session, interval=Interval(now - 8 * MINUTE, now - 6 * MINUTE)) == [failed, slow]
    assert listed(session, workflow_id=ocr, statuses=("failed",), triggers=("api",)) == []


def test_a_search_looks_at_workflows_requesters_and_ids_and_takes_no_wildcards(session):
    ocr, mail = workflow(session, "read-invoices", step("a")), workflow(session, "send_mail", step("a"))
    first = run(session, ocr, requested_by="ann@example.com", id=uuid.UUID("01a20000-0000-7000-8000-00000000beef"))
    second = run(session, mail, requested_by="Bob")
    assert listed(session, search="INVOICE") == [first]
    assert listed(session, search="d_m") == [second]
    assert listed(session, search="d%m") == []
    assert listed(session, search="bob") == [second]
    assert set(listed(session, search="a")) == {first, second}
    assert listed(session, search="01A20000-0000-7") == [first]
    assert listed(session, search="nobody and nothing") == []
    assert set(listed(session, search="  ")) == {first, second}


@pytest.mark.parametrize("word", ["abc", "add-on", "g123", "0123456789abcdef0123456789abcdef0", ""])
def test_a_word_that_cannot_begin_an_id_is_not_taken_for_one(word):
    assert id_range(word) is None


def test_pages_by_key_give_every_run_once_even_when_many_were_created_at_once(session):
    at, flow = utc_now() - MINUTE, workflow(session, "flow", step("a"))
    everything = {run(session, flow, at=at) for _ in range(7)} | {run(session, flow, at=at - MINUTE) for _ in range(4)}
    seen: list[uuid.UUID] = []
    before = None
    while found := runs.list_runs(session, filter=RunFilter(), before=before, limit=3):
        seen += ids(found)
        before = (found[-1].created_at, found[-1].id)
    assert len(seen) == 11
    assert set(seen) == everything


def test_numbered_pages_count_and_end_with_a_short_one(session):
    flow = workflow(session, "flow", step("a"))
    made = [run(session, flow, at=utc_now() - number * MINUTE) for number in range(1, 6)]
    run(session, flow, status="failed")
    wanted = RunFilter(statuses=("completed",))
    last = runs.page_runs(session, filter=wanted, page=3, limit=2)
    assert ids(last.items) == made[4:]
    assert (last.total, last.pages, last.is_capped) == (5, 3, False)
    beyond = runs.page_runs(session, filter=wanted, page=9, limit=2)
    assert (list(beyond.items), beyond.total) == ([], 5)
    assert runs.page_runs(session, filter=RunFilter(workflow="no such"), page=1).total == 0


def test_counting_stops_at_its_bound_and_says_so(session, monkeypatch):
    monkeypatch.setattr(runs, "COUNTED", 4)
    flow = workflow(session, "flow", step("a"))
    for _ in range(6):
        run(session, flow)
    first = runs.page_runs(session, filter=RunFilter(), page=1, limit=3)
    assert (len(first.items), first.total, first.is_capped) == (3, 4, True)
    second = runs.page_runs(session, filter=RunFilter(), page=2, limit=3)
    assert len(second.items) == 1
    assert runs.page_runs(session, filter=RunFilter(), page=3, limit=3).items == []


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"statuses": ("done",)}, "no run status 'done'"),
        ({"min_duration_s": -1.0}, "cannot take"),
        ({"min_duration_s": float("nan")}, "cannot take"),
        ({"min_duration_s": 1e300}, "cannot take"),
    ],
)
def test_impossible_filters_are_refused(session, wanted, message):
    with pytest.raises(InputError, match=message):
        listed(session, **wanted)
    with pytest.raises(InputError):
        runs.page_runs(session, filter=RunFilter(), page=0)


def test_a_row_tells_how_long_a_run_waited_and_took(session):
    flow = workflow(session, "flow", step("a"))
    done = run(session, flow, at=utc_now() - 30 * MINUTE, waited_s=4, took_s=6, nodes_total=3)
    now = run(session, flow, status="running", at=utc_now() - timedelta(seconds=30), waited_s=10)
    waits = run(session, flow, status="queued", at=utc_now() - timedelta(seconds=20))
    by_id = {row.id: row for row in runs.list_runs(session, filter=RunFilter())}
    assert (by_id[done].wait_s, by_id[done].duration_s) == (4, 6)
    assert by_id[now].duration_s == pytest.approx(20, abs=5)
    assert by_id[waits].wait_s == pytest.approx(20, abs=5)
    assert by_id[waits].duration_s is None
    never = run(session, flow, status="cancelled", started_at=None)
    assert runs.run_detail(session, never).row.wait_s is None
    assert by_id[done].nodes_total == 3


def test_choices_are_what_runs_have(session):
    flow = workflow(session, "flow", step("a"))
    assert runs.run_choices(session).requesters == []
    for who, trigger, tags in (("zoe", "api", ["a", "b"]), ("ann", "page", ["a"]), ("ann", "api", [])):
        run(session, flow, requested_by=who, trigger=trigger, tags=tags)
    run(session, flow, requested_by=None, trigger="schedule")
    choices = runs.run_choices(session)
    assert choices.requesters == ["ann", "zoe"]
    assert choices.triggers == ["api", "page", "schedule"]
    assert choices.tags == ["a", "b"]
    assert (flow, "flow") in choices.workflows


def test_relatives_are_found_up_and_down(session):
    flow = workflow(session, "flow", step("a"))
    top = run(session, flow)
    child = run(session, flow, parent_run_id=top, parent_node="a")
    again = run(session, flow, source_run_id=child)
    found = runs.related_runs(session, child)
    assert (found.parent.id, found.source, ids(found.children), ids(found.repeats)) == (top, None, [], [again])
    assert ids(runs.related_runs(session, top).children) == [child]
    assert runs.related_runs(session, again).source.id == child


def test_changed_nodes_come_until_they_are_old_and_none_is_left_out(session):
    flow = workflow(session, "flow", step("a"), step("b"))
    this = run(session, flow, status="running")
    node(session, this, "a", output={"n": 1}, changed_at=utc_now() - MINUTE)
    first, mark = runs.changed_nodes(session, this, utc_now() - 5 * MINUTE)
    assert [(item.node_id, item.output) for item in first] == [("a", None)]
    node(session, this, "b", status="running", took_s=None)
    second, mark = runs.changed_nodes(session, this, mark)
    assert [item.node_id for item in second] == ["b"]
    assert runs.changed_nodes(session, this, utc_now() + MINUTE)[0] == []
    assert runs.changed_nodes(session, new_id(), mark)[0] == []


def test_a_run_comes_with_or_without_what_its_nodes_returned(session):
    flow = workflow(session, "flow", step("a"))
    this = run(session, flow, status="waiting")
    node(session, this, "a", output={"n": 1})
    rows(session, NodeWait, {"run_id": this, "run_created_at": utc_now(), "node_id": "a", "kind": "approval"})
    assert runs.run_detail(session, this).nodes[0].output == {"n": 1}
    bare = runs.run_detail(session, this, with_outputs=False)
    assert bare.nodes[0].output is None
    assert bare.spec["nodes"][0]["id"] == "a"
    assert runs.run_detail(session, new_id()) is None
