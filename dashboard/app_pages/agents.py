"""Who is doing what now?"""

import streamlit as st

from dashboard import data, formats, guard
from dashboard.components import agents, states, tables
from dashboard.components.graph import graph
from dashboard.components.head import current_filters
from dashboard.components.navigation import go
from dashboard.reading import Answer

filters = current_filters()
LIVE_URL = "/ws/agent-status"


def go_to(agent_id: str | None) -> None:
    go("agents", filters, agent=agent_id)


def draw_graph(view: agents.View, chosen: str | None) -> None:
    nodes, edges = agents.picture(view)
    clicked = graph(
        nodes,
        edges,
        key="agents.graph",
        selected=chosen,
        live_url=LIVE_URL,
        height=400,
        label=f"{formats.plural(len(nodes), 'agent')} and the work they hand to each other",
    )
    if clicked is not None and clicked != chosen:
        go_to(clicked)


def draw_list(view: agents.View, chosen: str | None) -> None:
    ids = [agent.id for agent in view.agents]
    row = tables.table(
        view.agents,
        agents.COLUMNS,
        alt="The agents with their present state, runs, success, cost and latency",
        key="agents.table",
        can_open=True,
        height="content",
    )
    if row is not None and ids[row] != chosen:
        go_to(ids[row])


def draw_detail(view: agents.View, chosen: str) -> None:
    found = next((agent for agent in view.agents if agent.id == chosen), None)
    if found is None:
        states.missing(f"No agent called {chosen!r} worked in the {filters.span.words}, and none is live.")
        return
    agents.draw_agent(found)
    history = states.settle(data.agent_history(chosen), "What it did lately")
    if history is not None:
        agents.draw_history(history)


def draw_live() -> None:
    with states.loading(400):
        answer = data.graph_of_agents(filters.span)
        live: Answer[list[agents.AgentState]] = data.agent_states()
    done = states.settle(answer, "The agents")
    now = states.settle(live, "What agents do now")
    if done is None and now is None:
        return
    view = agents.join(done, now)
    if not view.agents:
        states.empty(
            "No agent was seen",
            f"No agent ran in the {filters.span.words}, and none reports a state. Choose a longer time range, or let"
            " your agents report to the API.",
            icon=":material/hub:",
        )
        return
    chosen = st.query_params.get("agent")
    agents.draw_note(view)
    draw_graph(view, chosen)
    draw_list(view, chosen)
    if chosen is not None:
        draw_detail(view, chosen)
    states.as_of(answer)


guard.live(draw_live, name="agents", every=filters.rhythm)
