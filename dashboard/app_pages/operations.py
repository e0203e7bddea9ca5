"""Does everything run, and what needs a hand?"""

import streamlit as st

from analytics.core.clock import utc_now
from analytics.kpi.overview import SCORE_NAME
from dashboard import data, formats, guard
from dashboard import overview_questions as figures_of
from dashboard import performance_questions as ask
from dashboard.components import health, kpis, mcp, operations, performance, queue, runs, score, states, tables
from dashboard.components.head import current_filters

_MOST_FAILED = 10
filters = current_filters()


def draw_figures() -> None:
    parts, process = data.health().value, ask.parts_of_process().value
    state, workers, alerts = data.queue_state().value, data.list_workers().value, data.slo_alerts().value
    found = figures_of.overview(filters.span).value
    left, right = st.columns([1, 4], gap="small")
    with left:
        if found is not None:
            course = next((reading for reading in found.readings if reading.kpi.id == SCORE_NAME), None)
            score.score_card(found.score, course, filters)
        else:
            st.metric("Performance score", formats.NO_DATA, border=True)
    with right, st.grid(3, min_column_width=150, key="operations.row"):
        operations.health_metric(parts)
        if state is None:
            st.metric("Runs under way", formats.NO_DATA, border=True, height="stretch")
        else:
            oldest = f", the oldest for {formats.duration(state.oldest_queued_s)}" if state.oldest_queued_s else ""
            words = f"{state.queued} wait in the queue{oldest}; {state.waiting} wait for somebody or something."
            st.metric("Runs under way", state.running, border=True, height="stretch", help=words)
        firing = None if alerts is None else sum(not alert.is_inhibited for alert in alerts)
        st.metric(
            "Alerts open",
            formats.NO_DATA if firing is None else firing,
            border=True,
            height="stretch",
            help="Of objectives; those that a faster alert of the same objective covers are not counted.",
        )
        slots = None if workers is None else queue.slots_of(workers)
        st.metric("Workers alive", formats.NO_DATA if slots is None else slots.alive, border=True, height="stretch")
        open_now = None if process is None else process.sessions + process.sockets
        st.metric(
            "Connections",
            formats.NO_DATA if open_now is None else open_now,
            border=True,
            height="stretch",
            help="Browser tabs and live sockets that are connected to the process that answers you.",
        )
        lasted = None if process is None else (utc_now() - process.started_at).total_seconds() // 60 * 60
        uptime = formats.NO_DATA if lasted is None else formats.duration(max(60.0, lasted))
        st.metric("Up for", uptime, border=True, height="stretch", help="The process that answers you.")


def draw_troubles() -> None:
    st.header("What needs a hand", anchor=False)
    overview, alerts = figures_of.overview(filters.span), data.slo_alerts()
    found = operations.troubles(
        health=data.health().value,
        readings=overview.value.readings if overview.value is not None else (),
        alerts=alerts.value or (),
        queue=data.queue_state().value,
        servers=data.mcp_servers().value or (),
        agents=data.agent_states().value or (),
    )
    unknown = [what for what, answer in (("key figures", overview), ("alerts", alerts)) if answer.value is None]
    if unknown:
        st.caption(f":material/help: Not known now: {' and '.join(unknown)}.")
    if found or not unknown:
        operations.draw_troubles(found, filters)


def draw_parts() -> None:
    st.header("Parts", anchor=False)
    found = states.settle(data.health(), "The parts")
    if found is not None:
        health.parts_table(found)
        st.caption(f"Asked {formats.age(found.checked_at, now=utc_now())}; Helmsight {found.version}.")


def draw_host() -> None:
    st.header("Host", anchor=False)
    with states.loading(280):
        answer = ask.samples_of_host(filters.span)
    samples = states.settle(answer, "The host")
    if samples is None:
        return
    found = figures_of.overview(filters.span).value
    bounds = performance.bounds_of([] if found is None else found.readings, "system_memory")
    operations.draw_host(samples, bounds)
    if bounds:
        st.caption("The lines are the bounds of memory; each figure's own are on its page.")


def draw_queues() -> None:
    st.header("Queues", anchor=False)
    found = states.settle(data.depths(), "The queues")
    if found:
        tables.table(
            found, queue.QUEUE_COLUMNS, alt="Queues with what waits in them", key="operations.queues", height="content"
        )
    elif found is not None:
        states.empty("No Redis is set up", "Name one in HELMSIGHT_REDIS__URL.", icon=":material/stacks:")


def draw_workers() -> None:
    st.header("Workers", anchor=False)
    found = states.settle(data.list_workers(), "The workers")
    if found:
        tables.table(
            found,
            queue.WORKER_COLUMNS,
            alt="Worker processes, those alive first",
            key="operations.workers",
            height="content",
        )
    elif found is not None:
        states.empty("No worker was seen today", "Start one with `helmsight worker`.", icon=":material/engineering:")


def draw_breakers() -> None:
    st.header("MCP servers", anchor=False)
    found = states.settle(data.mcp_servers(), "The MCP servers")
    if found:
        tables.table(
            found,
            mcp.SERVER_COLUMNS,
            alt="MCP servers and whether they answer",
            key="operations.servers",
            height="content",
        )
        overview = figures_of.overview(filters.span).value
        st.caption(operations.breakers_words(overview.readings if overview is not None else (), filters.span))
    elif found is not None:
        states.empty("No MCP server is known", "Name some in HELMSIGHT_MCP__SERVERS_FILE.", icon=":material/extension:")


def draw_failures() -> None:
    st.header(f"Failed runs, {filters.span.words}", anchor=False)
    found = states.settle(data.list_runs(filters.span, statuses=("failed",), limit=_MOST_FAILED), "The failed runs")
    if found:
        runs.run_table(found, filters, key="operations.failed", what="Runs that failed, newest first")
    elif found is not None:
        st.caption(":material/check_circle: No run failed.")


def draw_live() -> None:
    with states.loading(220):
        answer = figures_of.overview(filters.span)
    found = states.settle(answer, "The key figures")
    if found is not None:
        kpis.demo_note(found.readings)
    draw_figures()
    draw_troubles()
    left, right = st.columns(2, gap="medium")
    with left:
        draw_parts()
    with right:
        draw_host()
    draw_failures()
    left, right = st.columns(2, gap="medium")
    with left:
        draw_queues()
    with right:
        draw_breakers()
    draw_workers()
    states.as_of(answer)


guard.live(draw_live, name="operations", every=filters.rhythm)
