"""Whatever is done to facts, and whenever the upkeep comes, cells are the sums over the rows there are."""

import threading
import uuid
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, delete, insert, select, text, update
from sqlalchemy.orm import Session

from analytics.core.clock import Interval
from analytics.core.errors import DependencyError
from analytics.core.ids import new_id
from analytics.rollup.cell import Cell
from analytics.rollup.cuts import CUTS, FACTS, LONGEST_PART, joined
from analytics.rollup.read import DAY, HOUR, Want, series, total, totals, window
from analytics.rollup.sketch import People, Sketch
from analytics.rollup.upkeep import keep_up, rebuild
from analytics.store.engine import session_scope
from analytics.store.tables import AgentRun, Event, Lead, LlmCall, MetricSample, Run, WorkItem
from tests.integration.rollup.conftest import NOW, PROJECT, add_runs, cleared

pytestmark = pytest.mark.integration

AT_ONCE = timedelta(0)
MONTH = timedelta(days=30)

rows = st.fixed_dictionaries(
    {
        "hours_ago": st.sampled_from([-1, 0.2, 0.7, 3, 20, 27, 50, 51, 75, 400, 500]),
        "agent_id": st.sampled_from(["planner", "writer"]),
        "task_kind": st.sampled_from(["plan", "write"]),
        "project_id": st.sampled_from([None, PROJECT]),
        "status": st.sampled_from(["completed", "failed", "running"]),
        "seconds": st.integers(-2, 40),
        "input_tokens": st.integers(0, 9),
        "cost_usd": st.sampled_from([None, 0, 2]),
        "confidence": st.sampled_from([None, 0.25, 0.5]),
    }
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), rows),
        st.tuples(st.just("change"), rows),
        st.tuples(st.just("remove"), st.integers(0, 9)),
        st.tuples(st.just("keep up"), st.sampled_from([0, 1, 26, 50, 700])),
    ),
    min_size=1,
    max_size=7,
)


def row_of(drawn: dict, row_id: uuid.UUID) -> dict:
    start = NOW - timedelta(hours=drawn["hours_ago"])
    finish = None if drawn["status"] == "running" else start + timedelta(seconds=drawn["seconds"])
    kept = {name: value for name, value in drawn.items() if name not in {"hours_ago", "seconds"}}
    return {"id": row_id, "started_at": start, "finished_at": finish, **kept}


def counted(rows: list[AgentRun]) -> Cell:
    """Sum *rows* in Python."""
    took = [(row.finished_at - row.started_at).total_seconds() for row in rows if row.finished_at is not None]
    took = [seconds for seconds in took if seconds >= 0]
    costs = [float(row.cost_usd) for row in rows if row.cost_usd is not None]
    values = [row.confidence for row in rows if row.confidence is not None]
    return Cell(
        n=len(rows),
        ok=sum(row.status == "completed" for row in rows),
        failed=sum(row.status == "failed" for row in rows),
        demo=0,
        newest=max(row.started_at for row in rows),
        duration_n=len(took),
        duration_s=sum(took) if took else None,
        input_tokens=sum(row.input_tokens for row in rows),
        output_tokens=0,
        cost_usd=sum(costs) if costs else None,
        priced=len(costs),
        value_n=len(values),
        value_sum=sum(values) if values else None,
        value_min=min(values, default=None),
        value_max=max(values, default=None),
        sketch=Sketch(Sketch.of(took).to_bytes()),
    )


KEYS = {
    "agent_run": lambda _: "",
    "agent_run.project": lambda row: "" if row.project_id is None else str(row.project_id),
    "agent_run.agent": lambda row: row.agent_id,
    "agent_run.task_kind": lambda row: row.task_kind,
    "agent_run.agent_task": lambda row: joined(row.agent_id, row.task_kind),
}


def plain(cells: dict[str, Cell]) -> dict[str, Cell]:
    """Put what is packed into one order."""
    return {
        key: replace(cell, sketch=Sketch(cell.sketch.to_bytes()), people=People(b"".join(sorted(registers(cell)))))
        for key, cell in cells.items()
    }


def registers(cell: Cell) -> list[bytes]:
    packed = cell.people.packed
    return [packed[place : place + 3] for place in range(0, len(packed), 3)]


