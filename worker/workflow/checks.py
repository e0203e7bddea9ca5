"""What can be wrong with a definition: every problem at once, each with its path and a reason.

First the shape, by JSON Schema; then the meaning: parameters, ids, needs and branches, cycles, each node's
configuration, and whether each template names something that will be there. A body is checked as a graph of its own.
Objects of JSON are dictionaries here: :func:`analytics.core.source.read_value` lets nothing else in.
"""

import difflib
import functools
import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jsonschema_rs

from analytics.core.errors import InputError
from analytics.core.source import Problem
from worker.workflow.durations import DAY_S, DURATION_SCHEMA, duration_problems
from worker.workflow.graphs import Ancestors, find_cycle
from worker.workflow.kinds import nearest_kind, registry
from worker.workflow.kinds.branch import branch_names
from worker.workflow.node_kind import NodeKind, Transport
from worker.workflow.schemas import Path, schema_problem, validator, violations
from worker.workflow.templates import ROOTS, Reference, either, has_template, references

MAX_NODES = 10_000
MAX_FOUND = 500
"""Problems of one definition that are looked for."""
_MOST_NAMES = 500
"""Among more names no similar one is looked for."""
_ENDS_SHOWN = 25
"""Of a cycle."""
MAX_BODY_DEPTH = 5
"""Containers inside containers."""
MAX_NODE_TIMEOUT_S = DAY_S
MAX_RUN_TIMEOUT_S = 400 * DAY_S
MAX_CACHE_S = 400 * DAY_S
MAX_BACKOFF_S = 3600.0
MAX_RETRIES = 20

CONTROL_KINDS = frozenset({"approval", "branch", "foreach", "subworkflow", "wait", "while"})
"""The kinds that the engine itself steers."""
TIMED_KINDS = frozenset({"foreach", "subworkflow", "while"})
"""Those of them that may have a timeout."""

_NAME = r"^[A-Za-z][A-Za-z0-9_-]{0,63}$"

_FIELDS_WITH_RULES = frozenset({"body", "cache", "retries", "backoff", "timeout"})

_NODES: dict[str, Any] = {"type": "array", "minItems": 1, "maxItems": MAX_NODES, "items": {"$ref": "#/$defs/node"}}
_NODE: dict[str, Any] = {
    "type": "object",
    "required": ["id", "kind"],
    "additionalProperties": False,
    "properties": {
        "id": {"type": "string", "pattern": _NAME},
        "kind": {"type": "string"},
        "name": {"type": "string", "maxLength": 200},
        "group": {"type": "string", "minLength": 1, "maxLength": 100},
        "config": {"type": "object"},
        "needs": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        "run_if": {"enum": ["all", "any", "always"]},
        "on_error": {"enum": ["fail", "continue"]},
        "retries": {"type": "integer", "minimum": 0, "maximum": MAX_RETRIES},
        "backoff": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"base": DURATION_SCHEMA, "cap": DURATION_SCHEMA},
        },
        "timeout": DURATION_SCHEMA,
        "cache": DURATION_SCHEMA,
        "priority": {"type": "integer", "minimum": -1_000_000, "maximum": 1_000_000},
        "estimated_duration_s": {"type": "number", "minimum": 0},
        "body": {
            "type": "object",
            "required": ["nodes"],
            "additionalProperties": False,
            "properties": {"nodes": _NODES, "output": {}},
        },
    },
}
DEFINITION_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["name", "nodes"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "pattern": _NAME},
        "description": {"type": "string", "maxLength": 2000},
        "tags": {"type": "array", "items": {"type": "string", "minLength": 1, "maxLength": 40}, "maxItems": 20},
        "params": {"type": "object"},
        "max_parallel": {"type": "integer", "minimum": 1, "maximum": 1000},
        "timeout": DURATION_SCHEMA,
        "concurrency": {
            "type": "object",
            "required": ["key"],
            "additionalProperties": False,
            "properties": {
                "key": {"type": "string", "minLength": 1, "maxLength": 200},
                "limit": {"type": "integer", "minimum": 1, "maximum": 1000},
            },
        },
        "nodes": _NODES,
        "output": {},
    },
    "$defs": {"node": _NODE},
}


