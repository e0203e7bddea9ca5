"""Workflows: what can be done, in which versions, how it went; checked, stored, compared, taken out and in, started."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field
from sqlalchemy.orm import Session
from starlette.responses import Response

from analytics.core.errors import InputError
from analytics.store.paging import Page
from analytics.store.queries import workflows
from analytics.store.queries.workflows import VersionDetail, VersionRow, WorkflowDetail, WorkflowRow, WorkflowStats
from dashboard.api.operations import Asked, Call, Operation, SearchQuery, found
from dashboard.auth.roles import Role
from worker.enqueue import QueuedRun
from worker.workflow.definition import Definition, parse_definition, register_workflow
from worker.workflow.diff import Difference, difference
from worker.workflow.exchange import Format, ImportReport, export_bundle, import_text

IDEMPOTENCY_HEADER = "Idempotency-Key"
_IDEMPOTENCY = {
    IDEMPOTENCY_HEADER: "A run of the same workflow and key is returned instead of a second one, also after it ended;"
    " with other parameters the call is refused."
}
_FORMATS = {Format.YAML: "application/yaml", Format.JSON: "application/json"}


class NewRun(Asked):
    """A run to start."""

    params: dict[str, Any] = Field(default_factory=dict, description="What the workflow's `params_schema` asks for.")
    priority: int = Field(default=0, ge=-100, le=100, description="Higher starts earlier.")
    tags: list[str] = Field(default_factory=list, max_length=20, description="To find the run by.")
    version: int | None = Field(default=None, ge=1, description="Of the definition; null: the current one.")
    use_cache: bool = Field(default=True, description="Whether results that are known may be taken.")


class NewWorkflow(Asked):
    """A definition to store as the current version of its workflow."""

    definition: dict[str, Any] | str = Field(description="The definition as an object, or as YAML text.")


class Registered(Asked):
    """A stored definition."""

    workflow_id: uuid.UUID
    version: int


class Verdict(Asked):
    """Whether a definition can be used."""

    is_valid: bool
    problems: list[dict[str, Any]] = Field(description="`line`, `path` and `reason` of each.")
    levels: int | None = Field(default=None, description="How many nodes come one after the other at most.")


class VersionsQuery(Asked):
    """Which versions."""

    before: int | None = Field(default=None, ge=1, description="Only versions before this one.")
    limit: int = Field(default=20, ge=1, le=100, description="The most items.")


class DiffQuery(Asked):
    """Which versions to compare."""

    old: int = Field(alias="from", ge=1, description="The older version.")
    new: int = Field(alias="to", ge=1, description="The newer version.")


class StatsQuery(Asked):
    """Of how long."""

    days: int = Field(default=30, ge=1, le=400, description="The last so many days.")


class ExportQuery(Asked):
    """What to take out, and how."""

    names: str | None = Field(
        default=None, max_length=4000, description="Workflows, separated by commas; all if absent."
    )
    all_versions: bool = Field(default=False, description="Every version instead of the current one.")
    format: Literal["yaml", "json"] = Field(default="yaml", description="How it is written.")


class ImportText(Asked):
    """Definitions to take in."""

    text: str = Field(max_length=900_000, description="A definition, or what an export wrote.")
    dry_run: bool = Field(default=False, description="Only tell what would become of it.")


async def list_workflows(call: Call) -> Page[WorkflowRow]:
    """Return workflows."""
    query = call.query(SearchQuery)
    return await call.ask(workflows.list_workflows, page=query.page, limit=query.limit, search=query.search)


async def get_workflow(call: Call) -> WorkflowDetail:
    """Return one workflow."""
    return found(await call.ask(workflows.get_workflow, call.path("name")), "workflow")


async def store_workflow(call: Call) -> Registered:
    """Check and store a definition."""
    definition = await call.in_thread(parse_definition, call.body(NewWorkflow).definition)

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


async def validate_workflow(call: Call) -> Verdict:
    """Check a definition and store nothing."""
    from worker.workflow.definition import levels  # noqa: PLC0415 - beside the one use

    try:
        definition = await call.in_thread(parse_definition, call.body(NewWorkflow).definition)
    except InputError as error:
        return Verdict(is_valid=False, problems=list(error.context.get("problems", ())))
    return Verdict(is_valid=True, problems=[], levels=len(levels(definition)))


async def list_versions(call: Call) -> Sequence[VersionRow]:
    """Return the versions of a workflow."""
    query = call.query(VersionsQuery)

    def work(session: Session) -> Sequence[VersionRow]:
        workflow = found(workflows.get_workflow(session, call.path("name")), "workflow")
        return workflows.list_versions(session, workflow.row.id, before=query.before, limit=query.limit)

    return await call.ask(work)


async def get_version(call: Call) -> VersionDetail:
    """Return one version of a workflow."""
    return await call.ask(_version, call.path("name"), call.path("version"))


async def compare_versions(call: Call) -> Difference:
    """Return what differs between two versions."""
    query = call.query(DiffQuery)

    def work(session: Session) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        name = call.path("name")
        return _version(session, name, query.old).spec, _version(session, name, query.new).spec

    old, new = await call.ask(work)
    return await call.in_thread(difference, Definition.from_spec(old), Definition.from_spec(new))


async def get_workflow_stats(call: Call) -> WorkflowStats:
    """Return what became of the runs of a workflow."""
    days = call.query(StatsQuery).days

    def work(session: Session) -> WorkflowStats:
        workflow = found(workflows.get_workflow(session, call.path("name")), "workflow")
        return workflows.workflow_stats(session, workflow.row.id, days=days)

    return await call.ask(work)


async def export_workflows(call: Call) -> Response:
    """Return workflows as a text that can be taken in elsewhere."""
    query = call.query(ExportQuery)
    names = [name.strip() for name in query.names.split(",") if name.strip()] if query.names else None
    form = Format(query.format)
    text = await call.ask(export_bundle, names, all_versions=query.all_versions, form=form)
    return Response(
        text,
        media_type=_FORMATS[form],
        headers={
            "Content-Disposition": f'attachment; filename="workflows.{form.value}"',
            "Cache-Control": "no-store",
        },
    )


async def import_workflows(call: Call) -> ImportReport:
    """Take in definitions that somebody exported or wrote."""
    body = call.body(ImportText)

    def work(session: Session) -> ImportReport:
        report = import_text(session, body.text, created_by=call.viewer.email, dry_run=body.dry_run)
        if not body.dry_run:
            taken = [item.name for item in report.items if item.workflow_id is not None]
            call.record(
                session,
                "workflow.imported",
                object_type="workflow",
                object_id=len(taken),
                detail={"names": taken[:100]},
            )
        return report

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
        tags=tuple(body.tags),
        version=body.version,
        use_cache=body.use_cache,
        idempotency_key=call.request.headers.get(IDEMPOTENCY_HEADER),
    )


def _version(session: Session, name: str, version: int) -> VersionDetail:
    workflow = found(workflows.get_workflow(session, name), "workflow")
    return found(workflows.get_version(session, workflow.row.id, version), "version of the workflow")


_ONE = "/workflows/{name}"

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
        "POST",
        "/workflows/validate",
        validate_workflow,
        "Check a definition and store nothing; every problem comes with line, path and reason.",
        Role.ANALYST,
        Verdict,
        body=NewWorkflow,
        doing="check a workflow",
    ),
    Operation(
        "GET",
        "/workflows/export",
        export_workflows,
        "Return workflows as one text, to keep or to take in elsewhere.",
        Role.ANALYST,
        bytes,
        query=ExportQuery,
        media_type="application/yaml",
    ),
    Operation(
        "POST",
        "/workflows/import",
        import_workflows,
        "Take in definitions; what is the same already is left as it is.",
        Role.OPERATOR,
        ImportReport,
        body=ImportText,
        doing="import workflows",
    ),
    Operation(
        "GET",
        _ONE,
        get_workflow,
        "Return a workflow, by name or id, with its definition.",
        Role.ANALYST,
        WorkflowDetail,
    ),
    Operation(
        "GET",
        f"{_ONE}/versions",
        list_versions,
        "List the versions of a workflow, newest first.",
        Role.ANALYST,
        list[VersionRow],
        query=VersionsQuery,
    ),
    Operation(
        "GET",
        _ONE + "/versions/{version:int}",
        get_version,
        "Return one version of a workflow with its definition.",
        Role.ANALYST,
        VersionDetail,
        max_age_s=300,
    ),
    Operation(
        "GET",
        f"{_ONE}/diff",
        compare_versions,
        "Return what differs between two versions of a workflow.",
        Role.ANALYST,
        Difference,
        query=DiffQuery,
    ),
    Operation(
        "GET",
        f"{_ONE}/stats",
        get_workflow_stats,
        "Return what became of the runs of a workflow, by day.",
        Role.ANALYST,
        WorkflowStats,
        query=StatsQuery,
    ),
    Operation(
        "POST",
        f"{_ONE}/runs",
        start_run,
        "Queue a run. It is stored before the answer comes, and survives the loss of Redis.",
        Role.OPERATOR,
        QueuedRun,
        body=NewRun,
        status=202,
        doing="start a run",
        headers=_IDEMPOTENCY,
    ),
)
