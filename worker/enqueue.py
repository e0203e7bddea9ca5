"""The one door into the queues: rows first, committed; then a wake token.

The token says only "there is work": a worker claims the best queued run from PostgreSQL. When Redis is away the run
stays queued and the reconciler sends a token later. Every call leaves an entry in the audit log.
"""

import dataclasses
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import psycopg
import redis
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from analytics.core.errors import DependencyError, HelmsightError, InputError, PolicyError
from analytics.core.ids import new_id
from analytics.core.settings import Settings
from analytics.store.engine import session_scope
from analytics.store.queries import audit, documents
from worker.catalog import REFRESH_MCP
from worker.doors import again, control
from worker.doors.again import Version
from worker.doors.control import CONTROL_CHANNEL, Attention, Decision
from worker.doors.queueing import MAX_PARAMS_BYTES, NewRun, QueuedRun, find_target, queue_in
from worker.doors.waking import Waker, enqueue, send_wake
from worker.ocr.upload import check_upload
from worker.workflow.definition import ensure_builtin_workflows

__all__ = [
    "CONTROL_CHANNEL",
    "MAX_BULK",
    "MAX_PARAMS_BYTES",
    "BulkReport",
    "Door",
    "QueuedRun",
    "enqueue",
    "send_wake",
]

T = TypeVar("T")

MAX_BULK = 1000
"""How many runs one bulk request may name."""
_DEADLOCK_TRIES = 3
_PER_TRANSACTION = 100


@dataclass(frozen=True, slots=True)
class BulkReport:
    """What became of a request that names many runs."""

    done: int
    refused: Sequence[tuple[uuid.UUID, str]]
    """Runs to which it did not happen, each with the reason."""


