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
NODE_WIDTH = 168.0
NODE_HEIGHT = 48.0
SWEEPS = 4
ASPECT = 2.0
"""Width over height that a picture of several parts aims at."""

_Point = tuple[float, float]
Sizes = Mapping[str, tuple[float, float]]
"""Width and height of what is larger than a node, by id."""


@dataclass(frozen=True)
class Layout:
    """Where everything is, and what belongs together."""

    points: dict[str, _Point]
    """Middles, by id."""
    levels: dict[str, int]
    """How many steps of edges lead to each node at most, from 0; nodes without edges are not in it."""
    parts: dict[str, int]
    """Which connected part each node belongs to."""


@dataclass(frozen=True)
class _Part:
    """A connected part of the graph, drawn from (0, 0): the middle of a first node of usual size."""

    points: dict[str, _Point]
    width: float
    """Between the middles of the outermost nodes, were they of usual size; the same for ``height``."""
    height: float
    usual: tuple[float, float]
    """Width and height if every node had the usual size; what decides on the order does not depend on sizes."""


def layered(
    nodes: Sequence[Mapping[str, Any]], edges: Sequence[Mapping[str, Any]], *, sizes: Sizes | None = None
) -> dict[str, tuple[float, float]]:
    """Return a place for every node, see :func:`laid_out`."""
    return laid_out(nodes, edges, sizes=sizes).points


def laid_out(
    nodes: Sequence[Mapping[str, Any]], edges: Sequence[Mapping[str, Any]], *, sizes: Sizes | None = None
) -> Layout:
    """Return a place for every node.

    Args:
        nodes: Each has ``id`` and perhaps ``group``; members of a group stay together within their layer.
        edges: Each has ``source`` and ``target``; one that ends at an unknown node, or at its own start, has no
            part in the layout. Of a cycle one edge goes backwards; without cycles all go to the right.
        sizes: Of nodes larger than usual. They push others aside; who is beside whom does not change with them.

    Returns:
        Among other things (x, y) by id; no two nodes of usual size closer than ``COLUMN_GAP`` in x or ``ROW_GAP``
        in y, and no two of any size overlap.
    """
    larger = sizes or {}
    groups = {str(node["id"]): node.get("group") for node in nodes}
    pairs = dict.fromkeys(
        (str(edge["source"]), str(edge["target"]))
        for edge in edges
        if edge["source"] != edge["target"] and edge["source"] in groups and edge["target"] in groups
    )
    after = _without_cycles(groups, pairs)
    linked, alone = _parts(groups, after)
    levels: dict[str, int] = {}
    parts = [_draw(part, after, groups, larger, levels) for part in linked]
    if alone:
        parts.append(_grid(sorted(alone, key=lambda node: str(groups[node] or "")), larger, single=not linked))
    part_of = {node: index for index, part in enumerate(parts) for node in part.points}
    return Layout(_packed(parts), levels, part_of)


def levels_of(ids: Iterable[str], pairs: Iterable[tuple[str, str]]) -> dict[str, int]:
    """Return how many steps lead to each of *ids* at most, from 0, along those *pairs* that are among them."""
    known = list(dict.fromkeys(ids))
    own = set(known)
    after = _without_cycles(known, dict.fromkeys(pair for pair in pairs if own.issuperset(pair) and pair[0] != pair[1]))
    before: dict[str, list[str]] = {node: [] for node in known}
    for node, targets in after.items():
        for target in targets:
            before[target].append(node)
    return {node: depth for depth, layer in enumerate(_layers(known, after, before)) for node in layer}


def in_lines(ids: Sequence[str], *, sizes: Sizes | None = None, per_line: int = 4) -> dict[str, tuple[float, float]]:
    """Return places in the order of *ids*, like lines of text of which every second runs back."""
    larger = sizes or {}
    points: dict[str, _Point] = {}
    top = -NODE_HEIGHT / 2
    for start in range(0, len(ids), per_line):
        line = list(ids[start : start + per_line])
        tall = max(_size(node, larger)[1] for node in line)
        left = -NODE_WIDTH / 2
        if start // per_line % 2:
            line.reverse()
            left += (per_line - len(line)) * LAYER_GAP
        for node in line:
            width, _ = _size(node, larger)
            points[node] = (left + width / 2, top + tall / 2)
            left += width + LAYER_GAP - NODE_WIDTH
        top += tall + 2 * ROW_GAP - NODE_HEIGHT
    return points


def _size(node: str, larger: Sizes) -> tuple[float, float]:
    return larger.get(node, (NODE_WIDTH, NODE_HEIGHT))


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


