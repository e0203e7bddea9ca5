"""A definition, with the states of a run if one is given, as nodes and edges of the graph component.

Pure Python; states come out as the live feed sends them later, so a drawing and its feed agree.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dashboard import formats
from dashboard.live.run_states import DefinedNode, NodeState, RunStates, defined_nodes

_LEAST_HEIGHT, _MOST_HEIGHT = 220, 560
_ROW_HEIGHT = 75
_MANY_NODES = 40
_ICONS: Mapping[str, str] = {
    "approval": "how_to_reg",
    "branch": "call_split",
    "foreach": "repeat",
    "while": "autorenew",
    "subworkflow": "account_tree",
    "wait": "hourglass_top",
    "http.request": "http",
    "sql.query": "database",
    "transform": "transform",
    "python": "code",
    "mcp.call": "extension",
    "ocr.extract": "document_scanner",
}


def run_graph(
    spec: Mapping[str, Any], rows: Iterable[NodeState] = (), *, has_run: bool | None = None
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return nodes and edges of *spec* for :func:`dashboard.components.graph.graph`.

    Args:
        spec: A definition; loops bring the nodes of their body along, with ``parent``.
        rows: Nodes of a run that have begun.
        has_run: Whether nodes without a row are yet to come; None: when there are rows.
    """
    begun = list(rows)
    is_run = bool(begun) if has_run is None else has_run
    states = RunStates(spec)
    states.apply(begun)
    defined = list(defined_nodes(spec))
    nodes = [_node(node, states.entries[node.path], is_run=is_run) for node in defined]
    state_of = {node["id"]: node["state"] for node in nodes}
    edges = [
        {
            "source": source,
            "target": node.path,
            "label": branch,
            "active": state_of.get(source) == "completed" and state_of[node.path] == "running",
        }
        for node in defined
        for source, branch in _needs(node)
    ]
    return nodes, edges


def graph_height(spec: Mapping[str, Any]) -> int:
    """Return how many pixels the graph of a definition wants: more where more nodes stand side by side."""
    needs = {str(item["id"]): [str(need).partition(".")[0] for need in item.get("needs") or ()] for item in _top(spec)}
    bodies = sum(bool(item.get("body")) for item in _top(spec))
    if len(needs) > _MANY_NODES:
        return _MOST_HEIGHT
    depth: dict[str, int] = {}
    for _ in needs:
        for node, wanted in needs.items():
            depth[node] = 1 + max((depth.get(need, 0) for need in wanted), default=0)
    widest = max(Counter(depth.values()).values(), default=1) + (2 if bodies else 0)
    return max(_LEAST_HEIGHT, min(_MOST_HEIGHT, 90 + _ROW_HEIGHT * widest))


def _top(spec: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return list(spec.get("nodes") or ())


def _needs(node: DefinedNode) -> list[tuple[str, str]]:
    """Return the paths of what *node* needs, each with the name of the branch or an empty text."""
    prefix = "" if node.parent is None else f"{node.parent}/"
    parts = (str(need).partition(".") for need in node.item.get("needs") or ())
    return [(f"{prefix}{name}", branch) for name, _, branch in parts]


def _node(node: DefinedNode, entry: Mapping[str, Any], *, is_run: bool) -> dict[str, Any]:
    kind = str(node.item.get("kind", ""))
    drawn: dict[str, Any] = {
        "id": node.path,
        "label": str(node.item.get("name") or node.item["id"]),
        "state": entry["status"] if is_run else "defined",
        "icon": _ICONS.get(kind, "bolt"),
        "detail": kind,
        "group": node.item.get("group"),
        "parent": node.parent,
    }
    if entry.get("counts"):
        drawn["counts"] = entry["counts"]
    started, finished = entry.get("started_at"), entry.get("finished_at")
    if started is not None and finished is not None:
        drawn["detail"] = f"{kind}, {formats.duration((finished - started).total_seconds())}"
    return drawn
