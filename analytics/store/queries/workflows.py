"""Workflows: the list, one with its definition, its versions, and what became of its runs.

Statistics are sums by day that :mod:`analytics.store.ended` keeps, plus the few runs that ended since it last counted,
so that their cost does not grow with the runs.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from analytics.core.errors import InputError
from analytics.store.paging import DEFAULT_LIMIT, Page, check_paging

NEWEST = 500
"""Percentiles are those of so many newest completed runs."""
_MOST_DAYS = 366


@dataclass(frozen=True, slots=True)
class WorkflowRow:
    """A workflow and its runs of the last 30 days, today and the 29 before; one that never ran has zeros and None."""

    id: uuid.UUID
    name: str
    description: str
    current_version: int
    owner: str | None
    builtin: bool
    tags: Sequence[str]
    runs_30d: int
    """Runs that ended, and those that have not."""
    completed_30d: int
    failed_30d: int
    cancelled_30d: int
    open_runs: int
    """Runs that have not ended, however old."""
    success_ratio: float | None
    """Completed over completed and failed, 0 to 1; None when none ended so."""
    average_s: float | None
    """Mean time of completed runs; None when there is none."""
    last_run_at: datetime | None
    """When the newest run was created, as long as statistics go back; None when there is none."""
    next_at: datetime | None
    """When a schedule starts it next; None when none does."""
    created_at: datetime
    origin: str


@dataclass(frozen=True, slots=True)
class WorkflowDetail:
    """A workflow with its current definition."""

    row: WorkflowRow
    spec: Mapping[str, Any]
    params_schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One version of a workflow, without what it does."""

    workflow_id: uuid.UUID
    version: int
    nodes: int
    spec_hash: str
    created_by: str | None
    """None: shipped with Helmsight."""
    created_at: datetime
    is_current: bool


@dataclass(frozen=True, slots=True)
class VersionDetail:
    """One version of a workflow with its definition."""

    row: VersionRow
    spec: Mapping[str, Any]
    params_schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DayStats:
    """Runs of a workflow that were created on one day (UTC) and have ended."""

    day: date
    completed: int
    failed: int
    cancelled: int
    average_s: float | None
    """Mean time of completed runs; None when there is none."""


@dataclass(frozen=True, slots=True)
class WorkflowStats:
    """What became of the runs of a workflow."""

    days: Sequence[DayStats]
    """Every day, the oldest first, today last; one without runs has zeros."""
    completed: int
    failed: int
    cancelled: int
    success_ratio: float | None
    """Completed over completed and failed, 0 to 1; None when none ended so."""
    average_s: float | None
    average_wait_s: float | None
    """Mean time from queued to start; None when no run started."""
    p50_s: float | None
    """Median time of the newest completed runs, at most 500, however old; None when there is none."""
    p95_s: float | None
    samples: int
    """How many runs the percentiles rest on."""
    last_run_at: datetime | None


_SUMS = """
    counted AS MATERIALIZED (
        SELECT d.workflow_id, d.day, d.completed, d.failed, d.cancelled, d.started, d.duration_s, d.wait_s,
            d.last_run_at
        FROM workflow_day d WHERE d.workflow_id IN ({ids})
    ), pending AS MATERIALIZED (
        SELECT r.workflow_id, (r.created_at AT TIME ZONE 'UTC')::date AS day,
            (r.status = 'completed')::int AS completed, (r.status = 'failed')::int AS failed,
            (r.status = 'cancelled')::int AS cancelled,
            (r.started_at IS NOT NULL)::int AS started,
            CASE WHEN r.status = 'completed' THEN coalesce(r.took_s, 0) ELSE 0 END AS duration_s,
            greatest(0, coalesce(extract(epoch FROM r.started_at - r.queued_at), 0)) AS wait_s,
            r.created_at AS last_run_at
        FROM (SELECT run_id, run_created_at FROM run_ended LIMIT 20000) e CROSS JOIN LATERAL (
            SELECT * FROM run WHERE run.id = e.run_id AND run.created_at = e.run_created_at LIMIT 1) r
        WHERE r.status IN ('completed', 'failed', 'cancelled') AND r.workflow_id IN ({ids})
    ), sums AS (SELECT * FROM counted UNION ALL SELECT * FROM pending)
"""
"""The sums by day, and runs that ended since they were made; read one by one, whatever is known of the outbox."""

