"""Where the nodes of a graph go: layers from left to right, few crossings, no overlaps.

Longest-path layering and barycentre sweeps in plain Python; the same input gives the same picture.
Coordinates are pixels at zoom 1, x to the right and y down, of the middle of a node. Nothing here draws.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

COLUMN_GAP = 200
"""Least distance between the middles of nodes beside each other; a node is 168 wide."""
LAYER_GAP = 230
"""Distance between layers, with room for arrows."""
ROW_GAP = 76
"""Least distance between the middles of nodes above each other; a node is 48 high."""
SWEEPS = 4
ASPECT = 2.0
"""Width over height that a picture of several parts aims at."""

_Point = tuple[float, float]


@dataclass(frozen=True)
class _Part:
    """A connected part of the graph, drawn from (0, 0)."""

    points: dict[str, _Point]
    width: float
    height: float


def layered(nodes: Sequence[Mapping[str, Any]], edges: Sequence[Mapping[str, Any]]) -> dict[str, tuple[float, float]]:
    """Return a place for every node.

    Args:
        nodes: Each has ``id`` and perhaps ``group``; members of a group stay together within their layer.
        edges: Each has ``source`` and ``target``; one that ends at an unknown node, or at its own start, has no
            part in the layout. Of a cycle one edge goes backwards; without cycles all go to the right.

    Returns:
        (x, y) by id; no two nodes closer than ``COLUMN_GAP`` in x or ``ROW_GAP`` in y.
    """
    groups = {str(node["id"]): node.get("group") for node in nodes}
    pairs = dict.fromkeys(
        (str(edge["source"]), str(edge["target"]))
        for edge in edges
        if edge["source"] != edge["target"] and edge["source"] in groups and edge["target"] in groups
    )
    after = _without_cycles(groups, pairs)
    linked, alone = _parts(groups, after)
    parts = [_draw(part, after, groups) for part in linked]
    if alone:
        parts.append(_grid(sorted(alone, key=lambda node: str(groups[node] or "")), single=not linked))
    return _packed(parts)


def _without_cycles(nodes: Iterable[str], pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the successors of each node, edges that close a cycle turned round."""
    successors: dict[str, list[str]] = {node: [] for node in nodes}
    for source, target in pairs:
        successors[source].append(target)
    result: dict[str, list[str]] = {node: [] for node in successors}
    open_nodes: set[str] = set()
    done: set[str] = set()
    for root, targets in successors.items():
        if root in done:
            continue
        open_nodes.add(root)
        path = [(root, iter(targets))]
        while path:
            node, rest = path[-1]
            for target in rest:
                if target in open_nodes:
                    result[target].append(node)
                    continue
                result[node].append(target)
                if target not in done:
                    open_nodes.add(target)
                    path.append((target, iter(successors[target])))
                    break
            else:
                path.pop()
                open_nodes.discard(node)
                done.add(node)
    return result


def _parts(nodes: Iterable[str], after: Mapping[str, Sequence[str]]) -> tuple[list[list[str]], list[str]]:
    """Return the connected parts in the order of their first nodes, and the nodes without edges."""
    near: dict[str, list[str]] = {node: list(targets) for node, targets in after.items()}
    for node, targets in after.items():
        for target in targets:
            near[target].append(node)
    seen: set[str] = set()
    linked: list[list[str]] = []
    alone: list[str] = []
    for root in nodes:
        if root in seen:
            continue
        seen.add(root)
        part = [root]
        for node in part:
            fresh = [other for other in dict.fromkeys(near[node]) if other not in seen]
            seen.update(fresh)
            part.extend(fresh)
        if len(part) > 1:
            linked.append(part)
        else:
            alone.append(root)
    return linked, alone


def _draw(part: Sequence[str], after: Mapping[str, Sequence[str]], groups: Mapping[str, Any]) -> _Part:
    before: dict[str, list[str]] = {node: [] for node in part}
    for node in part:
        for target in after[node]:
            before[target].append(node)
    layers = _layers(part, after, before)
    _sweep(layers, after, before, groups)
    rows_at_most = max(8, math.ceil(1.2 * math.sqrt(len(part))))
    points: dict[str, _Point] = {}
    x = 0.0
    for layer in layers:
        columns = math.ceil(len(layer) / rows_at_most)
        rows = math.ceil(len(layer) / columns)
        for index, node in enumerate(layer):
            column, row = divmod(index, rows)
            in_column = min(rows, len(layer) - column * rows)
            points[node] = (x + column * COLUMN_GAP, (row - (in_column - 1) / 2) * ROW_GAP)
        x += (columns - 1) * COLUMN_GAP + LAYER_GAP
    top = min(y for _, y in points.values())
    height = max(y for _, y in points.values()) - top
    return _Part({node: (left, y - top) for node, (left, y) in points.items()}, x - LAYER_GAP, height)


