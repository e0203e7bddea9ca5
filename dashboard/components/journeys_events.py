"""Events as a feed, and the import of a CSV file step by step."""

import functools
from collections.abc import Mapping, Sequence

import streamlit as st

from analytics.journeys.events import MOST_SHOWN, Rejected, Taken
from analytics.journeys.feed import EventRow
from analytics.journeys.importing import DEFAULT_SOURCE, ENCODINGS, FIELDS, CsvForm, Mapped, Preview, zone_of
from dashboard import formats
from dashboard.components import states, tables
from dashboard.components.tables import Column
from dashboard.zone import viewer_zone

HOW_TO_SEND = """curl -X POST "$HELMSIGHT/api/v1/events" \\
  -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/cloudevents+json" \\
  -d '{"specversion": "1.0", "id": "1", "source": "/shop", "type": "web.page_view",
       "subject": "ann@example.com", "data": {"page": "/pricing"}}'"""
_NAMES = {
    "at": "Time",
    "kind": "Kind",
    "source": "Source",
    "subject": "Person",
    "id": "Id",
    "service": "Service",
    "duration_ms": "Duration (ms)",
    "cost_usd": "Cost (USD)",
    "project_id": "Project",
}
_NONE = formats.DASH
_REFUSE = "refuse them"

COLUMNS: Sequence[Column[EventRow]] = (
    Column("Time", lambda row: row.at, "moment"),
    Column("Kind", lambda row: row.kind),
    Column("Person", lambda row: row.subject),
    Column("Source", lambda row: row.source),
    Column("Service", lambda row: row.service),
    Column("Duration", lambda row: None if row.duration_ms is None else formats.duration(row.duration_ms / 1000)),
    Column("Cost", lambda row: None if row.cost_usd is None else formats.money(row.cost_usd)),
    Column("Data", lambda row: dict(row.props), "json", width="large"),
)
PROBLEM_COLUMNS: Sequence[Column[Rejected]] = (
    Column("Line", lambda row: row.index, "number", width="small"),
    Column("Id", lambda row: row.id),
    Column("Column", lambda row: row.path or None),
    Column("Reason", lambda row: row.reason, width="large"),
)


def draw_nothing_yet() -> None:
    """Say how events get here."""
    states.empty(
        "No event in this time range",
        "Tell Helmsight what people do: send events, or import a CSV file. A longer time range may show more.",
        icon=":material/conversion_path:",
    )
    st.code(HOW_TO_SEND, language="bash", wrap_lines=True)
    st.caption("The token is made on the Admin page. Batches, kinds that are known and limits: docs/events.md.")


def choose(kinds: Sequence[str]) -> tuple[str | None, str | None]:
    """Draw the filters of the feed: kind and person."""
    left, right = st.columns(2, vertical_alignment="bottom")
    with left:
        kind = st.selectbox(
            "Kind",
            ["any", *kinds],
            key="kind",
            bind="query-params",
            accept_new_options=True,
            help="Type `web.*` for all that begin so.",
        )
    with right:
        person = st.text_input("Person", key="person", bind="query-params", placeholder="Exactly as it was told")
    return None if kind == "any" else kind, person or None


def draw_feed(rows: Sequence[EventRow]) -> None:
    """Draw the newest events."""
    tables.table(rows, COLUMNS, alt="Events, those that happened last first", key="events.table")


def choose_columns(form: CsvForm, guess: Mapped) -> Mapped:
    """Draw what the columns of a file mean."""
    st.caption(
        f"{ENCODINGS[form.encoding]}: {form.encoding_said}. Columns are parted by `{_shown(form.delimiter)}`."
        " Columns that are not named here become data of the event."
    )
    columns: dict[str, str] = {}
    with st.container(horizontal=True):
        for name in FIELDS:
            options = [_NONE, *form.columns]
            usual = guess.columns.get(name)
            chosen = st.selectbox(
                _NAMES[name],
                options,
                index=options.index(usual) if usual in options else 0,
                key=f"import.{name}",
                width=180,
            )
            if chosen != _NONE:
                columns[name] = chosen
    fixed = _choose_fixed(columns)
    zone = st.selectbox(
        "Times without a zone",
        [_REFUSE, viewer_zone().key, "UTC"] if viewer_zone().key != "UTC" else [_REFUSE, "UTC"],
        key="import.zone",
        accept_new_options=True,
        help="Take them in this time zone, or refuse the rows.",
        width=240,
    )
    return Mapped(columns, fixed, None if zone == _REFUSE else zone_of(zone))


def _choose_fixed(columns: Mapping[str, str]) -> dict[str, str]:
    fixed: dict[str, str] = {}
    with st.container(horizontal=True):
        for name, usual in (("kind", ""), ("source", DEFAULT_SOURCE)):
            if name not in columns:
                value = st.text_input(f"{_NAMES[name]} of all rows", usual, key=f"import.fixed.{name}", width=240)
                fixed |= {name: value.strip()} if value.strip() else {}
    return fixed


def draw_preview(preview: Preview) -> None:
    """Draw the first rows of a file and what is wrong with them."""
    columns: list[Column[Mapping[str, str]]] = [
        Column(name, functools.partial(_cell, name)) for name in preview.form.columns
    ]
    tables.table(preview.rows, columns, alt="The first rows of the file", key="import.preview", height="content")
    if preview.problems:
        count = formats.plural(len(preview.problems), "row")
        st.warning(f"{count} of these {len(preview.rows)} would be rejected.", icon=":material/rule:")
        tables.table(
            preview.problems, PROBLEM_COLUMNS, alt="Rows that are not fit", key="import.problems", height="content"
        )
    else:
        st.caption(f":material/check_circle: All of the first {formats.plural(len(preview.rows), 'row')} are fit.")


def _cell(name: str, row: Mapping[str, str]) -> str | None:
    return row.get(name)


def draw_taken(taken: Taken) -> None:
    """Draw what became of a file."""
    words = (
        f"{formats.plural(taken.received, 'row')} read: {taken.stored:,} stored, {taken.known:,} known before,"
        f" {taken.rejected:,} rejected."
    )
    if taken.leads:
        words += f" {formats.plural(taken.leads, 'lead')} added or changed."
    if taken.contexts:
        words += f" {formats.plural(taken.contexts, 'context')} added or changed."
    if not taken.rejected:
        st.success(words, icon=":material/check_circle:")
        return
    st.warning(words, icon=":material/rule:")
    tables.table(taken.problems, PROBLEM_COLUMNS, alt="Rows that were rejected", key="import.rejected")
    if taken.rejected > MOST_SHOWN:
        st.caption(f"The first {MOST_SHOWN} are shown.")


def _shown(delimiter: str) -> str:
    return "tab" if delimiter == "\t" else delimiter
