"""What can be done with a run: pause, resume, cancel, retry from a step, run again with other input.

The bar and the forms below it are drawn outside of the parts of the page that renew themselves.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from analytics.core.errors import InputError
from analytics.store.queries.runs import RunDetail
from analytics.store.queries.workflows import WorkflowDetail
from dashboard import actions, formats
from dashboard.auth.roles import Role
from dashboard.components import forms
from dashboard.components.navigation import go
from dashboard.components.values import as_text
from dashboard.filters import Filters
from dashboard.links import page_of, query
from worker.doors.again import Version
from worker.doors.keeping import kept_nodes
from worker.enqueue import QueuedRun
from worker.workflow.definition import Definition

FROM_KEY = "run.retry_from"
_OPEN = "run.form"
_RETRY, _AGAIN = "retry", "again"
_SAME: Version = "same"
_CURRENT: Version = "current"
_NAMED = 8
_MOST_PILLS = 40
"""More steps than this are chosen from a list that can be searched."""
_PAUSABLE = ("queued", "running", "waiting")
_RETRIABLE = ("failed", "cancelled", "completed")


def top_level(node_id: str) -> str:
    """Return the node of the definition's first level that the node at *node_id* is, or is in."""
    return node_id.split("/", 1)[0].split("[", 1)[0]


def draw_bar(detail: RunDetail, role: Role, filters: Filters) -> None:
    """Draw what can be done with the run now; what the role may not do is not offered."""
    run_id, status = detail.row.id, detail.row.status
    with st.container(horizontal=True, gap="xsmall", width="content", vertical_alignment="center", key="run.bar"):
        source = detail.row.source_run_id
        st.page_link(
            str(page_of("compare").path),
            label="Compare",
            icon=":material/compare_arrows:",
            query_params=query(filters, left=source or run_id, right=run_id if source else None),
            help="With the run that it repeats." if source else "With another run of the workflow.",
        )
        if role < Role.OPERATOR:
            return
        if status == "paused" or (detail.pause_requested and status in _PAUSABLE):
            if st.button("Resume", icon=":material/play_arrow:", key="run.resume"):
                _act(lambda: actions.resume_run(run_id))
        elif status in _PAUSABLE and st.button("Pause", icon=":material/pause:", key="run.pause"):
            _act(lambda: actions.pause_run(run_id))
        if status not in _RETRIABLE:
            label = "Cancelling" if detail.cancel_requested else "Cancel"
            if st.button(label, icon=":material/cancel:", key="run.cancel", disabled=detail.cancel_requested):
                _act(lambda: actions.cancel_run(run_id))
            return
        _toggle("Retry", ":material/replay:", _RETRY, run_id)
        _toggle("Run again", ":material/restart_alt:", _AGAIN, run_id)


def _act(do: Any) -> None:
    if actions.succeeds(do):
        st.rerun()


def _toggle(label: str, icon: str, form: str, run_id: object) -> None:
    key = f"{_OPEN}.{run_id}"

    def turn() -> None:
        st.session_state[key] = None if st.session_state.get(key) == form else form

    st.button(label, icon=icon, key=f"run.{form}", on_click=turn)


def ask_retry_from(detail: RunDetail, node_id: str) -> None:
    """Open the form of a retry that begins at the step *node_id*; for callbacks of buttons."""
    st.session_state[f"{_OPEN}.{detail.row.id}"] = _RETRY
    st.session_state[f"{FROM_KEY}.{detail.row.id}"] = [top_level(node_id)]


def draw_forms(detail: RunDetail, workflow: WorkflowDetail | None, filters: Filters) -> None:
    """Draw the form that was opened from the bar, if any.

    Args:
        detail: The run, which has ended.
        workflow: Its workflow as it is now, or None when it was removed.
        filters: What links keep.
    """
    match st.session_state.get(f"{_OPEN}.{detail.row.id}"):
        case "retry" if detail.row.status in _RETRIABLE:
            _draw_retry(detail, workflow, filters)
        case "again" if detail.row.status in _RETRIABLE:
            _draw_again(detail, workflow, filters)
        case _:
            return


def steps_to_retry(detail: RunDetail) -> list[str]:
    """Return the steps of the first level that failed or were cancelled, in the order of the definition."""
    bad = {top_level(node.node_id) for node in detail.nodes if node.status in {"failed", "cancelled"}}
    return [str(item["id"]) for item in detail.spec.get("nodes", ()) if item["id"] in bad]


