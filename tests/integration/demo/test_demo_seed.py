"""The demo history comes, stays apart, and goes without touching anything else."""

import importlib
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, func, insert, select
from sqlalchemy.orm import Session

from analytics.agents import agent_graph
from analytics.core.clock import Interval, utc_now
from analytics.core.ids import new_id
from analytics.core.settings import Settings
from analytics.demo import is_seeded, keep_alive, remove, seed
from analytics.demo.company import AGENTS, WORKFLOW
from analytics.demo.objectives import OBJECTIVES
from analytics.kpi import read_kpis
from analytics.live.agents import agent_states, set_agent_state
from analytics.live.client import connect
from analytics.rollup.upkeep import keep_up
from analytics.slo import SloState, catalogue, ingest, ledger, slo_report
from analytics.slo.corrections import list_corrections
from analytics.slo.ledger import Bucket
from analytics.slo.model import BUCKET, CompositeEvents, CompositeMode, Member, RollingWindow
from analytics.store.engine import session_scope
from analytics.store.queries.workflows import get_workflow, workflow_stats
from analytics.store.tables import (
    AgentRun,
    Base,
    Project,
    Run,
    SloBucket5m,
    Task,
    Workflow,
    WorkflowVersion,
    WorkItem,
)

pytestmark = pytest.mark.integration
SEEDING = importlib.import_module("analytics.demo.seed")  # the package calls a function so
NODES = [
    {"id": "fetch", "kind": "http.request"},
    {"id": "read", "kind": "ocr.extract", "needs": ["fetch"]},
    {"id": "count", "kind": "transform", "needs": ["read"]},
]


@pytest.fixture(autouse=True)
def small_company(monkeypatch: pytest.MonkeyPatch) -> None:
    """A company with less to do, and not summed, so that the tests are quick; its month and objectives are whole."""
    monkeypatch.setattr("analytics.demo.history.DOCUMENTS_A_DAY", 8)
    monkeypatch.setattr("analytics.demo.journeys.SESSIONS_A_DAY", 4)
    monkeypatch.setattr("analytics.demo.contexts.CONVERSATIONS_A_DAY", 1)
    monkeypatch.setattr("analytics.demo.measures.HOST_EVERY", timedelta(hours=6))
    monkeypatch.setattr("analytics.demo.measures.PARTS_EVERY", timedelta(hours=6))
    monkeypatch.setattr(SEEDING, "keep_up", lambda *_, **__: None)


@pytest.fixture
def client(settings: Settings) -> Iterator[redis.Redis]:
    with connect(settings) as client:
        yield client


def store_workflow(engine: Engine) -> None:
    workflow = new_id()
    with session_scope(engine) as session:
        session.add(Workflow(id=workflow, name=WORKFLOW, current_version=2, builtin=True))
        session.flush()
        session.add(WorkflowVersion(workflow_id=workflow, version=2, spec={"nodes": NODES}, spec_hash="x"))


def everything(engine: Engine) -> dict[str, Any]:
    """Every row of every table that holds any, but when it was last written does not count."""
    with engine.connect() as connection:
        return {
            table.name: rows
            for table in Base.metadata.sorted_tables
            if not table.name.startswith(("rollup_", "job_cursor"))  # sums, and how far they go, follow from the rest
            and (rows := sorted(map(repr, connection.execute(select(table)).all())))
        }


def add_live_rows(engine: Engine) -> None:
    now = utc_now()
    with session_scope(engine) as session:
        project = Project(name="Mine")
        session.add(project)
        session.flush()
        session.add(Task(project_id=project.id, title="Mine"))
        session.add(WorkItem(kind="assessment", title="Mine", status="completed", finished_at=now - timedelta(hours=3)))
        session.execute(
            insert(AgentRun).values(id=new_id(), started_at=now, agent_id="mine", task_kind="k", status="completed")
        )
        session.execute(insert(Run).values(id=new_id(), created_at=now, workflow_id=new_id(), version=1))
        start = now.replace(minute=0, second=0, microsecond=0) - timedelta(days=3)
        ledger.upsert(session, [Bucket("api_availability", start, 5, 7, 300)])
        ledger.roll_up(session, ["api_availability"], since=start, until=start + BUCKET)


def test_what_was_there_before_is_there_after_and_nothing_else(engine: Engine, client: redis.Redis) -> None:
    store_workflow(engine)
    add_live_rows(engine)
    set_agent_state(client, "mine", status="active")
    before = everything(engine)
    report = seed(engine, client, now=utc_now())
    assert {"agent_run", "llm_call", "handoff", "event", "lead", "work_item", "run", "node_run"} <= set(report.rows)
    assert {state.agent_id for state in agent_states(client)} == {"mine", *(agent.id for agent in AGENTS)}
    removed = remove(engine, client)
    assert removed.rows == report.rows
    assert everything(engine) == before
    assert [state.agent_id for state in agent_states(client)] == ["mine"]
    assert remove(engine, client).rows == {}


def test_seeding_twice_adds_nothing_and_runs_come_when_their_workflow_does(engine: Engine) -> None:
    now = utc_now()
    first = seed(engine, None, now=now)
    assert "run" not in first.rows
    store_workflow(engine)
    second = seed(engine, None, now=now)
    assert set(second.rows) == {"schedule", "run", "node_run", "node_attempt", "node_log", "workflow_day"}
    assert second.rows["node_run"] > 2.5 * second.rows["run"]
    assert seed(engine, None, now=now).rows == {}
    assert str(seed(engine, None, now=now)) == "already there, nothing added"
    with session_scope(engine) as session:
        shown = get_workflow(session, WORKFLOW)
        assert shown is not None
        stats = workflow_stats(session, shown.row.id)
        assert 0 < stats.completed + stats.failed <= second.rows["run"]
        assert stats.samples > 0
        assert shown.row.next_at is None  # its schedule is paused
        assert is_seeded(session)
        assert session.scalar(select(func.count()).select_from(Run).where(Run.origin != "demo")) == 0
        statuses = dict(session.execute(select(Run.status, func.count()).group_by(Run.status)).all())
        assert set(statuses) == {"completed", "failed"}


