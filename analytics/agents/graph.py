"""The graph of agents over an interval: who worked, how well, at what cost, and who gave work to whom."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from analytics.core.clock import Interval


@dataclass(frozen=True, slots=True)
class AgentNode:
    """One agent over the interval."""

    id: str
    name: str
    icon: str
    """A Material Symbols name."""
    team: str | None
    runs: int
    failed: int
    success_ratio: float | None
    """Completed of completed and failed, 0 to 1; None when none ended."""
    cost_usd: float | None
    """None when no run has a known price."""
    p95_s: float | None
    """95 % of the runs that ended took no longer; exact. None when none ended."""
    is_demo: bool = False


@dataclass(frozen=True, slots=True)
class AgentEdge:
    """Work given by *source* to *target* over the interval."""

    source: str
    target: str
    count: int
    failed: int


@dataclass(frozen=True, slots=True)
class AgentGraph:
    """Agents and the work between them."""

    interval: Interval
    nodes: Sequence[AgentNode]
    edges: Sequence[AgentEdge]


def agent_graph(session: Session, interval: Interval) -> AgentGraph:
    """Return every known agent, and those that only appear in the work of *interval*, with the work given.

    Two statements, over the runs and handoffs of the interval by their partitions and index on time.
    """
    values = {"since": interval.since, "until": interval.until}
    edges = [
        AgentEdge(row.source_agent_id, row.target_agent_id, row.given, row.failed)
        for row in session.execute(_EDGES, values)
    ]
    nodes = [
        AgentNode(
            id=row.id,
            name=row.name or row.id,
            icon=row.icon or "smart_toy",
            team=row.team,
            runs=row.runs or 0,
            failed=row.failed or 0,
            success_ratio=row.completed / ended if (ended := (row.completed or 0) + (row.failed or 0)) else None,
            cost_usd=None if row.cost_usd is None else float(row.cost_usd),
            p95_s=None if row.p95_s is None else float(row.p95_s),
            is_demo=row.origin == "demo",
        )
        for row in session.execute(_NODES, values)
    ]
    known = {node.id for node in nodes}
    strangers = sorted({name for edge in edges for name in (edge.source, edge.target)} - known)
    nodes += [AgentNode(name, name, "smart_toy", None, 0, 0, None, None, None) for name in strangers]
    return AgentGraph(interval, nodes, edges)


_NODES = text("""
    WITH work AS (
        SELECT agent_id, count(*) AS runs, count(*) FILTER (WHERE status = 'failed') AS failed,
               count(*) FILTER (WHERE status = 'completed') AS completed, sum(cost_usd) AS cost_usd,
               percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - started_at)) AS p95_s
        FROM agent_run
        WHERE started_at >= :since AND started_at < :until
        GROUP BY agent_id
    )
    SELECT coalesce(agent.id, work.agent_id) AS id, agent.name, agent.icon, agent.team, agent.origin,
           work.runs, work.failed, work.completed, work.cost_usd, work.p95_s
    FROM agent FULL JOIN work ON work.agent_id = agent.id
    ORDER BY agent.team NULLS LAST, 1
""")

_EDGES = text("""
    SELECT source_agent_id, target_agent_id, count(*) AS given, count(*) FILTER (WHERE NOT ok) AS failed
    FROM handoff
    WHERE at >= :since AND at < :until
    GROUP BY 1, 2
    ORDER BY 1, 2
""")
