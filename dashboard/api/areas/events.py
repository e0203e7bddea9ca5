"""Events: told by other programs, one or many, and imported from files; read as a feed."""

import io
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import orjson
from pydantic import Field
from sqlalchemy.orm import Session

from analytics.core.clock import utc_now
from analytics.core.errors import InputError
from analytics.journeys.events import NewEvent, Rejected, Taken
from analytics.journeys.feed import EventFilter, EventRow, list_kinds
from analytics.journeys.importing import Mapped, Preview, import_csv, look_at, zone_of
from analytics.journeys.ingest import take_in
from analytics.live.cache import read_anew
from analytics.sources import cloudevents
from analytics.store.engine import session_scope
from dashboard.api.operations import Asked, Call, CursorQuery, Listing, Operation, RangeQuery, decode_cursor, listing
from dashboard.auth.roles import Role
from dashboard.kept import CONTEXTS, SESSIONS, events_of, is_late
from worker.workflow import triggers

LEADS = "leads"
"""A tag of what is kept in caches."""
_RESERVED = "run"
_API = "api"
_CSV = "text/csv"


class FeedQuery(CursorQuery, RangeQuery):
    """Which events."""

    kind: str | None = Field(default=None, max_length=100, description="Only this; `web.*` means all that begin so.")
    source: str | None = Field(default=None, max_length=200)
    subject: str | None = Field(default=None, max_length=300, description="The person, lead or context.")
    service: str | None = Field(default=None, max_length=100)
    project_id: uuid.UUID | None = None


class ImportQuery(Asked):
    """What the columns of a file mean."""

    columns: str | None = Field(
        default=None,
        max_length=10_000,
        description='Columns by field as JSON, `{"at": "Time", "kind": "Event"}`; without it their names decide.',
    )
    fixed: str | None = Field(
        default=None, max_length=10_000, description='Values of fields without a column as JSON, `{"source": "shop"}`.'
    )
    zone: str | None = Field(
        default=None,
        max_length=60,
        description="Time zone of times without one, `Europe/Berlin`; else they are refused.",
    )
    encoding: str | None = Field(
        default=None, max_length=20, description="Such as `cp1252`; without it it is found out."
    )
    dry_run: bool = Field(default=False, description="Only look at the first rows.")


@dataclass(frozen=True, slots=True)
class EventsTaken:
    """What became of the events of a request: ``received == stored + known + rejected``."""

    received: int
    stored: int
    known: int
    """Told before; they changed nothing."""
    rejected: int
    problems: Sequence[Rejected]
    """The first hundred of those rejected."""
    leads: int
    contexts: int
    run_ids: Sequence[uuid.UUID]
    """Runs that were queued because they wait for such events."""


@dataclass(frozen=True, slots=True)
class KindCount:
    """A kind of event."""

    kind: str
    n: int


async def tell_events(call: Call) -> EventsTaken:
    """Store events, and start what waits for them."""
    body = await call.request.body()
    headers = {name.lower(): value for name, value in call.request.headers.items()}
    return await call.in_thread(_told, call, body, headers)


async def list_told(call: Call) -> Listing:
    """Return events."""
    query = call.query(FeedQuery)
    wanted = EventFilter(query.kind, query.source, query.subject, query.service, query.project_id)
    with read_anew(is_asked=call.is_anew):
        rows: Sequence[EventRow] = await call.in_thread(
            events_of, call.context, query.interval(), wanted, before=decode_cursor(query.after), limit=query.limit
        )
    return listing(rows, query.limit, lambda row: (row.at, row.id))


async def count_kinds(call: Call) -> list[KindCount]:
    """Return the kinds of event there were."""
    rows = await call.ask(list_kinds, call.query(RangeQuery).interval())
    return [KindCount(kind, n) for kind, n in rows]


async def import_file(call: Call) -> Taken | Preview:
    """Take in a CSV file, or look at it."""
    query = call.query(ImportQuery)
    if call.request.headers.get("content-type", "").partition(";")[0].strip().lower() != _CSV:
        raise InputError(f"Send the file as {_CSV}; nothing was stored.")
    body = await call.request.body()
    return await call.in_thread(_imported, call, body, query)


def oldest_kept(call: Call, now: datetime) -> datetime:
    """Return from when on events are kept."""
    return now - call.context.settings.store.keep_facts


def _told(call: Call, body: bytes, headers: dict[str, str]) -> EventsTaken:
    rows = cloudevents.read_events(body, headers)
    now = utc_now()
    with session_scope(call.context.engine) as session:
        taken, new = take_in(session, rows, now=now, oldest=oldest_kept(call, now))
        if taken.rejected == taken.received and taken.rejected:
            first = taken.problems[0]
            reason = f"{first.path} {first.reason}".strip()
            raise InputError(
                f"No event was fit to be stored; of the first, {reason}. Nothing was stored.",
                rejected=taken.rejected,
                problems=[asdict(problem) for problem in taken.problems],
            )
        run_ids = _started(call, session, new)
    call.context.door.wake(run_ids)
    _renew(call, taken, has_late=any(is_late(event.at) for event in new))
    return EventsTaken(**_fields(taken), run_ids=run_ids)


