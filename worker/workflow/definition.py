"""Definitions of workflows: read, checked with every problem at once, stored as immutable versions.

Nothing here runs a node.
"""

import difflib
import functools
import hashlib
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import resources
from typing import Any

import jsonschema_rs
import orjson
from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from analytics.core.errors import InputError
from analytics.core.ids import new_id
from analytics.store.tables.workflows import Workflow, WorkflowVersion
from worker.workflow.kinds import nearest_kind, registry
from worker.workflow.schemas import schema_problem, validator, violations
from worker.workflow.source import Path, Problem, Source, read_source
from worker.workflow.templates import ROOTS, Reference, has_template, references

MAX_NODES = 10_000
MAX_PROBLEMS = 100
DEFAULT_RETRIES = 3
DEFAULT_TIMEOUT_S = 30.0

_NAME = r"^[A-Za-z][A-Za-z0-9_-]{0,63}$"
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)", re.ASCII)
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

DEFINITION_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["name", "nodes"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "pattern": _NAME},
        "description": {"type": "string", "maxLength": 2000},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 40}, "maxItems": 20},
        "params": {"type": "object"},
        "output": {},
        "nodes": {
            "type": "array",
            "minItems": 1,
            "maxItems": MAX_NODES,
            "items": {
                "type": "object",
                "required": ["id", "kind"],
                "additionalProperties": False,
                "properties": {
                    "id": {"type": "string", "pattern": _NAME},
                    "kind": {"type": "string"},
                    "name": {"type": "string", "maxLength": 200},
                    "config": {"type": "object"},
                    "needs": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
                    "retries": {"type": "integer", "minimum": 0, "maximum": 20},
                    "timeout": {
                        "anyOf": [
                            {"type": "number", "exclusiveMinimum": 0, "maximum": 86400},
                            {"type": "string", "pattern": r"^\d+(\.\d+)?(ms|s|m|h)$"},
                        ]
                    },
                    "priority": {"type": "integer"},
                    "estimated_duration_s": {"type": "number", "minimum": 0},
                },
            },
        },
    },
}


@dataclass(frozen=True, slots=True)
class Node:
    """One step of a workflow."""

    id: str
    kind: str
    config: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    """Nodes that have to be completed first."""
    retries: int = DEFAULT_RETRIES
    """How often it is tried again after an error that may pass."""
    timeout: timedelta = timedelta(seconds=DEFAULT_TIMEOUT_S)
    """The longest one attempt may take."""
    priority: int = 0
    """Among nodes that are ready, higher first."""
    estimated_duration_s: float | None = None
    name: str | None = None
    """What a page calls it; None: its id."""


@dataclass(frozen=True, slots=True)
class Definition:
    """What a workflow does: nodes and what each needs. Checked; without cycles."""

    name: str
    nodes: tuple[Node, ...]
    description: str = ""
    params_schema: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    output: Any = None
    """The run's output with templates; None: the outputs of the nodes nothing else needs, by node id."""

    def to_spec(self) -> dict[str, Any]:
        """Return it as JSON; :func:`parse_definition` reads it back to an equal definition."""
        spec: dict[str, Any] = {"name": self.name, "description": self.description}
        if self.tags:
            spec["tags"] = list(self.tags)
        if self.params_schema:
            spec["params"] = dict(self.params_schema)
        spec["nodes"] = [_node_spec(node) for node in self.nodes]
        if self.output is not None:
            spec["output"] = self.output
        return spec

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "Definition":
        """Build it from a *spec* that was checked before."""
        return cls(
            name=spec["name"],
            nodes=tuple(_node(item) for item in spec["nodes"]),
            description=spec.get("description", ""),
            params_schema=spec.get("params", {}),
            tags=tuple(spec.get("tags", ())),
            output=spec.get("output"),
        )


def parse_definition(source: str | Mapping[str, Any]) -> Definition:
    """Read a definition from YAML or JSON text, or from a JSON value.

    Raises:
        InputError: If it cannot be used; ``context["problems"]`` lists every problem found, each with
            ``line`` (from 1, or None), ``path`` and ``reason``. Nothing was stored.
    """
    read = read_source(source) if isinstance(source, str) else Source(value=source)
    problems = list(read.problems)
    if not problems or read.value is not None:
        problems += _structure_problems(read.value)
    if isinstance(read.value, Mapping):
        problems += _meaning_problems(read.value)
    if problems:
        raise _refusal(read, problems)
    return Definition.from_spec(read.value)


