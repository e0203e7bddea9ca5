"""Agents: what they did joined with what they do now, as rows of a table and as a picture of the graph."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import streamlit as st

from analytics.agents import AgentEdge, AgentGraph, AgentHealth
from analytics.core.clock import utc_now
from analytics.live.agents import AgentState
from dashboard import formats
from dashboard.components import states, tables
from dashboard.components.status import AGENT_LOOKS, HEALTH_LOOKS, look_of
from dashboard.components.tables import Column

__all__ = ["AgentState", "AgentView", "View", "draw_agent", "draw_history", "draw_note", "join", "picture"]

OFFLINE = "offline"
_MOST_HISTORY = 20


@dataclass(frozen=True, slots=True)
class AgentView:
    """One agent: what it did in the range, and what it does now."""

    id: str
    name: str
    icon: str | None
    team: str | None
    status: str
    """Its live state; ``offline`` when it reports none."""
    task: str | None
    seen_at: datetime | None
    runs: int
    failed: int
    success_ratio: float | None
    cost_usd: float | None
    p95_s: float | None
    is_demo: bool
    health: AgentHealth = AgentHealth.QUIET
    """By the share of its runs that were completed."""
    success_low: float | None = None
    """The true share lies between this and *success_high* with 95 % certainty."""
    success_high: float | None = None
    ran_at: datetime | None = None
    """When its newest run in the range began."""


@dataclass(frozen=True, slots=True)
class View:
    """All agents, and who handed work to whom."""

    agents: Sequence[AgentView]
    edges: Sequence[AgentEdge]


COLUMNS: list[Column[AgentView]] = [
    Column("Agent", lambda agent: agent.name),
    Column("Team", lambda agent: agent.team, width="small"),
    Column("Now", lambda agent: look_of(AGENT_LOOKS, agent.status), "state", width="small"),
    Column("Health", lambda agent: look_of(HEALTH_LOOKS, agent.health), "state", width="small"),
    Column("Task", lambda agent: agent.task, width="medium"),
    Column("Seen", lambda agent: agent.seen_at, "moment"),
    Column("Runs", lambda agent: agent.runs, "number", width="small"),
    Column("Failed", lambda agent: agent.failed, "number", width="small"),
    Column("Success", lambda agent: agent.success_ratio, "ratio", width="small"),
    Column("P95", lambda agent: agent.p95_s, "seconds", width="small"),
    Column("Cost", lambda agent: agent.cost_usd, "usd", width="small"),
    Column("Last run", lambda agent: agent.ran_at, "moment"),
]


def join(done: AgentGraph | None, now: Sequence[AgentState] | None) -> View:
    """Return the agents of both sources, by team and name; None for a source that could not be read."""
    live: Mapping[str, AgentState] = {state.agent_id: state for state in now or ()}
    known = {node.id: node for node in (done.nodes if done is not None else ())}
    found = []
    for agent_id in {**known, **live}:
        node, state = known.get(agent_id), live.get(agent_id)
        detail = state.detail if state is not None else {}
        found.append(
            AgentView(
                id=agent_id,
                name=node.name if node is not None else str(detail.get("name") or agent_id),
                icon=node.icon if node is not None else None,
                team=node.team if node is not None else None,
                status=str(state.status) if state is not None else OFFLINE,
                task=state.task if state is not None else None,
                seen_at=state.at if state is not None else None,
                runs=node.runs if node is not None else 0,
                failed=node.failed if node is not None else 0,
                success_ratio=node.success_ratio if node is not None else None,
                cost_usd=None if node is None or node.cost_usd is None else float(node.cost_usd),
                p95_s=node.p95_s if node is not None else None,
                is_demo=bool(detail.get("demo")) or (node is not None and node.is_demo),
                health=node.health if node is not None else AgentHealth.QUIET,
                success_low=node.success_low if node is not None else None,
                success_high=node.success_high if node is not None else None,
                ran_at=node.last_seen if node is not None else None,
            )
        )
    found.sort(key=lambda agent: (agent.team or "", agent.name))
    return View(found, done.edges if done is not None else ())


def picture(view: View) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return nodes and edges as the graph component takes them."""
    busy = {agent.id for agent in view.agents if agent.status == "active"}
    nodes: list[dict[str, Any]] = [
        {
            "id": agent.id,
            "label": agent.name,
            "state": agent.status,
            "icon": agent.icon,
            "detail": agent.task or formats.plural(agent.runs, "run"),
            "group": agent.team,
        }
        for agent in view.agents
    ]
    here = {agent.id for agent in view.agents}
    edges: list[dict[str, Any]] = [
        {
            "source": edge.source,
            "target": edge.target,
            "label": formats.number(edge.count),
            "active": edge.source in busy and edge.target in busy,
        }
        for edge in view.edges
        if edge.source in here and edge.target in here
    ]
    return nodes, edges


def draw_note(view: View) -> None:
    """Say that demo agents are among them, when they are."""
    if any(agent.is_demo for agent in view.agents):
        st.markdown(
            ":violet-badge[:material/science: Demo data] Some of these agents are invented;"
            " `helmsight demo --remove` takes them out."
        )


def draw_agent(agent: AgentView) -> None:
    """Draw one agent in figures."""
    look = look_of(AGENT_LOOKS, agent.status)
    health = look_of(HEALTH_LOOKS, agent.health)
    st.header(f"{formats.escaped(agent.name)} {look.badge} {health.badge}", anchor=False)
    seen = f"last heard {formats.age(agent.seen_at, now=utc_now())}" if agent.seen_at else "it reports no live state"
    st.caption(f"{formats.escaped(agent.task) or 'No task'}; {seen}.")
    with st.grid(4, min_column_width=150, key="agent.figures"):
        st.metric("Runs", formats.number(agent.runs), border=True)
        st.metric("Success", formats.percent(agent.success_ratio), border=True, help=sure_words(agent))
        st.metric("P95 of a run", formats.duration(agent.p95_s), border=True)
        st.metric("Cost", formats.money(agent.cost_usd), border=True)


def sure_words(agent: AgentView) -> str:
    """Return how sure the share of an agent's completed runs is, in a sentence."""
    if agent.success_low is None or agent.success_high is None:
        return "No run has ended in this time range."
    low, high = formats.percent(agent.success_low), formats.percent(agent.success_high)
    return f"The true share lies between {low} and {high}, with 95 % certainty (Wilson's interval)."


def draw_history(history: Sequence[AgentState]) -> None:
    """Draw the last states of one agent, newest first."""
    if not history:
        states.empty("No states kept", "This agent has not reported what it does; its runs are above.")
        return
    columns: list[Column[AgentState]] = [
        Column("At", lambda state: state.at, "moment"),
        Column("State", lambda state: look_of(AGENT_LOOKS, state.status), "state", width="small"),
        Column("Task", lambda state: state.task, width="large"),
    ]
    tables.table(
        history[:_MOST_HISTORY],
        columns,
        alt="The last states of this agent, newest first",
        key="agent.history",
    )
