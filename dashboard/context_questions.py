"""What the page of contexts asks; beside :mod:`dashboard.data`, in the same form."""

from analytics.contexts import ContextUsage, context_events, usage_over
from analytics.contexts.model import ContextFact
from analytics.store.engine import session_scope
from dashboard.auth.roles import Role
from dashboard.context import AppContext
from dashboard.data import question
from dashboard.filters import Span


@question(role=Role.ANALYST)
def context_usage(context: AppContext, span: Span, zone: str) -> ContextUsage:
    """Return how contexts were used over *span*."""
    with session_scope(context.engine) as session:
        return usage_over(session, span.interval(), zone=zone)


@question(role=Role.ANALYST)
def events_of_context(context: AppContext, span: Span, context_id: str) -> list[ContextFact]:
    """Return what happened to one context over *span*, newest first."""
    with session_scope(context.engine) as session:
        return context_events(session, context_id, span.interval())