@dataclass(frozen=True, slots=True)
class _Sight:
    """What a template may name at one place."""

    roots: tuple[str, ...]
    params: frozenset[str] | None
    """Names of parameters; None: any."""
    around: tuple[tuple[str, Ancestors], ...] = ()
    """The containers that the place stands in, each in its graph: what comes before them has ended, too."""


def definition_problems(value: Any) -> list[Problem]:
    """Return everything that keeps *value*, a JSON value, from being a definition; of very much, the first part."""
    if not isinstance(value, dict):
        return [Problem((), "a definition is a mapping with `name` and `nodes`")]
    return list(itertools.islice(_problems(value), MAX_FOUND))


def _problems(value: Mapping[str, Any]) -> Iterator[Problem]:
    yield from (Problem(path, reason) for path, reason in violations(_shape(), value, most=MAX_FOUND))
    params = value.get("params", {})
    sight = _Sight(ROOTS, _param_names(params))
    if isinstance(params, dict):
        yield from _params_problems(params)
    yield from (Problem(*found) for found in duration_problems(value, "timeout", least_s=1.0, most_s=MAX_RUN_TIMEOUT_S))
    yield from _key_problems(value, sight)
    if _count(value.get("nodes")) > MAX_NODES:
        yield Problem(("nodes",), f"more than {MAX_NODES} nodes, those in bodies included")
    else:
        yield from _Scope(value, (), sight).problems()


@functools.cache
def config_validator(kind: str) -> jsonschema_rs.Validator:
    """Return the validator of a node's ``config`` for the kind called *kind*, which has to exist."""
    return validator(dict(registry()[kind].config_schema))


def split_need(need: str) -> tuple[str, str | None]:
    """Return the id and the branch that *need*, an item of ``needs``, names; None: no branch."""
    node_id, dot, branch = need.partition(".")
    return node_id, branch if dot else None


@functools.cache
def _shape() -> jsonschema_rs.Validator:
    return validator(DEFINITION_SCHEMA)


def _param_names(params: Any) -> frozenset[str] | None:
    """Return the only names there can be; None: others may be given, too."""
    known = params.get("properties", {}) if isinstance(params, dict) else None
    if not isinstance(known, dict) or params.get("additionalProperties") is not False:
        return None
    return frozenset(known)


def _params_problems(params: Mapping[str, Any]) -> list[Problem]:
    found = schema_problem(dict(params))
    if found is not None:
        return [Problem(("params", *found[0]), found[1])]
    if params and params.get("type") != "object":
        return [Problem(("params", "type"), "the parameters' schema has to say `type: object`")]
    return []


def _key_problems(value: Mapping[str, Any], sight: _Sight) -> Iterator[Problem]:
    concurrency = value.get("concurrency")
    if isinstance(concurrency, dict):
        only_params = replace(sight, roots=("params",))
        yield from _reference_problems(concurrency.get("key"), ("concurrency", "key"), only_params, None, None)


def _count(nodes: Any) -> int:
    """Return how many nodes there are, those in bodies included."""
    found, open_lists = 0, [nodes]
    while open_lists:
        items = open_lists.pop()
        if isinstance(items, list):
            found += len(items)
            bodies = (item["body"] for item in items if isinstance(item, dict) and "body" in item)
            open_lists += [body.get("nodes") for body in bodies if isinstance(body, dict)]
    return found


