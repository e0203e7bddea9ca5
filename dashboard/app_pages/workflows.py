"""What can run, and how does it do?"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import streamlit as st

from analytics.store.paging import Page
from analytics.store.queries.schedules import ScheduleRow, TriggerRow
from analytics.store.queries.workflows import VersionDetail, WorkflowDetail
from dashboard import actions, data, formats, workflow_actions
from dashboard.auth.roles import Role
from dashboard.auth.viewer import current_viewer
from dashboard.components import admin, runs, schedules, states, tables, triggers, versions, workflows
from dashboard.components.head import current_filters
from dashboard.components.navigation import go
from dashboard.links import page_of, query
from dashboard.reading import Answer
from worker.workflow.triggers import TriggerSpec

T = TypeVar("T")

filters = current_filters()
can_start = current_viewer().role >= Role.OPERATOR
FRESH = "trigger.fresh"
VIEWS = ("Overview", "Versions", "Schedules", "Triggers")


def draw_list() -> None:
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        search = st.text_input(
            "Search workflows",
            type="search",
            live="300ms",
            placeholder="Search by name, words or tag",
            label_visibility="collapsed",
            key="q",
            bind="query-params",
            width=320,
        )
        if st.button("New workflow", icon=":material/add:", key="workflows.new", disabled=not can_start):
            go("editor", filters)
    page = st.session_state.get("page", 1)
    found = states.settle(data.list_workflows(page, search or None), "The workflows")
    if found is None:
        return
    if not found.items:
        hint = "Try another word." if search else "Write one: a name, its nodes, and what each needs."
        states.empty("No workflow found", hint, icon=":material/account_tree:")
        return
    row = tables.table(
        found.items,
        workflows.COLUMNS,
        alt="Workflows with what became of their runs of the last 30 days",
        key="workflows.table",
        can_open=True,
        height="content",
    )
    if found.pages > 1:
        st.pagination(found.pages, key="page", bind="query-params")
    if all(row.last_run_at is None for row in found.items):
        st.caption("No run yet: open a workflow to start it, or give it a schedule or a trigger.")
    st.caption(f"{formats.plural(found.total, 'workflow')}; figures are of the last 30 days, by day in UTC.")
    if row is not None:
        go("workflows", filters, workflow=found.items[row].name)


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
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="top"):
        with st.container(width="content", gap="xsmall"):
            workflows.draw_title(detail.row)
        draw_ways_on(detail)
    view = st.segmented_control(
        "View",
        VIEWS,
        default="Overview",
        key="show",
        bind="query-params",
        required=True,
        label_visibility="collapsed",
    )
    match view:
        case "Versions":
            draw_versions(detail)
        case "Schedules":
            draw_schedules(detail)
        case "Triggers":
            draw_triggers(detail)
        case _:
            draw_overview(detail)


def draw_ways_on(detail: WorkflowDetail) -> None:
    name = detail.row.name
    with st.container(horizontal=True, width="content"):
        if st.button("Its runs", icon=":material/playlist_play:", key="workflow.runs"):
            go("runs", filters, of=name)
        if st.button("Edit", icon=":material/edit:", key="workflow.edit"):
            go("editor", filters, workflow=name)
        st.download_button(
            "Export",
            data=lambda: workflows.source_of(detail.spec),
            file_name=f"{name}.yaml",
            mime="application/yaml",
            icon=":material/download:",
            on_click="ignore",
            key="workflow.export",
        )


def draw_overview(detail: WorkflowDetail) -> None:
    stats = states.settle(data.workflow_stats(detail.row.id), "Its figures")
    if stats is not None:
        workflows.draw_stats(detail.row, stats)
    if workflows.is_large(detail.spec):
        workflows.draw_definition(detail)
        left, right = st.columns([2, 3], gap="medium")
        with left:
            draw_start(detail)
        with right:
            draw_runs(detail)
        return
    left, right = st.columns([3, 2], gap="medium")
    with left:
        workflows.draw_definition(detail)
    with right:
        draw_start(detail)
        draw_runs(detail)


def draw_runs(detail: WorkflowDetail) -> None:
    found = states.settle(data.list_runs(filters.span, workflow_id=detail.row.id), "Its runs")
    if found:
        st.markdown(f"**Runs of the {filters.span.words}**")
        runs.short_list(found[:8], filters)


def draw_start(detail: WorkflowDetail) -> None:
    name = detail.row.name
    known = states.settle(data.list_versions(detail.row.id), "Its versions") or []
    sent = workflows.start_form(
        name, dict(detail.params_schema), [row.version for row in known], disabled=not can_start
    )
    if sent is None:
        return
    queued = actions.attempt(lambda: workflow_actions.start_run(name, *sent))
    if queued is not None:
        st.toast(actions.queued_words(queued), icon=":material/schedule:")
        runs.open_run(str(queued.run_id), filters)


def draw_versions(detail: WorkflowDetail) -> None:
    known = states.settle(data.list_versions(detail.row.id), "The versions")
    if known is None:
        return
    row = tables.table(
        known,
        versions.COLUMNS,
        alt="Versions of the workflow, newest first",
        key="versions.table",
        can_open=True,
        height="content",
    )
    if row is not None:
        go("editor", filters, workflow=detail.row.name, version=known[row].version)
    st.markdown("**What changed**")
    pair = versions.choose_two(known)
    if pair is None:
        return
    both = [settled_version(data.version(detail.row.id, number)) for number in pair]
    if both[0] is not None and both[1] is not None:
        versions.draw_difference(both[0], both[1])


def settled_version(answer: Answer[VersionDetail]) -> VersionDetail | None:
    return states.settle(answer, "The version")


def draw_chosen(
    found: Page[T],
    choose: Callable[[Sequence[T]], T | None],
    steer: Callable[[T], None],
    *,
    page_key: str,
    empty: tuple[str, str],
) -> None:
    if not found.items:
        states.empty(*empty, icon=":material/bolt:")
        return
    row = choose(found.items)
    if found.pages > 1:
        st.pagination(found.pages, key=page_key, bind="query-params")
    if row is not None:
        steer(row)


def draw_schedules(detail: WorkflowDetail) -> None:
    found = states.settle(data.list_schedules(detail.row.id, st.session_state.get("sp", 1)), "The schedules")
    if found is None:
        return
    left, right = st.columns([3, 2], gap="medium")
    with left:
        hint = "Write one beside this: how often it comes, in which zone, and with which parameters."
        draw_chosen(found, schedules.draw_list, steer_schedule, page_key="sp", empty=("No schedule", hint))
    with right, st.container(border=True):
        st.markdown("**New schedule**")
        numbers = [row.version for row in data.list_versions(detail.row.id).value or ()]
        spec = schedules.draw_form(
            detail.row.id, detail.row.name, dict(detail.params_schema), numbers, disabled=not can_start
        )
        if spec is not None and actions.succeeds(lambda: workflow_actions.save_schedule(spec)):
            st.toast("The schedule is on.", icon=":material/event_available:")
            st.rerun()


def steer_schedule(row: ScheduleRow) -> None:
    wish = schedules.draw_one(row, data.schedule_times(row.id).value, can_change=can_start)
    do = {
        "pause": workflow_actions.pause_schedule,
        "resume": workflow_actions.resume_schedule,
        "delete": workflow_actions.delete_schedule,
    }
    if wish is not None and actions.succeeds(lambda: do[wish](row.id)):
        st.rerun()


def draw_triggers(detail: WorkflowDetail) -> None:
    found = states.settle(data.list_triggers(detail.row.id, st.session_state.get("tp", 1)), "The triggers")
    if found is None:
        return
    draw_fresh_secret()
    left, right = st.columns([3, 2], gap="medium")
    with left:
        hint = "Write one beside this: a signed webhook, the end of another run, or an alert starts this workflow."
        draw_chosen(found, triggers.draw_list, steer_trigger, page_key="tp", empty=("No trigger", hint))
    with right, st.container(border=True):
        st.markdown("**New trigger**")
        spec = triggers.draw_form(detail.row.id, detail.row.name, disabled=not can_start)
        if spec is not None:
            save_trigger(spec)


def draw_fresh_secret() -> None:
    secret = st.session_state.get(FRESH)
    if secret is not None:
        admin.show_once("The secret of the webhook", secret)
        st.button("I have copied it", icon=":material/done:", key="trigger.copied", on_click=forget_secret)


def forget_secret() -> None:
    st.session_state.pop(FRESH, None)


def save_trigger(spec: TriggerSpec) -> None:
    secrets: list[str | None] = []
    if actions.succeeds(lambda: secrets.append(workflow_actions.save_trigger(spec))):
        st.session_state[FRESH] = secrets[0]
        st.toast("The trigger is on.", icon=":material/bolt:")
        st.rerun()


def steer_trigger(row: TriggerRow) -> None:
    wish = triggers.draw_one(row, workflow_actions.hook_host(), can_change=can_start)
    match wish:
        case "rotate":
            secret = actions.attempt(lambda: workflow_actions.rotate_secret(row.id))
            is_done = secret is not None
            st.session_state[FRESH] = secret
        case "delete":
            is_done = actions.succeeds(lambda: workflow_actions.delete_trigger(row.id))
        case "pause" | "resume":
            is_done = actions.succeeds(lambda: workflow_actions.pause_trigger(row.id, paused=wish == "pause"))
        case _:
            is_done = False
    if is_done:
        st.rerun()


chosen_workflow = st.query_params.get("workflow")
if chosen_workflow:
    draw_workflow(chosen_workflow)
else:
    draw_list()
