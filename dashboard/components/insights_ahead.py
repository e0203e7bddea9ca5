"""What lies ahead: the forecast of a figure, growth against bounds, and bounds that would fit."""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import streamlit as st

from analytics.core.clock import Interval, utc_now
from analytics.insights.capacity import Growth
from analytics.insights.course import Floats
from analytics.insights.outlook import BoundAdvice, Capacity, Load, Outlook, Resource
from analytics.kpi import Kpi
from dashboard import formats
from dashboard.components import charts, states, tables
from dashboard.components.charts import Band, Chart, Series, Threshold, Tone
from dashboard.components.tables import Column

HORIZONS = {24: "1 day", 72: "3 days", 168: "7 days"}
_FIRST = "agent_runs"
_SHOWN_BEFORE = timedelta(days=7)
_DAY = timedelta(days=1)
_SURE = 0.9
_FULL = 2


def choose_forecast(kpis: Sequence[Kpi]) -> tuple[Kpi, int]:
    """Draw the choice of a figure and of how far to look ahead."""
    by_id = {kpi.id: kpi for kpi in kpis}
    left, right = st.columns([3, 1])
    with left:
        kpi_id = st.selectbox(
            "Key figure",
            list(by_id),
            index=list(by_id).index(_FIRST) if _FIRST in by_id else 0,
            format_func=lambda name: by_id[name].title,
            key="figure",
            bind="query-params",
        )
    with right:
        hours = st.selectbox(
            "Ahead", list(HORIZONS), index=1, format_func=HORIZONS.__getitem__, key="ahead", bind="query-params"
        )
    return by_id[kpi_id], int(hours)


def draw_forecast(found: Outlook) -> None:
    """Draw how a figure goes on, with what earlier forecasts missed."""
    line = found.line
    until = line.at(len(line.values) + len(found.middle))
    ahead = [line.at(len(line.values) + place) for place in range(len(found.middle))]
    bounds = [] if found.bound is None else [Threshold(found.bound, "Bound of warning", "critical")]
    charts.draw(
        Chart(
            alt=f"{line.kpi.title} over a week, and its forecast",
            unit=line.kpi.unit,
            series=[
                Series(line.kpi.title, _points([line.at(place) for place in range(len(line.values))], line.values)),
                Series("Forecast", _points(ahead, found.middle), tone="target", is_dashed=True),
            ],
            interval=Interval(line.at(len(line.values)) - _SHOWN_BEFORE, until),
            thresholds=bounds,
            bands=[Band("90 % of the trials", list(zip(ahead, found.low.tolist(), found.high.tolist(), strict=True)))],
            height=360,
        ),
        key=f"insights.forecast.{line.kpi.id}",
    )
    st.markdown(_crossing(found))
    skill = found.skill
    better = (
        ""
        if skill is None
        else f", {formats.percent(abs(skill), places=0)} {'less' if skill >= 0 else 'more'} than repeating the last day"
    )
    st.caption(
        f"The usual shape of a day or week on a level that follows the latest hours. In"
        f" {formats.plural(found.trials, 'trial')} on the last four weeks it missed by"
        f" {formats.quantity(found.error, line.kpi.unit)} on average{better}; nine of ten values came inside the band."
        f" On {formats.number(line.samples)} rows or events{_demo(line.includes_demo)}."
    )


def _crossing(found: Outlook) -> str:
    unit = found.line.kpi.unit
    if found.bound is None:
        return ":material/straighten: This figure has no bounds, so there is none to pass."
    bound = formats.quantity(found.bound, unit)
    if found.is_beyond:
        return f":material/error: It is beyond its bound of warning, {bound}, now."
    if found.passes_at is None:
        return (
            f":material/check_circle: It is not expected to pass its bound of warning, {bound}; the chance at the worst"
            f" hour is {formats.percent(found.chance, places=0)}."
        )
    length = formats.duration(max(3600.0, (found.passes_at - found.read_at).total_seconds()))
    return (
        f":material/warning: It is expected to pass its bound of warning, {bound}, in {length}; the chance at the worst"
        f" hour is {formats.percent(found.chance, places=0)}."
    )


