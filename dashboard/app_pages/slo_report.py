"""Which objectives were met in a month, or in any other period?"""

import streamlit as st

from analytics.core.clock import utc_now
from dashboard import formats, guard, slo_questions
from dashboard.components import slo_report, states
from dashboard.components.head import current_filters
from dashboard.components.navigation import go
from dashboard.links import page_of, query
from dashboard.zone import viewer_zone

filters = current_filters()
CHOSEN, ZONE = "slo_report.period", "slo_report.zone"


def choose() -> tuple[str, str, str]:
    """Draw the choice of period and zone, both kept in the URL; return name, zone and title."""
    zone = st.query_params.get("zone", "UTC")
    known = slo_report.periods(utc_now(), zone)
    name = st.query_params.get("period") or next(iter(known))
    titles = {**known, **({} if name in known else {name: name})}
    names = list(titles)
    st.session_state[CHOSEN] = name
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.selectbox(
            "Period",
            names,
            format_func=lambda option: titles.get(option, option),
            key=CHOSEN,
            accept_new_options=True,
            on_change=lambda: take(st.session_state[CHOSEN]),
            width=320,
            help="Choose one, or write one: 2026-10, 2026-W07, 2026-Q3, 2026-10-31, 14d, last-month.",
        )
        step("Earlier", ":material/chevron_left:", slo_report.neighbour(name, names, 1))
        step("Later", ":material/chevron_right:", slo_report.neighbour(name, names, -1))
        zones = list(dict.fromkeys([zone, "UTC", viewer_zone().key]))
        if len(zones) > 1:
            st.session_state[ZONE] = zone
            st.selectbox(
                "Days begin in",
                zones,
                key=ZONE,
                on_change=lambda: st.query_params.update(zone=st.session_state[ZONE]),
                width=200,
            )
    return name, zone, titles[name]


def step(label: str, icon: str, name: str | None) -> None:
    st.button(label, icon=icon, key=f"slo_report.{label}", disabled=name is None, on_click=lambda: take(name))


def take(name: str | None) -> None:
    if name:
        st.query_params["period"] = name


def draw() -> None:
    with states.loading(500):
        answer = slo_questions.slo_period_report(name, zone, only)
    report = states.settle(answer, "The report")
    if report is None:
        return
    if only is not None and not report.lines:
        states.missing(f"There is no objective called {only!r} in use.")
        return
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.header(formats.escaped(title), anchor=False, width="content")
        slo_report.draw_downloads(report)
    slo_report.draw_verdict(report)
    opened = slo_report.draw_lines(report.lines)
    if opened is not None:
        go("slo", filters, id=opened.status.objective.id)
    slo_report.draw_costly(report)
    slo_report.draw_taken_out(report.corrections)
    slo_report.draw_method()
    states.as_of(answer)


only = st.query_params.get("id")
if only is None:
    page, label = page_of("slos"), "All objectives"
else:
    page, label = page_of("slo"), "The objective's page"
st.page_link(str(page.path), label=label, icon=":material/arrow_back:", query_params=query(filters, id=only))
whose = "one objective" if only else "all objectives"
st.caption(f"Of {whose}, over a period of its own; the time range above does not move it.")
name, zone, title = choose()
guard.live(draw, name="slo_report", every=None)
