"""Runs of workflows: lists, one run with its nodes, the queue, the workers."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from analytics.core.clock import Interval, utc_now
from analytics.core.errors import InputError
from analytics.store.paging import check_paging

STATUSES = ("queued", "running", "waiting", "completed", "failed", "cancelled")
ALIVE_WITHIN = timedelta(seconds=20)
"""A worker not seen for this long counts as gone: four missed heartbeats."""


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run."""

    id: uuid.UUID
    created_at: datetime
    workflow_id: uuid.UUID
    workflow_name: str
    version: int
    status: str
    priority: int
    requested_by: str | None
    trigger: str
    queued_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    duration_s: float | None
    """From start to end; to now while it runs; None before it starts."""
    attempt: int
    """How often a worker claimed it; above 1 it was recovered."""
    error_message: str | None
    origin: str


@dataclass(frozen=True, slots=True)
class NodeRow:
    """One node of a run that has begun."""

    node_id: str
    map_index: int
    kind: str
    status: str
    attempt: int
    executor: str | None
    started_at: datetime | None
    finished_at: datetime | None
    duration_s: float | None
    output: Any
    error: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class RunDetail:
    """One run with what it does and did."""

    row: RunRow
    spec: Mapping[str, Any]
    params: Mapping[str, Any]
    output: Any
    error: Mapping[str, Any] | None
    correlation_id: str | None
    cancel_requested: bool
    nodes: Sequence[NodeRow]
    """Nodes that have begun, in order of their start; those to come are only in ``spec``."""
    queue_position: int | None
    """Place in the queue, from 1; None when it is not queued."""


@dataclass(frozen=True, slots=True)
class QueueState:
    """Runs that have not ended, by state."""

    queued: int
    running: int
    waiting: int
    oldest_queued_s: float | None
    """How long the first of the queue has waited; None when nothing waits."""


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


_RUN_COLUMNS = """
    r.id, r.created_at, r.workflow_id, coalesce(w.name, '(removed)') AS workflow_name, r.version, r.status,
    r.priority, r.requested_by, r.trigger, r.queued_at, r.started_at, r.finished_at,
    extract(epoch FROM coalesce(r.finished_at, now()) - r.started_at)::float8 AS duration_s,
    r.attempt, r.error ->> 'message' AS error_message, r.origin
"""


