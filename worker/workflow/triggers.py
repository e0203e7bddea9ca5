"""Triggers: runs started from outside, by signed webhooks, by events such as the end of another run, by alerts.

An event starts at most one run of each trigger: its id is part of the run's idempotency key. Rows of triggers are
locked, in order of their ids, before a run is stored, so that two identical deliveries come one after the other.
"""

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

import orjson
from sqlalchemy import Engine, Row, text
from sqlalchemy.orm import Session

from analytics.core.errors import ConflictError, HelmsightError, InputError, NotFoundError
from analytics.core.ids import new_id
from analytics.core.settings import Settings
from analytics.store.ended import EndedRun, count_ended
from analytics.store.engine import session_scope
from analytics.store.queries import audit
from worker.doors.queueing import MAX_TAGS, NewRun, find_target, params_json, queue_in
from worker.doors.waking import Waker
from worker.workflow.results import to_json
from worker.workflow.signatures import SignatureError, check_signature, hook_secret
from worker.workflow.templates import references, resolve

TriggerKind = Literal["webhook", "event", "alert"]

MAX_BODY_BYTES = 256 * 1024
MAX_CHAIN = 10
"""So many runs may start each other one after the other; then a trigger stops, because it would never end."""
MAX_NAME = 64
ENGINE = "engine"
"""The source of events about runs; their id is the run's."""

_STEP = timedelta(minutes=5)
_EVENT_ID_CHARACTERS = 120
_DIGEST_CHARACTERS = 32
_KINDS = ("webhook", "event", "alert")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, for triggers to look at."""

    id: str
    """The same event has the same id, however often it is told of."""
    kind: str
    """Dotted, such as ``run.failed`` or ``alert.firing``."""
    source: str
    subject: str
    data: Mapping[str, Any]
    at: datetime

    def as_dict(self) -> dict[str, Any]:
        """Return it as templates and filters see it."""
        return {
            "id": self.id,
            "kind": self.kind,
            "source": self.source,
            "subject": self.subject,
            "data": self.data,
            "at": self.at.isoformat(),
        }


@dataclass(frozen=True, slots=True)
class TriggerSpec:
    """What a trigger is to be: what people choose."""

    name: str
    """Also the last part of a webhook's address."""
    workflow: str | uuid.UUID
    kind: TriggerKind = "webhook"
    event_kind: str | None = None
    """Of an event, such as ``run.failed``; ``run.*`` means all that begin so; None of an alert: all alerts."""
    filter: Mapping[str, Any] = field(default_factory=dict)
    """Value, or list of values, by dotted path in the event: ``{"data.workflow": ["etl", "report"]}``."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """May hold templates over ``event``, such as ``{{ event.data.ref }}``."""
    priority: int = 0
    tags: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class SavedTrigger:
    """A trigger that was stored."""

    id: uuid.UUID
    secret: str | None
    """What a webhook's sender signs with, when it is new or was changed; it is shown this once."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a webhook."""

    run_id: uuid.UUID | None
    """None when the filter of the webhook lets it pass by."""
    is_new: bool
    """False when the same delivery came before; its run is named again."""


def save_trigger(
    session: Session,
    spec: TriggerSpec,
    *,
    requested_by: str | None,
    installation: str,
    trigger_id: uuid.UUID | None = None,
) -> SavedTrigger:
    """Store a new trigger, or change *trigger_id*, whose secret stays.

    Raises:
        InputError: If something cannot be used; nothing was stored.
        NotFoundError: If the trigger or the workflow is not there.
        ConflictError: If another trigger has the name.
    """
    old = None if trigger_id is None else _locked(session, trigger_id)
    if old is not None and old.kind != spec.kind:
        raise InputError("A trigger's kind cannot be changed; nothing was stored. Make another one.")
    target = find_target(session, spec.workflow)
    _check(spec)
    own_id = trigger_id or new_id()
    other = session.scalar(
        text("SELECT id FROM run_trigger WHERE name = :name AND id <> :id"), {"name": spec.name, "id": own_id}
    )
    if other is not None:
        raise ConflictError(f"There is a trigger called {spec.name!r} already; nothing was stored.")
    values = {
        "id": own_id,
        "workflow_id": target.workflow_id,
        "name": spec.name,
        "kind": spec.kind,
        "event_kind": spec.event_kind,
        "filter": to_json(spec.filter),
        "params": to_json(spec.params),
        "priority": spec.priority,
        "tags": list(dict.fromkeys(spec.tags)),
        "by": requested_by,
    }
    session.execute(_INSERT if old is None else _UPDATE, values)
    _audit(session, own_id, "trigger.created" if old is None else "trigger.changed", requested_by, spec.name)
    shown = old is None and spec.kind == "webhook"
    return SavedTrigger(own_id, hook_secret(installation, own_id, 1) if shown else None)


