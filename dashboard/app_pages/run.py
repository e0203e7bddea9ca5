"""What did one run do?"""

import uuid
from datetime import timedelta

import streamlit as st

from analytics.core.clock import utc_now
from analytics.core.errors import InputError, NotFoundError
from analytics.store.queries.queue import WAIT_KINDS, WaitRow
from analytics.store.queries.runs import RunDetail
from analytics.store.queries.workflows import WorkflowDetail
from dashboard import data, guard
from dashboard.auth.viewer import current_viewer
from dashboard.components import approvals, run_actions, run_steps, run_view, states
from dashboard.components.head import current_filters
from dashboard.links import page_of, query

filters = current_filters()
role = current_viewer().role
WATCH = timedelta(seconds=2)
VIEWS = {"graph": "Graph", "time": "Time line", "steps": "Steps", "values": "Input and output", "events": "Events"}


def run_id() -> uuid.UUID:
    text = st.query_params.get("run", "")
    try:
        return uuid.UUID(text)
    except ValueError:
        raise InputError(
            f"{text[:60]!r} is not the number of a run; nothing was read. Choose a run on the page Runs."
            if text
            else "This page shows one run. Choose it on the page Runs."
        ) from None


def present_workflow(detail: RunDetail) -> WorkflowDetail | None:
    try:
        return data.workflow(detail.row.workflow_name).value
    except NotFoundError:
        return None


def draw_top(detail: RunDetail) -> None:
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.header(run_view.title(detail), anchor=False, width="content")
        run_actions.draw_bar(detail, role, filters)
    st.caption(run_view.story(detail))
    if not run_view.is_active(detail):
        run_actions.draw_forms(detail, present_workflow(detail), filters)


def draw_waits(detail: RunDetail) -> None:
    """Draw what happens next, and what the run asks people for; drawn anew only when that changes."""
    if not run_view.is_active(detail):
        run_view.draw_hints(run_view.hints_of(detail, [], slots=None, now=utc_now()))
        return
    waits = data.open_waits(WAIT_KINDS, run_id=wanted).value or []
    workers = data.list_workers().value
    slots = None if workers is None else sum(w.slots for w in workers if w.is_alive and w.kind == "run")
    run_view.draw_hints(run_view.hints_of(detail, waits, slots=slots, now=utc_now()))
    asked = [wait for wait in waits if wait.kind in approvals.PERSONAL]
    for wait in asked[: approvals.MOST_SHOWN]:
        if approvals.draw_wait(wait, role):
            st.rerun()
    if len(asked) > approvals.MOST_SHOWN:
        st.caption(f"{len(asked) - approvals.MOST_SHOWN} more wait for a person; they are shown when these are done.")


def draw_progress() -> None:
    """Draw how far the run is; when it stands otherwise than the page shows, the page is drawn anew."""
    detail = states.settle(data.run_without_outputs(wanted), "The run")
    if detail is None:
        return
    is_active = run_view.is_active(detail)
    if approvals.has_changed(detail, asked_of(detail)):
        st.rerun(scope="app")
    run_view.draw_figures(detail, data.estimate(wanted).value if is_active else None)


def asked_of(detail: RunDetail) -> list[WaitRow]:
    return data.open_waits(run_id=wanted).value or [] if run_view.is_active(detail) else []


def draw_view(view: str, detail: RunDetail) -> None:
    path = run_steps.critical_path_of(detail)
    every = WATCH if run_view.is_active(detail) else None
    match view:
        case "time":
            guard.live(lambda: run_steps.draw_time(latest(detail), path), name="run_time", every=every)
        case "steps":
            guard.live(lambda: run_steps.draw_table(latest(detail)), name="run_table", every=every)
        case "values":
            run_view.draw_values(detail)
        case "events":
            guard.live(draw_events, name="run_events", every=every)
        case _:
            run_steps.draw_graph(detail, path)


def latest(detail: RunDetail) -> RunDetail:
    return data.run_without_outputs(wanted).value or detail


def draw_events() -> None:
    events = states.settle(data.run_events(wanted), "What happened")
    relatives = data.related_runs(wanted).value
    if relatives is not None:
        run_view.draw_relatives(relatives, filters)
    if events is not None:
        run_view.draw_events(events)


def draw_step(detail: RunDetail, place: run_steps.Place) -> None:
    run_steps.draw_place(wanted, latest(detail), place, filters, role)


def draw_run(detail: RunDetail) -> None:
    approvals.note_shown(detail, asked_of(detail))
    draw_top(detail)
    draw_waits(detail)
    run_view.draw_result_link(detail, filters)
    every = WATCH if run_view.is_active(detail) else None
    guard.live(draw_progress, name="run", every=every)
    view = st.segmented_control(
        "View of the run",
        list(VIEWS),
        default="graph",
        format_func=VIEWS.__getitem__,
        label_visibility="collapsed",
        required=True,
        key="view",
        bind="query-params",
    )
    draw_view(view or "graph", detail)
    place = run_steps.current_place()
    if place is not None:
        guard.live(lambda: draw_step(detail, place), name="run_step", every=every)


st.page_link(str(page_of("runs").path), label="All runs", icon=":material/arrow_back:", query_params=query(filters))
wanted = run_id()
found = states.settle(data.run_without_outputs(wanted), "The run")
if found is not None:
    draw_run(found)