def draw_capacity(found: Capacity) -> None:
    """Draw resources with when they come to their bounds, and loads with how they grow."""
    if not found.resources and not found.loads:
        states.empty(
            "Nothing was measured yet",
            "Growth is told from 14 whole days of figures on.",
            icon=":material/hourglass_empty:",
        )
        return
    days = found.interval.length / _DAY
    st.caption(
        f"Whole days (UTC) of the last {days:.0f}. Of resources what 95 % of the hours of a day stay below counts. The"
        " line is the median slope of all pairs of days, after the weekly shape; early and late are by its 90 % edges."
    )
    st.markdown("**Resources**")
    tables.table(
        found.resources,
        _RESOURCES,
        alt="Resources: use, growth, and when they reach their bound",
        key="insights.res",
        height="content",
    )
    names = {load.line.kpi.id: load.line.kpi.title for load in found.loads}
    for resource in found.resources:
        words = _driver_words(resource, names)
        if words is not None:
            st.caption(words)
    with st.grid(_FULL, min_column_width=320, key="insights.res.charts"):
        for resource in found.resources:
            _draw_resource(resource)
    st.markdown("**Loads**")
    tables.table(
        found.loads, _LOADS, alt="Loads: how much a day, and how that grows", key="insights.loads", height="content"
    )
    st.caption(f"Read {formats.age(found.read_at, now=utc_now())}.")


def _driver_words(resource: Resource, names: dict[str, str]) -> str | None:
    if resource.driver is None or resource.bearable is None or resource.explained is None:
        return None
    bearable = formats.number(resource.bearable, digits=2)
    return (
        f"{resource.line.kpi.title}: {formats.percent(resource.explained, places=0)} of it goes with"
        f" “{names.get(resource.driver, resource.driver)}”; so it bears {bearable} times the present busy hour."
    )


def _draw_resource(resource: Resource) -> None:
    found = resource.growth
    first = int(np.argmax(np.isfinite(resource.per_day)))
    per_day = resource.per_day[first:]
    days = [resource.first_day + place * _DAY for place in range(first, len(resource.per_day))]
    series = [Series(resource.line.kpi.title, _points(days, per_day))]
    if found is not None:
        line = found.level + found.slope * (np.arange(len(days), dtype=np.float64) - len(days) + 1)
        series.append(Series("Growth", _points(days, line), tone="target", is_dashed=True))
    with st.container(border=True):
        st.markdown(f"**{resource.line.kpi.title}**")
        charts.draw(
            Chart(
                alt=f"{resource.line.kpi.title} by days, with its growth and its bound",
                unit=resource.line.kpi.unit,
                series=series,
                thresholds=[Threshold(resource.bound, "Bound", "critical")],
                height=220,
                from_zero=True,
            ),
            key=f"insights.res.{resource.line.kpi.id}",
        )


def choose_advice(rows: Sequence[BoundAdvice]) -> BoundAdvice | None:
    """Draw figures with their bounds and those that would fit, and return the one that is marked."""
    st.caption(
        "Bounds that would have fitted the last four weeks: the usual value at the worst hour, and beyond it what 95 %"
        " and 99.5 % of all deviations stay within. They say what is normal; what is good enough is for you to say."
    )
    index = tables.table(
        rows,
        _ADVICE,
        alt="Key figures: bounds now and those that would fit, with alarms a week",
        key="insights.advice",
        can_select=True,
        selected=0,
        height=360,
    )
    return None if index is None else rows[index]


def draw_advice(one: BoundAdvice, *, can_apply: bool) -> bool:
    """Draw a figure with its bounds and those that would fit; return whether the reader wants these."""
    kpi, found = one.line.kpi, one.advice
    if found is None:
        return False
    lines: list[tuple[float | None, str, Tone]] = [
        (kpi.warning, "Warning now", "critical"),
        (found.warning, "Warning that fits", "warning"),
        (found.target, "Target that fits", "target"),
    ]
    places = range(len(one.line.values))
    st.markdown(f"**{kpi.title}**")
    charts.draw(
        Chart(
            alt=f"{kpi.title} over four weeks, with its bounds and those that would fit",
            unit=kpi.unit,
            series=[Series(kpi.title, _points([one.line.at(place) for place in places], one.line.values))],
            thresholds=[Threshold(value, label, tone) for value, label, tone in lines if value is not None],
            height=300,
        ),
        key=f"insights.advice.{kpi.id}",
    )
    now = "no bounds now" if one.alarms_per_week_now is None else f"{_often(one.alarms_per_week_now)} now"
    st.caption(
        f"{now[:1].upper()}{now[1:]}, {_often(found.alarms_per_week)} with those that fit. On"
        f" {formats.plural(found.steps, 'hour')}{_demo(one.line.includes_demo)}."
    )
    if not can_apply:
        st.caption("Operators can set these bounds.")
        return False
    return st.button(
        f"Set target {formats.quantity(found.target, kpi.unit)}, good to {formats.quantity(found.good, kpi.unit)},"
        f" warning to {formats.quantity(found.warning, kpi.unit)}",
        icon=":material/tune:",
        key=f"insights.apply.{kpi.id}.{kpi.revision}",
    )


