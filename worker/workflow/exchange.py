"""Workflows as files: one definition, or a bundle of many with their versions, as YAML or JSON.

A bundle is ``{helmsight: 1, workflows: [{name, version, spec_hash, definition}, …]}``. What comes in is checked like
everything else; what cannot be used is refused with every problem, and the rest is taken in.
"""

import enum
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from sqlalchemy import select
from sqlalchemy.orm import Session

from analytics.core.errors import InputError, NotFoundError
from analytics.core.source import NOT_IN_YAML, Path, Problem, Source, read_source, yaml_text
from analytics.store.tables.workflows import Workflow, WorkflowVersion
from worker.workflow.checks import CONTROL_KINDS, definition_problems
from worker.workflow.definition import (
    DEFAULT_RETRIES,
    DEFAULT_TIMEOUT,
    MAX_PROBLEMS,
    Definition,
    builtin_definitions,
    register_workflow,
    spec_hash,
)

BUNDLE_FORMAT = 1
MAX_WORKFLOWS = 1000
"""In one bundle."""

"""Characters that JSON may hold as they are, while a reader of YAML wants them escaped."""


class Format(enum.StrEnum):
    """How a file is written."""

    YAML = "yaml"
    JSON = "json"


class Outcome(enum.StrEnum):
    """What became of one definition of a file."""

    CREATED = "created"
    UPDATED = "updated"
    """It is the next version of a workflow that was there."""
    UNCHANGED = "unchanged"
    """The workflow has it already."""
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one definition."""

    name: str | None
    """None when it could not be read so far."""
    outcome: Outcome
    version: int | None = None
    """The version it is here; None when it was refused, or when nothing was stored on purpose."""
    workflow_id: uuid.UUID | None = None
    problems: Sequence[Mapping[str, Any]] = ()
    """Why it was refused: ``line``, ``path`` and ``reason`` of each problem; lines and paths of the whole file."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """One definition of a file, as it was found there."""

    value: Any
    where: Path
    spec_hash: str | None = None


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of a file."""

    items: Sequence[Taken] = field(default_factory=tuple)

    @property
    def refused(self) -> list[Taken]:
        """Return what was refused."""
        return [item for item in self.items if item.outcome is Outcome.REFUSED]


def export_text(definition: Definition, form: Format = Format.YAML) -> str:
    """Return *definition* as text that :func:`parse_definition` reads back to an equal one; defaults are left out."""
    return _text(_brief(definition), form)


def export_bundle(
    session: Session, names: Iterable[str] | None = None, *, all_versions: bool = False, form: Format = Format.YAML
) -> str:
    """Return workflows as one text that :func:`import_text` takes in.

    Args:
        session: An open session.
        names: Which; None: all that are active.
        all_versions: Every version, the oldest first, instead of the current one.
        form: YAML or JSON.

    Raises:
        NotFoundError: If a name is not that of a workflow.
    """
    query = (
        select(Workflow.name, WorkflowVersion.version, WorkflowVersion.spec)
        .join(WorkflowVersion, WorkflowVersion.workflow_id == Workflow.id)
        .order_by(Workflow.name, WorkflowVersion.version)
    )
    if not all_versions:
        query = query.where(WorkflowVersion.version == Workflow.current_version)
    wanted = None if names is None else set(names)
    query = query.where(Workflow.status == "active" if wanted is None else Workflow.name.in_(wanted))
    rows = session.execute(query).all()
    missing = sorted((wanted or set()) - {row.name for row in rows})
    if missing:
        raise NotFoundError(f"There is no workflow {missing[0]!r}; nothing was exported.")
    return _text({"helmsight": BUNDLE_FORMAT, "workflows": [_entry_of(*row) for row in rows]}, form)


def import_text(session: Session, text: str, *, created_by: str | None, dry_run: bool = False) -> ImportReport:
    """Take in the definitions of *text*, a definition or a bundle; tell what became of each.

    A workflow of a known name gets a next version, if it is different. Versions of one workflow are taken in from the
    oldest; those it has had are left out, except that the last becomes the current one.

    Args:
        session: An open session; the caller commits.
        text: YAML or JSON.
        created_by: Who takes them in.
        dry_run: Check and compare only; store nothing.

    Raises:
        InputError: If *text* cannot be read at all, is larger than 4 MiB, or is neither a definition nor a bundle.
    """
    found = read_definitions(text)
    last = {item.name: place for place, item in enumerate(found) if isinstance(item, Definition)}
    return ImportReport(
        [
            _taken_in(session, item, is_last=last[item.name] == place, created_by=created_by, dry_run=dry_run)
            if isinstance(item, Definition)
            else item
            for place, item in enumerate(found)
        ]
    )


def read_definitions(text: str) -> list[Definition | Taken]:
    """Return the definitions of *text*, a definition or a bundle; a refusal in place of each that cannot be used.

    Raises:
        InputError: As :func:`import_text`.
    """
    source = read_source(text)
    if source.value is None or source.problems:
        located = [_located(source, problem) for problem in source.problems] or [
            {"line": None, "path": "", "reason": "the file is empty"}
        ]
        raise InputError(f"The file cannot be read: {located[0]['reason']}. Nothing was imported.", problems=located)
    return [_parsed(source, entry) for entry in _entries(source.value)]


