"""Workflows: the list with what became of their runs in 30 days, and one workflow with its definition."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from analytics.store.paging import DEFAULT_LIMIT, Page, check_paging


@dataclass(frozen=True, slots=True)
class WorkflowRow:
    """A workflow and its runs of the last 30 days; one that never ran has zeros and None."""

    id: uuid.UUID
    name: str
    description: str
    current_version: int
    owner: str | None
    builtin: bool
    runs_30d: int
    completed_30d: int
    failed_30d: int
    success_ratio: float | None
    """Completed over completed and failed, 0 to 1; None when none ended so."""
    average_s: float | None
    """Mean time of completed runs; None when there is none."""
    last_run_at: datetime | None
    """When the newest run of those 30 days was created; None when there is none."""
    origin: str


@dataclass(frozen=True, slots=True)
class WorkflowDetail:
    """A workflow with its current definition."""

    row: WorkflowRow
    spec: Mapping[str, Any]
    params_schema: Mapping[str, Any]


_SELECT = """
    SELECT w.id, w.name, w.description, w.current_version, w.owner, w.builtin, w.origin,
        s.runs, s.completed, s.failed, s.average_s, s.last_run_at, v.spec, v.params_schema
    FROM ({workflows}) w
    JOIN workflow_version v ON v.workflow_id = w.id AND v.version = w.current_version
    LEFT JOIN LATERAL (
        SELECT count(*) AS runs,
            count(*) FILTER (WHERE r.status = 'completed') AS completed,
            count(*) FILTER (WHERE r.status = 'failed') AS failed,
            (avg(extract(epoch FROM r.finished_at - r.started_at)) FILTER (WHERE r.status = 'completed'))::float8
                AS average_s,
            max(r.created_at) AS last_run_at
        FROM run r WHERE r.workflow_id = w.id AND r.created_at > now() - interval '30 days'
    ) s ON true
    ORDER BY w.name
"""


def list_workflows(
    session: Session, *, page: int = 1, limit: int = DEFAULT_LIMIT, search: str | None = None
) -> Page[WorkflowRow]:
    """Return active workflows by name, those that never ran too.

    Only the runs of the workflows on the page are counted.
    """
    offset = check_paging(page, limit)
    condition, values = "status = 'active'", {"limit": limit, "offset": offset}
    if search:
        escaped = search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        condition += " AND (name ILIKE :pattern OR description ILIKE :pattern)"
        values |= {"pattern": f"%{escaped}%"}  # type: ignore[dict-item]
    total = session.scalar(text(f"SELECT count(*) FROM workflow WHERE {condition}"), values) or 0  # noqa: S608
    chosen = f"SELECT * FROM workflow WHERE {condition} ORDER BY name LIMIT :limit OFFSET :offset"  # noqa: S608
    rows = session.execute(text(_SELECT.format(workflows=chosen)), values)
    return Page([_row(row) for row in rows], page, limit, total)


def get_workflow(session: Session, id_or_name: uuid.UUID | str) -> WorkflowDetail | None:
    """Return the workflow with that id or name, archived ones too, or None."""
    key = str(id_or_name)
    chosen = "SELECT * FROM workflow WHERE name = :key OR id::text = lower(:key) LIMIT 1"
    row = session.execute(text(_SELECT.format(workflows=chosen)), {"key": key}).one_or_none()
    return None if row is None else WorkflowDetail(_row(row), row.spec, row.params_schema)


def _row(row: Row[Any]) -> WorkflowRow:
    ended = row.completed + row.failed
    return WorkflowRow(
        id=row.id,
        name=row.name,
        description=row.description,
        current_version=row.current_version,
        owner=row.owner,
        builtin=row.builtin,
        runs_30d=row.runs,
        completed_30d=row.completed,
        failed_30d=row.failed,
        success_ratio=row.completed / ended if ended else None,
        average_s=row.average_s,
        last_run_at=row.last_run_at,
        origin=row.origin,
    )
