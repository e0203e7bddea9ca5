"""The card of one key figure: value with unit, change, trend, state in words, target, sample count and age."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import streamlit as st

from analytics.core.clock import utc_now
from analytics.kpi import KpiReading
from dashboard import formats
from dashboard.components import sparks
from dashboard.components.charts import Tone
from dashboard.components.status import KPI_LOOKS, look_of
from dashboard.filters import Filters
from dashboard.links import page_of, query

_AMOUNTS = {"count", "tokens", "usd"}


def kpi_card(reading: KpiReading, filters: Filters) -> None:
    """Draw one card; its last line links to the figure's own view."""
    kpi = reading.kpi
    look = look_of(KPI_LOOKS, reading.state)
    change = _change(reading)
    with st.container(border=True, height="stretch", gap="xxsmall", key=f"kpi.{kpi.id}"):
        st.metric(
            kpi.title,
            formats.quantity(reading.value, kpi.unit),
            change,
            delta_color=_delta_colour(reading),
            help=f"{how_computed(reading)}\n\nThe change is against the {_before(filters)} before.",
        )
        sparks.draw(
            sparkline(reading.series),
            title=kpi.title,
            unit=kpi.unit,
            kind="bar" if kpi.unit in _AMOUNTS else "line",
            tone=_tone(reading, change),
        )
        st.space("stretch")
        st.page_link(
            str(page_of("overview").path),
            label=look.text,
            icon=look.icon,
            help=f"Open {kpi.title}: its course, its target, and how it is computed.",
            query_params=query(filters, kpi=kpi.id),
        )
        st.caption(_small_print(reading))


def how_computed(reading: KpiReading) -> str:
    """Return in words what the figure is, where it comes from, and on how much it rests."""
    kpi = reading.kpi
    lines = [str(kpi.doc).strip(), "", f"Source: {kpi.source}. {formats.plural(reading.samples, 'sample')}."]
    if reading.includes_demo:
        lines.append("Includes demo history.")
    return "\n".join(lines)


def target_words(kpi: Any) -> str | None:
    """Return the target with the side on which it is met, or None when the figure has none."""
    if kpi.target is None:
        return None
    sign = "≤" if is_lower_better(kpi) else "≥"
    return f"{sign} {formats.quantity(kpi.target, kpi.unit)}"


def is_lower_better(kpi: Any) -> bool:
    """Return whether a smaller value is the better one."""
    return str(getattr(kpi.direction, "value", kpi.direction)).lower() in {"lower", "down", "lower_is_better", "less"}


def sparkline(series: Sequence[tuple[datetime, float | None]]) -> list[float] | None:
    """Return the values of a small trend; None when fewer than two are known.

    A gap is not a number, never zero. Where most values stand alone, they are drawn side by side: a line of dots
    would show nothing.
    """
    values = [value for _, value in series]
    known = [float(value) for value in values if value is not None]
    if len(known) < 2:  # noqa: PLR2004 - a single point is no trend
        return None
    lonely = sum(
        value is not None
        and all(beside is None for beside in (*values[max(0, place - 1) : place], *values[place + 1 : place + 2]))
        for place, value in enumerate(values)
    )
    if lonely > len(known) / 3:
        return known
    return [float("nan") if value is None else float(value) for value in values]


def _small_print(reading: KpiReading) -> str:
    target = target_words(reading.kpi)
    parts = [f"Target {target}" if target is not None else "No target"]
    if reading.measured_at is not None:
        parts.append(formats.age(reading.measured_at, now=utc_now()))
    return " · ".join(parts)


def _change(reading: KpiReading) -> str | int | None:
    if reading.value is None or reading.previous is None:
        return None
    text = formats.change(reading.value, reading.previous, reading.kpi.unit)
    return 0 if text == "0" else text


def _delta_colour(reading: KpiReading) -> Any:
    if reading.kpi.target is None:  # more or fewer is then neither good nor bad
        return "off"
    return "inverse" if is_lower_better(reading.kpi) else "normal"


def _tone(reading: KpiReading, change: str | int | None) -> Tone:
    """Return the colour of the trend, that of the change above it."""
    if reading.kpi.target is None or reading.value is None or reading.previous is None or not change:
        return "note"
    return "target" if (reading.value < reading.previous) == is_lower_better(reading.kpi) else "critical"


def _before(filters: Filters) -> str:
    span = filters.span
    return formats.duration(span.length) if span.is_fixed else span.name.replace("h", " h").replace("d", " d")
