"""Is it healthy, and what needs me?"""

import streamlit as st

from analytics.slo import SloState
from dashboard import data, guard
from dashboard.auth.viewer import current_viewer
from dashboard.components import cards, kpis, runs, slos, states, tables
from dashboard.components.head import current_filters
from dashboard.components.health import parts_strip
from dashboard.components.navigation import go
from dashboard.links import page_of

_FIRST_ROW = 6
_TROUBLE = (SloState.EXHAUSTED, SloState.DEGRADED, SloState.AT_RISK)
filters = current_filters()


def draw_parts() -> None:
    health = states.settle(data.health(), "The parts")
    if health is not None:
        parts_strip(health)


def draw_figures() -> None:
    with states.loading(180):
        answer = data.kpis(filters.span)
    readings = states.settle(answer, "The key figures")
    if readings is None:
        return
    kpis.demo_note(readings)
    chosen = st.query_params.get("kpi")
    if chosen is not None:
        kpis.detail(next((reading for reading in readings if reading.kpi.id == chosen), None), filters)
        return
    first, rest = kpis.split(readings, _FIRST_ROW)
    with st.grid(_FIRST_ROW, min_column_width=150, key="kpi.row"):
        for reading in first:
            cards.kpi_card(reading, filters)
    with st.expander(f"All key figures ({len(rest)} more)", expanded=False, key="kpi.more", on_change="rerun") as more:
        if more.open:
            kpis.table_of(readings, filters)
    states.as_of(answer)


def draw_objectives() -> None:
    st.header("Objectives", anchor=False)
    report = states.settle(data.slos(), "The objectives")
    if report is None:
        return
    troubled = [status for status in report.statuses if status.state in _TROUBLE]
    order = sorted(
        report.statuses, key=lambda status: _TROUBLE.index(status.state) if status in troubled else len(_TROUBLE)
    )
    row = tables.table(
        order,
        [column for column in slos.columns() if column.title in {"Objective", "State", "Budget left"}],
        alt="The objectives, those that need attention first, with state and budget left",
        key="overview.slos",
        can_open=True,
        height="content",
    )
    if row is not None:
        go("slo", filters, id=order[row].objective.id)
    summary = report.summary
    words = f"{summary.compliant} of {summary.total} met, {summary.violated} missed, {summary.unknown} not known yet."
    calm = not troubled and summary.compliant == summary.total
    st.caption(f":material/check_circle: No objective needs you. {words}" if calm else words)


def draw_runs() -> None:
    st.header("Latest runs", anchor=False)
    latest = states.settle(data.latest_runs(), "The latest runs")
    if latest is not None:
        runs.short_list(latest, filters, can_open=current_viewer().role >= page_of("run").role)


def draw_live() -> None:
    draw_parts()
    draw_figures()
    left, right = st.columns([2, 3], gap="medium")
    with left:
        draw_objectives()
    with right:
        draw_runs()


guard.live(draw_live, name="overview", every=filters.rhythm)
