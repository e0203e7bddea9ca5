"""Definitions of workflows: what they are, read from text, stored as immutable versions.

What can be wrong with one is in :mod:`worker.workflow.checks`; nothing here runs a node.
"""

import enum
import functools
import hashlib
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import resources
from typing import Any

import orjson
from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from analytics.core.errors import InputError
from analytics.core.ids import new_id
from analytics.core.source import Problem, Source, read_source, read_value
from analytics.store.tables.workflows import Workflow, WorkflowVersion
from worker.workflow.checks import CONTROL_KINDS, DEFINITION_SCHEMA, config_validator, definition_problems, split_need
from worker.workflow.durations import parse_duration
from worker.workflow.graphs import UNKNOWN_DURATION_S, find_cycle, level_lists, longest_path, weights

__all__ = [
    "DEFINITION_SCHEMA",
    "NO_TIMEOUT",
    "BackoffRule",
    "Body",
    "Concurrency",
    "Definition",
    "Node",
    "OnError",
    "RunIf",
    "builtin_definitions",
    "config_validator",
    "critical_path",
    "definition_id",
    "ensure_builtin_workflows",
    "estimated_duration_s",
    "find_cycle",
    "find_node",
    "levels",
    "parse_definition",
    "path_weights",
    "register_workflow",
    "spec_hash",
    "walk",
]

MAX_PROBLEMS = 100
DEFAULT_RETRIES = 3
DEFAULT_TIMEOUT = timedelta(seconds=30)
DEFAULT_MAX_PARALLEL = 64
NO_TIMEOUT = timedelta.max
"""The timeout of a node that the engine steers, unless it is given: it may take as long as it takes."""

_NO_BRANCHES: Mapping[str, tuple[str, ...]] = {}
_PLACE = re.compile(r"\[\d+\]", re.ASCII)


class RunIf(enum.StrEnum):
    """When a node begins, given how those it needs have ended."""

    ALL = "all"
    """All are completed; else it is skipped."""
    ANY = "any"
    """All have ended, and at least one is completed; else it is skipped."""
    ALWAYS = "always"
    """All have ended, however."""


class OnError(enum.StrEnum):
    """What a node that failed for good means for its run."""

    FAIL = "fail"
    """The run ends failed; what needs the node is skipped."""
    CONTINUE = "continue"
    """The run goes on; what needs the node sees the output null and ``nodes.ID.error``."""


@dataclass(frozen=True, slots=True)
class BackoffRule:
    """How waits before another attempt grow: doubled from *base*, never above *cap*."""

    base: timedelta = timedelta(milliseconds=500)
    cap: timedelta = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Concurrency:
    """How many runs of one key are executed at once."""

    key: str
    """May hold templates over ``params``."""
    limit: int = 1


@dataclass(frozen=True, slots=True)
class Body:
    """The nodes a container carries: a graph with ids of its own."""

    nodes: tuple["Node", ...]
    output: Any = None
    """What one round puts out, with templates; None: the outputs of the nodes nothing else needs, by node id."""


