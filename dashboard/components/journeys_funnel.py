"""A funnel: the choice of its steps, how far people came, how long it took, what it cost."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import orjson
import streamlit as st

from analytics.core.clock import Interval
from analytics.journeys.funnels import MOST_STEPS, PROPERTIES, FunnelResult, FunnelSpec, Group, Step, StepResult
from analytics.journeys.saved_funnels import SavedFunnel, steps_json
from dashboard import formats
from dashboard.components import charts, tables
from dashboard.components.charts import Chart, Series
from dashboard.components.tables import Column

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

WINDOWS = {
    "1 hour": timedelta(hours=1),
    "1 day": timedelta(days=1),
    "7 days": timedelta(days=7),
    "14 days": timedelta(days=14),
    "30 days": timedelta(days=30),
    "90 days": timedelta(days=90),
}
_NEW = "New funnel"
_USUAL = ("web.page_view", "web.pricing_view", "web.signup", "web.checkout", "web.purchase")
"""Steps that are proposed where they occur."""
_FEWEST = 2
_CAME, _LEFT = "#4A90E2", "rgba(128,144,160,0.30)"
_BAR = 46
_NO_SPLIT = "No split"


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a reader wants to know."""

    saved: SavedFunnel | None
    """The funnel it began with."""
    spec: FunnelSpec
    by: str | None

    @property
    def steps(self) -> str:
        """Return the steps as the JSON text that questions take."""
        return orjson.dumps(steps_json(self.spec.steps)).decode()


STEP_COLUMNS: Sequence[Column[StepResult]] = (
    Column("Step", lambda row: row.label, help="Shows the newest events of this step."),
    Column("People", lambda row: row.people, "number"),
    Column("Of the first", lambda row: row.of_first, "progress"),
    Column("Of the one before", lambda row: row.of_before, "progress"),
    Column(
        "Median time",
        lambda row: None if row.took is None else formats.duration(row.took.p50),
        help="From the step before to this one: half of the people were faster.",
    ),
    Column(
        "Nine of ten within",
        lambda row: None if row.took is None else formats.duration(row.took.p90),
    ),
    Column("Left here", lambda row: row.left, "number", help="Came no further, and their time is over."),
    Column(
        "Stayed before leaving",
        lambda row: None if row.dwell is None else formats.duration(row.dwell.p50),
        help="How long half of those who left were still active after this step.",
    ),
    Column(
        "Cost",
        lambda row: None if row.cost_usd is None else formats.money(row.cost_usd),
        help="What was spent on people on their way from the step before to this one; empty: nothing has a price.",
    ),
    Column(
        "Cost each",
        lambda row: formats.money(row.cost_usd / row.people) if row.cost_usd is not None and row.people else None,
        help="The same for each person who came to this step.",
    ),
)

GROUP_COLUMNS: Sequence[Column[Group]] = (
    Column("Value", lambda row: "without" if row.key is None else row.key),
    Column("People", lambda row: row.people[0], "number"),
    Column("Converted", lambda row: row.people[-1], "number"),
    Column("Conversion", lambda row: row.conversion, "progress"),
    Column("Median time", lambda row: None if row.took_s is None else formats.duration(row.took_s)),
)


def choose(saved: Sequence[SavedFunnel], kinds: Sequence[str]) -> Chosen | None:
    """Draw what a funnel is made of; None while it has too few steps."""
    names = {item.name: item for item in saved}
    first, second, third = st.columns([2, 1, 1], vertical_alignment="bottom")
    with first:
        name = st.selectbox("Funnel", [*names, _NEW], key="funnel", bind="query-params")
    held = names.get(name)
    suffix = str(held.id) if held is not None else "new"
    with second:
        window = _choose_window(held, suffix)
    with third:
        by = st.selectbox(
            "Split by",
            [_NO_SPLIT, *PROPERTIES],
            key="split",
            bind="query-params",
            accept_new_options=True,
            help="A property of the first step, or of the lead that the person is. `props.<name>` is what events say"
            " of themselves, such as `props.plan`.",
        )
    steps = _choose_steps(held, kinds, suffix)
    if len(steps) < _FEWEST:
        st.info("Choose two steps or more, in their order.", icon=":material/filter_alt:")
        return None
    return Chosen(held, FunnelSpec(steps, window), None if by == _NO_SPLIT else by)


