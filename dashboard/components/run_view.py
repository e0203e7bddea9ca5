"""One run: its story in a sentence, how far it is, when it ends, what happens next, its steps, events and relatives."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import streamlit as st

from analytics.core.clock import utc_now
from analytics.store.queries.estimate import Estimate
from analytics.store.queries.queue import WaitRow
from analytics.store.queries.runs import NodeRow, RunDetail, RunEventRow, RunRelatives, RunRow
from dashboard import formats
from dashboard.components import tables
from dashboard.components.status import RUN_LOOKS, look_of
from dashboard.components.tables import Column
from dashboard.components.values import draw_value
from dashboard.filters import Filters
from dashboard.links import page_of, query
from dashboard.live.run_states import defined_nodes
from dashboard.zone import viewer_zone
from worker.workflow.definition import definition_id

ACTIVE = ("queued", "running", "waiting", "paused", "needs_attention")
_SETTLED = ("completed", "skipped", "failed", "cancelled")
_MOST_TAGS = 8
_ON_HOLD = {"waiting": "Waits", "paused": "Paused", "needs_attention": "On hold"}


@dataclass(frozen=True, slots=True)
class Hint:
    """What happens next, in a sentence; ``tone`` is how much it matters."""

    text: str
    icon: str
    tone: str = "info"
    """``info``, ``warning`` or ``error``."""


def name_of(node: NodeRow) -> str:
    """Return a step's address with its item."""
    return node.node_id if node.map_index < 0 else f"{node.node_id} [{node.map_index}]"


def error_words(error: Mapping[str, Any] | None) -> str | None:
    """Return an error in one line, or None when there is none."""
    return None if not error else str(error.get("message") or error.get("code") or error)


def waited_s(node: NodeRow) -> float | None:
    """Return how long a step waited for a slot, or None when it has not begun."""
    if node.ready_at is None or node.started_at is None:
        return None
    return max(0.0, (node.started_at - node.ready_at).total_seconds())


STEP_COLUMNS: list[Column[NodeRow]] = [
    Column("Step", name_of),
    Column("State", lambda node: look_of(RUN_LOOKS, node.status), "state"),
    Column("Kind", lambda node: node.kind, width="small"),
    Column("Began", lambda node: node.started_at, "moment"),
    Column("Waited", waited_s, "seconds", width="small", help="For a slot, once it could begin."),
    Column("Duration", lambda node: node.duration_s, "seconds", width="small"),
    Column("Attempt", lambda node: node.attempt, "number", width="small"),
    Column("Cache", lambda node: "hit" if node.cache_hit else None, width="small"),
    Column("Log", lambda node: node.log_lines or None, "number", width="small", help="Lines."),
    Column("Error", lambda node: error_words(node.error), width="large"),
]

EVENT_COLUMNS: list[Column[RunEventRow]] = [
    Column("When", lambda event: event.at, "moment"),
    Column("What", lambda event: event.kind.replace("_", " ").replace(".", " ").capitalize()),
    Column("Step", lambda event: event.node_id),
    Column("By", lambda event: event.actor),
    Column("Details", lambda event: dict(event.data) or None, "json", width="large"),
]


def is_active(detail: RunDetail) -> bool:
    """Return whether the run has not ended."""
    return detail.row.status in ACTIVE


def title(detail: RunDetail) -> str:
    """Return what the run is and how it stands."""
    words = f"{formats.escaped(detail.row.workflow_name)} {look_of(RUN_LOOKS, detail.row.status).badge}"
    tags = " ".join(f":gray-badge[{formats.escaped(tag)}]" for tag in detail.row.tags[:_MOST_TAGS])
    return f"{words} {tags}".rstrip()


def story(detail: RunDetail) -> str:
    """Return who asked for the run and when, and how it differs from an ordinary one."""
    row = detail.row
    parts = [
        f"Version {row.version}",
        f"asked for by {formats.escaped(row.requested_by) or 'the system'} ({row.trigger})",
    ]
    parts.append(f"queued {formats.moment(row.queued_at, viewer_zone())}")
    if detail.scheduled_for is not None:
        parts.append(f"planned for {formats.moment(detail.scheduled_for, viewer_zone())}")
    if row.status == "queued":
        place = f"place {detail.queue_position} in the queue" if detail.queue_position else "in the queue"
        parts.append(place)
    if row.priority:
        parts.append(f"priority {row.priority}")
    if not row.use_cache:
        parts.append("without the cache")
    if row.concurrency_key:
        parts.append(f"concurrency key {formats.escaped(row.concurrency_key)}")
    if row.attempt > 1:
        parts.append(f"recovered {formats.plural(row.attempt - 1, 'time')}")
    return ", ".join(parts) + "."


