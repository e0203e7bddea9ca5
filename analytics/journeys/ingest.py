"""Taking events in: CloudEvents and plain ones, each once however often it is told, leads and contexts with them."""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson
import psycopg
from psycopg.types.json import Jsonb
from sqlalchemy import text
from sqlalchemy.orm import Session

from analytics import contexts
from analytics.contexts import ContextEvent
from analytics.core.errors import ConflictError, DependencyError, InvariantError
from analytics.journeys.events import MOST_SHOWN, NewEvent, Rejected, Taken, UnfitError, from_cloudevent, shown
from analytics.journeys.lead_facts import told_leads, upsert_leads
from analytics.store.partitions import ensure_partitions

_COLUMNS = (
    "id",
    "at",
    "kind",
    "source",
    "subject",
    "project_id",
    "props",
    "service",
    "duration_ms",
    "cost_usd",
)
_TYPES = ("uuid", "timestamptz", "text", "text", "text", "uuid", "jsonb", "text", "float8", "numeric")
_COPY = f"COPY event ({', '.join(_COLUMNS)}) FROM STDIN (FORMAT BINARY)"
_CONTEXT = "context."
_CONTEXT_FIELDS = ("parent_id", "type", "name", "agent_id")
_LOCKS = 64
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of events that were fit to be stored."""

    new: Sequence[NewEvent]
    """Those that were not there yet, for what waits for them."""
    known: int
    leads: int
    contexts: int


def take_in(
    session: Session,
    rows: Iterable[Any],
    *,
    now: datetime,
    oldest: datetime,
) -> tuple[Taken, Sequence[NewEvent]]:
    """Check *rows*, CloudEvents or plain ones, store those that are fit, and tell what became of each.

    Safe to run twice, also at once: an event is known by its source and id.

    Args:
        session: The caller's transaction; nothing is half-applied.
        rows: As they came.
        now: The present.
        oldest: Events before it are refused, because their month is not kept.

    Returns:
        The report, and the events that are new.
    """
    events: list[NewEvent] = []
    problems: list[Rejected] = []
    rejected = 0
    for index, row in enumerate(rows):
        try:
            events.append(from_cloudevent(row, now=now, oldest=oldest))
        except UnfitError as error:
            rejected += 1
            if rejected <= MOST_SHOWN:
                told = row.get("id") if isinstance(row, dict) else None
                problems.append(Rejected(index, shown(told), error.path, error.reason))
    stored = store(session, events)
    taken = Taken(
        received=len(events) + rejected,
        stored=len(stored.new),
        known=stored.known,
        rejected=rejected,
        problems=problems,
        leads=stored.leads,
        contexts=stored.contexts,
    )
    return taken, stored.new


def store(session: Session, events: Sequence[NewEvent]) -> Stored:
    """Store *events* in the caller's transaction, with the leads and contexts they tell of.

    Senders of events without a time come one after the other, because only the look for what is there keeps those
    from being stored twice; of two that tell of the same event at once, with its time, the second waits for the first.

    Raises:
        ConflictError: If others keep storing the same events; nothing was stored.
    """
    if not events:
        return Stored((), 0, 0, 0)
    untimed = {event.source for event in events if not event.is_timed}
    if untimed:
        session.execute(_LOCK, {"sources": sorted(untimed), "locks": _LOCKS})
    ensure_months(session, min(event.at for event in events))
    by_id = {event.id: event for event in reversed(events)}
    new = _added(session, by_id)
    leads = upsert_leads(session, told_leads(new))
    facts = [_context(event) for event in new if _is_of_context(event)]
    touched = contexts.take_in(session, facts) if facts else 0
    return Stored(new, len(events) - len(new), leads, touched)


def ensure_months(session: Session, oldest: datetime) -> None:
    """Make what is missing of the monthly partitions from *oldest* on."""
    ensure_partitions(session.connection(), since=oldest)


def _added(session: Session, by_id: dict[uuid.UUID, NewEvent]) -> list[NewEvent]:
    """Write those that are not there by COPY; again without those that somebody else wrote meanwhile."""
    for _ in range(_TRIES):
        there = set(session.scalars(_THERE, {"ids": f"{{{','.join(event_id.hex for event_id in by_id)}}}"}))
        new = [event for event_id, event in by_id.items() if event_id not in there]
        if not new:
            return []
        # In the order of their ids, so that two who write the same do not wait for each other.
        new.sort(key=lambda event: event.id.bytes)
        try:
            with session.begin_nested():
                _copy(session, new)
        except psycopg.errors.UniqueViolation:
            continue
        return sorted(new, key=lambda event: event.at)
    raise ConflictError("Others are storing the same events at this moment; nothing was stored. Try again.")


def _copy(session: Session, events: Sequence[NewEvent]) -> None:
    driver: Any = session.connection().connection.driver_connection
    if not isinstance(driver, psycopg.Connection):
        raise InvariantError("Events are stored over a blocking connection.")
    try:
        with driver.cursor() as cursor, cursor.copy(_COPY) as copy:
            copy.set_types(_TYPES)
            for event in events:
                copy.write_row(_row(event))
    except psycopg.OperationalError as error:
        raise DependencyError(
            "PostgreSQL did not take the events; nothing was stored. Try again shortly.", part="postgres"
        ) from error


def _row(event: NewEvent) -> tuple[Any, ...]:
    return (
        event.id,
        event.at,
        event.kind,
        event.source,
        event.subject,
        event.project_id,
        Jsonb(event.props, dumps=orjson.dumps),
        event.service,
        event.duration_ms,
        None if event.cost_usd is None else Decimal(repr(event.cost_usd)),
    )


def _is_of_context(event: NewEvent) -> bool:
    return event.subject is not None and event.kind.startswith(_CONTEXT)


def _context(event: NewEvent) -> ContextEvent:
    told = {name: value for name in _CONTEXT_FIELDS if isinstance(value := event.props.get(name), str) and value}
    return ContextEvent(event.subject or "", event.kind, event.at, project_id=event.project_id, **told)


_LOCK = text(
    "SELECT pg_advisory_xact_lock(hashtext('helmsight.events'), shard)"
    " FROM (SELECT DISTINCT abs(hashtext(source) % :locks) AS shard FROM unnest(CAST(:sources AS text[])) AS source"
    "       ORDER BY shard) AS shards"
)
_THERE = text("SELECT id FROM event WHERE id = ANY(CAST(:ids AS uuid[]))")
