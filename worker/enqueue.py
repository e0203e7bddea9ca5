"""The one door into the queues: rows first, committed; then a wake token.

The token says only "there is work": a worker claims the best queued run from PostgreSQL. When Redis is away the run
stays queued and the reconciler sends a token later. Every call leaves an entry in the audit log.
"""

import difflib
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import redis
from rq import Queue, Retry
from rq.exceptions import DuplicateJobError
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from analytics.core.clock import utc_now
from analytics.core.errors import ConflictError, DependencyError, InputError, NotFoundError
from analytics.core.ids import new_id
from analytics.core.logging import correlation_id, get_logger
from analytics.core.settings import Settings
from analytics.live.client import redis_errors
from analytics.store.engine import session_scope
from analytics.store.queries import audit, documents
from analytics.store.queries.runs import queue_position
from worker.catalog import REFRESH_MCP, WAKE, JobSpec
from worker.ocr.upload import check_upload
from worker.queues import SERIALIZER
from worker.workflow.definition import Definition, ensure_builtin_workflows, estimated_duration_s
from worker.workflow.results import to_json
from worker.workflow.schemas import complete_params

CONTROL_CHANNEL = "helmsight_control"
"""PostgreSQL channel on which running workers hear of cancelled runs and finished nodes."""
MAX_PARAMS_BYTES = 256 * 1024
_QUIET_S = 2.0

_log = get_logger(__name__)


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
class _Target:
    workflow_id: uuid.UUID
    name: str
    version: int
    definition: Definition
    params_schema: Mapping[str, Any]


def enqueue(
    client: redis.Redis,
    spec: JobSpec,
    arguments: Mapping[str, Any],
    *,
    job_id: str,
    correlation: str | None = None,
    timeout_s: float | None = None,
) -> bool:
    """Put the job *spec* on its queue; *arguments* are its keyword arguments, JSON values.

    Returns:
        False when a job of that id is known already, also for a while after it ended.

    Raises:
        DependencyError: If Redis does not take it.
    """
    queue = Queue(str(spec.queue), connection=client, serializer=SERIALIZER)
    with redis_errors("a job was queued"):
        try:
            queue.enqueue(
                spec.path,
                kwargs=dict(arguments),
                job_id=job_id,
                unique=True,
                job_timeout=int(timeout_s if timeout_s is not None else spec.timeout.total_seconds()),
                result_ttl=int(spec.result_ttl.total_seconds()),
                failure_ttl=int(spec.failure_ttl.total_seconds()),
                retry=Retry(max=spec.retries) if spec.retries else None,
                meta={"correlation_id": correlation or correlation_id()},
                description=job_id,
            )
        except DuplicateJobError:
            return False
    return True


def send_wake(client: redis.Redis, run_id: uuid.UUID, epoch: int, *, correlation: str | None, again: bool) -> None:
    """Send a token for a queued run; *again* when an earlier one got lost but its record may still be there."""
    job_id = f"run-{run_id}-e{epoch}"
    sent = enqueue(client, WAKE, {"run_id": str(run_id)}, job_id=job_id, correlation=correlation)
    if not sent and again:
        fresh = f"{job_id}-{time.time_ns() // 1_000_000}"
        enqueue(client, WAKE, {"run_id": str(run_id)}, job_id=fresh, correlation=correlation)