def counts_of(detail: RunDetail) -> dict[str, int]:
    """Return how many of the definition's own steps have each state; those to come are ``pending``."""
    tops = {str(item["id"]) for item in detail.spec.get("nodes", ())}
    found = Counter(node.status for node in detail.nodes if node.node_id in tops)
    pending = max(0, len(tops) - sum(found.values()))
    if pending:
        found["pending"] += pending
    return dict(found)


def progress_words(counts: Mapping[str, int]) -> str:
    """Return how many steps have ended, of all."""
    total = sum(counts.values())
    return f"{sum(counts.get(state, 0) for state in _SETTLED):,} of {total:,}"


def estimate_words(estimate: Estimate) -> tuple[str, str]:
    """Return when the run ends, and what that rests on."""
    unknown = len(estimate.unknown_nodes)
    basis = f"Medians of the newest {formats.plural(estimate.samples, 'completed run')}, along the longest path to go."
    if not estimate.samples:
        basis = "No completed run to judge by; from the estimates in the definition."
    if unknown:
        basis += f" {formats.plural(unknown, 'step')} to go never ran before, so it takes at least that long."
    if estimate.remaining_s is None:
        return formats.NO_DATA, "No run of this workflow has completed yet, so nothing is known of how long it takes."
    if estimate.remaining_s < 1:
        return "Any moment", basis
    at = f" Ends about {formats.moment(estimate.finish_at, viewer_zone())}." if estimate.finish_at else ""
    return f"about {formats.duration(round(estimate.remaining_s))}", basis + at


def draw_figures(detail: RunDetail, estimate: Estimate | None) -> None:
    """Draw how far the run is, how long it waited and took, and when it ends."""
    row = detail.row
    with st.grid(4, min_column_width=150, key="run.figures"):
        st.metric("Steps ended", progress_words(counts_of(detail)), border=True)
        st.metric("Waited in the queue", _clock(row.wait_s, moving=row.status == "queued"), border=True)
        moving = row.finished_at is None
        st.metric("Runs for" if moving else "Took", _clock(row.duration_s, moving=moving), border=True)
        if is_active(detail) and estimate is not None:
            words, basis = estimate_words(estimate)
            words = _ON_HOLD.get(row.status, words)
            st.metric("Left", words, border=True, help=basis)
        else:
            recovered = formats.plural(row.attempt - 1, "time") if row.attempt > 1 else "Never"
            st.metric("Recovered", recovered, border=True, help="How often another worker took it over.")


def _clock(seconds: float | None, *, moving: bool) -> str:
    if seconds is None:
        return formats.DASH
    return formats.duration(round(seconds)) if moving and seconds >= 1 else formats.duration(seconds)


def hints_of(detail: RunDetail, waits: Sequence[WaitRow], *, slots: int | None, now: datetime) -> list[Hint]:
    """Return what happens next with a run that has not ended, or why it failed.

    Args:
        detail: The run.
        waits: What it waits for.
        slots: How many slots the workers that are alive have; None when that is not known.
        now: The present.
    """
    if detail.cancel_requested:
        return [Hint("Being cancelled: what is under way is stopped, nothing new begins.", ":material/cancel:")]
    if detail.row.status == "running" and detail.pause_requested:
        return [Hint("Pausing: it pauses when what is under way has ended.", ":material/pause_circle:")]
    found: Mapping[str, Callable[[], list[Hint]]] = {
        "queued": lambda: _queued_hints(detail, slots),
        "paused": lambda: [_PAUSED],
        "waiting": lambda: [_waiting_hint(detail, waits, now)],
        "needs_attention": lambda: [_ATTENTION],
        "failed": lambda: [_failed_hint(detail)],
    }
    return found[detail.row.status]() if detail.row.status in found else []


_PAUSED = Hint("Paused: nothing new begins until somebody resumes it.", ":material/pause_circle:", "warning")
_ATTENTION = Hint(
    "It goes on when somebody has said what became of the step below.", ":material/front_hand:", "warning"
)


def _failed_hint(detail: RunDetail) -> Hint:
    where = f" in step `{detail.error['node_id']}`" if detail.error and detail.error.get("node_id") else ""
    words = formats.escaped(error_words(detail.error)) or "no reason was given"
    return Hint(f"Failed{where}: {words}", ":material/error:", "error")


def _queued_hints(detail: RunDetail, slots: int | None) -> list[Hint]:
    if slots == 0:
        text = "**No run worker is alive.** The run is kept and begins when one starts; `helmsight worker` starts one."
        return [Hint(text, ":material/warning:", "warning")]
    if detail.queue_position and slots is not None and detail.queue_position > slots:
        ahead = formats.plural(detail.queue_position - 1, "run")
        return [Hint(f"Begins when {ahead} before it found a slot; there are {slots}.", ":material/schedule:")]
    return []


