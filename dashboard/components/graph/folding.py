"""Which nodes of a large graph are drawn one by one, and which stand together as one until somebody opens them.

With more nodes than a reader can take in they are folded by group, or by level where there are no groups. An opened
fold with still too many nodes shows folds again, so that ten thousand nodes are as usable as three hundred. Containers
(``foreach``, ``while``) hold the nodes of their body in the same way. Pure Python.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from dashboard.components.graph.layout import levels_of

FOLD_ABOVE = 300
"""With more nodes than this beside each other, they are folded."""
OPEN_CONTAINERS_UP_TO = 40
"""In a graph with at most so many nodes, containers are open at first."""
MOST_LEVEL_FOLDS = 14
PER_FOLD = 100
"""How many nodes of one level stand together when a level alone is too large."""
GROUP_PREFIX = "group:"
UNGROUPED = "Others"
_TIMES = "\N{MULTIPLICATION SIGN}"

FoldKind = Literal["group", "level", "container"]
Node = Mapping[str, Any]
Pairs = Sequence[tuple[str, str]]


@dataclass
class Fold:
    """Several nodes that stand as one; drawn as a frame around them while it is open."""

    id: str
    label: str
    kind: FoldKind
    members: list[Node]
    """Every node in it, also of folds and containers inside."""
    node: Node | None = None
    """The container itself."""
    is_open: bool = False
    items: "list[Node | Fold]" = field(default_factory=list)
    """What is drawn inside; empty while it is closed."""
    in_order: bool = False
    """Whether what is inside is a sequence of levels."""


@dataclass(frozen=True)
class Folded:
    """A graph with its folds."""

    items: list[Node | Fold]
    in_order: bool
    stands_for: Mapping[str, str]
    """Id of what is drawn, by id of the node that it stands for; of nodes that are drawn themselves too."""
    folds: Mapping[str, Fold]
    """All folds that are drawn, open or not, by id."""


def fold(
    nodes: Sequence[Node],
    pairs: Pairs,
    *,
    opened: Collection[str] = (),
    closed: Collection[str] = (),
    fold_above: int = FOLD_ABOVE,
    draw_at_most: int = 2000,
) -> Folded:
    """Return what to draw of *nodes*.

    Args:
        nodes: ``id``, ``label`` and perhaps ``group`` and ``parent``, the id of the container it is in.
        pairs: Source and target of each edge; unknown ids have no part in it.
        opened: Ids of folds the reader opened; names of groups will do.
        closed: Ids of containers the reader closed.
        fold_above: The most nodes beside each other that are drawn one by one.
        draw_at_most: Folds whose opening would draw more nodes than this stay closed.
    """
    wishes = _Wishes(frozenset(opened) | {f"{GROUP_PREFIX}{name}" for name in opened}, frozenset(closed))
    return _Folding(nodes, pairs, wishes, fold_above=fold_above, draw_at_most=draw_at_most).result()


@dataclass(frozen=True, slots=True)
class _Wishes:
    """What the reader opened and closed, by id."""

    opened: frozenset[str]
    closed: frozenset[str]


class _Folding:
    def __init__(
        self, nodes: Sequence[Node], pairs: Pairs, wishes: _Wishes, *, fold_above: int, draw_at_most: int
    ) -> None:
        known = {str(node["id"]) for node in nodes}
        self._inside: dict[str, list[Node]] = {}
        self._top: list[Node] = []
        for node in nodes:
            parent = node.get("parent")
            if parent is not None and str(parent) in known:
                self._inside.setdefault(str(parent), []).append(node)
            else:
                self._top.append(node)
        self._pairs = pairs
        self._opened, self._closed = wishes.opened, wishes.closed
        self._fold_above = fold_above
        self._room = draw_at_most
        self._containers_open = len(nodes) <= OPEN_CONTAINERS_UP_TO
        self._folds: dict[str, Fold] = {}
        self._stands_for: dict[str, str] = {}

    def result(self) -> Folded:
        items, in_order = self._beside(self._top, "")
        return Folded(items, in_order, self._stands_for, self._folds)

    def _beside(self, nodes: Sequence[Node], within: str) -> tuple[list[Node | Fold], bool]:
        """Return what is drawn of nodes that stand beside each other, and whether it is a sequence of levels."""
        if len(nodes) <= self._fold_above:
            return [self._single(node) for node in nodes], False
        groups: dict[str, list[Node]] = {}
        for node in nodes:
            groups.setdefault(str(node.get("group") or UNGROUPED), []).append(node)
        is_grouped = len(groups) > 1 and not within
        if is_grouped:
            parts = [(f"{GROUP_PREFIX}{name}", f"{name} {_TIMES}{len(part):,}", part) for name, part in groups.items()]
            kind: FoldKind = "group"
        else:
            parts, kind = _by_level(nodes, self._pairs, within), "level"
        self._room -= len(parts)
        return [
            self._single(part[0]) if len(part) == 1 else self._several(key, label, kind, part)
            for key, label, part in parts
        ], not is_grouped

    def _several(self, key: str, label: str, kind: FoldKind, nodes: list[Node]) -> Fold:
        found = Fold(key, label, kind, list(self._with_bodies(nodes)))
        self._folds[key] = found
        cost = len(nodes) if len(nodes) <= self._fold_above else MOST_LEVEL_FOLDS
        if key in self._opened and cost <= self._room:
            self._room -= cost if len(nodes) <= self._fold_above else 0
            found.is_open = True
            found.items, found.in_order = self._beside(nodes, key)
            self._stands_for.setdefault(key, key)
        else:
            self._stands_for.update({str(node["id"]): key for node in found.members})
        return found

    def _single(self, node: Node) -> Node | Fold:
        key = str(node["id"])
        self._stands_for[key] = key
        inside = self._inside.get(key)
        if not inside:
            return node
        label = str(node.get("label") or key)
        found = Fold(key, label, "container", list(self._with_bodies(inside)), node=node)
        self._folds[key] = found
        wanted = key in self._opened or (self._containers_open and key not in self._closed)
        if wanted and min(len(inside), self._fold_above) <= self._room:
            self._room -= min(len(inside), self._fold_above)
            found.is_open = True
            found.items, found.in_order = self._beside(inside, key)
        else:
            self._stands_for.update({str(member["id"]): key for member in found.members})
        return found

    def _with_bodies(self, nodes: Iterable[Node]) -> Iterable[Node]:
        for node in nodes:
            yield node
            yield from self._with_bodies(self._inside.get(str(node["id"]), ()))


def _by_level(nodes: Sequence[Node], pairs: Pairs, within: str) -> list[tuple[str, str, list[Node]]]:
    """Split *nodes* into at most about :data:`MOST_LEVEL_FOLDS` folds of neighbouring levels, of similar size.

    Nodes of a single level are split by their order.
    """
    prefix = f"{within}/" if within else GROUP_PREFIX
    own = {str(node["id"]) for node in nodes}
    depth = levels_of(own, pairs)
    by_level: dict[int, list[Node]] = {}
    for node in nodes:
        by_level.setdefault(depth[str(node["id"])], []).append(node)
    if len(by_level) == 1:
        each = max(PER_FOLD, math.ceil(len(nodes) / MOST_LEVEL_FOLDS))
        return [
            (f"{prefix}nodes {start + 1}", _span("Nodes", start + 1, min(start + each, len(nodes))), list(part))
            for start in range(0, len(nodes), each)
            for part in (nodes[start : start + each],)
        ]
    folds: list[tuple[int, int, list[Node]]] = []
    size = math.ceil(len(nodes) / MOST_LEVEL_FOLDS)
    for level in sorted(by_level):
        part = by_level[level]
        if folds and len(folds[-1][2]) + len(part) / 2 <= size:
            first, _, held = folds[-1]
            folds[-1] = (first, level, [*held, *part])
        else:
            folds.append((level, level, list(part)))
    return [
        (
            f"{prefix}levels {first + 1}-{last + 1}",
            f"{_span('Level', first + 1, last + 1)} {_TIMES}{len(part):,}",
            part,
        )
        for first, last, part in folds
    ]


def _span(word: str, first: int, last: int) -> str:
    if first == last:
        return f"{word} {first}"
    plural = word if word.endswith("s") else f"{word}s"
    return f"{plural} {first}\N{EN DASH}{last}"