class _Scope:
    """The definition, or a body: one graph of nodes and its output."""

    def __init__(self, value: Mapping[str, Any], where: Path, sight: _Sight, depth: int = 0) -> None:
        listed = value.get("nodes")
        self._value = value
        self._where = where
        self._sight = sight
        self._depth = depth
        self._items = [
            (place, item)
            for place, item in enumerate(listed if isinstance(listed, list) else ())
            if isinstance(item, dict) and isinstance(item.get("id"), str)
        ]
        self._by_id: dict[str, tuple[int, Mapping[str, Any]]] = {}
        for place, item in self._items:
            self._by_id.setdefault(item["id"], (place, item))
        self._graph = {node_id: _plain_needs(item) for node_id, (_, item) in self._by_id.items()}
        self._before = Ancestors(self._graph)

    def problems(self) -> Iterator[Problem]:
        yield from self._id_problems()
        yield from self._cycle_problems()
        for place, item in self._items:
            at = (*self._where, "nodes", place)
            yield from self._node_problems(at, item)
            yield from self._body_problems(at, item)
        yield from _reference_problems(
            self._value.get("output"), (*self._where, "output"), self._sight, self._graph, None
        )

    def _id_problems(self) -> Iterator[Problem]:
        for place, item in self._items:
            first = self._by_id[item["id"]][0]
            if first != place:
                at = (*self._where, "nodes", place, "id")
                yield Problem(at, f"the id {item['id']!r} is taken by nodes.{first}")
            for number, need in enumerate(_needs(item)):
                reason = None if need in self._by_id else self._need_problem(need)
                if reason is not None:
                    yield Problem((*self._where, "nodes", place, "needs", number), reason)

    def _need_problem(self, need: str) -> str | None:
        node_id, branch = split_need(need)
        if node_id not in self._by_id:
            return f"there is no node {node_id!r}{_close(node_id, self._by_id)}"
        if branch is None:
            return None
        needed = self._by_id[node_id][1]
        if needed.get("kind") != "branch":
            return f"{node_id!r} is no `branch`, so there is no branch {branch!r} of it"
        config = needed.get("config")
        names = branch_names(config) if isinstance(config, dict) else ()
        if branch not in names:
            return f"{node_id!r} has no branch {branch!r}{_close(branch, names)}"
        return None

    def _cycle_problems(self) -> Iterator[Problem]:
        cycle = find_cycle(self._graph)
        if cycle:
            place = self._by_id[cycle[0]][0]
            yield Problem((*self._where, "nodes", place, "needs"), f"a cycle: {_drawn(cycle)}")

    def _node_problems(self, at: Path, item: Mapping[str, Any]) -> Iterator[Problem]:
        name = item.get("kind")
        kind = registry().get(name) if isinstance(name, str) else None
        if kind is None:
            if isinstance(name, str):
                yield Problem((*at, "kind"), f"there is no node kind {name!r}{nearest_kind(name)}")
        else:
            yield from _config_problems(kind, at, item)
            if kind.has_body or not _FIELDS_WITH_RULES.isdisjoint(item):
                yield from (Problem((*at, *path), reason) for path, reason in _field_problems(kind, item))
        sight = replace(self._sight, roots=(*self._sight.roots, "loop")) if name == "while" else self._sight
        config = item.get("config", {})
        yield from _reference_problems(config, (*at, "config"), sight, self._graph, (item["id"], self._before))

    def _body_problems(self, at: Path, item: Mapping[str, Any]) -> Iterator[Problem]:
        body = item.get("body")
        if not isinstance(body, dict):
            return
        if self._depth == MAX_BODY_DEPTH:
            yield Problem((*at, "body"), f"bodies are nested deeper than {MAX_BODY_DEPTH}")
            return
        added = {"foreach": ("item", "index"), "while": ("loop",)}.get(str(item.get("kind")), ())
        roots = tuple(dict.fromkeys((*self._sight.roots, *added)))
        sight = _Sight(roots, self._sight.params, (*self._sight.around, (item["id"], self._before)))
        yield from _Scope(body, (*at, "body"), sight, self._depth + 1).problems()


def _config_problems(kind: NodeKind, at: Path, item: Mapping[str, Any]) -> Iterator[Problem]:
    config = item.get("config", {})
    if not isinstance(config, dict):
        return
    found = violations(config_validator(kind.name), config, templated=True)
    yield from (Problem((*at, "config", *path), reason) for path, reason in found)
    for key in kind.literals:
        if any(True for _ in _templates_in(config.get(key))):
            instead = "; bind a parameter instead" if "params" in kind.config_schema["properties"] else ""
            yield Problem((*at, "config", key), f"templates are not filled into {key!r}{instead}")
    if not found:
        yield from (Problem((*at, "config", *path), reason) for path, reason in kind.check(config))


def _templates_in(value: Any) -> Iterator[str]:
    open_values = [value]
    while open_values:
        current = open_values.pop()
        if has_template(current):
            yield current
        elif isinstance(current, dict):
            open_values += current.values()
        elif isinstance(current, list):
            open_values += current