@dataclass(frozen=True, slots=True)
class Node:
    """One step of a workflow."""

    id: str
    kind: str
    config: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    """Nodes that have to end first, by plain id."""
    retries: int = DEFAULT_RETRIES
    """How often it is tried again after an error that may pass; nodes that the engine steers: 0."""
    timeout: timedelta = DEFAULT_TIMEOUT
    """The longest one attempt may take; of a container, all of it."""
    priority: int = 0
    """Among nodes that are ready, higher first."""
    estimated_duration_s: float | None = None
    name: str | None = None
    """What a page calls it; None: its id."""
    run_if: RunIf = RunIf.ALL
    on_error: OnError = OnError.FAIL
    cache_ttl: timedelta | None = None
    """How long its result may be used again; None: it is not kept."""
    backoff: BackoffRule | None = None
    """None: as the worker does it."""
    group: str | None = None
    """Nodes of one group are drawn as one when a graph is large."""
    body: Body | None = None
    """What a container carries."""
    branches: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Of a needed ``branch`` node: it counts as completed only if one of these branches was taken."""

    def to_spec(self) -> dict[str, Any]:
        """Return it as JSON, as it stands in its definition."""
        return _node_spec(self)


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
    max_parallel: int = DEFAULT_MAX_PARALLEL
    """How many nodes of one run may be under way at once."""
    timeout: timedelta | None = None
    """The longest a run may take from its start; None: no limit."""
    concurrency: Concurrency | None = None

    def to_spec(self) -> dict[str, Any]:
        """Return it as JSON; :func:`parse_definition` reads it back to an equal definition."""
        spec: dict[str, Any] = {"name": self.name, "description": self.description}
        if self.tags:
            spec["tags"] = list(self.tags)
        if self.params_schema:
            spec["params"] = dict(self.params_schema)
        if self.max_parallel != DEFAULT_MAX_PARALLEL:
            spec["max_parallel"] = self.max_parallel
        if self.timeout is not None:
            spec["timeout"] = self.timeout.total_seconds()
        if self.concurrency is not None:
            spec["concurrency"] = {"key": self.concurrency.key, "limit": self.concurrency.limit}
        spec["nodes"] = [_node_spec(node) for node in self.nodes]
        if self.output is not None:
            spec["output"] = self.output
        return spec

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "Definition":
        """Build it from a *spec* that was checked before."""
        timeout, concurrency = spec.get("timeout"), spec.get("concurrency")
        return cls(
            name=spec["name"],
            nodes=tuple(_node(item) for item in spec["nodes"]),
            description=spec.get("description", ""),
            params_schema=spec.get("params", {}),
            tags=tuple(spec.get("tags", ())),
            output=spec.get("output"),
            max_parallel=spec.get("max_parallel", DEFAULT_MAX_PARALLEL),
            timeout=None if timeout is None else parse_duration(timeout),
            concurrency=None if concurrency is None else Concurrency(concurrency["key"], concurrency.get("limit", 1)),
        )


def parse_definition(source: str | Mapping[str, Any]) -> Definition:
    """Read a definition from YAML or JSON text, or from a JSON value.

    Raises:
        InputError: If it cannot be used; ``context["problems"]`` lists every problem found, each with
            ``line`` (from 1, or None), ``path`` and ``reason``. Nothing was stored.
    """
    read = read_source(source) if isinstance(source, str) else read_value(source)
    problems = list(read.problems)
    if not problems or read.value is not None:
        problems += definition_problems(read.value)
    if problems:
        raise _refusal(read, problems)
    return Definition.from_spec(read.value)


def levels(definition: Definition | Sequence[Node]) -> list[list[str]]:
    """Return node ids by level: a node is one level after the last of those it needs."""
    return level_lists(_nodes_of(definition))


def path_weights(
    definition: Definition | Sequence[Node], durations: Mapping[str, float] | None = None
) -> dict[str, float]:
    """Return for each node the seconds of the longest path that begins with it: the critical path's priority.

    Args:
        definition: Or the nodes of a body.
        durations: Measured seconds by node id. Without them a node's estimate counts, without an estimate the
            longest path through its body once, and for a plain node one second.
    """
    nodes = _nodes_of(definition)
    return weights(nodes, _durations(nodes, durations))


def critical_path(definition: Definition | Sequence[Node], durations: Mapping[str, float] | None = None) -> list[str]:
    """Return the node ids along the path that takes longest, first to last; *durations* as in :func:`path_weights`."""
    nodes = _nodes_of(definition)
    return longest_path(nodes, _durations(nodes, durations))


def estimated_duration_s(definition: Definition) -> float | None:
    """Return the seconds along the critical path, or None when a node has no estimate."""
    if any(node.estimated_duration_s is None for node in definition.nodes):
        return None
    return max(path_weights(definition).values())


def definition_id(node_id: str) -> str:
    """Return the address of a node in its definition: ``each[3]/inner/fetch`` becomes ``each/inner/fetch``."""
    return _PLACE.sub("", node_id) if "[" in node_id else node_id


def walk(definition: Definition | Sequence[Node], prefix: str = "") -> Iterator[tuple[str, Node]]:
    """Yield every node with its address, a container before what it carries."""
    for node in _nodes_of(definition):
        yield prefix + node.id, node
        if node.body is not None:
            yield from walk(node.body.nodes, f"{prefix}{node.id}/")


def find_node(definition: Definition | Sequence[Node], node_id: str) -> Node | None:
    """Return the node at the address *node_id*, which may tell items apart, or None."""
    nodes: Sequence[Node] = _nodes_of(definition)
    found: Node | None = None
    for part in definition_id(node_id).split("/"):
        found = next((node for node in nodes if node.id == part), None)
        if found is None:
            return None
        nodes = found.body.nodes if found.body is not None else ()
    return found


def spec_hash(definition: Definition) -> str:
    """Return the hexadecimal SHA-256 by which equal definitions are known; the order of keys does not matter."""
    return hashlib.sha256(orjson.dumps(definition.to_spec(), option=orjson.OPT_SORT_KEYS)).hexdigest()


def register_workflow(
    session: Session, definition: Definition, *, created_by: str | None, builtin: bool = False
) -> tuple[uuid.UUID, int]:
    """Store *definition* as the current version of the workflow of its name; return the workflow and the version.

    A definition equal to the current version makes no new one.
    """
    spec = definition.to_spec()
    digest = spec_hash(definition)
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


def _nodes_of(definition: Definition | Sequence[Node]) -> Sequence[Node]:
    return definition.nodes if isinstance(definition, Definition) else definition


def _durations(nodes: Sequence[Node], measured: Mapping[str, float] | None) -> dict[str, float]:
    measured = measured or {}
    return {node.id: measured[node.id] if node.id in measured else _estimate_s(node) for node in nodes}


def _estimate_s(node: Node) -> float:
    if node.estimated_duration_s is not None:
        return node.estimated_duration_s
    if node.body is None:
        return UNKNOWN_DURATION_S
    return max(path_weights(node.body.nodes).values(), default=UNKNOWN_DURATION_S)


def _node(item: Mapping[str, Any]) -> Node:
    steered = item["kind"] in CONTROL_KINDS
    given, cache, backoff, body = item.get("timeout"), item.get("cache"), item.get("backoff"), item.get("body")
    needs, branches = _needs(item.get("needs", ()))
    return Node(
        id=item["id"],
        kind=item["kind"],
        config=item.get("config", {}),
        needs=needs,
        retries=item.get("retries", 0 if steered else DEFAULT_RETRIES),
        timeout=parse_duration(given) if given is not None else NO_TIMEOUT if steered else DEFAULT_TIMEOUT,
        priority=item.get("priority", 0),
        estimated_duration_s=item.get("estimated_duration_s"),
        name=item.get("name") or None,
        run_if=RunIf(item["run_if"]) if "run_if" in item else RunIf.ALL,
        on_error=OnError(item["on_error"]) if "on_error" in item else OnError.FAIL,
        cache_ttl=None if cache is None else parse_duration(cache),
        backoff=None if backoff is None else _backoff(backoff),
        group=item.get("group"),
        body=None if body is None else Body(tuple(_node(inner) for inner in body["nodes"]), body.get("output")),
        branches=branches,
    )


def _needs(written: Sequence[str]) -> tuple[tuple[str, ...], Mapping[str, tuple[str, ...]]]:
    """Return plain ids in their order, and the branches named of each."""
    if not any(["." in need for need in written]):  # noqa: C419 - twice as fast, and there may be 10,000
        return tuple(written), _NO_BRANCHES
    branches: dict[str, tuple[str, ...]] = {}
    ids: dict[str, None] = {}
    for need in written:
        node_id, branch = split_need(need)
        ids[node_id] = None
        if branch is not None:
            branches[node_id] = (*branches.get(node_id, ()), branch)
    return tuple(ids), branches


def _backoff(rule: Mapping[str, Any]) -> BackoffRule:
    return BackoffRule(**{name: parse_duration(value) for name, value in rule.items()})


def _node_spec(node: Node) -> dict[str, Any]:
    steered = node.kind in CONTROL_KINDS
    needs = [
        written
        for need in node.needs
        for written in ([f"{need}.{branch}" for branch in node.branches[need]] if need in node.branches else [need])
    ]
    spec: dict[str, Any] = {"id": node.id, "kind": node.kind, "config": dict(node.config), "needs": needs}
    if not steered:
        spec["retries"] = node.retries
    if node.timeout != NO_TIMEOUT:
        spec["timeout"] = node.timeout.total_seconds()
    spec |= {name: value for name, value in _optional_fields(node) if value}
    if node.estimated_duration_s is not None:
        spec["estimated_duration_s"] = node.estimated_duration_s
    if node.body is not None:
        spec["body"] = {"nodes": [_node_spec(inner) for inner in node.body.nodes]}
        if node.body.output is not None:
            spec["body"]["output"] = node.body.output
    return spec


def _optional_fields(node: Node) -> Iterator[tuple[str, Any]]:
    yield "priority", node.priority
    yield "name", node.name
    yield "group", node.group
    yield "run_if", None if node.run_if is RunIf.ALL else node.run_if.value
    yield "on_error", None if node.on_error is OnError.FAIL else node.on_error.value
    yield "cache", None if node.cache_ttl is None else node.cache_ttl.total_seconds()
    if node.backoff is not None:
        yield "backoff", {"base": node.backoff.base.total_seconds(), "cap": node.backoff.cap.total_seconds()}


def _refusal(read: Source, problems: list[Problem]) -> InputError:
    located = [{**problem.as_dict(), "line": problem.line or read.line_of(problem.path)} for problem in problems]
    located.sort(key=lambda item: item["line"] or 0)
    first = located[0]
    place = f"line {first['line']}: " if first["line"] else ""
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    named = f"{first['path']}: " if first["path"] else ""
    return InputError(
        f"The definition cannot be used: {place}{named}{first['reason']}{more}. Nothing was stored.",
        problems=located[:MAX_PROBLEMS],
    )
