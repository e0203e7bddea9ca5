"""The graph of agents over an interval: who worked, how well, at what cost, and who gave work to whom."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from analytics.agents.known import KnownAgent, known_agents
from analytics.agents.performance import AgentHealth, agent_totals, health_of
from analytics.core.clock import Interval
from analytics.core.ratios import wilson
from analytics.rollup.cell import Cell


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
    """95 % of the runs that ended took no longer, at most 4.4 % off; None when none ended."""
    is_demo: bool = False
    health: AgentHealth = AgentHealth.QUIET
    success_low: float | None = None
    """The true share lies between this and *success_high* with 95 % certainty."""
    success_high: float | None = None
    last_seen: datetime | None = None
    """When its newest run in the interval began."""


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


def agent_graph(session: Session, interval: Interval, *, agents: Sequence[KnownAgent] | None = None) -> AgentGraph:
    """Return every known agent, and those that only appear in the work of *interval*, with the work given.

    Two statements, and one for who is known: what agents did comes from the rollup, hand-overs from their rows in the
    interval.

    Args:
        session: The open transaction.
        interval: The time to look at.
        agents: Those that are known, if the caller has them.
    """
    values = {"since": interval.since, "until": interval.until}
    edges = [
        AgentEdge(row.source_agent_id, row.target_agent_id, row.given, row.failed)
        for row in session.execute(_EDGES, values)
    ]
    cells = agent_totals(session, interval)
    known = {agent.id: agent for agent in (known_agents(session) if agents is None else agents)}
    strangers = {name for edge in edges for name in (edge.source, edge.target)}
    names = {*known, *cells}
    every = {name: known.get(name, KnownAgent(name, name)) for name in names | strangers}
    order = sorted(names, key=lambda name: (every[name].team is None, every[name].team or "", name))
    nodes = [_node(every[name], cells.get(name)) for name in [*order, *sorted(strangers - names)]]
    return AgentGraph(interval, nodes, edges)


def _node(agent: KnownAgent, cell: Cell | None) -> AgentNode:
    completed, failed = (cell.ok or 0, cell.failed or 0) if cell is not None else (0, 0)
    sure = wilson(completed, completed + failed)
    return AgentNode(
        id=agent.id,
        name=agent.name,
        icon=agent.icon,
        team=agent.team,
        runs=cell.n if cell is not None else 0,
        failed=failed,
        success_ratio=cell.success_ratio if cell is not None else None,
        cost_usd=cell.cost_usd if cell is not None else None,
        p95_s=cell.quantile(0.95) if cell is not None else None,
        is_demo=agent.is_demo,
        health=health_of(completed, failed) if cell is not None else AgentHealth.QUIET,
        success_low=sure[0] if sure is not None else None,
        success_high=sure[1] if sure is not None else None,
        last_seen=cell.newest if cell is not None else None,
    )


_EDGES = text("""
    SELECT source_agent_id, target_agent_id, count(*) AS given, count(*) FILTER (WHERE NOT ok) AS failed
    FROM handoff
    WHERE at >= :since AND at < :until
    GROUP BY 1, 2
    ORDER BY 1, 2
""")
