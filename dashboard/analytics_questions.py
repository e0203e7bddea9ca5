"""What the page Analytics asks: usage, agents, costs, and the rows behind its numbers."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from analytics.agents import AgentRanking
from analytics.insights.findings import InsightRow, list_insights
from analytics.insights.model import InsightKind
from analytics.kpi import thresholds
from analytics.kpi.costs import Costs, costs
from analytics.kpi.usage import Usage, usage
from analytics.rollup.read import drill
from analytics.store.engine import session_scope
from analytics.store.queries.annotations import AnnotationRow, list_annotations
from dashboard.auth.roles import Role
from dashboard.context import AppContext
from dashboard.data import question
from dashboard.filters import Span
from dashboard.kept import AGENTS, ranking_of

MOST_ROWS = 50
_MINUTE = timedelta(minutes=1)


@question()
def usage_of(context: AppContext, span: Span) -> Usage:
    """Return how much was going on over *span*."""
    with session_scope(context.engine) as session:
        return usage(session, span.interval())


@question(tags=(AGENTS,))
def ranking(context: AppContext, span: Span) -> AgentRanking:
    """Return how agents did over *span*; the bounds of the key figure of their runs say who is healthy."""
    with session_scope(context.engine) as session:
        bounds = thresholds.effective(session, ids=["agent_success"])[0].bounds
    if bounds.good is None or bounds.warning is None:
        return ranking_of(context, span.interval())
    return ranking_of(context, span.interval(), good=bounds.good, warning=bounds.warning)


@question()
def costs_of(context: AppContext, span: Span, by: str) -> Costs:
    """Return what things cost over *span*."""
    with session_scope(context.engine) as session:
        return costs(session, span.interval(), by=by)


@question(fresh_for=_MINUTE)
def happenings(context: AppContext, span: Span) -> list[AnnotationRow]:
    """Return deployments, incidents and notes of *span*, oldest first."""
    with session_scope(context.engine) as session:
        return list_annotations(session, span.interval())


@question(fresh_for=_MINUTE)
def correlated(context: AppContext) -> list[InsightRow]:
    """Return the figures that were found to move together, the newest findings first."""
    with session_scope(context.engine) as session:
        return list_insights(session, kinds=[InsightKind.CORRELATION])


@question(role=Role.ANALYST, is_kept=False)
def rows_behind(context: AppContext, span: Span, cuts: tuple[str, ...], key: str) -> Sequence[Mapping[str, Any]]:
    """Return the newest rows of *span* that were counted for *key* in *cuts*, newest first."""
    with session_scope(context.engine) as session:
        rows = [row for cut in cuts for row in drill(session, cut, key, span.interval(), limit=MOST_ROWS)]
    return sorted(rows, key=lambda row: row["at"], reverse=True)[:MOST_ROWS]
