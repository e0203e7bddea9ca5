"""What the browser is told of a graph: places, states, and groups folded when there are too many nodes.

Pure Python; nothing here knows Streamlit.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dashboard.components.graph.layout import layered

STATES = (
    "error",
    "failed",
    "running",
    "active",
    "waiting",
    "offline",
    "pending",
    "cancelled",
    "skipped",
    "idle",
    "completed",
)
"""Every state a node can have, the one that most needs attention first; a folded group shows the first present."""

FOLD_ABOVE = 300
"""With more nodes than this, groups are drawn as one node each."""
DRAW_AT_MOST = 2000
"""The browser stays smooth up to about this many nodes; groups that would exceed it stay folded."""
GROUP_PREFIX = "group:"
UNGROUPED = "Others"
_TIMES = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True)
class Picture:
    """A graph as it is drawn."""

    nodes: list[dict[str, Any]]
    edges: list[dict[str, Any]]
    members: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    """Of each folded group, its nodes' ids and states, so that live changes reach it."""
    note: str | None = None
    """What the reader must know of the drawing, for example that groups are folded."""

    def as_data(self) -> dict[str, Any]:
        """Return what is sent to the browser."""
        return {
            "nodes": self.nodes,
            "edges": self.edges,
            "members": self.members,
            "note": self.note,
            "ranking": list(STATES) if self.members else [],
        }


def picture(
    nodes: Sequence[Mapping[str, Any]],
    edges: Sequence[Mapping[str, Any]],
    *,
    unfolded: Collection[str] = (),
    fold_above: int = FOLD_ABOVE,
) -> Picture:
    """Return *nodes* and *edges* with places, groups folded when there are more than *fold_above* nodes.

    Args:
        nodes: ``id``, ``label``, ``state`` and perhaps ``icon``, ``detail``, ``group``.
        edges: ``source``, ``target`` and perhaps ``label``, ``active``; edges to unknown
            nodes, and from a node to itself, are left out.
        unfolded: Groups the reader opened.
        fold_above: The most nodes that are drawn one by one.
    """
    members: dict[str, list[dict[str, str]]] = {}
    note = None
    shown, links = list(nodes), list(edges)
    if len(nodes) > fold_above:
        shown, links, members = _folded(nodes, edges, unfolded)
        note = _note(len(nodes), len(members), folded=sum(map(len, members.values())))
    places = layered(shown, links)
    known = places.keys()
    return Picture(
        nodes=[_node(node, places[str(node["id"])]) for node in shown],
        edges=[
            _edge(edge)
            for edge in links
            if edge["source"] != edge["target"] and str(edge["source"]) in known and str(edge["target"]) in known
        ],
        members=members,
        note=note,
    )


def group_of(node: Mapping[str, Any]) -> str:
    """Return the name of the group that *node* is folded into."""
    return str(node.get("group") or UNGROUPED)


def worst(states: Collection[str]) -> str:
    """Return the state among *states* that most needs attention; one we do not know comes last."""
    return min(states, key=lambda state: STATES.index(state) if state in STATES else len(STATES))


def _folded(
    nodes: Sequence[Mapping[str, Any]], edges: Sequence[Mapping[str, Any]], unfolded: Collection[str]
) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]], dict[str, list[dict[str, str]]]]:
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for node in nodes:
        groups.setdefault(group_of(node), []).append(node)
    room = DRAW_AT_MOST - len(groups)
    stands_for: dict[str, str] = {}
    shown: list[Mapping[str, Any]] = []
    members: dict[str, list[dict[str, str]]] = {}
    for name, inside in groups.items():
        if len(inside) == 1 or (name in unfolded and len(inside) <= room):
            room -= len(inside)
            shown.extend(inside)
            continue
        key = f"{GROUP_PREFIX}{name}"
        members[key] = [{"id": str(node["id"]), "state": str(node["state"])} for node in inside]
        stands_for.update({member["id"]: key for member in members[key]})
        shown.append(
            {
                "id": key,
                "label": f"{name} {_TIMES}{len(inside)}",
                "state": worst([member["state"] for member in members[key]]),
                "icon": "workspaces",
                "group": name,
            }
        )
    return shown, _joined(edges, stands_for), members


def _joined(edges: Sequence[Mapping[str, Any]], stands_for: Mapping[str, str]) -> list[Mapping[str, Any]]:
    """Return *edges* between what is drawn, one for each pair, active if any of them is."""
    count: Counter[tuple[str, str]] = Counter()
    active: set[tuple[str, str]] = set()
    for edge in edges:
        pair = (
            stands_for.get(str(edge["source"]), str(edge["source"])),
            stands_for.get(str(edge["target"]), str(edge["target"])),
        )
        if pair[0] == pair[1]:
            continue
        count[pair] += 1
        if edge.get("active"):
            active.add(pair)
    return [
        {
            "source": pair[0],
            "target": pair[1],
            "label": f"{_TIMES}{times}" if times > 1 else "",
            "active": pair in active,
        }
        for pair, times in count.items()
    ]


def _note(total: int, groups: int, *, folded: int) -> str:
    if not groups:
        return f"{total:,} nodes are drawn one by one; with groups they could be folded."
    return f"{folded:,} of {total:,} nodes are folded into {groups:,} groups. Choose a group to open it."


def _node(node: Mapping[str, Any], place: tuple[float, float]) -> dict[str, Any]:
    return {
        "id": str(node["id"]),
        "label": str(node.get("label") or node["id"]),
        "state": str(node["state"]),
        "icon": node.get("icon"),
        "detail": node.get("detail"),
        "x": round(place[0], 1),
        "y": round(place[1], 1),
    }


def _edge(edge: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "source": str(edge["source"]),
        "target": str(edge["target"]),
        "label": str(edge.get("label") or ""),
        "active": bool(edge.get("active")),
    }
