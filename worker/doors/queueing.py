"""Store a run: its parameters checked, its place in the queue, its keys. The caller commits and wakes a worker."""

import difflib
import hashlib
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import text
from sqlalchemy.orm import Session

from analytics.core.clock import utc_now
from analytics.core.errors import ConflictError, InputError, NotFoundError
from analytics.core.ids import new_id
from analytics.core.logging import correlation_id
from analytics.store.queries import audit
from analytics.store.queries.queue import POSITION
from worker.workflow.definition import Definition, estimated_duration_s
from worker.workflow.results import to_json
from worker.workflow.schemas import complete_params
from worker.workflow.templates import as_text, resolve

RUNS_CHANNEL = "helmsight_runs"
"""PostgreSQL channel that names runs that changed; live pages listen."""
MAX_PARAMS_BYTES = 256 * 1024
MAX_PRIORITY = 1000
MAX_TAGS = 20
MAX_TAG_LENGTH = 40
MAX_KEY_LENGTH = 200
_RUNS_PER_NOTE = 150


@dataclass(frozen=True, slots=True)
class QueuedRun:
    """A run that is stored; it will be executed even if Redis forgets about it."""

    run_id: uuid.UUID
    created_at: datetime
    status: str
    position: int
    """Place in the queue, from 1; 0 when it is no longer queued."""
    estimated_duration_s: float | None
    """Mean of the newest completed runs, else the estimates along the critical path, else None."""
    document_id: uuid.UUID | None = None
    woken: bool = True
    """False when Redis did not take the wake token; the run starts once Redis is back."""


@dataclass(frozen=True, slots=True)
class Target:
    """The version of a workflow that is to run."""

    workflow_id: uuid.UUID
    name: str
    version: int
    definition: Definition
    params_schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run to store, and why there is one."""

    params: Mapping[str, Any]
    requested_by: str | None = None
    trigger: str = "page"
    priority: int = 0
    """-1000 to 1000; a higher one goes first, but not for ever."""
    idempotency_key: str | None = None
    tags: Sequence[str] = ()
    use_cache: bool = True
    run_id: uuid.UUID | None = None
    """None: a new one."""
    document_id: uuid.UUID | None = None
    parent_run_id: uuid.UUID | None = None
    parent_node: str | None = None
    source_run_id: uuid.UUID | None = None
    schedule_id: uuid.UUID | None = None
    scheduled_for: datetime | None = None


def find_target(session: Session, workflow: str | uuid.UUID, version: int | None = None) -> Target:
    """Return *version* of the active workflow *workflow*, by name or id; None: the current one.

    Raises:
        NotFoundError: If there is no such workflow or version.
    """
    row = session.execute(
        text(
            "SELECT w.id, w.name, v.version, v.spec_hash, v.params_schema FROM workflow w"
            " LEFT JOIN workflow_version v ON v.workflow_id = w.id"
            " AND v.version = coalesce(CAST(:version AS integer), w.current_version)"
            " WHERE w.status = 'active' AND (w.name = :name OR w.id = CAST(:id AS uuid))"
        ),
        {"name": str(workflow), "id": _as_uuid(workflow), "version": version},
    ).one_or_none()
    if row is None:
        raise NotFoundError(f"There is no workflow {str(workflow)!r}{_hint(session, workflow)}. Nothing was queued.")
    if row.version is None:
        raise NotFoundError(f"The workflow {row.name!r} has no version {version}. Nothing was queued.")
    definition = _KNOWN.get((row.id, row.version, row.spec_hash))
    if definition is None:
        definition = _read_definition(session, row.id, row.version, row.spec_hash)
    return Target(row.id, row.name, row.version, definition, row.params_schema)


_KNOWN: dict[tuple[uuid.UUID, int, str], Definition] = {}
"""Definitions that were read before; a version never changes."""
_MOST_KNOWN = 64


def _read_definition(session: Session, workflow_id: uuid.UUID, version: int, digest: str) -> Definition:
    spec = session.execute(
        text("SELECT spec FROM workflow_version WHERE workflow_id = :id AND version = :version"),
        {"id": workflow_id, "version": version},
    ).scalar_one()
    definition = Definition.from_spec(spec)
    # Threads share it: taking one out and putting one in are single steps, and to read one twice does no harm.
    while len(_KNOWN) >= _MOST_KNOWN:
        _KNOWN.pop(next(iter(_KNOWN), (workflow_id, version, digest)), None)
    _KNOWN[workflow_id, version, digest] = definition
    return definition


def queue_in(session: Session, target: Target, new: NewRun, *, step: timedelta) -> tuple[QueuedRun, bool]:
    """Store a run of *target* in the caller's transaction, with its audit entry.

    Returns:
        The run, and whether it is new: one that the idempotency key names already is returned instead, also when it
        has ended. Wake a worker for a new one after the commit.

    Raises:
        InputError: If the parameters, tags, key or priority cannot be used.
        ConflictError: If the key stands for a run with other parameters.
    """
    _check(new)
    new_run_id, now = new.run_id or new_id(), utc_now()
    if new.idempotency_key is not None:
        same = _reserve_key(session, target, new, run_id=new_run_id, now=now)
        if same is not None:
            return same, False
    queued = _insert_run(session, target, new, run_id=new_run_id, now=now, step=step)
    _audit(session, queued, target, new)
    return queued, True


def notify_runs(session: Session, run_ids: Iterable[uuid.UUID]) -> None:
    """Tell live pages, at the caller's commit, that *run_ids* changed."""
    ids = [str(run_id) for run_id in run_ids]
    for start in range(0, len(ids), _RUNS_PER_NOTE):
        session.execute(
            text("SELECT pg_notify(:channel, :payload)"),
            {"channel": RUNS_CHANNEL, "payload": ",".join(ids[start : start + _RUNS_PER_NOTE])},
        )


