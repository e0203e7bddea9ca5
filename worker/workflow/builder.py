"""Definitions in Python: nodes are added by method, values name each other, and needs follow from that.

::

    flow = WorkflowBuilder("intake", description="Takes in")
    url = flow.param("url", {"type": "string"}, default="https://example.com")
    fetch = flow.add("fetch", "http.request", {"url": url}, timeout="5s")
    shape = flow.add("shape", "transform", {"input": fetch.output["json"], "steps": [{"pick": ["a"]}]})
    definition = flow.build(output=shape.output)

What comes out is the definition that the same YAML gives; problems are told the same way.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypedDict, Unpack

from analytics.core.errors import InputError
from worker.workflow.conditions import ALONE
from worker.workflow.definition import Definition, parse_definition
from worker.workflow.templates import references

Operator = Literal["==", "!=", "<", "<=", ">", ">=", "in", "contains", "present", "absent"]
Condition = Mapping[str, Any]
Duration = timedelta | float | str


@dataclass(frozen=True, slots=True)
class Ref:
    """A value that is known when the run gets there; stands in configurations and in f-strings."""

    path: str

    def __getitem__(self, key: str | int) -> "Ref":
        return Ref(f"{self.path}[{key}]" if isinstance(key, int) else f"{self.path}.{key}")

    def __str__(self) -> str:
        return f"{{{{ {self.path} }}}}"

    def optional(self) -> str:
        """Return a template that leaves its key or item out when there is no such value."""
        return f"{{{{ {self.path}? }}}}"


class NodeOptions(TypedDict, total=False):
    """What every node may say besides its configuration; the definition's own names."""

    name: str
    needs: Sequence["Handle | str"]
    run_if: Literal["all", "any", "always"]
    on_error: Literal["fail", "continue"]
    retries: int
    backoff: Mapping[str, Duration]
    timeout: Duration
    cache: Duration
    priority: int
    estimated_duration_s: float
    group: str


@dataclass(frozen=True, slots=True)
class Handle:
    """A node that was added: what others need and read."""

    id: str

    @property
    def output(self) -> Ref:
        """What it puts out."""
        return Ref(f"nodes.{self.id}.output")

    @property
    def error(self) -> Ref:
        """Why it failed, with ``on_error="continue"``; else null."""
        return Ref(f"nodes.{self.id}.error")

    @property
    def status(self) -> Ref:
        """How it ended."""
        return Ref(f"nodes.{self.id}.status")

    def branch(self, name: str) -> str:
        """Return the need of one of its branches, when it is a ``branch``."""
        return f"{self.id}.{name}"


def when(value: Any, operator: Operator, than: Any = None) -> Condition:
    """Return the condition that *value*, usually a :class:`Ref`, stands to *than* as *operator* says."""
    return {"value": value, "is": operator} if operator in ALONE else {"value": value, "is": operator, "than": than}


def all_of(*conditions: Condition) -> Condition:
    """Return the condition that holds when all of *conditions* do."""
    return {"all": list(conditions)}


def any_of(*conditions: Condition) -> Condition:
    """Return the condition that holds when one of *conditions* does."""
    return {"any": list(conditions)}


def negated(condition: Condition) -> Condition:
    """Return the condition that holds when *condition* does not."""
    return {"not": condition}


class Graph:
    """Nodes beside each other: a workflow's, or those of a body."""

    def __init__(self) -> None:
        self._nodes: list[dict[str, Any]] = []

    def add(
        self, node_id: str, kind: str, config: Mapping[str, Any] | None = None, **options: Unpack[NodeOptions]
    ) -> Handle:
        """Add a node; it needs what ``needs`` says, then what its configuration reads beside it.

        Args:
            node_id: Unique beside it.
            kind: Name of a kind.
            config: Its configuration; :class:`Ref` stands for values.
            options: As in a definition.
        """
        self._append(node_id, kind, config or {}, options)
        return Handle(node_id)

    def branch(
        self,
        node_id: str,
        cases: Mapping[str, Condition],
        *,
        otherwise: str | None = None,
        **options: Unpack[NodeOptions],
    ) -> Handle:
        """Add a ``branch``: the first of *cases*, condition by name, that holds, else *otherwise*."""
        config: dict[str, Any] = {"cases": [{"name": name, "when": condition} for name, condition in cases.items()]}
        if otherwise is not None:
            config["else"] = otherwise
        return self.add(node_id, "branch", config, **options)

    @contextmanager
    def foreach(
        self, node_id: str, items: Any, *, settings: Mapping[str, Any] | None = None, **options: Unpack[NodeOptions]
    ) -> Iterator["EachBody"]:
        """Add a ``foreach`` over *items*; the block fills its body.

        Args:
            node_id: Unique beside it.
            items: A list, or what names one.
            settings: ``max_parallel``, ``max_items``, ``on_error``.
            options: As in a definition.
        """
        body = EachBody(node_id)
        yield body
        self._append(node_id, "foreach", {"items": items, **(settings or {})}, options, body)

    @contextmanager
    def repeat(
        self, node_id: str, condition: Condition, *, max_iterations: int, **options: Unpack[NodeOptions]
    ) -> Iterator["LoopBody"]:
        """Add a ``while`` that goes on as long as *condition* holds; the block fills its body."""
        body = LoopBody(node_id)
        yield body
        self._append(node_id, "while", {"condition": condition, "max_iterations": max_iterations}, options, body)

    def spec(self) -> list[dict[str, Any]]:
        """Return the nodes as JSON, with what each needs."""
        known = {node["id"] for node in self._nodes}
        return [_with_needs(node, known) for node in self._nodes]

    def _append(
        self,
        node_id: str,
        kind: str,
        config: Mapping[str, Any],
        options: NodeOptions,
        body: "Body | None" = None,
    ) -> None:
        node: dict[str, Any] = {"id": node_id, "kind": kind, "config": _plain(config), **_plain(options)}
        if body is not None:
            node["body"] = body.body_spec()
        self._nodes.append(node)


