"""`helmsight workflow`: check files, take workflows in, write them out, list and start them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy.orm import Session

from analytics.core.clock import utc_now
from analytics.core.errors import InputError, NotFoundError
from analytics.core.settings import load_settings
from analytics.store.engine import session_scope
from analytics.store.paging import MAX_LIMIT
from analytics.store.queries import workflows
from dashboard.commands.answers import EXIT_DONE, EXIT_FAILED, Answer, Say, Table
from dashboard.commands.files import text_of
from dashboard.commands.reach import ACTOR, know_settings, reached
from dashboard.commands.run import follow_to_end
from dashboard.formats import DASH, age, duration, percent, plural
from worker.workflow.definition import Definition, critical_path, levels, walk
from worker.workflow.exchange import (
    Format,
    Outcome,
    Taken,
    export_bundle,
    export_text,
    import_text,
    read_definitions,
)


def validate(files: Sequence[str]) -> Answer:
    """Check every definition of *files*; nothing is stored, and nothing has to run."""
    know_settings(load_settings())
    lines: list[str] = []
    data: list[dict[str, Any]] = []
    for name in files:
        for item in _definitions_of(name):
            found = _checked(item)
            data.append({"file": name, **found})
            lines += _validation_lines(name, found)
    return Answer(lines, data, EXIT_DONE if all(item["valid"] for item in data) else EXIT_FAILED)


def take_in(files: Sequence[str], *, dry_run: bool) -> Answer:
    """Store the definitions of *files*; those that cannot be used are refused, each with why."""
    texts = [(name, text_of(name)) for name in files]
    taken: list[tuple[str, Taken]] = []
    with reached() as here, session_scope(here.engine) as session:
        for name, text in texts:
            try:
                report = import_text(session, text, created_by=ACTOR, dry_run=dry_run)
            except InputError as error:
                taken.append((name, Taken(None, Outcome.REFUSED, problems=_problems_of(error))))
            else:
                taken += [(name, item) for item in report.items]
    table = Table(("WORKFLOW", "RESULT", "VERSION", "FILE"))
    refusals: list[str] = []
    for name, item in taken:
        table.rows.append((item.name or DASH, item.outcome.value, str(item.version or DASH), name))
        refusals += _problem_lines(name, item.problems)
    done = not any(item.outcome is Outcome.REFUSED for _, item in taken)
    note = ["nothing was stored, because this was a dry run"] if dry_run else []
    return Answer(
        [*table.lines(), *note, *refusals],
        [{"file": name, **_taken_data(item)} for name, item in taken],
        EXIT_DONE if done else EXIT_FAILED,
    )


def write_out(
    names: Sequence[str], *, version: int | None, bundle: bool, all_versions: bool, form: Format, output: Path | None
) -> str:
    """Return workflows as text, one as its definition, several as a bundle; with *output*, write it there instead."""
    if version is not None and (len(names) != 1 or bundle or all_versions):
        raise InputError(
            "A version is chosen of one workflow, without --bundle and --all-versions; nothing was written."
        )
    with reached() as here, session_scope(here.engine) as session:
        if len(names) == 1 and not bundle and not all_versions:
            text = export_text(_definition_of(session, names[0], version), form)
        else:
            text = export_bundle(session, names or None, all_versions=all_versions, form=form)
    if output is None:
        return text
    output.write_text(text, encoding="utf-8")
    return f"written to {output}\n"


def show_list(search: str | None) -> Answer:
    """List the workflows with what became of their runs in 30 days."""
    found: list[workflows.WorkflowRow] = []
    with reached() as here, session_scope(here.engine) as session:
        page = 1
        while True:
            part = workflows.list_workflows(session, page=page, limit=MAX_LIMIT, search=search)
            found += part.items
            if len(found) >= part.total or not part.items:
                break
            page += 1
    now = utc_now()
    table = Table(("WORKFLOW", "VERSION", "RUNS 30D", "FAILED", "SUCCESS", "AVERAGE", "LAST RUN", "DESCRIPTION"))
    for row in found:
        table.rows.append(
            (
                row.name,
                str(row.current_version),
                str(row.runs_30d),
                str(row.failed_30d),
                percent(row.success_ratio),
                duration(row.average_s),
                age(row.last_run_at, now=now),
                row.description,
            )
        )
    data = [
        {
            "id": str(row.id),
            "name": row.name,
            "description": row.description,
            "version": row.current_version,
            "tags": list(row.tags),
            "builtin": row.builtin,
            "runs_30d": row.runs_30d,
            "completed_30d": row.completed_30d,
            "failed_30d": row.failed_30d,
            "success_ratio": row.success_ratio,
            "average_s": row.average_s,
            "last_run_at": row.last_run_at,
        }
        for row in found
    ]
    return Answer(list(table.lines()) if found else ["there is no workflow that matches"], data)


def start(
    name: str,
    *,
    params: Mapping[str, Any],
    given: Sequence[str],
    priority: int,
    tags: Sequence[str],
    key: str | None,
    version: int | None,
    use_cache: bool,
    wait: bool,
    most_s: float | None,
    say: Say,
) -> Answer:
    """Queue a run of the workflow *name*; with *wait*, tell how it goes on until it ends.

    Args:
        name: The workflow's.
        params: Parameters.
        given: More of them, each as ``name=value``.
        priority: A higher one overtakes.
        tags: Of the run.
        key: Idempotency key; the run that has it is returned instead of a second one.
        version: None: the current one.
        use_cache: False executes every node.
        wait: Whether to wait for the end.
        most_s: The longest to wait, in seconds; None: until it ends.
        say: Takes what happens meanwhile.
    """
    with reached() as here:
        with session_scope(here.engine) as session:
            found = workflows.get_workflow(session, name)
            if found is None:
                raise NotFoundError(
                    f"There is no workflow {name!r}; nothing was queued. `helmsight workflow list` names them."
                )
            schema = found.params_schema
        queued = here.door.queue_run(
            workflow=found.row.id,
            params={**params, **dict(_param(item, schema) for item in given)},
            requested_by=ACTOR,
            trigger="cli",
            priority=priority,
            idempotency_key=key,
            tags=tags,
            version=version,
            use_cache=use_cache,
        )
        if wait:
            return follow_to_end(here.engine, queued.run_id, most_s=most_s, say=say)
    place = f", place {queued.position} in the queue" if queued.position else ""
    asleep = [] if queued.woken else ["Redis took no wake token; a worker finds the run by itself within seconds"]
    return Answer(
        [f"run {queued.run_id} is {queued.status}{place}", *asleep],
        {
            "run_id": str(queued.run_id),
            "status": queued.status,
            "position": queued.position,
            "estimated_duration_s": queued.estimated_duration_s,
        },
    )


def read_params(source: str | None) -> dict[str, Any]:
    """Return the parameters that *source* holds: a JSON object, a file of one, or ``-`` for standard input."""
    if source is None:
        return {}
    text = source if source.lstrip().startswith("{") else text_of(source)
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InputError(f"The parameters are not JSON ({error}); nothing was queued.") from error
    if not isinstance(value, dict):
        raise InputError("The parameters have to be a JSON object; nothing was queued.")
    return value


def _param(item: str, schema: Mapping[str, Any]) -> tuple[str, Any]:
    """Return name and value of ``name=value``: text where the schema wants text, else JSON, else text."""
    name, equals, text = item.partition("=")
    if not equals or not name:
        raise InputError(f"{item!r} is not NAME=VALUE; nothing was queued.")
    wanted = schema.get("properties", {}).get(name, {})
    if isinstance(wanted, Mapping) and wanted.get("type") == "string":
        return name, text
    try:
        return name, orjson.loads(text)
    except orjson.JSONDecodeError:
        return name, text


def _definition_of(session: Session, name: str, version: int | None) -> Definition:
    found = workflows.get_workflow(session, name)
    if found is None:
        raise NotFoundError(
            f"There is no workflow {name!r}; nothing was written. `helmsight workflow list` names them."
        )
    if version is None:
        return Definition.from_spec(found.spec)
    chosen = workflows.get_version(session, found.row.id, version)
    if chosen is None:
        raise NotFoundError(f"{name!r} has no version {version}; the current one is {found.row.current_version}.")
    return Definition.from_spec(chosen.spec)


def _definitions_of(name: str) -> list[Definition | Taken]:
    text = text_of(name)
    try:
        return read_definitions(text)
    except InputError as error:
        return [Taken(None, Outcome.REFUSED, problems=_problems_of(error))]


def _problems_of(error: InputError) -> Sequence[Mapping[str, Any]]:
    problems: Sequence[Mapping[str, Any]] = error.context.get("problems") or ()
    return problems or [{"line": None, "path": "", "reason": error.message}]


def _checked(item: Definition | Taken) -> dict[str, Any]:
    if isinstance(item, Taken):
        return {"name": item.name, "valid": False, "problems": [dict(problem) for problem in item.problems]}
    return {
        "name": item.name,
        "valid": True,
        "problems": [],
        "nodes": sum(1 for _ in walk(item)),
        "levels": len(levels(item)),
        "critical_path": critical_path(item),
    }


def _validation_lines(name: str, found: Mapping[str, Any]) -> Iterator[str]:
    if found["valid"]:
        size = f"{plural(found['nodes'], 'node')} on {plural(found['levels'], 'level')}"
        yield f"{name}: {found['name']} can be used: {size}"
    else:
        yield f"{name}: {found['name'] or 'the file'} cannot be used: {plural(len(found['problems']), 'problem')}"
        yield from _problem_lines(name, found["problems"])


def _problem_lines(name: str, problems: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for problem in problems:
        place = f"{name}:{problem['line']}" if problem["line"] else name
        path = f"{problem['path']}: " if problem["path"] else ""
        yield f"{place}: {path}{problem['reason']}"


def _taken_data(item: Taken) -> dict[str, Any]:
    return {
        "name": item.name,
        "outcome": item.outcome.value,
        "version": item.version,
        "workflow_id": None if item.workflow_id is None else str(item.workflow_id),
        "problems": [dict(problem) for problem in item.problems],
    }
