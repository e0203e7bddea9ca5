"""Contexts: how they are used, the picture of their hierarchy, their ages, and when they are busy."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from analytics.contexts.model import (
    AgeBand,
    AgentUse,
    Branch,
    ContextFact,
    ContextRow,
    ContextUsage,
    Hierarchy,
    Level,
    Lifecycle,
    Patterns,
    TypeUse,
)
from dashboard import formats
from dashboard.components import charts, states, tables
from dashboard.components.tables import Column
from dashboard.zone import viewer_zone

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_SCALE = [[0.0, "rgba(74,144,226,0.06)"], [1.0, "rgba(74,144,226,0.95)"]]
_USED, _PARTLY, _IDLE, _REST = "#2E7D5B", "#2F6DA8", "#6E7187", "#565B66"
_ALL = "\x1fall"
_MOSTLY = 0.5
_QUIET = {"displaylogo": False, "displayModeBar": False}


def draw_empty() -> None:
    """Say how contexts get here."""
    states.empty(
        "No context is known yet",
        "Send events of the kinds context.created, context.read, context.write and context.archived to"
        " /api/v1/events, the context as subject; or look at the demo (`helmsight demo`).",
        icon=":material/account_tree:",
    )


def draw_figures(found: ContextUsage) -> None:
    """Draw the figures at the top."""
    totals = found.totals
    with st.grid(6, min_column_width=130, key="contexts.figures"):
        st.metric("Open now", f"{totals.open:,}", border=True, help=f"Of {totals.contexts:,} that are known.")
        _flow("Created", totals.created, totals.created_before)
        _flow("Reads", totals.reads, totals.reads_before)
        _flow("Writes", totals.writes, totals.writes_before)
        st.metric(
            "Used",
            formats.percent(totals.utilisation),
            border=True,
            help=f"{totals.used:,} of {totals.open:,} open contexts were read or written in this time.",
        )
        never = found.lifecycle.never_read
        st.metric("Never read", f"{never:,}", border=True, help="Open contexts that nobody has ever read.")


def _flow(title: str, count: int, before: int) -> None:
    st.metric(
        title,
        formats.number(count),
        formats.change(count, before, "count"),
        delta_color="off",
        border=True,
        help=f"{before:,} in the time of the same length before.",
    )


def draw_small_print(found: ContextUsage) -> None:
    """Say what the figures rest on."""
    zone = viewer_zone()
    since, until = (formats.moment(at, zone, seconds=False) for at in (found.interval.since, found.interval.until))
    parts = [f"Counted from {since} to {until}; how contexts are, as of now."]
    if found.newest is not None:
        parts.append(f"Newest fact {formats.moment(found.newest, zone)}.")
    if found.includes_demo:
        parts.append("Includes demo history.")
    st.caption(" ".join(parts))


# ---- Use ----

AGENT_COLUMNS: list[Column[AgentUse]] = [
    Column("Agent", lambda row: row.agent_id),
    Column("Accesses", lambda row: row.accesses, "number", width="small", help="Whatever it did to contexts."),
    Column(
        "Before", lambda row: row.accesses_before, "number", width="small", help="In the time of that length before."
    ),
    Column("Created", lambda row: row.created, "number", width="small"),
    Column("Open", lambda row: row.open, "number", width="small", help="Contexts of its own that are open."),
]
CONTEXT_COLUMNS: list[Column[ContextRow]] = [
    Column("Context", lambda row: row.name),
    Column("Type", lambda row: row.type, width="small"),
    Column("Accesses", lambda row: row.accesses, "number", width="small"),
    Column("Agent", lambda row: row.agent_id),
    Column("Created", lambda row: row.created_at, "moment"),
    Column("Last read", lambda row: row.last_read_at, "moment"),
    Column("Last written", lambda row: row.last_write_at, "moment"),
    Column("Archived", lambda row: row.archived_at, "moment"),
]
IDLE_COLUMNS = [column for column in CONTEXT_COLUMNS if column.title not in {"Accesses", "Archived"}]
FACT_COLUMNS: list[Column[ContextFact]] = [
    Column("When", lambda row: row.at, "moment"),
    Column("What", lambda row: row.what.capitalize()),
    Column("Agent", lambda row: row.agent_id),
    Column("Told by", lambda row: row.source),
]


def draw_course(found: ContextUsage) -> None:
    """Draw what happened over time."""
    lines = {
        "Reads": [(step.start, float(step.reads)) for step in found.steps],
        "Writes": [(step.start, float(step.writes)) for step in found.steps],
        "Created": [(step.start, float(step.created)) for step in found.steps],
        "Archived": [(step.start, float(step.archived)) for step in found.steps],
    }
    totals = found.totals
    if not any(count for points in lines.values() for _, count in points):
        st.caption("Nothing happened to any context in this time.")
        return
    charts.draw(
        charts.Chart(
            alt=f"Over time: {totals.reads:,} reads, {totals.writes:,} writes, {totals.created:,} created,"
            f" {totals.archived:,} archived",
            unit="count",
            series=[charts.Series(name, points, kind="bar") for name, points in lines.items()],
            interval=found.interval,
            is_stacked=True,
            from_zero=True,
        ),
        key="contexts.course",
    )


def draw_agents(agents: Sequence[AgentUse]) -> None:
    """Draw what agents do with contexts."""
    st.subheader("Agents", anchor=False)
    if not agents:
        st.caption("No agent said that it was it.")
        return
    tables.table(agents, AGENT_COLUMNS, alt="Agents by what they did to contexts", key="contexts.agents")


def choose_used(rows: Sequence[ContextRow]) -> ContextRow | None:
    """Draw the contexts that are used most, and return the one that is marked."""
    st.subheader("Most used", anchor=False)
    if not rows:
        st.caption("No context was used in this time.")
        return None
    return tables.choose(rows, CONTEXT_COLUMNS, alt="Contexts that are used most", key="contexts.most_used")


def draw_facts(row: ContextRow, facts: Sequence[ContextFact]) -> None:
    """Draw what happened to one context."""
    place = f", in {formats.escaped(row.parent_id)}" if row.parent_id else ""
    st.markdown(f"**{formats.escaped(row.name)}** ({formats.escaped(row.id)}{place})")
    tables.table(facts, FACT_COLUMNS, alt=f"What happened to {row.name}, newest first", key="contexts.facts")


def draw_patterns(patterns: Patterns) -> None:
    """Draw at which hours of the week contexts are busy."""
    st.subheader("Hours of the week", anchor=False)
    created = st.segmented_control(
        "What happened",
        ["Everything", "Creation"],
        default="Everything",
        required=True,
        key="contexts.pattern",
        label_visibility="collapsed",
    )
    values = [[0] * 24 for _ in _DAYS]
    for hour in patterns.by_hour:
        values[hour.weekday][hour.hour] = hour.created if created == "Creation" else hour.accesses
    most, day, at = max((value, day, at) for day, row in enumerate(values) for at, value in enumerate(row))
    if not most:
        st.caption("Nothing happened in this time.")
        return
    st.plotly_chart(
        pattern_figure(values),
        key="contexts.patterns",
        alt=f"Busiest on {_DAYS[day]} at {at}:00 with {most:,}",
        config=_QUIET,
    )
    zone = viewer_zone()
    st.caption(
        f"Busiest on {_DAYS[day]} from {at}:00 with {most:,}. Hours in {patterns.zone}, summed from"
        f" {formats.moment(patterns.interval.since, zone, seconds=False)} on."
    )


def pattern_figure(values: Sequence[Sequence[int]]) -> "Figure":
    """Return the hours of a week, Monday on top, as a figure."""
    import plotly.graph_objects as go  # noqa: PLC0415 - heavy; first screens do without

    return go.Figure(
        go.Heatmap(
            z=values,
            x=[f"{hour:02}:00" for hour in range(24)],
            y=[day[:3] for day in _DAYS],
            colorscale=_SCALE,
            xgap=2,
            ygap=2,
            colorbar={"thickness": 10, "outlinewidth": 0, "tickformat": "~s"},
            hovertemplate="%{y} %{x}: %{z:,}<extra></extra>",
        ),
        layout={
            "height": 250,
            "margin": {"l": 44, "r": 80, "t": 8, "b": 38},
            "yaxis": {"autorange": "reversed", "showgrid": False},
            "xaxis": {"showgrid": False, "nticks": 12},
        },
    )


# ---- Hierarchy ----

LEVEL_COLUMNS: list[Column[Level]] = [
    Column("Level", lambda row: str(row.depth), width="small", help="0 holds those without a parent."),
    Column("Contexts", lambda row: row.contexts, "number", width="small"),
    Column("Open", lambda row: row.open, "number", width="small"),
    Column("Used", lambda row: row.utilisation, "progress", help="Share of the open ones that were read or written."),
    Column("With children", lambda row: row.with_children, "number", width="small"),
    Column("Children each", lambda row: _rounded(row.fan_out), "number", width="small", help="Of those with any."),
    Column("Most children", lambda row: row.most_children or None, "number", width="small"),
]
TYPE_COLUMNS: list[Column[TypeUse]] = [
    Column("Type", lambda row: row.type),
    Column("Contexts", lambda row: row.contexts, "number", width="small"),
    Column("Open", lambda row: row.open, "number", width="small"),
    Column("Used", lambda row: row.utilisation, "progress", help="Share of the open ones that were read or written."),
    Column("Never read", lambda row: row.never_read, "number", width="small"),
    Column("Median life", lambda row: _took(row.median_life_s), width="small", help="From creation to archiving."),
]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _took(seconds: float | None) -> str | None:
    return None if seconds is None else formats.duration(seconds)


def draw_hierarchy(found: Hierarchy, types: Sequence[TypeUse]) -> None:
    """Draw the largest branches, and levels and types in numbers."""
    st.plotly_chart(
        hierarchy_figure(found.branches),
        key="contexts.hierarchy",
        alt=f"The largest of the branches of contexts, {found.deepest + 1} levels; the tables have the numbers",
        config=_QUIET,
    )
    notes = [
        "Height is the number of contexts; a click goes in. Green: most were used in this time; blue: some; grey: none."
    ]
    if found.orphans:
        notes.append(
            f"{formats.plural(found.orphans, 'context')} named a parent that nobody told of, and stand as roots."
        )
    if found.in_loops:
        notes.append(f"{formats.plural(found.in_loops, 'context')} hold themselves through others, and are left out.")
    st.caption(" ".join(notes))
    st.subheader("Levels", anchor=False)
    tables.table(found.levels, LEVEL_COLUMNS, alt="Levels of the hierarchy", key="contexts.levels", height="content")
    st.subheader("Types", anchor=False)
    tables.table(types, TYPE_COLUMNS, alt="Types of contexts", key="contexts.types", height="content")


def hierarchy_figure(branches: Sequence[Branch]) -> "Figure":
    """Return the branches as an icicle, from the left."""
    import plotly.graph_objects as go  # noqa: PLC0415 - heavy; first screens do without

    whole = sum(branch.contexts for branch in branches if branch.parent_id is None)
    return go.Figure(
        go.Icicle(
            ids=[_ALL, *(branch.id for branch in branches)],
            parents=["", *(branch.parent_id or _ALL for branch in branches)],
            labels=["All contexts", *(_shown(branch.name) for branch in branches)],
            values=[whole, *(branch.contexts for branch in branches)],
            branchvalues="total",
            tiling={"orientation": "h"},
            marker={"colors": [_REST, *(_colour(branch) for branch in branches)], "line": {"width": 1}},
            customdata=[formats.plural(whole, "context"), *(_story(branch) for branch in branches)],
            hovertemplate="<b>%{label}</b><br>%{customdata}<extra></extra>",
            textfont={"color": "white"},
            maxdepth=3,
        ),
        layout={
            "height": 560,
            "margin": {"l": 0, "r": 0, "t": 8, "b": 8},
            "uniformtext": {"minsize": 9, "mode": "hide"},
        },
    )


def _shown(name: str) -> str:
    """Return *name* short and without what Plotly reads as tags."""
    short = name if len(name) <= 60 else f"{name[:59]}…"  # noqa: PLR2004 - what a tile has room for
    return short.replace("&", "&amp;").replace("<", "&lt;")


def _colour(branch: Branch) -> str:
    if branch.is_rest:
        return _REST
    if not branch.used:
        return _IDLE
    return _USED if branch.used >= _MOSTLY * branch.contexts else _PARTLY


def _story(branch: Branch) -> str:
    used = f"{branch.used:,} of {formats.plural(branch.contexts, 'context')} used"
    last = branch.last_used_at
    idle = "never used" if last is None else f"last used {formats.moment(last, viewer_zone(), seconds=False)}"
    return f"{branch.type}<br>{used}<br>{idle}" if branch.type else f"{used}<br>{idle}"


# ---- Lifecycle ----

BAND_COLUMNS: list[Column[AgeBand]] = [
    Column("Time", lambda row: row.title),
    Column("Created so long ago", lambda row: row.by_age, "number"),
    Column("Last used so long ago", lambda row: row.by_idle, "number", help="Unused ones count from their creation."),
]


def choose_idle(found: Lifecycle) -> ContextRow | None:
    """Draw how old contexts are, and those to archive; return the one of these that is marked."""
    with st.grid(3, min_column_width=150, key="contexts.life"):
        st.metric("Median life", formats.duration(found.median_life_s), border=True, help="From creation to archiving.")
        st.metric("Archived", formats.percent(found.archived_share), border=True, help="Of all contexts ever known.")
        idle = f"Open contexts not read or written for {found.idle_after_days} days."
        st.metric(f"Idle for {found.idle_after_days} days", f"{found.idle:,}", border=True, help=idle)
    st.subheader("Age of open contexts", anchor=False)
    tables.table(
        found.bands, BAND_COLUMNS, alt="Open contexts by age and by idle time", key="contexts.ages", height="content"
    )
    st.subheader("To archive", anchor=False)
    if not found.to_archive:
        st.caption(f":material/check_circle: No open context has been idle for {found.idle_after_days} days.")
        return None
    st.caption("Open contexts that have been idle for longest; archive them where they are kept.")
    return tables.choose(found.to_archive, IDLE_COLUMNS, alt="Idle contexts, the longest first", key="contexts.idle")