def list_runs(
    session: Session,
    *,
    statuses: Sequence[str] = (),
    workflow_id: uuid.UUID | None = None,
    search: str | None = None,
    interval: Interval | None = None,
    before: tuple[datetime, uuid.UUID] | None = None,
    limit: int = 20,
) -> list[RunRow]:
    """Return runs, newest first.

    Args:
        session: The caller's transaction.
        statuses: Only runs in one of these.
        workflow_id: Only runs of this workflow.
        search: Only runs whose workflow's name or requester contains it, or whose id begins with it.
        interval: Only runs created in ``[since, until)``.
        before: ``created_at`` and ``id`` of the last run of the page before.
        limit: How many at most, 1 to 100.
    """
    check_paging(limit=limit)
    _check_statuses(statuses)
    conditions = ["true"]
    values: dict[str, Any] = {"limit": limit}
    if statuses:
        conditions.append("r.status = ANY(:statuses)")
        values["statuses"] = list(statuses)
    _add(conditions, values, "r.workflow_id = :workflow_id", workflow_id=workflow_id)
    if search:
        conditions.append(
            "(w.name ILIKE :pattern OR r.requested_by ILIKE :pattern OR starts_with(r.id::text, lower(:search)))"
        )
        escaped = search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        values |= {"pattern": f"%{escaped}%", "search": search}
    if interval is not None:
        conditions.append("r.created_at >= :since AND r.created_at < :until")
        values |= {"since": interval.since, "until": interval.until}
    if before is not None:
        conditions.append("(r.created_at, r.id) < (:before_at, :before_id)")
        values |= {"before_at": before[0], "before_id": before[1]}
    rows = session.execute(
        text(
            f"SELECT {_RUN_COLUMNS} FROM run r LEFT JOIN workflow w ON w.id = r.workflow_id"  # noqa: S608 - constants
            f" WHERE {' AND '.join(conditions)} ORDER BY r.created_at DESC, r.id DESC LIMIT :limit"
        ),
        values,
    )
    return [RunRow(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name


def count_runs_by_status(session: Session, *, interval: Interval) -> dict[str, int]:
    """Return how many runs created in *interval* have each status; every status is there, with 0 if need be."""
    rows = session.execute(
        text("SELECT status, count(*) FROM run WHERE created_at >= :since AND created_at < :until GROUP BY status"),
        {"since": interval.since, "until": interval.until},
    )
    found = {row[0]: int(row[1]) for row in rows}
    return {status: found.get(status, 0) for status in STATUSES}


def run_detail(session: Session, run_id: uuid.UUID) -> RunDetail | None:
    """Return the run *run_id* with its nodes, or None when there is no such run."""
    row = session.execute(
        text(
            f"SELECT {_RUN_COLUMNS}, r.input, r.output, r.error, r.correlation_id, v.spec, a.cancel_requested"  # noqa: S608
            " FROM run r LEFT JOIN workflow w ON w.id = r.workflow_id"
            " LEFT JOIN workflow_version v ON v.workflow_id = r.workflow_id AND v.version = r.version"
            " LEFT JOIN run_active a ON a.run_id = r.id WHERE r.id = :id"
        ),
        {"id": run_id},
    ).one_or_none()
    if row is None:
        return None
    nodes = session.execute(
        text(
            "SELECT node_id, map_index, kind, status, attempt, executor, started_at, finished_at,"
            " extract(epoch FROM coalesce(finished_at, now()) - started_at)::float8 AS duration_s, output, error"
            " FROM node_run WHERE run_id = :id AND run_created_at = :created_at"
            " ORDER BY started_at NULLS LAST, finished_at NULLS LAST, node_id, map_index"
        ),
        {"id": run_id, "created_at": row.created_at},
    )
    return RunDetail(
        row=_run_row(row),
        spec=row.spec or {},
        params=row.input,
        output=row.output,
        error=row.error,
        correlation_id=row.correlation_id,
        cancel_requested=bool(row.cancel_requested),
        nodes=[NodeRow(**node._mapping) for node in nodes],  # noqa: SLF001 - SQLAlchemy's public name
        queue_position=queue_position(session, run_id) if row.status == "queued" else None,
    )


def queue_position(session: Session, run_id: uuid.UUID) -> int | None:
    """Return the place of *run_id* in the queue, from 1, or None when it is not queued."""
    position: int | None = session.scalar(
        text(
            "SELECT 1 + (SELECT count(*) FROM run_active o WHERE o.status = 'queued'"
            " AND (-o.priority, o.queued_at, o.run_id) < (-a.priority, a.queued_at, a.run_id))"
            " FROM run_active a WHERE a.run_id = :id AND a.status = 'queued'"
        ),
        {"id": run_id},
    )
    return position


def queue_state(session: Session) -> QueueState:
    """Return how many runs wait and run at this moment."""
    row = session.execute(
        text(
            "SELECT count(*) FILTER (WHERE status = 'queued') AS queued,"
            " count(*) FILTER (WHERE status = 'running') AS running,"
            " count(*) FILTER (WHERE status = 'waiting') AS waiting,"
            " extract(epoch FROM now() - min(queued_at) FILTER (WHERE status = 'queued'))::float8 AS oldest"
            " FROM run_active"
        )
    ).one()
    return QueueState(row.queued, row.running, row.waiting, row.oldest)


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


def _run_row(row: Row[Any]) -> RunRow:
    return RunRow(**{name: getattr(row, name) for name in RunRow.__slots__})


def _check_statuses(statuses: Sequence[str]) -> None:
    unknown = sorted(set(statuses) - set(STATUSES))
    if unknown:
        raise InputError(f"There is no run status {unknown[0]!r}; there are {', '.join(STATUSES)}. Nothing was read.")


def _add(conditions: list[str], values: dict[str, Any], condition: str, **named: Any) -> None:
    if all(value is not None for value in named.values()):
        conditions.append(condition)
        values.update(named)
