"""Trends: key figures side by side, group by group, each against its target and the time before."""

from collections.abc import Sequence

import streamlit as st

from analytics.insights.findings import InsightRow
from analytics.kpi import KpiReading
from dashboard import formats
from dashboard.components import states, tables
from dashboard.components.cards import kpi_card
from dashboard.components.kpis import demo_note
from dashboard.components.tables import Column
from dashboard.filters import Filters

_LEAST_POINTS = 2
_ALL = "all"
_SUREST = 0.999


def draw(readings: Sequence[KpiReading], filters: Filters) -> None:
    """Draw the figures that have a course, as small multiples."""
    moving = [reading for reading in readings if _has_course(reading)]
    if not moving:
        states.empty(
            "Nothing moves yet",
            "No key figure has two values in this time range. They come as work is done; a longer range may have some.",
            icon=":material/show_chart:",
        )
        return
    demo_note(moving)
    groups = list(dict.fromkeys(reading.kpi.group for reading in moving))
    chosen = st.pills(
        "Group",
        [_ALL, *groups],
        default=_ALL,
        format_func=lambda name: "All" if name == _ALL else title_of(name),
        label_visibility="collapsed",
        key="group",
        bind="query-params",
    )
    for group in groups:
        if chosen not in {None, _ALL, group}:
            continue
        st.markdown(f"**{title_of(group)}**")
        with st.grid(4, min_column_width=190, key=f"analytics.trends.{group}"):
            for reading in moving:
                if reading.kpi.group == group:
                    kpi_card(reading, filters)
    silent = len(readings) - len(moving)
    if silent:
        st.caption(f"{silent} more figures have no course in this time range.")


def sure_words(confidence: float) -> str:
    """Return how sure a finding is; never wholly."""
    return f"> {formats.percent(_SUREST)}" if confidence > _SUREST else formats.percent(confidence)


_PAIRS: list[Column[InsightRow]] = [
    Column("What moves together", lambda row: row.title, width="large"),
    Column("Sure", lambda row: sure_words(row.confidence), help="1 less the chance that it is chance.", width="small"),
    Column("Since", lambda row: row.since, "moment"),
    Column("Seen last", lambda row: row.seen_at, "moment"),
]


def draw_pairs(pairs: Sequence[InsightRow]) -> None:
    """Draw which figures were found to move together."""
    st.markdown("**What moves together**")
    if not pairs:
        st.caption(
            "No two figures were found whose hourly changes go together, beyond what the time of day explains. They are"
            " looked for every ten minutes, as soon as there are a few days to compare."
        )
        return
    tables.table(pairs, _PAIRS, alt="Pairs of figures that move together", key="analytics.pairs", height="content")


def title_of(group: str) -> str:
    """Return a group of figures as it reads."""
    return group.replace("_", " ").capitalize()


def _has_course(reading: KpiReading) -> bool:
    return sum(value is not None for _, value in reading.series) >= _LEAST_POINTS
