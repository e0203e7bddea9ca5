"""Work items: assessments, recommendations and reports, counted and listed in the database."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from analytics.core.clock import Interval
from analytics.store.paging import DEFAULT_LIMIT, check_paging

KINDS = ("assessment", "recommendation", "report")
STATUSES = ("open", "active", "completed", "failed")
LATEST = 10


@dataclass(frozen=True, slots=True)
class WorkItemRow:
    """One work item, with what a list shows of it."""

    id: uuid.UUID
    kind: str
    title: str
    project: str | None
    """Name of its project; None without one."""
    owner: str | None
    status: str
    completion_ratio: float
    """0 to 1."""
    created_at: datetime
    finished_at: datetime | None
    """None while it is worked on."""
    origin: str


@dataclass(frozen=True, slots=True)
class WorkKind:
    """All work items of one kind that were created in a span of time."""

    kind: str
    total: int
    by_status: dict[str, int]
    """Every status, those without items with 0."""
    completion_ratio: float | None
    """Mean of how far they are, 0 to 1; None without items."""
    took_s: float | None
    """Mean time from creation to completion in seconds; None when none was completed."""
    demo: int
    """How many belong to the demo."""
    newest_at: datetime | None
    latest: list[WorkItemRow]
    """The newest, at most ten."""


_COUNTS = text(
    """
    SELECT kind, status, count(*) AS n, sum(completion_ratio) AS completion,
           sum(extract(epoch FROM finished_at - created_at)) FILTER (WHERE status = 'completed') AS took_s,
           count(*) FILTER (WHERE origin = 'demo') AS demo, max(created_at) AS newest_at
    FROM work_item WHERE kind = ANY(:kinds) AND created_at >= :since AND created_at < :until
    GROUP BY kind, status
    """
)


_NEWEST = """
    SELECT item.id, kind.name, item.title, project.name, item.owner, item.status, item.completion_ratio,
           item.created_at, item.finished_at, item.origin
    FROM unnest(CAST(:kinds AS text[])) AS kind (name)
    CROSS JOIN LATERAL (
        SELECT * FROM work_item WHERE kind = kind.name {where} ORDER BY created_at DESC, id DESC LIMIT :limit
    ) AS item
    LEFT JOIN project ON project.id = item.project_id
    ORDER BY item.created_at DESC, item.id DESC {limit}
"""
"""Goes down the index of each kind, so that it reads no more than the newest."""


def work_by_kind(session: Session, interval: Interval, *, latest: int = LATEST) -> list[WorkKind]:
    """Return each kind of work item with those created in *interval*; a kind without items is there too.

    Args:
        session: The caller's transaction.
        interval: When they were created, half-open.
        latest: How many of the newest items of each kind to add; 0 for none.
    """
    parameters = {"kinds": list(KINDS), "since": interval.since, "until": interval.until}
    rows = session.execute(_COUNTS, parameters).all()
    newest = text(_NEWEST.format(where="AND created_at >= :since AND created_at < :until", limit=""))
    items = [WorkItemRow(*row) for row in session.execute(newest, {**parameters, "limit": latest})] if latest else []
    return [
        _kind(kind, [row for row in rows if row.kind == kind], [item for item in items if item.kind == kind])
        for kind in KINDS
    ]


def list_work_items(
    session: Session,
    *,
    kind: str | None = None,
    status: str | None = None,
    interval: Interval | None = None,
    before: tuple[datetime, uuid.UUID] | None = None,
    limit: int = DEFAULT_LIMIT,
) -> list[WorkItemRow]:
    """Return work items, newest first.

    Args:
        session: The caller's transaction.
        kind: Only assessments, recommendations or reports.
        status: Only those in this state.
        interval: Only those created in ``[since, until)``.
        before: Creation and id of the last one of the page before.
        limit: How many at most, 1 to 100.
    """
    check_paging(limit=limit)
    parameters: dict[str, object] = {"kinds": list(KINDS) if kind is None else [kind], "limit": limit}
    where = ""
    if status is not None:
        where += " AND status = :status"
        parameters["status"] = status
    if interval is not None:
        where += " AND created_at >= :since AND created_at < :until"
        parameters |= {"since": interval.since, "until": interval.until}
    if before is not None:
        where += " AND (created_at, id) < (:before_at, :before_id)"
        parameters |= {"before_at": before[0], "before_id": before[1]}
    statement = text(_NEWEST.format(where=where, limit="LIMIT :limit"))
    return [WorkItemRow(*row) for row in session.execute(statement, parameters)]


def _kind(kind: str, rows: Sequence[Row[Any]], latest: list[WorkItemRow]) -> WorkKind:
    found = {row.status: row for row in rows}
    total = sum(row.n for row in rows)
    done = found.get("completed")
    return WorkKind(
        kind=kind,
        total=total,
        by_status={status: found[status].n if status in found else 0 for status in STATUSES},
        completion_ratio=sum(float(row.completion) for row in rows) / total if total else None,
        took_s=None if done is None or done.took_s is None else float(done.took_s) / done.n,
        demo=sum(row.demo for row in rows),
        newest_at=max((row.newest_at for row in rows), default=None),
        latest=latest,
    )
