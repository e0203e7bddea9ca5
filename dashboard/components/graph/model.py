"""What the browser is told of a graph: places, states, folds, levels and the critical path.

Pure Python; nothing here knows Streamlit.
"""

import itertools
import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dashboard.components.graph.folding import FOLD_ABOVE, GROUP_PREFIX, Fold, Folded, fold
from dashboard.components.graph.layout import NODE_HEIGHT, NODE_WIDTH, Layout, Sizes, in_lines, laid_out

__all__ = ["DRAW_AT_MOST", "FOLD_ABOVE", "GROUP_PREFIX", "STATES", "Picture", "picture", "worst"]

STATES = (
    "error",
    "failed",
    "needs_attention",
    "running",
    "active",
    "waiting",
    "offline",
    "pending",
    "cancelled",
    "skipped",
    "idle",
    "completed",
    "defined",
)
"""Every state a node can have, the one that most needs attention first; a fold shows the first present.

``defined`` is a node of a definition, without a run: nothing is said of it."""

DRAW_AT_MOST = 2_500
"""The browser stays smooth up to about this many nodes; folds that would exceed it stay closed."""
BOX_PADDING = 20.0
BOX_HEAD = 40.0
"""Room at the top of an open fold for its name."""
_TIMES = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True)
class Picture:
    """A graph as it is drawn."""

    nodes: list[dict[str, Any]]
    """``fold`` is true of a closed fold; ``counts`` holds the states of what it stands for."""
    edges: list[dict[str, Any]]
    boxes: list[dict[str, Any]] = field(default_factory=list)
    """Open folds, each after the one it is in."""
    members: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    """Of each closed group, its nodes' ids and states, so that live changes reach it."""
    note: str | None = None
    """What the reader must know of the drawing, for example that groups are folded."""
    is_fixed: bool = False
    """Whether the places have to be kept as they are; else the browser may turn them to the shape of its frame."""

    def as_data(self) -> dict[str, Any]:
        """Return what is sent to the browser."""
        return {
            "nodes": self.nodes,
            "edges": self.edges,
            "boxes": self.boxes,
            "members": self.members,
            "note": self.note,
            "isFixed": self.is_fixed,
            "ranking": list(STATES),
        }


def picture(
    nodes: Sequence[Mapping[str, Any]],
    edges: Sequence[Mapping[str, Any]],
    *,
    unfolded: Collection[str] = (),
    closed: Collection[str] = (),
    critical: Sequence[str] = (),
    fold_above: int = FOLD_ABOVE,
) -> Picture:
    """Return *nodes* and *edges* with places, folded when there are more than *fold_above* nodes.

    Args:
        nodes: ``id``, ``label``, ``state`` and perhaps ``icon``, ``detail``, ``group``, ``parent``, ``counts``.
        edges: ``source``, ``target`` and perhaps ``label``, ``active``; edges to unknown
            nodes, and from a node to itself, are left out.
        unfolded: Folds the reader opened.
        closed: Containers the reader closed.
        critical: Ids along the critical path, in order.
        fold_above: The most nodes that are drawn one by one.
    """
    known = {str(node["id"]) for node in nodes}
    links = [
        (str(edge["source"]), str(edge["target"]), edge)
        for edge in edges
        if edge["source"] != edge["target"] and str(edge["source"]) in known and str(edge["target"]) in known
    ]
    pairs = [(source, target) for source, target, _ in links]
    folded = fold(
        nodes, pairs, opened=unfolded, closed=closed, fold_above=fold_above, draw_at_most=max(DRAW_AT_MOST, fold_above)
    )
    drawing = _Drawing(folded, critical)
    drawing.place(pairs)
    has_groups = any(held.kind != "container" for held in folded.folds.values())
    return Picture(
        nodes=drawing.nodes,
        edges=drawing.joined(links),
        boxes=drawing.boxes,
        members={
            key: [(str(member["id"]), str(member["state"])) for member in held.members]
            for key, held in folded.folds.items()
            if not held.is_open and held.kind != "container"
        },
        note=_note(len(nodes), folded) if has_groups else None,
        is_fixed=bool(folded.folds),
    )


