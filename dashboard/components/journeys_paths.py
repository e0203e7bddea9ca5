"""Paths: what people do next, as a flow from step to step and as a table."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from analytics.journeys.paths import Link, Paths
from dashboard import formats
from dashboard.components import states, tables
from dashboard.components.tables import Column

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

FROM_START = "The beginning of visits"
_END = "left"
_COLOURS = ("#4A90E2", "#7E6BC4", "#1F8A8A", "#C2703D", "#5B8C3E", "#B05A8E", "#8A7A3D", "#4F6D8F")
_GREY = "#8A96A3"
_ALPHA = 0.35

COLUMNS: Sequence[Column[Link]] = (
    Column("Step", lambda row: row.depth + 1, "number", width="small"),
    Column("From", lambda row: row.source),
    Column("To", lambda row: row.target or _END),
    Column("Visits", lambda row: row.n, "number"),
    Column("People", lambda row: row.people, "number"),
    Column("Median time", lambda row: None if row.took_s is None else formats.duration(row.took_s)),
)


def choose(kinds: Sequence[str]) -> tuple[str | None, int]:
    """Draw from where and how far visits are followed."""
    left, right = st.columns([2, 1], vertical_alignment="bottom")
    with left:
        start = st.selectbox("From", [FROM_START, *kinds], key="start", bind="query-params")
    with right:
        depth = st.slider("Steps", 1, 6, 3, key="depth", bind="query-params")
    return None if start == FROM_START else start, depth


def draw(found: Paths) -> None:
    """Draw the flow and its links."""
    if not found.links:
        states.empty(
            "Nobody went this way", "Choose another beginning, or a longer time range.", icon=":material/route:"
        )
        return
    st.plotly_chart(
        figure(found),
        key="paths.figure",
        alt=f"Flow of {found.visits:,} visits from step to step; the table below has the same numbers.",
        config={"displaylogo": False, "displayModeBar": False},
    )
    notes = [f"{formats.plural(found.visits, 'visit')} of {formats.plural(found.people, 'person', 'people')}."]
    if found.sample_ratio < 1:
        notes.append(
            f":orange-badge[:material/percent: Sampled] {formats.percent(found.sample_ratio)} of the people were looked"
            " at, because there are many events; counts are scaled up."
        )
    if found.demo:
        notes.append(f"{found.demo:,} visits are of the demo history.")
    notes.append("A break of half an hour begins a new visit; the same kind of event again is no step.")
    st.caption(" ".join(notes))
    tables.table(found.links, COLUMNS, alt="Links between steps, with how many visits took them", key="paths.table")


def figure(found: Paths) -> "Figure":
    """Return the flow as a figure."""
    import plotly.graph_objects as go  # noqa: PLC0415 - heavy; first screens do without

    places: dict[tuple[int, str], int] = {}
    for link in found.links:
        places.setdefault((link.depth, link.source), len(places))
        places.setdefault((link.depth + 1, link.target or _END), len(places))
    kinds = sorted({kind for _, kind in places} - {_END, "other"})
    colours = {kind: _COLOURS[place % len(_COLOURS)] for place, kind in enumerate(kinds)}
    return go.Figure(
        go.Sankey(
            arrangement="fixed",
            node={
                "label": [kind for _, kind in places],
                "align": "left",
                "color": [colours.get(kind, _GREY) for _, kind in places],
                "pad": 14,
                "thickness": 12,
                "line": {"width": 0},
                "hovertemplate": "%{label}: %{value:,} visits<extra></extra>",
            },
            link={
                "source": [places[link.depth, link.source] for link in found.links],
                "target": [places[link.depth + 1, link.target or _END] for link in found.links],
                "value": [link.n for link in found.links],
                "color": [_faint(colours.get(link.source, _GREY)) for link in found.links],
                "hovertemplate": "%{source.label} → %{target.label}: %{value:,} visits<extra></extra>",
            },
        ),
        layout={"height": 420, "margin": {"l": 8, "r": 8, "t": 12, "b": 24}, "font": {"size": 12}},
    )


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},{_ALPHA})"
