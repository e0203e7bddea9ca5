"""What the page Insights asks: findings, forecasts, capacity, and bounds that would fit."""

import uuid
from collections.abc import Sequence
from datetime import timedelta

from analytics.core.clock import utc_now
from analytics.core.errors import NotFoundError
from analytics.insights import findings, outlook
from analytics.insights.findings import InsightDetail, InsightRow
from analytics.insights.model import InsightKind
from analytics.insights.outlook import BoundAdvice, Capacity, Outlook
from analytics.store.engine import session_scope
from analytics.store.paging import MAX_LIMIT
from dashboard.context import AppContext
from dashboard.data import question

SHOWN_FOR = timedelta(days=30)
"""Findings not seen for longer are not listed."""
TAG = "insights"
"""Of kept answers that rest on what people think of findings."""
_SOON = timedelta(seconds=10)
_MINUTE = timedelta(minutes=1)


@question(fresh_for=_SOON, tags=(TAG,))
def insights(context: AppContext, kinds: tuple[InsightKind, ...], *, with_muted: bool = False) -> Sequence[InsightRow]:
    """Return the newest findings of *kinds*, of all kinds when there are none."""
    with session_scope(context.engine) as session:
        return findings.list_insights(
            session, kinds=kinds or None, since=utc_now() - SHOWN_FOR, with_muted=with_muted, limit=MAX_LIMIT
        )


@question(fresh_for=_SOON, tags=(TAG,))
def insight(context: AppContext, insight_id: str) -> InsightDetail:
    """Return one finding with its evidence."""
    try:
        known = uuid.UUID(insight_id)
    except ValueError as error:
        raise NotFoundError("There is no such finding; the link may have lost a part.") from error
    with session_scope(context.engine) as session:
        return findings.get_insight(session, known)


@question(fresh_for=_MINUTE)
def forecast(context: AppContext, kpi_id: str, hours: int) -> tuple[Outlook | None]:
    """Return how a figure goes on; None in it when too little is known."""
    with session_scope(context.engine) as session:
        ahead = timedelta(hours=hours)
        return (outlook.look_ahead(session, context.prom, kpi_id, now=utc_now(), ahead=ahead),)


@question(fresh_for=_MINUTE)
def capacity(context: AppContext) -> Capacity:
    """Return how loads grow, and when resources come to their bounds."""
    with session_scope(context.engine) as session:
        return outlook.capacity(session, context.prom, now=utc_now())


@question(fresh_for=_MINUTE, tags=("kpis",))
def threshold_advice(context: AppContext) -> list[BoundAdvice]:
    """Return bounds that would have fitted the last four weeks."""
    with session_scope(context.engine) as session:
        return outlook.threshold_advice(session, context.prom, now=utc_now())