def rotate_secret(session: Session, trigger_id: uuid.UUID, *, requested_by: str | None, installation: str) -> str:
    """Give a webhook a new secret and return it; the old one is not taken any more.

    Raises:
        NotFoundError: If there is no such trigger.
        InputError: If it is no webhook.
    """
    row = _locked(session, trigger_id)
    if row.kind != "webhook":
        raise InputError("Only webhooks have a secret; nothing was changed.")
    session.execute(
        text("UPDATE run_trigger SET secret_generation = secret_generation + 1 WHERE id = :id"), {"id": trigger_id}
    )
    _audit(session, trigger_id, "trigger.secret_rotated", requested_by, row.name)
    return hook_secret(installation, trigger_id, row.secret_generation + 1)


def pause_trigger(session: Session, trigger_id: uuid.UUID, *, requested_by: str | None, paused: bool = True) -> None:
    """Start no more runs until it is resumed, or with *paused* False resume it.

    Raises:
        NotFoundError: If there is no such trigger.
        ConflictError: If it is so already.
    """
    row = _locked(session, trigger_id)
    if (row.paused_at is not None) == paused:
        raise ConflictError(f"The trigger is {'' if paused else 'not '}paused already; nothing was changed.")
    session.execute(
        text("UPDATE run_trigger SET paused_at = CASE WHEN :paused THEN now() END WHERE id = :id"),
        {"id": trigger_id, "paused": paused},
    )
    _audit(session, trigger_id, "trigger.paused" if paused else "trigger.resumed", requested_by, row.name)


def delete_trigger(session: Session, trigger_id: uuid.UUID, *, requested_by: str | None) -> None:
    """Remove a trigger; runs it started stay.

    Raises:
        NotFoundError: If there is no such trigger.
    """
    row = _locked(session, trigger_id)
    session.execute(text("DELETE FROM run_trigger WHERE id = :id"), {"id": trigger_id})
    _audit(session, trigger_id, "trigger.deleted", requested_by, row.name)


def raise_event(session: Session, event: Event, *, step: timedelta = _STEP) -> list[uuid.UUID]:
    """Start what waits for *event*, in the caller's transaction; return the runs, to be woken after the commit.

    Telling of the same event twice starts nothing twice. A trigger that cannot start its run says so on its row.
    """
    return raise_events(session, [event], step=step)


def raise_events(session: Session, events: Sequence[Event], *, step: timedelta = _STEP) -> list[uuid.UUID]:
    """Do what :func:`raise_event` does for several."""
    kinds = {event.kind for event in events}
    if not kinds:
        return []
    rows = session.execute(_LISTENING, {"kinds": list(kinds)}).all()
    started: list[uuid.UUID] = []
    for event in events if rows else ():
        seen = event.as_dict()
        for row in rows:
            if _listens(row, event.kind) and matches(row.filter, seen):
                run_id = _started(session, row, event, seen, step=step)
                started += [] if run_id is None else [run_id]
    return started


def raise_run_ends(engine: Engine, waker: Waker, settings: Settings, *, limit: int = 1000) -> int:
    """Count runs that ended, and start what waits for their end; return how many were counted.

    Both happen in one transaction, so that an end is neither forgotten nor told of twice.
    """
    with session_scope(engine) as session:
        ended = count_ended(session, limit)
        events = [_end_event(run) for run in ended if run.origin == "live"]
        started = raise_events(session, _with_outputs(session, events), step=settings.worker.priority_step)
    waker.wake(started)
    return len(ended)


