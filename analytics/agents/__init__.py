"""What agents did: the graph of who gave work to whom, and how each did. Live state is in ``analytics.live.agents``."""

from analytics.agents.graph import AgentEdge, AgentGraph, AgentNode, agent_graph
from analytics.agents.known import KnownAgent, known_agents
from analytics.agents.performance import AgentHealth, AgentPerformance, AgentRanking, agent_performance

__all__ = [
    "AgentEdge",
    "AgentGraph",
    "AgentHealth",
    "AgentNode",
    "AgentPerformance",
    "AgentRanking",
    "KnownAgent",
    "agent_graph",
    "agent_performance",
    "known_agents",
]
