"""What stands out, and what lies ahead?"""

import streamlit as st

from analytics.kpi import registry
from dashboard import guard, insight_actions
from dashboard import insight_questions as ask
from dashboard.auth.roles import Role
from dashboard.auth.viewer import current_viewer
from dashboard.components import insights, insights_ahead, states
from dashboard.components.head import current_filters

VIEWS = {"findings": "Findings", "forecast": "Forecast", "capacity": "Capacity", "bounds": "Bounds that fit"}
SHOWN = "id"
"""Name in the URL of the finding that is shown."""

filters = current_filters()
viewer = current_viewer()
kpis = {kpi.id: kpi for kpi in registry()}


def choose_view() -> str:
    view = st.segmented_control(
        "View",
        list(VIEWS),
        default="findings",
        format_func=VIEWS.__getitem__,
        label_visibility="collapsed",
        required=True,
        key="view",
        bind="query-params",
    )
    return view or "findings"


def draw_findings() -> None:
    kinds, with_muted = insights.choose_kinds()
    with states.loading(300):
        answer = ask.insights(kinds, with_muted=with_muted)
    rows = states.settle(answer, "The findings")
    if rows is None:
        return
    asked = st.query_params.get(SHOWN)
    if rows:
        marked = insights.draw_list(rows, asked)
        if marked is not None:
            st.query_params[SHOWN] = str(marked.id)
            asked = str(marked.id)
        elif asked is None:
            st.caption("Mark a finding to see what it rests on.")
    else:
        insights.draw_empty(is_filtered=bool(kinds))
    if asked is not None:
        draw_finding(asked)
    states.as_of(answer)


def draw_finding(insight_id: str) -> None:
    detail = states.settle(ask.insight(insight_id), "The finding")
    if detail is None:
        return
    insights.draw_detail(detail, kpis, filters)
    said = insights.draw_feedback(detail, actor=viewer.actor, can_rate=viewer.role >= Role.ANALYST)
    if said is not None:
        finding, is_useful, note = said
        insight_actions.rate(finding, is_useful=is_useful, note=note)
        st.rerun()


def draw_forecast() -> None:
    kpi, hours = insights_ahead.choose_forecast(list(kpis.values()))
    with states.loading(360):
        answer = ask.forecast(kpi.id, hours)
    found = states.settle(answer, "The forecast")
    if found is None:
        return
    outlook = found[0]
    if outlook is None:
        states.empty(
            "Too little is known to look ahead",
            "A forecast needs a few days of hours, with a value in a third of them.",
            icon=":material/hourglass_empty:",
        )
    else:
        insights_ahead.draw_forecast(outlook)
    states.as_of(answer)


def draw_capacity() -> None:
    with states.loading(400):
        answer = ask.capacity()
    found = states.settle(answer, "The capacity")
    if found is not None:
        insights_ahead.draw_capacity(found)


def draw_bounds() -> None:
    with states.loading(400):
        answer = ask.threshold_advice()
    rows = states.settle(answer, "The advice")
    if rows is None:
        return
    if not rows:
        states.empty(
            "Too little is known to advise bounds",
            "A figure needs a week of hours with values.",
            icon=":material/hourglass_empty:",
        )
        return
    chosen = insights_ahead.choose_advice(rows)
    if chosen is not None and insights_ahead.draw_advice(chosen, can_apply=viewer.role >= Role.OPERATOR):
        if chosen.advice is not None:
            insight_actions.apply_advice(chosen.line.kpi, chosen.advice)
        st.toast(f"The bounds of {chosen.line.kpi.title} are set.", icon=":material/check_circle:")
        st.rerun()
    states.as_of(answer)


DRAW = {"findings": draw_findings, "forecast": draw_forecast, "capacity": draw_capacity, "bounds": draw_bounds}

st.caption("Figures are looked at by hours of the last weeks; the time range above does not move them.")
guard.guarded(DRAW[choose_view()], name="insights")
