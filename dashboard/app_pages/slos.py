"""How much error budget is left?"""

import streamlit as st

from dashboard import data, guard
from dashboard.auth.viewer import current_viewer
from dashboard.components import slos_list, states
from dashboard.components.head import current_filters
from dashboard.components.navigation import go
from dashboard.links import page_of, query

filters = current_filters()


def draw_links() -> None:
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", gap="small"):
        st.caption("Each objective counts over its own window; the time range above does not move it.", width="content")
        with st.container(horizontal=True, width="content", gap="small"):
            for key, label in (("slo_report", "Report"), ("slo_editor", "New objective")):
                spec = page_of(key)
                if current_viewer().role >= spec.role:
                    st.page_link(str(spec.path), label=label, icon=spec.icon, query_params=query(filters))


def draw_summary() -> None:
    report = data.slos().value
    if report is not None:
        slos_list.draw_summary(report)


def draw_list() -> None:
    with states.loading(400):
        answer = data.slos()
    report = states.settle(answer, "The objectives")
    if report is None:
        return
    trends = data.slo_trends().value or {}
    opened = slos_list.draw_groups(slos_list.arranged(report.statuses, wanted), trends)
    if opened is not None:
        go("slo", filters, id=opened.objective.id)
    states.as_of(answer)


old_link = st.query_params.get("slo")
if old_link is not None:
    go("slo", filters, id=old_link)
known = data.slos().value
objectives = [status.objective for status in known.statuses] if known is not None else []
draw_links()
guard.live(draw_summary, name="slos_summary", every=filters.rhythm)
wanted = slos_list.draw_bar(objectives)
guard.live(draw_list, name="slos", every=filters.rhythm)