class Door:
    """Queues runs for pages, routes and the command line; safe to share between threads."""

    def __init__(self, engine: Engine, redis: redis.Redis | None, settings: Settings | None = None) -> None:
        self._engine = engine
        self._redis = redis
        self._settings = settings or Settings.model_construct()
        self._quiet_until = 0.0

    def queue_run(
        self,
        *,
        workflow: str | uuid.UUID,
        params: Mapping[str, Any],
        requested_by: str | None,
        trigger: str = "page",
        priority: int = 0,
        idempotency_key: str | None = None,
    ) -> QueuedRun:
        """Store a run of *workflow*, by name or id, and wake a worker.

        A run of the same workflow and *idempotency_key* that has not ended is returned instead of a second one.

        Raises:
            NotFoundError: If there is no such workflow.
            InputError: If *params* do not fit; ``context["problems"]`` says where.
            DependencyError: If PostgreSQL does not answer; nothing was queued.
        """
        try:
            with session_scope(self._engine) as session:
                target = _find_target(session, workflow)
                same = _same_run(session, target, idempotency_key)
                queued = same or _insert_run(
                    session,
                    target,
                    params,
                    requested_by=requested_by,
                    trigger=trigger,
                    priority=priority,
                    idempotency_key=idempotency_key,
                )
                if same is None:
                    _audit(session, queued, target, requested_by, trigger)
        except ConflictError:
            # Another request stored a run of this key between our look and our insert.
            with session_scope(self._engine) as session:
                found = _same_run(session, _find_target(session, workflow), idempotency_key)
            if found is None:
                raise
            return found
        return queued if same is not None else self._woken(queued)

    def queue_ocr(
        self,
        *,
        name: str,
        content: bytes,
        options: Mapping[str, Any],
        requested_by: str | None,
        trigger: str = "page",
    ) -> QueuedRun:
        """Store a document and a run of the workflow ``ocr`` that reads it.

        Raises:
            InputError: If the file is too large, or is not an image or PDF by its bytes; nothing was stored.
        """
        media_type = check_upload(name, content, self._settings)
        with session_scope(self._engine) as session:
            target = _find_target(session, "ocr")
            run_id = new_id()
            document_id = documents.store_document(
                session,
                name=name,
                content=content,
                media_type=media_type,
                uploaded_by=requested_by,
                run_id=run_id,
                origin="live",
            )
            params = {"document_id": str(document_id), "options": dict(options)}
            queued = _insert_run(
                session,
                target,
                params,
                requested_by=requested_by,
                trigger=trigger,
                run_id=run_id,
                document_id=document_id,
            )
            _audit(session, queued, target, requested_by, trigger)
        return self._woken(queued)

    def queue_mcp_call(
        self,
        *,
        server: str,
        tool: str,
        arguments: Mapping[str, Any],
        requested_by: str | None,
        trigger: str = "page",
    ) -> QueuedRun:
        """Store a run of the workflow ``mcp-call``."""
        params = {"server": server, "tool": tool, "arguments": dict(arguments)}
        return self.queue_run(workflow="mcp-call", params=params, requested_by=requested_by, trigger=trigger)

    def cancel_run(self, run_id: uuid.UUID, *, requested_by: str | None) -> None:
        """Cancel a run: at once when it is queued, within a second when a worker carries it.

        Raises:
            NotFoundError: If there is no such run.
            ConflictError: If it has ended; nothing was changed.
        """
        with session_scope(self._engine) as session:
            row = session.execute(
                text("SELECT status, run_created_at FROM run_active WHERE run_id = :id FOR UPDATE"), {"id": run_id}
            ).one_or_none()
            if row is None:
                _refuse_cancel(session, run_id)
            elif row.status == "running":
                session.execute(
                    text("UPDATE run_active SET cancel_requested = true WHERE run_id = :id"), {"id": run_id}
                )
                session.execute(
                    text("SELECT pg_notify(:channel, :payload)"),
                    {"channel": CONTROL_CHANNEL, "payload": f"cancel:{run_id}"},
                )
            else:
                session.execute(text("DELETE FROM run_active WHERE run_id = :id"), {"id": run_id})
                session.execute(
                    text(
                        "UPDATE run SET status = 'cancelled', finished_at = now()"
                        " WHERE id = :id AND created_at = :created_at"
                    ),
                    {"id": run_id, "created_at": row.run_created_at},
                )
            audit.record(
                session,
                actor=requested_by or "system",
                action="run.cancel_requested",
                object_type="run",
                object_id=str(run_id),
            )

    def refresh_mcp(self, requested_by: str | None) -> bool:
        """Ask the scheduler to read the lists of tools again; tell whether the request was taken.

        Raises:
            DependencyError: If Redis does not take it; the lists are read again every few minutes anyway.
        """
        if self._redis is None:
            raise DependencyError("No Redis is connected, so the lists of tools were not asked for.", part="redis")
        with session_scope(self._engine) as session:
            audit.record(session, actor=requested_by or "system", action="mcp.refresh_requested")
        slot = int(time.time()) // 5
        return enqueue(self._redis, REFRESH_MCP, {}, job_id=f"refresh-mcp-{slot}")

    def ensure_builtins(self) -> None:
        """Store the workflows that Helmsight ships, if they are missing or older."""
        with session_scope(self._engine) as session:
            ensure_builtin_workflows(session)

    def _woken(self, queued: QueuedRun) -> QueuedRun:
        woken = self._wake(queued.run_id)
        if not woken:
            with session_scope(self._engine) as session:
                session.execute(
                    text("UPDATE run_active SET token_at = NULL WHERE run_id = :id AND status = 'queued'"),
                    {"id": queued.run_id},
                )
        return QueuedRun(
            run_id=queued.run_id,
            created_at=queued.created_at,
            status=queued.status,
            position=queued.position,
            estimated_duration_s=queued.estimated_duration_s,
            document_id=queued.document_id,
            woken=woken,
        )

    def _wake(self, run_id: uuid.UUID) -> bool:
        if self._redis is None or time.monotonic() < self._quiet_until:
            return False
        try:
            send_wake(self._redis, run_id, 0, correlation=correlation_id(), again=False)
        except DependencyError as error:
            self._quiet_until = time.monotonic() + _QUIET_S
            _log.warning("wake token not sent", run_id=str(run_id), error=error.message)
            return False
        return True


