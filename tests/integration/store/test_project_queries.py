"""Projects and tasks against a real PostgreSQL."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.orm import Session

from analytics.core.errors import ConflictError, InputError, NotFoundError
from analytics.core.ids import new_id
from analytics.store.engine import session_scope
from analytics.store.queries.projects import (
    create_project,
    create_task,
    delete_project,
    delete_task,
    get_project,
    get_task,
    list_projects,
    list_tasks,
    update_project,
    update_task,
)

pytestmark = pytest.mark.integration


@contextmanager
def counted(engine: Engine) -> Iterator[list[str]]:
    """Collect the statements that run in the block."""
    statements: list[str] = []

    def note(*arguments: Any) -> None:
        statements.append(arguments[2])

    event.listen(engine, "before_cursor_execute", note)
    yield statements
    event.remove(engine, "before_cursor_execute", note)


def test_a_project_is_made_read_changed_and_deleted(session: Session) -> None:
    made = create_project(session, name="  Contracts ", config={"language": "de"})
    assert made.name == "Contracts"
    assert get_project(session, made.id) == made
    changed = update_project(session, made.id, name="Agreements")
    assert (changed.name, changed.config) == ("Agreements", {"language": "de"})
    assert changed.updated_at >= made.updated_at
    assert update_project(session, made.id, config={}).config == {}
    create_task(session, made.id, title="Read")
    assert delete_project(session, made.id) == "Project 'Agreements' and its 1 task were deleted."
    with pytest.raises(NotFoundError):
        get_project(session, made.id)


def test_pages_hold_counts_and_the_number_of_statements_does_not_grow(session: Session, engine: Engine) -> None:
    for number in range(25):
        project = create_project(session, name=f"Project {number:02}")
        for status in ("open", "open", "completed"):
            create_task(session, project.id, title="t", status=status)
    with counted(engine) as few:
        list_projects(session, limit=2)
    with counted(engine) as many:
        page = list_projects(session, page=2, limit=10)
    assert len(few) == len(many) == 3
    assert (page.total, page.pages, page.page) == (25, 3, 2)
    assert [row.name for row in page.items] == [f"Project {number:02}" for number in range(10, 20)]
    assert all(row.tasks == {"open": 2, "completed": 1} for row in page.items)


def test_a_search_takes_its_text_literally(session: Session) -> None:
    create_project(session, name="100% done")
    create_project(session, name="1000 done")
    assert [row.name for row in list_projects(session, search="0% D").items] == ["100% done"]
    assert list_projects(session, search="none of them").pages == 0


def test_a_page_below_one_or_too_large_is_refused(session: Session) -> None:
    with pytest.raises(InputError, match="count from 1"):
        list_projects(session, page=0)
    with pytest.raises(InputError, match="1 to 100"):
        list_projects(session, limit=101)


def test_a_name_that_is_taken_is_a_conflict(engine: Engine) -> None:
    with session_scope(engine) as session:
        create_project(session, name="Once")
    with pytest.raises(ConflictError), session_scope(engine) as session:
        create_project(session, name="Once")


@pytest.mark.parametrize("name", ["", "   ", "x" * 201])
def test_a_name_that_says_nothing_is_refused(session: Session, name: str) -> None:
    with pytest.raises(InputError, match="1 to 200"):
        create_project(session, name=name)


def test_tasks_are_listed_newest_first_and_by_status(session: Session) -> None:
    project = create_project(session, name="P")
    first = create_task(session, project.id, title="first")
    session.commit()
    second = create_task(session, project.id, title="second", status="active")
    assert [row.id for row in list_tasks(session, project.id).items] == [second.id, first.id]
    assert [row.id for row in list_tasks(session, project.id, statuses=["active"]).items] == [second.id]
    with pytest.raises(InputError, match="not a status"):
        list_tasks(session, project.id, statuses=["lost"])


def test_a_task_that_ends_says_when_and_one_reopened_does_not(session: Session) -> None:
    project = create_project(session, name="P")
    task = create_task(session, project.id, title="t")
    assert update_task(session, task.id, status="completed").finished_at is not None
    assert update_task(session, task.id, status="open").finished_at is None
    assert update_task(session, task.id, title="new").title == "new"
    assert update_task(session, task.id) == get_task(session, task.id)
    assert delete_task(session, task.id) == "Task 'new' was deleted."


def test_what_does_not_exist_is_said_so(session: Session) -> None:
    nobody = new_id()
    for call in (get_project, delete_project, get_task, delete_task, update_project, list_tasks):
        with pytest.raises(NotFoundError, match="There is no such"):
            call(session, nobody)
    with pytest.raises(NotFoundError):
        update_task(session, nobody, title="x")
    with pytest.raises(NotFoundError):
        create_task(session, nobody, title="x")