def levels(definition: Definition) -> list[list[str]]:
    """Return node ids by level: a node is one level after the last of those it needs."""
    depth: dict[str, int] = {}
    for node in _in_order(definition.nodes):
        depth[node.id] = 1 + max((depth[need] for need in node.needs), default=-1)
    found: list[list[str]] = [[] for _ in range(1 + max(depth.values(), default=-1))]
    for node in definition.nodes:
        found[depth[node.id]].append(node.id)
    return found


def path_weights(definition: Definition) -> dict[str, float]:
    """Return for each node the seconds of the longest path that begins with it: the critical path's priority.

    A node without an estimate counts as one second.
    """
    after: dict[str, float] = {}
    weights: dict[str, float] = {}
    for node in reversed(_in_order(definition.nodes)):
        own = 1.0 if node.estimated_duration_s is None else node.estimated_duration_s
        weights[node.id] = own + after.get(node.id, 0.0)
        for need in node.needs:
            after[need] = max(after.get(need, 0.0), weights[node.id])
    return weights


def estimated_duration_s(definition: Definition) -> float | None:
    """Return the seconds along the critical path, or None when a node has no estimate."""
    if any(node.estimated_duration_s is None for node in definition.nodes):
        return None
    return max(path_weights(definition).values())


def register_workflow(
    session: Session, definition: Definition, *, created_by: str | None, builtin: bool = False
) -> tuple[uuid.UUID, int]:
    """Store *definition* as the current version of the workflow of its name; return the workflow and the version.

    A definition equal to the current version makes no new one.
    """
    spec = definition.to_spec()
    digest = hashlib.sha256(orjson.dumps(spec, option=orjson.OPT_SORT_KEYS)).hexdigest()
    session.execute(
        text("SELECT pg_advisory_xact_lock(hashtext('helmsight.workflow.' || :name))"), {"name": definition.name}
    )
    workflow = session.scalar(select(Workflow).where(Workflow.name == definition.name))
    if workflow is None:
        workflow = Workflow(id=new_id(), name=definition.name, owner=created_by, current_version=0, builtin=builtin)
        session.add(workflow)
        session.flush()
    elif _current_hash(session, workflow) == digest:
        return workflow.id, workflow.current_version
    version = workflow.current_version + 1
    session.add(
        WorkflowVersion(
            workflow_id=workflow.id,
            version=version,
            spec=spec,
            params_schema=dict(definition.params_schema),
            spec_hash=digest,
            created_by=created_by,
        )
    )
    session.execute(
        update(Workflow)
        .where(Workflow.id == workflow.id)
        .values(
            current_version=version, description=definition.description, tags=list(definition.tags), status="active"
        )
    )
    session.flush()
    return workflow.id, version


def ensure_builtin_workflows(session: Session) -> dict[str, uuid.UUID]:
    """Store the workflows that Helmsight ships; return their ids by name. Safe to run twice."""
    return {
        definition.name: register_workflow(session, definition, created_by=None, builtin=True)[0]
        for definition in builtin_definitions()
    }


@functools.cache
def builtin_definitions() -> tuple[Definition, ...]:
    """Return the workflows that Helmsight ships, by name."""
    folder = resources.files("worker.workflow") / "builtin"
    files = sorted((item for item in folder.iterdir() if item.name.endswith(".yaml")), key=lambda item: item.name)
    return tuple(parse_definition(item.read_text(encoding="utf-8")) for item in files)


def _current_hash(session: Session, workflow: Workflow) -> str | None:
    return session.scalar(
        select(WorkflowVersion.spec_hash).where(
            WorkflowVersion.workflow_id == workflow.id, WorkflowVersion.version == workflow.current_version
        )
    )