def _often(per_week: float) -> str:
    return f"{formats.number(per_week, digits=2)} alarms a week"


def _round(per_week: float | None) -> float | None:
    return None if per_week is None else round(per_week, 1)


def _demo(is_demo: bool) -> str:  # noqa: FBT001 - a word for a flag
    return ", demo history among them" if is_demo else ""


def _points(times: Sequence[datetime], values: Floats) -> list[tuple[datetime, float | None]]:
    return [(at, value if math.isfinite(value) else None) for at, value in zip(times, values.tolist(), strict=True)]


def _days(days: float | None) -> str:
    if days is None:
        return formats.NO_DATA
    if math.isinf(days):
        return "not foreseen"
    return "now" if days <= 0 else formats.plural(max(1, round(days)), "day")


def _growth_words(found: Growth | None, unit: str) -> str:
    if found is None:
        return "under 14 days"
    share = found.monthly() if unit != "ratio" else None
    amount = found.slope * 30
    if share is None:
        sign = "+" if amount >= 0 else "-"
        return (
            f"{sign}{abs(amount) * 100:.1f} points"
            if unit == "ratio"
            else f"{sign}{formats.quantity(abs(amount), unit)}"
        )
    return f"{share:+.1%}".replace("%", " %")


def _trend(one: Load | Resource) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in one.per_day.tolist()]


def _is_growing(found: Growth | None) -> str:
    if found is None:
        return ""
    return "yes" if found.confidence >= _SURE else "not sure"


_RESOURCES: list[Column[Resource]] = [
    Column("Resource", lambda one: one.line.kpi.title),
    Column("Days", _trend, "trend", width="medium"),
    Column(
        "Busy hour", lambda one: None if one.growth is None else formats.quantity(one.growth.level, one.line.kpi.unit)
    ),
    Column("Bound", lambda one: formats.quantity(one.bound, one.line.kpi.unit)),
    Column("Free", lambda one: one.headroom, "ratio", help="Share of the bound that a busy hour leaves."),
    Column("In 30 days", lambda one: _growth_words(one.growth, one.line.kpi.unit)),
    Column("Is a trend", lambda one: _is_growing(one.growth), help="By Mann and Kendall's test, at 90 %."),
    Column("Reaches it in", lambda one: _days(one.reach.likely if one.reach else None)),
    Column("Early", lambda one: _days(one.reach.early if one.reach else None)),
    Column("Late", lambda one: _days(one.reach.late if one.reach else None)),
]
_LOADS: list[Column[Load]] = [
    Column("Load", lambda one: one.line.kpi.title),
    Column("Days", _trend, "trend", width="medium"),
    Column("A day", lambda one: None if one.growth is None else formats.quantity(one.growth.level, one.line.kpi.unit)),
    Column("In 30 days", lambda one: _growth_words(one.growth, one.line.kpi.unit)),
    Column("Is a trend", lambda one: _is_growing(one.growth), help="By Mann and Kendall's test, at 90 %."),
    Column("On days", lambda one: one.growth.days if one.growth else None, "number", width="small"),
]


def _bounds_words(kpi: Kpi) -> str:
    if kpi.target is None:
        return "none"
    return " / ".join(formats.quantity(value, kpi.unit) for value in (kpi.target, kpi.good, kpi.warning))


def _advised_words(one: BoundAdvice) -> str:
    found = one.advice
    if found is None:
        return formats.NO_DATA
    return " / ".join(formats.quantity(value, one.line.kpi.unit) for value in (found.target, found.good, found.warning))


_ADVICE: list[Column[BoundAdvice]] = [
    Column("Key figure", lambda one: one.line.kpi.title),
    Column("Bounds now", lambda one: _bounds_words(one.line.kpi), help="Target / good to / warning to."),
    Column("Alarms a week", lambda one: _round(one.alarms_per_week_now), "number", width="small"),
    Column("Bounds that fit", _advised_words, help="Target / good to / warning to."),
    Column(
        "Alarms then", lambda one: _round(one.advice.alarms_per_week if one.advice else None), "number", width="small"
    ),
    Column("Hours", lambda one: one.advice.steps if one.advice else None, "number", width="small"),
]
