"""Trends: key figures side by side, group by group, each against its target and the time before."""

from collections.abc import Sequence

import streamlit as st

from analytics.kpi import KpiReading
from dashboard.components import states
from dashboard.components.cards import kpi_card
from dashboard.components.kpis import demo_note
from dashboard.filters import Filters

_LEAST_POINTS = 2
_ALL = "all"


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


def title_of(group: str) -> str:
    """Return a group of figures as it reads."""
    return group.replace("_", " ").capitalize()


def _has_course(reading: KpiReading) -> bool:
    return sum(value is not None for _, value in reading.series) >= _LEAST_POINTS
