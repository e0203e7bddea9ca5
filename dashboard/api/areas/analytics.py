"""What is used, how agents do, and what things cost."""

from datetime import timedelta

from pydantic import Field

from analytics.agents import AgentRanking
from analytics.core.clock import Interval
from analytics.kpi.costs import BY, MOST_LINES, Costs, costs
from analytics.kpi.usage import Usage, usage
from dashboard.api.operations import Asked, Call, Operation, RangeQuery
from dashboard.auth.roles import Role
from dashboard.kept import AGENTS, ranking_of

_KEPT_S = 60
"""So long browsers may show an answer again."""
_LONGEST_DAYS = 365


class AgentsQuery(Asked):
    """How far back to look at agents, and how many of them."""

    days: int = Field(default=7, ge=1, le=_LONGEST_DAYS, description="The last so many days.")
    limit: int = Field(default=50, ge=1, le=200, description="The most agents, those with most runs.")


class CostsQuery(RangeQuery):
    """What costs are told by, and over which span."""

    by: str = Field(default="service", pattern=f"^({'|'.join(BY)})$", description=f"One of {', '.join(BY)}.")
    limit: int = Field(default=20, ge=1, le=MOST_LINES, description="The most lines, the dearest.")


async def get_agent_performance(call: Call) -> AgentRanking:
    """Return how agents do."""
    query = call.query(AgentsQuery)
    interval = Interval.last(timedelta(days=query.days))
    return await call.in_thread(ranking_of, call.context, interval, most=query.limit)


async def get_usage(call: Call) -> Usage:
    """Return how much is going on."""
    return await call.ask(usage, call.query(RangeQuery).interval())


async def get_costs(call: Call) -> Costs:
    """Return what things cost."""
    query = call.query(CostsQuery)
    return await call.ask(costs, query.interval(), by=query.by, most=query.limit)


OPERATIONS = (
    Operation(
        "GET",
        "/analytics/agent-performance",
        get_agent_performance,
        "Return how agents did over the last days: runs, share completed with its interval, latency, cost, trend.",
        Role.VIEWER,
        AgentRanking,
        query=AgentsQuery,
        max_age_s=_KEPT_S,
        keep="metrics",
        rests_on=(AGENTS,),
    ),
    Operation(
        "GET",
        "/analytics/usage",
        get_usage,
        "Return how many people, events, runs and model calls there were over a range, by kind and source.",
        Role.VIEWER,
        Usage,
        query=RangeQuery,
        max_age_s=_KEPT_S,
        keep="metrics",
    ),
    Operation(
        "GET",
        "/costs",
        get_costs,
        "Return what things cost over a range by service, model, agent, project or kind; an unknown price is null.",
        Role.VIEWER,
        Costs,
        query=CostsQuery,
        max_age_s=_KEPT_S,
        keep="metrics",
    ),
)
