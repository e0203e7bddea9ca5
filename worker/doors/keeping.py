"""Which results of an ended run its retry keeps: everything that does not come after what is done again. No queries.

A node is an address: the ids on the way to it, those of loops with ``[item]``, and the item of the innermost loop as
``map_index``. Each item of a loop is a scope of its own: items that are done are kept, others begin where they broke.
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from analytics.core.errors import InputError
from worker.workflow.definition import Definition, Node

DONE = frozenset({"completed", "skipped"})
_ITEM = re.compile(r"\[\d+\]")
_WHILE = "while"

Address = tuple[str, int]
"""``node_id`` and ``map_index``."""
_Path = tuple[str, ...]
_Scope = tuple[str, int]


@dataclass(frozen=True, slots=True)
class _Plan:
    scopes: Mapping[_Scope, Mapping[str, str]]
    """Status of each node by its own id, for each scope: the run, and each item of each loop."""
    items: Mapping[str, Sequence[int]]
    """Items that have rows, by the address of their loop."""
    again: frozenset[_Path]
    """Nodes asked for, by definition."""
    changed: frozenset[str]
    """Nodes at the top that the version to be run has otherwise, or not at all."""


def kept_nodes(
    definition: Definition,
    statuses: Mapping[Address, str],
    *,
    from_nodes: Sequence[str] = (),
    old: Definition | None = None,
) -> list[Address]:
    """Return the nodes whose results a retry keeps.

    Args:
        definition: What the retry executes.
        statuses: What became of each node of the ended run.
        from_nodes: Nodes to do again, with all that comes after them; empty: those that were not completed.
        old: What the ended run executed, when that is another version: nodes that are not the same are done again.

    Raises:
        InputError: If a node of *from_nodes* is not in *definition*, or there is nothing to do again.
    """
    paths = frozenset(_path_of(definition, address) for address in from_nodes)
    scopes: dict[_Scope, dict[str, str]] = {}
    items: dict[str, set[int]] = {}
    for (node_id, map_index), status in statuses.items():
        container, _, own = node_id.rpartition("/")
        scopes.setdefault((container, map_index if container else -1), {})[own] = status
        if container:
            items.setdefault(container, set()).add(map_index)
    ordered = {container: sorted(found) for container, found in items.items()}
    plan = _Plan(scopes, ordered, paths, frozenset() if old is None else _changed(definition, old))
    kept = list(_kept_in(plan, definition.nodes, (), ("", -1)))
    top = {node_id for node_id, _ in kept if "/" not in node_id}
    if all(node.id in top for node in definition.nodes):
        raise InputError(
            "Every node of the run was completed, so that there is nothing to retry; nothing was queued."
            " Name nodes to begin from, or run it again as a whole."
        )
    return kept


def _kept_in(plan: _Plan, nodes: Sequence[Node], path: _Path, scope: _Scope) -> Iterator[Address]:
    """Yield what is kept of *scope*, one item of the loop at *path* or the run itself."""
    statuses = plan.scopes.get(scope, {})
    redone = _redone(plan, nodes, path, statuses)
    for node in nodes:
        if node.id not in redone:
            yield _row_of(scope, node.id)
            yield from _everything_in(plan, _loop_of(scope, node.id))
        elif _body(node) and not _begins_anew(plan, node, path, redone):
            yield from _kept_items(plan, node, (*path, node.id), _loop_of(scope, node.id))


def _kept_items(plan: _Plan, node: Node, path: _Path, address: str) -> Iterator[Address]:
    """Yield what is kept of the items of a loop that goes on where it broke."""
    for item in plan.items.get(address, ()):
        scope = (address, item)
        yield from _kept_in(plan, _body(node), path, scope)
        if node.kind == _WHILE and _redone(plan, _body(node), path, plan.scopes.get(scope, {})):
            return  # Later iterations came after what is done again.


def _everything_in(plan: _Plan, address: str) -> Iterator[Address]:
    for item in plan.items.get(address, ()):
        for own in plan.scopes.get((address, item), {}):
            yield _row_of((address, item), own)
            yield from _everything_in(plan, _loop_of((address, item), own))


def _redone(plan: _Plan, nodes: Sequence[Node], path: _Path, statuses: Mapping[str, str]) -> set[str]:
    roots = {node.id for node in nodes if statuses.get(node.id) not in DONE}
    roots |= {wanted[len(path)] for wanted in plan.again if len(wanted) > len(path) and wanted[: len(path)] == path}
    if not path:
        roots |= plan.changed
    followers: dict[str, list[str]] = {}
    for node in nodes:
        for need in node.needs:
            followers.setdefault(need, []).append(node.id)
    found, waiting = set(roots), list(roots)
    while waiting:
        for follower in followers.get(waiting.pop(), ()):
            if follower not in found:
                found.add(follower)
                waiting.append(follower)
    return found


def _begins_anew(plan: _Plan, node: Node, path: _Path, redone: set[str]) -> bool:
    """Tell whether a loop that is done again begins with its first item: its input may be another now."""
    asked = (*path, node.id) in plan.again or (not path and node.id in plan.changed)
    return asked or any(need in redone for need in node.needs)


def _row_of(scope: _Scope, own: str) -> Address:
    loop, item = scope
    return (f"{loop}/{own}" if loop else own), item


def _loop_of(scope: _Scope, own: str) -> str:
    """Return what the addresses of the nodes in the loop *own* of *scope* begin with."""
    loop, item = scope
    return f"{loop}[{item}]/{own}" if loop else own


def _changed(definition: Definition, old: Definition) -> frozenset[str]:
    before = {item["id"]: item for item in old.to_spec()["nodes"]}
    return frozenset(item["id"] for item in definition.to_spec()["nodes"] if before.get(item["id"]) != item)


def _body(node: Node) -> Sequence[Node]:
    return () if node.body is None else node.body.nodes


def _path_of(definition: Definition, address: str) -> _Path:
    path = tuple(_ITEM.sub("", address).split("/"))
    nodes: Sequence[Node] = definition.nodes
    for part in path:
        found = next((node for node in nodes if node.id == part), None)
        if found is None:
            raise InputError(
                f"The definition has no node {address!r}{_hint(part, (node.id for node in nodes))}; nothing was queued."
            )
        nodes = _body(found)
    return path


def _hint(name: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(names), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
