"""The one door into the queues: rows first, committed; then a wake token.

The token says only "there is work": a worker claims the best queued run from PostgreSQL. When Redis is away the run
stays queued and the reconciler sends a token later. Every call leaves an entry in the audit log.
"""

import dataclasses
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import redis
from sqlalchemy import Engine

from analytics.core.errors import DependencyError
from analytics.core.ids import new_id
from analytics.core.settings import Settings
from analytics.store.engine import session_scope
from analytics.store.queries import audit, documents
from worker.catalog import REFRESH_MCP
from worker.doors.control import CONTROL_CHANNEL, cancel
from worker.doors.queueing import MAX_PARAMS_BYTES, NewRun, QueuedRun, find_target, queue_in
from worker.doors.waking import Waker, enqueue, send_wake
from worker.ocr.upload import check_upload
from worker.workflow.definition import ensure_builtin_workflows

__all__ = ["CONTROL_CHANNEL", "MAX_PARAMS_BYTES", "Door", "QueuedRun", "enqueue", "send_wake"]


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
        """Cancel a run: at once when it is queued, within a second when a worker carries it.

        Raises:
            NotFoundError: If there is no such run.
            ConflictError: If it has ended; nothing was changed.
        """
        with session_scope(self._engine) as session:
            cancel(session, run_id, requested_by=requested_by)

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