def _find_target(session: Session, workflow: str | uuid.UUID) -> _Target:
    row = session.execute(
        text(
            "SELECT w.id, w.name, v.version, v.spec, v.params_schema FROM workflow w"
            " JOIN workflow_version v ON v.workflow_id = w.id AND v.version = w.current_version"
            " WHERE w.status = 'active' AND (w.name = :name OR w.id = CAST(:id AS uuid))"
        ),
        {"name": str(workflow), "id": _as_uuid(workflow)},
    ).one_or_none()
    if row is None:
        names = session.scalars(
            text("SELECT name FROM workflow WHERE status = 'active' ORDER BY name LIMIT 1000")
        ).all()
        close = difflib.get_close_matches(str(workflow), names, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise NotFoundError(f"There is no workflow {str(workflow)!r}{hint}. Nothing was queued.")
    return _Target(row.id, row.name, row.version, Definition.from_spec(row.spec), row.params_schema)


def _as_uuid(value: str | uuid.UUID) -> uuid.UUID | None:
    try:
        return value if isinstance(value, uuid.UUID) else uuid.UUID(value)
    except ValueError:
        return None


def _same_run(session: Session, target: _Target, key: str | None) -> QueuedRun | None:
    if key is None:
        return None
    row = session.execute(
        text(
            "SELECT run_id, run_created_at, status FROM run_active"
            " WHERE workflow_id = :workflow_id AND idempotency_key = :key"
        ),
        {"workflow_id": target.workflow_id, "key": key},
    ).one_or_none()
    if row is None:
        return None
    return QueuedRun(
        run_id=row.run_id,
        created_at=row.run_created_at,
        status=row.status,
        position=queue_position(session, row.run_id) or 0,
        estimated_duration_s=_estimate(session, target),
    )


def _insert_run(
    session: Session,
    target: _Target,
    params: Mapping[str, Any],
    *,
    requested_by: str | None,
    trigger: str,
    priority: int = 0,
    idempotency_key: str | None = None,
    run_id: uuid.UUID | None = None,
    document_id: uuid.UUID | None = None,
) -> QueuedRun:
    full = complete_params(target.params_schema, params) if target.params_schema else dict(params)
    run_id, now = run_id or new_id(), utc_now()
    values = {
        "id": run_id,
        "now": now,
        "workflow_id": target.workflow_id,
        "version": target.version,
        "priority": priority,
        "requested_by": requested_by,
        "trigger": trigger,
        "correlation_id": correlation_id() or run_id.hex,
        "input": _params_json(full),
        "key": idempotency_key,
    }
    session.execute(
        text(
            "INSERT INTO run (id, created_at, workflow_id, version, status, priority, requested_by, trigger,"
            " correlation_id, input, queued_at) VALUES (:id, :now, :workflow_id, :version, 'queued', :priority,"
            " :requested_by, :trigger, :correlation_id, CAST(:input AS jsonb), :now)"
        ),
        values,
    )
    session.execute(
        text(
            "INSERT INTO run_active (run_id, run_created_at, workflow_id, priority, idempotency_key, queued_at,"
            " token_at) VALUES (:id, :now, :workflow_id, :priority, :key, :now, :now)"
        ),
        values,
    )
    return QueuedRun(
        run_id=run_id,
        created_at=now,
        status="queued",
        position=queue_position(session, run_id) or 0,
        estimated_duration_s=_estimate(session, target),
        document_id=document_id,
    )


def _params_json(params: Mapping[str, Any]) -> str:
    encoded = to_json(params)
    if len(encoded) > MAX_PARAMS_BYTES:
        raise InputError(
            f"The parameters have {len(encoded)} bytes, more than {MAX_PARAMS_BYTES}; nothing was queued."
            " Store large input as a document."
        )
    return encoded


def _estimate(session: Session, target: _Target) -> float | None:
    mean: float | None = session.scalar(
        text(
            "SELECT avg(extract(epoch FROM finished_at - started_at))::float8 FROM (SELECT finished_at, started_at"
            " FROM run WHERE workflow_id = :workflow_id AND created_at > now() - interval '30 days'"
            " AND status = 'completed' ORDER BY created_at DESC LIMIT 20) AS newest"
        ),
        {"workflow_id": target.workflow_id},
    )
    return mean if mean is not None else estimated_duration_s(target.definition)


def _audit(session: Session, queued: QueuedRun, target: _Target, requested_by: str | None, trigger: str) -> None:
    detail: dict[str, Any] = {"workflow": target.name, "version": target.version, "trigger": trigger}
    if queued.document_id is not None:
        detail["document_id"] = str(queued.document_id)
    audit.record(
        session,
        actor=requested_by or "system",
        action="run.queued",
        object_type="run",
        object_id=str(queued.run_id),
        detail=detail,
    )


def _refuse_cancel(session: Session, run_id: uuid.UUID) -> None:
    status = session.scalar(text("SELECT status FROM run WHERE id = :id"), {"id": run_id})
    if status is None:
        raise NotFoundError(f"There is no run {run_id}; nothing was cancelled.")
    raise ConflictError(f"The run has ended already ({status}); nothing was cancelled.")
