"""Leads: how they stand by their score, a list of them, and the form that changes one."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from analytics.journeys.events import LEAD_STATUSES
from analytics.journeys.leads import BANDS, Band, LeadRow
from dashboard import formats
from dashboard.components import states, tables
from dashboard.components.status import Look
from dashboard.components.tables import Column
from dashboard.zone import viewer_zone

LOOKS: Mapping[str, Look] = {
    "new": Look("New", ":material/fiber_new:", "blue"),
    "contacted": Look("Contacted", ":material/forum:", "violet"),
    "qualified": Look("Qualified", ":material/thumb_up:", "orange"),
    "won": Look("Won", ":material/check_circle:", "green"),
    "lost": Look("Lost", ":material/cancel:", "gray"),
}

_ROW, _HIGHEST = 35, 600
"""Pixels of a row and of the list."""

BAND_COLUMNS: Sequence[Column[Band]] = (
    Column("Score", lambda row: row.band, help="Chance to become a customer, 0 to 1, as the source of the lead says."),
    Column("Leads", lambda row: row.leads, "number"),
    Column("Contacted", lambda row: row.contacted, "number", help="Contacted, qualified or won by now."),
    Column("Qualified", lambda row: row.qualified, "number", help="Qualified or won by now."),
    Column("Won", lambda row: row.won, "number"),
    Column("Lost", lambda row: row.lost, "number"),
    Column("Won of those decided", lambda row: row.conversion, "progress"),
    Column("Mean score", lambda row: None if row.mean_score is None else round(row.mean_score, 3), "number"),
    Column("Median time to win", lambda row: None if row.took_s is None else formats.duration(row.took_s)),
)

COLUMNS: Sequence[Column[LeadRow]] = (
    Column("Lead", lambda row: row.email or row.external_id or str(row.id), width="medium"),
    Column("Status", lambda row: LOOKS[row.status], "state"),
    Column("Score", lambda row: row.p_score, "progress"),
    Column("Owner", lambda row: row.owner),
    Column("Source", lambda row: row.source),
    Column("Came", lambda row: row.created_at, "moment"),
    Column("Won", lambda row: row.converted_at, "moment"),
)


def draw_bands(bands: Sequence[Band], words: str) -> None:
    """Draw how leads stand by band of their score."""
    if not bands:
        states.empty(
            "No lead came in this time range",
            "Send `lead.created` events with a `p_score`, or import a CSV file; the guide is in docs/events.md.",
            icon=":material/contacts:",
        )
        return
    tables.table(bands, BAND_COLUMNS, alt="Leads by band of their score", key="leads.bands", height="content")
    demo = sum(band.demo for band in bands)
    note = f" {demo:,} of them are of the demo history." if demo else ""
    st.caption(f"Leads that came in the {words}, as they stand now.{note}")


def choose() -> tuple[str | None, str | None, str | None]:
    """Draw the filters of the list: status, band of the score, words."""
    first, second, third = st.columns([1, 1, 2], vertical_alignment="bottom")
    with first:
        status = st.selectbox("Status", ["any", *LEAD_STATUSES], key="status", bind="query-params")
    with second:
        band = st.selectbox("Score", ["any", *BANDS], key="band", bind="query-params")
    with third:
        search = st.text_input(
            "Search leads",
            type="search",
            live="300ms",
            placeholder="Part of the e-mail or of the id",
            key="q",
            bind="query-params",
        )
    return None if status == "any" else status, None if band == "any" else band, search or None


def draw_list(rows: Sequence[LeadRow]) -> LeadRow | None:
    """Draw leads and return the one that is marked."""
    index = tables.table(
        rows,
        COLUMNS,
        alt="Leads, those that came last first",
        key="leads.table",
        height=min(_HIGHEST, _ROW * (len(rows) + 1) + 3),
        can_select=True,
        selected=0 if len(rows) == 1 else None,
    )
    return None if index is None else rows[index]


def draw_one(lead: LeadRow, *, can_change: bool) -> Mapping[str, Any] | None:
    """Draw one lead with its form; return what is to be changed, None: nothing."""
    zone = viewer_zone()
    with st.container(border=True):
        name = formats.escaped(lead.email or lead.external_id or str(lead.id))
        st.markdown(f"**{name}** {LOOKS[lead.status].badge}")
        won = "" if lead.converted_at is None else f", won {formats.moment(lead.converted_at, zone)}"
        st.caption(
            f"From {formats.escaped(lead.source)}, came {formats.moment(lead.created_at, zone)}{won}."
            f" As of {formats.moment(lead.updated_at, zone)}."
        )
        with st.form(f"lead.{lead.id}", border=False):
            status = st.selectbox("Status", LEAD_STATUSES, index=LEAD_STATUSES.index(lead.status))
            score = st.number_input(
                "Score", 0.0, 1.0, lead.p_score, step=0.05, format="%.2f", help="Empty: not scored."
            )
            owner = st.text_input("Owner", lead.owner or "", max_chars=200)
            email = st.text_input("E-mail", lead.email or "", max_chars=254)
            sent = st.form_submit_button("Change", icon=":material/save:", disabled=not can_change)
    if not sent:
        return None
    told: dict[str, Any] = {"status": status, "p_score": score, "owner": owner or None, "email": email or None}
    return {name: value for name, value in told.items() if value != getattr(lead, name)}
