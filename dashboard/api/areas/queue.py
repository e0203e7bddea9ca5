"""The queue: what waits, for whom or what, what was given up, and the workers; and the views people saved."""

import uuid
from collections.abc import Sequence
from typing import Any

from pydantic import Field
from sqlalchemy.orm import Session

from analytics.store.paging import Page
from analytics.store.queries import queue, views
from analytics.store.queries.queue import DeadLetter, QueuedRow, QueueState, WaitRow, WorkerRow
from analytics.store.queries.views import SavedViewRow
from dashboard.api.operations import (
    Asked,
    Call,
    CursorQuery,
    Listing,
    NumberedQuery,
    Operation,
    decode_cursor,
    listing,
)
from dashboard.auth.roles import Role
from dashboard.kept import views_of
from worker.queues import QueueDepth, queue_depths


class QueueOut(Asked):
    """What waits."""

    runs: QueueState
    queues: list[QueueDepth] | None = Field(description="Wake-ups in Redis; null when no Redis is named.")


class WaitsQuery(Asked):
    """Which waits."""

    limit: int = Field(default=100, ge=1, le=500, description="The most of them.")


class ViewsQuery(Asked):
    """Whose page."""

    view_of: str = Field(default="runs", alias="page", max_length=40, description="Which page's views.")


class NewView(Asked):
    """A view to keep."""

    view_of: str = Field(default="runs", alias="page", max_length=40, description="Which page it is of.")
    name: str = Field(min_length=1, max_length=100)
    query: dict[str, Any] = Field(description="The page's filters.")
    shared: bool = Field(default=False, description="Whether everybody sees it.")


async def get_queue(call: Call) -> dict[str, Any]:
    """Return what waits: runs in PostgreSQL, wake-ups in Redis."""
    state = await call.ask(queue.queue_state)
    client = call.context.redis
    depths: list[QueueDepth] | None = await call.in_thread(queue_depths, client) if client is not None else None
    return {"runs": state, "queues": depths}


async def list_queued(call: Call) -> Page[QueuedRow]:
    """Return queued runs in the order in which they start."""
    query = call.query(NumberedQuery)
    return await call.ask(queue.queued_runs, page=query.page, limit=query.limit)


async def list_dead_letters(call: Call) -> Listing:
    """Return runs that were given up."""
    query = call.query(CursorQuery)
    rows = await call.ask(queue.dead_letters, before=decode_cursor(query.after), limit=query.limit)
    return listing(rows, query.limit, lambda row: (row.created_at, row.run_id))


async def list_waits(call: Call) -> Sequence[WaitRow]:
    """Return what waits for people."""
    return await call.ask(queue.open_waits, limit=call.query(WaitsQuery).limit)


async def list_workers(call: Call) -> list[WorkerRow]:
    """Return worker processes of the last day."""
    return await call.ask(queue.list_workers)


async def list_saved_views(call: Call) -> Sequence[SavedViewRow]:
    """Return the views that the caller sees."""
    return await call.in_thread(views_of, call.context, call.viewer.email, call.query(ViewsQuery).view_of)


async def save_view(call: Call) -> SavedViewRow:
    """Keep a view."""
    body = call.body(NewView)

    def work(session: Session) -> SavedViewRow:
        row = views.save_view(
            session, owner=call.viewer.email, page=body.view_of, name=body.name, query=body.query, shared=body.shared
        )
        call.record(session, "view.saved", object_type="view", object_id=row.id, detail={"name": row.name})
        return row

    return await call.ask(work)


async def delete_saved_view(call: Call) -> None:
    """Delete a view of the caller's."""
    view_id: uuid.UUID = call.path("view_id")

    def work(session: Session) -> None:
        views.delete_view(session, view_id, owner=call.viewer.email)
        call.record(session, "view.deleted", object_type="view", object_id=view_id)

    await call.ask(work)


OPERATIONS = (
    Operation("GET", "/queue", get_queue, "Return what waits and what runs.", Role.ANALYST, QueueOut),
    Operation(
        "GET",
        "/queue/runs",
        list_queued,
        "List queued runs with their exact places.",
        Role.ANALYST,
        Page[QueuedRow],
        query=NumberedQuery,
    ),
    Operation(
        "GET",
        "/queue/dead-letters",
        list_dead_letters,
        "List runs that were given up because they outlived too many workers, newest first.",
        Role.ANALYST,
        DeadLetter,
        query=CursorQuery,
    ),
    Operation(
        "GET",
        "/queue/waits",
        list_waits,
        "List what nodes wait for from people: approvals, signals, attention.",
        Role.ANALYST,
        list[WaitRow],
        query=WaitsQuery,
    ),
    Operation("GET", "/workers", list_workers, "List worker processes of the last day.", Role.ANALYST, list[WorkerRow]),
    Operation(
        "GET",
        "/views",
        list_saved_views,
        "List the saved views of a page: one's own, then shared ones.",
        Role.VIEWER,
        list[SavedViewRow],
        query=ViewsQuery,
    ),
    Operation(
        "POST",
        "/views",
        save_view,
        "Keep a view; one of the same name is replaced.",
        Role.VIEWER,
        SavedViewRow,
        body=NewView,
        status=201,
        doing="save a view",
    ),
    Operation(
        "DELETE",
        "/views/{view_id:uuid}",
        delete_saved_view,
        "Delete one of one's own views.",
        Role.VIEWER,
        status=204,
        doing="delete a view",
    ),
)
