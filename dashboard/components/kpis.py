"""Key figures beyond their cards: the table of all, and one figure in detail with its parts and rows."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import streamlit as st

from analytics.core.clock import Interval
from analytics.kpi import KpiReading
from analytics.kpi.score import Part
from analytics.store.queries.annotations import AnnotationRow
from dashboard import formats
from dashboard.components import charts, states, tables
from dashboard.components.cards import how_computed, target_words
from dashboard.components.charts import Chart, Mark, Series, Threshold, Tone
from dashboard.components.navigation import go
from dashboard.components.status import KPI_LOOKS, look_of
from dashboard.components.tables import Column
from dashboard.filters import Filters
from dashboard.links import page_of, query

FIRST = (
    *("runs", "run_success", "run_p95", "agent_success", "llm_success", "http_p95"),
    *("agent_runs", "llm_cost", "active_people", "assessment_completion", "system_cpu", "system_memory", "system_disk"),
)
"""The figures of the first row, when they have data; the later ones, and then any others, fill the gaps."""
SEPARATOR = "\x1f"
NOT_NAMED = "(not named)"
_ALL = "all"
_ROWS_HEIGHT = 420
_FEW_ROWS = 11
_APART = 0.3
"""Share of a chart that the name of a mark takes."""
_LONGEST_LABEL = 24
_TITLES = {"http": "HTTP", "jobs": "Jobs and MCP"}

_COLUMNS: list[Column[KpiReading]] = [
    Column("Figure", lambda reading: reading.kpi.title),
    Column("Group", lambda reading: group_title(reading.kpi.group)),
    Column("State", lambda reading: look_of(KPI_LOOKS, reading.state), "state"),
    Column("Value", lambda reading: formats.quantity(reading.value, reading.kpi.unit)),
    Column("Target", lambda reading: target_words(reading.kpi) or formats.DASH),
    Column("Trend", lambda reading: [value for _, value in reading.series], "trend"),
    Column("Before", lambda reading: formats.quantity(reading.previous, reading.kpi.unit)),
    Column("Samples", lambda reading: reading.samples, "number"),
    Column("Measured", lambda reading: reading.measured_at, "moment"),
]


def group_title(group: str) -> str:
    """Return what people call a group of figures."""
    return _TITLES.get(group) or str(group).replace("_", " ").capitalize()


def key_words(key: str) -> str:
    """Return the name of one part of a figure; parts of a pair stand beside each other."""
    return " · ".join(part or NOT_NAMED for part in key.split(SEPARATOR))


def split(readings: Sequence[KpiReading], many: int) -> tuple[list[KpiReading], list[KpiReading]]:
    """Return the figures for the first row, at most *many*, and the rest; what has a value comes first."""
    wanted = {name: place for place, name in enumerate(FIRST)}
    order = sorted(readings, key=lambda reading: (reading.value is None, wanted.get(reading.kpi.id, len(FIRST))))
    first = sorted(order[:many], key=lambda reading: wanted.get(reading.kpi.id, len(FIRST)))
    chosen = {reading.kpi.id for reading in first}
    return first, [reading for reading in readings if reading.kpi.id not in chosen]


def demo_note(readings: Sequence[KpiReading]) -> None:
    """Say that demo history is part of the numbers, when it is."""
    if any(reading.includes_demo for reading in readings):
        st.markdown(
            ":violet-badge[:material/science: Demo data] These figures include demo history;"
            " `helmsight demo --remove` takes it out."
        )


def table_of(readings: Sequence[KpiReading], filters: Filters) -> None:
    """Draw the figures of one group, or all, as a table; a click opens one."""
    groups = list(dict.fromkeys(reading.kpi.group for reading in readings))
    group = st.pills(
        "Group",
        [_ALL, *groups],
        default=_ALL,
        required=True,
        format_func=lambda name: "All" if name == _ALL else group_title(name),
        key="kpi.group",
        label_visibility="collapsed",
    )
    shown = [reading for reading in readings if group in {_ALL, reading.kpi.group}]
    chosen = tables.table(
        shown,
        _COLUMNS,
        alt=f"Key figures over the {filters.span.words}, with state, target, trend and sample count",
        key="kpi.table",
        can_open=True,
        height="content",
    )
    if chosen is not None:
        go("overview", filters, kpi=shown[chosen].kpi.id)


def back(filters: Filters) -> None:
    """Draw the way back to all figures."""
    st.page_link(
        str(page_of("overview").path), label="Overview", icon=":material/arrow_back:", query_params=query(filters)
    )


def head(reading: KpiReading, part: Part | None, filters: Filters, happened: Sequence[AnnotationRow] = ()) -> None:
    """Draw one figure: its course against its thresholds, its value, and what it brings to the score."""
    kpi = reading.kpi
    look = look_of(KPI_LOOKS, reading.state)
    st.header(f"{kpi.title} {look.badge}", anchor=False)
    left, right = st.columns([3, 1], gap="medium")
    with left:
        charts.draw(_chart(reading, filters, happened), key=f"kpi.chart.{kpi.id}")
    with right:
        st.metric("Value", formats.quantity(reading.value, kpi.unit), border=True)
        rows = {
            "Target": target_words(kpi) or formats.DASH,
            "Good to": formats.quantity(kpi.good, kpi.unit) if kpi.good is not None else formats.DASH,
            "Warning to": formats.quantity(kpi.warning, kpi.unit) if kpi.warning is not None else formats.DASH,
            "Before": formats.quantity(reading.previous, kpi.unit),
            "Samples": formats.number(reading.samples),
        }
        if part is not None and part.points is not None:
            rows |= {"Points": f"{part.points:.1f} of 100", "Costs the score": f"{part.lost:.1f} points"}
        st.table(rows, border="horizontal")
    with st.container(border=True):
        st.markdown(f"**How it is computed**  \n{how_computed(reading)}")


def marks_of(happened: Sequence[AnnotationRow], interval: Interval) -> list[Mark]:
    """Return the deployments as marks of a chart, the newest with their names, where there is room for them."""
    marks: list[Mark] = []
    labelled: datetime | None = None
    for row in reversed([row for row in happened if row.kind == "deploy" and row.at >= interval.since]):
        has_room = labelled is None or labelled - row.at >= interval.length * _APART
        labelled = row.at if has_room else labelled
        marks.append(Mark(row.at, _short(row.title) if has_room else ""))
    return marks


def parts(readings: Sequence[KpiReading], dim: str, names: Mapping[str, str]) -> int | None:
    """Draw one figure by *dim*, and return the index of the part that is marked, or None.

    Args:
        readings: Its parts.
        dim: By what it was split.
        names: What keys are called that are ids.
    """
    if not readings:
        states.empty(f"Nothing by {dim.replace('_', ' ')}", "Nothing was seen in this range, or its source is away.")
        return None
    columns: list[Column[KpiReading]] = [
        Column(dim.replace("_", " ").capitalize(), lambda reading: names.get(reading.key) or key_words(reading.key)),
        Column("State", lambda reading: look_of(KPI_LOOKS, reading.state), "state"),
        Column("Value", lambda reading: formats.quantity(reading.value, reading.kpi.unit)),
        Column("Samples", lambda reading: reading.samples, "number"),
        Column("Measured", lambda reading: reading.measured_at, "moment"),
    ]
    return tables.table(
        readings,
        columns,
        alt=f"{readings[0].kpi.title} by {dim.replace('_', ' ')}, those with the most samples first",
        key=f"kpi.parts.{readings[0].kpi.id}.{dim}",
        can_select=readings[0].kpi.can_drill,
        height="content",
    )


def rows_table(rows: Sequence[Mapping[str, Any]], *, key: str, what: str) -> None:
    """Draw raw rows with whatever columns they have, newest first."""
    if not rows:
        states.empty("No row", "Nothing was seen in this range.")
        return
    names = [name for name in rows[0] if name not in {"at", "id"}]
    used = [name for name in names if any(row[name] is not None for row in rows)]
    columns: list[Column[Mapping[str, Any]]] = [
        Column("At", lambda row: row["at"], "moment"),
        *(_raw(name, rows) for name in used),
        Column("Id", lambda row: str(row["id"]), width="small"),
    ]
    tables.table(rows, columns, alt=what, key=key, height=_ROWS_HEIGHT if len(rows) > _FEW_ROWS else "content")


def _raw(name: str, rows: Sequence[Mapping[str, Any]]) -> Column[Mapping[str, Any]]:
    """Return a column for whatever the rows hold under *name*."""
    title = name.replace("_", " ").capitalize()
    known = next(row[name] for row in rows if row[name] is not None)
    if isinstance(known, datetime):
        return Column(title, lambda row: row[name], "moment")
    if name.endswith("_usd"):
        return Column(title.removesuffix(" usd"), lambda row: None if row[name] is None else formats.money(row[name]))
    if isinstance(known, Decimal | float | int) and not isinstance(known, bool):
        return Column(title, lambda row: row[name], "number")
    return Column(title, lambda row: _plain(row[name]))


def _plain(value: object) -> str | None:
    if isinstance(value, Mapping | list):
        return json.dumps(value, ensure_ascii=False, default=str)
    return None if value is None else str(value)


def _chart(reading: KpiReading, filters: Filters, happened: Sequence[AnnotationRow]) -> Chart:
    kpi = reading.kpi
    lines: tuple[tuple[float | None, str, Tone], ...] = (
        (kpi.target, "Target", "target"),
        (kpi.good, "Good to here", "note"),
        (kpi.warning, "Warning to here", "warning"),
    )
    is_amount = kpi.unit in {"", "count"}
    return Chart(
        alt=f"{kpi.title} over the {filters.span.words}; now {formats.quantity(reading.value, kpi.unit)}",
        unit=kpi.unit,
        series=[Series(kpi.title, reading.series, kind="bar" if is_amount else "line")],
        interval=reading.interval,
        thresholds=[Threshold(value, label, tone) for value, label, tone in lines if value is not None],
        marks=marks_of(happened, reading.interval),
        height=340,
        from_zero=is_amount or kpi.unit == "usd",
    )


def _short(title: str) -> str:
    return title if len(title) <= _LONGEST_LABEL else f"{title[: _LONGEST_LABEL - 1]}…"
