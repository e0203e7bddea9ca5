"""Projects and their tasks: read by page, made, changed and deleted."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, func, insert, select, update
from sqlalchemy.orm import Session

from analytics.core.clock import utc_now
from analytics.core.errors import InputError, NotFoundError
from analytics.store.paging import DEFAULT_LIMIT, Page, check_paging
from analytics.store.tables import Project, Task

TASK_STATUSES = ("open", "active", "completed", "failed", "cancelled")
_ENDED = ("completed", "failed", "cancelled")
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class ProjectRow:
    """A project, with its tasks counted by status."""

    id: uuid.UUID
    name: str
    config: Mapping[str, Any]
    created_at: datetime
    updated_at: datetime
    origin: str
    tasks: Mapping[str, int] = field(default_factory=dict)
    """How many tasks have each status; a status without tasks is missing."""


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A task of a project."""

    id: uuid.UUID
    project_id: uuid.UUID
    title: str
    status: str
    created_at: datetime
    finished_at: datetime | None
    origin: str


def list_projects(
    session: Session, *, page: int = 1, limit: int = DEFAULT_LIMIT, search: str | None = None
) -> Page[ProjectRow]:
    """Return one page of projects by name, with their tasks counted; three statements however many projects.

    Args:
        session: The open transaction.
        page: From 1.
        limit: 1 to 100.
        search: Part of the name, in any case.

    Raises:
        InputError: If *page* or *limit* is out of range.
    """
    offset = check_paging(page, limit)
    condition: list[ColumnElement[bool]] = [Project.name.icontains(search, autoescape=True)] if search else []
    total = session.scalar(select(func.count()).select_from(Project).where(*condition)) or 0
    rows = session.execute(
        select(*_PROJECT_COLUMNS).where(*condition).order_by(Project.name, Project.id).limit(limit).offset(offset)
    ).all()
    counts = _task_counts(session, [row.id for row in rows])
    return Page([ProjectRow(*row, tasks=counts.get(row.id, {})) for row in rows], page, limit, total)


def get_project(session: Session, project_id: uuid.UUID) -> ProjectRow:
    """Return the project *project_id*.

    Raises:
        NotFoundError: If there is none.
    """
    row = session.execute(select(*_PROJECT_COLUMNS).where(Project.id == project_id)).one_or_none()
    if row is None:
        raise _no_project(project_id)
    return ProjectRow(*row, tasks=_task_counts(session, [project_id]).get(project_id, {}))


def project_names(session: Session, project_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, str]:
    """Return the names of projects by id; those that do not exist any more are missing."""
    rows = session.execute(select(Project.id, Project.name).where(Project.id.in_(list(project_ids))))
    return {row.id: row.name for row in rows}


def create_project(session: Session, *, name: str, config: Mapping[str, Any] | None = None) -> ProjectRow:
    """Make a project.

    Raises:
        InputError: If *name* is empty or longer than 200 characters.
        ConflictError: If the name is taken; raised by the scope of *session*.
    """
    row = session.execute(
        insert(Project).values(name=_checked_name(name), config=dict(config or {})).returning(*_PROJECT_COLUMNS)
    ).one()
    return ProjectRow(*row)


def update_project(
    session: Session, project_id: uuid.UUID, *, name: str | None = None, config: Mapping[str, Any] | None = None
) -> ProjectRow:
    """Change what is given and leave the rest; *config* replaces the whole configuration.

    Raises:
        NotFoundError: If there is no such project.
        InputError: If *name* is empty or too long.
        ConflictError: If the name is taken; raised by the scope of *session*.
    """
    values: dict[str, Any] = {"updated_at": utc_now()}
    if name is not None:
        values["name"] = _checked_name(name)
    if config is not None:
        values["config"] = dict(config)
    row = session.execute(
        update(Project).where(Project.id == project_id).values(values).returning(*_PROJECT_COLUMNS)
    ).one_or_none()
    if row is None:
        raise _no_project(project_id)
    return ProjectRow(*row, tasks=_task_counts(session, [project_id]).get(project_id, {}))


def delete_project(session: Session, project_id: uuid.UUID) -> str:
    """Delete a project with its tasks, and return what was done as a sentence.

    Raises:
        NotFoundError: If there is no such project.
    """
    tasks = session.scalar(select(func.count()).select_from(Task).where(Task.project_id == project_id)) or 0
    name = session.scalar(delete(Project).where(Project.id == project_id).returning(Project.name))
    if name is None:
        raise _no_project(project_id)
    return f"Project {name!r} and its {tasks} task{'' if tasks == 1 else 's'} were deleted."