def check_all(engine: Engine, now) -> None:
    """Hold every cut, by day and by hour, against the rows."""
    with session_scope(engine) as session:
        runs = session.scalars(select(AgentRun)).all()
        for length in (MONTH, timedelta(hours=30), timedelta(hours=5)):
            asked = Interval(now - length, now + HOUR)
            covered = window(asked, now=now).interval
            inside = [row for row in runs if covered.since <= row.started_at < covered.until]
            for cut, key_of in KEYS.items():
                keys = {key_of(row) for row in inside}
                expected = {key: counted([row for row in inside if key_of(row) == key]) for key in keys}
                assert plain(totals(session, cut, asked, now=now)) == expected, (cut, length)
        for at, cell in series(session, Want("agent_run"), Interval(now - MONTH, now), step=HOUR, now=now):
            assert (cell.n if cell else 0) == sum(at <= row.started_at < at + HOUR for row in runs), at


@settings(max_examples=10, deadline=None)
@given(steps=steps)
def test_cells_are_the_sums_over_the_rows_after_whatever_happened(rollup_database, steps):
    with cleared(rollup_database) as store:
        now, ids = NOW, []
        for what, how in steps:
            if what == "keep up":
                now += timedelta(hours=how)
                keep_up(store, now=now, late_every=AT_ONCE)
                continue
            with session_scope(store) as session:
                if what == "add":
                    ids.append(new_id())
                    session.execute(insert(AgentRun).values(row_of(how, ids[-1])))
                elif what == "change" and ids:
                    changed = row_of(how, ids[-1])
                    session.execute(update(AgentRun).where(AgentRun.id == ids[-1]).values(changed))
                elif what == "remove" and ids:
                    session.execute(delete(AgentRun).where(AgentRun.id == ids[how % len(ids)]))
        keep_up(store, now=now, late_every=AT_ONCE)
        check_all(store, now)
        assert keep_up(store, now=now).hours == {}


def test_an_upkeep_that_is_killed_has_lost_nothing(store, monkeypatch):
    add_runs(store, HOUR, 30 * HOUR, 200 * HOUR)

    def kill(_upkeep: object, connection: Connection, *_: object, **__: object) -> None:
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    with monkeypatch.context() as patched:
        patched.setattr("analytics.rollup.upkeep._Upkeep._write", kill)
        with pytest.raises(DependencyError):
            keep_up(store, now=NOW)
    assert keep_up(store, now=NOW, late_every=AT_ONCE).hours == {"agent_run": 3}
    check_all(store, NOW)


def test_two_upkeeps_at_once_and_a_writer_beside_them_end_in_the_right_sums(store):
    add_runs(store, *(place * 7 * HOUR for place in range(30)))
    reports = []
    threads = [
        threading.Thread(target=lambda: reports.append(keep_up(store, now=NOW, late_every=AT_ONCE))) for _ in range(2)
    ]
    threads.append(threading.Thread(target=lambda: [add_runs(store, place * 5 * HOUR) for place in range(20)]))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(reports) == 2
    keep_up(store, now=NOW, late_every=AT_ONCE)
    check_all(store, NOW)


def test_what_was_summed_wrongly_is_right_after_a_rebuild(store):
    add_runs(store, HOUR, 30 * HOUR, 200 * HOUR)
    keep_up(store, now=NOW)
    with store.begin() as connection:
        connection.execute(text("UPDATE rollup_hour SET n = 99"))
        connection.execute(text("UPDATE rollup_day SET n = 99"))
    report = rebuild(store, since=NOW - MONTH, until=NOW, sources=["agent_run"], now=NOW)
    assert report.hours == {"agent_run": 721}
    check_all(store, NOW)


def one_of_each(session: Session, at, **odd) -> None:
    long = "n" * 10_000
    session.execute(insert(AgentRun).values(id=new_id(), started_at=at, agent_id=long, task_kind="k", status="running"))
    call = {"at": at, "provider": "p", "model": "m", "ok": True, "input_tokens": 1, "output_tokens": 2, **odd}
    session.execute(insert(LlmCall).values(id=new_id(), duration_ms=5.0, **call))
    session.execute(insert(LlmCall).values(id=new_id(), duration_ms=float("inf"), cost_usd="NaN", **call))
    for subject, kind in (("ann", "web.view"), ("bob", "web.view"), ("ann", "web.click"), ("desk", "context.read")):
        seen = {"at": at, "kind": kind, "source": long, "subject": subject, "props": {"agent_id": "planner"}}
        session.execute(insert(Event).values(id=new_id(), **seen))
    session.execute(insert(Event).values(id=new_id(), at=at, kind="web.view", source="web", subject=None, props={}))
    for value in (-1.5, 0.0, 4.0, float("nan"), float("inf"), 1e300):
        sample = {"at": at, "name": "load", "unit": "ratio", "tags": {"host": long}, "value": value}
        session.execute(insert(MetricSample).values(id=new_id(), **sample))
    session.execute(insert(Lead).values(id=new_id(), source="web", created_at=at, p_score=0.5, status="won"))
    item = {"kind": "report", "title": "t", "created_at": at - HOUR, "finished_at": at, "status": "completed"}
    session.execute(insert(WorkItem).values(id=new_id(), completion_ratio=1, **item))
    run = {"workflow_id": new_id(), "version": 1, "status": "completed", "started_at": at, "finished_at": at + HOUR}
    session.execute(insert(Run).values(id=new_id(), created_at=at, **run))


