"""What ran, runs and waits?"""

import streamlit as st

from dashboard import data, guard
from dashboard.components import runs, states
from dashboard.components.head import current_filters
from dashboard.components.status import RUN_LOOKS
from dashboard.reading import LIVE

filters = current_filters()
STATUSES = ("failed", "running", "queued", "waiting", "completed", "cancelled")


def draw_runs() -> None:
    chosen = st.pills(
        "State of runs",
        STATUSES,
        selection_mode="multi",
        format_func=lambda status: RUN_LOOKS[status].word,
        label_visibility="collapsed",
        key="state",
        bind="query-params",
    )
    found = states.settle(data.list_runs(filters.span, statuses=tuple(chosen or ())), "The runs")
    if found is None:
        return
    if not found:
        states.empty("No run", f"No such run began in the {filters.span.words}.", icon=":material/play_circle:")
        return
    runs.run_table(found, filters, key="runs.table", what="Runs, newest first")


guard.live(draw_runs, name="runs", every=filters.rhythm and max(filters.rhythm, LIVE))
