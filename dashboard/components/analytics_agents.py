"""How agents do: a ranking with what is sure about it, and the share of completed runs as intervals."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from analytics.agents import AgentHealth, AgentPerformance, AgentRanking
from dashboard import formats
from dashboard.components import states, tables
from dashboard.components.analytics_usage import changed
from dashboard.components.status import HEALTH_LOOKS, look_of
from dashboard.components.tables import Column

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_NEEDS_SOMEBODY = (AgentHealth.FAILING, AgentHealth.DEGRADED)
_MOST_BARS = 30
_ROW_PX, _EDGE_PX = 26, 70
_COLOURS = {"green": "#1F8A5B", "orange": "#B9770E", "red": "#D64545", "gray": "#7A8899"}


def sure_words(agent: AgentPerformance) -> str:
    """Return between which shares of completed runs an agent's true one lies."""
    if agent.success_low is None or agent.success_high is None:
        return formats.DASH
    return f"{agent.success_low * 100:.1f} to {agent.success_high * 100:.1f} %"


COLUMNS: list[Column[AgentPerformance]] = [
    Column("Agent", lambda agent: agent.name),
    Column("Health", lambda agent: look_of(HEALTH_LOOKS, agent.health), "state"),
    Column("Runs", lambda agent: agent.runs, "number", width="small"),
    Column("Runs over time", lambda agent: [runs for _, runs, _ in agent.trend], "trend"),
    Column("Completed", lambda agent: agent.success_ratio, "ratio", width="small"),
    Column("95 % sure", sure_words, help="Where the true share lies, by Wilson's interval."),
    Column(
        "Change",
        lambda agent: changed(agent.success_ratio, agent.success_before, "ratio") or formats.DASH,
        help="Of the share completed, against the time of the same length before.",
        width="small",
    ),
    Column("P50", lambda agent: agent.p50_s, "seconds", width="small"),
    Column("P95", lambda agent: agent.p95_s, "seconds", help="At most 4.4 % off.", width="small"),
    Column("P95 over time", lambda agent: [p95 for _, _, p95 in agent.trend], "trend"),
    Column(
        "P95 change",
        lambda agent: changed(agent.p95_s, agent.p95_before_s, "s") or formats.DASH,
        width="small",
    ),
    Column("Cost", lambda agent: agent.cost_usd, "usd", help="Of runs with a known price.", width="small"),
    Column(
        "Per success",
        lambda agent: None if agent.cost_per_success_usd is None else formats.money(agent.cost_per_success_usd),
        help="Cost over completed runs, where the price of all of them is known.",
        width="small",
    ),
    Column("Tokens", lambda agent: agent.input_tokens + agent.output_tokens, "number", width="small"),
    Column("Confidence", lambda agent: agent.confidence, "ratio", help="As the agents state it.", width="small"),
    Column("Team", lambda agent: agent.team, width="small"),
    Column("Last run", lambda agent: agent.last_seen, "moment"),
]


def draw(found: AgentRanking) -> AgentPerformance | None:
    """Draw how agents do; return the one whose button was clicked just now."""
    if not found.agents:
        states.empty(
            "No agent is known",
            "Agents appear here once they report runs, or once their work is told of in traces.",
            icon=":material/hub:",
        )
        return None
    if any(agent.is_demo for agent in found.agents):
        st.markdown(":violet-badge[:material/science: Demo data] Some of these agents are invented.")
    _draw_cards(found)
    ran = [agent for agent in found.agents if agent.success_ratio is not None]
    if ran:
        st.markdown("**Share of completed runs, with how sure it is**")
        st.plotly_chart(
            intervals(ran[:_MOST_BARS]),
            key="analytics.intervals",
            alt=f"Share of completed runs of {len(ran[:_MOST_BARS])} agents, the least first, with 95 % intervals",
            config={"displaylogo": False, "displayModeBar": False},
        )
    row = tables.table(
        found.agents,
        COLUMNS,
        alt="Agents by number of runs, with health, completion, latency, cost, tokens and trends",
        key="analytics.agents",
        can_open=True,
        height="content",
    )
    if found.more:
        st.caption(f"Only the {len(found.agents)} agents with most runs are shown.")
    return None if row is None else found.agents[row]


def _draw_cards(found: AgentRanking) -> None:
    ran = [agent for agent in found.agents if agent.runs]
    completed, failed = sum(agent.completed for agent in ran), sum(agent.failed for agent in ran)
    known = [agent.cost_usd for agent in ran if agent.cost_usd is not None]
    troubled = [agent for agent in found.agents if agent.health in _NEEDS_SOMEBODY]
    with st.grid(4, min_column_width=150, key="analytics.agents.cards"):
        st.metric("Agents that ran", f"{len(ran)} of {len(found.agents)}", border=True, height="stretch")
        st.metric(
            "Runs completed",
            formats.percent(completed / (completed + failed) if completed + failed else None),
            border=True,
            height="stretch",
            help=f"{completed:,} completed, {failed:,} failed.",
        )
        st.metric(
            "Need somebody",
            len(troubled),
            border=True,
            height="stretch",
            help="Agents that fail, or complete fewer runs than is good: "
            + (", ".join(formats.escaped(agent.name) for agent in troubled) or "none")
            + ".",
        )
        st.metric(
            "Cost",
            formats.money(sum(known) if known else None),
            border=True,
            height="stretch",
            help="Of runs with a known price.",
        )


def intervals(agents: Sequence[AgentPerformance]) -> "Figure":
    """Return the share of completed runs of *agents* with the interval around each, the least share at the top."""
    import plotly.graph_objects as go  # noqa: PLC0415 - heavy; other views do without

    order = sorted(agents, key=lambda agent: -(agent.success_ratio or 0.0))
    shares = [agent.success_ratio or 0.0 for agent in order]
    figure = go.Figure(
        go.Scatter(
            x=shares,
            y=[agent.name for agent in order],
            mode="markers",
            marker={"size": 9, "color": [_COLOURS[look_of(HEALTH_LOOKS, agent.health).colour] for agent in order]},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [(agent.success_high or 1.0) - share for agent, share in zip(order, shares, strict=True)],
                "arrayminus": [share - (agent.success_low or 0.0) for agent, share in zip(order, shares, strict=True)],
                "thickness": 1.4,
                "width": 4,
                "color": "rgba(128,144,160,0.8)",
            },
            customdata=[
                f"{formats.percent(agent.success_ratio)} of {agent.completed + agent.failed:,}; {sure_words(agent)}"
                for agent in order
            ],
            hovertemplate="%{y}: %{customdata}<extra></extra>",
        )
    )
    figure.update_layout(
        height=_EDGE_PX + _ROW_PX * len(order),
        margin={"l": 8, "r": 16, "t": 8, "b": 8},
        xaxis={"tickformat": ".1~%", "gridcolor": "rgba(128,144,160,0.25)", "zeroline": False},
        yaxis={"automargin": True},
        showlegend=False,
    )
    return figure
