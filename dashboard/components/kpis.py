"""Key figures beyond their cards: the table of all, and one figure in detail."""

from collections.abc import Sequence

import streamlit as st

from analytics.kpi import KpiReading
from dashboard import formats
from dashboard.components import charts, states, tables
from dashboard.components.cards import how_computed, target_words
from dashboard.components.charts import Chart, Series, Threshold
from dashboard.components.navigation import go
from dashboard.components.status import KPI_LOOKS, look_of
from dashboard.components.tables import Column
from dashboard.filters import Filters
from dashboard.links import page_of, query

FIRST = ("runs", "run_success", "run_p95", "agent_success", "llm_success", "http_p95")
"""The figures of the first row, when they are there; others fill the gaps."""

_COLUMNS: list[Column[KpiReading]] = [
    Column("Figure", lambda reading: reading.kpi.title),
    Column("Group", lambda reading: str(reading.kpi.group).replace("_", " ").capitalize()),
    Column("State", lambda reading: look_of(KPI_LOOKS, reading.state), "state"),
    Column("Value", lambda reading: formats.quantity(reading.value, reading.kpi.unit)),
    Column("Target", lambda reading: target_words(reading.kpi) or formats.DASH),
    Column("Trend", lambda reading: [value for _, value in reading.series], "trend"),
    Column("Before", lambda reading: formats.quantity(reading.previous, reading.kpi.unit)),
    Column("Samples", lambda reading: reading.samples, "number"),
    Column("Measured", lambda reading: reading.measured_at, "moment"),
]


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
    """Draw all figures as a table; a click opens one."""
    chosen = tables.table(
        readings,
        _COLUMNS,
        alt=f"All key figures over the {filters.span.words}, with state, target, trend and sample count",
        key="kpi.table",
        can_open=True,
        height="content",
    )
    if chosen is not None:
        go("overview", filters, kpi=readings[chosen].kpi.id)


def detail(reading: KpiReading | None, filters: Filters) -> None:
    """Draw one figure: its course against its thresholds, and how it is computed."""
    st.page_link(
        str(page_of("overview").path),
        label="All key figures",
        icon=":material/arrow_back:",
        query_params=query(filters),
    )
    if reading is None:
        states.missing("There is no such key figure; it may have been renamed.")
        return
    kpi = reading.kpi
    look = look_of(KPI_LOOKS, reading.state)
    st.header(f"{kpi.title} {look.badge}", anchor=False)
    left, right = st.columns([3, 1], gap="medium")
    with left:
        charts.draw(_chart(reading, filters), key=f"kpi.chart.{kpi.id}")
    with right:
        st.metric("Value", formats.quantity(reading.value, kpi.unit), border=True)
        st.table(
            {
                "Target": target_words(kpi) or formats.DASH,
                "Warning from": formats.quantity(kpi.good, kpi.unit) if kpi.good is not None else formats.DASH,
                "Critical from": formats.quantity(kpi.warning, kpi.unit) if kpi.warning is not None else formats.DASH,
                "Before": formats.quantity(reading.previous, kpi.unit),
                "Samples": formats.number(reading.samples),
            },
            border="horizontal",
        )
    with st.container(border=True):
        st.markdown(f"**How it is computed**  \n{how_computed(reading)}")


def _chart(reading: KpiReading, filters: Filters) -> Chart:
    kpi = reading.kpi
    lines = (
        (kpi.target, "Target", "target"),
        (kpi.good, "Warning from here", "warning"),
        (kpi.warning, "Critical from here", "critical"),
    )
    return Chart(
        alt=f"{kpi.title} over the {filters.span.words}; now {formats.quantity(reading.value, kpi.unit)}",
        unit=kpi.unit,
        series=[Series(kpi.title, reading.series, kind="bar" if kpi.unit in {"", "count"} else "line")],
        interval=reading.interval,
        thresholds=[Threshold(float(value), label, tone) for value, label, tone in lines if value is not None],  # type: ignore[arg-type]
        height=340,
        from_zero=kpi.unit in {"", "count", "usd"},
    )
