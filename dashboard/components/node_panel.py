"""One step of a run: how it stands, what went in and came out, its log, attempts, errors and artifacts."""

import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import streamlit as st

from analytics.core.errors import InputError
from analytics.store.queries.nodes import ArtifactRow, AttemptRow, NodeDetail, NodeItems
from dashboard import data, formats
from dashboard.components import logs, run_view, states, tables
from dashboard.components.status import RUN_LOOKS, look_of
from dashboard.components.tables import Column
from dashboard.components.values import draw_value
from dashboard.filters import Filters
from dashboard.links import page_of, query
from dashboard.zone import viewer_zone

OUTPUT, INPUT, LOG, ATTEMPTS, ARTIFACTS = "Output", "Input", "Log", "Attempts", "Artifacts"
_ITEM_PATH = re.compile(r"^(?P<container>.+)/[^/]+$")
_NOTABLE_S = 0.005
_MOST_ITEMS = 1_000

_ATTEMPT_COLUMNS: list[Column[AttemptRow]] = [
    Column("Attempt", lambda row: row.attempt, "number", width="small"),
    Column("Began", lambda row: row.started_at, "moment"),
    Column("Duration", lambda row: row.duration_s, "seconds", width="small"),
    Column("On", lambda row: row.executor, width="small"),
    Column("Code", lambda row: (row.error or {}).get("code"), width="small"),
    Column("Error", lambda row: (row.error or {}).get("message"), width="large"),
]


def container_of(node_id: str) -> str | None:
    """Return the loop in whose body the step stands, or None: ``each`` for ``each/fetch``."""
    found = _ITEM_PATH.match(node_id)
    return None if found is None else found["container"]


def facts(detail: NodeDetail) -> list[str]:
    """Return what there is to know of a step in a few words each, Markdown."""
    row = detail.row
    words = [formats.escaped(row.kind)]
    if row.started_at is not None:
        words.append(f"began {formats.moment(row.started_at, viewer_zone())}")
    if row.duration_s is not None:
        words.append(
            f"took {formats.duration(row.duration_s)}" if row.finished_at else f"for {_rounded(row.duration_s)}"
        )
    waited_s = run_view.waited_s(row)
    if waited_s is not None and waited_s >= _NOTABLE_S:
        words.append(f"waited {formats.duration(waited_s)} for a slot")
    if row.attempt > 1:
        words.append(f"attempt {row.attempt}")
    if row.cpu_ms is not None:
        words.append(f"{formats.duration(row.cpu_ms / 1000)} of processor time")
    if row.executor:
        words.append(f"on {formats.escaped(row.executor)}")
    return words


def _rounded(seconds: float) -> str:
    return formats.duration(round(seconds)) if seconds >= 1 else formats.duration(seconds)


def sections_of(detail: NodeDetail) -> list[str]:
    """Return the parts that a step has something for, the most telling first."""
    found = [OUTPUT, INPUT, LOG]
    if detail.attempts:
        found.append(ATTEMPTS)
    if detail.artifacts:
        found.append(ARTIFACTS)
    return found


def draw_items(run_id: uuid.UUID, container: str, *, key: str) -> tuple[str, int] | None:
    """Draw how the items of a loop stand; return the step and item that were chosen just now, or None."""
    items = states.settle(data.node_items(run_id, container), "The items")
    if items is None or not items.nodes:
        st.caption("No item has begun yet.")
        return None
    for node in items.nodes:
        st.markdown(f"**{formats.escaped(node.node_id)}** {_badges(node.counts)}")
    options = _options(items)
    if not options:
        return None
    place: tuple[str, int] | None = st.selectbox(
        "Open an item",
        options,
        index=None,
        format_func=lambda option: f"{option[0]} [{option[1]}]" + (" failed" if option in items.failed else ""),
        placeholder="Open an item; failed ones first",
        label_visibility="collapsed",
        key=f"{key}.item",
    )
    return place


def _badges(counts: Mapping[str, int]) -> str:
    looks = [(look_of(RUN_LOOKS, status), count) for status, count in counts.items() if count]
    return " ".join(f":{look.colour}-badge[{look.icon} {count:,} {look.word.lower()}]" for look, count in looks)


def _options(items: NodeItems) -> list[tuple[str, int]]:
    failed = list(items.failed)
    room = _MOST_ITEMS // max(1, len(items.nodes))
    rest = [(node.node_id, index) for node in items.nodes for index in range(min(node.total, room))]
    return failed + [option for option in rest if option not in set(failed)]


