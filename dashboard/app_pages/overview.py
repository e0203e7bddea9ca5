"""Is it healthy, and what needs me?"""

import streamlit as st

from analytics.kpi import KpiReading
from analytics.kpi.overview import SCORE_NAME, Overview
from analytics.kpi.recommendations import recommend
from analytics.slo import SloState
from dashboard import data, guard
from dashboard import overview_questions as questions
from dashboard.auth.roles import Role
from dashboard.auth.viewer import current_viewer
from dashboard.components import cards, kpi_thresholds, kpis, runs, score, slos, states, tables, work_items
from dashboard.components.head import current_filters
from dashboard.components.health import parts_strip
from dashboard.components.navigation import go
from dashboard.links import page_of

_FIRST_ROW = 6
_TROUBLE = (SloState.EXHAUSTED, SloState.DEGRADED, SloState.AT_RISK)
_ROWS = "Rows"
filters = current_filters()


def reading_of(found: Overview, kpi_id: str) -> KpiReading | None:
    return next((reading for reading in found.readings if reading.kpi.id == kpi_id), None)


def draw_parts() -> None:
    health = states.settle(data.health(), "The parts")
    if health is not None:
        parts_strip(health)


def draw_score(found: Overview) -> None:
    with st.grid(3, min_column_width=260, key="score.row"):
        score.score_card(found.score, reading_of(found, SCORE_NAME), filters)
        with st.container():
            score.losses(found.score, filters)
        with st.container():
            score.advice_in_short(recommend(found.score), filters)


def draw_figures(found: Overview) -> None:
    shown = [reading for reading in found.readings if reading.kpi.id != SCORE_NAME]
    first, rest = kpis.split(shown, _FIRST_ROW)
    with st.grid(_FIRST_ROW, min_column_width=140, key="kpi.row"):
        for reading in first:
            cards.kpi_card(reading, filters)
    with st.expander(f"All key figures ({len(rest)} more)", expanded=False, key="kpi.more", on_change="rerun") as more:
        if more.open:
            kpis.table_of(found.readings, filters)


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
    with states.loading(180):
        answer = questions.overview(filters.span)
    found = states.settle(answer, "The key figures")
    if found is not None:
        kpis.demo_note(found.readings)
        draw_score(found)
        draw_figures(found)
        states.as_of(answer)
    left, right = st.columns([2, 3], gap="medium")
    with left:
        draw_objectives()
    with right:
        draw_runs()
    if found is not None:
        st.header("Work items", anchor=False)
        work_items.draw(found.work, filters.span.words)


def draw_whole_score(found: Overview) -> None:
    course = reading_of(found, SCORE_NAME)
    happened = questions.happened(filters.span).value or ()
    score.head(found.score, course, filters, kpis.marks_of(happened, course.interval) if course is not None else ())
    with st.expander("How it is computed", icon=":material/function:"):
        score.formula()
    st.subheader("Where the points went", anchor=False)
    score.parts_table(found.score, filters)
    st.subheader("What to do", anchor=False)
    with states.loading():
        answer = questions.recommendations(filters.span)
    advice = states.settle(answer, "The recommendations")
    if advice is not None:
        score.advice(advice, filters)
    st.subheader("Measures of success", anchor=False)
    score.success_table(found.success)


def draw_parts_of(reading: KpiReading) -> None:
    kpi = reading.kpi
    can_see_rows = kpi.can_drill and current_viewer().role >= Role.ANALYST
    choices = [*kpi.dims, *([_ROWS] if can_see_rows else [])]
    if not choices:
        return
    asked = st.query_params.get("by")
    view = st.segmented_control(
        "Look closer",
        choices,
        default=asked if asked in choices else choices[0],
        required=True,
        format_func=lambda name: _ROWS if name == _ROWS else f"By {name.replace('_', ' ')}",
        key=f"kpi.view.{kpi.id}",
    )
    dim = key = name = ""
    if view != _ROWS:
        dim = str(view)
        split = states.settle(questions.kpi_split(filters.span, kpi.id, dim), "The parts")
        marked = None if split is None else kpis.parts(split.readings, dim, split.names)
        if split is None or marked is None or not can_see_rows:
            return
        key = split.readings[marked].key
        name = split.names.get(key) or kpis.key_words(key)
    rows = states.settle(questions.rows_behind(filters.span, kpi.id, dim, key), "The rows")
    if rows is not None:
        of_what = f" of {name}" if dim else ""
        st.caption(f"The newest {len(rows)} rows{of_what} that the figure rests on.")
        kpis.rows_table(rows, key=f"kpi.rows.{kpi.id}", what=f"The newest rows{of_what} behind {kpi.title}")


def draw_detail() -> None:
    kpis.back(filters)
    with states.loading(340):
        answer = questions.overview(filters.span)
    found = states.settle(answer, "The key figure")
    if found is None:
        return
    reading = reading_of(found, chosen or "")
    if chosen == SCORE_NAME:
        kpis.demo_note(found.readings)
        draw_whole_score(found)
    elif reading is None:
        states.missing("There is no such key figure; it may have been renamed.")
        return
    else:
        part = next((part for part in found.score.parts if part.kpi.id == reading.kpi.id), None)
        kpis.demo_note([reading])
        kpis.head(reading, part, filters, questions.happened(filters.span).value or ())
        draw_parts_of(reading)
    states.as_of(answer)


def draw_thresholds() -> None:
    found = questions.overview(filters.span).value
    reading = None if found is None else reading_of(found, chosen or "")
    if reading is None or not reading.kpi.direction:
        return
    kpi = reading.kpi
    with st.expander("Thresholds", icon=":material/tune:", key="kpi.thresholds", on_change="rerun") as more:
        if not more.open:
            return
        if current_viewer().role >= Role.OPERATOR:
            kpi_thresholds.editor(kpi)
        revisions = states.settle(questions.threshold_history(kpi.id), "The history of the thresholds")
        if revisions is not None:
            kpi_thresholds.history(kpi, revisions)


chosen = st.query_params.get("kpi")
if chosen is None:
    guard.live(draw_live, name="overview", every=filters.rhythm)
else:
    guard.live(draw_detail, name="overview.detail", every=filters.rhythm)
    guard.guarded(draw_thresholds, name="overview.thresholds")