def _waiting_hint(detail: RunDetail, waits: Sequence[WaitRow], now: datetime) -> Hint:
    kinds = Counter(wait.kind for wait in waits)
    asked = kinds["approval"] + kinds["signal"] + kinds["attention"]
    if asked:
        return Hint("It takes no slot, and goes on when it was given what it asks for below.", ":material/front_hand:")
    if kinds["run"]:
        return Hint("It takes no slot, and goes on when the run it started has ended.", ":material/account_tree:")
    if detail.wake_at is not None:
        at = formats.moment(detail.wake_at, viewer_zone())
        text = f"It takes no slot, and goes on by itself at {at} ({formats.age(detail.wake_at, now=now)})."
        return Hint(text, ":material/alarm:")
    return Hint("It takes no slot, and goes on by itself when what it waits for is there.", ":material/hourglass_top:")


def draw_hints(hints: Sequence[Hint]) -> None:
    """Draw *hints*, each as loudly as it matters."""
    boxes = {"info": st.info, "warning": st.warning, "error": st.error}
    for hint in hints:
        boxes[hint.tone](hint.text, icon=hint.icon)


def draw_result_link(detail: RunDetail, filters: Filters) -> None:
    """Draw the way to what the run made, where that has a page of its own."""
    document = detail.params.get("document_id")
    if detail.row.workflow_name == "ocr" and document:
        st.page_link(
            str(page_of("ocr").path),
            label="Open the document",
            icon=":material/document_scanner:",
            query_params=query(filters, document=document),
        )


def draw_steps(nodes: Sequence[NodeRow], *, key: str) -> NodeRow | None:
    """Draw the steps as a table; return the one that was clicked just now, or None."""
    if not nodes:
        st.caption("No step has begun yet.")
        return None
    row = tables.table(
        nodes,
        STEP_COLUMNS,
        alt="Steps of the run with state, waiting, duration, attempts and errors",
        key=key,
        can_open=True,
        height="content" if len(nodes) <= 20 else 560,  # noqa: PLR2004 - more scroll in the table
    )
    return None if row is None else nodes[row]


def draw_values(detail: RunDetail) -> None:
    """Draw what went into the run and what came out."""
    left, right = st.columns(2, gap="medium")
    with left:
        draw_value("Input", dict(detail.params) or None)
        if not detail.params:
            st.caption("It took no input.")
    with right:
        draw_value("Output", detail.output)
        if detail.output is None:
            st.caption("No output yet." if is_active(detail) else "It gave no output.")


def draw_events(events: Sequence[RunEventRow]) -> None:
    """Draw what happened to the run beside its steps."""
    if not events:
        st.caption("Nothing happened to it beside its steps: nobody paused it, no worker was lost.")
        return
    tables.table(events, EVENT_COLUMNS, alt="What happened to the run", key="run.events", height="content")


def draw_relatives(relatives: RunRelatives, filters: Filters) -> None:
    """Draw the runs it came from and that came from it, as links."""
    groups: list[tuple[str, Sequence[RunRow]]] = [
        ("Part of", [relatives.parent] if relatives.parent else []),
        ("Repeats", [relatives.source] if relatives.source else []),
        ("Started", relatives.children),
        ("Repeated by", relatives.repeats),
    ]
    for words, rows in groups:
        for row in rows:
            look = look_of(RUN_LOOKS, row.status)
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.page_link(
                    str(page_of("run").path),
                    label=f"{words} {formats.escaped(row.workflow_name)}",
                    icon=":material/account_tree:" if words in {"Part of", "Started"} else ":material/replay:",
                    query_params=query(filters, run=row.id),
                )
                st.markdown(f"{look.badge} :gray[{formats.age(row.created_at, now=utc_now())}]", width="content")


def has_relatives(relatives: RunRelatives) -> bool:
    """Return whether there is any."""
    return bool(relatives.parent or relatives.source or relatives.children or relatives.repeats)


def names_of(spec: Mapping[str, Any]) -> dict[str, str]:
    """Return the names of nodes that have one, by definition id, those in bodies too."""
    return {node.path: str(node.item["name"]) for node in defined_nodes(spec) if node.item.get("name")}


def ids_of(spec: Mapping[str, Any]) -> set[str]:
    """Return the definition ids of all nodes, those in bodies too."""
    return {node.path for node in defined_nodes(spec)}


def containers_of(spec: Mapping[str, Any]) -> set[str]:
    """Return the definition ids of the nodes that have a body."""
    return {node.path for node in defined_nodes(spec) if node.body}


def name_in(names: Mapping[str, str], node_id: str) -> str:
    """Return what the node at *node_id* is called."""
    return names.get(definition_id(node_id), node_id)
