"""The thresholds of one key figure: their form for operators, and every state they had."""

from collections.abc import Sequence

import streamlit as st

from analytics.core.errors import InputError
from analytics.kpi import Bounds, Kpi
from analytics.kpi.thresholds import LONGEST_NOTE, ThresholdRevision
from dashboard import actions, formats, kpi_actions
from dashboard.components import tables
from dashboard.components.tables import Column

_SHIPPED = "as shipped"

_COLUMNS: list[Column[tuple[Kpi, ThresholdRevision]]] = [
    Column("Revision", lambda row: "0" if row[1].revision == 0 else str(row[1].revision), width="small"),
    Column("Target", lambda row: formats.quantity(row[1].bounds.target, row[0].unit), width="small"),
    Column("Good to", lambda row: formats.quantity(row[1].bounds.good, row[0].unit), width="small"),
    Column("Warning to", lambda row: formats.quantity(row[1].bounds.warning, row[0].unit), width="small"),
    Column("Set", lambda row: row[1].created_at, "moment"),
    Column("By", lambda row: row[1].created_by or _SHIPPED),
    Column("Why", lambda row: row[1].note, width="large"),
]


def scale_of(kpi: Kpi) -> tuple[float, str]:
    """Return by what a value is multiplied to be typed, and the unit it is typed in: shares as per cent."""
    match kpi.unit:
        case "ratio":
            return 100.0, "%"
        case "s":
            return 1.0, "seconds"
        case "usd":
            return 1.0, "$"
        case "" | "count":
            return 1.0, ""
        case _:
            return 1.0, kpi.unit


def history(kpi: Kpi, revisions: Sequence[ThresholdRevision]) -> None:
    """Draw every state of the thresholds, newest first."""
    tables.table(
        [(kpi, revision) for revision in revisions],
        _COLUMNS,
        alt=f"Every state of the thresholds of {kpi.title}, newest first",
        key=f"kpi.thresholds.{kpi.id}",
        height="content",
    )


def editor(kpi: Kpi) -> None:
    """Draw the form of the thresholds, and the way back to the standard ones."""
    factor, unit = scale_of(kpi)
    key = f"kpi.edit.{kpi.id}.{kpi.revision}"
    lower = kpi.direction == "lower"
    order = "target < good < warning: lower is better" if lower else "target > good > warning: higher is better"
    with st.form(key, border=True):
        st.markdown(f"**Thresholds**{f' in {unit}' if unit else ''}")
        st.caption(f"{order}. Beyond the last one a value is critical. Leave all three empty to only measure it.")
        columns = st.columns(3)
        typed = [
            column.number_input(
                label,
                value=None if value is None else round(value * factor, 10),
                format="%.6g",
                step=None,
                key=f"{key}.{label}",
            )
            for column, label, value in zip(
                columns, ("Target", "Good to", "Warning to"), (kpi.target, kpi.good, kpi.warning), strict=True
            )
        ]
        note = st.text_input("Why", max_chars=LONGEST_NOTE, key=f"{key}.note")
        if st.form_submit_button("Save", type="primary", icon=":material/save:"):
            _save(kpi, [None if value is None else value / factor for value in typed], note)
    if kpi.revision and st.button("Back to the standard ones", icon=":material/undo:", key=f"{key}.reset"):
        _restore(kpi)


def _save(kpi: Kpi, values: Sequence[float | None], note: str) -> None:
    def save() -> Kpi:
        if any(value is None for value in values) and any(value is not None for value in values):
            raise InputError("Give all three thresholds, or none; nothing was stored.")
        target, good, warning = values
        return kpi_actions.save_thresholds(
            kpi.id, Bounds(target, good, warning), note=note.strip(), expected_revision=kpi.revision
        )

    if actions.succeeds(save):
        st.toast(f"Thresholds of {kpi.title} saved.", icon=":material/save:")
        st.rerun()


def _restore(kpi: Kpi) -> None:
    if actions.succeeds(lambda: kpi_actions.restore_standard(kpi.id, note="", expected_revision=kpi.revision)):
        st.toast(f"{kpi.title} has its standard thresholds again.", icon=":material/undo:")
        st.rerun()
