"""A graph of agents or workflow nodes: state at a glance, select, pan, zoom, live changes.

Places come from ``layout``, what stands as one from ``folding``, the content from ``model``; the browser's part is
built from ``frontend`` into ``assets`` and drawn by cytoscape.js. Nothing here reads data.

A live source is a WebSocket that sends JSON: ``{"type": "snapshot" | "diff", "seq": n, "agents": [{"id": …,
"status": …, "task": …, "version": n, "at": …}], "gone": [id, …]}``; ``nodes`` may stand for ``agents``. A diff holds
only what changed, ``status`` is a state of ``model.STATES``, ``counts`` are items by state of a container, and an
entry older than the version already shown is ignored. ``stale`` says that the server's own source is away; ``ping``
is answered with ``pong``. After a message whose ``run`` has a final ``status``, or when the server closes with code
4401 or 4403 (signed out), the component does not try again.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard.components.graph.model import picture
from dashboard.components.graph.registration import renderer


def graph(
    nodes: Sequence[Mapping[str, Any]],
    edges: Sequence[Mapping[str, Any]],
    *,
    key: str,
    selected: str | None = None,
    live_url: str | None = None,
    height: int = 520,
    label: str = "Graph",
    critical: Sequence[str] = (),
    levels: bool = False,
) -> str | None:
    """Draw a graph and return the id of the node that was chosen just now.

    Above ``model.FOLD_ABOVE`` nodes it is folded by group, or by level without groups; folds open in place. Draw it
    outside of fragments that renew themselves: with *live_url* it renews itself, and what stays the same is not sent.

    Args:
        nodes: ``id``, ``label``, ``state`` (one of ``model.STATES``) and perhaps ``icon`` (a Material Symbols name),
            ``detail`` (a few words below the label), ``group``, ``parent`` (the container it is in) and ``counts``
            (of a container, items by state). :func:`dashboard.components.graph.runs.run_graph` makes them of a run.
        edges: ``source``, ``target`` and perhaps ``label``, ``active``.
        key: Unique on the page; keeps zoom and selection over reruns.
        selected: The node to mark.
        live_url: Path of a WebSocket of this host that sends states; None: no live changes.
        height: Of the drawing, in pixels.
        label: What the graph shows, for screen readers.
        critical: Ids along the critical path, in order, to be marked with the edges between them.
        levels: Whether to mark the levels: nodes that the same number of steps leads to.

    Returns:
        The id, in the one run that the choice caused; None otherwise. A fold is opened, not returned; a container is
        both.
    """
    state: Mapping[str, Any] = st.session_state.get(key) or {}
    unfolded = [str(name) for name in state.get("unfolded") or ()]
    closed = [str(name) for name in state.get("closed") or ()]
    data = picture(nodes, edges, unfolded=unfolded, closed=closed, critical=critical).as_data()
    result = renderer("graph")(
        key=key,
        data=data
        | {
            "selected": selected,
            "liveUrl": live_url,
            "height": height,
            "label": label,
            "unfolded": unfolded,
            "closed": closed,
            "hasCritical": bool(critical),
            "showLevels": levels,
        },
        on_clicked_change=_no_reaction,
        on_unfolded_change=_no_reaction,
        on_closed_change=_no_reaction,
    )
    clicked = result.get("clicked")
    return str(clicked) if clicked else None


def _no_reaction() -> None:
    """Stand in for a callback: Streamlit returns only values that have one."""