def receive_hook(
    session: Session,
    name: str,
    *,
    body: bytes,
    headers: Mapping[str, str],
    installation: str,
    now: datetime,
    step: timedelta = _STEP,
) -> Delivery:
    """Check a webhook and store the run it asks for; wake a worker after the commit if it is new.

    Args:
        session: The caller's transaction.
        name: Of the trigger, the last part of the address.
        body: As it came, JSON.
        headers: By lower-case name.
        installation: The secret from which those of webhooks are derived.
        now: The present.
        step: Time that one step of priority is worth.

    Raises:
        SignatureError: If the signature is wrong, or there is no such webhook.
        InputError: If the body is too large or no JSON, or the parameters made of it do not fit the workflow.
        ConflictError: If the webhook is paused.
    """
    if len(body) > MAX_BODY_BYTES:
        raise InputError(f"A webhook's body has at most {MAX_BODY_BYTES // 1024} KiB; nothing was started.")
    known = session.execute(_HOOK, {"name": name}).one_or_none()
    # A name that is not there is checked like one that is: nobody learns which there are.
    trigger_id, generation = (uuid.UUID(int=0), 0) if known is None else (known.id, known.secret_generation)
    secret = hook_secret(installation, trigger_id, generation)
    shown = check_signature(headers, body, secret=secret, now=now.timestamp())
    row = session.execute(_LOCK, {"id": trigger_id}).one_or_none()
    if row is None or row.secret_generation != generation:
        raise SignatureError("The webhook's secret was changed; nothing was started.")
    if row.paused_at is not None:
        raise ConflictError(f"The webhook {name!r} is paused; nothing was started.")
    delivery = headers.get("helmsight-delivery") or headers.get("x-github-delivery")
    event = Event(
        id=(delivery or shown)[:_EVENT_ID_CHARACTERS],
        kind="webhook",
        source=f"hook:{name}",
        subject=headers.get("helmsight-event") or headers.get("x-github-event") or "",
        data=_json(body),
        at=now,
    )
    return _delivered(session, row, event, shown, step=step)


