"""What waits: the queue with exact positions, dead letters, what people have to decide; and the workers."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from analytics.core.clock import Interval, utc_now
from analytics.core.errors import InputError
from analytics.store.paging import DEFAULT_LIMIT, Page, check_paging

ALIVE_WITHIN = timedelta(seconds=20)
"""A worker not seen for this long counts as gone: four missed heartbeats."""
WAIT_KINDS = ("time", "signal", "approval", "run", "attention")
FOR_PEOPLE = ("approval", "attention", "signal")
"""Kinds of waits that somebody outside the engine ends."""


@dataclass(frozen=True, slots=True)
class QueueState:
    """Runs that have not ended, by state."""

    queued: int
    running: int
    waiting: int
    oldest_queued_s: float | None
    """How long the one that waits longest has waited; None when nothing waits."""
    paused: int
    needs_attention: int


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A worker process."""

    name: str
    kind: str
    host: str
    pid: int
    slots: int
    slots_used: int
    started_at: datetime
    seen_at: datetime
    stopped_at: datetime | None
    is_alive: bool


@dataclass(frozen=True, slots=True)
class QueuedRow:
    """A run in the queue."""

    run_id: uuid.UUID
    position: int
    """From 1; the next to start is first."""
    workflow_id: uuid.UUID
    workflow_name: str
    priority: int
    queued_at: datetime
    waited_s: float
    rank: datetime
    """``queued_at`` less a step of time for each step of priority; the earliest starts first."""
    concurrency_key: str | None
    is_held_back: bool
    """Its concurrency key has no place free, so that others overtake it."""
    requested_by: str | None
    trigger: str
    tags: Sequence[str]
    attempt: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A run that was given up because its worker died too often."""

    run_id: uuid.UUID
    created_at: datetime
    workflow_id: uuid.UUID
    workflow_name: str
    finished_at: datetime | None
    attempt: int
    message: str | None
    requested_by: str | None
    suspects: Sequence[str]
    """Nodes that were in flight when the worker died, at most 10."""


@dataclass(frozen=True, slots=True)
class WaitRow:
    """A node that waits."""

    run_id: uuid.UUID
    run_created_at: datetime
    workflow_name: str
    node_id: str
    map_index: int
    kind: str
    name: str | None
    """The signal's name."""
    title: str | None
    message: str | None
    form: Mapping[str, Any] | None
    """JSON Schema of what whoever decides fills in."""
    role: str | None
    """The least role that may decide; None: operator."""
    deadline: datetime | None
    """When it ends by itself."""
    created_at: datetime
    waited_s: float


POSITION = (
    "SELECT 1 + (SELECT count(*) FROM run_active o WHERE o.status = 'queued'"
    " AND (o.rank, o.run_id) < (a.rank, a.run_id))"
    " FROM run_active a WHERE a.run_id = :id AND a.status = 'queued'"
)
"""The place in the queue of the run ``:id``, to stand in other statements."""


def queue_position(session: Session, run_id: uuid.UUID) -> int | None:
    """Return the place of *run_id* in the queue, from 1, or None when it is not queued."""
    position: int | None = session.scalar(text(POSITION), {"id": run_id})
    return position


def queue_state(session: Session) -> QueueState:
    """Return how many runs wait and run at this moment."""
    row = session.execute(
        text(
            "SELECT count(*) FILTER (WHERE status = 'queued') AS queued,"
            " count(*) FILTER (WHERE status = 'running') AS running,"
            " count(*) FILTER (WHERE status = 'waiting') AS waiting,"
            " count(*) FILTER (WHERE status = 'paused') AS paused,"
            " count(*) FILTER (WHERE status = 'needs_attention') AS needs_attention,"
            " extract(epoch FROM now() - min(queued_at) FILTER (WHERE status = 'queued'))::float8 AS oldest"
            " FROM run_active"
        )
    ).one()
    return QueueState(
        queued=row.queued,
        running=row.running,
        waiting=row.waiting,
        oldest_queued_s=row.oldest,
        paused=row.paused,
        needs_attention=row.needs_attention,
    )


def queued_runs(session: Session, *, page: int = 1, limit: int = DEFAULT_LIMIT) -> Page[QueuedRow]:
    """Return one page of the queue, in the order in which workers take from it."""
    offset = check_paging(page, limit)
    total = session.scalar(text("SELECT count(*) FROM run_active WHERE status = 'queued'")) or 0
    rows = session.execute(
        text(
            "SELECT q.run_id, :offset + row_number() OVER (ORDER BY q.rank, q.run_id) AS position, q.workflow_id,"
            " coalesce(w.name, '(removed)') AS workflow_name, q.priority, q.queued_at,"
            " extract(epoch FROM now() - q.queued_at)::float8 AS waited_s, q.rank, q.concurrency_key,"
            " q.concurrency_limit IS NOT NULL AND (SELECT count(*) FROM run_active o WHERE o.status = 'running'"
            "  AND o.concurrency_key = q.concurrency_key) >= q.concurrency_limit AS is_held_back,"
            " r.requested_by, coalesce(r.trigger, 'page') AS trigger, coalesce(r.tags, '{}') AS tags,"
            " coalesce(r.attempt, 0) AS attempt"
            " FROM (SELECT * FROM run_active WHERE status = 'queued' ORDER BY rank, run_id"
            "  OFFSET :offset LIMIT :limit) q"
            " LEFT JOIN run r ON r.id = q.run_id AND r.created_at = q.run_created_at"
            " LEFT JOIN workflow w ON w.id = q.workflow_id ORDER BY q.rank, q.run_id"
        ),
        {"offset": offset, "limit": limit},
    )
    return Page([QueuedRow(**row._mapping) for row in rows], page, limit, total)  # noqa: SLF001 - SQLAlchemy's public name


