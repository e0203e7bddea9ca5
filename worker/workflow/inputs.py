"""What a node sees: the scope its templates name, and its configuration with every template resolved.

The executor has scopes in memory. Whoever has not, a model worker or a page, gets the same from the rows of the run.
"""

import re
import uuid
from collections import ChainMap
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from analytics.core.errors import InputError, NotFoundError
from worker.workflow.artifacts import load_output
from worker.workflow.checks import config_validator
from worker.workflow.definition import Definition, Node
from worker.workflow.kinds import find_kind
from worker.workflow.node_kind import NodeKind
from worker.workflow.schemas import violations
from worker.workflow.templates import resolve

_CONTAINER = re.compile(r"(.+)\[(\d+)\]", re.ASCII)
_RUN = text(
    "SELECT r.created_at, r.input, v.spec FROM run r"
    " JOIN workflow_version v ON v.workflow_id = r.workflow_id AND v.version = r.version"
    " WHERE r.id = :run_id AND (CAST(:created_at AS timestamptz) IS NULL OR r.created_at = :created_at)"
)
_ENDED = text(
    "SELECT node_id, map_index, status, output, output_ref, error FROM node_run WHERE run_id = :run_id"
    " AND run_created_at = :created_at AND node_id = ANY(:nodes) AND map_index BETWEEN :first AND :last"
    " AND status IN ('completed', 'failed', 'skipped')"
)

_Nodes = dict[str, Any]


