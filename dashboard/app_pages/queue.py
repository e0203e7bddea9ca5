"""Is work moving, and what needs me?"""

import streamlit as st

from dashboard import data, formats, guard
from dashboard.auth.roles import Role
from dashboard.auth.viewer import current_viewer
from dashboard.components import queue, run_bulk, runs, states, tables
from dashboard.components.head import current_filters
from dashboard.components.run_filters import STATE
from dashboard.components.status import RUN_LOOKS
from dashboard.links import page_of
from dashboard.links import query as link_of

filters = current_filters()
can_retry = current_viewer().role >= Role.OPERATOR
BACKLOG_PAGE = "place"


def draw_figures() -> None:
    state = states.settle(data.queue_state(), "The backlog")
    workers = states.settle(data.list_workers(), "The workers")
    if state is None or workers is None:
        return
    slots = queue.slots_of(workers)
    with st.grid(6, min_column_width=130, key="queue.figures"):
        st.metric("Waiting", state.queued, border=True, help="Runs that no worker has claimed.")
        oldest = formats.duration(state.oldest_queued_s) if state.queued else "None"
        st.metric("Oldest waits", oldest, border=True)
        st.metric("Running", state.running, border=True)
        st.metric("Slots in use", f"{slots.used} of {slots.total}" if slots.total else "No worker", border=True)
        parked = state.waiting + state.paused + state.needs_attention
        words = f"{state.waiting} waiting, {state.paused} paused, {state.needs_attention} in need of attention"
        st.metric("Parked", parked, border=True, help=f"They take no slot: {words}.")
        st.metric("Workers alive", slots.alive, border=True)
    found = queue.advice(state, slots)
    if found is not None:
        draw = st.error if found[0] == "error" else st.warning
        draw(found[1], icon=":material/warning:")


def draw_waits() -> None:
    st.header("Waits for a person", anchor=False)
    waits = states.settle(data.open_waits(), "What waits for a person")
    if waits is None:
        return
    if not waits:
        st.caption(":material/check_circle: Nothing waits for a decision, a signal or a look.")
        return
    chosen = tables.table(
        waits,
        queue.WAIT_COLUMNS,
        alt="What runs wait for that a person has to give, the oldest first",
        key="queue.waits",
        can_open=True,
        height="content",
    )
    if chosen is not None:
        runs.open_run(str(waits[chosen].run_id), filters)


def draw_backlog() -> None:
    st.header("Backlog", anchor=False)
    found = states.settle(data.queued_runs(st.session_state.get(BACKLOG_PAGE) or 1), "The backlog")
    if found is None:
        return
    if not found.total:
        st.caption(":material/check_circle: No run waits in the queue.")
        return
    chosen = tables.table(
        found.items,
        queue.BACKLOG_COLUMNS,
        alt="Runs in the queue in the order in which workers take them",
        key="queue.backlog",
        can_open=True,
        height="content",
    )
    if found.pages > 1:
        st.pagination(found.pages, key=BACKLOG_PAGE, bind="query-params")
    if chosen is not None:
        runs.open_run(str(found.items[chosen].run_id), filters)


def draw_workers() -> None:
    st.header("Workers", anchor=False)
    workers = data.list_workers().value
    if workers is None:
        return
    if not workers:
        states.empty("No worker was seen today", "Start one with `helmsight worker`.", icon=":material/engineering:")
        return
    tables.table(
        workers, queue.WORKER_COLUMNS, alt="Worker processes, those alive first", key="queue.workers", height="content"
    )


def draw_queues() -> None:
    st.header("Queues", anchor=False)
    found = states.settle(data.depths(), "The queues")
    if found is None:
        return
    if not found:
        states.empty("No Redis is set up", "Name one in HELMSIGHT_REDIS__URL.", icon=":material/stacks:")
        return
    tables.table(found, queue.QUEUE_COLUMNS, alt="Queues with what waits in them", key="queue.queues", height="content")


def draw_dead() -> None:
    st.header(f"Dead letters, {filters.span.words}", anchor=False)
    found = states.settle(data.dead_letters(filters.span), "The dead letters")
    if found is None:
        return
    if not found:
        st.caption(":material/check_circle: No run was given up.")
        return
    st.caption("Runs that were given up because the worker that executed them died again and again.")
    opened, marked = tables.marking_table(
        found, queue.DEAD_COLUMNS, alt="Runs that were given up, newest first", key="queue.dead"
    )
    if opened is not None:
        runs.open_run(str(found[opened].run_id), filters)
    label = f"Retry {formats.plural(len(marked), 'run')}" if marked else "Mark runs to retry them"
    if can_retry and st.button(label, icon=":material/replay:", key="queue.retry", disabled=not marked):
        run_bulk.do("retry", [found[index].run_id for index in marked])


def draw_failed() -> None:
    counts = data.run_counts(filters.span).value
    if counts is None:
        return
    st.header(f"Failed runs, {filters.span.words}", anchor=False)
    failed = counts.get("failed", 0)
    if not failed:
        st.caption(":material/check_circle: No run failed.")
        return
    st.page_link(
        str(page_of("runs").path),
        label=f"Show {formats.plural(failed, 'failed run')}",
        icon=":material/error:",
        query_params=link_of(filters, **{STATE: RUN_LOOKS["failed"].word}),
    )


def draw_live() -> None:
    draw_figures()
    draw_waits()
    draw_backlog()
    draw_workers()
    draw_queues()
    draw_dead()
    draw_failed()


run_bulk.draw_report()
guard.live(draw_live, name="queue", every=filters.rhythm)
