"""What things cost: by service, model, agent, …; over time, and what one success costs."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import streamlit as st

from analytics.kpi.costs import BY, CostLine, Costs
from analytics.rollup.cuts import parts
from dashboard import formats
from dashboard.components import charts, states, tables
from dashboard.components.analytics_marks import room_for_bars
from dashboard.components.analytics_usage import changed
from dashboard.components.charts import Chart, Mark, Series
from dashboard.components.tables import Column

WAYS: Mapping[str, str] = {
    "service": "Service",
    "service_model": "Service and model",
    "model": "Model",
    "agent": "Agent",
    "project": "Project",
    "kind": "Kind of event",
}
_MOST_STACKED = 6
_MOST_NAMES = 4
_SMALLEST_USD = 0.0001
"""What four decimals can show."""


def choose() -> str:
    """Draw the choice of what costs are told by."""
    by = st.segmented_control(
        "Cost by",
        list(WAYS),
        default="service",
        format_func=WAYS.__getitem__,
        required=True,
        key="by",
        bind="query-params",
    )
    return by or "service"


def cuts_of(by: str) -> tuple[str, ...]:
    """Return the cuts that are added up for costs by *by*."""
    return tuple(BY[by])


def name_of(by: str, key: str) -> str:
    """Return what a line is called."""
    if not key:
        return f"No {WAYS[by].lower()} named"
    return " · ".join(parts(key)) if by == "service_model" else key


def columns(found: Costs) -> list[Column[CostLine]]:
    """Return the columns that lines of *found* have something for."""
    total = found.total_usd
    has_success = any(line.success_ratio is not None for line in found.lines)
    has_tokens = any(line.input_tokens for line in found.lines)
    every: list[Column[CostLine] | None] = [
        Column(WAYS[found.by], lambda line: name_of(found.by, line.key)),
        Column("Cost", lambda line: None if line.cost_usd is None else formats.money(line.cost_usd), width="small"),
        Column(
            "Share", lambda line: line.cost_usd / total if total and line.cost_usd is not None else None, "progress"
        ),
        Column("Change", lambda line: changed(line.cost_usd, line.before_usd, "usd") or formats.DASH, width="small"),
        Column("Over time", lambda line: [value for _, value in line.course], "trend"),
        Column("Calls", lambda line: line.facts, "number", help="Model calls, events or runs.", width="small"),
        Column("Price unknown", lambda line: line.unpriced, "number", help="Not in the sums.", width="small"),
        Column("Per success", lambda line: _money(line.per_success_usd), help=_PER_SUCCESS, width="small"),
        Column("Failed", lambda line: line.failed, "number", width="small") if has_success else None,
        Column("Success", lambda line: line.success_ratio, "ratio", width="small") if has_success else None,
        Column("P95", lambda line: line.p95_s, "seconds", help="At most 4.4 % off.", width="small"),
        Column("Tokens in", lambda line: line.input_tokens, "number", width="small") if has_tokens else None,
        Column("Tokens out", lambda line: line.output_tokens, "number", width="small") if has_tokens else None,
    ]
    return [column for column in every if column is not None]


_PER_SUCCESS = "Cost of one success, or of one event where none can fail; only where the price of all is known."


def _money(value: float | None) -> str | None:
    if value is None:
        return None
    return formats.money(value) if value >= _SMALLEST_USD or value == 0 else f"< {formats.money(_SMALLEST_USD)}"


def draw(found: Costs, marks: Sequence[Mark], *, can_open: bool) -> CostLine | None:
    """Draw the costs; return the line whose button was clicked just now."""
    if not found.lines:
        states.empty(
            "No cost is known",
            "Costs come with model calls, agent runs and events that say what they cost. None was seen in"
            " this time range.",
            icon=":material/payments:",
        )
        return None
    if any(line.is_demo for line in found.lines):
        st.markdown(":violet-badge[:material/science: Demo data] These costs include demo history.")
    _draw_cards(found)
    if found.by in {"agent", "project"}:
        st.caption("Agent runs carry the cost of their model calls: the same money as by service, from another side.")
    st.markdown(f"**Cost over time by {WAYS[found.by].lower()}**")
    charts.draw(chart(found, marks), key=f"analytics.costs.{found.by}")
    if marks:
        st.caption("Dotted lines are deployments, shaded stretches incidents.")
    row = tables.table(
        found.lines,
        columns(found),
        alt=f"Costs by {WAYS[found.by].lower()}, the dearest first, with calls, unknown prices and cost per success",
        key=f"analytics.costs.table.{found.by}",
        can_open=can_open,
        height="content",
    )
    unknown = unknown_words(found)
    if unknown is not None:
        st.caption(unknown)
    return None if row is None else found.lines[row]


def _draw_cards(found: Costs) -> None:
    dearest = next((line for line in found.lines if line.cost_usd is not None), None)
    days = found.interval.length.total_seconds() / 86400
    with st.grid(4, min_column_width=150, key="analytics.costs.cards"):
        st.metric(
            "Cost",
            formats.money(found.total_usd),
            changed(found.total_usd, found.before_usd, "usd"),
            delta_color="inverse",
            border=True,
            height="stretch",
            help="Where the price is known. The change is against the time of the same length before.",
        )
        st.metric(
            "A day",
            formats.money(found.total_usd / days if found.total_usd is not None else None),
            border=True,
            height="stretch",
            help=f"On average of {formats.duration(found.interval.length)}.",
        )
        st.metric(
            "Dearest",
            name_of(found.by, dearest.key).rpartition(" · ")[-1] if dearest is not None else formats.NO_DATA,
            formats.money(dearest.cost_usd) if dearest is not None else None,
            delta_color="off",
            delta_arrow="off",
            border=True,
            height="stretch",
        )
        st.metric(
            "Price known",
            formats.percent(1 - found.unpriced / found.facts if found.facts else None),
            f"{formats.number(found.unpriced)} without" if found.unpriced else None,
            delta_color="off",
            delta_arrow="off",
            border=True,
            height="stretch",
            help="Share of calls, events and runs whose cost is known. The others are in no sum.",
        )


def unknown_words(found: Costs) -> str | None:
    """Return whose price is not known, in a sentence; None when all is."""
    lines = [line for line in found.lines if line.key and line.cost_usd is None and line.facts]
    if not lines:
        return None
    names = ", ".join(formats.escaped(name_of(found.by, line.key)) for line in lines[:_MOST_NAMES])
    more = f" and {len(lines) - _MOST_NAMES} more" if len(lines) > _MOST_NAMES else ""
    return f":material/help: No price is known of {names}{more}; what they cost is unknown, not nothing."


def chart(found: Costs, marks: Sequence[Mark]) -> Chart:
    """Return the chart of costs over time, the dearest lines apart and the others together."""
    priced = [line for line in found.lines if line.cost_usd is not None]
    shown, rest = priced[:_MOST_STACKED], priced[_MOST_STACKED:]
    series = [Series(name_of(found.by, line.key), line.course, kind="bar") for line in shown]
    if rest:
        series.append(Series("Others", _summed([line.course for line in rest]), kind="bar"))
    return Chart(
        alt=f"Cost over time by {WAYS[found.by].lower()}; {formats.money(found.total_usd)} in all",
        unit="usd",
        series=series,
        interval=room_for_bars(found.interval, found.step),
        marks=marks,
        height=320,
        from_zero=True,
        is_stacked=True,
    )


def _summed(courses: Sequence[Sequence[tuple[datetime, float | None]]]) -> list[tuple[datetime, float | None]]:
    sums: dict[datetime, float | None] = {}
    for course in courses:
        for at, value in course:
            known = sums.get(at)
            sums[at] = known if value is None else value + (known or 0.0)
    return sorted(sums.items())
