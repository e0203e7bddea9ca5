"""The installation itself: which parts answer, how fast pages load."""

from collections import Counter
from datetime import timedelta

from pydantic import Field

from analytics import agents
from analytics.core.clock import Interval
from analytics.core.telemetry import PAGE_LOAD_SECONDS
from analytics.live.agents import AgentStatus, agent_states
from dashboard.api.health import Health, collect_health
from dashboard.api.operations import Asked, Call, Operation
from dashboard.auth.roles import Role
from dashboard.links import PAGES
from dashboard.middleware.groups import OTHER_PAGE

_KEYS = frozenset(page.key for page in PAGES)
_MOST_SECONDS = 120.0
_DAY = timedelta(days=1)


class PageLoad(Asked):
    """How long a browser took to show a page."""

    page: str = Field(max_length=100)
    seconds: float = Field(ge=0, le=_MOST_SECONDS, allow_inf_nan=False)


class AgentHealth(Asked):
    """How many agents are in which state, and how many do well."""

    total: int = Field(description="Agents with a live state.")
    by_status: dict[str, int]
    known: bool = Field(description="False when no Redis is named, so that states are not known.")
    by_health: dict[str, int] = Field(
        description="Known agents by the share of their runs of the last 24 hours that were completed."
    )


async def get_health(call: Call) -> Health:
    """Return which parts answer."""
    return await call.in_thread(collect_health, call.context)


async def get_agent_health(call: Call) -> AgentHealth:
    """Return how agents are."""
    ranking = await call.ask(agents.agent_performance, Interval.last(_DAY))
    health = Counter(agent.health.value for agent in ranking.agents)
    by_health = {value.value: health[value.value] for value in agents.AgentHealth}
    client = call.context.redis
    if client is None:
        return AgentHealth(total=0, by_status={}, known=False, by_health=by_health)
    counts = Counter(state.status.value for state in await call.in_thread(agent_states, client))
    by_status = {status.value: counts[status.value] for status in AgentStatus}
    return AgentHealth(total=counts.total(), by_status=by_status, known=True, by_health=by_health)


async def report_page_load(call: Call) -> None:
    """Count how long a page took to load in a browser."""
    body = call.body(PageLoad)
    PAGE_LOAD_SECONDS.labels(body.page if body.page in _KEYS else OTHER_PAGE).observe(body.seconds)


OPERATIONS = (
    Operation(
        "GET",
        "/health/detailed",
        get_health,
        "Tell which parts answer, since when, how fast, and what still works without those that do not.",
        Role.VIEWER,
        Health,
    ),
    Operation(
        "GET",
        "/health/agents",
        get_agent_health,
        "Count agents by their live state and health.",
        Role.VIEWER,
        AgentHealth,
    ),
    Operation(
        "POST",
        "/rum",
        report_page_load,
        "Take what a browser reports: how long a page took to load.",
        Role.VIEWER,
        body=PageLoad,
        status=204,
        doing="report this",
    ),
)
