"""How much error budget is left?"""

from collections.abc import Sequence
from datetime import timedelta

import streamlit as st

from analytics.slo import SloReport, SloStatus
from dashboard import data, formats, guard
from dashboard.components import charts, slos, states, tables
from dashboard.components.head import current_filters
from dashboard.components.navigation import go

filters = current_filters()


def draw_summary(report: SloReport) -> None:
    summary = report.summary
    with st.grid(4, min_column_width=150, key="slo.summary"):
        st.metric("Met", f"{summary.compliant} of {summary.total}", border=True)
        st.metric("Missed", summary.violated, border=True)
        st.metric("Not known yet", summary.unknown, border=True, help="Too little was measured to say.")
        st.metric("Budgets used up", summary.budgets_exhausted, border=True)
    if summary.budgets_exhausted or summary.violated:
        names = ", ".join(status.objective.title for status in report.statuses if status.compliant is False)
        st.warning(f"Missed in this period: {names}.", icon=":material/warning:")
    if any(status.includes_demo for status in report.statuses):
        st.markdown(":violet-badge[:material/science: Demo data] The ledger includes demo history.")


def draw_table(statuses: Sequence[SloStatus], chosen: str | None) -> None:
    ids = [status.objective.id for status in statuses]
    row = tables.table(
        statuses,
        slos.COLUMNS,
        alt="The objectives with target, indicator, error budget left, burn rates, coverage and state",
        key="slo.table",
        can_open=True,
        height="content",
    )
    if row is not None and ids[row] != chosen:
        go("slos", filters, slo=ids[row])


def draw_detail(status: SloStatus) -> None:
    st.header(f"{status.objective.title} {slos.look(status).badge}", anchor=False)
    st.caption(f"{status.objective.description} Service: {status.objective.service}.")
    with st.grid(4, min_column_width=170, key="slo.figures"):
        slos.draw_figures(status)
    course = states.settle(data.slo_burn_down(status.objective.id), "The course of the budget")
    if course is not None:
        left, right = st.columns([3, 2], gap="medium")
        with left:
            st.markdown("**Budget left**")
            charts.draw(slos.budget_chart(course), key=f"slo.budget.{status.objective.id}")
        with right:
            st.markdown("**Bad events**")
            charts.draw(slos.bad_chart(course), key=f"slo.bad.{status.objective.id}")


def draw_live() -> None:
    with states.loading(400):
        answer = data.slos()
    report = states.settle(answer, "The objectives")
    if report is None:
        return
    days = formats.duration(timedelta(days=report.interval.length.days))
    st.caption(f"Objectives count over their own period, the {days} before now; the time range above does not move it.")
    draw_summary(report)
    chosen = st.query_params.get("slo")
    draw_table(report.statuses, chosen)
    if chosen is not None:
        found = next((status for status in report.statuses if status.objective.id == chosen), None)
        if found is None:
            states.missing(f"There is no objective called {chosen!r}.")
        else:
            draw_detail(found)
    states.as_of(answer)


guard.live(draw_live, name="slos", every=filters.rhythm)