def worst(states: Collection[str]) -> str:
    """Return the state among *states* that most needs attention; one we do not know comes last."""
    return min(states, key=lambda state: STATES.index(state) if state in STATES else len(STATES))


class _Drawing:
    """Places and looks of a folded graph."""

    def __init__(self, folded: Folded, critical: Sequence[str]) -> None:
        self._folded = folded
        way = [folded.stands_for[node] for node in critical if node in folded.stands_for]
        self._critical = set(way)
        self._critical_pairs = {pair for pair in itertools.pairwise(way) if pair[0] != pair[1]}
        self.nodes: list[dict[str, Any]] = []
        self.boxes: list[dict[str, Any]] = []

    def joined(self, links: Sequence[tuple[str, str, Mapping[str, Any]]]) -> list[dict[str, Any]]:
        """Return the edges between what is drawn, one for each pair, active if any of them is."""
        stands_for = self._folded.stands_for
        count: Counter[tuple[str, str]] = Counter()
        active: set[tuple[str, str]] = set()
        labels: dict[tuple[str, str], str] = {}
        for source, target, edge in links:
            pair = (stands_for[source], stands_for[target])
            if pair[0] == pair[1]:
                continue
            count[pair] += 1
            labels[pair] = str(edge.get("label") or "")
            if edge.get("active"):
                active.add(pair)
        return [
            {
                "source": pair[0],
                "target": pair[1],
                "label": f"{_TIMES}{times}" if times > 1 else labels[pair],
                "active": pair in active,
            }
            | ({"critical": True} if pair in self._critical_pairs else {})
            for pair, times in count.items()
        ]

    def place(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Fill ``nodes`` and ``boxes``."""
        inner, _ = self._measured(self._folded.items, pairs, in_order=self._folded.in_order)
        self._emit(self._folded.items, inner, (0.0, 0.0))

    def _measured(
        self, items: Sequence[Mapping[str, Any] | Fold], pairs: Sequence[tuple[str, str]], *, in_order: bool
    ) -> tuple[dict[str, Any], tuple[float, float, float, float]]:
        """Return places within one frame, and its left, top, right and bottom."""
        sizes: dict[str, tuple[float, float]] = {}
        inside: dict[str, Any] = {}
        own = _between(items, pairs)
        for item in items:
            if isinstance(item, Fold) and item.is_open:
                inner, (left, top, right, bottom) = self._measured(item.items, pairs, in_order=item.in_order)
                inside[item.id] = (inner, (left, top))
                wide = max(right - left + 2 * BOX_PADDING, NODE_WIDTH + 2 * BOX_PADDING)
                sizes[item.id] = (wide, bottom - top + 2 * BOX_PADDING + BOX_HEAD)
        layout = _layout(items, own, sizes, in_order=in_order)
        places = {"layout": layout, "sizes": sizes, "inside": inside}
        return places, _bounds(layout.points, sizes)

    def _emit(
        self, items: Sequence[Mapping[str, Any] | Fold], places: Mapping[str, Any], origin: tuple[float, float]
    ) -> None:
        layout: Layout = places["layout"]
        for item in items:
            key = _key(item)
            x, y = layout.points[key]
            x, y = x + origin[0], y + origin[1]
            if isinstance(item, Fold) and item.is_open:
                width, height = places["sizes"][key]
                self.boxes.append(self._box(item, (x, y), (width, height)))
                inner, (left, top) = places["inside"][key]
                corner = (x - width / 2 + BOX_PADDING - left, y - height / 2 + BOX_PADDING + BOX_HEAD - top)
                self._emit(item.items, inner, corner)
                continue
            drawn = self._closed(item) if isinstance(item, Fold) else _node(item)
            drawn |= {"x": round(x, 1), "y": round(y, 1)}
            if key in layout.levels:
                drawn |= {"level": layout.levels[key], "part": layout.parts[key]}
            if key in self._critical:
                drawn["critical"] = True
            self.nodes.append(drawn)

    def _closed(self, item: Fold) -> dict[str, Any]:
        if item.node is not None:
            return _node(item.node) | {"fold": True, "kind": item.kind}
        states = Counter(str(member["state"]) for member in item.members)
        return {
            "id": item.id,
            "label": item.label,
            "state": worst(states.keys()),
            "icon": "workspaces" if item.kind == "group" else "stacks",
            "detail": None,
            "fold": True,
            "kind": item.kind,
            "counts": dict(states),
        }

    def _box(self, item: Fold, middle: tuple[float, float], size: tuple[float, float]) -> dict[str, Any]:
        node = item.node or {}
        return {
            "id": item.id,
            "label": item.label,
            "kind": item.kind,
            "state": str(node["state"]) if "state" in node else None,
            "detail": node.get("detail"),
            "counts": dict(node["counts"]) if node.get("counts") else None,
            "x": round(middle[0], 1),
            "y": round(middle[1], 1),
            "width": round(size[0], 1),
            "height": round(size[1], 1),
        } | ({"critical": True} if item.id in self._critical else {})


def _between(items: Sequence[Mapping[str, Any] | Fold], pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return which of *items* are joined by *pairs* of nodes in them, whether they are open or not."""
    holder = {_key(item): _key(item) for item in items}
    for item in items:
        if isinstance(item, Fold):
            holder.update((str(member["id"]), item.id) for member in item.members)
    found = ((holder.get(source), holder.get(target)) for source, target in pairs)
    return list(dict.fromkeys((left, right) for left, right in found if left and right and left != right))


def _layout(
    items: Sequence[Mapping[str, Any] | Fold], pairs: Sequence[tuple[str, str]], sizes: Sizes, *, in_order: bool
) -> Layout:
    ids = [_key(item) for item in items]
    if in_order:
        return Layout(in_lines(ids, sizes=sizes), {}, {})
    nodes = [
        {"id": key, "group": None if isinstance(item, Fold) else item.get("group")}
        for key, item in zip(ids, items, strict=True)
    ]
    return laid_out(nodes, [{"source": source, "target": target} for source, target in pairs], sizes=sizes)


def _bounds(points: Mapping[str, tuple[float, float]], sizes: Sizes) -> tuple[float, float, float, float]:
    left = top = math.inf
    right = bottom = -math.inf
    for key, (x, y) in points.items():
        width, height = sizes.get(key, (NODE_WIDTH, NODE_HEIGHT))
        left, right = min(left, x - width / 2), max(right, x + width / 2)
        top, bottom = min(top, y - height / 2), max(bottom, y + height / 2)
    return left, top, right, bottom


def _key(item: Mapping[str, Any] | Fold) -> str:
    return item.id if isinstance(item, Fold) else str(item["id"])


def _note(total: int, folded: Folded) -> str:
    closed = [held for held in _groups(folded) if not held.is_open]
    if not closed:
        return f"{total:,} nodes, all drawn one by one."
    hidden = sum(len(held.members) for held in closed)
    word = "levels" if all(held.kind == "level" for held in closed) else "groups"
    return f"{hidden:,} of {total:,} nodes are folded into {len(closed):,} {word}. Choose one to open it."


def _groups(folded: Folded) -> Iterator[Fold]:
    """Give the groups and levels that are drawn, from the outside in."""
    waiting: list[Iterable[Any]] = [folded.items]
    while waiting:
        for item in waiting.pop():
            if isinstance(item, Fold):
                if item.kind != "container":
                    yield item
                waiting.append(item.items)


def _node(node: Mapping[str, Any]) -> dict[str, Any]:
    drawn: dict[str, Any] = {
        "id": str(node["id"]),
        "label": str(node.get("label") or node["id"]),
        "state": str(node["state"]),
        "icon": node.get("icon"),
        "detail": node.get("detail"),
    }
    if node.get("counts"):
        drawn["counts"] = dict(node["counts"])
    return drawn