def _entries(value: Any) -> Iterator[_Entry]:
    if not isinstance(value, Mapping) or "helmsight" not in value:
        yield _Entry(value, ())
        return
    if value["helmsight"] != BUNDLE_FORMAT or isinstance(value["helmsight"], bool):
        raise InputError(
            f"The bundle is of format {value['helmsight']!r}, and this Helmsight reads format {BUNDLE_FORMAT}."
            " Nothing was imported; use the version of Helmsight that wrote it, or a newer one."
        )
    listed = value.get("workflows")
    if not isinstance(listed, list) or not 1 <= len(listed) <= MAX_WORKFLOWS:
        raise InputError(f"A bundle has a list `workflows` of 1 to {MAX_WORKFLOWS}; nothing was imported.")
    for place, item in enumerate(listed):
        where = ("workflows", place)
        inner = isinstance(item, Mapping) and "definition" in item
        yield (
            _Entry(item["definition"], (*where, "definition"), item.get("spec_hash")) if inner else _Entry(None, where)
        )


def _parsed(source: Source, entry: _Entry) -> Definition | Taken:
    """Return the definition of *entry*, or its refusal."""
    name = entry.value.get("name") if isinstance(entry.value, Mapping) else None
    named = name if isinstance(name, str) else None
    if entry.value is None:
        return _refused(named, [_located(source, Problem(entry.where, "there is no `definition` here"))])
    problems = [Problem((*entry.where, *item.path), item.reason) for item in definition_problems(entry.value)]
    if problems:
        return _refused(named, [_located(source, problem) for problem in problems[:MAX_PROBLEMS]])
    definition = Definition.from_spec(entry.value)
    if entry.spec_hash is not None and entry.spec_hash != spec_hash(definition):
        reason = "the definition is not the one `spec_hash` was made of; take `spec_hash` away to import it as it is"
        return _refused(named, [_located(source, Problem((*entry.where[:-1], "spec_hash"), reason))])
    shipped = next((item for item in builtin_definitions() if item.name == definition.name), None)
    if shipped is not None and spec_hash(shipped) != spec_hash(definition):
        reason = f"{definition.name!r} is shipped with Helmsight; give yours another name"
        return _refused(named, [_located(source, Problem((*entry.where, "name"), reason))])
    return definition


def _refused(name: str | None, problems: Sequence[Mapping[str, Any]]) -> Taken:
    return Taken(name, Outcome.REFUSED, problems=problems)


def _located(source: Source, problem: Problem) -> dict[str, Any]:
    return {**problem.as_dict(), "line": problem.line or source.line_of(problem.path)}


def _taken_in(
    session: Session, definition: Definition, *, is_last: bool, created_by: str | None, dry_run: bool
) -> Taken:
    workflow = session.scalar(select(Workflow).where(Workflow.name == definition.name))
    known = _known_versions(session, workflow, spec_hash(definition))
    if workflow is not None and known and (workflow.current_version in known or not is_last):
        return Taken(definition.name, Outcome.UNCHANGED, max(known), workflow.id)
    outcome = Outcome.CREATED if workflow is None else Outcome.UPDATED
    if dry_run:
        return Taken(definition.name, outcome, None, workflow.id if workflow is not None else None)
    workflow_id, version = register_workflow(session, definition, created_by=created_by)
    return Taken(definition.name, outcome, version, workflow_id)


def _known_versions(session: Session, workflow: Workflow | None, digest: str) -> list[int]:
    if workflow is None:
        return []
    query = select(WorkflowVersion.version).where(
        WorkflowVersion.workflow_id == workflow.id, WorkflowVersion.spec_hash == digest
    )
    return list(session.scalars(query))


def _entry_of(name: str, version: int, spec: Mapping[str, Any]) -> dict[str, Any]:
    definition = Definition.from_spec(spec)
    return {"name": name, "version": version, "spec_hash": spec_hash(definition), "definition": _brief(definition)}


def _brief(definition: Definition) -> dict[str, Any]:
    """Return the definition as JSON without what is so unless it is said."""
    spec = definition.to_spec()
    if not spec["description"]:
        del spec["description"]
    spec["nodes"] = [_brief_node(node) for node in spec["nodes"]]
    return spec


def _brief_node(node: Mapping[str, Any]) -> dict[str, Any]:
    steered = node["kind"] in CONTROL_KINDS
    usual: dict[str, Any] = {"config": {}, "needs": []}
    if not steered:
        usual |= {"retries": DEFAULT_RETRIES, "timeout": DEFAULT_TIMEOUT.total_seconds()}
    brief = {key: value for key, value in node.items() if key not in usual or usual[key] != value}
    if "body" in brief:
        brief["body"] = {**brief["body"], "nodes": [_brief_node(inner) for inner in brief["body"]["nodes"]]}
    return brief


def _text(value: Any, form: Format) -> str:
    if form is Format.JSON:
        text = orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()
        return NOT_IN_YAML.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    return yaml_text(value)
