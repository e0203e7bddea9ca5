"""What is used, who does it well, and what does it cost?"""

from collections.abc import Callable

import streamlit as st

from analytics.kpi.costs import CostLine
from analytics.kpi.usage import UsageLine
from dashboard import analytics_questions as ask
from dashboard import data, guard
from dashboard.auth.roles import Role
from dashboard.auth.viewer import current_viewer
from dashboard.components import analytics_agents, analytics_costs, analytics_trends, analytics_usage, states
from dashboard.components.analytics_marks import marks_of
from dashboard.components.head import current_filters
from dashboard.components.navigation import go

filters = current_filters()
can_see_rows = current_viewer().role >= Role.ANALYST
SHOWN = "rows"
"""Name in the URL of the line whose rows are shown."""
VIEWS = {"usage": "Usage", "agents": "Agents", "costs": "Models and cost", "trends": "Trends"}


def choose_view() -> str:
    view = st.segmented_control(
        "View",
        list(VIEWS),
        default="usage",
        format_func=VIEWS.__getitem__,
        label_visibility="collapsed",
        required=True,
        key="view",
        bind="query-params",
    )
    return view or "usage"


def draw_usage() -> None:
    with states.loading(400):
        answer = ask.usage_of(filters.span)
    found = states.settle(answer, "The usage")
    if found is None:
        return
    chosen = remember(analytics_usage.draw(found, can_open=can_see_rows))
    if chosen in {line.key for line in found.kinds}:
        draw_rows(f"Newest events of the kind {chosen}", ("event.kind",), chosen)
    states.as_of(answer)


def draw_agents() -> None:
    with states.loading(400):
        answer = ask.ranking(filters.span)
    found = states.settle(answer, "The agents")
    if found is None:
        return
    opened = analytics_agents.draw(found)
    if opened is not None:
        go("agents", filters, agent=opened.id)
    states.as_of(answer)


def draw_costs() -> None:
    by = analytics_costs.choose()
    with states.loading(400):
        answer = ask.costs_of(filters.span, by)
    found = states.settle(answer, "The costs")
    if found is None:
        return
    marks = marks_of(ask.happenings(filters.span).value, found.interval.length)
    chosen = remember(analytics_costs.draw(found, marks, can_open=can_see_rows))
    if chosen in {line.key for line in found.lines}:
        draw_rows(f"Newest rows of {analytics_costs.name_of(by, chosen)}", analytics_costs.cuts_of(by), chosen)
    states.as_of(answer)


def draw_trends() -> None:
    with states.loading(400):
        answer = data.kpis(filters.span)
    readings = states.settle(answer, "The key figures")
    if readings is None:
        return
    analytics_trends.draw(readings, filters)
    pairs = states.settle(ask.correlated(), "What moves together")
    if pairs is not None:
        analytics_trends.draw_pairs(pairs)
    states.as_of(answer)


def remember(clicked: UsageLine | CostLine | None) -> str:
    """Return the key of the line whose rows are shown; it stays in the URL while the page renews itself."""
    if clicked is not None:
        st.query_params[SHOWN] = clicked.key
    return st.query_params.get(SHOWN, "")


def draw_rows(title: str, cuts: tuple[str, ...], key: str) -> None:
    if not can_see_rows:
        return
    rows = states.settle(ask.rows_behind(filters.span, cuts, key), "The rows")
    if rows is not None:
        analytics_usage.draw_rows(title, rows)
        st.button("Hide the rows", icon=":material/close:", type="tertiary", key="analytics.hide", on_click=hide)


def hide() -> None:
    st.query_params.pop(SHOWN, None)


DRAW: dict[str, Callable[[], None]] = {
    "usage": draw_usage,
    "agents": draw_agents,
    "costs": draw_costs,
    "trends": draw_trends,
}
view = choose_view()
guard.live(DRAW[view], name=f"analytics_{view}", every=filters.rhythm)
