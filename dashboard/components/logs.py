"""What a step wrote: its lines with time and level, the newest at the end, followed while the step is executed."""

import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, tzinfo

import streamlit as st

from analytics.store.queries.nodes import MOST_LINES as MOST_LINES_A_READ
from analytics.store.queries.nodes import LogRow
from dashboard import data, formats
from dashboard.components import states
from dashboard.zone import viewer_zone

LEVELS: Mapping[str, str] = {"debug": "Debug", "info": "Info", "warning": "Warning", "error": "Error"}
MOST_LINES = 500
_HEIGHT_PX = 380
_FEW_LINES = 16
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-Z\\-_]|[\x00-\x08\x0b-\x1f\x7f]")
"""Colours and cursor movements of terminals, and characters that have no picture."""


def plain(message: str) -> str:
    """Return *message* without what only a terminal understands."""
    return _ESCAPES.sub("", message)


def line_of(row: LogRow, zone: tzinfo = UTC, *, with_attempt: bool = False) -> str:
    """Return one line as it is shown."""
    clock = row.at.astimezone(zone).strftime("%H:%M:%S.%f")[:-3]
    attempt = f"#{row.attempt} " if with_attempt else ""
    return f"{clock} {attempt}{row.level.upper():<7} {plain(row.message)}"


def text_of(rows: Sequence[LogRow], zone: tzinfo = UTC) -> str:
    """Return *rows* as text; the attempt is told when there are several."""
    several = len({row.attempt for row in rows}) > 1
    return "\n".join(line_of(row, zone, with_attempt=several) for row in rows)


def chosen(rows: Sequence[LogRow], *, levels: Sequence[str], words: str) -> list[LogRow]:
    """Return the rows of *levels* (all when empty) that contain *words*, whatever their case."""
    wanted = words.casefold()
    return [
        row for row in rows if (not levels or row.level in levels) and (not wanted or wanted in row.message.casefold())
    ]


def whole_text(run_id: uuid.UUID, node_id: str, map_index: int, *, attempts: int) -> str:
    """Return everything a step wrote in its *attempts*."""
    parts: list[str] = []
    for attempt in range(1, attempts + 1):
        after: int | None = None
        while True:
            found = data.log_for_download(run_id, node_id, map_index, attempt=attempt, after_seq=after)
            parts.extend(
                f"{row.at.isoformat()} #{row.attempt} {row.level.upper()} {plain(row.message)}" for row in found
            )
            if len(found) < MOST_LINES_A_READ:
                break
            after = found[-1].seq
    return "\n".join(parts) + "\n"


def draw_log(run_id: uuid.UUID, node_id: str, map_index: int, *, attempts: int, total: int, has_ended: bool) -> None:
    """Draw the end of what a step wrote, with a choice of levels and attempt, and the whole of it to download.

    Args:
        run_id: The run.
        node_id: The step's address.
        map_index: Its place in a fan-out, or -1.
        attempts: How many attempts there were.
        total: How many lines are kept of the last attempt.
        has_ended: Whether it writes no more.
    """
    key = f"log.{run_id}.{node_id}.{map_index}"
    if not total and attempts <= 1 and not data.node_log(run_id, node_id, map_index).value:
        st.caption("It wrote nothing." if has_ended else "It wrote nothing yet.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        words = st.text_input(
            "Find in the log",
            type="search",
            live="300ms",
            placeholder="Find in the log",
            label_visibility="collapsed",
            key=f"{key}.words",
            width=220,
        )
        levels = st.pills(
            "Levels",
            list(LEVELS),
            selection_mode="multi",
            format_func=LEVELS.__getitem__,
            label_visibility="collapsed",
            key=f"{key}.levels",
        )
        attempt = _attempt(attempts, key=f"{key}.attempt")
        st.download_button(
            "Download",
            data=lambda: whole_text(run_id, node_id, map_index, attempts=attempts),
            file_name=f"{re.sub(r'[^A-Za-z0-9_-]+', '-', node_id)}.log",
            mime="text/plain",
            icon=":material/download:",
            key=f"{key}.download",
            on_click="ignore",
        )
    rows = states.settle(data.node_log(run_id, node_id, map_index, attempt=attempt), "The log")
    if rows is not None:
        _draw_lines(rows, levels=levels or (), words=words or "", total=total)


def _attempt(attempts: int, *, key: str) -> int | None:
    if attempts <= 1:
        return None
    chosen_attempt: int | None = st.selectbox(
        "Attempt",
        range(1, attempts + 1),
        index=None,
        placeholder="Newest attempt",
        format_func=lambda number: f"Attempt {number}",
        label_visibility="collapsed",
        key=key,
        width=150,
    )
    return chosen_attempt


def _draw_lines(rows: Sequence[LogRow], *, levels: Sequence[str], words: str, total: int) -> None:
    if not rows:
        st.caption("This attempt wrote nothing.")
        return
    shown = chosen(rows, levels=levels, words=words)
    if not shown:
        st.caption(f"None of the last {formats.plural(len(rows), 'line')} fits the search.")
        return
    with st.container(height=_HEIGHT_PX if len(shown) > _FEW_LINES else "content", border=False, autoscroll=True):
        st.code(text_of(shown, viewer_zone()), language=None, wrap_lines=True)
    if len(rows) >= MOST_LINES:
        st.caption(f"The last {MOST_LINES:,} of {max(total, len(rows)):,} lines; the download has all of them.")
