"""The events themselves, newest first, and which kinds and sources there are."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, select, tuple_
from sqlalchemy.orm import Session

from analytics.core.clock import Interval
from analytics.rollup import read as rollup
from analytics.store.tables import Event

_FIRST_LOOK = timedelta(minutes=10)
_WIDER = 8


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event."""

    id: uuid.UUID
    at: datetime
    kind: str
    source: str
    subject: str | None
    project_id: uuid.UUID | None
    props: Mapping[str, Any]
    service: str | None
    duration_ms: float | None
    cost_usd: float | None
    received_at: datetime
    origin: str


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events; what is None does not matter."""

    kind: str | None = None
    """``web.*`` means all that begin so."""
    source: str | None = None
    subject: str | None = None
    service: str | None = None
    project_id: uuid.UUID | None = None


EVERY = EventFilter()


def list_events(
    session: Session,
    interval: Interval,
    wanted: EventFilter = EVERY,
    *,
    before: tuple[datetime, uuid.UUID] | None = None,
    limit: int = 50,
) -> list[EventRow]:
    """Return events of *interval*, those that happened last first, after the cursor *before*.

    Looks at the end of the interval first and goes back in growing steps, so that a page of a long interval costs
    what a page of a short one does.
    """
    until = interval.until if before is None else min(interval.until, before[0] + timedelta(microseconds=1))
    look = _FIRST_LOOK
    while True:
        since = max(interval.since, until - look)
        statement = (
            select(*_COLUMNS)
            .where(Event.at >= since, Event.at < until, *_conditions(wanted))
            .order_by(Event.at.desc(), Event.id.desc())
            .limit(limit)
        )
        if before is not None:
            statement = statement.where(tuple_(Event.at, Event.id) < tuple_(*before))
        rows = session.execute(statement).mappings().all()
        if len(rows) == limit or since <= interval.since:
            return [_row(row) for row in rows]
        look *= _WIDER


def list_kinds(session: Session, interval: Interval, *, most: int = 200) -> list[tuple[str, int]]:
    """Return the kinds of event of *interval* with how many there were, those with most first."""
    return _counted(session, "event.kind", interval, most)


def list_sources(session: Session, interval: Interval, *, most: int = 200) -> list[tuple[str, int]]:
    """Return the sources of events of *interval* with how many there were, those with most first."""
    return _counted(session, "event.source", interval, most)


def kind_condition(kind: str) -> ColumnElement[bool]:
    """Return what an event has to be to have *kind*, where ``web.*`` means all that begin so."""
    if kind == "*":
        return Event.kind.is_not(None)
    if kind.endswith(".*"):
        return Event.kind.startswith(kind[:-1], autoescape=True)
    return Event.kind == kind


def _counted(session: Session, cut: str, interval: Interval, most: int) -> list[tuple[str, int]]:
    cells = rollup.totals(session, cut, interval, most=most)
    return sorted(((key, cell.n) for key, cell in cells.items()), key=lambda item: (-item[1], item[0]))


def _conditions(wanted: EventFilter) -> list[ColumnElement[bool]]:
    found = [] if wanted.kind is None else [kind_condition(wanted.kind)]
    for column, value in (
        (Event.source, wanted.source),
        (Event.subject, wanted.subject),
        (Event.service, wanted.service),
        (Event.project_id, wanted.project_id),
    ):
        if value is not None:
            found.append(column == value)
    return found


_COLUMNS = (
    Event.id,
    Event.at,
    Event.kind,
    Event.source,
    Event.subject,
    Event.project_id,
    Event.props,
    Event.service,
    Event.duration_ms,
    Event.cost_usd,
    Event.received_at,
    Event.origin,
)


def _row(row: RowMapping) -> EventRow:
    cost = row["cost_usd"]
    return EventRow(**{**row, "cost_usd": None if cost is None else float(cost)})
