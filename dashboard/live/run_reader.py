"""Reads one run for its feed: whole at first, then only the nodes that changed."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Session

from analytics.store.engine import async_session_scope
from analytics.store.queries import runs
from analytics.store.queries.queue import queue_position
from dashboard.live.feed import Reading
from dashboard.live.run_states import RunStates

ENDED = frozenset({"completed", "failed", "cancelled"})
_EXISTS = text("SELECT EXISTS (SELECT FROM run WHERE id = :id)")
_HEAD = text(
    "SELECT status, attempt, started_at, finished_at, error ->> 'message' AS error FROM run"
    " WHERE id = :id AND created_at = :created_at"
)


async def run_exists(engine: AsyncEngine, run_id: uuid.UUID) -> bool:
    """Tell whether there is such a run."""
    async with async_session_scope(engine) as session:
        return bool(await session.scalar(_EXISTS, {"id": run_id}))


class RunReader:
    """What is known of a run; each reading adds what changed since the one before."""

    def __init__(self, engine: AsyncEngine, run_id: uuid.UUID) -> None:
        self._engine = engine
        self._run_id = run_id
        self._states: RunStates | None = None
        self._created_at: datetime | None = None
        self._since: datetime | None = None

    async def read(self) -> Reading:
        """Return how the run and its nodes stand; a run that is gone reads as removed, and over."""
        async with async_session_scope(self._engine) as session:
            head = await session.run_sync(self._advance)
        if head is None or self._states is None:
            return Reading({}, {"run": {"id": str(self._run_id), "status": "removed"}}, is_over=True)
        return Reading(dict(self._states.entries), {"run": head}, is_over=head["status"] in ENDED)

    def _advance(self, session: Session) -> dict[str, Any] | None:
        """Take over what changed; the run's state is read before its nodes, so that an end is never told too early."""
        if self._states is None:
            detail = runs.run_detail(session, self._run_id, with_outputs=False)
            if detail is None:
                return None
            self._created_at, self._since = detail.row.created_at, detail.read_at
            self._states = RunStates(detail.spec)
            self._states.apply(detail.nodes)
        head = session.execute(_HEAD, {"id": self._run_id, "created_at": self._created_at}).one_or_none()
        if head is None or self._since is None:
            return None
        nodes, self._since = runs.changed_nodes(session, self._run_id, self._since)
        self._states.apply(nodes)
        position = queue_position(session, self._run_id) if head.status == "queued" else None
        return self._told(head, position)

    def _told(self, head: Row[Any], position: int | None) -> dict[str, Any]:
        return {
            "id": str(self._run_id),
            "status": head.status,
            "attempt": head.attempt,
            "queue_position": position,
            "started_at": head.started_at,
            "finished_at": head.finished_at,
            "error": head.error,
        }
