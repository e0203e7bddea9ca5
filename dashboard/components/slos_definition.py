"""What an objective is made of: its groups, its members, its definition and how that changed."""

from collections.abc import Sequence

import streamlit as st
import yaml

from analytics.slo import Objective, SloStatus
from analytics.slo.catalogue import LONGEST_NOTE, Change, Revision
from analytics.slo.model import CompositeEvents
from analytics.slo.specs.native import dump_document
from dashboard import actions, formats, slo_actions
from dashboard.components import slos, states, tables
from dashboard.components.status import Look
from dashboard.components.tables import Column
from dashboard.components.versions import draw_lines

_NOW = Look("Current", ":material/check_circle:", "green")
_EARLIER = Look("Earlier", ":material/history:", "gray")
_OUT = Look("Out of use", ":material/block:", "orange")

CHANGE_COLUMNS: list[Column[Change]] = [
    Column("Field", lambda change: change.path),
    Column("Before", lambda change: change.before),
    Column("After", lambda change: change.after),
]


def source_of(objective: Objective) -> str:
    """Return an objective as native YAML."""
    return yaml.safe_dump(dump_document(objective), sort_keys=False, allow_unicode=True, width=100)


def draw_groups(status: SloStatus) -> None:
    """Draw how each group of an objective stands, worst first."""
    if not status.groups:
        states.empty(
            "No group was seen", f"Groups by {', '.join(status.objective.group_by)} come with the first events."
        )
        return
    name: Column[SloStatus] = Column("Group", lambda group: slos.group_words(group.group_key))
    tables.table(
        status.groups,
        [name, *slos.part_columns(status.groups)],
        alt="Groups of the objective, worst first, with state and budget",
        key="slo.groups",
        height="content",
    )
    if status.group_count > len(status.groups):
        st.caption(f"The {len(status.groups)} worst of {status.group_count:,} groups.")


def draw_members(status: SloStatus) -> SloStatus | None:
    """Draw how the members of a composite stand; return the one whose button was clicked just now."""
    weights = {}
    if isinstance(status.objective.indicator, CompositeEvents):
        weights = {member.slo_id: float(member.weight) for member in status.objective.indicator.members}
    name: Column[SloStatus] = Column("Objective", lambda one: one.objective.title)
    weight: Column[SloStatus] = Column("Weight", lambda one: weights.get(one.objective.id), "number", width="small")
    row = tables.table(
        status.members,
        [name, weight, *slos.part_columns(status.members)],
        alt="Members of the composite with weight, state and budget",
        key="slo.members",
        can_open=True,
        height="content",
    )
    missing = sorted(set(weights) - {one.objective.id for one in status.members})
    if missing:
        st.caption(f"Without data, so that the weights of the others stand for theirs: {', '.join(missing)}.")
    return None if row is None else status.members[row]


def revision_words(row: Revision) -> str:
    """Return what a revision did, in few words."""
    if not row.is_active:
        return row.note or "Taken out of use"
    changed = formats.plural(len(row.changes), "field") + " changed" if row.changes else ""
    return row.note or changed or "Stored"


def _columns(current: int) -> list[Column[Revision]]:
    def look(row: Revision) -> Look:
        if row.revision == current:
            return _NOW if row.is_active else _OUT
        return _EARLIER

    return [
        Column("Revision", lambda row: row.revision, "number", width="small"),
        Column("State", look, "state", width="small"),
        Column("Stored", lambda row: row.created_at, "moment"),
        Column("By", lambda row: row.created_by),
        Column("Why", revision_words, width="large"),
        Column("Fields", lambda row: len(row.changes) or None, "number", width="small", help="How many changed."),
    ]


def draw_definition(objective: Objective, revisions: Sequence[Revision], *, can_change: bool) -> None:
    """Draw the definition as text, and its history with what each revision changed."""
    left, right = st.columns(2, gap="medium")
    with left:
        st.markdown("**Definition**")
        st.code(source_of(objective), language=None, wrap_lines=True, height="content")
    with right:
        st.markdown("**History**")
        if not revisions:
            st.caption("Its history is not known.")
            return
        current = revisions[0].revision
        row = tables.choose(
            revisions,
            _columns(current),
            alt="Revisions of the definition, newest first",
            key=f"slo.revisions.{current}",
        )
        if row is None:
            st.caption("Mark a revision to see what it changed.")
        else:
            _draw_revision(row, objective, current=current, can_change=can_change)


def _draw_revision(row: Revision, objective: Objective, *, current: int, can_change: bool) -> None:
    if row.changes:
        st.markdown(f"**What revision {row.revision} changed**")
        tables.table(
            row.changes,
            CHANGE_COLUMNS,
            alt=f"What revision {row.revision} changed",
            key=f"slo.changes.{row.revision}",
            height="content",
        )
    if row.revision == current or row.objective is None:
        return
    st.markdown(f"**From now to revision {row.revision}**")
    draw_lines(source_of(objective), source_of(row.objective), names=("now", f"revision {row.revision}"))
    if can_change:
        _draw_revert(row, objective, current=current)


def _draw_revert(row: Revision, objective: Objective, *, current: int) -> None:
    with st.popover(f"Go back to revision {row.revision}", icon=":material/undo:", key=f"slo.revert.of.{row.revision}"):
        st.markdown("It is stored as a new revision, and counts at once, for past events too.")
        note = st.text_input("Why", max_chars=LONGEST_NOTE, key=f"slo.revert.note.{row.revision}")
        if st.button("Go back to it", type="primary", key=f"slo.revert.{row.revision}") and actions.succeeds(
            lambda: slo_actions.revert_slo(objective.id, row.revision, note=note or "", expected_revision=current)
        ):
            st.toast(f"Revision {row.revision} counts again.", icon=":material/undo:")
            st.rerun()
