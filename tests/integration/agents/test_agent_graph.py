"""The graph of agents on rows that are known."""

from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import Engine, event, insert
from sqlalchemy.orm import Session

from analytics.agents import AgentEdge, AgentHealth, agent_graph
from analytics.core.clock import Interval, utc_now
from analytics.core.ids import new_id
from analytics.rollup.sketch import RELATIVE_ERROR
from analytics.store.tables import Agent, AgentRun, Handoff

pytestmark = pytest.mark.integration
SECOND = timedelta(seconds=1)


def test_agents_and_their_work_are_counted_by_hand(session: Session, engine: Engine) -> None:
    now = utc_now()
    interval = Interval(now - timedelta(hours=1), now)
    at = now - timedelta(minutes=10)
    session.execute(insert(Agent).values(id="planner", name="Planner", team="intake", icon="map"))
    session.execute(insert(Agent).values(id="idle", name="Idle", origin="demo"))
    runs = [(at, "completed", took, Decimal("0.1")) for took in (1, 2, 3)]
    runs += [(at, "failed", 9, None), (at, "running", None, None), (now, "failed", 1, None)]
    for started, status, took, cost in runs:
        session.execute(
            insert(AgentRun).values(
                id=new_id(),
                started_at=started,
                finished_at=None if took is None else started + took * SECOND,
                agent_id="planner",
                task_kind="k",
                status=status,
                cost_usd=cost,
            )
        )
    for ok in (True, True, False):
        session.execute(
            insert(Handoff).values(id=new_id(), at=at, source_agent_id="planner", target_agent_id="x", ok=ok)
        )
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    graph = agent_graph(session, interval)
    assert len(statements) == 3
    nodes = {node.id: node for node in graph.nodes}
    planner = nodes["planner"]
    assert (planner.runs, planner.failed, planner.success_ratio) == (5, 1, 0.75)
    assert planner.cost_usd == pytest.approx(0.3)
    assert planner.p95_s == pytest.approx(9, rel=RELATIVE_ERROR)  # the last of 1, 2, 3, 9
    assert (planner.name, planner.icon, planner.team, planner.is_demo) == ("Planner", "map", "intake", False)
    assert (planner.health, planner.last_seen) == (AgentHealth.UNSURE, at)
    assert (planner.success_low, planner.success_high) == (
        pytest.approx(0.3006, abs=1e-4),
        pytest.approx(0.9544, abs=1e-4),
    )
    idle = nodes["idle"]
    assert idle.health is AgentHealth.QUIET
    assert (idle.runs, idle.success_ratio, idle.cost_usd, idle.p95_s, idle.is_demo) == (0, None, None, None, True)
    assert nodes["x"].name == "x"
    assert graph.edges == [AgentEdge("planner", "x", 3, 1)]


def test_no_agents_are_an_empty_graph(session: Session) -> None:
    graph = agent_graph(session, Interval.last(timedelta(days=30)))
    assert (graph.nodes, graph.edges) == ([], [])
