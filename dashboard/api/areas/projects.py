"""Projects and their tasks."""

import uuid
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy.orm import Session

from analytics.store.paging import Page
from analytics.store.queries import projects
from analytics.store.queries.projects import ProjectRow, TaskRow
from dashboard.api.operations import Asked, Call, NumberedQuery, Operation, SearchQuery
from dashboard.auth.roles import Role

_Name = Annotated[str, Field(min_length=1, max_length=200)]


class NewProject(Asked):
    """A project to make."""

    name: _Name
    config: dict[str, Any] = Field(default_factory=dict, description="Whatever belongs to it.")


class ProjectChange(Asked):
    """What to change of a project; what is not sent stays."""

    name: _Name | None = None
    config: dict[str, Any] | None = None


class TasksQuery(NumberedQuery):
    """Which tasks."""

    status: str | None = Field(default=None, max_length=40, description="Only tasks in this state.")


class NewTask(Asked):
    """A task to make."""

    title: _Name
    status: str = "open"


class TaskChange(Asked):
    """What to change of a task; what is not sent stays."""

    title: _Name | None = None
    status: str | None = None


async def list_projects(call: Call) -> Page[ProjectRow]:
    """Return projects."""
    query = call.query(SearchQuery)
    return await call.ask(projects.list_projects, page=query.page, limit=query.limit, search=query.search)


async def get_project(call: Call) -> ProjectRow:
    """Return one project."""
    return await call.ask(projects.get_project, call.path("project_id"))


async def create_project(call: Call) -> ProjectRow:
    """Make a project."""
    body = call.body(NewProject)

    def work(session: Session) -> ProjectRow:
        row = projects.create_project(session, name=body.name, config=body.config)
        call.record(session, "project.created", object_type="project", object_id=row.id, detail={"name": row.name})
        return row

    return await call.ask(work)


async def change_project(call: Call) -> ProjectRow:
    """Change a project."""
    body, project_id = call.body(ProjectChange), call.path("project_id")

    def work(session: Session) -> ProjectRow:
        row = projects.update_project(session, project_id, name=body.name, config=body.config)
        call.record(session, "project.changed", object_type="project", object_id=row.id, detail={"name": row.name})
        return row

    return await call.ask(work)


async def delete_project(call: Call) -> None:
    """Delete a project with its tasks."""
    project_id: uuid.UUID = call.path("project_id")

    def work(session: Session) -> None:
        name = projects.delete_project(session, project_id)
        call.record(session, "project.deleted", object_type="project", object_id=project_id, detail={"name": name})

    await call.ask(work)


async def list_tasks(call: Call) -> Page[TaskRow]:
    """Return tasks of a project."""
    query = call.query(TasksQuery)
    return await call.ask(
        projects.list_tasks,
        call.path("project_id"),
        page=query.page,
        limit=query.limit,
        statuses=(query.status,) if query.status is not None else (),
    )


async def get_task(call: Call) -> TaskRow:
    """Return one task."""
    return await call.ask(projects.get_task, call.path("task_id"))


async def create_task(call: Call) -> TaskRow:
    """Make a task."""
    body, project_id = call.body(NewTask), call.path("project_id")

    def work(session: Session) -> TaskRow:
        row = projects.create_task(session, project_id, title=body.title, status=body.status)
        call.record(session, "task.created", object_type="task", object_id=row.id, detail={"title": row.title})
        return row

    return await call.ask(work)


async def change_task(call: Call) -> TaskRow:
    """Change a task."""
    body, task_id = call.body(TaskChange), call.path("task_id")

    def work(session: Session) -> TaskRow:
        row = projects.update_task(session, task_id, title=body.title, status=body.status)
        call.record(session, "task.changed", object_type="task", object_id=row.id, detail={"status": row.status})
        return row

    return await call.ask(work)


async def delete_task(call: Call) -> None:
    """Delete a task."""
    task_id: uuid.UUID = call.path("task_id")

    def work(session: Session) -> None:
        title = projects.delete_task(session, task_id)
        call.record(session, "task.deleted", object_type="task", object_id=task_id, detail={"title": title})

    await call.ask(work)


_ONE, _TASKS, _TASK = "/projects/{project_id:uuid}", "/projects/{project_id:uuid}/tasks", "/tasks/{task_id:uuid}"

OPERATIONS = (
    Operation("GET", "/projects", list_projects, "List projects.", Role.VIEWER, Page[ProjectRow], query=SearchQuery),
    Operation(
        "POST",
        "/projects",
        create_project,
        "Make a project.",
        Role.OPERATOR,
        ProjectRow,
        body=NewProject,
        status=201,
        doing="make a project",
    ),
    Operation("GET", _ONE, get_project, "Return a project.", Role.VIEWER, ProjectRow),
    Operation(
        "PATCH",
        _ONE,
        change_project,
        "Change a project.",
        Role.OPERATOR,
        ProjectRow,
        body=ProjectChange,
        doing="change a project",
    ),
    Operation(
        "DELETE",
        _ONE,
        delete_project,
        "Delete a project with its tasks.",
        Role.OPERATOR,
        status=204,
        doing="delete a project",
    ),
    Operation(
        "GET",
        _TASKS,
        list_tasks,
        "List tasks of a project.",
        Role.VIEWER,
        Page[TaskRow],
        query=TasksQuery,
        keep="tasks",
    ),
    Operation(
        "POST",
        _TASKS,
        create_task,
        "Make a task.",
        Role.OPERATOR,
        TaskRow,
        body=NewTask,
        status=201,
        doing="make a task",
    ),
    Operation("GET", _TASK, get_task, "Return a task.", Role.VIEWER, TaskRow, keep="tasks"),
    Operation(
        "PATCH", _TASK, change_task, "Change a task.", Role.OPERATOR, TaskRow, body=TaskChange, doing="change a task"
    ),
    Operation("DELETE", _TASK, delete_task, "Delete a task.", Role.OPERATOR, status=204, doing="delete a task"),
)
