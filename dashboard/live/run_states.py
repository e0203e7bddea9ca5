"""How each node of a definition stands in a run, kept up to date from rows that changed.

Nodes inside loops have one row for each item; here they are counted, so that a fan-out of ten thousand items is one
entry. Pure: nothing here reads or sends.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

WORST_FIRST = (
    "failed",
    "needs_attention",
    "running",
    "waiting",
    "pending",
    "cancelled",
    "completed",
    "skipped",
)
"""States of nodes, the one that matters most first."""
_SETTLED = frozenset({"completed", "skipped", "failed", "cancelled"})


class NodeState(Protocol):
    """What of a node's row is needed here."""

    @property
    def node_id(self) -> str:
        """Return the address of the node, see ``definition_of``."""

    @property
    def map_index(self) -> int:
        """Return the item or iteration, from 0; -1 for a node that runs once."""

    @property
    def status(self) -> str:
        """Return its state."""

    @property
    def attempt(self) -> int:
        """Return how often it was tried."""

    @property
    def started_at(self) -> datetime | None:
        """Return when it began, or None."""

    @property
    def finished_at(self) -> datetime | None:
        """Return when it ended, or None."""


@dataclass(frozen=True, slots=True)
class DefinedNode:
    """A node of a definition, perhaps of a body inside it."""

    path: str
    """Ids from the outermost container, joined by slashes: ``each/fetch``."""
    parent: str | None
    """Path of its container, or None."""
    item: Mapping[str, Any]
    """As it stands in the definition."""

    @property
    def body(self) -> list[Mapping[str, Any]]:
        """Return the nodes of its body; empty for a node that is no container."""
        body = self.item.get("body")
        nodes = body.get("nodes") if isinstance(body, Mapping) else None
        return list(nodes or ())


def defined_nodes(spec: Mapping[str, Any]) -> Iterator[DefinedNode]:
    """Give every node of *spec*, a container before what is in it."""
    waiting: list[tuple[str | None, Iterable[Mapping[str, Any]]]] = [(None, spec.get("nodes") or ())]
    while waiting:
        parent, items = waiting.pop(0)
        for item in items:
            path = str(item["id"]) if parent is None else f"{parent}/{item['id']}"
            node = DefinedNode(path, parent, item)
            yield node
            if node.body:
                waiting.append((path, node.body))


def definition_of(address: str) -> str:
    """Return the path of the node with this *address*: ``each[3]/inner/fetch`` is of ``each/inner/fetch``."""
    if "[" not in address:
        return address
    return "/".join(part.partition("[")[0] for part in address.split("/"))


def worst(statuses: Iterable[str]) -> str:
    """Return the state that matters most; a node of which nothing is known is pending."""
    found = set(statuses)
    return next((status for status in WORST_FIRST if status in found), next(iter(found), "pending"))


@dataclass
class _Standing:
    """What is known of one defined node."""

    rows: dict[tuple[str, int], NodeState] = field(default_factory=dict)
    statuses: Counter[str] = field(default_factory=Counter)


@dataclass
class _Items:
    """The items of one container: of each, the states of its body's nodes."""

    parts: dict[tuple[str, int], dict[str, str]] = field(default_factory=dict)
    standing: dict[tuple[str, int], str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)


class RunStates:
    """The states of a run's nodes by path; ``apply`` tells which of them changed."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self._defined = {node.path: node for node in defined_nodes(spec)}
        self._standing: dict[str, _Standing] = {}
        self._items = {path: _Items() for path, node in self._defined.items() if node.body}
        self.entries: dict[str, dict[str, Any]] = {path: {"id": path, "status": "pending"} for path in self._defined}
        """By path: ``id``, ``status`` and, once it began, ``attempt``, ``started_at``, ``finished_at``; for containers
        and what is in them ``counts``, items by state. An entry that changes is replaced, never written to."""

    def apply(self, rows: Iterable[NodeState]) -> set[str]:
        """Take over *rows*, in any order and any of them twice; return the paths whose entry changed."""
        touched: set[str] = set()
        for row in rows:
            path = definition_of(row.node_id)
            touched.add(path)
            self._count(path, row)
            container, _, _ = path.rpartition("/")
            if container in self._items:
                touched.add(container)
                self._count_item(container, row, path)
        changed = set()
        for path in touched:
            entry = self._entry(path)
            if entry != self.entries.get(path):
                self.entries[path] = entry
                changed.add(path)
        return changed

    def _count(self, path: str, row: NodeState) -> None:
        standing = self._standing.setdefault(path, _Standing())
        before = standing.rows.get((row.node_id, row.map_index))
        if before is not None:
            standing.statuses[before.status] -= 1
        standing.rows[row.node_id, row.map_index] = row
        standing.statuses[row.status] += 1

    def _count_item(self, container: str, row: NodeState, path: str) -> None:
        items = self._items[container]
        key = (row.node_id.rpartition("/")[0], row.map_index)
        parts = items.parts.setdefault(key, {})
        parts[path] = row.status
        known = items.standing.get(key)
        if known is not None:
            items.counts[known] -= 1
        items.standing[key] = now = self._item_status(container, parts)
        items.counts[now] += 1

    def _item_status(self, container: str, parts: Mapping[str, str]) -> str:
        status = worst(parts.values())
        if status in {"completed", "skipped", "pending"}:
            is_whole = len(parts) >= len(self._defined[container].body)
            return "completed" if is_whole and status != "pending" else "running"
        return status

    def _entry(self, path: str) -> dict[str, Any]:
        standing = self._standing.get(path)
        items = self._items.get(path)
        entry: dict[str, Any] = {"id": path, "status": "pending"}
        if standing is not None and standing.rows:
            entry["status"] = worst(status for status, count in standing.statuses.items() if count > 0)
            entry |= _times(standing.rows.values())
        defined = self._defined.get(path)
        if items is not None and items.standing:
            entry["counts"] = _positive(items.counts)
            if standing is None or not standing.rows:
                entry["status"] = worst(entry["counts"])
        elif defined is not None and defined.parent is not None and standing is not None:
            entry["counts"] = _positive(standing.statuses)
        return entry


def _positive(counts: Counter[str]) -> dict[str, int]:
    order = {status: place for place, status in enumerate(WORST_FIRST)}
    known = [(status, count) for status, count in counts.items() if count > 0]
    return dict(sorted(known, key=lambda pair: order.get(pair[0], len(order))))


def _times(rows: Iterable[NodeState]) -> dict[str, Any]:
    found = list(rows)
    if len(found) == 1:
        row = found[0]
        return {"attempt": row.attempt, "started_at": row.started_at, "finished_at": row.finished_at}
    started = [row.started_at for row in found if row.started_at is not None]
    finished = [row.finished_at for row in found if row.finished_at is not None]
    is_over = all(row.status in _SETTLED for row in found)
    return {
        "attempt": max(row.attempt for row in found),
        "started_at": min(started, default=None),
        "finished_at": max(finished, default=None) if is_over else None,
    }
