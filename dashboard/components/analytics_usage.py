"""Usage: who is active, how much happens, of which kind, and the rows behind it."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import streamlit as st

from analytics.kpi.usage import Usage, UsageLine
from dashboard import formats
from dashboard.components import charts, sparks, states, tables
from dashboard.components.analytics_marks import room_for_bars
from dashboard.components.charts import Chart, Series
from dashboard.components.tables import Column

_MOST_SOURCES = 6
_CARDS = 6

COLUMNS: list[Column[UsageLine]] = [
    Column("Kind", lambda line: line.title),
    Column("Events", lambda line: line.count, "number", width="small"),
    Column(
        "Before",
        lambda line: line.before or None,
        "number",
        help="In the time of the same length before.",
        width="small",
    ),
    Column("Change", lambda line: changed(line.count, line.before) or formats.DASH, width="small"),
    Column("People", lambda line: line.people, "number", help="About, with 1.6 % standard error.", width="small"),
    Column("Trend", lambda line: [value for _, value in line.course], "trend"),
    Column("Newest", lambda line: line.newest, "moment"),
]


def changed(now: float | None, before: float | None, unit: str = "count") -> str | None:
    """Return how *now* differs from *before*; None when there is nothing to compare."""
    return formats.change(now, before, unit) if now is not None and before else None


def draw(found: Usage, *, can_open: bool) -> UsageLine | None:
    """Draw the usage; return the kind of event whose button was clicked just now."""
    if not any(line.count or line.before for line in found.amounts):
        states.empty(
            "Nothing happened yet",
            "No event, run, model call or lead was seen in this time range. Send events to the API, start"
            " a workflow, or choose a longer range.",
            icon=":material/monitoring:",
        )
        return None
    if found.is_demo:
        st.markdown(":violet-badge[:material/science: Demo data] These figures include demo history.")
    _draw_cards(found)
    left, right = st.columns(2, gap="medium")
    with left:
        st.markdown("**Active people**")
        charts.draw(people_chart(found), key="analytics.people")
    with right:
        st.markdown("**Events by source**")
        charts.draw(source_chart(found), key="analytics.sources")
    st.markdown("**Kinds of event**")
    if not found.kinds:
        st.caption("No event was seen in this time range.")
        return None
    row = tables.table(
        found.kinds,
        COLUMNS,
        alt="Kinds of event with how many there were, how many people, the trend and the newest",
        key="analytics.kinds",
        can_open=can_open,
    )
    return None if row is None else found.kinds[row]


def _draw_cards(found: Usage) -> None:
    people = [None if value is None else float(value) for _, value in found.people_course]
    with st.grid(_CARDS, min_column_width=150, key="analytics.usage.cards"):
        _card(
            "Active people",
            formats.number(found.people),
            changed(found.people, found.people_before),
            people,
            kind="line",
            hint="About how many different people were behind events; 1.6 % standard error.",
        )
        for line in found.amounts[: _CARDS - 1]:
            _card(
                line.title,
                formats.number(line.count) if line.count else formats.NO_DATA,
                changed(line.count or None, line.before),
                [float(value) for _, value in line.course],
                kind="bar",
                hint="The change is against the time of the same length before.",
            )


def _card(
    title: str, value: str, change: str | None, course: Sequence[float | None], *, kind: sparks.Kind, hint: str
) -> None:
    with st.container(border=True, height="stretch", gap="xxsmall"):
        st.metric(title, value, change, delta_color="off", help=hint)
        sparks.draw([step for step in course if step is not None], title=title, unit="count", kind=kind)


def people_chart(found: Usage) -> Chart:
    """Return the chart of active people."""
    return Chart(
        alt=f"Active people over time; about {formats.number(found.people)} in all",
        unit="count",
        series=[Series("Active people", [(at, _float(value)) for at, value in found.people_course], kind="bar")],
        interval=room_for_bars(found.interval, found.step),
        from_zero=True,
    )


def source_chart(found: Usage) -> Chart:
    """Return the chart of events by source; the smaller sources are taken together."""
    return Chart(
        alt="Events over time by source, mostly " + ", ".join(line.title for line in found.sources[:3]),
        unit="count",
        series=[Series(name, points, kind="bar") for name, points in stacked(found.sources)],
        interval=room_for_bars(found.interval, found.step),
        from_zero=True,
        is_stacked=True,
    )


def stacked(lines: Sequence[UsageLine]) -> list[tuple[str, list[tuple[Any, float | None]]]]:
    """Return the courses of the greatest *lines*, and the sum of all others."""
    shown, rest = lines[:_MOST_SOURCES], lines[_MOST_SOURCES:]
    found = [(line.title, [(at, _float(value)) for at, value in line.course]) for line in shown]
    if rest:
        sums = [
            (steps[0][0], float(sum(value for _, value in steps)))
            for steps in zip(*(line.course for line in rest), strict=True)
        ]
        found.append(("Others", list(sums)))
    return found


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)


def draw_rows(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw raw rows, newest first."""
    st.markdown(f"**{formats.escaped(title)}**")
    if not rows:
        st.caption("The rows are older than what is kept; their sums stay.")
        return
    names = list(dict.fromkeys(name for row in rows for name in row if name != "id"))
    columns: list[Column[Mapping[str, Any]]] = [_column(name) for name in names]
    tables.table(rows, columns, alt=f"{title}, newest first", key="analytics.rows")


def _column(name: str) -> Column[Mapping[str, Any]]:
    title = name.replace("_", " ").capitalize()
    if name in {"at", "finished_at", "created_at", "started_at", "converted_at"}:
        return Column(title, lambda row: row.get(name), "moment")
    if name == "cost_usd":
        return Column("Cost", lambda row: None if row.get(name) is None else formats.money(row[name]), width="small")
    return Column(title, lambda row: _plain(row.get(name)))


def _plain(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return orjson.dumps(value).decode() if isinstance(value, dict | list) else str(value)