def draw(result: FunnelResult) -> int | None:
    """Draw how a funnel went; return the place of the step whose events are asked for just now."""
    _draw_summary(result)
    st.plotly_chart(
        _figure(result),
        key="funnel.figure",
        alt=f"{_alt(result)} Each bar is a step; grey are those who took the first step but did not come so far.",
        config={"displaylogo": False, "displayModeBar": False},
    )
    opened = tables.table(
        result.steps,
        STEP_COLUMNS,
        alt="Steps with people, times and costs",
        key="funnel.steps",
        height="content",
        can_open=True,
    )
    _draw_footnotes(result)
    if result.groups:
        st.markdown(f"**Split by {formats.escaped(result.by)}**")
        tables.table(result.groups, GROUP_COLUMNS, alt="Conversion by group", key="funnel.groups", height="content")
    return opened


def _choose_window(held: SavedFunnel | None, suffix: str) -> timedelta:
    options = dict(WINDOWS)
    usual = "7 days"
    if held is not None:
        usual = next((name for name, length in WINDOWS.items() if length == held.spec.window), "")
        if not usual:
            usual = formats.duration(held.spec.window.total_seconds())
            options[usual] = held.spec.window
    chosen = st.selectbox(
        "Within",
        list(options),
        index=list(options).index(usual),
        key=f"funnel.window.{suffix}",
        help="So long people have from the first step to the last.",
    )
    return options[chosen]


def _choose_steps(held: SavedFunnel | None, kinds: Sequence[str], suffix: str) -> tuple[Step, ...]:
    known = {step.kind: step for step in held.spec.steps} if held is not None else {}
    usual = list(known) or proposed(kinds)
    picked = st.multiselect(
        "Steps, in order",
        list(dict.fromkeys([*usual, *kinds])),
        default=usual,
        key=f"funnel.kinds.{suffix}",
        accept_new_options=True,
        max_selections=MOST_STEPS,
        help="Kinds of event; type `web.*` for all that begin so.",
    )
    if held is not None and picked == usual:
        return tuple(held.spec.steps)
    return tuple(known.get(kind) or Step(kind) for kind in picked)


def proposed(kinds: Sequence[str]) -> list[str]:
    """Return steps that make sense among *kinds*, which stand in the order of how many there are."""
    usual = [kind for kind in _USUAL if kind in kinds]
    return usual if len(usual) >= _FEWEST else list(kinds[:_FEWEST])


def _draw_summary(result: FunnelResult) -> None:
    first, last = result.steps[0], result.steps[-1]
    with st.container(horizontal=True, key="funnel.summary"):
        st.metric("Took the first step", f"{first.people:,}", border=True)
        st.metric("Took all steps", f"{last.people:,}", border=True)
        st.metric(
            "Conversion", formats.percent(result.conversion), border=True, help="Of those who took the first step."
        )
        st.metric(
            "Median time",
            formats.NO_DATA if result.took is None else formats.duration(result.took.p50),
            border=True,
            help="From the first step to the last."
            + (
                ""
                if result.took is None
                else f" A quarter within {formats.duration(result.took.p25)}, three quarters within"
                f" {formats.duration(result.took.p75)}, nine of ten within {formats.duration(result.took.p90)}."
            ),
        )
        st.metric(
            "Under way", f"{result.under_way:,}", border=True, help="Have not converted yet, but still have time."
        )
        st.metric(
            "Spent on those who left",
            formats.money(result.lost_cost_usd),
            border=True,
            help="After their last step, within the window.",
        )


