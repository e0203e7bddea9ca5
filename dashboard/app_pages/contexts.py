"""How do agents use their contexts, and which lie idle?"""

import streamlit as st

from analytics.contexts.model import ContextRow
from dashboard import context_questions as asks
from dashboard import guard
from dashboard.components import contexts, states
from dashboard.components.head import current_filters
from dashboard.zone import viewer_zone

filters = current_filters()
VIEWS = {"use": "Use", "hierarchy": "Hierarchy", "lifecycle": "Lifecycle"}


def draw() -> None:
    with states.loading(480):
        answer = asks.context_usage(filters.span, viewer_zone().key)
    found = states.settle(answer, "The contexts")
    if found is None:
        return
    if not found.totals.contexts:
        contexts.draw_empty()
        return
    contexts.draw_figures(found)
    contexts.draw_small_print(found)
    chosen: ContextRow | None = None
    match view:
        case "hierarchy":
            contexts.draw_hierarchy(found.hierarchy, found.types)
        case "lifecycle":
            chosen = contexts.choose_idle(found.lifecycle)
        case _:
            contexts.draw_course(found)
            chosen = contexts.choose_used(found.most_used)
    draw_facts(chosen)
    if view == "use":
        contexts.draw_agents(found.agents)
        if found.patterns is not None:
            contexts.draw_patterns(found.patterns)
    states.as_of(answer)


def draw_facts(chosen: ContextRow | None) -> None:
    if chosen is None:
        return
    facts = states.settle(asks.events_of_context(filters.span, chosen.id), "What happened to it")
    if facts is not None:
        contexts.draw_facts(chosen, facts)


view = (
    st.segmented_control(
        "View of the contexts",
        list(VIEWS),
        default="use",
        format_func=VIEWS.__getitem__,
        label_visibility="collapsed",
        required=True,
        key="view",
        bind="query-params",
    )
    or "use"
)
guard.live(draw, name=f"contexts_{view}", every=filters.rhythm)