def scope_of(run_id: uuid.UUID, created_at: datetime, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return what templates may name: ``params``, ``run``, and ``nodes``, empty until outputs are put in."""
    return {
        "params": params,
        "nodes": {},
        "run": {"id": str(run_id), "created_at": created_at.isoformat()},
    }


def resolved_config(
    kind: NodeKind, node: Node, scope: Mapping[str, Any], *, is_literal: bool = False
) -> Mapping[str, Any]:
    """Return the configuration of *node* with every template resolved, valid against the kind's schema.

    Args:
        kind: The node's kind.
        node: The node.
        scope: What templates may name.
        is_literal: It is known that there are no templates.

    Raises:
        InputError: If a template names what is not there, or the result does not fit the schema.
    """
    config: Mapping[str, Any] = node.config
    if not is_literal:
        literal = {key: value for key, value in config.items() if key in kind.literals or key in kind.lazy}
        config = {**resolve({key: value for key, value in config.items() if key not in literal}, scope), **literal}
    checker = config_validator(kind.name)
    if not checker.is_valid(config):
        problems = violations(checker, config)
        listed = "; ".join(f"{'.'.join(map(str, path)) or 'config'}: {reason}" for path, reason in problems[:5])
        raise InputError(f"The configuration of {node.id!r} cannot be used: {listed}. The node was not run.")
    return config


def node_input(session: Session, run_id: uuid.UUID, node_id: str, map_index: int = -1) -> Mapping[str, Any] | None:
    """Return the configuration with which a node is carried, or None while what its templates name is not there.

    What the engine reads at its own time, the condition of a loop for example, is left as it is written.

    Raises:
        NotFoundError: If there is no such run or node.
    """
    node, scope = node_scope(session, run_id, None, node_id, map_index)
    kind = find_kind(node.kind)
    unresolved = {key: value for key, value in node.config.items() if key in kind.literals or key in kind.lazy}
    try:
        rest = resolve({key: value for key, value in node.config.items() if key not in unresolved}, scope)
    except InputError:
        return None
    return {**rest, **unresolved}


def node_scope(
    session: Session, run_id: uuid.UUID, created_at: datetime | None, node_id: str, map_index: int = -1
) -> tuple[Node, Mapping[str, Any]]:
    """Return the node at an address of a run, and what its templates may name, from the rows of the run.

    Raises:
        NotFoundError: If there is no such run or node.
        InputError: If a loop around it names what is not there.
    """
    row = session.execute(_RUN, {"run_id": run_id, "created_at": created_at}).one_or_none()
    if row is None:
        raise NotFoundError(f"There is no run {run_id} with its definition; {node_id!r} was not looked at.")
    rows = _Rows(session, run_id, row.created_at)
    nodes: Sequence[Node] = Definition.from_spec(row.spec).nodes
    scope: Mapping[str, Any] = scope_of(run_id, row.created_at, row.input)
    prefix, head, index = "", "", -1
    *containers, last = node_id.split("/")
    for depth, part in enumerate(containers):
        scope = _with_nodes(scope, rows.ended(prefix, nodes, index))
        found = _CONTAINER.fullmatch(part)
        inner = map_index if depth == len(containers) - 1 else int(found[2]) if found else -1
        container = _find(nodes, part if found is None else found[1], node_id)
        if container.body is None or inner < 0:
            raise NotFoundError(f"{node_id!r} is no address of a node in this run.")
        prefix = f"{head}{container.id}/"
        head = f"{head}{container.id}[{inner}]/"
        scope = _inside(container, inner, scope, rows, prefix)
        nodes, index = container.body.nodes, inner
    return _find(nodes, last, node_id), _with_nodes(scope, rows.ended(prefix, nodes, index))


class _Rows:
    def __init__(self, session: Session, run_id: uuid.UUID, created_at: datetime) -> None:
        self._session = session
        self._run = {"run_id": run_id, "created_at": created_at}

    def ended(self, prefix: str, nodes: Sequence[Node], index: int) -> _Nodes:
        """Return what templates see of *nodes* in one pass, by id."""
        return self.passes(prefix, nodes, index, index).get(index, {})

    def passes(self, prefix: str, nodes: Sequence[Node], first: int, last: int) -> dict[int, _Nodes]:
        """Return the same of the passes from *first* to *last*, by pass."""
        values = self._run | {"nodes": [prefix + node.id for node in nodes], "first": first, "last": last}
        found: dict[int, _Nodes] = {}
        for row in self._session.execute(_ENDED, values).all():
            output = load_output(self._session, row.output, row.output_ref)
            seen = {"output": output, "status": row.status, "error": row.error}
            found.setdefault(row.map_index, {})[row.node_id.removeprefix(prefix)] = seen
        return found


def _inside(container: Node, index: int, scope: Mapping[str, Any], rows: _Rows, prefix: str) -> Mapping[str, Any]:
    """Return what the body of *container* sees besides its own nodes, in the pass *index*."""
    if "items" in container.config:
        items = resolve(container.config["items"], scope)
        if not isinstance(items, list) or index >= len(items):
            raise NotFoundError(f"{container.id!r} has no item {index}.")
        return {**scope, "item": items[index], "index": index}
    assert container.body is not None  # noqa: S101 - looked at by the caller
    last: Any = None
    passes = rows.passes(prefix, container.body.nodes, 0, index - 1)
    for turn in range(index):
        view = _with_nodes({**scope, "loop": {"index": turn, "last": last}}, passes.get(turn, {}))
        last = body_output(container.body.nodes, container.body.output, view)
    return {**scope, "loop": {"index": index, "last": last}}


def body_output(nodes: Sequence[Node], output: Any, scope: Mapping[str, Any]) -> Any:
    """Return what one pass over *nodes* puts out: *output* resolved, or what the last of them put out, by id.

    Raises:
        InputError: If a template names what is not there.
    """
    if output is not None:
        return resolve(output, scope)
    needed = {need for node in nodes for need in node.needs}
    seen = scope["nodes"]
    ends = (node.id for node in nodes if node.id not in needed and node.id in seen)
    return {node_id: seen[node_id]["output"] for node_id in ends if seen[node_id]["status"] != "skipped"}


def _with_nodes(scope: Mapping[str, Any], nodes: _Nodes) -> Mapping[str, Any]:
    return {**scope, "nodes": ChainMap(nodes, scope["nodes"])}


def _find(nodes: Sequence[Node], name: str, node_id: str) -> Node:
    found = next((node for node in nodes if node.id == name), None)
    if found is None:
        raise NotFoundError(f"The workflow has no node {node_id!r}; nothing was run.")
    return found
