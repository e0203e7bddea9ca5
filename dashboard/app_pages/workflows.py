"""What can run, and what ran?"""

import streamlit as st

from dashboard import actions, data, formats, guard
from dashboard.auth.roles import Role
from dashboard.auth.viewer import current_viewer
from dashboard.components import forms, runs, states, tables, workflows
from dashboard.components.head import current_filters
from dashboard.components.navigation import go
from dashboard.components.status import RUN_LOOKS
from dashboard.links import page_of, query
from dashboard.reading import LIVE

filters = current_filters()
can_start = current_viewer().role >= Role.OPERATOR
STATUSES = ("failed", "running", "queued", "waiting", "completed", "cancelled")


def draw_list() -> None:
    search = st.text_input(
        "Search workflows",
        type="search",
        live="300ms",
        placeholder="Search by name",
        label_visibility="collapsed",
        key="q",
        bind="query-params",
        width=320,
    )
    page = st.session_state.get("page", 1)
    found = states.settle(data.list_workflows(page, search or None), "The workflows")
    if found is None:
        return
    if not found.items:
        hint = "Try another word." if search else "Add one below: a name, its nodes, and what each needs."
        states.empty("No workflow found", hint, icon=":material/account_tree:")
        return
    row = tables.table(
        found.items,
        workflows.COLUMNS,
        alt="Workflows with their runs of the last 30 days",
        key="workflows.table",
        can_open=True,
        height="content",
    )
    if found.pages > 1:
        st.pagination(found.pages, key="page", bind="query-params")
    if row is not None:
        go("workflows", filters, workflow=found.items[row].name)


def draw_runs() -> None:
    chosen = st.pills(
        "State of runs",
        STATUSES,
        selection_mode="multi",
        format_func=lambda status: RUN_LOOKS[status].word,
        label_visibility="collapsed",
        key="status",
        bind="query-params",
    )
    counts = data.run_counts(filters.span).value
    found = states.settle(data.list_runs(filters.span, statuses=tuple(chosen or ())), "The runs")
    if counts is None or found is None:
        return
    st.markdown(workflows.counts_words(counts, filters))
    if not found:
        states.empty("No run", f"No such run began in the {filters.span.words}.", icon=":material/play_circle:")
        return
    runs.run_table(found, filters, key="runs.table", what="Runs, newest first")


def draw_workflow(name: str) -> None:
    st.page_link(
        str(page_of("workflows").path),
        label="All workflows",
        icon=":material/arrow_back:",
        query_params=query(filters),
    )
    detail = states.settle(data.workflow(name), "The workflow")
    if detail is None:
        return
    st.header(formats.escaped(detail.row.name), anchor=False)
    st.caption(formats.escaped(detail.row.description) or "No description.")
    left, right = st.columns([3, 2], gap="medium")
    with left:
        workflows.draw_definition(detail)
    with right:
        draw_start(name, dict(detail.params_schema))
        found = states.settle(data.list_runs(filters.span, workflow_id=detail.row.id), "Its runs")
        if found:
            runs.short_list(found, filters)


def draw_start(name: str, schema: dict[str, object]) -> None:
    st.markdown("**Start a run**")
    if not can_start:
        st.caption(":material/lock: Starting a run needs the role operator.")
    params = forms.draw_form(
        schema, key=f"start.{name}", submit="Start", icon=":material/play_arrow:", disabled=not can_start
    )
    if params is None:
        return
    queued = actions.attempt(lambda: actions.start_run(name, params))
    if queued is not None:
        st.toast(actions.queued_words(queued), icon=":material/schedule:")
        runs.open_run(str(queued.run_id), filters)


def draw_new_version() -> None:
    with st.expander(
        "Add a workflow, or a version of one", icon=":material/add:", key="workflow.add", on_change="rerun"
    ) as box:
        if not box.open:
            return
        source = workflows.source_form(disabled=not can_start)
        if source is None:
            return
        added = actions.attempt(lambda: actions.add_version(source))
        if added is not None:
            st.success(f"Stored as version {added[1]}.", icon=":material/check_circle:")


chosen_workflow = st.query_params.get("workflow")
if chosen_workflow:
    draw_workflow(chosen_workflow)
else:
    draw_list()
    st.header("Runs", anchor=False)
    guard.live(draw_runs, name="workflow_runs", every=filters.rhythm and max(filters.rhythm, LIVE))
    draw_new_version()
