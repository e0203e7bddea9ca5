"""Schedules and triggers as they are stored, and what became of their times. Next times are worked out elsewhere."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from analytics.store.paging import DEFAULT_LIMIT, Page, check_paging


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """One schedule."""

    id: uuid.UUID
    name: str
    workflow_id: uuid.UUID
    workflow_name: str
    version: int | None
    """None: the current one at each start."""
    params: Mapping[str, Any]
    cron: str | None
    every_s: float | None
    zone: str
    catchup: str
    jitter_s: float
    priority: int
    tags: Sequence[str]
    overlap: str
    starts_at: datetime | None
    ends_at: datetime | None
    paused_at: datetime | None
    next_at: datetime | None
    """None when it has ended; of a paused one, what was next when it was paused."""
    last_at: datetime | None
    last_run_id: uuid.UUID | None
    last_status: str | None
    """What became of the last run; None when there is none, or it is no longer kept."""
    error: str | None
    """Why the last time started no run."""
    created_by: str | None
    created_at: datetime
    updated_at: datetime
    origin: str


@dataclass(frozen=True, slots=True)
class ScheduleTime:
    """One time of a schedule that was taken."""

    scheduled_for: datetime
    taken_at: datetime
    run_id: uuid.UUID | None
    status: str | None
    """Of the run; None when there is none, or it is no longer kept."""
    skipped: str | None
    """Why there is no run."""


@dataclass(frozen=True, slots=True)
class TriggerRow:
    """One trigger; a webhook's secret is stored nowhere."""

    id: uuid.UUID
    name: str
    kind: str
    workflow_id: uuid.UUID
    workflow_name: str
    event_kind: str | None
    filter: Mapping[str, Any]
    params: Mapping[str, Any]
    priority: int
    tags: Sequence[str]
    secret_generation: int
    paused_at: datetime | None
    last_at: datetime | None
    last_run_id: uuid.UUID | None
    error: str | None
    """Why the last event that fitted started no run."""
    created_by: str | None
    created_at: datetime
    origin: str


_SCHEDULE = (
    "s.id, s.name, s.workflow_id, w.name AS workflow_name, s.version, s.params, s.cron, s.every_s, s.zone, s.catchup,"
    " s.jitter_s, s.priority, s.tags, s.overlap, s.starts_at, s.ends_at, s.paused_at, s.next_at, s.last_at,"
    " s.last_run_id, (SELECT r.status FROM run r WHERE r.id = s.last_run_id LIMIT 1) AS last_status, s.error,"
    " s.created_by, s.created_at, s.updated_at, s.origin"
    " FROM schedule s JOIN workflow w ON w.id = s.workflow_id"
)
_TRIGGER = (
    "t.id, t.name, t.kind, t.workflow_id, w.name AS workflow_name, t.event_kind, t.filter, t.params, t.priority,"
    " t.tags, t.secret_generation, t.paused_at, t.last_at, t.last_run_id, t.error, t.created_by, t.created_at, t.origin"
    " FROM run_trigger t JOIN workflow w ON w.id = t.workflow_id"
)


def list_schedules(
    session: Session,
    *,
    workflow_id: uuid.UUID | None = None,
    search: str | None = None,
    page: int = 1,
    limit: int = DEFAULT_LIMIT,
) -> Page[ScheduleRow]:
    """Return schedules: those that come next first, then paused and ended ones, by name.

    Args:
        session: The caller's transaction.
        workflow_id: Only schedules of this workflow.
        search: Only those whose name or workflow contains it.
        page: From 1.
        limit: How many at most, 1 to 100.
    """
    condition, values = _condition("s", workflow_id, search)
    values |= {"limit": limit, "offset": check_paging(page, limit)}
    count = f"SELECT count(*) FROM schedule s JOIN workflow w ON w.id = s.workflow_id WHERE {condition}"  # noqa: S608
    rows = session.execute(
        text(
            f"SELECT {_SCHEDULE} WHERE {condition} ORDER BY s.paused_at IS NOT NULL, s.next_at NULLS LAST, s.name"
            " LIMIT :limit OFFSET :offset"
        ),
        values,
    )
    found = [ScheduleRow(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name
    return Page(found, page, limit, session.scalar(text(count), values) or 0)


def get_schedule(session: Session, schedule_id: uuid.UUID) -> ScheduleRow | None:
    """Return one schedule, or None."""
    row = session.execute(text(f"SELECT {_SCHEDULE} WHERE s.id = :id"), {"id": schedule_id}).one_or_none()
    return None if row is None else ScheduleRow(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name


def schedule_times(
    session: Session, schedule_id: uuid.UUID, *, before: datetime | None = None, limit: int = DEFAULT_LIMIT
) -> list[ScheduleTime]:
    """Return times of a schedule that were taken, the latest first; *before*: only those before it."""
    check_paging(limit=limit)
    rows = session.execute(
        text(
            "SELECT s.scheduled_for, s.created_at AS taken_at, s.run_id,"
            " (SELECT r.status FROM run r WHERE r.id = s.run_id LIMIT 1) AS status, s.skipped FROM schedule_run s"
            " WHERE s.schedule_id = :id AND (CAST(:before AS timestamptz) IS NULL OR s.scheduled_for < :before)"
            " ORDER BY s.scheduled_for DESC LIMIT :limit"
        ),
        {"id": schedule_id, "before": before, "limit": limit},
    )
    return [ScheduleTime(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name


def list_triggers(
    session: Session,
    *,
    workflow_id: uuid.UUID | None = None,
    search: str | None = None,
    page: int = 1,
    limit: int = DEFAULT_LIMIT,
) -> Page[TriggerRow]:
    """Return triggers by name; the arguments are those of :func:`list_schedules`."""
    condition, values = _condition("t", workflow_id, search)
    values |= {"limit": limit, "offset": check_paging(page, limit)}
    count = f"SELECT count(*) FROM run_trigger t JOIN workflow w ON w.id = t.workflow_id WHERE {condition}"  # noqa: S608
    rows = session.execute(
        text(f"SELECT {_TRIGGER} WHERE {condition} ORDER BY t.name LIMIT :limit OFFSET :offset"),
        values,
    )
    found = [TriggerRow(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name
    return Page(found, page, limit, session.scalar(text(count), values) or 0)


def get_trigger(session: Session, trigger_id: uuid.UUID) -> TriggerRow | None:
    """Return one trigger, or None."""
    row = session.execute(text(f"SELECT {_TRIGGER} WHERE t.id = :id"), {"id": trigger_id}).one_or_none()
    return None if row is None else TriggerRow(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name


def _condition(alias: str, workflow_id: uuid.UUID | None, search: str | None) -> tuple[str, dict[str, Any]]:
    conditions, values = ["true"], dict[str, Any]()
    if workflow_id is not None:
        conditions.append(f"{alias}.workflow_id = :workflow_id")
        values["workflow_id"] = workflow_id
    if search:
        escaped = search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        conditions.append(f"({alias}.name ILIKE :pattern OR w.name ILIKE :pattern)")
        values["pattern"] = f"%{escaped}%"
    return " AND ".join(conditions), values