def add_event(
    session: Session,
    run_id: uuid.UUID,
    created_at: datetime,
    kind: str,
    *,
    actor: str | None,
    node_id: str | None = None,
    map_index: int | None = None,
    data: Mapping[str, Any] | None = None,
) -> None:
    """Add to the history of a run what happened to it."""
    session.execute(
        text(
            "INSERT INTO run_event (id, run_id, run_created_at, kind, node_id, map_index, actor, data)"
            " VALUES (:id, :run_id, :created_at, :kind, :node_id, :map_index, :actor, CAST(:data AS jsonb))"
        ),
        {
            "id": new_id(),
            "run_id": run_id,
            "created_at": created_at,
            "kind": kind,
            "node_id": node_id,
            "map_index": map_index,
            "actor": actor,
            "data": to_json(data or {}),
        },
    )


def add_events(session: Session, runs: Sequence[tuple[uuid.UUID, datetime]], kind: str, *, actor: str | None) -> None:
    """Add the same event to the history of several runs, each by id and time of creation."""
    if not runs:
        return
    session.execute(
        text(
            "INSERT INTO run_event (id, run_id, run_created_at, kind, actor) SELECT x.id, x.run_id, x.created_at,"
            " :kind, :actor FROM unnest(CAST(:ids AS uuid[]), CAST(:run_ids AS uuid[]),"
            " CAST(:created AS timestamptz[])) AS x(id, run_id, created_at)"
        ),
        {
            "ids": [new_id() for _ in runs],
            "run_ids": [run_id for run_id, _ in runs],
            "created": [created_at for _, created_at in runs],
            "kind": kind,
            "actor": actor,
        },
    )


def params_json(params: Mapping[str, Any]) -> str:
    """Return a run's parameters as JSON text.

    Raises:
        InputError: If they are not JSON, or larger than 256 KiB.
    """
    encoded = to_json(params)
    if len(encoded.encode()) > MAX_PARAMS_BYTES:
        raise InputError(
            f"The parameters have {len(encoded)} bytes, more than {MAX_PARAMS_BYTES}; nothing was queued."
            " Store large input as a document."
        )
    return encoded