def test_every_fact_is_summed_in_every_cut_and_strange_values_do_no_harm(store):
    with session_scope(store) as session:
        one_of_each(session, NOW - 2 * HOUR)
    keep_up(store, now=NOW)
    from_rows, from_cells = Interval(NOW - 5 * HOUR, NOW), Interval(NOW - 20 * HOUR, NOW)
    with session_scope(store) as session:
        for cut in CUTS:
            found = totals(session, cut, from_cells, now=NOW)
            assert found, cut
            assert plain(totals(session, cut, from_rows, now=NOW)) == plain(found), cut
        whole = {fact: total(session, Want(fact), from_cells, now=NOW) for fact in FACTS if fact != "sample"}
        load = total(session, Want("sample.name", "load"), from_cells, now=NOW)
    assert {fact: cell.n for fact, cell in whole.items()} == {
        **dict.fromkeys(("agent_run", "context", "lead", "work_item", "work_done", "run"), 1),
        "llm_call": 2,
        "event": 5,
    }
    calls = whole["llm_call"]
    assert (calls.duration_n, calls.duration_s, calls.cost_usd, calls.priced) == (1, 0.005, None, 0)
    assert (whole["event"].distinct(), whole["context"].distinct()) == (2, None)
    assert (load.n, load.value_n, load.value_sum, load.value_min, load.value_max) == (6, 3, 2.5, -1.5, 4.0)
    assert [load.quantile(q) for q in (0.5, 1)] == [0, pytest.approx(4, rel=0.045)]
    assert whole["work_done"].mean_duration_s == whole["run"].mean_duration_s == 3600
    assert (whole["lead"].ok, whole["lead"].mean_value, whole["work_item"].mean_value) == (1, 0.5, 1)


def test_names_that_are_alike_in_what_is_kept_of_them_are_one_key(store):
    kept = "n" * LONGEST_PART
    add_runs(store, HOUR, agent_id=kept + "a", cost_usd=1)
    add_runs(store, HOUR, agent_id=kept + "b", cost_usd=2)
    with session_scope(store) as session:
        for person in "ab":
            seen = {"at": NOW - HOUR, "kind": "web.view", "source": kept + person, "subject": person, "props": {}}
            session.execute(insert(Event).values(id=new_id(), **seen))
    keep_up(store, now=NOW)
    keys = {"agent_run.agent": kept, "agent_run.agent_task": joined(kept, "plan"), "event.source": kept}
    with session_scope(store) as session:
        for length in (5 * HOUR, 20 * HOUR):
            found = {cut: totals(session, cut, Interval(NOW - length, NOW), now=NOW) for cut in keys}
            assert {cut: list(cells) for cut, cells in found.items()} == {cut: [key] for cut, key in keys.items()}
            agent, pair, source = (found[cut][key] for cut, key in keys.items())
            assert (agent.n, agent.cost_usd, agent.sketch.n) == (pair.n, pair.cost_usd, pair.sketch.n) == (2, 3, 2)
            assert (source.n, source.distinct()) == (2, 2)


def test_people_are_counted_over_days_and_hours_together(store):
    with session_scope(store) as session:
        for day in range(1, 6):
            for person in range(day * 10):
                values = {"at": NOW - day * DAY, "kind": "web.view", "source": "web", "subject": f"p{person}"}
                session.execute(insert(Event).values(id=new_id(), props={}, **values))
    keep_up(store, now=NOW)
    with session_scope(store) as session:
        seen = total(session, Want("event.kind", "web.view"), Interval(NOW - 7 * DAY, NOW), now=NOW)
    assert (seen.n, seen.distinct()) == (150, pytest.approx(50, abs=2))