_SELECT = f"""
    WITH chosen AS MATERIALIZED ({{workflows}}), {_SUMS.format(ids="SELECT id FROM chosen")},
    recent AS (
        SELECT workflow_id, sum(completed)::int AS completed, sum(failed)::int AS failed,
            sum(cancelled)::int AS cancelled, sum(duration_s)::float8 AS duration_s
        FROM sums WHERE day > (now() AT TIME ZONE 'UTC')::date - 30 GROUP BY workflow_id
    ), last AS (SELECT workflow_id, max(last_run_at) AS last_run_at FROM sums GROUP BY workflow_id)
    SELECT w.id, w.name, w.description, w.current_version, w.owner, w.builtin, w.tags, w.created_at, w.origin,
        coalesce(s.completed, 0) AS completed, coalesce(s.failed, 0) AS failed, coalesce(s.cancelled, 0) AS cancelled,
        coalesce(s.duration_s, 0) AS duration_s, o.open_runs, o.open_30d, c.next_at,
        greatest(l.last_run_at, o.last_run_at) AS last_run_at {{more}}
    FROM chosen w {{join}} LEFT JOIN recent s ON s.workflow_id = w.id LEFT JOIN last l ON l.workflow_id = w.id
    LEFT JOIN LATERAL (
        SELECT count(*)::int AS open_runs, max(a.run_created_at) AS last_run_at,
            (count(*) FILTER (WHERE a.run_created_at > now() - interval '30 days'))::int AS open_30d
        FROM run_active a WHERE a.workflow_id = w.id
    ) o ON true
    LEFT JOIN LATERAL (
        SELECT min(p.next_at) AS next_at FROM schedule p WHERE p.workflow_id = w.id AND p.paused_at IS NULL
    ) c ON true
    ORDER BY w.name
"""  # noqa: S608 - constants


def list_workflows(
    session: Session, *, page: int = 1, limit: int = DEFAULT_LIMIT, search: str | None = None
) -> Page[WorkflowRow]:
    """Return active workflows by name, those that never ran too.

    Only the runs of the workflows on the page are summed.
    """
    offset = check_paging(page, limit)
    condition, values = "status = 'active'", {"limit": limit, "offset": offset}
    if search:
        escaped = search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        condition += " AND (name ILIKE :pattern OR description ILIKE :pattern OR :word = ANY(tags))"
        values |= {"pattern": f"%{escaped}%", "word": search}  # type: ignore[dict-item]
    total = session.scalar(text(f"SELECT count(*) FROM workflow WHERE {condition}"), values) or 0  # noqa: S608
    chosen = f"SELECT * FROM workflow WHERE {condition} ORDER BY name LIMIT :limit OFFSET :offset"  # noqa: S608
    rows = session.execute(text(_SELECT.format(workflows=chosen, more="", join="")), values)
    return Page([_row(row) for row in rows], page, limit, total)


def get_workflow(session: Session, id_or_name: uuid.UUID | str) -> WorkflowDetail | None:
    """Return the workflow with that id or name, archived ones too, or None."""
    key = str(id_or_name)
    chosen = "SELECT * FROM workflow WHERE name = :key OR id::text = lower(:key) LIMIT 1"
    join = "JOIN workflow_version v ON v.workflow_id = w.id AND v.version = w.current_version"
    statement = _SELECT.format(workflows=chosen, more=", v.spec, v.params_schema", join=join)
    row = session.execute(text(statement), {"key": key}).one_or_none()
    return None if row is None else WorkflowDetail(_row(row), row.spec, row.params_schema)


def list_versions(
    session: Session, workflow_id: uuid.UUID, *, before: int | None = None, limit: int = DEFAULT_LIMIT
) -> list[VersionRow]:
    """Return versions of a workflow, newest first; *before* is the last version of the page before."""
    check_paging(limit=limit)
    condition = "v.workflow_id = :workflow_id" + ("" if before is None else " AND v.version < :before")
    rows = session.execute(
        text(f"{_VERSION} WHERE {condition} ORDER BY v.version DESC LIMIT :limit"),
        {"workflow_id": workflow_id, "limit": limit} | ({} if before is None else {"before": before}),
    )
    return [_version(row) for row in rows]


