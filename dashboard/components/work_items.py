"""Work items: how many of each kind, how far they are, and the newest."""

from collections.abc import Sequence
from itertools import chain

import streamlit as st

from analytics.store.queries.work_items import WorkItemRow, WorkKind
from dashboard import formats
from dashboard.components import states, tables
from dashboard.components.status import RUN_LOOKS, Look, look_of
from dashboard.components.tables import Column

_LOOKS = {
    "open": Look("Open", ":material/radio_button_unchecked:", "gray"),
    "active": Look("Active", ":material/progress_activity:", "blue"),
    "completed": RUN_LOOKS["completed"],
    "failed": RUN_LOOKS["failed"],
}
_MOST = 10

_KINDS: list[Column[WorkKind]] = [
    Column("Kind", lambda kind: f"{kind.kind.capitalize()}s"),
    Column("Created", lambda kind: kind.total, "number", width="small"),
    Column("Open", lambda kind: kind.by_status["open"], "number", width="small"),
    Column("Active", lambda kind: kind.by_status["active"], "number", width="small"),
    Column("Completed", lambda kind: kind.by_status["completed"], "number", width="small"),
    Column("Failed", lambda kind: kind.by_status["failed"], "number", width="small"),
    Column("How far", lambda kind: kind.completion_ratio, "progress", help="Mean over all of them"),
    Column(
        "Took",
        lambda kind: formats.NO_DATA if kind.took_s is None else formats.duration(kind.took_s),
        width="small",
        help="Mean time from creation to completion",
    ),
]
_ITEMS: list[Column[WorkItemRow]] = [
    Column("Title", lambda item: item.title, width="medium"),
    Column("Kind", lambda item: item.kind.capitalize(), width="small"),
    Column("State", lambda item: look_of(_LOOKS, item.status), "state", width="small"),
    Column("How far", lambda item: item.completion_ratio, "progress", width="small"),
    Column("Project", lambda item: item.project),
    Column("Owner", lambda item: item.owner, width="small"),
    Column("Created", lambda item: item.created_at, "moment"),
]


def draw(kinds: Sequence[WorkKind], words: str) -> None:
    """Draw each kind with its counts, and the newest items of all kinds.

    Args:
        kinds: Those created in the chosen range.
        words: The range in words.
    """
    if not any(kind.total for kind in kinds):
        states.empty(
            f"No work item in the {words}",
            "Assessments, recommendations and reports appear here once they are created.",
        )
        return
    tables.table(
        kinds,
        _KINDS,
        alt=f"Assessments, recommendations and reports of the {words}, by state, with how far they are",
        key="work.kinds",
        height="content",
    )
    items = sorted(chain.from_iterable(kind.latest for kind in kinds), key=lambda item: item.created_at, reverse=True)
    st.caption(f"The newest {min(_MOST, len(items))}:")
    tables.table(
        items[:_MOST], _ITEMS, alt="The newest work items with their state", key="work.latest", height="content"
    )