def _outlook(session: Session, target: Target, run_id: uuid.UUID) -> tuple[int, float | None]:
    """Return the place of *run_id* in the queue, 0 when it is not there, and the seconds a run of *target* takes.

    These are the mean of the newest completed runs, else what the definition says, else None.
    """
    row = session.execute(_OUTLOOK, {"id": run_id, "workflow_id": target.workflow_id}).one()
    usual: float | None = row.mean if row.mean is not None else estimated_duration_s(target.definition)
    return row.position or 0, usual


_OUTLOOK = text(
    f"SELECT ({POSITION}) AS position, (SELECT avg(extract(epoch FROM finished_at - started_at))::float8 FROM"  # noqa: S608
    " (SELECT finished_at, started_at FROM run WHERE workflow_id = :workflow_id"
    " AND created_at > now() - interval '30 days' AND status = 'completed' ORDER BY created_at DESC LIMIT 20) AS newest"
    ") AS mean"
)


def _insert_run(
    session: Session, target: Target, new: NewRun, *, run_id: uuid.UUID, now: datetime, step: timedelta
) -> QueuedRun:
    full = complete_params(target.params_schema, new.params) if target.params_schema else dict(new.params)
    key, limit = _concurrency(target.definition, full)
    values = {
        "id": run_id,
        "now": now,
        "rank": now - new.priority * step,
        "workflow_id": target.workflow_id,
        "version": target.version,
        "priority": new.priority,
        "requested_by": new.requested_by,
        "trigger": new.trigger,
        "correlation_id": correlation_id() or run_id.hex,
        "parent_run_id": new.parent_run_id,
        "parent_node": new.parent_node,
        "source_run_id": new.source_run_id,
        "schedule_id": new.schedule_id,
        "scheduled_for": new.scheduled_for,
        "tags": list(dict.fromkeys(new.tags)),
        "concurrency_key": key,
        "concurrency_limit": limit,
        "idempotency_key": new.idempotency_key,
        "use_cache": new.use_cache,
        "nodes_total": len(target.definition.nodes),
        "input": params_json(full),
        "channel": RUNS_CHANNEL,
    }
    session.execute(_INSERT, values)
    position, usual_s = _outlook(session, target, run_id)
    return QueuedRun(
        run_id=run_id,
        created_at=now,
        status="queued",
        position=position,
        estimated_duration_s=usual_s,
        document_id=new.document_id,
    )


_INSERT = text(
    "WITH active AS (INSERT INTO run_active (run_id, run_created_at, workflow_id, priority, rank, concurrency_key,"
    " concurrency_limit, parent_run_id, queued_at, token_at) VALUES (:id, :now, :workflow_id, :priority, :rank,"
    " :concurrency_key, :concurrency_limit, :parent_run_id, :now, :now))"
    " INSERT INTO run (id, created_at, workflow_id, version, status, priority, requested_by, trigger, correlation_id,"
    " parent_run_id, parent_node, source_run_id, schedule_id, scheduled_for, tags, concurrency_key, idempotency_key,"
    " use_cache, nodes_total, input, queued_at) VALUES (:id, :now, :workflow_id, :version, 'queued', :priority,"
    " :requested_by, :trigger, :correlation_id, :parent_run_id, :parent_node, :source_run_id, :schedule_id,"
    " :scheduled_for, :tags, :concurrency_key, :idempotency_key, :use_cache, :nodes_total, CAST(:input AS jsonb), :now)"
    " RETURNING pg_notify(:channel, CAST(id AS text))"
)


def _concurrency(definition: Definition, params: Mapping[str, Any]) -> tuple[str | None, int | None]:
    rule = definition.concurrency
    if rule is None:
        return None, None
    return as_text(resolve(rule.key, {"params": params}))[:MAX_KEY_LENGTH], rule.limit