def _layers(
    part: Sequence[str], after: Mapping[str, Sequence[str]], before: Mapping[str, Sequence[str]]
) -> list[list[str]]:
    """Put each node one layer after the last of those before it."""
    missing = {node: len(before[node]) for node in part}
    depth = dict.fromkeys(part, 0)
    ready = [node for node in part if not missing[node]]
    for node in ready:
        for target in after[node]:
            depth[target] = max(depth[target], depth[node] + 1)
            missing[target] -= 1
            if not missing[target]:
                ready.append(target)
    layers: list[list[str]] = [[] for _ in range(max(depth.values()) + 1)]
    for node in part:
        layers[depth[node]].append(node)
    return layers


def _sweep(
    layers: list[list[str]],
    after: Mapping[str, Sequence[str]],
    before: Mapping[str, Sequence[str]],
    groups: Mapping[str, Any],
) -> None:
    """Order each layer by the middle of its neighbours, right and left in turn."""
    place: dict[str, float] = {}
    for layer in layers:
        _place(layer, place)
    for turn in range(SWEEPS):
        rightwards = turn % 2 == 0
        near = before if rightwards else after
        for layer in layers if rightwards else reversed(layers):
            if len(layer) == 1:
                continue
            middle = {
                node: sum(map(place.__getitem__, near[node])) / len(near[node]) if near[node] else place[node]
                for node in layer
            }
            _order(layer, middle, groups)
            _place(layer, place)


def _order(layer: list[str], middle: Mapping[str, float], groups: Mapping[str, Any]) -> None:
    members: dict[Any, list[float]] = {}
    for node in layer:
        members.setdefault(groups[node] or (node,), []).append(middle[node])
    if len(members) == len(layer):
        layer.sort(key=middle.__getitem__)
        return
    rank = {name: index for index, (_, name) in enumerate(_by_mean(members))}
    layer.sort(key=lambda node: (rank[groups[node] or (node,)], middle[node]))


def _by_mean(members: Mapping[Any, Sequence[float]]) -> list[tuple[float, Any]]:
    return sorted(((sum(values) / len(values), name) for name, values in members.items()), key=itemgetter(0))


def _place(layer: Sequence[str], place: dict[str, float]) -> None:
    offset = (len(layer) - 1) / 2
    for index, node in enumerate(layer):
        place[node] = index - offset


def _grid(nodes: Sequence[str], *, single: bool) -> _Part:
    """Put nodes without edges in rows; below a drawn part in one flat block."""
    shape = ASPECT if single else 2 * ASPECT
    columns = max(1, round(math.sqrt(len(nodes) * shape * ROW_GAP / COLUMN_GAP)))
    points = {
        node: (float(index % columns * COLUMN_GAP), float(index // columns * ROW_GAP))
        for index, node in enumerate(nodes)
    }
    return _Part(points, (min(columns, len(nodes)) - 1) * COLUMN_GAP, (len(nodes) - 1) // columns * ROW_GAP)


def _packed(parts: Sequence[_Part]) -> dict[str, _Point]:
    """Put the parts on shelves, largest first, so that the whole keeps about the shape of a screen."""
    if not parts:
        return {}
    area = sum((part.width + LAYER_GAP) * (part.height + 2 * ROW_GAP) for part in parts)
    limit = max(math.sqrt(area * ASPECT), *(part.width for part in parts), 1.0)
    points: dict[str, _Point] = {}
    x = y = shelf = 0.0
    for part in sorted(parts, key=lambda part: -part.height):
        if x and x + part.width > limit:
            x, y, shelf = 0.0, y + shelf + 2 * ROW_GAP, 0.0
        points.update({node: (left + x, top + y) for node, (left, top) in part.points.items()})
        x += part.width + LAYER_GAP
        shelf = max(shelf, part.height)
    return points
