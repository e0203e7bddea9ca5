"""What agents did: the graph of who gave work to whom. Their live state is in ``analytics.live.agents``."""

from analytics.agents.graph import AgentEdge, AgentGraph, AgentNode, agent_graph

__all__ = ["AgentEdge", "AgentGraph", "AgentNode", "agent_graph"]