def get_version(session: Session, workflow_id: uuid.UUID, version: int) -> VersionDetail | None:
    """Return one version of a workflow, or None when there is none."""
    row = session.execute(
        text(f"{_VERSION} WHERE v.workflow_id = :workflow_id AND v.version = :version"),
        {"workflow_id": workflow_id, "version": version},
    ).one_or_none()
    return None if row is None else VersionDetail(_version(row), row.spec, row.params_schema)


def workflow_stats(session: Session, workflow_id: uuid.UUID, *, days: int = 30) -> WorkflowStats:
    """Return what became of the runs of a workflow on the last *days* days (UTC), today the last of them.

    Raises:
        InputError: If *days* is not 1 to 366.
    """
    if not 1 <= days <= _MOST_DAYS:
        raise InputError(f"Statistics reach back 1 to {_MOST_DAYS} days, not {days}; nothing was read.")
    rows = session.execute(_BY_DAY, {"workflow_id": workflow_id, "days": days}).all()
    took = session.execute(_PERCENTILES, {"workflow_id": workflow_id, "newest": NEWEST}).one()
    completed, failed = sum(row.completed for row in rows), sum(row.failed for row in rows)
    return WorkflowStats(
        days=[
            DayStats(row.day, row.completed, row.failed, row.cancelled, _share(row.duration_s, row.completed))
            for row in rows
        ],
        completed=completed,
        failed=failed,
        cancelled=sum(row.cancelled for row in rows),
        success_ratio=_share(completed, completed + failed),
        average_s=_share(sum(row.duration_s for row in rows), completed),
        average_wait_s=_share(sum(row.wait_s for row in rows), sum(row.started for row in rows)),
        p50_s=took.p50_s,
        p95_s=took.p95_s,
        samples=took.samples,
        last_run_at=max((row.last_run_at for row in rows if row.last_run_at is not None), default=None),
    )


_VERSION = """
    SELECT v.workflow_id, v.version, jsonb_array_length(v.spec -> 'nodes') AS nodes, v.spec_hash, v.created_by,
        v.created_at, v.version = w.current_version AS is_current, v.spec, v.params_schema
    FROM workflow_version v JOIN workflow w ON w.id = v.workflow_id
"""
_BY_DAY = text(f"""
    WITH {_SUMS.format(ids=":workflow_id")}
    SELECT g.day, coalesce(sum(d.started), 0)::int AS started, coalesce(sum(d.completed), 0)::int AS completed,
        coalesce(sum(d.failed), 0)::int AS failed, coalesce(sum(d.cancelled), 0)::int AS cancelled,
        coalesce(sum(d.duration_s), 0)::float8 AS duration_s, coalesce(sum(d.wait_s), 0)::float8 AS wait_s,
        max(d.last_run_at) AS last_run_at
    FROM (SELECT (now() AT TIME ZONE 'UTC')::date - g AS day FROM generate_series(0, :days - 1) g) g
    LEFT JOIN sums d ON d.day = g.day GROUP BY g.day ORDER BY g.day
""")  # noqa: S608 - constants
_PERCENTILES = text("""
    SELECT count(*)::int AS samples, percentile_cont(0.5) WITHIN GROUP (ORDER BY took_s) AS p50_s,
        percentile_cont(0.95) WITHIN GROUP (ORDER BY took_s) AS p95_s
    FROM (SELECT took_s FROM run
        WHERE workflow_id = :workflow_id AND status = 'completed' AND took_s IS NOT NULL
        ORDER BY created_at DESC, id DESC LIMIT :newest) newest
""")


def _version(row: Row[Any]) -> VersionRow:
    return VersionRow(**{name: getattr(row, name) for name in VersionRow.__slots__})


def _row(row: Row[Any]) -> WorkflowRow:
    return WorkflowRow(
        id=row.id,
        name=row.name,
        description=row.description,
        current_version=row.current_version,
        owner=row.owner,
        builtin=row.builtin,
        tags=row.tags,
        runs_30d=row.completed + row.failed + row.cancelled + row.open_30d,
        completed_30d=row.completed,
        failed_30d=row.failed,
        cancelled_30d=row.cancelled,
        open_runs=row.open_runs,
        success_ratio=_share(row.completed, row.completed + row.failed),
        average_s=_share(row.duration_s, row.completed),
        last_run_at=row.last_run_at,
        next_at=row.next_at,
        created_at=row.created_at,
        origin=row.origin,
    )


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None
