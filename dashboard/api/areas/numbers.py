"""Agents: who hands work to whom, and what they are doing."""

from typing import Any

from analytics.agents import AgentGraph
from analytics.live.agents import AgentState, agent_states
from dashboard.api.operations import Call, Operation, RangeQuery
from dashboard.auth.roles import Role
from dashboard.kept import graph_of


async def get_graph(call: Call) -> AgentGraph:
    """Return the graph of agents."""
    return await call.in_thread(graph_of, call.context, call.query(RangeQuery).interval())


async def list_states(call: Call) -> list[AgentState]:
    """Return what agents are doing now."""
    client = call.context.redis
    return await call.in_thread(agent_states, client) if client is not None else []


_STATE: Any = list[AgentState]

OPERATIONS = (
    Operation(
        "GET",
        "/agents/graph",
        get_graph,
        "Return agents and the hand-overs between them over a range.",
        Role.VIEWER,
        AgentGraph,
        query=RangeQuery,
        keep="metrics",
    ),
    Operation("GET", "/agents/states", list_states, "Return what agents are doing now.", Role.VIEWER, _STATE),
)