def dead_letters(
    session: Session,
    *,
    interval: Interval | None = None,
    before: tuple[datetime, uuid.UUID] | None = None,
    limit: int = DEFAULT_LIMIT,
) -> list[DeadLetter]:
    """Return runs that were given up, newest first.

    Args:
        session: The caller's transaction.
        interval: Only runs created in ``[since, until)``.
        before: ``created_at`` and ``run_id`` of the last one of the page before.
        limit: How many at most, 1 to 100.
    """
    check_paging(limit=limit)
    conditions, values = ["r.error ->> 'code' = 'dead_letter'"], {"limit": limit}
    if interval is not None:
        conditions.append("r.created_at >= :since AND r.created_at < :until")
        values |= {"since": interval.since, "until": interval.until}  # type: ignore[dict-item]
    if before is not None:
        conditions.append("(r.created_at, r.id) < (:before_at, :before_id)")
        values |= {"before_at": before[0], "before_id": before[1]}  # type: ignore[dict-item]
    rows = session.execute(
        text(
            "SELECT r.id AS run_id, r.created_at, r.workflow_id, coalesce(w.name, '(removed)') AS workflow_name,"  # noqa: S608
            " r.finished_at, r.attempt, r.error ->> 'message' AS message, r.requested_by,"
            " ARRAY(SELECT n.node_id FROM node_run n WHERE n.run_id = r.id AND n.run_created_at = r.created_at"
            "  AND n.status = 'failed' AND n.error ->> 'code' = 'dead_letter' ORDER BY n.node_id LIMIT 10) AS suspects"
            f" FROM (SELECT * FROM run r WHERE {' AND '.join(conditions)}"
            "  ORDER BY r.created_at DESC, r.id DESC LIMIT :limit) r"
            " LEFT JOIN workflow w ON w.id = r.workflow_id ORDER BY r.created_at DESC, r.id DESC"
        ),
        values,
    )
    return [DeadLetter(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name


def open_waits(
    session: Session, *, kinds: Sequence[str] = FOR_PEOPLE, run_id: uuid.UUID | None = None, limit: int = 100
) -> list[WaitRow]:
    """Return what nodes of runs that have not ended wait for, the oldest first.

    Args:
        session: The caller's transaction.
        kinds: Only waits of these kinds; by default what a person has to end.
        run_id: Only waits of this run.
        limit: How many at most, 1 to 100.
    """
    check_paging(limit=limit)
    unknown = sorted(set(kinds) - set(WAIT_KINDS))
    if unknown:
        raise InputError(f"Nodes do not wait for {unknown[0]!r}, only for {', '.join(WAIT_KINDS)}; nothing was read.")
    condition = " AND x.run_id = :run_id" if run_id is not None else ""
    rows = session.execute(
        text(
            "SELECT x.run_id, x.run_created_at, coalesce(w.name, '(removed)') AS workflow_name, x.node_id,"  # noqa: S608
            " x.map_index, x.kind, x.name, x.title, x.message, x.form, x.role, x.until AS deadline, x.created_at,"
            " extract(epoch FROM now() - x.created_at)::float8 AS waited_s"
            " FROM node_wait x JOIN run_active a ON a.run_id = x.run_id LEFT JOIN workflow w ON w.id = a.workflow_id"
            f" WHERE x.resolved_at IS NULL AND x.kind = ANY(:kinds){condition}"
            " ORDER BY x.created_at, x.run_id, x.node_id, x.map_index LIMIT :limit"
        ),
        {"kinds": list(kinds), "limit": limit, "run_id": run_id} if run_id else {"kinds": list(kinds), "limit": limit},
    )
    return [WaitRow(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name


def list_workers(session: Session, *, seen_within: timedelta = timedelta(days=1)) -> list[WorkerRow]:
    """Return worker processes seen within *seen_within*, those alive first, then by kind and name."""
    rows = session.execute(
        text(
            "SELECT name, kind, host, pid, slots, slots_used, started_at, seen_at, stopped_at,"
            " stopped_at IS NULL AND seen_at > :alive_since AS is_alive FROM worker_process"
            " WHERE seen_at > :seen_since ORDER BY is_alive DESC, kind, started_at DESC, name LIMIT 500"
        ),
        {"alive_since": utc_now() - ALIVE_WITHIN, "seen_since": utc_now() - seen_within},
    )
    return [WorkerRow(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name
