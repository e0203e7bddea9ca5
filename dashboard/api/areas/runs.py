"""Runs: found, looked at down to the line a node wrote, compared, steered, repeated."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote

from pydantic import Field
from starlette.responses import Response

from analytics.core.clock import Interval, require_aware, utc_now
from analytics.store.paging import Page
from analytics.store.queries import compare, estimate, nodes, runs, timeline
from analytics.store.queries.compare import RunComparison
from analytics.store.queries.estimate import Estimate
from analytics.store.queries.nodes import ArtifactRow, LogRow, NodeDetail, NodeItems
from analytics.store.queries.run_filter import RunFilter
from analytics.store.queries.runs import RunDetail, RunEventRow, RunRelatives, RunRow
from analytics.store.queries.timeline import Timeline
from dashboard.api.operations import (
    Asked,
    Call,
    CursorQuery,
    Listing,
    NumberedQuery,
    Operation,
    RangeQuery,
    decode_cursor,
    found,
    listing,
)
from dashboard.auth.roles import Role
from worker.enqueue import MAX_BULK, BulkReport, QueuedRun
from worker.workflow.inputs import node_input

_LONG_AGO = datetime.fromisoformat("2000-01-01T00:00:00+00:00")
_DOWNLOAD_ONLY = "sandbox; default-src 'none'"


class _RunFilters(Asked):
    status: str | None = Field(default=None, max_length=100, description="Only these states, separated by commas.")
    workflow_id: uuid.UUID | None = Field(default=None, description="Only runs of this workflow.")
    workflow: str | None = Field(default=None, max_length=100, description="Only runs of the workflow of this name.")
    search: str | None = Field(default=None, max_length=200, description="Part of the workflow or requester, or an id.")
    tags: str | None = Field(default=None, max_length=900, description="Only with all these tags, separated by commas.")
    requested_by: str | None = Field(default=None, max_length=200, description="Only runs that this one asked for.")
    trigger: str | None = Field(default=None, max_length=100, description="Only started through these, by commas.")
    schedule_id: uuid.UUID | None = Field(default=None, description="Only runs of this schedule.")
    since: datetime | None = Field(default=None, description="Only created then or later; with a time zone.")
    until: datetime | None = Field(default=None, description="Only created before; with a time zone.")
    min_duration_s: float | None = Field(default=None, ge=0, description="Only ended ones that took so many seconds.")

    def filter(self) -> RunFilter:
        """Return it as the query wants it."""
        interval = None
        if self.since is not None or self.until is not None:
            since = _LONG_AGO if self.since is None else require_aware(self.since)
            interval = Interval(since, utc_now() if self.until is None else require_aware(self.until))
        return RunFilter(
            statuses=_parts(self.status),
            workflow_id=self.workflow_id,
            workflow=self.workflow,
            search=self.search,
            tags=_parts(self.tags),
            requested_by=self.requested_by,
            triggers=_parts(self.trigger),
            schedule_id=self.schedule_id,
            interval=interval,
            min_duration_s=self.min_duration_s,
        )


class RunsQuery(CursorQuery, _RunFilters):
    """Which runs."""


class RunPagesQuery(NumberedQuery, _RunFilters):
    """Which runs, on numbered pages."""


class RunQuery(Asked):
    """How much of a run."""

    outputs: bool = Field(default=True, description="Whether what each node put out comes along.")


class NodeQuery(Asked):
    """Which node."""

    node_id: str = Field(max_length=1000, description="`fetch`, or `each/fetch` for one in the loop `each`.")
    map_index: int = Field(default=-1, ge=-1, description="Item of the innermost loop; -1 outside of loops.")


class LogQuery(NodeQuery):
    """Which lines."""

    attempt: int | None = Field(default=None, ge=1, description="Of this attempt; null: of the last.")
    after: int | None = Field(default=None, ge=-1, description="Only lines after this number.")
    limit: int = Field(default=500, ge=1, le=5000, description="The most lines.")
    tail: bool = Field(default=True, description="The last lines instead of the first.")


class CompareQuery(Asked):
    """With which run."""

    other: uuid.UUID = Field(alias="with", description="The run to compare with.")


class ChangesQuery(Asked):
    """Since when."""

    since: datetime = Field(description="`until` of the answer before.")


class Changes(Asked):
    """Nodes that changed."""

    nodes: list[Any]
    until: datetime = Field(description="Send as `since` the next time.")


class Retry(Asked):
    """How to go on with a run."""

    from_nodes: list[str] = Field(
        default_factory=list, max_length=1000, description="Begin from these; else from what failed."
    )
    version: Literal["same", "current"] = Field(default="same", description="Of the definition.")


class Rerun(Asked):
    """How to run again."""

    params: dict[str, Any] | None = Field(default=None, description="Other parameters; null: the same.")
    version: Literal["same", "current"] = Field(default="same", description="Of the definition.")
    use_cache: bool | None = Field(default=None, description="Whether known results may be taken; null: as before.")


class Signal(Asked):
    """What a node waits for."""

    name: str = Field(min_length=1, max_length=100)
    data: Any = None


class Decided(Asked):
    """What somebody decided."""

    node_id: str = Field(max_length=1000)
    map_index: int = Field(default=-1, ge=-1)
    decision: Literal["approved", "rejected"]
    data: Any = Field(default=None, description="What the form asks for.")


class Settled(Asked):
    """What became of a node that was under way when its worker died."""

    node_id: str = Field(max_length=1000)
    map_index: int = Field(default=-1, ge=-1)
    action: Literal["repeat", "completed", "failed"]
    output: Any = Field(default=None, description="What it put out, if it was completed.")


class Many(Asked):
    """Many runs at once."""

    action: Literal["cancel", "retry"]
    run_ids: list[uuid.UUID] = Field(min_length=1, max_length=MAX_BULK)


class Paused(Asked):
    """What became of a pause."""

    status: str = Field(description="`paused`, or `pausing` while nodes in flight go on to their end.")


async def list_runs(call: Call) -> Listing:
    """Return runs."""
    query = call.query(RunsQuery)
    rows = await call.ask(runs.list_runs, filter=query.filter(), before=decode_cursor(query.after), limit=query.limit)
    return listing(rows, query.limit, lambda row: (row.created_at, row.id))


async def page_runs(call: Call) -> Page[RunRow]:
    """Return a numbered page of runs."""
    query = call.query(RunPagesQuery)
    return await call.ask(runs.page_runs, filter=query.filter(), page=query.page, limit=query.limit)


async def get_run(call: Call) -> RunDetail:
    """Return one run."""
    outputs = call.query(RunQuery).outputs
    return found(await call.ask(runs.run_detail, call.path("run_id"), with_outputs=outputs), "run")


async def count_runs(call: Call) -> dict[str, int]:
    """Return how many runs have each status."""
    return await call.ask(runs.count_runs_by_status, interval=call.query(RangeQuery).interval())


async def get_changes(call: Call) -> Changes:
    """Return the nodes of a run that changed."""
    since = require_aware(call.query(ChangesQuery).since)
    changed, until = await call.ask(runs.changed_nodes, call.path("run_id"), since)
    return Changes(nodes=list(changed), until=until)


async def list_run_events(call: Call) -> Sequence[RunEventRow]:
    """Return what happened to a run."""
    return await call.ask(runs.run_events, call.path("run_id"))


async def get_related_runs(call: Call) -> RunRelatives:
    """Return what a run came from and what came from it."""
    return await call.ask(runs.related_runs, call.path("run_id"))


async def get_timeline(call: Call) -> Timeline:
    """Return when each node of a run waited and worked."""
    return found(await call.ask(timeline.timeline, call.path("run_id")), "run")


async def get_estimate(call: Call) -> Estimate:
    """Return when a run is likely to end."""
    return found(await call.ask(estimate.estimate, call.path("run_id")), "run")


async def compare_runs(call: Call) -> RunComparison:
    """Return what differs between two runs."""
    return await call.ask(compare.compare_runs, call.path("run_id"), call.query(CompareQuery).other)


async def get_node(call: Call) -> NodeDetail:
    """Return one node of a run."""
    query = call.query(NodeQuery)
    return found(await call.ask(nodes.node_detail, call.path("run_id"), query.node_id, query.map_index), "node")


async def get_node_input(call: Call) -> Mapping[str, Any] | None:
    """Return the configuration of a node with its templates filled in."""
    query = call.query(NodeQuery)
    return {"input": await call.ask(node_input, call.path("run_id"), query.node_id, query.map_index)}


async def get_node_log(call: Call) -> Sequence[LogRow]:
    """Return lines that a node wrote."""
    query = call.query(LogQuery)
    return await call.ask(
        nodes.node_log,
        call.path("run_id"),
        query.node_id,
        query.map_index,
        attempt=query.attempt,
        after_seq=query.after,
        limit=query.limit,
        tail=query.tail,
    )


async def get_node_items(call: Call) -> NodeItems:
    """Return how the items of a loop stand."""
    return await call.ask(nodes.node_items, call.path("run_id"), call.query(NodeQuery).node_id)


async def list_artifacts(call: Call) -> Sequence[ArtifactRow]:
    """Return what nodes of a run saved."""
    return await call.ask(nodes.run_artifacts, call.path("run_id"))


async def get_artifact(call: Call) -> Response:
    """Return the bytes of an artifact, as a download."""
    item = found(await call.ask(nodes.artifact, call.path("artifact_id")), "artifact")
    return Response(
        bytes(item.content),
        media_type=item.row.media_type,
        headers={
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(item.row.name, safe='')}",
            "Cache-Control": "private, max-age=3600",
            "Content-Security-Policy": _DOWNLOAD_ONLY,
            "X-Content-Type-Options": "nosniff",
        },
    )


async def cancel_run(call: Call) -> None:
    """Cancel a run."""
    await call.in_thread(call.context.door.cancel_run, call.path("run_id"), requested_by=call.viewer.email)


async def pause_run(call: Call) -> Paused:
    """Pause a run."""
    status = await call.in_thread(call.context.door.pause_run, call.path("run_id"), requested_by=call.viewer.email)
    return Paused(status=status)


async def resume_run(call: Call) -> None:
    """Let a paused run go on."""
    await call.in_thread(call.context.door.resume_run, call.path("run_id"), requested_by=call.viewer.email)


async def signal_run(call: Call) -> None:
    """Give a run a signal."""
    body = call.body(Signal)
    await call.in_thread(
        call.context.door.signal_run,
        call.path("run_id"),
        name=body.name,
        data=body.data,
        requested_by=call.viewer.email,
    )


async def decide_run(call: Call) -> None:
    """Approve or reject what a node waits for."""
    body = call.body(Decided)
    await call.in_thread(
        call.context.door.decide,
        call.path("run_id"),
        body.node_id,
        body.map_index,
        decision=body.decision,
        data=body.data,
        requested_by=call.viewer.email,
        role=call.viewer.role.label,
    )


async def settle_node(call: Call) -> None:
    """Say what became of a node."""
    body = call.body(Settled)
    await call.in_thread(
        call.context.door.resolve_attention,
        call.path("run_id"),
        body.node_id,
        body.map_index,
        action=body.action,
        output=body.output,
        requested_by=call.viewer.email,
    )


async def retry_run(call: Call) -> QueuedRun:
    """Queue a run that goes on where one failed."""
    body = call.body(Retry)
    return await call.in_thread(
        call.context.door.retry_run,
        call.path("run_id"),
        from_nodes=tuple(body.from_nodes),
        version=body.version,
        requested_by=call.viewer.email,
        trigger="api",
    )


async def rerun_run(call: Call) -> QueuedRun:
    """Queue a run that does all of one again."""
    body = call.body(Rerun)
    return await call.in_thread(
        call.context.door.rerun,
        call.path("run_id"),
        params=body.params,
        version=body.version,
        use_cache=body.use_cache,
        requested_by=call.viewer.email,
        trigger="api",
    )


async def change_many(call: Call) -> BulkReport:
    """Cancel or retry many runs."""
    body, door = call.body(Many), call.context.door
    if body.action == "cancel":
        return await call.in_thread(door.cancel_many, body.run_ids, requested_by=call.viewer.email)
    return await call.in_thread(door.retry_many, body.run_ids, requested_by=call.viewer.email, trigger="api")


def _parts(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip()) if text else ()


_ONE = "/runs/{run_id:uuid}"


def _reads(path: str, handler: Any, summary: str, returns: Any, **more: Any) -> Operation:
    return Operation("GET", path, handler, summary, Role.ANALYST, returns, **more)


def _acts(path: str, handler: Any, summary: str, doing: str, returns: Any = None, **more: Any) -> Operation:
    status = 204 if returns is None else 200
    return Operation("POST", path, handler, summary, more.pop("role", Role.OPERATOR), returns,
                     doing=doing, status=more.pop("status", status), **more)  # fmt: skip


OPERATIONS = (
    _reads("/runs", list_runs, "List runs, newest first.", RunRow, query=RunsQuery),
    _reads("/runs/pages", page_runs, "List runs on numbered pages, newest first; the total stops at 10,000.",
           Page[RunRow], query=RunPagesQuery),
    _reads("/runs/counts", count_runs, "Count the runs created in a range by status.", dict[str, int],
           query=RangeQuery),
    _acts("/runs/bulk", change_many, "Cancel or retry up to 1000 runs; tells what was refused and why.",
          "change many runs", BulkReport, body=Many),
    _reads(_ONE, get_run, "Return a run with its nodes and its output.", RunDetail, query=RunQuery),
    _reads(f"{_ONE}/changes", get_changes, "Return the nodes of a run that changed since a moment.", Changes,
           query=ChangesQuery),
    _reads(f"{_ONE}/events", list_run_events, "Return what happened to a run, oldest first.", list[RunEventRow]),
    _reads(f"{_ONE}/related", get_related_runs, "Return the runs that a run came from, and those that came from it.",
           RunRelatives),
    _reads(f"{_ONE}/timeline", get_timeline, "Return when each node waited, worked and was tried again.", Timeline),
    _reads(f"{_ONE}/estimate", get_estimate, "Return when a run is likely to end, by what its nodes took before.",
           Estimate),
    _reads(f"{_ONE}/compare", compare_runs, "Return what differs between two runs, node by node.", RunComparison,
           query=CompareQuery),
    _reads(f"{_ONE}/node", get_node, "Return a node with its attempts, what it waits for and what it saved.",
           NodeDetail, query=NodeQuery),
    _reads(f"{_ONE}/node/input", get_node_input, "Return the configuration of a node with its templates filled in.",
           dict[str, Any], query=NodeQuery),
    _reads(f"{_ONE}/node/log", get_node_log, "Return lines that a node wrote.", list[LogRow], query=LogQuery),
    _reads(f"{_ONE}/node/loop", get_node_items, "Return how the rounds of a loop stand.", NodeItems, query=NodeQuery),
    _reads(f"{_ONE}/artifacts", list_artifacts, "List what nodes of a run saved.", list[ArtifactRow]),
    _reads("/artifacts/{artifact_id:uuid}", get_artifact, "Return what a node saved, as a download.", bytes,
           media_type="application/octet-stream"),
    _acts(f"{_ONE}/cancel", cancel_run, "Cancel a run and its sub-workflows: at once, or within a second.",
          "cancel a run"),
    _acts(f"{_ONE}/pause", pause_run, "Start nothing new in a run; what is in flight goes on to its end.",
          "pause a run", Paused),
    _acts(f"{_ONE}/resume", resume_run, "Let a paused run go on.", "resume a run"),
    _acts(f"{_ONE}/signal", signal_run, "Give a run a signal; it is kept until a node waits for it.", "signal a run",
          body=Signal),
    _acts(f"{_ONE}/decide", decide_run, "Approve or reject what a node waits for, if the role is the one it asks for.",
          "decide about a run", body=Decided, role=Role.VIEWER),
    _acts(f"{_ONE}/settle", settle_node, "Say what became of a node that was under way when its worker died.",
          "settle a node", body=Settled),
    _acts(f"{_ONE}/retry", retry_run, "Queue a run that keeps what one completed and does the rest.", "retry a run",
          QueuedRun, body=Retry, status=202),
    _acts(f"{_ONE}/rerun", rerun_run, "Queue a run that does all of one again, if wished with other parameters.",
          "run something again", QueuedRun, body=Rerun, status=202),
)  # fmt: skip
