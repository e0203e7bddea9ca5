"""One run: its story in a sentence, its steps, and what each gave or why it failed."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from analytics.core.clock import utc_now
from analytics.store.queries.runs import NodeRow, RunDetail
from dashboard import formats
from dashboard.components import tables
from dashboard.components.status import RUN_LOOKS, look_of
from dashboard.components.tables import Column
from dashboard.components.values import draw_value
from dashboard.filters import Filters
from dashboard.links import page_of, query
from dashboard.zone import viewer_zone

ACTIVE = ("queued", "running", "waiting")
_MOST_SHOWN = 10


def _name(node: NodeRow) -> str:
    return node.node_id if node.map_index < 0 else f"{node.node_id} [{node.map_index}]"


def error_words(error: Mapping[str, Any] | None) -> str | None:
    """Return an error in one line, or None when there is none."""
    return None if not error else str(error.get("message") or error.get("code") or error)


_COLUMNS: list[Column[NodeRow]] = [
    Column("Step", _name),
    Column("State", lambda node: look_of(RUN_LOOKS, node.status), "state", width="small"),
    Column("Kind", lambda node: node.kind, width="small"),
    Column("Began", lambda node: node.started_at, "moment"),
    Column("Duration", lambda node: node.duration_s, "seconds", width="small"),
    Column("Attempt", lambda node: node.attempt, "number", width="small"),
    Column("On", lambda node: node.executor, width="small"),
    Column("Error", lambda node: error_words(node.error), width="large"),
]


def is_active(detail: RunDetail) -> bool:
    """Return whether the run has not ended."""
    return detail.row.status in ACTIVE


def title(detail: RunDetail) -> str:
    """Return what the run is and how it stands."""
    return f"{formats.escaped(detail.row.workflow_name)} {look_of(RUN_LOOKS, detail.row.status).badge}"


def story(detail: RunDetail) -> str:
    """Return who asked for the run, when, and how far it is."""
    row = detail.row
    parts = [
        f"Version {row.version}",
        f"asked for by {formats.escaped(row.requested_by) or 'the system'} ({row.trigger})",
    ]
    parts.append(f"queued {formats.moment(row.queued_at, viewer_zone())}")
    if row.status == "queued":
        place = f"place {detail.queue_position} in the queue" if detail.queue_position else "in the queue"
        parts.append(f"{place}, waits {formats.duration((utc_now() - row.queued_at).total_seconds())}")
    elif row.started_at is not None:
        parts.append(f"waited {formats.duration((row.started_at - row.queued_at).total_seconds())}")
        if row.finished_at is not None:
            parts.append(f"ran {formats.duration((row.finished_at - row.started_at).total_seconds())}")
        else:
            parts.append(f"runs for {formats.duration((utc_now() - row.started_at).total_seconds())}")
    if row.attempt > 1:
        parts.append(f"recovered {formats.plural(row.attempt - 1, 'time')}")
    return ", ".join(parts) + "."


def draw_result_link(detail: RunDetail, filters: Filters) -> None:
    """Draw the way to what the run made, where that has a page of its own; and why it failed."""
    document = detail.params.get("document_id")
    if detail.row.workflow_name == "ocr" and document:
        st.page_link(
            str(page_of("ocr").path),
            label="Open the document",
            icon=":material/document_scanner:",
            query_params=query(filters, document=document),
        )
    if detail.error:
        where = f" in step `{detail.error['node_id']}`" if detail.error.get("node_id") else ""
        st.error(f"Failed{where}: {formats.escaped(error_words(detail.error))}", icon=":material/error:")


def draw_steps(detail: RunDetail, chosen: str | None) -> str | None:
    """Draw the steps as a table, and the chosen one, or else the run, with what went in and came out.

    Returns:
        Id of the step that was clicked just now, or None.
    """
    clicked = None
    if detail.nodes:
        row = tables.table(
            detail.nodes,
            _COLUMNS,
            alt="Steps of the run with state, duration, attempts and errors",
            key=f"run.steps.{detail.row.id}",
            can_open=True,
            height="content",
        )
        clicked = None if row is None else detail.nodes[row].node_id
    else:
        st.caption("No step has begun yet.")
    shown = [node for node in detail.nodes if node.node_id == (clicked or chosen)][:_MOST_SHOWN]
    for node in shown:
        st.markdown(f"**Step {formats.escaped(_name(node))}**")
        draw_value("Output", node.output)
        draw_value("Error", node.error)
    if not shown:
        left, right = st.columns(2, gap="medium")
        with left:
            draw_value("Parameters", dict(detail.params) or None)
        with right:
            draw_value("Output", detail.output)
    return clicked
