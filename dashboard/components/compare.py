"""Two runs side by side: what differs, in a sentence, and step by step."""

import uuid
from collections.abc import Sequence
from typing import Any, Literal

import orjson
import streamlit as st

from analytics.core.clock import utc_now
from analytics.store.queries.compare import NodeComparison, NodeSide, RunComparison, ValueChange
from analytics.store.queries.runs import RunRow
from dashboard import formats
from dashboard.components import tables
from dashboard.components.status import RUN_LOOKS, Look, look_of
from dashboard.components.tables import Column
from dashboard.filters import Filters
from dashboard.links import page_of, query
from dashboard.zone import viewer_zone

Side = Literal["left", "right"]
_MOST_CHARACTERS = 300
_NOTABLE_S = 0.05
_NOTABLE_RATIO = 0.1
_ABSENT = Look("Not there", ":material/remove:", "gray")


def outcome(node: NodeComparison, side: Side) -> Look:
    """Return how a step ended in one of the runs."""
    found: NodeSide | None = getattr(node, side)
    return _ABSENT if found is None else look_of(RUN_LOOKS, found.status)


def has_other_outcome(node: NodeComparison) -> bool:
    """Return whether the step ended otherwise, or is in one of the runs only."""
    return node.left is None or node.right is None or node.left.status != node.right.status


def is_notable(node: NodeComparison) -> bool:
    """Return whether the step differs in more than the noise of its duration."""
    if has_other_outcome(node) or node.is_output_same is False:
        return True
    if node.delta_s is None or node.left is None or node.right is None:
        return False
    longer = max(node.left.duration_s or 0.0, node.right.duration_s or 0.0)
    return abs(node.delta_s) >= max(_NOTABLE_S, _NOTABLE_RATIO * longer)


def _name(node: NodeComparison) -> str:
    return node.node_id if node.map_index < 0 else f"{node.node_id} [{node.map_index}]"


def _took(node: NodeComparison, side: Side) -> float | None:
    found: NodeSide | None = getattr(node, side)
    return None if found is None else found.duration_s


def _longer_s(node: NodeComparison) -> float | None:
    """Return how much longer the right one took; never a zero with a sign."""
    return None if node.delta_s is None else round(node.delta_s, 2) + 0.0


def _result_words(node: NodeComparison) -> str | None:
    return None if node.is_output_same is None else ("same" if node.is_output_same else "differs")


def _notes(node: NodeComparison) -> str | None:
    words: list[str] = []
    for side, found in (("left", node.left), ("right", node.right)):
        if found is None:
            continue
        if found.cache_hit:
            words.append(f"{side} from the cache")
        if found.attempt > 1:
            words.append(f"{side} needed {found.attempt} attempts")
        if found.error_message:
            words.append(f"{side}: {found.error_message}")
    return "; ".join(words) or None


NODE_COLUMNS: list[Column[NodeComparison]] = [
    Column("Step", _name),
    Column("Left", lambda node: outcome(node, "left"), "state"),
    Column("Right", lambda node: outcome(node, "right"), "state"),
    Column("Left took", lambda node: _took(node, "left"), "seconds", width="small"),
    Column("Right took", lambda node: _took(node, "right"), "seconds", width="small"),
    Column("Longer by", _longer_s, "seconds", width="small", help="Right less left."),
    Column("Output", _result_words, width="small"),
    Column("Notes", _notes, width="large"),
]


def _written(value: Any, *, is_there: bool) -> str:
    text = orjson.dumps(value, default=str).decode() if is_there else "not there"
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"


CHANGE_COLUMNS: list[Column[ValueChange]] = [
    Column("Parameter", lambda change: change.path or "the whole input"),
    Column("Left", lambda change: _written(change.left, is_there=change.is_in_left), width="large"),
    Column("Right", lambda change: _written(change.right, is_there=change.is_in_right), width="large"),
]


