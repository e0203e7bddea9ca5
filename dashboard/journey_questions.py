"""What the page Journeys asks; beside :mod:`dashboard.data`, in the same form.

Steps of a funnel are asked about as a JSON text, so that answers are remembered by what is written in them.
"""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

import orjson

from analytics.core.clock import utc_now
from analytics.journeys import feed, leads
from analytics.journeys.feed import EventFilter, EventRow
from analytics.journeys.funnels import FunnelResult, FunnelSpec, measure
from analytics.journeys.leads import Band, LeadFilter, LeadRow
from analytics.journeys.paths import Paths, paths
from analytics.journeys.saved_funnels import SavedFunnel, list_funnels, steps_of
from analytics.store.engine import session_scope
from analytics.store.paging import MAX_LIMIT
from dashboard.auth.roles import Role
from dashboard.context import AppContext
from dashboard.data import question
from dashboard.filters import Span
from dashboard.kept import events_of

LEADS = "leads"
JOURNEYS = "journeys"
"""Tags: a change by a page, a route or the intake of events voids what rests on them."""

_SOON = timedelta(seconds=5)
_MINUTE = timedelta(seconds=60)


@question(role=Role.ANALYST)
def event_kinds(context: AppContext, span: Span) -> Sequence[tuple[str, int]]:
    """Return the kinds of event there were with how many, those with most first."""
    with session_scope(context.engine) as session:
        return feed.list_kinds(session, span.interval())


@question(role=Role.ANALYST, fresh_for=_MINUTE, tags=(JOURNEYS,))
def saved_funnels(context: AppContext) -> Sequence[SavedFunnel]:
    """Return the funnels that are saved, by name."""
    with session_scope(context.engine) as session:
        return list_funnels(session)


@question(role=Role.ANALYST)
def funnel_result(
    context: AppContext, span: Span, steps: str, window: timedelta, by: str | None, *, most_rows: int
) -> FunnelResult:
    """Return how a funnel went for those who took its first step in *span*; *steps* is JSON."""
    spec = FunnelSpec(steps_of(orjson.loads(steps)), window)
    now = utc_now()
    with session_scope(context.engine) as session:
        return measure(session, spec, span.interval(now=now), now=now, by=by, most_rows=most_rows)


@question(role=Role.ANALYST)
def paths_taken(context: AppContext, span: Span, start: str | None, depth: int, *, most_rows: int) -> Paths:
    """Return what people did next, step by step."""
    with session_scope(context.engine) as session:
        return paths(session, span.interval(), start=start, depth=depth, most_rows=most_rows)


@question(role=Role.ANALYST, tags=(LEADS,))
def lead_bands(context: AppContext, span: Span) -> Sequence[Band]:
    """Return how leads that came in *span* stand now, by band of their score."""
    with session_scope(context.engine) as session:
        return leads.by_band(session, span.interval())


@question(role=Role.ANALYST, fresh_for=_MINUTE, tags=(LEADS,))
def lead_page(
    context: AppContext,
    status: str | None,
    band: str | None,
    search: str | None,
    before: tuple[datetime, uuid.UUID] | None,
) -> Sequence[LeadRow]:
    """Return a page of leads, those that came last first."""
    wanted = LeadFilter(status=status, band=band, search=search)
    with session_scope(context.engine) as session:
        return leads.list_leads(session, wanted, before=before, limit=MAX_LIMIT)


@question(role=Role.ANALYST, fresh_for=_SOON)
def event_feed(
    context: AppContext, span: Span, kind: str | None, source: str | None, subject: str | None
) -> Sequence[EventRow]:
    """Return the newest events of *span*."""
    wanted = EventFilter(kind=kind, source=source, subject=subject)
    return events_of(context, span.interval(), wanted, limit=MAX_LIMIT)
