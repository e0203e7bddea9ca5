"""The contexts agents work in. Their names tell what people work on, so they are for those who may see what runs."""

from pydantic import Field

from analytics.contexts import ContextUsage, usage
from analytics.contexts.usage import LONGEST_DAYS
from dashboard.api.operations import Asked, Call, Operation
from dashboard.auth.roles import Role


class ContextsQuery(Asked):
    """Over which time, and how much of it."""

    days: int = Field(default=30, ge=1, le=LONGEST_DAYS, description="How many days back.")
    include_patterns: bool = Field(default=True, description="Whether to tell the hours of the week.")
    zone: str = Field(default="UTC", max_length=64, description="IANA time zone of these hours.")


async def get_context_usage(call: Call) -> ContextUsage:
    """Return how contexts are used."""
    query = call.query(ContextsQuery)
    return await call.ask(usage, days=query.days, include_patterns=query.include_patterns, zone=query.zone)


OPERATIONS = (
    Operation(
        "GET",
        "/analytics/context-usage",
        get_context_usage,
        "Return how contexts were created, read and written over the last days, their hierarchy and lifecycle.",
        Role.ANALYST,
        ContextUsage,
        query=ContextsQuery,
        max_age_s=60,
        keep="contexts",
        rests_on=("contexts",),
    ),
)