def matches(wanted: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    """Tell whether *event* holds every value of *wanted*, by dotted path; a list of values means one of them."""
    for path, value in wanted.items():
        found: Any = event
        for part in path.split("."):
            if not isinstance(found, Mapping) or part not in found:
                return False
            found = found[part]
        choices = value if isinstance(value, list) else [value]
        held = found if isinstance(found, list) else [found]
        if not any(_same(one, other) for one in held for other in choices):
            return False
    return True


def _delivered(session: Session, row: Row[Any], event: Event, shown: str, *, step: timedelta) -> Delivery:
    """Store the run of a delivery whose trigger is locked, unless its signature or its id was there before."""
    if not matches(row.filter, event.as_dict()):
        return Delivery(None, is_new=False)
    keys = {"signature": f"hook:{row.id}:{shown}", "delivery": f"hook:{row.id}:id:{event.id}"}
    held = session.execute(
        text(
            "SELECT k.key, k.run_id FROM run_key k JOIN run r ON r.id = k.run_id AND r.created_at = k.run_created_at"
            " WHERE k.workflow_id = :workflow_id AND k.key = ANY(:keys)"
        ),
        {"workflow_id": row.workflow_id, "keys": list(keys.values())},
    ).all()
    if held:
        return Delivery(held[0].run_id, is_new=False)
    run_id = _queue(session, row, event.as_dict(), trigger="webhook", key=keys["signature"], step=step)
    session.execute(
        text(
            "INSERT INTO run_key (workflow_id, key, run_id, run_created_at)"
            " SELECT workflow_id, :key, id, created_at FROM run WHERE id = :run_id"
            " ON CONFLICT (workflow_id, key) DO UPDATE SET run_id = EXCLUDED.run_id,"
            " run_created_at = EXCLUDED.run_created_at, created_at = now()"
        ),
        {"key": keys["delivery"], "run_id": run_id},
    )
    _note(session, row, run_id, None)
    return Delivery(run_id, is_new=True)


def _started(
    session: Session, row: Row[Any], event: Event, seen: Mapping[str, Any], *, step: timedelta
) -> uuid.UUID | None:
    """Start the run of one trigger; None when it was started before or cannot be."""
    key = f"event:{row.id}:{_named(event)}"
    known = session.scalar(
        text("SELECT run_id FROM run_key WHERE workflow_id = :workflow_id AND key = :key"),
        {"workflow_id": row.workflow_id, "key": key},
    )
    if known is not None:
        return None
    area = event.kind.partition(".")[0]
    try:
        with session.begin_nested():
            if event.source == ENGINE:
                _refuse_endless(session, event)
            trigger = area if area in {"run", "alert"} else "event"
            run_id = _queue(session, row, seen, trigger=trigger, key=key, step=step)
    except HelmsightError as error:
        if error.retryable:
            raise
        _note(session, row, None, error.message)
        return None
    _note(session, row, run_id, None)
    return run_id


def _queue(
    session: Session, row: Row[Any], seen: Mapping[str, Any], *, trigger: str, key: str, step: timedelta
) -> uuid.UUID:
    new = NewRun(
        params=resolve(dict(row.params), {"event": seen}),
        requested_by=f"trigger:{row.name}",
        trigger=trigger,
        priority=row.priority,
        idempotency_key=key,
        tags=tuple(row.tags),
    )
    queued, _ = queue_in(session, find_target(session, row.workflow_id), new, step=step)
    return queued.run_id


def _named(event: Event) -> str:
    """Return what tells *event* from others: of a run's end the id of the run, else its source and id."""
    if event.source == ENGINE:
        return event.id
    return hashlib.sha256(f"{event.source}\x1f{event.id}".encode()).hexdigest()[:_DIGEST_CHARACTERS]


def _refuse_endless(session: Session, event: Event) -> None:
    """Refuse an event at the end of a long chain of runs that started each other."""
    run_id: str | None = event.id
    for _ in range(MAX_CHAIN):
        key = session.scalar(
            text("SELECT idempotency_key FROM run WHERE id = CAST(:id AS uuid) AND trigger = 'run'"), {"id": run_id}
        )
        if key is None or not key.startswith("event:"):
            return
        run_id = key.rpartition(":")[2]
    raise ConflictError(
        f"{MAX_CHAIN} runs started each other one after the other; no further one was started. Give the trigger a"
        " filter, so that it does not answer to what it starts."
    )


def _note(session: Session, row: Row[Any], run_id: uuid.UUID | None, error: str | None) -> None:
    session.execute(
        text(
            "UPDATE run_trigger SET last_at = now(), error = :error,"
            " last_run_id = coalesce(CAST(:run_id AS uuid), last_run_id) WHERE id = :id"
        ),
        {"id": row.id, "run_id": run_id, "error": error},
    )


def _listens(row: Row[Any], kind: str) -> bool:
    wanted = row.event_kind or "alert.*"
    return kind.startswith(wanted[:-1]) if wanted.endswith("*") else kind == wanted


def _end_event(run: EndedRun) -> Event:
    took = run.finished_at - run.started_at if run.finished_at and run.started_at else None
    return Event(
        id=str(run.id),
        kind=f"run.{run.status}",
        source=ENGINE,
        subject=run.workflow_name,
        data={
            "run_id": str(run.id),
            "workflow": run.workflow_name,
            "version": run.version,
            "status": run.status,
            "trigger": run.trigger,
            "requested_by": run.requested_by,
            "tags": list(run.tags),
            "duration_s": None if took is None else took.total_seconds(),
            "error": run.error,
        },
        at=run.ended_at,
    )


def _with_outputs(session: Session, events: Sequence[Event]) -> Sequence[Event]:
    """Add the outputs of the runs, if a trigger listens at all."""
    kinds = list({event.kind for event in events})
    if not kinds or not session.execute(_LISTENING, {"kinds": kinds}).all():
        return events
    rows = session.execute(
        text("SELECT id, output FROM run WHERE id = ANY(:ids)"), {"ids": [uuid.UUID(event.id) for event in events]}
    )
    outputs = {str(row.id): row.output for row in rows}
    return [
        Event(
            event.id,
            event.kind,
            event.source,
            event.subject,
            {**event.data, "output": outputs.get(event.id)},
            event.at,
        )
        for event in events
    ]


_COLUMNS = "id, workflow_id, name, kind, event_kind, filter, params, priority, tags, secret_generation, paused_at"
_LOCK = text(f"SELECT {_COLUMNS} FROM run_trigger WHERE id = :id FOR UPDATE")  # noqa: S608 - constants
_HOOK = text("SELECT id, secret_generation FROM run_trigger WHERE name = :name AND kind = 'webhook'")
_LISTENING = text(
    f"SELECT {_COLUMNS} FROM run_trigger t WHERE paused_at IS NULL AND kind IN ('event', 'alert')"  # noqa: S608
    " AND EXISTS (SELECT 1 FROM unnest(CAST(:kinds AS text[])) AS k(kind) WHERE k.kind = t.event_kind"
    " OR (right(coalesce(t.event_kind, 'alert.*'), 1) = '*'"
    " AND starts_with(k.kind, rtrim(coalesce(t.event_kind, 'alert.*'), '*'))))"
    " ORDER BY id FOR UPDATE"
)
_INSERT = text(
    "INSERT INTO run_trigger (id, workflow_id, name, kind, event_kind, filter, params, priority, tags, created_by)"
    " VALUES (:id, :workflow_id, :name, :kind, :event_kind, CAST(:filter AS jsonb), CAST(:params AS jsonb),"
    " :priority, :tags, :by)"
)
_UPDATE = text(
    "UPDATE run_trigger SET workflow_id = :workflow_id, name = :name, event_kind = :event_kind,"
    " filter = CAST(:filter AS jsonb), params = CAST(:params AS jsonb), priority = :priority, tags = :tags,"
    " error = NULL WHERE id = :id"
)


def _check(spec: TriggerSpec) -> None:
    allowed = spec.name.replace("-", "").replace("_", "")
    if not 1 <= len(spec.name) <= MAX_NAME or not allowed.isascii() or not allowed.isalnum():
        raise InputError(
            f"A trigger's name has 1 to {MAX_NAME} letters, digits, - and _: it stands in the address of a webhook."
            " Nothing was stored."
        )
    if spec.kind not in _KINDS:
        raise InputError(f"A trigger's kind is {', '.join(_KINDS)}; nothing was stored.")
    if spec.kind == "event" and not (spec.event_kind or "").rstrip("*"):
        raise InputError("An event trigger names the `event_kind`, such as run.failed; nothing was stored.")
    if spec.kind == "webhook" and spec.event_kind is not None:
        raise InputError("A webhook has no `event_kind`; nothing was stored. Use `filter` on what it brings.")
    if spec.kind == "alert" and not (spec.event_kind or "alert.").startswith("alert."):
        raise InputError("An alert's `event_kind` begins with `alert.`; nothing was stored.")
    if len(spec.tags) > MAX_TAGS:
        raise InputError(f"A run has at most {MAX_TAGS} tags; nothing was stored.")
    params_json({"params": spec.params, "filter": spec.filter})
    for reference in references(dict(spec.params)):
        if reference.parts[0] != "event":
            raise InputError(
                f"The template {reference.path!r} begins with {reference.parts[0]!r}; a trigger knows only `event`."
                " Nothing was stored."
            )


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body) if body.strip() else {}
    except orjson.JSONDecodeError as error:
        raise InputError(f"The body is not JSON ({error}); nothing was started. Send application/json.") from error


def _same(one: Any, other: Any) -> bool:
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _locked(session: Session, trigger_id: uuid.UUID) -> Row[Any]:
    row = session.execute(_LOCK, {"id": trigger_id}).one_or_none()
    if row is None:
        raise NotFoundError(f"There is no trigger {trigger_id}; nothing was changed.")
    return row


def _audit(session: Session, trigger_id: object, action: str, requested_by: str | None, name: str) -> None:
    audit.record(
        session,
        actor=requested_by or "system",
        action=action,
        object_type="trigger",
        object_id=str(trigger_id),
        detail={"name": name},
    )