def kept_words(detail: RunDetail, chosen: Sequence[str]) -> str:
    """Return what a retry from *chosen* on the same version keeps, by the rule that the door applies."""
    statuses = {(node.node_id, node.map_index): node.status for node in detail.nodes}
    definition = Definition.from_spec(detail.spec)
    try:
        kept = kept_nodes(definition, statuses, from_nodes=chosen)
    except InputError as error:
        return formats.escaped(error.message)
    tops = [node_id for node_id, _ in kept if "/" not in node_id]
    inner = len(kept) - len(tops)
    more = f" and of {formats.plural(inner, 'item')} of loops" if inner else ""
    if not kept:
        return "Keeps nothing: every step is executed again."
    names = formats.escaped(", ".join(tops[:_NAMED])) + (" …" if len(tops) > _NAMED else "")
    return f"Keeps the results of {len(tops)} of {formats.plural(len(definition.nodes), 'step')}{more}: {names}."


def _draw_retry(detail: RunDetail, workflow: WorkflowDetail | None, filters: Filters) -> None:
    run_id = detail.row.id
    ids = [str(item["id"]) for item in detail.spec.get("nodes", ())]
    key = f"{FROM_KEY}.{run_id}"
    if key not in st.session_state:
        st.session_state[key] = steps_to_retry(detail)
    with st.container(border=True, key="run.retry_form"):
        st.markdown("**Retry as a new run**")
        words = "These steps and everything that needs them is executed again; what the others gave is kept."
        chosen = (
            st.pills("Run again from", ids, selection_mode="multi", key=key, help=words)
            if len(ids) <= _MOST_PILLS
            else st.multiselect("Run again from", ids, key=key, help=words, placeholder="Every step that failed")
        )
        version = _version(detail, workflow, key=f"run.version.{run_id}")
        st.caption(kept_words(detail, chosen))
        sent = st.button("Retry", icon=":material/replay:", key="run.retry.send")
    if sent:
        _open(actions.attempt(lambda: actions.retry_run(run_id, from_nodes=chosen, version=version)), detail, filters)


def _version(detail: RunDetail, workflow: WorkflowDetail | None, *, key: str) -> Version:
    current = workflow.row.current_version if workflow is not None else detail.row.version
    if current == detail.row.version:
        return _SAME
    options: tuple[Version, ...] = (_SAME, _CURRENT)
    chosen: Version = st.radio(
        "Version",
        options,
        format_func=lambda option: (
            f"The same, {detail.row.version}" if option == _SAME else f"The current one, {current}"
        ),
        horizontal=True,
        key=key,
    )
    return chosen


def _draw_again(detail: RunDetail, workflow: WorkflowDetail | None, filters: Filters) -> None:
    run_id = detail.row.id
    with st.container(border=True, key="run.again_form"):
        st.markdown("**Run again from the beginning**")
        if workflow is None:
            st.caption("The workflow was removed, so it cannot run again.")
            return
        version = _version(detail, workflow, key=f"run.again_version.{run_id}")
        use_cache = not st.checkbox(
            "Without the cache",
            key=f"run.no_cache.{run_id}",
            help="Every step is executed even if its result is known. Results are still kept for later runs.",
        )
        schema = dict(workflow.params_schema)
        params: Mapping[str, Any] | None
        if schema.get("properties"):
            filled = forms.with_defaults(schema, dict(detail.params))
            params = forms.draw_form(
                filled, key=f"again.{run_id}", submit="Run again", icon=":material/restart_alt:", border=False
            )
        else:
            if detail.params:
                st.code(as_text(dict(detail.params)), language=None, wrap_lines=True)
            clicked = st.button("Run again", icon=":material/restart_alt:", key=f"again.{run_id}.send")
            params = dict(detail.params) if clicked else None
    if params is None:
        return
    _open(
        actions.attempt(lambda: actions.rerun(run_id, params=params, version=version, use_cache=use_cache)),
        detail,
        filters,
    )


def _open(queued: QueuedRun | None, detail: RunDetail, filters: Filters) -> None:
    if queued is None:
        return
    st.session_state.pop(f"{_OPEN}.{detail.row.id}", None)
    st.toast(actions.queued_words(queued), icon=":material/schedule:")
    go("run", filters, run=queued.run_id)
