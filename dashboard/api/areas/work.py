"""Workflows, runs, the queue and workers: what can be done, what is done, and starting and stopping it."""

import uuid
from typing import Any

from pydantic import Field
from sqlalchemy.orm import Session

from analytics.store.paging import Page
from analytics.store.queries import runs, workflows
from analytics.store.queries.runs import QueueState, RunDetail, RunRow, WorkerRow
from analytics.store.queries.workflows import WorkflowDetail, WorkflowRow
from dashboard.api.operations import (
    Asked,
    Call,
    CursorQuery,
    Listing,
    Operation,
    RangeQuery,
    SearchQuery,
    decode_cursor,
    found,
    listing,
)
from dashboard.auth.roles import Role
from worker.enqueue import QueuedRun
from worker.queues import QueueDepth, queue_depths
from worker.workflow.definition import parse_definition, register_workflow

IDEMPOTENCY_HEADER = "Idempotency-Key"
_IDEMPOTENCY = {
    IDEMPOTENCY_HEADER: "A run of the same workflow and key that has not ended is returned instead of a second one."
}


class RunsQuery(CursorQuery):
    """Which runs."""

    status: str | None = Field(default=None, max_length=100, description="Only these states, separated by commas.")
    workflow_id: uuid.UUID | None = Field(default=None, description="Only runs of this workflow.")
    search: str | None = Field(default=None, max_length=200, description="Part of the workflow or requester, or an id.")


class NewRun(Asked):
    """A run to start."""

    params: dict[str, Any] = Field(default_factory=dict, description="What the workflow's `params_schema` asks for.")
    priority: int = Field(default=0, ge=-100, le=100, description="Higher starts earlier.")


class NewWorkflow(Asked):
    """A definition to store as the current version of its workflow."""

    definition: dict[str, Any] | str = Field(description="The definition as an object, or as YAML text.")


class Registered(Asked):
    """A stored definition."""

    workflow_id: uuid.UUID
    version: int


async def list_workflows(call: Call) -> Page[WorkflowRow]:
    """Return workflows."""
    query = call.query(SearchQuery)
    return await call.ask(workflows.list_workflows, page=query.page, limit=query.limit, search=query.search)


async def get_workflow(call: Call) -> WorkflowDetail:
    """Return one workflow."""
    return found(await call.ask(workflows.get_workflow, call.path("name")), "workflow")


async def store_workflow(call: Call) -> Registered:
    """Check and store a definition."""
    definition = parse_definition(call.body(NewWorkflow).definition)

    def work(session: Session) -> Registered:
        workflow_id, version = register_workflow(session, definition, created_by=call.viewer.email)
        call.record(
            session,
            "workflow.stored",
            object_type="workflow",
            object_id=workflow_id,
            detail={"name": definition.name, "version": version},
        )
        return Registered(workflow_id=workflow_id, version=version)

    return await call.ask(work)


async def start_run(call: Call) -> QueuedRun:
    """Queue a run."""
    body = call.body(NewRun)
    return await call.in_thread(
        call.context.door.queue_run,
        workflow=call.path("name"),
        params=body.params,
        requested_by=call.viewer.email,
        trigger="api",
        priority=body.priority,
        idempotency_key=call.request.headers.get(IDEMPOTENCY_HEADER),
    )


async def list_runs(call: Call) -> Listing:
    """Return runs."""
    query = call.query(RunsQuery)
    rows = await call.ask(
        runs.list_runs,
        statuses=tuple(part.strip() for part in query.status.split(",")) if query.status else (),
        workflow_id=query.workflow_id,
        search=query.search,
        before=decode_cursor(query.after),
        limit=query.limit,
    )
    return listing(rows, query.limit, lambda row: (row.created_at, row.id))


async def get_run(call: Call) -> RunDetail:
    """Return one run."""
    return found(await call.ask(runs.run_detail, call.path("run_id")), "run")


async def cancel_run(call: Call) -> None:
    """Cancel a run."""
    await call.in_thread(call.context.door.cancel_run, call.path("run_id"), requested_by=call.viewer.email)


async def count_runs(call: Call) -> dict[str, int]:
    """Return how many runs have each status."""
    return await call.ask(runs.count_runs_by_status, interval=call.query(RangeQuery).interval())


async def get_queue(call: Call) -> dict[str, Any]:
    """Return what waits: runs in PostgreSQL, wake-ups in Redis."""
    state = await call.ask(runs.queue_state)
    client = call.context.redis
    depths: list[QueueDepth] | None = await call.in_thread(queue_depths, client) if client is not None else None
    return {"runs": state, "queues": depths}


async def list_workers(call: Call) -> list[WorkerRow]:
    """Return worker processes of the last day."""
    return await call.ask(runs.list_workers)


class QueueOut(Asked):
    """What waits."""

    runs: QueueState
    queues: list[QueueDepth] | None = Field(description="Wake-ups in Redis; null when no Redis is named.")


OPERATIONS = (
    Operation(
        "GET",
        "/workflows",
        list_workflows,
        "List workflows, those that never ran too.",
        Role.ANALYST,
        Page[WorkflowRow],
        query=SearchQuery,
    ),
    Operation(
        "POST",
        "/workflows",
        store_workflow,
        "Check a definition and store it as the current version of its workflow; problems come with line and reason.",
        Role.OPERATOR,
        Registered,
        body=NewWorkflow,
        status=201,
        doing="store a workflow",
    ),
    Operation(
        "GET",
        "/workflows/{name}",
        get_workflow,
        "Return a workflow, by name or id, with its definition.",
        Role.ANALYST,
        WorkflowDetail,
    ),
    Operation(
        "POST",
        "/workflows/{name}/runs",
        start_run,
        "Queue a run. It is stored before the answer comes, and survives the loss of Redis.",
        Role.OPERATOR,
        QueuedRun,
        body=NewRun,
        status=202,
        doing="start a run",
        headers=_IDEMPOTENCY,
    ),
    Operation("GET", "/runs", list_runs, "List runs, newest first.", Role.ANALYST, RunRow, query=RunsQuery),
    Operation(
        "GET",
        "/runs/counts",
        count_runs,
        "Count the runs created in a range by status.",
        Role.ANALYST,
        dict[str, int],
        query=RangeQuery,
    ),
    Operation(
        "GET", "/runs/{run_id:uuid}", get_run, "Return a run with its nodes and its output.", Role.ANALYST, RunDetail
    ),
    Operation(
        "POST",
        "/runs/{run_id:uuid}/cancel",
        cancel_run,
        "Cancel a run: at once when it is queued, within a second when it runs.",
        Role.OPERATOR,
        status=204,
        doing="cancel a run",
    ),
    Operation("GET", "/queue", get_queue, "Return what waits and what runs.", Role.ANALYST, QueueOut),
    Operation("GET", "/workers", list_workers, "List worker processes of the last day.", Role.ANALYST, list[WorkerRow]),
)