class Door:
    """Queues and steers runs for pages, routes and the command line; safe to share between threads."""

    def __init__(self, engine: Engine, redis: redis.Redis | None, settings: Settings | None = None) -> None:
        self._engine = engine
        self._redis = redis
        self._settings = settings or Settings.model_construct()
        self._waker = Waker(engine, redis)

    def queue_run(
        self,
        *,
        workflow: str | uuid.UUID,
        params: Mapping[str, Any],
        requested_by: str | None,
        trigger: str = "page",
        priority: int = 0,
        idempotency_key: str | None = None,
        tags: Sequence[str] = (),
        version: int | None = None,
        use_cache: bool = True,
    ) -> QueuedRun:
        """Store a run of *workflow*, by name or id, and wake a worker.

        A run of the same workflow and *idempotency_key* is returned instead of a second one, also after it ended.

        Raises:
            NotFoundError: If there is no such workflow or version.
            InputError: If *params* do not fit; ``context["problems"]`` says where.
            ConflictError: If the key stands for a run with other parameters.
            DependencyError: If PostgreSQL does not answer; nothing was queued.
        """
        new = NewRun(
            params=params,
            requested_by=requested_by,
            trigger=trigger,
            priority=priority,
            idempotency_key=idempotency_key,
            tags=tags,
            use_cache=use_cache,
        )
        with session_scope(self._engine) as session:
            target = find_target(session, workflow, version)
            queued, is_new = queue_in(session, target, new, step=self._settings.worker.priority_step)
        return self._woken(queued) if is_new else queued

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
        run_id = new_id()
        with session_scope(self._engine) as session:
            target = find_target(session, "ocr")
            document_id = documents.store_document(
                session,
                name=name,
                content=content,
                media_type=media_type,
                uploaded_by=requested_by,
                run_id=run_id,
                origin="live",
            )
            new = NewRun(
                params={"document_id": str(document_id), "options": dict(options)},
                requested_by=requested_by,
                trigger=trigger,
                run_id=run_id,
                document_id=document_id,
            )
            queued, _ = queue_in(session, target, new, step=self._settings.worker.priority_step)
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
        """Cancel a run and its sub-workflows: at once when nobody carries them, else within a second.

        Raises:
            NotFoundError: If there is no such run.
            ConflictError: If it has ended; nothing was changed.
        """
        self._steer(lambda session: control.cancel(session, run_id, requested_by=requested_by))

    def pause_run(self, run_id: uuid.UUID, *, requested_by: str | None) -> str:
        """Start nothing new in a run; return ``paused``, or ``pausing`` while nodes in flight go on to their end.

        Raises:
            NotFoundError: If there is no such run.
            ConflictError: If it has ended, is being cancelled, or is paused already.
        """
        return self._steer(lambda session: control.pause(session, run_id, requested_by=requested_by))

    def resume_run(self, run_id: uuid.UUID, *, requested_by: str | None) -> None:
        """Let a paused run go on.

        Raises:
            NotFoundError: If there is no such run.
            ConflictError: If it has ended, or is not paused.
        """
        self._move(run_id, lambda session: control.resume(session, run_id, requested_by=requested_by))

    def signal_run(self, run_id: uuid.UUID, *, name: str, data: Any, requested_by: str | None) -> None:
        """Give a run the signal *name*; one that no node waits for yet is kept for the first that will.

        Raises:
            NotFoundError: If there is no such run.
            ConflictError: If it has ended, or too many signals lie ready.
            InputError: If *data* is larger than 256 KiB.
        """
        self._move(
            run_id, lambda session: control.signal(session, run_id, name=name, data=data, requested_by=requested_by)
        )

    def decide(
        self,
        run_id: uuid.UUID,
        node_id: str,
        map_index: int = -1,
        *,
        decision: Decision,
        data: Any = None,
        requested_by: str | None,
        role: str = "operator",
    ) -> None:
        """Approve or reject what a node waits for, in the name of somebody with *role*.

        Raises:
            NotFoundError: If there is no such run, or the node waits for no approval.
            ConflictError: If somebody decided before, the deadline has passed, or the run has ended.
            PolicyError: If *role* is less than the approval asks for.
            InputError: If *data* does not fit the approval's form; ``context["problems"]`` says where.
        """
        try:
            self._move(
                run_id,
                lambda session: control.decide(
                    session,
                    run_id,
                    node_id,
                    map_index,
                    decision=decision,
                    data=data,
                    requested_by=requested_by,
                    role=role,
                ),
            )
        except PolicyError:
            with session_scope(self._engine) as session:
                audit.record(
                    session,
                    actor=requested_by or "system",
                    action="run.node_settled",
                    object_type="run",
                    object_id=str(run_id),
                    outcome=audit.REFUSED,
                    detail={"node_id": node_id, "map_index": map_index, "role": role},
                )
            raise

    def resolve_attention(
        self,
        run_id: uuid.UUID,
        node_id: str,
        map_index: int = -1,
        *,
        action: Attention,
        output: Any = None,
        requested_by: str | None,
    ) -> None:
        """Say what became of a node that was under way when its worker died and is not safe to repeat.

        Raises:
            NotFoundError: If there is no such run, or the node needs no attention.
            ConflictError: If somebody said so before, or the run has ended.
        """
        self._move(
            run_id,
            lambda session: control.resolve_attention(
                session, run_id, node_id, map_index, action=action, output=output, requested_by=requested_by
            ),
        )

    def retry_run(
        self,
        run_id: uuid.UUID,
        *,
        from_nodes: Sequence[str] = (),
        version: Version = "same",
        requested_by: str | None,
        trigger: str = "page",
    ) -> QueuedRun:
        """Queue a run that keeps what *run_id* completed and does the rest, or begins again from *from_nodes*.

        Raises:
            NotFoundError: If there is no such run, or its workflow was archived.
            ConflictError: If it has not ended, or a retry of it has not ended.
            InputError: If a node is not known, or there is nothing to do again.
        """
        queued = self._steer(
            lambda session: again.retry(
                session,
                run_id,
                from_nodes=from_nodes,
                version=version,
                requested_by=requested_by,
                trigger=trigger,
                step=self._settings.worker.priority_step,
            )
        )
        return self._woken(queued)

    def rerun(
        self,
        run_id: uuid.UUID,
        *,
        params: Mapping[str, Any] | None = None,
        version: Version = "same",
        use_cache: bool | None = None,
        requested_by: str | None,
        trigger: str = "page",
    ) -> QueuedRun:
        """Queue a run that does all of *run_id* again, with *params* instead of its own if there are any.

        Raises:
            NotFoundError: If there is no such run, or its workflow was archived.
            InputError: If *params* do not fit; ``context["problems"]`` says where.
        """
        queued = self._steer(
            lambda session: again.rerun(
                session,
                run_id,
                params=params,
                version=version,
                use_cache=use_cache,
                requested_by=requested_by,
                trigger=trigger,
                step=self._settings.worker.priority_step,
            )
        )
        return self._woken(queued)

    def cancel_many(self, run_ids: Sequence[uuid.UUID], *, requested_by: str | None) -> BulkReport:
        """Cancel each of *run_ids*, up to 1000; one that cannot be cancelled does not stop the others."""
        wanted = _wanted(run_ids)
        done = 0
        refused: list[tuple[uuid.UUID, str]] = []
        for start in range(0, len(wanted), _PER_TRANSACTION):
            some = wanted[start : start + _PER_TRANSACTION]
            cancelled, others = self._steer(partial(_cancel_some, run_ids=some, requested_by=requested_by))
            done += cancelled
            refused += others
        return BulkReport(done, refused)

    def retry_many(
        self, run_ids: Sequence[uuid.UUID], *, requested_by: str | None, trigger: str = "page"
    ) -> BulkReport:
        """Retry each of *run_ids*, up to 1000; one that cannot be retried does not stop the others."""
        return _each(run_ids, lambda run_id: self.retry_run(run_id, requested_by=requested_by, trigger=trigger))

    def wake(self, run_ids: Sequence[uuid.UUID]) -> bool:
        """Wake workers for runs that somebody else stored and committed; tell whether Redis took the tokens."""
        return self._waker.wake(run_ids)

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
        return dataclasses.replace(queued, woken=self._waker.wake([queued.run_id]))

    def _move(self, run_id: uuid.UUID, work: Callable[[Session], bool]) -> None:
        """Do *work* in a transaction; when it queued the run, wake a worker."""
        if self._steer(work):
            self._waker.wake([run_id], again=True)

    def _steer(self, work: Callable[[Session], T]) -> T:
        """Do *work* in a transaction; again when it and the engine waited for each other's rows."""
        for tries_left in reversed(range(_DEADLOCK_TRIES)):
            try:
                with session_scope(self._engine) as session:
                    return work(session)
            except DependencyError as error:
                original = getattr(error.__cause__, "orig", None)
                if not tries_left or not isinstance(original, psycopg.errors.DeadlockDetected):
                    raise
        raise DependencyError("The run is too busy; nothing was changed. Try again shortly.", part="postgres")


