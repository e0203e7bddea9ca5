"""Is work moving?"""

import streamlit as st

from dashboard import data, formats, guard
from dashboard.components import queue, runs, states, tables
from dashboard.components.head import current_filters

filters = current_filters()


def draw_backlog() -> None:
    state = states.settle(data.queue_state(), "The backlog")
    workers = states.settle(data.list_workers(), "The workers")
    if state is None or workers is None:
        return
    alive = [worker for worker in workers if worker.is_alive]
    slots = sum(worker.slots for worker in alive if worker.kind == "run")
    used = sum(worker.slots_used for worker in alive if worker.kind == "run")
    with st.grid(5, min_column_width=140, key="queue.figures"):
        st.metric("Waiting", state.queued, border=True, help="Runs that no worker has claimed.")
        st.metric(
            "Oldest waits", formats.duration(state.oldest_queued_s) if state.queued else "Nothing waits", border=True
        )
        st.metric("Running", state.running, border=True)
        st.metric("Slots in use", f"{used} of {slots}" if slots else "No worker", border=True)
        st.metric("Workers alive", len(alive), border=True)
    if not slots:
        st.warning(
            "**No run worker is alive.** Runs are kept and begin when one starts; `helmsight worker` starts one.",
            icon=":material/warning:",
        )
    elif state.queued and used >= slots:
        st.warning("All slots are in use; runs wait. Start another worker.", icon=":material/warning:")
    st.header("Workers", anchor=False)
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


def draw_failed() -> None:
    st.header(f"Failed runs, {filters.span.words}", anchor=False)
    failed = states.settle(data.list_runs(filters.span, statuses=("failed",)), "The failed runs")
    if failed is None:
        return
    if not failed:
        st.caption(":material/check_circle: No run failed.")
        return
    runs.run_table(failed, filters, key="queue.failed", what="Failed runs, newest first")


def draw_live() -> None:
    draw_backlog()
    draw_queues()
    draw_failed()


guard.live(draw_live, name="queue", every=filters.rhythm)
