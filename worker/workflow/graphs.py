"""Graphs of nodes: order, levels, cycles, weights and the critical path. Works on any sequence of nodes.

Nothing here knows kinds or configurations.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

_FEW = 16
UNKNOWN_DURATION_S = 1.0
"""What a node without an estimate counts."""


class Step(Protocol):
    """What a graph needs to know of a node."""

    @property
    def id(self) -> str:
        """Its id."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Ids of those before it."""


StepT = TypeVar("StepT", bound=Step)


def in_order(nodes: Sequence[StepT]) -> list[StepT]:
    """Return *nodes* so that each comes after those it needs; what hangs on a cycle is left out."""
    by_id = {node.id: node for node in nodes}
    order = ordered_ids({node.id: node.needs for node in nodes})
    return [by_id[node_id] for node_id in order]


def ordered_ids(graph: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the ids of *graph*, which maps a node to what it needs, each after those it needs.

    What hangs on a cycle, or on an id that is not in *graph*, is left out.
    """
    waiting = {node_id: len(needs) for node_id, needs in graph.items()}
    after: dict[str, list[str]] = {}
    for node_id, needs in graph.items():
        for need in needs:
            after.setdefault(need, []).append(node_id)
    ready = [node_id for node_id, count in waiting.items() if count == 0]
    for current in ready:
        for follower in after.get(current, ()):
            waiting[follower] -= 1
            if waiting[follower] == 0:
                ready.append(follower)
    return ready


def level_lists(nodes: Sequence[Step]) -> list[list[str]]:
    """Return ids by level: a node is one level after the last of those it needs."""
    depth: dict[str, int] = {}
    for node in in_order(nodes):
        depth[node.id] = 1 + max((depth[need] for need in node.needs), default=-1)
    found: list[list[str]] = [[] for _ in range(1 + max(depth.values(), default=-1))]
    for node in nodes:
        found[depth[node.id]].append(node.id)
    return found


def weights(nodes: Sequence[Step], durations: Mapping[str, float]) -> dict[str, float]:
    """Return for each node the seconds of the longest path that begins with it.

    Args:
        nodes: Without cycles.
        durations: Seconds by id; one that is missing counts :data:`UNKNOWN_DURATION_S`.
    """
    after: dict[str, float] = {}
    found: dict[str, float] = {}
    for node in reversed(in_order(nodes)):
        weight = durations.get(node.id, UNKNOWN_DURATION_S) + after.get(node.id, 0.0)
        found[node.id] = weight
        for need in node.needs:
            if weight > after.get(need, 0.0):
                after[need] = weight
    return found


def longest_path(nodes: Sequence[Step], durations: Mapping[str, float]) -> list[str]:
    """Return the ids along the path that takes longest, first to last; of equal ones the one given first."""
    weight = weights(nodes, durations)
    followers: dict[str, list[str]] = {}
    for node in nodes:
        for need in node.needs:
            followers.setdefault(need, []).append(node.id)
    path: list[str] = []
    candidates: Iterable[str] = [node.id for node in nodes if not node.needs]
    while candidates:
        best = max(candidates, key=weight.__getitem__)
        path.append(best)
        candidates = followers.get(best, ())
    return path


def find_cycle(graph: Mapping[str, Sequence[str]]) -> list[str] | None:
    """Return the ids of a cycle, the first repeated at the end, or None; *graph* maps a node to what it needs."""
    finished: set[str] = set()
    for start in graph:
        if start in finished:
            continue
        trail, on_trail = [start], {start}
        stack = [iter(graph[start])]
        while stack:
            step = next((need for need in stack[-1] if need in graph and need not in finished), None)
            if step is None:
                stack.pop()
                left = trail.pop()
                on_trail.discard(left)
                finished.add(left)
            elif step in on_trail:
                return [*reversed(trail[trail.index(step) :]), trail[-1]]
            else:
                trail.append(step)
                on_trail.add(step)
                stack.append(iter(graph[step]))
    return None


class Ancestors:
    """Which nodes come before which, over all paths; worked out once, at the first question that needs it."""

    def __init__(self, graph: Mapping[str, Sequence[str]]) -> None:
        self._graph = graph
        self._bits: dict[str, int] | None = None
        self._sets: dict[str, int] = {}

    def is_before(self, node_id: str, other: str) -> bool:
        """Tell whether *other* has to end before *node_id* begins; true where a cycle hides the answer."""
        if other not in self._graph:
            return False
        needs = self._graph[node_id]
        if len(needs) <= _FEW and other in needs:
            return True
        if self._bits is None:
            self._bits = {name: 1 << place for place, name in enumerate(self._graph)}
            for name in ordered_ids(self._graph):
                found = 0
                for need in self._graph[name]:
                    found |= self._sets[need] | self._bits[need]
                self._sets[name] = found
        known = self._sets.get(node_id)
        return known is None or bool(known & self._bits[other])
