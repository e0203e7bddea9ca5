"""How is a workflow written? Text and graph side by side, checked while it is typed."""

import uuid
from datetime import timedelta

import streamlit as st

from analytics.core.errors import NotFoundError
from analytics.store.queries.workflows import WorkflowDetail
from dashboard import actions, data, formats, guard, workflow_actions
from dashboard.auth.roles import Role
from dashboard.auth.viewer import current_viewer
from dashboard.components import editor, node_panel, states, versions, workflows
from dashboard.components.editor import Checked, Draft
from dashboard.components.graph import graph
from dashboard.components.graph.source_text import source_text, typed_text
from dashboard.components.head import current_filters
from dashboard.components.navigation import go
from dashboard.links import page_of, query
from worker.workflow.kinds import registry

filters = current_filters()
can_store = current_viewer().role >= Role.OPERATOR
WATCH = timedelta(seconds=1)
HEIGHT = 600
TEXT = "editor.text"
GO_TO = "editor.go_to"
TRIAL = "editor.trial"
VIEWS = {
    "graph": ":material/account_tree: Graph",
    "changes": ":material/difference: Changes",
    "try": ":material/science: Test a node",
    "kinds": ":material/category: Kinds",
}
name = st.query_params.get("workflow")
wanted_version = st.query_params.get("version")
place = f"{name or ''}@{wanted_version or ''}"


def stored_text() -> tuple[WorkflowDetail | None, str | None]:
    """Return the workflow and the text of the version that is edited; None for a new one."""
    if name is None:
        return None, None
    detail = states.settle(data.workflow(name), "The workflow")
    if detail is None:
        return None, None
    if wanted_version is None:
        return detail, workflows.source_of(detail.spec)
    if not wanted_version.isdigit():
        raise NotFoundError(f"There is no version {wanted_version[:20]!r}; choose one on the workflow's page.")
    found = states.settle(data.version(detail.row.id, int(wanted_version)), "The version")
    return detail, None if found is None else workflows.source_of(found.spec)


def draw_way_back() -> None:
    st.page_link(
        str(page_of("workflows").path),
        label="All workflows" if name is None else f"Back to {formats.escaped(name)}",
        icon=":material/arrow_back:",
        query_params=query(filters, workflow=name),
    )


def draw_editor(detail: WorkflowDetail | None, stored: str | None) -> None:
    draft = editor.draft_of(st.session_state, place, stored, example=workflows.EXAMPLE)
    typed = typed_text(TEXT, draft.revision)
    if typed is not None and typed != draft.text:
        draft = Draft(typed, draft.stored, draft.revision)
        editor.keep(st.session_state, place, draft)
    checked = editor.check(draft.text)
    draw_tools(draft, checked)
    left, right = st.columns(2, gap="medium")
    with left:
        if checked.problems:
            line = editor.draw_problems(checked.problems)
            if line is not None:
                show_line(line)
        source_text(
            draft.text,
            key=TEXT,
            revision=draft.revision,
            saved=draft.stored or workflows.EXAMPLE,
            problems=checked.problems,
            kinds=[{"name": kind.name, "title": kind.summary} for kind in registry().values()],
            go_to=st.session_state.get(GO_TO),
            height=HEIGHT,
        )
    with right:
        draw_beside(detail, draft, checked)


def show_line(line: int) -> None:
    _, number = st.session_state.get(GO_TO) or (0, 0)
    st.session_state[GO_TO] = (line, number + 1)


def draw_tools(draft: Draft, checked: Checked) -> None:
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        with st.container(width="content"):
            editor.draw_state(draft, checked)
        with st.container(horizontal=True, width="content"):
            if draft.is_changed and draft.stored is not None:
                st.button("Discard changes", icon=":material/undo:", key="editor.discard", on_click=discard)
            with st.popover("Open a file", icon=":material/upload_file:"):
                draw_import(draft)
            st.download_button(
                "Export",
                data=draft.text,
                file_name=f"{checked.definition.name if checked.definition else name or 'workflow'}.yaml",
                mime="application/yaml",
                icon=":material/download:",
                on_click="ignore",
                key="editor.export",
            )
            label = "Store as new version" if name is not None else "Store"
            is_ready = can_store and checked.definition is not None and (draft.is_changed or wanted_version is not None)
            if st.button(label, icon=":material/save:", type="primary", key="editor.store", disabled=not is_ready):
                store(draft)
    if not can_store:
        st.caption(":material/lock: Storing a version and testing a node need the role operator; nothing is kept.")


def discard() -> None:
    editor.forget(st.session_state, place)


def draw_import(draft: Draft) -> None:
    st.caption("A definition in YAML or JSON. It takes the place of the text here; nothing is stored yet.")
    file = st.file_uploader(
        "File", type=["yaml", "yml", "json"], key=f"editor.file.{draft.revision}", max_upload_size=4
    )
    if file is None:
        return
    text = actions.attempt(lambda: editor.imported_text(file.getvalue()))
    if text is not None:
        editor.keep(st.session_state, place, editor.replaced(draft, text))
        st.rerun()


