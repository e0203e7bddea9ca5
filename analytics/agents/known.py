"""The agents that are known, whether they work or not."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from analytics.store.tables import DEMO, Agent

UNKNOWN_ICON = "smart_toy"


@dataclass(frozen=True, slots=True)
class KnownAgent:
    """What is known of an agent, besides what it does."""

    id: str
    name: str
    icon: str = UNKNOWN_ICON
    """A Material Symbols name."""
    team: str | None = None
    is_demo: bool = False


def known_agents(session: Session) -> Sequence[KnownAgent]:
    """Return the agents that have been seen or configured, by team and id."""
    rows = session.scalars(select(Agent).order_by(Agent.team, Agent.id))
    return [KnownAgent(row.id, row.name, row.icon, row.team, row.origin == DEMO) for row in rows]