def _draw_footnotes(result: FunnelResult) -> None:
    notes = []
    if result.sample_ratio < 1:
        notes.append(
            f":orange-badge[:material/percent: Sampled] {formats.percent(result.sample_ratio)} of the people were"
            f" looked at ({result.counted:,}), because there are many events; counts are scaled up."
        )
    if result.conversion_between is not None:
        low, high = result.conversion_between
        notes.append(
            f"The conversion of everybody lies between {formats.percent(low, places=2)} and"
            f" {formats.percent(high, places=2)} (95 %)."
        )
    if result.demo:
        notes.append(f"{result.demo:,} of {result.steps[0].people:,} people are of the demo history.")
    notes.append(
        "People are the subjects of events. Of several tries the one that came furthest counts; steps may follow after"
        " the time range, until the window is over."
    )
    st.caption(" ".join(notes))


def draw_trend(result: FunnelResult) -> None:
    """Draw how conversion and the time to convert went, by the time of the first step."""
    if len(result.trend) < _FEWEST:
        return
    left, right = st.columns(2, gap="medium")
    interval = Interval(min(result.interval.since, result.trend[0].since), result.interval.until)
    with left:
        st.markdown("**Conversion by the time of the first step**")
        shares = [(item.since, item.converted / item.entered if item.entered else None) for item in result.trend]
        charts.draw(
            Chart(
                "Share of those who took the first step at a time that took all steps since",
                "ratio",
                [Series("Conversion", shares, kind="area")],
                interval,
                from_zero=True,
                height=220,
            ),
            key="funnel.trend",
        )
    with right:
        hours = [(item.since, None if item.took_s is None else item.took_s / _HOUR_S) for item in result.trend]
        is_long = max((value for _, value in hours if value is not None), default=0.0) >= 1
        points = hours if is_long else [(at, None if value is None else value * 60) for at, value in hours]
        st.markdown(f"**Median time to convert, in {'hours' if is_long else 'minutes'}**")
        charts.draw(
            Chart(
                "Median time from the first step to the last, by the time of the first step",
                "h" if is_long else "min",
                [Series("Median time", points)],
                interval,
                from_zero=True,
                height=220,
            ),
            key="funnel.took",
        )
    st.caption("Those who took the first step lately still have time, so the latest conversions may rise.")


_HOUR_S = 3600


def _figure(result: FunnelResult) -> "Figure":
    import plotly.graph_objects as go  # noqa: PLC0415 - heavy; first screens do without

    entered = result.steps[0].people
    shares = ["" if step.of_first is None else f", {formats.percent(step.of_first)}" for step in result.steps]
    labels = [
        f"{place}. {html.escape(step.label)}<br><b>{step.people:,}</b>{share}"
        for place, (step, share) in enumerate(zip(result.steps, shares, strict=True), 1)
    ]
    came = [step.people for step in result.steps]
    figure = go.Figure(
        layout={
            "height": 40 + _BAR * len(labels),
            "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
            "barmode": "stack",
            "showlegend": False,
            "bargap": 0.3,
            "yaxis": {"autorange": "reversed", "automargin": True, "ticksuffix": "  "},
            "xaxis": {"showgrid": False, "showticklabels": False, "zeroline": False, "range": [0, max(1, entered)]},
        }
    )
    figure.add_trace(
        go.Bar(
            y=labels,
            x=came,
            orientation="h",
            marker={"color": _CAME},
            hovertemplate="%{x:,} came so far<extra></extra>",
        )
    )
    figure.add_trace(
        go.Bar(
            y=labels,
            x=[entered - people for people in came],
            orientation="h",
            marker={"color": _LEFT},
            hovertemplate="%{x:,} did not come so far<extra></extra>",
        )
    )
    return figure


def _alt(result: FunnelResult) -> str:
    steps = ", ".join(f"{step.label} {step.people:,}" for step in result.steps)
    return f"Of {result.steps[0].people:,} people {formats.percent(result.conversion)} took all steps: {steps}."