def list_tasks(
    session: Session,
    project_id: uuid.UUID,
    *,
    page: int = 1,
    limit: int = DEFAULT_LIMIT,
    statuses: Sequence[str] = (),
) -> Page[TaskRow]:
    """Return one page of the tasks of a project, newest first.

    Raises:
        NotFoundError: If there is no such project.
        InputError: If *page*, *limit* or a status cannot be used.
    """
    offset = check_paging(page, limit)
    for status in statuses:
        _checked_status(status)
    if session.scalar(select(Project.id).where(Project.id == project_id)) is None:
        raise _no_project(project_id)
    condition = [Task.project_id == project_id, *([Task.status.in_(statuses)] if statuses else [])]
    total = session.scalar(select(func.count()).select_from(Task).where(*condition)) or 0
    rows = session.execute(
        select(*_TASK_COLUMNS)
        .where(*condition)
        .order_by(Task.created_at.desc(), Task.id.desc())
        .limit(limit)
        .offset(offset)
    ).all()
    return Page([TaskRow(*row) for row in rows], page, limit, total)


def get_task(session: Session, task_id: uuid.UUID) -> TaskRow:
    """Return the task *task_id*.

    Raises:
        NotFoundError: If there is none.
    """
    row = session.execute(select(*_TASK_COLUMNS).where(Task.id == task_id)).one_or_none()
    if row is None:
        raise _no_task(task_id)
    return TaskRow(*row)


def create_task(session: Session, project_id: uuid.UUID, *, title: str, status: str = "open") -> TaskRow:
    """Make a task of a project.

    Raises:
        NotFoundError: If there is no such project.
        InputError: If *title* or *status* cannot be used.
    """
    if session.scalar(select(Project.id).where(Project.id == project_id).with_for_update(key_share=True)) is None:
        raise _no_project(project_id)
    values = {"project_id": project_id, "title": _checked_name(title), **_status_values(status)}
    return TaskRow(*session.execute(insert(Task).values(values).returning(*_TASK_COLUMNS)).one())


def update_task(
    session: Session, task_id: uuid.UUID, *, title: str | None = None, status: str | None = None
) -> TaskRow:
    """Change what is given and leave the rest; a status that ends the task sets when it ended.

    Raises:
        NotFoundError: If there is no such task.
        InputError: If *title* or *status* cannot be used.
    """
    values: dict[str, Any] = {} if status is None else _status_values(status)
    if title is not None:
        values["title"] = _checked_name(title)
    if not values:
        return get_task(session, task_id)
    row = session.execute(update(Task).where(Task.id == task_id).values(values).returning(*_TASK_COLUMNS)).one_or_none()
    if row is None:
        raise _no_task(task_id)
    return TaskRow(*row)


def delete_task(session: Session, task_id: uuid.UUID) -> str:
    """Delete a task, and return what was done as a sentence.

    Raises:
        NotFoundError: If there is no such task.
    """
    title = session.scalar(delete(Task).where(Task.id == task_id).returning(Task.title))
    if title is None:
        raise _no_task(task_id)
    return f"Task {title!r} was deleted."


_PROJECT_COLUMNS = (
    Project.id,
    Project.name,
    Project.config,
    Project.created_at,
    Project.updated_at,
    Project.origin,
)
_TASK_COLUMNS = (
    Task.id,
    Task.project_id,
    Task.title,
    Task.status,
    Task.created_at,
    Task.finished_at,
    Task.origin,
)


def _task_counts(session: Session, project_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, dict[str, int]]:
    if not project_ids:
        return {}
    counts: dict[uuid.UUID, dict[str, int]] = {}
    rows = session.execute(
        select(Task.project_id, Task.status, func.count())
        .where(Task.project_id.in_(project_ids))
        .group_by(Task.project_id, Task.status)
    )
    for project_id, status, count in rows:
        counts.setdefault(project_id, {})[status] = count
    return counts


def _checked_name(name: str) -> str:
    stripped = name.strip()
    if not 1 <= len(stripped) <= _LONGEST_NAME:
        raise InputError(f"A name has 1 to {_LONGEST_NAME} characters; nothing was changed.")
    return stripped


def _checked_status(status: str) -> str:
    if status not in TASK_STATUSES:
        raise InputError(f"{status!r} is not a status of a task ({', '.join(TASK_STATUSES)}).")
    return status


def _status_values(status: str) -> dict[str, Any]:
    return {"status": _checked_status(status), "finished_at": utc_now() if status in _ENDED else None}


def _no_project(project_id: uuid.UUID) -> NotFoundError:
    return NotFoundError("There is no such project.", project_id=str(project_id))


def _no_task(task_id: uuid.UUID) -> NotFoundError:
    return NotFoundError("There is no such task.", task_id=str(task_id))
