"""Indexes that were made from their advice: how each stands, whether it is used, and what can be done with it."""

from collections.abc import Sequence
from typing import Literal

import streamlit as st

from analytics.core.clock import utc_now
from analytics.database.model import IndexAdvice, MadeIndex
from dashboard import formats
from dashboard.components import tables
from dashboard.components.status import Look
from dashboard.components.tables import Column
from dashboard.zone import viewer_zone

Wish = Literal["make", "drop"]

_LOOKS = {
    "queued": Look("Waits", ":material/schedule:", "gray"),
    "building": Look("Is made", ":material/progress_activity:", "blue"),
    "ready": Look("In place", ":material/check_circle:", "green"),
    "failed": Look("Failed", ":material/error:", "red"),
    "dropping": Look("Is dropped", ":material/delete:", "violet"),
    "dropped": Look("Dropped", ":material/delete:", "gray"),
}
_GONE = Look("Gone", ":material/link_off:", "orange")
_BROKEN = Look("Broken", ":material/error:", "red")


def look_of(row: MadeIndex) -> Look:
    """Return how *row* reads; one that is said to be in place is looked for."""
    if row.state == "ready" and not row.is_valid:
        return _GONE if row.is_valid is None else _BROKEN
    return _LOOKS[row.state]


COLUMNS: list[Column[MadeIndex]] = [
    Column("Index", lambda row: row.name),
    Column("State", look_of, "state", width="small"),
    Column("Size", lambda row: row.size_bytes, "bytes", width="small"),
    Column("Used", lambda row: row.scans, "number", width="small", help="Times, since it is counted."),
    Column("Used last", lambda row: row.last_used_at, "moment"),
    Column("In place since", lambda row: row.ready_at, "moment"),
    Column("Asked for by", lambda row: row.requested_by),
]


def draw_offer(item: IndexAdvice, made: MadeIndex | None, *, can_change: bool) -> bool:
    """Draw how an advised index stands, or offer to make it; return whether the reader wants it."""
    if made is not None and made.state != "failed" and look_of(made) not in {_GONE, _BROKEN}:
        st.markdown(f"{look_of(made).badge} {_story(made)}")
        return False
    if made is not None and made.error is not None:
        st.caption(f":material/error: {formats.escaped(made.error)}")
    if not can_change:
        st.caption("Administrators can have it made here.")
        return False
    return st.button(
        "Make this index",
        icon=":material/bolt:",
        key=f"database.make.{item.key}",
        help="The scheduler makes it beside everybody who reads and writes. It can be dropped again here.",
    )


def draw_made(rows: Sequence[MadeIndex], *, can_change: bool) -> tuple[Wish, MadeIndex] | None:
    """Draw the indexes that were asked for, and the one that is marked; return what the reader wants of it."""
    st.subheader("Indexes made here", anchor=False)
    if not rows:
        st.caption("None yet. Those that are made from their advice stand here, with how often they were used since.")
        return None
    chosen = tables.choose(rows, COLUMNS, alt="Indexes made from their advice", key="database.made")
    if chosen is None:
        st.caption("Mark one to read why it was made, and what can be done with it.")
        return None
    return _draw_one(chosen, can_change=can_change)


def _draw_one(row: MadeIndex, *, can_change: bool) -> tuple[Wish, MadeIndex] | None:
    wish: Wish | None = None
    with st.container(border=True, gap="small"):
        st.markdown(
            f"**{formats.escaped(row.table)}** ({formats.escaped(', '.join(row.columns))}) {look_of(row).badge}"
        )
        st.markdown(_story(row))
        st.caption(f"Advised because: {formats.escaped(row.reason)}")
        if not can_change:
            return None
        with st.container(horizontal=True):
            if row.state == "failed" and st.button(
                "Try again", icon=":material/replay:", key=f"database.again.{row.name}"
            ):
                wish = "make"
            if row.state != "dropping":
                with st.popover("Drop", icon=":material/delete:", key=f"database.drop.of.{row.name}"):
                    st.markdown("Statements that use it read the whole table again.")
                    if st.button("Drop it", type="primary", key=f"database.drop.{row.name}"):
                        wish = "drop"
    return None if wish is None else (wish, row)


def _story(row: MadeIndex) -> str:
    """Return in a sentence or two how *row* stands."""
    by = f"Asked for by {formats.escaped(row.requested_by)} {formats.age(row.requested_at, now=utc_now())}."
    error = "" if row.error is None else f" {formats.escaped(row.error)}"
    if row.state in {"queued", "building", "dropping"} and row.error is not None and row.due_at is not None:
        return f"{by}{error} Tried again at {formats.moment(row.due_at, viewer_zone())}."
    if row.state != "ready":
        return f"{by}{error}"
    if not row.is_valid:
        what = "Somebody dropped it by hand" if row.is_valid is None else "Something broke it"
        return f"{by} {what}; where it is still advised it can be made again."
    since = f" since {formats.moment(row.scans_since, viewer_zone())}" if row.scans_since is not None else ""
    return f"{by} Used {formats.plural(row.scans or 0, 'time')}{since}."
