"""What did one run do?"""

import uuid
from datetime import timedelta

import streamlit as st

from analytics.core.errors import InputError
from analytics.store.queries.runs import RunDetail
from dashboard import actions, data, guard
from dashboard.auth.roles import Role
from dashboard.auth.viewer import current_viewer
from dashboard.components import run_view, states
from dashboard.components.graph import graph
from dashboard.components.head import current_filters
from dashboard.components.workflows import graph_height, nodes_of
from dashboard.links import page_of, query

filters = current_filters()
can_cancel = current_viewer().role >= Role.OPERATOR
WATCH = timedelta(seconds=1)


def run_id() -> uuid.UUID:
    text = st.query_params.get("run", "")
    try:
        return uuid.UUID(text)
    except ValueError:
        raise InputError(
            f"{text[:60]!r} is not the number of a run; nothing was read. Choose a run on the page Workflows."
            if text
            else "This page shows one run. Choose it on the page Workflows."
        ) from None


def draw_head(detail: RunDetail) -> None:
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.header(run_view.title(detail), anchor=False, width="content")
        if run_view.is_active(detail) and can_cancel:
            label = "Cancelling" if detail.cancel_requested else "Cancel"
            if st.button(label, icon=":material/cancel:", key="run.cancel", disabled=detail.cancel_requested):
                actions.attempt(lambda: actions.cancel_run(detail.row.id))
                st.rerun()
    st.caption(run_view.story(detail))


def draw_live() -> None:
    answer = data.run(wanted)
    detail = states.settle(answer, "The run")
    if detail is None:
        return
    draw_head(detail)
    run_view.draw_result_link(detail, filters)
    nodes, edges = nodes_of(detail.spec, detail.nodes)
    if nodes:
        clicked = graph(
            nodes,
            edges,
            key=f"run.graph.{wanted}",
            selected=st.query_params.get("node"),
            height=graph_height(detail.spec),
            label="Steps of the run",
        )
        if clicked is not None:
            st.query_params["node"] = clicked
    step = run_view.draw_steps(detail, st.query_params.get("node"))
    if step is not None:
        st.query_params["node"] = step
    was_active = st.session_state.get("run.active")
    st.session_state["run.active"] = run_view.is_active(detail)
    if was_active and not run_view.is_active(detail):
        st.rerun()


st.page_link(
    str(page_of("workflows").path), label="All runs", icon=":material/arrow_back:", query_params=query(filters)
)
wanted = run_id()
first = data.run(wanted)
active = first.value is None or run_view.is_active(first.value)
guard.live(draw_live, name="run", every=WATCH if active else None)
