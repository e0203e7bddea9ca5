"""What pages and the API read alike and keep together, in the shared caches of the process."""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

from analytics.agents import AgentGraph, AgentRanking, KnownAgent, agent_graph, agent_performance, known_agents
from analytics.agents.performance import GOOD, MOST_AGENTS, WARNING
from analytics.core.clock import Interval, utc_now
from analytics.journeys.feed import EventFilter, EventRow, list_events
from analytics.live.cache import cached, user_tag
from analytics.store.engine import session_scope
from analytics.store.queries import views
from dashboard.context import AppContext

AGENTS = "agents"
CONTEXTS = "contexts"
SESSIONS = "sessions"
"""Tags, as the caches are called. The last is void when something of a time that has ended is told late."""
ENDED = timedelta(hours=1)
"""What ended so long ago changes no more, but for what is told late."""


@cached("users", of=list[views.SavedViewRow], tags=lambda owner, _: ("views", user_tag(owner)))
def views_of(context: AppContext, owner: str, page: str) -> list[views.SavedViewRow]:
    """Return the views of *page* that *owner* keeps and that others share."""
    with session_scope(context.engine) as session:
        return list(views.list_views(session, owner=owner, page=page))


@cached("agents", of=list[KnownAgent], tags=(AGENTS,))
def agents(context: AppContext) -> Sequence[KnownAgent]:
    """Return the agents that are known."""
    with session_scope(context.engine) as session:
        return known_agents(session)


def graph_of(context: AppContext, interval: Interval) -> AgentGraph:
    """Return who handed work to whom over *interval*; kept for long when that has ended."""
    if has_ended(interval):
        return _graph_of(context, interval.since, interval.until)
    return _read_graph(context, interval)


def ranking_of(
    context: AppContext, interval: Interval, *, most: int = MOST_AGENTS, good: float = GOOD, warning: float = WARNING
) -> AgentRanking:
    """Return how agents did over *interval*; the agents themselves are kept."""
    known = agents(context)
    with session_scope(context.engine) as session:
        return agent_performance(session, interval, most=most, good=good, warning=warning, agents=known)


def events_of(
    context: AppContext,
    interval: Interval,
    wanted: EventFilter,
    *,
    before: tuple[datetime, uuid.UUID] | None = None,
    limit: int,
) -> Sequence[EventRow]:
    """Return events of *interval*, newest first; kept for long when they are of one subject and it has ended."""
    if wanted.subject is None or not has_ended(interval):
        return _read_events(context, interval, wanted, before=before, limit=limit)
    return _journey_of(context, interval.since, interval.until, wanted, before=before, limit=limit)


def has_ended(interval: Interval) -> bool:
    """Return whether only what is told late can still change what there is of *interval*."""
    return is_late(interval.until)


def is_late(at: datetime) -> bool:
    """Return whether what happened at *at* may belong to a time that counts as ended."""
    return at <= utc_now() - ENDED


@cached("agents", of=AgentGraph, tags=(AGENTS,))
def _graph_of(context: AppContext, since: datetime, until: datetime) -> AgentGraph:
    return _read_graph(context, Interval(since, until))


def _read_graph(context: AppContext, interval: Interval) -> AgentGraph:
    known = agents(context)
    with session_scope(context.engine) as session:
        return agent_graph(session, interval, agents=known)


@cached("sessions", of=list[EventRow], tags=(SESSIONS,))
def _journey_of(
    context: AppContext,
    since: datetime,
    until: datetime,
    wanted: EventFilter,
    *,
    before: tuple[datetime, uuid.UUID] | None,
    limit: int,
) -> Sequence[EventRow]:
    return _read_events(context, Interval(since, until), wanted, before=before, limit=limit)


def _read_events(
    context: AppContext,
    interval: Interval,
    wanted: EventFilter,
    *,
    before: tuple[datetime, uuid.UUID] | None,
    limit: int,
) -> list[EventRow]:
    with session_scope(context.engine) as session:
        return list_events(session, interval, wanted, before=before, limit=limit)