def _cancel_some(
    session: Session, *, run_ids: Sequence[uuid.UUID], requested_by: str | None
) -> tuple[int, list[tuple[uuid.UUID, str]]]:
    cancelled = control.cancel_all(session, run_ids, requested_by=requested_by)
    others = [run_id for run_id in run_ids if run_id not in cancelled]
    return len(cancelled), control.why_not_open(session, others, doing="cancelled") if others else []


def _wanted(run_ids: Sequence[uuid.UUID]) -> list[uuid.UUID]:
    wanted = list(dict.fromkeys(run_ids))
    if len(wanted) > MAX_BULK:
        raise InputError(f"One request names at most {MAX_BULK} runs, this one {len(wanted)}; nothing was done.")
    return wanted


def _each(run_ids: Sequence[uuid.UUID], work: Callable[[uuid.UUID], object]) -> BulkReport:
    wanted = _wanted(run_ids)
    done = 0
    refused: list[tuple[uuid.UUID, str]] = []
    away: str | None = None
    for run_id in wanted:
        if away is not None:
            refused.append((run_id, away))
            continue
        try:
            work(run_id)
        except DependencyError as error:
            away = error.message
            refused.append((run_id, away))
        except HelmsightError as error:
            refused.append((run_id, error.message))
        else:
            done += 1
    return BulkReport(done, refused)