def _draw(
    part: Sequence[str],
    after: Mapping[str, Sequence[str]],
    groups: Mapping[str, Any],
    larger: Sizes,
    levels: dict[str, int],
) -> _Part:
    before: dict[str, list[str]] = {node: [] for node in part}
    for node in part:
        for target in after[node]:
            before[target].append(node)
    layers = _layers(part, after, before)
    levels.update((node, depth) for depth, layer in enumerate(layers) for node in layer)
    _sweep(layers, after, before, groups)
    rows_at_most = max(8, math.ceil(1.2 * math.sqrt(len(part))))
    columns: list[list[str]] = []
    gaps: list[float] = []
    for layer in layers:
        count = math.ceil(len(layer) / rows_at_most)
        rows = math.ceil(len(layer) / count)
        columns.extend(layer[start : start + rows] for start in range(0, len(layer), rows))
        gaps.extend([COLUMN_GAP] * (len(columns) - len(gaps) - 1))
        gaps.append(LAYER_GAP)
    tallest = max(map(len, columns))
    usual = (sum(gaps[:-1]), float((tallest - 1) * ROW_GAP))
    return _stacked(columns, gaps, larger, usual)


def _stacked(
    columns: Sequence[Sequence[str]], gaps: Sequence[float], larger: Sizes, usual: tuple[float, float]
) -> _Part:
    """Put *columns* beside each other, each stacked about one middle line."""
    points: dict[str, _Point] = {}
    left, top, bottom = -NODE_WIDTH / 2, math.inf, -math.inf
    right = left
    for column, gap in zip(columns, gaps, strict=True):
        sizes = [_size(node, larger) for node in column]
        wide = max(width for width, _ in sizes)
        tall = sum(height for _, height in sizes) + (len(column) - 1) * (ROW_GAP - NODE_HEIGHT)
        y = -tall / 2
        top, bottom = min(top, y), max(bottom, tall / 2)
        for node, (_, height) in zip(column, sizes, strict=True):
            points[node] = (left + wide / 2, y + height / 2)
            y += height + ROW_GAP - NODE_HEIGHT
        right = left + wide
        left = right + gap - NODE_WIDTH
    shift = top + NODE_HEIGHT / 2
    return _Part(
        {node: (x, y - shift) for node, (x, y) in points.items()},
        right - NODE_WIDTH / 2,
        bottom - top - NODE_HEIGHT,
        usual,
    )


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


def _grid(nodes: Sequence[str], larger: Sizes, *, single: bool) -> _Part:
    """Put nodes without edges in rows; below a drawn part in one flat block."""
    shape = ASPECT if single else 2 * ASPECT
    columns = max(1, round(math.sqrt(len(nodes) * shape * ROW_GAP / COLUMN_GAP)))
    usual = (float((min(columns, len(nodes)) - 1) * COLUMN_GAP), float((len(nodes) - 1) // columns * ROW_GAP))
    points: dict[str, _Point] = {}
    top, right = -NODE_HEIGHT / 2, 0.0
    for start in range(0, len(nodes), columns):
        line = nodes[start : start + columns]
        tall = max(_size(node, larger)[1] for node in line)
        left = -NODE_WIDTH / 2
        for node in line:
            wide, high = _size(node, larger)
            points[node] = (left + wide / 2, top + high / 2)
            right = max(right, left + wide - NODE_WIDTH / 2)
            left += wide + COLUMN_GAP - NODE_WIDTH
        top += tall + ROW_GAP - NODE_HEIGHT
    return _Part(points, right, top - ROW_GAP + NODE_HEIGHT / 2, usual)


def _packed(parts: Sequence[_Part]) -> dict[str, _Point]:
    """Put the parts on shelves, largest first, so that the whole keeps about the shape of a screen.

    Which part is on which shelf follows from the usual sizes alone, so that nothing jumps when a node grows.
    """
    if not parts:
        return {}
    area = sum((part.usual[0] + LAYER_GAP) * (part.usual[1] + 2 * ROW_GAP) for part in parts)
    limit = max(math.sqrt(area * ASPECT), *(part.usual[0] for part in parts), 1.0)
    points: dict[str, _Point] = {}
    x = y = shelf = usual_x = 0.0
    for part in sorted(parts, key=lambda part: -part.usual[1]):
        if usual_x and usual_x + part.usual[0] > limit:
            x, y, shelf, usual_x = 0.0, y + shelf + 2 * ROW_GAP, 0.0, 0.0
        points.update({node: (left + x, top + y) for node, (left, top) in part.points.items()})
        x += part.width + LAYER_GAP
        usual_x += part.usual[0] + LAYER_GAP
        shelf = max(shelf, part.height)
    return points