def test_live_buckets_stand_above_demo_history_and_ingest_goes_on_after_it(engine: Engine) -> None:
    add_live_rows(engine)
    now = utc_now()
    seed(engine, None, now=now)
    with session_scope(engine) as session:
        live = session.scalars(select(SloBucket5m).where(SloBucket5m.origin == "live")).one()
        assert (live.good, live.total) == (5, 7)
        demo = session.scalar(select(func.count()).select_from(SloBucket5m).where(SloBucket5m.origin == "demo"))
        assert demo == (9 + 3 + 3) * 30 * 288 - 1  # with three more objectives, one of them with three groups
    ingest(engine, None, now=now + timedelta(minutes=16))
    with session_scope(engine) as session:
        assert session.scalar(select(func.count()).where(SloBucket5m.origin == "demo")) == demo
        added = session.execute(
            select(SloBucket5m.slo_id, func.count())
            .where(SloBucket5m.origin == "live", SloBucket5m.bucket_start >= now - timedelta(hours=1))
            .group_by(SloBucket5m.slo_id)
        ).all()
        assert dict(added).keys() == {
            "assessment_completion_rate",
            "llm_api_success_rate",
            "demo_agent_runs_of_month",
            "demo_model_calls",
        }
        rolling = [item.id for item in catalogue.load(session) if isinstance(item.window, RollingWindow)]
        report = slo_report(session, now=now, ids=rolling)
    assert all(status.includes_demo for status in report.statuses)
    assert all(status.coverage_ratio > 0.99 for status in report.statuses)
    states = {status.objective.id: status.state for status in report.statuses}
    assert states["database_query_latency"] is SloState.EXHAUSTED
    assert report.summary.unknown == 0
    assert report.summary.compliant >= 6


def test_pages_find_their_numbers_in_it_and_say_they_are_a_demo(
    engine: Engine, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SEEDING, "keep_up", keep_up)
    now = utc_now()
    seed(engine, None, now=now)
    month = Interval.last(timedelta(days=30), now=now)
    readings = {reading.kpi.id: reading for reading in read_kpis(session, None, month)}
    for name in ("agent_runs", "agent_success", "agent_cost", "llm_success", "leads", "lead_conversion", "events"):
        assert readings[name].value is not None
        assert readings[name].includes_demo
    assert 0.9 < (readings["agent_success"].value or 0) < 1
    graph = agent_graph(session, month)
    assert len(graph.nodes) == 14
    assert all(node.is_demo and node.runs for node in graph.nodes)
    report = slo_report(session, now=now, interval=month, group_keys=True)
    found = {status.objective.id: status for status in report.statuses}
    assert all(found[item.id].sli is not None and found[item.id].includes_demo for item in OBJECTIVES)
    assert found["demo_api_slices"].unit == "slices"
    models = {json.loads(group.group_key)["model"] for group in found["demo_model_calls"].groups}
    assert models == {"demo-small", "demo-large", "demo-local"}
    assert found["demo_first_impression"].members[0].objective.id == "api_availability"
    assert found["api_availability"].excluded_s == 2 * 3600
    assert found["database_query_latency"].excluded_s >= 4 * 3600
    assert found["cache_hit_rate"].excluded_s == 0
    assert len(list_corrections(session, with_withdrawn=True)) == 3


def test_what_somebody_uses_of_the_demo_stays_and_the_demo_can_come_back(engine: Engine) -> None:
    seed(engine, None, now=utc_now())
    with session_scope(engine) as session:
        project = session.scalars(select(Project).where(Project.name == "Invoices 2026 (demo)")).one()
        session.add(Task(project_id=project.id, title="Mine"))
        slices = catalogue.find(session, "demo_api_slices")
        catalogue.save(session, replace(slices, title="Mine"), actor="ann")
        members = CompositeEvents(CompositeMode.WORST_OF, (Member("demo_model_calls"), Member("cache_hit_rate")))
        catalogue.save(session, replace(slices, id="mine", indicator=members), actor="ann")
    report = remove(engine, None)
    assert (report.kept_projects, report.kept_objectives) == (1, 1)
    assert "hold work of yours; 1 objectives stay" in str(report)
    with session_scope(engine) as session:
        names = [entry.slo_id for entry in catalogue.entries(session) if not entry.is_standard]
        assert names == ["demo_api_slices", "demo_model_calls", "mine"]
        assert session.scalar(select(func.count()).select_from(SloBucket5m)) == 0
        kept = session.scalars(select(Project)).one()
        assert kept.origin == "live"
        assert session.scalars(select(Task.title)).all() == ["Mine"]
    again = seed(engine, None, now=utc_now() + timedelta(seconds=1)).rows
    assert (again["project"], again["slo_definition"]) == (5, 2)


def test_agents_are_kept_alive_and_only_changes_are_written(client: redis.Redis) -> None:
    now = utc_now()
    assert keep_alive(client, now=now) == 14
    assert keep_alive(client, now=now) == 0
    assert 0 < keep_alive(client, now=now + timedelta(seconds=30)) <= 14
    assert keep_alive(client, now=now + timedelta(minutes=45)) == 14
    assert all(state.detail["demo"] for state in agent_states(client))