def store(draft: Draft) -> None:
    added = actions.attempt(lambda: workflow_actions.store_version(draft.text))
    if added is None:
        return
    definition = editor.check(draft.text).definition
    editor.forget(st.session_state, place)
    st.toast(f"Stored as version {added[1]}.", icon=":material/check_circle:")
    go("workflows", filters, workflow=definition.name if definition else name, show="Versions")


def draw_beside(detail: WorkflowDetail | None, draft: Draft, checked: Checked) -> None:
    view = st.segmented_control(
        "Beside the text",
        list(VIEWS),
        default="graph",
        format_func=VIEWS.__getitem__,
        key="editor.view",
        required=True,
        label_visibility="collapsed",
    )
    match view:
        case "changes":
            draw_changes(detail, draft, checked)
        case "try":
            draw_trial(checked)
        case "kinds":
            editor.draw_kinds()
        case _:
            draw_graph(checked)


def draw_graph(checked: Checked) -> None:
    nodes, edges = editor.graph_of(checked)
    if not nodes:
        editor.no_graph()
        return
    chosen = graph(
        nodes,
        edges,
        key=f"editor.graph.{place}",
        height=HEIGHT - 60,
        label=f"The {formats.plural(len(nodes), 'node')} of the text and what each needs",
        levels=len(nodes) > 1,
    )
    if chosen is not None and chosen.partition("/")[0] in checked.lines:
        show_line(checked.lines[chosen.partition("/")[0]])
        st.rerun(scope="fragment")


def draw_changes(detail: WorkflowDetail | None, draft: Draft, checked: Checked) -> None:
    if detail is None or draft.stored is None:
        states.empty("Nothing to compare with", "The workflow is not stored yet.", icon=":material/difference:")
    elif checked.definition is None:
        versions.draw_lines(draft.stored, draft.text, names=("stored version", "draft"))
        st.caption("What changed in words is told when the text has no mistakes.")
    else:
        versions.draw_changes(detail.spec, checked.definition.to_spec(), names=("current version", "draft"))


def draw_trial(checked: Checked) -> None:
    if checked.definition is None:
        st.info("A node can be tested when the text has no mistakes.", icon=":material/science:")
        return
    definition = checked.definition
    node_id = st.selectbox(
        "Node", [node.id for node in definition.nodes], key="editor.trial.node", help="It is run alone, past the cache."
    )
    given = editor.given_nodes(definition, node_id)
    with st.form("editor.trial.form", enter_to_submit=False):
        params = st.text_area(
            "Parameters (JSON)",
            value=editor.default_params(definition.params_schema),
            height=110,
            key=f"editor.trial.params.{place}",
        )
        outputs = [
            st.text_area(f"Output of {other} (JSON)", value="null", height=80, key=f"editor.trial.{place}.{other}")
            for other in given
        ]
        sent = st.form_submit_button(
            "Run this node", icon=":material/play_arrow:", disabled=not can_store, key="editor.trial.send"
        )
    if sent:
        actions.attempt(lambda: begin_trial(checked, node_id, params or "", [text or "" for text in outputs]))
    trial = st.session_state.get(TRIAL)
    if trial is not None:
        guard.live(lambda: draw_result(*trial), name="trial", every=None if is_over(trial[0]) else WATCH)


def begin_trial(checked: Checked, node_id: str, params: str, outputs: list[str]) -> None:
    definition = checked.definition
    if definition is None:
        return
    given = [
        editor.json_of(text, f"The output of {other}")
        for text, other in zip(outputs, editor.given_nodes(definition, node_id), strict=True)
    ]
    values = editor.json_of(params, "The parameters")
    trial = editor.trial_definition(definition, node_id)
    queued = workflow_actions.run_node(trial, editor.trial_params(values or {}, given))
    st.session_state[TRIAL] = (queued.run_id, node_id)


def is_over(run_id: uuid.UUID) -> bool:
    detail = data.run_without_outputs(run_id).value
    return detail is not None and detail.row.finished_at is not None


def draw_result(run_id: uuid.UUID, node_id: str) -> None:
    detail = states.settle(data.run_without_outputs(run_id), "The test")
    if detail is None:
        return
    with st.container(border=True):
        is_active = detail.row.finished_at is None
        node_panel.draw_panel(run_id, node_id, -1, name=node_id, filters=filters, is_active=is_active, act=lambda: None)
        st.page_link(
            str(page_of("run").path),
            label="Open the run of this test",
            icon=":material/open_in_new:",
            query_params=query(filters, run=run_id),
        )
    if detail.row.finished_at is not None and not st.session_state.get(f"{TRIAL}.{run_id}"):
        st.session_state[f"{TRIAL}.{run_id}"] = True
        st.rerun()


draw_way_back()
workflow, text_stored = stored_text()
if name is None or text_stored is not None:
    st.header(formats.escaped(name) if name else "New workflow", anchor=False)
    if wanted_version is not None:
        st.caption(f"Text of version {formats.escaped(wanted_version)}; stored, it becomes the newest version.")
    st.fragment(lambda: guard.guarded(lambda: draw_editor(workflow, text_stored), name="editor"))()