def summary(comparison: RunComparison) -> str:
    """Return what differs between the runs, in a few sentences."""
    left, right = comparison.left, comparison.right
    parts: list[str] = []
    if left.status != right.status:
        words = [look_of(RUN_LOOKS, row.status).word.lower() for row in (left, right)]
        parts.append(f"The left run is {words[0]}, the right one {words[1]}.")
    if comparison.delta_s is not None:
        parts.append(_duration_words(comparison.delta_s, left))
    if left.workflow_id != right.workflow_id:
        parts.append("They are runs of different workflows.")
    elif left.version != right.version:
        parts.append(f"The left ran version {left.version}, the right version {right.version}.")
    parts.append(
        f"{formats.plural(len(comparison.params), 'parameter')} {_verb(len(comparison.params))}."
        if comparison.params
        else "Their input is the same."
    )
    if comparison.is_output_same is not None:
        parts.append("Their output is the same." if comparison.is_output_same else "Their output differs.")
    other = sum(has_other_outcome(node) for node in comparison.nodes)
    if other:
        parts.append(f"{formats.plural(other, 'step')} ended otherwise.")
    return " ".join(parts)


def _verb(count: int) -> str:
    return "differs" if count == 1 else "differ"


def _duration_words(delta_s: float, left: RunRow) -> str:
    if abs(delta_s) < _NOTABLE_S:
        return "They took the same time."
    share = f" ({abs(delta_s) / left.duration_s * 100:.0f} %)" if left.duration_s else ""
    word = "longer" if delta_s > 0 else "less"
    return f"The right run took {formats.duration(abs(delta_s))} {word}{share}."


def draw_side(side: Side, row: RunRow, filters: Filters) -> None:
    """Draw one of the runs as a card with the way to it."""
    look = look_of(RUN_LOOKS, row.status)
    with st.container(border=True):
        st.page_link(
            str(page_of("run").path),
            label=f"{side.capitalize()}: {formats.escaped(row.workflow_name)}",
            icon=":material/play_circle:",
            query_params=query(filters, run=row.id),
        )
        took = formats.duration(row.duration_s) if row.duration_s is not None else formats.DASH
        verb = "took" if row.finished_at else "runs for"
        st.markdown(f"{look.badge} version {row.version}, {verb} {took}")
        by = formats.escaped(row.requested_by) or "the system"
        age = formats.age(row.queued_at, now=utc_now())
        st.caption(f"Queued {formats.moment(row.queued_at, viewer_zone())} ({age}) by {by}.")
        if row.error_message:
            st.caption(f":red[:material/error: {formats.escaped(row.error_message)}]")


def draw_parameters(changes: Sequence[ValueChange]) -> None:
    """Draw the parameters that differ."""
    if not changes:
        return
    st.header("Input that differs", anchor=False)
    tables.table(changes, CHANGE_COLUMNS, alt="Parameters that differ", key="compare.params", height="content")


def draw_nodes(comparison: RunComparison) -> None:
    """Draw the steps of both runs, at first only those that differ."""
    st.header("Steps", anchor=False)
    notable = [node for node in comparison.nodes if is_notable(node)]
    every = st.toggle(f"All {len(comparison.nodes):,} steps", key="compare.all")
    shown = comparison.nodes if every else notable
    if not shown:
        st.caption(":material/check_circle: No step differs in its outcome, output or, notably, its duration.")
        return
    tables.table(
        shown,
        NODE_COLUMNS,
        alt="Steps of both runs, those that differ most first",
        key="compare.nodes",
        height="content",
    )
    if comparison.left_out:
        st.caption(f"{formats.plural(comparison.left_out, 'more step')} not shown.")


def candidate_words(row: RunRow, left: uuid.UUID | None) -> str:
    """Return a run as it stands in a choice of runs to compare with: no two alike, since a choice goes by its words."""
    look = look_of(RUN_LOOKS, row.status)
    took = f", {formats.duration(row.duration_s)}" if row.duration_s is not None else ""
    own = " (the left one)" if row.id == left else ""
    moment = formats.moment(row.queued_at, viewer_zone(), seconds=False)
    return f"{row.workflow_name}, {moment}, {look.word.lower()}{took}, {row.id.hex[-6:]}{own}"
