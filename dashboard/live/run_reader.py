"""Reads one run for its feed: whole at first, then only the nodes that changed."""

import uuid
from functools import partial
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Session

from analytics.store.engine import async_session_scope
from analytics.store.queries import runs
from analytics.store.queries.runs import RunDetail
from dashboard.live.feed import Reading
from dashboard.live.run_states import RunStates

ENDED = frozenset({"completed", "failed", "cancelled"})
_EXISTS = text("SELECT EXISTS (SELECT FROM run WHERE id = :id)")


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

    async def read(self) -> Reading:
        """Return how the run and its nodes stand; a run that is gone reads as removed, and over."""
        async with async_session_scope(self._engine) as session:
            detail = await session.run_sync(partial(_detail, run_id=self._run_id))
        if detail is None:
            return Reading({}, {"run": {"id": str(self._run_id), "status": "removed"}}, is_over=True)
        if self._states is None:
            self._states = RunStates(detail.spec)
        self._states.apply(detail.nodes)
        return Reading(dict(self._states.entries), {"run": _run(detail)}, is_over=detail.row.status in ENDED)


def _detail(session: Session, run_id: uuid.UUID) -> RunDetail | None:
    return runs.run_detail(session, run_id)


def _run(detail: RunDetail) -> dict[str, Any]:
    row = detail.row
    return {
        "id": str(row.id),
        "status": row.status,
        "attempt": row.attempt,
        "queue_position": detail.queue_position,
        "started_at": row.started_at,
        "finished_at": row.finished_at,
        "error": row.error_message,
    }
