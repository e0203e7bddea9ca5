"""How quickly is everything answered, and what holds it up?"""

import streamlit as st

from analytics.core.clock import utc_now
from dashboard import formats, guard
from dashboard import overview_questions as figures_of
from dashboard import performance_questions as ask
from dashboard.components import cards, kpis, performance, states
from dashboard.components.head import current_filters
from dashboard.zone import viewer_zone

_FIGURES = ("http_p95", "http_errors", "cache_hits", "db_p95", "db_wait_p95", "db_pool_use")
filters = current_filters()


def draw_figures() -> None:
    with states.loading(180):
        answer = figures_of.overview(filters.span)
    found = states.settle(answer, "The key figures")
    if found is None:
        return
    kpis.demo_note(found.readings)
    shown = {reading.kpi.id: reading for reading in found.readings}
    with st.grid(len(_FIGURES), min_column_width=140, key="performance.row"):
        for name in _FIGURES:
            if name in shown:
                cards.kpi_card(shown[name], filters)
    states.as_of(answer)


def draw_courses() -> None:
    overview = figures_of.overview(filters.span).value
    readings = [] if overview is None else overview.readings
    with states.loading(300):
        courses, samples = ask.answer_courses(filters.span), ask.samples_of_parts(filters.span)
    by_group, sampled = states.settle(courses, "Percentiles of answers"), states.settle(samples, "The samples")
    left, right = st.columns(2, gap="medium")
    with left:
        bounds = performance.bounds_of(readings, "http_p95")
        chart, words = performance.answers_chart(by_group or {}, sampled, bounds, filters.span.interval())
        performance.draw_chart("Time to answer", chart, key="performance.answers", words=words)
    if sampled is None:
        return
    with right:
        performance.draw_chart(
            "Cache hit rates",
            performance.caches_chart(sampled, performance.bounds_of(readings, "cache_hits")),
            key="performance.hits",
            words="Lookups that each cache answered, as processes sampled them of themselves every half minute.",
        )
    performance.draw_chart(
        "Connections in use",
        performance.pools_chart(sampled, performance.bounds_of(readings, "db_pool_use")),
        key="performance.used",
        words="Of the connections that a pool may open, as processes sampled them of themselves every half minute.",
    )


def draw_timings() -> None:
    with states.loading(200):
        answer = ask.times_of(filters.span)
    found = states.settle(answer, "Times of answers")
    if found is None:
        return
    st.header("Endpoints", anchor=False)
    performance.endpoints_table(found.endpoints)
    since = f"over the {filters.span.words}, from Prometheus" if found.interval else "since this process began"
    st.caption(f"Counted {since}; percentiles are exact to a bucket of the histogram.")
    left, right = st.columns([3, 2], gap="medium")
    with left:
        st.header("Pages", anchor=False)
        performance.pages_table(found.pages, found.loads)
    with right:
        st.header("SQL statements", anchor=False)
        performance.database_table(found.database)
    states.as_of(answer)


def draw_process() -> None:
    parts = ask.parts_of_process().value
    if parts is None:
        return
    st.header("Caches", anchor=False)
    shared = (
        "shared with other processes through Redis" if parts.is_shared else "of this process only: no Redis answers"
    )
    began = formats.moment(parts.started_at, viewer_zone(), seconds=False)
    st.caption(f"Counted by the process that answers you since {began}; {shared}.")
    performance.caches_table(parts.caches, ask.samples_of_parts(filters.span).value)
    label = f"Questions of pages ({len(parts.questions)})"
    with st.expander(label, key="performance.more", on_change="rerun") as more:
        if more.open:
            performance.questions_table(parts.questions)
    st.header("Connection pools", anchor=False)
    performance.pools_table(parts.pools)
    lasted = formats.duration((utc_now() - parts.started_at).total_seconds() // 1)
    open_now = (
        f"{formats.plural(parts.sessions, 'browser tab')} and {formats.plural(parts.sockets, 'live socket')} open"
    )
    st.caption(f"This process has been up for {lasted}; {open_now}.")


def draw_live() -> None:
    draw_figures()
    draw_courses()
    draw_timings()
    draw_process()


guard.live(draw_live, name="performance", every=filters.rhythm)
