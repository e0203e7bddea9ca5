"""The steps of one run, as a graph, over time, as a table; and which of them is open.

The graph renews itself by its own socket and is drawn outside of what renews itself by reruns.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from analytics.core.clock import utc_now
from analytics.store.queries.runs import RunDetail
from dashboard import data, formats
from dashboard.auth.roles import Role
from dashboard.components import gantt, node_panel, run_actions, run_view, states
from dashboard.components.graph import graph
from dashboard.components.graph.runs import graph_height, run_graph
from dashboard.filters import Filters
from worker.workflow.definition import Definition, critical_path, definition_id

NODE_KEY, ITEM_KEY = "node", "item"
_SHOWS: dict[gantt.Show, str] = {"all": "All", "critical": "Critical path", "slowest": "Slowest", "failed": "Failed"}


@dataclass(frozen=True, slots=True)
class Place:
    """Which step is open."""

    node_id: str
    map_index: int = -1


def current_place() -> Place | None:
    """Return the step that the URL names, or None."""
    node_id = st.query_params.get(NODE_KEY)
    item = st.query_params.get(ITEM_KEY, "")
    return None if not node_id else Place(node_id, int(item) if item.isascii() and item.isdigit() else -1)


def open_place(place: Place | None) -> None:
    """Open another step, or none, and draw the page anew when that is a change."""
    if place == current_place():
        return
    for key in (NODE_KEY, ITEM_KEY):
        st.query_params.pop(key, None)
    if place is not None:
        st.query_params[NODE_KEY] = place.node_id
        if place.map_index >= 0:
            st.query_params[ITEM_KEY] = str(place.map_index)
    st.rerun(scope="app")


def critical_path_of(detail: RunDetail) -> list[str]:
    """Return the steps of the first level that decide how long the run takes, by what they took so far."""
    if not detail.spec.get("nodes"):
        return []
    took = dict.fromkeys((str(item["id"]) for item in detail.spec["nodes"]), 0.0)
    if run_view.is_active(detail):
        # What is to come counts as the definition estimates it.
        took = {}
    for node in detail.nodes:
        if node.map_index < 0 and (node.duration_s is not None or node.status == "skipped"):
            took[node.node_id] = node.duration_s or 0.0
    return critical_path(Definition.from_spec(detail.spec), took)


def draw_graph(detail: RunDetail, path: Sequence[str]) -> None:
    """Draw the definition with the states of the run; a click opens the step."""
    nodes, edges = run_graph(detail.spec, detail.nodes, has_run=True)
    if not nodes:
        st.caption("The definition of this run is not kept any more.")
        return
    place = current_place()
    active = run_view.is_active(detail)
    clicked = graph(
        nodes,
        edges,
        key=f"run.graph.{detail.row.id}",
        selected=None if place is None else definition_id(place.node_id),
        live_url=f"/ws/runs/{detail.row.id}" if active else None,
        height=graph_height(detail.spec),
        label="Steps of the run",
        critical=path,
        levels=True,
    )
    if place is None:
        st.caption("Choose a step to see its output, its log and what it waited for.")
    if clicked is not None:
        open_place(Place(clicked))


def draw_time(detail: RunDetail, path: Sequence[str]) -> None:
    """Draw the run over time; a click opens the step."""
    run_id = detail.row.id
    timeline = states.settle(data.timeline(run_id), "The time line")
    if timeline is None:
        return
    show = st.segmented_control(
        "Steps to show",
        list(_SHOWS),
        default="all",
        format_func=_SHOWS.__getitem__,
        label_visibility="collapsed",
        required=True,
        key="run.show",
    )
    now = gantt.steady(utc_now(), timeline.begin)
    names = run_view.names_of(detail.spec)
    picture = gantt.lanes_of(timeline, now=now, critical=path, names=names, show=show)
    if not picture.lanes:
        st.caption(f":material/check_circle: {'No step failed.' if show == 'failed' else 'No step has begun yet.'}")
        return
    lane = gantt.draw(picture, timeline, now=now, key=f"run.time.{run_id}.{show}")
    notes = [picture.note] if picture.note else []
    if timeline.left_out:
        notes.append(f"{timeline.left_out:,} more steps are not drawn; the table has them.")
    if path:
        notes.append("\N{BLACK DIAMOND SUIT} is on the critical path, which decides how long the run takes.")
    st.caption(" ".join(notes))
    if lane is not None and lane.node_id:
        open_place(Place(lane.node_id, lane.map_index))


def draw_table(detail: RunDetail) -> None:
    """Draw the steps as a table; a click opens the step."""
    node = run_view.draw_steps(detail.nodes, key=f"run.steps.{detail.row.id}")
    if node is not None:
        open_place(Place(node.node_id, node.map_index))


def draw_place(run_id: uuid.UUID, detail: RunDetail, place: Place, filters: Filters, role: Role) -> None:
    """Draw the step that is open: its items when it is a loop, itself with all its parts."""
    names = run_view.names_of(detail.spec)
    if definition_id(place.node_id) not in run_view.ids_of(detail.spec):
        st.caption(f":material/search_off: This run has no step {formats.escaped(place.node_id[:80])}.")
        return
    place = _present(detail, place)
    with st.container(border=True, key="run.step"):
        container = _loop_of(detail, place)
        if container is not None:
            _draw_loop(run_id, container, place)
        node_panel.draw_panel(
            run_id,
            place.node_id,
            place.map_index,
            name=run_view.name_in(names, place.node_id),
            filters=filters,
            is_active=run_view.is_active(detail),
            act=lambda: _draw_tools(detail, place, role),
        )


def _present(detail: RunDetail, place: Place) -> Place:
    """Return the step to show: of a step in a loop without an item, the first that failed, goes on, or is there."""
    if place.map_index >= 0 or "/" not in place.node_id:
        return place
    found = [node for node in detail.nodes if definition_id(node.node_id) == definition_id(place.node_id)]
    order = ("failed", "needs_attention", "running", "waiting")
    found.sort(key=lambda node: (order.index(node.status) if node.status in order else len(order), node.map_index))
    return Place(found[0].node_id, found[0].map_index) if found else place


def _loop_of(detail: RunDetail, place: Place) -> str | None:
    if place.map_index < 0 and definition_id(place.node_id) in run_view.containers_of(detail.spec):
        return place.node_id
    return node_panel.container_of(place.node_id)


def _draw_loop(run_id: uuid.UUID, container: str, place: Place) -> None:
    st.caption(f":material/repeat: Items of {formats.escaped(container)}")
    chosen = node_panel.draw_items(run_id, container, key=f"run.items.{container}")
    if chosen is not None and Place(*chosen) != place:
        open_place(Place(*chosen))


def _draw_tools(detail: RunDetail, place: Place, role: Role) -> None:
    if role >= Role.OPERATOR and not run_view.is_active(detail):
        asked = st.button(
            "Retry from here",
            icon=":material/replay:",
            key="run.step.retry",
            help="A new run keeps what the steps before it gave, and executes this one and all that need it.",
            on_click=run_actions.ask_retry_from,
            args=(detail, place.node_id),
        )
        if asked:
            st.rerun(scope="app")
    if st.button("Close", icon=":material/close:", key="run.step.close", type="tertiary"):
        open_place(None)