def _node(item: Mapping[str, Any]) -> Node:
    return Node(
        id=item["id"],
        kind=item["kind"],
        config=item.get("config", {}),
        needs=tuple(item.get("needs", ())),
        retries=item.get("retries", DEFAULT_RETRIES),
        timeout=_seconds(item.get("timeout", DEFAULT_TIMEOUT_S)),
        priority=item.get("priority", 0),
        estimated_duration_s=item.get("estimated_duration_s"),
        name=item.get("name"),
    )


def _node_spec(node: Node) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "id": node.id,
        "kind": node.kind,
        "config": dict(node.config),
        "needs": list(node.needs),
        "retries": node.retries,
        "timeout": node.timeout.total_seconds(),
    }
    if node.priority:
        spec["priority"] = node.priority
    if node.estimated_duration_s is not None:
        spec["estimated_duration_s"] = node.estimated_duration_s
    if node.name is not None:
        spec["name"] = node.name
    return spec


def _seconds(value: float | str) -> timedelta:
    if isinstance(value, str):
        match = _DURATION.fullmatch(value)
        if match is None:
            raise InputError(f"{value!r} is not a duration such as 30s, 5m or 250ms.")
        return timedelta(seconds=float(match[1]) * _UNITS_S[match[2]])
    return timedelta(seconds=value)


def _refusal(read: Source, problems: list[Problem]) -> InputError:
    located = [
        {**problem.as_dict(), "line": problem.line or read.line_of(problem.path)} for problem in problems[:MAX_PROBLEMS]
    ]
    located.sort(key=lambda item: item["line"] or 0)
    first = located[0]
    place = f"line {first['line']}: " if first["line"] else ""
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    named = f"{first['path']}: " if first["path"] else ""
    return InputError(
        f"The definition cannot be used: {place}{named}{first['reason']}{more}. Nothing was stored.", problems=located
    )


def _structure_problems(value: Any) -> list[Problem]:
    if not isinstance(value, Mapping):
        return [Problem((), "a definition is a mapping with `name` and `nodes`")]
    return [Problem(path, reason) for path, reason in violations(validator(DEFINITION_SCHEMA), value)]


def _meaning_problems(value: Mapping[str, Any]) -> list[Problem]:
    problems: list[Problem] = []
    params = value.get("params", {})
    if isinstance(params, Mapping):
        problems += _params_problems(params)
    items = [
        (place, item)
        for place, item in enumerate(value["nodes"] if isinstance(value.get("nodes"), list) else ())
        if isinstance(item, Mapping) and isinstance(item.get("id"), str)
    ]
    problems += _id_problems(items)
    graph: dict[str, list[str]] = {}
    for _, item in items:
        graph.setdefault(item["id"], _needs(item))
    cycle = find_cycle(graph)
    if cycle:
        place = next(place for place, item in items if item["id"] == cycle[0])
        problems.append(Problem(("nodes", place, "needs"), f"a cycle: {' → '.join(cycle)}"))
    known = params.get("properties") if isinstance(params, Mapping) else None
    names = set(known) if isinstance(known, Mapping) and params.get("additionalProperties") is False else None
    for place, item in items:
        problems += _config_problems(place, item)
        where = ("nodes", place, "config")
        problems += _template_problems(item.get("config", {}), where, graph, item["id"], names)
    problems += _template_problems(value.get("output"), ("output",), graph, None, names)
    return problems


def _params_problems(params: Mapping[str, Any]) -> list[Problem]:
    found = schema_problem(dict(params))
    if found is not None:
        return [Problem(("params", *found[0]), found[1])]
    if params and params.get("type") != "object":
        return [Problem(("params", "type"), "the parameters' schema has to say `type: object`")]
    return []


def _id_problems(items: Sequence[tuple[int, Mapping[str, Any]]]) -> list[Problem]:
    problems = []
    seen: dict[str, int] = {}
    for place, item in items:
        if item["id"] in seen:
            problems.append(
                Problem(("nodes", place, "id"), f"the id {item['id']!r} is taken by nodes.{seen[item['id']]}")
            )
        seen.setdefault(item["id"], place)
    for place, item in items:
        for number, need in enumerate(_needs(item)):
            if need not in seen:
                close = difflib.get_close_matches(need, seen, n=1)
                hint = f" (did you mean {close[0]!r}?)" if close else ""
                problems.append(Problem(("nodes", place, "needs", number), f"there is no node {need!r}{hint}"))
    return problems


