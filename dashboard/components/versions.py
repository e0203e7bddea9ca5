"""Versions of a workflow: their list, and what differs between two of them, as words and as text."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import streamlit as st

from analytics.store.queries.workflows import VersionDetail, VersionRow
from dashboard import formats
from dashboard.components import states, tables
from dashboard.components.status import Look
from dashboard.components.tables import Column
from dashboard.components.workflows import source_of
from worker.workflow.definition import Definition
from worker.workflow.diff import Difference, difference

_CURRENT = Look("Current", ":material/check_circle:", "green")
_OLD = Look("Earlier", ":material/history:", "gray")
_WHAT = {
    "added": Look("Added", ":material/add:", "green"),
    "removed": Look("Removed", ":material/remove:", "red"),
    "changed": Look("Changed", ":material/edit:", "blue"),
}
_AROUND = 4
_MOST_LINES = 2_000
_MOST_CHANGES = 500
_MOST_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """One thing that differs."""

    where: str
    what: str
    path: str
    before: Any
    after: Any


def _short(value: Any) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 1]}…"


CHANGE_COLUMNS: list[Column[ChangeRow]] = [
    Column("Where", lambda row: row.where),
    Column("What", lambda row: _WHAT[row.what], "state", width="small"),
    Column("Field", lambda row: row.path),
    Column("Before", lambda row: _short(row.before)),
    Column("After", lambda row: _short(row.after)),
]

COLUMNS: list[Column[VersionRow]] = [
    Column("Version", lambda row: f"Version {row.version}", width="small", help="Opens this version in the editor."),
    Column("State", lambda row: _CURRENT if row.is_current else _OLD, "state", width="small"),
    Column("Stored", lambda row: row.created_at, "moment"),
    Column("By", lambda row: row.created_by or "shipped"),
    Column("Nodes", lambda row: row.nodes, "number", width="small"),
    Column("Content", lambda row: row.spec_hash[:12], help="The first digits of the hash of the definition."),
]


def choose_two(rows: Sequence[VersionRow]) -> tuple[int, int] | None:
    """Draw the choice of two versions; return them, the older first, or None when there is only one."""
    numbers = [row.version for row in rows]
    if len(numbers) < 2:  # noqa: PLR2004 - a pair
        st.caption("There is one version; what changed is shown here when there is another.")
        return None
    left, right = st.columns(2)
    with left:
        before = st.selectbox("From", numbers, index=1, format_func=_title, key="versions.from")
    with right:
        after = st.selectbox("To", numbers, index=0, format_func=_title, key="versions.to")
    return min(before, after), max(before, after)


def _title(number: int) -> str:
    return f"Version {number}"


def draw_difference(before: VersionDetail, after: VersionDetail) -> None:
    """Draw what changed from one version to another."""
    draw_changes(before.spec, after.spec, names=(_title(before.row.version).lower(), _title(after.row.version).lower()))


def draw_changes(before: Mapping[str, Any], after: Mapping[str, Any], *, names: tuple[str, str]) -> None:
    """Draw what changed between two definitions: node by node, and the lines of text."""
    found = difference(Definition.from_spec(before), Definition.from_spec(after))
    if found.is_empty:
        states.empty("No difference", f"The {names[0]} and the {names[1]} are the same.", icon=":material/equal:")
        return
    st.markdown(f"**{found.summary()[:1].upper()}{found.summary()[1:]}.**")
    rows = changes_of(found)
    tables.table(
        rows[:_MOST_CHANGES],
        CHANGE_COLUMNS,
        alt=f"What changed from the {names[0]} to the {names[1]}",
        key=f"versions.changes.{names[0]}.{names[1]}",
        height="content" if len(rows) <= _AROUND * 3 else 420,
    )
    draw_lines(source_of(before), source_of(after), names=names)


def draw_lines(before: str, after: str, *, names: tuple[str, str]) -> None:
    """Draw the lines of text that differ."""
    lines = changed_lines(before, after, names=names)
    if not lines:
        st.caption("The text is the same.")
        return
    added, removed = counted(lines)
    st.markdown(
        f":green-badge[:material/add: {formats.plural(added, 'line')}]"
        f" :red-badge[:material/remove: {formats.plural(removed, 'line')}]"
    )
    st.code("\n".join(lines[:_MOST_LINES]), language="diff", height=420 if len(lines) > _AROUND * 5 else "content")
    if len(lines) > _MOST_LINES:
        st.caption(f"{len(lines) - _MOST_LINES:,} more lines are not shown.")


def changes_of(found: Difference) -> list[ChangeRow]:
    """Return every change as a row: of the whole, of parameters, of nodes."""
    rows = [ChangeRow("workflow", change.what, change.path, change.before, change.after) for change in found.fields]
    rows += [ChangeRow("parameters", change.what, change.path, change.before, change.after) for change in found.params]
    for node in found.nodes:
        if not node.changes:
            rows.append(ChangeRow(f"node {node.node_id}", node.what, node.kind, None, None))
        rows += [
            ChangeRow(f"node {node.node_id}", change.what, change.path, change.before, change.after)
            for change in node.changes
        ]
    return rows


def changed_lines(before: str, after: str, *, names: tuple[str, str]) -> list[str]:
    """Return the lines that differ, with a few around them, as a unified diff; empty when nothing differs."""
    found = difflib.unified_diff(before.splitlines(), after.splitlines(), *names, n=_AROUND, lineterm="")
    return list(found)


def counted(lines: Sequence[str]) -> tuple[int, int]:
    """Return how many lines of a unified diff were added and removed."""
    body = [line for line in lines if not line.startswith(("+++", "---"))]
    return sum(line.startswith("+") for line in body), sum(line.startswith("-") for line in body)