def _field_problems(kind: NodeKind, item: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """Yield what does not go together: fields of the node and its kind, and durations out of range."""
    steered = kind.transport is Transport.CONTROL
    if kind.has_body and "body" not in item:
        yield ("body",), f"a {kind.name!r} needs a `body` with `nodes`"
    if not kind.has_body and "body" in item:
        yield ("body",), f"a {kind.name!r} carries no body"
    if "cache" in item and not kind.cacheable:
        yield ("cache",), f"the result of a {kind.name!r} is not kept, because it may be another one each time"
    if steered:
        yield from _steered_field_problems(kind.name, item)
    yield from duration_problems(item, "timeout", most_s=MAX_RUN_TIMEOUT_S if steered else MAX_NODE_TIMEOUT_S)
    yield from duration_problems(item, "cache", most_s=MAX_CACHE_S)
    backoff = item.get("backoff")
    if isinstance(backoff, dict):
        for name in ("base", "cap"):
            found = duration_problems(backoff, name, most_s=MAX_BACKOFF_S)
            yield from ((("backoff", *path), reason) for path, reason in found)


def _steered_field_problems(kind: str, item: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    for name in ("retries", "backoff"):
        if item.get(name):
            yield (name,), f"a {kind!r} is not tried again; set `{name}` on the nodes that do the work"
    if "timeout" in item and kind not in TIMED_KINDS:
        yield ("timeout",), f"a {kind!r} has no timeout"


def _reference_problems(
    value: Any,
    where: Path,
    sight: _Sight,
    graph: Mapping[str, Sequence[str]] | None,
    reader: tuple[str, Ancestors] | None,
) -> Iterator[Problem]:
    """Yield the templates in *value* that name what will not be there.

    Args:
        value: A JSON value.
        where: Its place.
        sight: What it may name.
        graph: The nodes beside it; None: nodes are not named here.
        reader: The node it belongs to; None: every node has ended when it is read.
    """
    try:
        found = list(references(value))
    except InputError as error:
        yield Problem((*where, *error.context["where"]), error.message)
        return
    for reference in found:
        reason = _root_problem(reference, sight)
        if reason is None and reference.parts[0] == "nodes" and graph is not None:
            reason = _node_reference_problem(reference, sight, graph, reader)
        if reason is not None:
            yield Problem((*where, *reference.where), reason)


def _root_problem(reference: Reference, sight: _Sight) -> str | None:
    root, *rest = reference.parts
    if root not in sight.roots:
        return f"the template {reference.path!r} has to begin with {either(sight.roots)}"
    if root == "params" and rest and sight.params is not None and rest[0] not in sight.params:
        return f"there is no parameter {rest[0]!r}{_close(rest[0], sight.params)}"
    return None


def _node_reference_problem(
    reference: Reference, sight: _Sight, graph: Mapping[str, Sequence[str]], reader: tuple[str, Ancestors] | None
) -> str | None:
    if len(reference.parts) == 1:
        return None
    named = reference.parts[1]
    if named in graph:
        if reader is None or reader[1].is_before(reader[0], named):
            return None
        return f"it reads the node {named!r} without needing it; add it to `needs`"
    if any(before.is_before(container, named) for container, before in sight.around):
        return None
    return f"there is no node {named!r}{_close(named, graph)}"


def _drawn(cycle: Sequence[str]) -> str:
    """Return the path of a *cycle*; a very long one without its middle."""
    if len(cycle) > 2 * _ENDS_SHOWN:
        left_out = f"… {len(cycle) - 2 * _ENDS_SHOWN} more …"
        cycle = [*cycle[:_ENDS_SHOWN], left_out, *cycle[-_ENDS_SHOWN:]]
    return " → ".join(cycle)


def _close(name: str, known: Collection[str]) -> str:
    if len(known) > _MOST_NAMES:
        return ""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _needs(item: Mapping[str, Any]) -> list[str]:
    needs = item.get("needs", ())
    return [need for need in needs if isinstance(need, str)] if isinstance(needs, list) else []


def _plain_needs(item: Mapping[str, Any]) -> list[str]:
    needs = _needs(item)
    if not any(["." in need for need in needs]):  # noqa: C419 - twice as fast, and there may be 10,000
        return list(dict.fromkeys(needs))
    return list(dict.fromkeys(split_need(need)[0] for need in _needs(item)))