def _reserve_key(
    session: Session, target: Target, new: NewRun, *, run_id: uuid.UUID, now: datetime
) -> QueuedRun | None:
    """Take the key for *run_id*, or return the run that has it; waits for whoever takes it at this moment."""
    digest = _digest(new.params)
    values = {
        "workflow_id": target.workflow_id,
        "key": new.idempotency_key,
        "run_id": run_id,
        "now": now,
        "hash": digest,
    }
    while True:
        taken = session.execute(_TAKE_KEY, values).one_or_none()
        if taken is not None:
            return None
        held = session.execute(_HELD_KEY, values).one_or_none()
        if held is None:
            continue  # It was cleaned away between the two statements.
        if held.status is None:
            # Its run is older than what is kept: the key stands for nothing any more.
            session.execute(
                text("DELETE FROM run_key WHERE workflow_id = :workflow_id AND key = :key AND run_id = :held"),
                values | {"held": held.run_id},
            )
            continue
        if held.input_hash is not None and bytes(held.input_hash) != digest:
            raise ConflictError(
                f"The idempotency key {new.idempotency_key!r} stands for the run {held.run_id}, which has other"
                " parameters; nothing was queued. Send another key.",
                run_id=str(held.run_id),
            )
        position, usual_s = _outlook(session, target, held.run_id)
        return QueuedRun(
            run_id=held.run_id,
            created_at=held.run_created_at,
            status=held.status,
            position=position,
            estimated_duration_s=usual_s,
        )


_TAKE_KEY = text(
    "INSERT INTO run_key (workflow_id, key, run_id, run_created_at, input_hash, created_at)"
    " VALUES (:workflow_id, :key, :run_id, :now, :hash, :now) ON CONFLICT (workflow_id, key) DO NOTHING"
    " RETURNING run_id"
)
_HELD_KEY = text(
    "SELECT k.run_id, k.run_created_at, k.input_hash, r.status FROM run_key k"
    " LEFT JOIN run r ON r.id = k.run_id AND r.created_at = k.run_created_at"
    " WHERE k.workflow_id = :workflow_id AND k.key = :key"
)


def _digest(params: Mapping[str, Any]) -> bytes:
    return hashlib.sha256(orjson.dumps(orjson.loads(to_json(params)), option=orjson.OPT_SORT_KEYS)).digest()


def _check(new: NewRun) -> None:
    if abs(new.priority) > MAX_PRIORITY:
        raise InputError(f"A priority is from -{MAX_PRIORITY} to {MAX_PRIORITY}; nothing was queued.")
    if len(set(new.tags)) > MAX_TAGS or any(not tag.strip() or len(tag) > MAX_TAG_LENGTH for tag in new.tags):
        raise InputError(
            f"A run has at most {MAX_TAGS} tags of 1 to {MAX_TAG_LENGTH} characters each; nothing was queued."
        )
    if new.idempotency_key is not None and not 1 <= len(new.idempotency_key) <= MAX_KEY_LENGTH:
        raise InputError(f"An idempotency key has 1 to {MAX_KEY_LENGTH} characters; nothing was queued.")


def _audit(session: Session, queued: QueuedRun, target: Target, new: NewRun) -> None:
    detail: dict[str, Any] = {"workflow": target.name, "version": target.version, "trigger": new.trigger}
    named = {
        "document_id": queued.document_id,
        "source_run_id": new.source_run_id,
        "parent_run_id": new.parent_run_id,
        "schedule_id": new.schedule_id,
    }
    detail |= {name: str(value) for name, value in named.items() if value is not None}
    audit.record(
        session,
        actor=new.requested_by or "system",
        action="run.queued",
        object_type="run",
        object_id=str(queued.run_id),
        detail=detail,
    )


def _hint(session: Session, workflow: str | uuid.UUID) -> str:
    names = session.scalars(text("SELECT name FROM workflow WHERE status = 'active' ORDER BY name LIMIT 1000")).all()
    close = difflib.get_close_matches(str(workflow), names, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _as_uuid(value: str | uuid.UUID) -> uuid.UUID | None:
    try:
        return value if isinstance(value, uuid.UUID) else uuid.UUID(value)
    except ValueError:
        return None