def _started(call: Call, session: Session, new: Sequence[NewEvent]) -> list[uuid.UUID]:
    events = [_waited_for(event) for event in new]
    run_ids = triggers.raise_events(session, events, step=call.context.settings.worker.priority_step)
    if run_ids:
        detail = {"kinds": sorted({event.kind for event in events})[:20], "runs": len(run_ids)}
        object_id = new[0].told_id if len(new) == 1 else str(len(new))
        call.record(session, "event.told", object_type="event", object_id=object_id, detail=detail)
    return run_ids


def _waited_for(event: NewEvent) -> triggers.Event:
    """Return *event* as triggers see it; the engine's own kinds and name cannot be feigned."""
    is_reserved = event.kind.partition(".")[0] == _RESERVED or event.source == triggers.ENGINE
    return triggers.Event(
        id=event.told_id,
        kind=f"{_API}.{event.kind}" if is_reserved else event.kind,
        source=_API if is_reserved else event.source,
        subject=event.subject or "",
        data=event.props,
        at=event.at,
    )


def _imported(call: Call, body: bytes, query: ImportQuery) -> Taken | Preview:
    now = utc_now()
    file, oldest = io.BytesIO(body), oldest_kept(call, now)
    looked = look_at(file, now=now, oldest=oldest, encoding=query.encoding, most=0)
    columns = looked.mapped.columns if query.columns is None else _texts("columns", query.columns)
    fixed = looked.mapped.fixed if query.fixed is None else _texts("fixed", query.fixed)
    mapped = Mapped(columns, fixed, zone_of(query.zone))
    if query.dry_run:
        return look_at(file, now=now, oldest=oldest, mapped=mapped, encoding=query.encoding)
    with session_scope(call.context.engine) as session:
        taken = import_csv(session, file, mapped=mapped, now=now, oldest=oldest, encoding=query.encoding)
        detail = {"stored": taken.stored, "known": taken.known, "rejected": taken.rejected}
        call.record(session, "event.imported", object_type="event", object_id=taken.stored, detail=detail)
    _renew(call, taken, has_late=taken.stored > 0)
    return taken


def _renew(call: Call, taken: Taken, *, has_late: bool) -> None:
    """Say what changed, so that what is kept of it is read anew."""
    changes = ((LEADS, taken.leads), (CONTEXTS, taken.contexts), (SESSIONS, has_late))
    tags = [tag for tag, has_changed in changes if has_changed]
    if tags:
        call.context.caches.invalidate(*tags)


def _texts(name: str, document: str) -> dict[str, str]:
    try:
        values = orjson.loads(document)
    except orjson.JSONDecodeError as error:
        raise InputError(f"`{name}` is not JSON ({error}); nothing was stored.") from error
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        raise InputError(f"`{name}` is a JSON object of texts; nothing was stored.")
    return values


def _fields(taken: Taken) -> dict[str, Any]:
    return {name: getattr(taken, name) for name in Taken.__dataclass_fields__}


_EVENT: dict[str, Any] = {
    "type": "object",
    "required": ["specversion", "id", "source", "type"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "maxLength": 200},
        "source": {"type": "string", "maxLength": 200},
        "type": {"type": "string", "maxLength": 100, "description": "Such as `web.page_view`."},
        "time": {"type": "string", "format": "date-time", "description": "Without it: when it was told."},
        "subject": {"type": "string", "maxLength": 300, "description": "The person, lead or context."},
        "data": {
            "type": "object",
            "properties": {
                "service": {"type": "string"},
                "duration_ms": {"type": "number", "minimum": 0},
                "cost_usd": {"type": "number", "minimum": 0},
                "project_id": {"type": "string", "format": "uuid"},
            },
        },
    },
}
_PLAIN: dict[str, Any] = {
    "type": "object",
    "required": ["kind"],
    "description": "Without `id` it is a new event each time.",
    "properties": {
        "kind": {"type": "string"},
        "id": {"type": "string"},
        "source": {"type": "string", "default": "api"},
        "subject": {"type": "string"},
        "at": {"type": "string", "format": "date-time"},
        "data": {"type": "object"},
    },
}
_BODIES = {
    cloudevents.ONE: _EVENT,
    cloudevents.BATCH: {"type": "array", "items": _EVENT, "maxItems": cloudevents.MOST_EVENTS},
    cloudevents.PLAIN: {"oneOf": [_EVENT, _PLAIN, {"type": "array", "items": {"oneOf": [_EVENT, _PLAIN]}}]},
}
_ANSWER: Any = Taken | Preview

OPERATIONS = (
    Operation(
        "POST",
        "/events",
        tell_events,
        "Tell of events: each is stored once and starts what waits for it, however often it is told. Rows that are not"
        " fit are told of, the rest goes in; 422 when none is fit. CloudEvents in binary mode are taken, too.",
        Role.OPERATOR,
        EventsTaken,
        status=202,
        doing="tell of events",
        bodies=_BODIES,
    ),
    Operation(
        "POST",
        "/events/import",
        import_file,
        "Take in the rows of a CSV file as events; UTF-8, UTF-16, Windows-1252 and Latin-1 are told apart.",
        Role.OPERATOR,
        _ANSWER,
        query=ImportQuery,
        doing="import events",
        bodies={_CSV: {"type": "string"}},
    ),
    Operation(
        "GET",
        "/events",
        list_told,
        "List events, those that happened last first.",
        Role.ANALYST,
        EventRow,
        query=FeedQuery,
    ),
    Operation(
        "GET",
        "/events/kinds",
        count_kinds,
        "Count events by kind.",
        Role.ANALYST,
        list[KindCount],
        query=RangeQuery,
    ),
)
