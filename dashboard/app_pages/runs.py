"""What ran, runs and waits?"""

import streamlit as st

from analytics.store.paging import DEFAULT_LIMIT, Page
from analytics.store.queries.runs import RunRow
from dashboard import data, formats, guard
from dashboard.auth.viewer import current_viewer
from dashboard.components import run_bulk, run_filters, runs, states
from dashboard.components.head import current_filters
from dashboard.reading import LIVE, Answer

filters = current_filters()
viewer = current_viewer()
TABLE = "runs.table"
HELD = "runs.held"


def read() -> Answer[Page[RunRow]]:
    """Read the page of the list that the URL names; behind the numbered pages, what follows a run."""
    before = run_filters.parse_older(st.query_params.get(run_filters.OLDER))
    if before is None:
        return data.page_of_runs(filters.span, wanted, st.session_state.get(run_filters.PAGE_KEY) or 1)
    answer = data.list_runs(filters.span, wanted, before=before)
    rows = answer.value
    page = None if rows is None else Page(rows, 1, max(1, len(rows)), len(rows))
    return Answer(page, answer.read_at, answer.outage)


def held() -> Page[RunRow] | None:
    """Return the list as it stood when runs were marked: rows must not move below the marks."""
    state = st.session_state.get(TABLE) or {}
    marked = (state.get("selection") or {}).get("rows")
    kept: tuple[object, Page[RunRow]] | None = st.session_state.get(HELD)
    return kept[1] if marked and kept is not None and kept[0] == place() else None


def place() -> tuple[object, ...]:
    page, older = st.session_state.get(run_filters.PAGE_KEY), st.query_params.get(run_filters.OLDER)
    return filters.span, wanted, page, older


def draw_list() -> None:
    found = held() or states.settle(read(), "The runs")
    if found is None:
        return
    st.session_state[HELD] = (place(), found)
    if not found.items:
        draw_empty()
        return
    bar = st.container()
    marked = runs.marking_table(found.items, filters, key=TABLE, what="Runs, newest first")
    with bar:
        run_bulk.draw_bulk(marked, wanted, filters, viewer.role, total=found.total)
    draw_pages(found)


def draw_empty() -> None:
    if run_filters.current():
        hint = f"None that began in the {filters.span.words} fits. Clear the filters, or choose a longer time range."
    else:
        hint = f"None began in the {filters.span.words}. Start a workflow, or choose a longer time range."
    states.empty("No run", hint, icon=":material/play_circle:")


def draw_pages(found: Page[RunRow]) -> None:
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", key="runs.pages"
    ):
        is_older = run_filters.OLDER in st.query_params
        if is_older:
            if st.button("To the newest", icon=":material/first_page:", key="runs.newest"):
                st.query_params.pop(run_filters.OLDER, None)
                st.rerun(scope="app")
        else:
            more = "More than " if found.is_capped else ""
            st.caption(f"{more}{formats.plural(found.total, 'run')}, {filters.span.words}", width="content")
            if found.pages > 1:
                st.pagination(found.pages, key=run_filters.PAGE_KEY, bind="query-params")
        is_last = is_older or (found.is_capped and found.page == found.pages)
        if is_last and len(found.items) >= DEFAULT_LIMIT:
            last = found.items[-1]
            if st.button("Older", icon=":material/navigate_next:", key="runs.older"):
                st.query_params[run_filters.OLDER] = run_filters.older_words(last.created_at, last.id)
                st.rerun(scope="app")


run_bulk.draw_report()
wanted = run_filters.draw_bar(viewer.actor)
guard.live(draw_list, name="runs", every=filters.rhythm and max(filters.rhythm, LIVE))
