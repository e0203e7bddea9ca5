"""Runs that ended, counted once: from the outbox ``run_ended`` into the sums of ``workflow_day``.

Taking a run out of the outbox and adding it to its day is one statement, so that it happens once however many tickers
there are and whenever one of them is killed.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A run that ended, counted now and never again."""

    id: uuid.UUID
    created_at: datetime
    workflow_id: uuid.UUID
    workflow_name: str
    version: int
    status: str
    """``completed``, ``failed`` or ``cancelled``."""
    trigger: str
    requested_by: str | None
    tags: Sequence[str]
    correlation_id: str | None
    parent_run_id: uuid.UUID | None
    schedule_id: uuid.UUID | None
    started_at: datetime | None
    finished_at: datetime | None
    ended_at: datetime
    """When it was written down that it ended."""
    error: Mapping[str, Any] | None
    """``code``, ``message``, ``node_id``."""
    origin: str


_COUNT = text("""
    WITH chosen AS (
        SELECT run_id FROM run_ended ORDER BY ended_at, run_id LIMIT :limit FOR UPDATE SKIP LOCKED
    ), taken AS (
        DELETE FROM run_ended e USING chosen c WHERE e.run_id = c.run_id
        RETURNING e.run_id, e.run_created_at, e.ended_at
    ), ended AS (
        SELECT r.*, t.ended_at, coalesce(w.name, '(removed)') AS workflow_name
        FROM taken t CROSS JOIN LATERAL (  -- one by one, whatever the server thinks of how many there are
            SELECT * FROM run WHERE run.id = t.run_id AND run.created_at = t.run_created_at LIMIT 1) r
        LEFT JOIN workflow w ON w.id = r.workflow_id
        WHERE r.status IN ('completed', 'failed', 'cancelled')
    ), counted AS (
        INSERT INTO workflow_day AS d (workflow_id, day, origin, completed, failed, cancelled, started, duration_s,
            wait_s, last_run_at)
        SELECT workflow_id, (created_at AT TIME ZONE 'UTC')::date AS day, origin,
            count(*) FILTER (WHERE status = 'completed'), count(*) FILTER (WHERE status = 'failed'),
            count(*) FILTER (WHERE status = 'cancelled'), count(started_at),
            coalesce(sum(extract(epoch FROM finished_at - started_at)) FILTER (WHERE status = 'completed'), 0),
            coalesce(sum(greatest(0, extract(epoch FROM started_at - queued_at))), 0), max(created_at)
        FROM ended GROUP BY workflow_id, day, origin ORDER BY workflow_id, day, origin
        ON CONFLICT (workflow_id, day, origin) DO UPDATE SET
            completed = d.completed + excluded.completed, failed = d.failed + excluded.failed,
            cancelled = d.cancelled + excluded.cancelled, started = d.started + excluded.started,
            duration_s = d.duration_s + excluded.duration_s, wait_s = d.wait_s + excluded.wait_s,
            last_run_at = greatest(d.last_run_at, excluded.last_run_at)
    )
    SELECT id, created_at, workflow_id, workflow_name, version, status, trigger, requested_by, tags, correlation_id,
        parent_run_id, schedule_id, started_at, finished_at, ended_at, error, origin
    FROM ended ORDER BY ended_at, id
""")


def count_ended(session: Session, limit: int = AT_ONCE) -> list[EndedRun]:
    """Add runs that ended to the sums of their days, and return them in the order in which they ended.

    What comes back is handed out once: whoever acts on it does so in the same transaction, so that after a rollback it
    comes again. Two callers at once get different runs.

    Args:
        session: The caller's transaction; call it again in another one as long as *limit* runs come back.
        limit: How many at most, 1 or more.
    """
    rows = session.execute(_COUNT, {"limit": limit})
    return [EndedRun(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name