def draw_panel(
    run_id: uuid.UUID,
    node_id: str,
    map_index: int,
    *,
    name: str,
    filters: Filters,
    is_active: bool,
    act: Callable[[], None],
) -> None:
    """Draw one step of a run.

    Args:
        run_id: The run.
        node_id: The step's address.
        map_index: Its place in a fan-out, or -1.
        name: What it is called.
        filters: What links keep.
        is_active: Whether the run has not ended.
        act: Draws what can be done with it.
    """
    answer = data.node(run_id, node_id, map_index)
    detail = states.settle(answer, "The step")
    title = formats.escaped(name if map_index < 0 else f"{name} [{map_index}]")
    look = look_of(RUN_LOOKS, "pending" if detail is None else detail.row.status)
    cached = " :green-badge[:material/bolt: From the cache]" if detail is not None and detail.row.cache_hit else ""
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", gap="small"):
        st.markdown(f"**{title}** {look.badge}{cached}", width="content")
        with st.container(horizontal=True, width="content", gap="xsmall", vertical_alignment="center"):
            act()
    if detail is None:
        if answer.outage is None:
            st.caption(
                "It has not begun: it does when what it needs has ended."
                if is_active
                else "It did not begin in this run."
            )
        return
    st.caption(" · ".join(facts(detail)))
    if detail.row.error:
        st.error(_error_words(detail.row.error), icon=":material/error:")
    if detail.wait is not None and detail.wait.child_run_id is not None:
        st.page_link(
            str(page_of("run").path),
            label="Open the run it started",
            icon=":material/account_tree:",
            query_params=query(filters, run=detail.wait.child_run_id),
        )
    _draw_sections(run_id, detail)


def _error_words(error: Mapping[str, Any]) -> str:
    code = f"`{formats.escaped(str(error['code']))}` " if error.get("code") else ""
    return f"{code}{formats.escaped(str(error.get('message') or error))}"


def _draw_sections(run_id: uuid.UUID, detail: NodeDetail) -> None:
    row = detail.row
    options = sections_of(detail)
    chosen = st.segmented_control(
        "Part of the step",
        options,
        default=LOG if row.status in {"running", "failed"} and row.log_lines else OUTPUT,
        label_visibility="collapsed",
        required=True,
        key=f"step.part.{row.node_id}.{row.map_index}",
    )
    match chosen:
        case "Input":
            _draw_input(run_id, detail)
        case "Log":
            logs.draw_log(
                run_id,
                row.node_id,
                row.map_index,
                attempts=row.attempt,
                total=row.log_lines,
                has_ended=row.finished_at is not None,
            )
        case "Attempts":
            _draw_attempts(detail)
        case "Artifacts":
            draw_artifacts(detail.artifacts, key=f"step.artifact.{row.node_id}.{row.map_index}")
        case _:
            _draw_output(detail)


def _draw_output(detail: NodeDetail) -> None:
    if detail.is_output_left_out:
        st.caption(f"The output has {formats.size_bytes(detail.output_bytes)}, too much to show here.")
        return
    if detail.row.output is None:
        st.caption("It gave nothing." if detail.row.finished_at else "Nothing yet.")
        return
    draw_value("Output", detail.row.output)


def _draw_input(run_id: uuid.UUID, detail: NodeDetail) -> None:
    try:
        answer = data.node_input(run_id, detail.row.node_id, detail.row.map_index)
    except InputError as error:
        st.caption(f":material/info: {formats.escaped(error.message)}")
        return
    value = states.settle(answer, "The input")
    if value is not None:
        draw_value("Configuration with its templates filled in", dict(value))
    elif answer.outage is None:
        st.caption("What its templates name is not there, or not yet.")


def _draw_attempts(detail: NodeDetail) -> None:
    row = detail.row
    last = AttemptRow(row.attempt, row.executor, row.started_at, row.finished_at, row.duration_s, row.error)
    tables.table(
        [*detail.attempts, last],
        _ATTEMPT_COLUMNS,
        alt="Attempts at the step with times and errors",
        key=f"step.attempts.{row.node_id}.{row.map_index}",
        height="content",
    )


def draw_artifacts(artifacts: Sequence[ArtifactRow], *, key: str) -> None:
    """Draw what steps made, each with its download."""
    for row in artifacts:
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.markdown(
                f"**{formats.escaped(row.name)}** :gray[{formats.escaped(row.media_type)},"
                f" {formats.size_bytes(row.size_bytes)}]",
                width="content",
            )
            st.download_button(
                "Download",
                data=partial(data.artifact_for_download, row.id),
                file_name=row.name,
                mime=row.media_type,
                icon=":material/download:",
                key=f"{key}.{row.id}",
                on_click="ignore",
            )