class Body(Graph):
    """The graph that a container carries."""

    def __init__(self, node_id: str) -> None:
        super().__init__()
        self.node = Handle(node_id)
        """The container, for what comes after it."""
        self._output: Any = None

    def output(self, value: Any) -> None:
        """Say what one round puts out."""
        self._output = _plain(value)

    def body_spec(self) -> dict[str, Any]:
        """Return the body as JSON."""
        spec: dict[str, Any] = {"nodes": self.spec()}
        if self._output is not None:
            spec["output"] = self._output
        return spec


class EachBody(Body):
    """The body of a ``foreach``."""

    item = Ref("item")
    index = Ref("index")


class LoopBody(Body):
    """The body of a ``while``."""

    index = Ref("loop.index")
    last = Ref("loop.last")


class WorkflowBuilder(Graph):
    """A workflow under construction."""

    def __init__(
        self,
        name: str,
        *,
        description: str = "",
        tags: Sequence[str] = (),
        max_parallel: int | None = None,
        timeout: Duration | None = None,
    ) -> None:
        super().__init__()
        self._head: dict[str, Any] = {"name": name, "description": description, "tags": list(tags)}
        if max_parallel is not None:
            self._head["max_parallel"] = max_parallel
        if timeout is not None:
            self._head["timeout"] = _plain(timeout)
        self._properties: dict[str, Any] = {}
        self._required: list[str] = []

    def param(
        self, name: str, schema: Mapping[str, Any] | None = None, *, required: bool = False, **keywords: Any
    ) -> Ref:
        """Add a parameter; *keywords* are more of its JSON Schema, ``default`` and ``title`` for example."""
        if name in self._properties:
            raise InputError(f"There are two parameters {name!r}; nothing was built.")
        self._properties[name] = {**(schema or {}), **keywords}
        if required:
            self._required.append(name)
        return Ref(f"params.{name}")

    def concurrency(self, key: Ref | str, *, limit: int = 1) -> None:
        """Let no more than *limit* runs of one *key* be executed at once."""
        self._head["concurrency"] = {"key": str(key), "limit": limit}

    def build(self, *, output: Any = None) -> Definition:
        """Return the definition.

        Args:
            output: What a run puts out; None: the outputs of the nodes nothing else needs.

        Raises:
            InputError: If it cannot be used, with every problem as :func:`parse_definition` tells them.
        """
        spec = dict(self._head)
        if self._properties:
            spec["params"] = {"type": "object", "additionalProperties": False, "properties": self._properties}
            if self._required:
                spec["params"]["required"] = self._required
        spec["nodes"] = self.spec()
        if output is not None:
            spec["output"] = _plain(output)
        return parse_definition(spec)


def _with_needs(node: Mapping[str, Any], known: set[str]) -> dict[str, Any]:
    """Return *node* with what it reads added to what it needs: in its configuration, and for it in its body."""
    given = list(node.get("needs", ()))
    inside = node.get("body", {"nodes": []})
    hidden = {inner["id"] for inner in inside["nodes"]}
    read = [*_nodes_read(node["config"]), *(name for name in _nodes_read(inside) if name not in hidden)]
    named = {need.partition(".")[0] for need in given}
    added = [name for name in dict.fromkeys(read) if name in known and name not in named and name != node["id"]]
    return {**node, "needs": [*given, *added]}


def _nodes_read(value: Any) -> Iterator[str]:
    """Yield the ids that templates in *value* name; a text that is no template is told when it is built."""
    try:
        for reference in references(value):
            if reference.parts[0] == "nodes" and len(reference.parts) > 1:
                yield reference.parts[1]
    except InputError:
        return


def _plain(value: Any) -> Any:
    """Return *value* as JSON: references as templates, handles as ids, durations in seconds."""
    if isinstance(value, Ref):
        return str(value)
    if isinstance(value, Handle):
        return value.id
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