def _config_problems(place: int, item: Mapping[str, Any]) -> list[Problem]:
    name = item.get("kind")
    if not isinstance(name, str):
        return []
    kind = registry().get(name)
    if kind is None:
        return [Problem(("nodes", place, "kind"), f"there is no node kind {name!r}{nearest_kind(name)}")]
    config = item.get("config", {})
    where = ("nodes", place, "config")
    problems = [
        Problem((*where, *path), reason) for path, reason in violations(config_validator(name), config, templated=True)
    ]
    if isinstance(config, Mapping):
        problems += [
            Problem((*where, key), "templates are not read here; bind a parameter instead")
            for key in kind.literals
            if has_template(config.get(key))
        ]
    return problems


@functools.cache
def config_validator(kind: str) -> jsonschema_rs.Validator:
    """Return the validator of a node's ``config`` for the kind called *kind*, which has to exist."""
    return validator(dict(registry()[kind].config_schema))


def _template_problems(
    value: Any, where: Path, graph: Mapping[str, Sequence[str]], node_id: str | None, params: set[str] | None
) -> list[Problem]:
    problems = []
    try:
        found = list(references(value))
    except InputError as error:
        return [Problem((*where, *error.context["where"]), error.message)]
    if not found:
        return []
    upstream = set(graph) if node_id is None else _upstream(node_id, graph)
    for reference in found:
        reason = _reference_problem(reference, graph, upstream, params)
        if reason is not None:
            problems.append(Problem((*where, *reference.where), reason))
    return problems


def _reference_problem(
    reference: Reference, graph: Mapping[str, Sequence[str]], upstream: set[str], params: set[str] | None
) -> str | None:
    root, *rest = reference.parts
    if root not in ROOTS:
        return f"the template {reference.path!r} has to begin with {', '.join(ROOTS[:-1])} or {ROOTS[-1]}"
    if root == "params" and rest and params is not None and rest[0] not in params:
        return f"there is no parameter {rest[0]!r}"
    if root == "nodes" and rest:
        if rest[0] not in graph:
            return f"there is no node {rest[0]!r}"
        if rest[0] not in upstream:
            return f"it reads the node {rest[0]!r} without needing it; add it to `needs`"
    return None


def find_cycle(graph: Mapping[str, Sequence[str]]) -> list[str] | None:
    """Return the ids of a cycle, the first repeated at the end, or None; *graph* maps a node to what it needs."""
    state: dict[str, int] = {}
    for start in graph:
        trail: list[str] = []
        stack: list[tuple[str, Iterable[str]]] = [(start, iter(graph[start]))]
        if state.get(start):
            continue
        state[start] = 1
        trail.append(start)
        while stack:
            _, rest = stack[-1]
            step = next((need for need in rest if need in graph and state.get(need) != 2), None)  # noqa: PLR2004
            if step is None:
                state[trail.pop()] = 2
                stack.pop()
            elif state.get(step) == 1:
                return [*reversed(trail[trail.index(step) :]), trail[-1]]
            else:
                state[step] = 1
                trail.append(step)
                stack.append((step, iter(graph[step])))
    return None


def _upstream(node_id: str, graph: Mapping[str, Sequence[str]]) -> set[str]:
    found: set[str] = set()
    open_ids = list(graph[node_id])
    while open_ids:
        current = open_ids.pop()
        if current not in found and current in graph:
            found.add(current)
            open_ids.extend(graph[current])
    return found


def _needs(item: Mapping[str, Any]) -> list[str]:
    needs = item.get("needs", ())
    return [need for need in needs if isinstance(need, str)] if isinstance(needs, list) else []


def _in_order(nodes: Sequence[Node]) -> list[Node]:
    by_id = {node.id: node for node in nodes}
    waiting = {node.id: len(node.needs) for node in nodes}
    after: dict[str, list[str]] = {}
    for node in nodes:
        for need in node.needs:
            after.setdefault(need, []).append(node.id)
    ready = [node.id for node in nodes if not node.needs]
    for current in ready:
        for follower in after.get(current, ()):
            waiting[follower] -= 1
            if waiting[follower] == 0:
                ready.append(follower)
    return [by_id[node_id] for node_id in ready]
