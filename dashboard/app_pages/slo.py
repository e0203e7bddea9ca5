"""How does one objective stand, why, and how does it go on?"""

from collections.abc import Callable

import streamlit as st

from analytics.core.errors import InputError
from analytics.slo import SloStatus
from analytics.slo.model import CompositeEvents
from dashboard import data, guard, slo_actions
from dashboard.auth.roles import Role
from dashboard.auth.viewer import current_viewer
from dashboard.components import slos_alerts, slos_budget, slos_corrections, slos_definition, slos_page, states
from dashboard.components.head import current_filters
from dashboard.components.navigation import go
from dashboard.links import page_of, query

filters = current_filters()
role = current_viewer().role
VIEWS = {
    "budget": "Budget",
    "alerts": "Alerts",
    "corrections": "Corrections and notes",
    "groups": "Groups",
    "members": "Members",
    "definition": "Definition",
}


def slo_id() -> str:
    name = st.query_params.get("id", "")
    if not name:
        raise InputError("This page shows one objective. Choose it on the page SLOs.")
    return name


def draw_top(status: SloStatus) -> None:
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.header(slos_page.title(status), anchor=False, width="content")
        with st.container(horizontal=True, width="content", gap="small"):
            for key, label in (("slo_editor", "Edit"), ("slo_report", "Report")):
                spec = page_of(key)
                if role >= spec.role:
                    st.page_link(str(spec.path), label=label, icon=spec.icon, query_params=query(filters, id=wanted))
    st.markdown(slos_page.promise(status.objective))
    st.caption(slos_page.story(status.objective))


def draw_standing() -> None:
    """Draw how the objective stands."""
    status = states.settle(data.slo(wanted), "The objective")
    if status is not None:
        draw_top(status)
        slos_page.draw_hints(status)
        slos_page.draw_figures(status, data.slo_forecast(wanted).value)


def views_of(status: SloStatus) -> list[str]:
    has = {
        "groups": bool(status.objective.group_by),
        "members": isinstance(status.objective.indicator, CompositeEvents),
    }
    return [name for name in VIEWS if has.get(name, True)]


def choose_view(status: SloStatus) -> str:
    view = st.segmented_control(
        "View of the objective",
        views_of(status),
        default="budget",
        format_func=VIEWS.__getitem__,
        label_visibility="collapsed",
        required=True,
        key="view",
        bind="query-params",
    )
    return view or "budget"


def draw_view(view: str, status: SloStatus) -> None:
    """Draw a view; those that people type in do not renew themselves."""
    match view:
        case "corrections":
            draw_corrections(status)
        case "definition":
            draw_definition(status)
        case _:
            draw = {"alerts": draw_alerts, "groups": slos_definition.draw_groups, "members": draw_members}
            guard.live(lambda: renewed(draw.get(view, draw_budget)), name=f"slo_{view}", every=filters.rhythm)


def renewed(draw: Callable[[SloStatus], None]) -> None:
    answer = data.slo(wanted)
    if answer.value is not None:
        draw(answer.value)
        states.as_of(answer)


def draw_members(status: SloStatus) -> None:
    member = slos_definition.draw_members(status)
    if member is not None:
        go("slo", filters, id=member.objective.id)


def draw_budget(status: SloStatus) -> None:
    with states.loading(380):
        course = states.settle(data.slo_burn_down(wanted), "The course of the budget")
    if course is not None:
        slos_budget.draw(status, course, data.slo_forecast(wanted).value, data.slo_explained(wanted).value)


def draw_alerts(status: SloStatus) -> None:
    why = states.settle(data.slo_explained(wanted), "The burn rates")
    alerts = states.settle(data.slo_alerts(wanted), "The alerts")
    if why is not None and alerts is not None:
        slos_alerts.draw(status, why, alerts)


def draw_corrections(status: SloStatus) -> None:
    can_change = role >= Role.OPERATOR
    st.markdown("**Time that does not count**")
    rows = states.settle(data.slo_corrections(wanted), "The corrections")
    if rows is not None:
        slos_corrections.draw_list(rows, can_change=can_change)
    if can_change:
        slos_corrections.draw_form(status.objective)
    st.markdown("**What happened**")
    course = states.settle(data.slo_burn_down(wanted), "What happened")
    if course is not None:
        slos_corrections.draw_notes(course.annotations, can_change=can_change)
    if can_change:
        slos_corrections.draw_note_form(status.objective)


def draw_definition(status: SloStatus) -> None:
    revisions = states.settle(data.slo_revisions(wanted), "The history")
    if revisions is not None:
        can_change = role >= slo_actions.role_to_change(status.objective)
        slos_definition.draw_definition(status.objective, revisions, can_change=can_change)


st.page_link(str(page_of("slos").path), label="All SLOs", icon=":material/arrow_back:", query_params=query(filters))
wanted = slo_id()
guard.live(draw_standing, name="slo", every=filters.rhythm)
found = data.slo(wanted).value
if found is not None:
    draw_view(choose_view(found), found)
