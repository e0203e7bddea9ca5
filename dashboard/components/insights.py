"""Findings: the list of them, and one with its chart, its evidence and what people think of it."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import streamlit as st

from analytics.core.clock import Interval, utc_now
from analytics.insights.findings import LASTS, LONGEST_NOTE, Feedback, InsightDetail, InsightRow
from analytics.insights.model import Evidence, Happening, InsightKind, Number, Related, Values
from analytics.kpi import Kpi
from dashboard import formats
from dashboard.components import charts, states, tables
from dashboard.components.charts import Band, Chart, Mark, Series, Threshold
from dashboard.components.status import Look
from dashboard.components.tables import Column
from dashboard.filters import Filters
from dashboard.links import page_of, query
from dashboard.zone import viewer_zone

KIND_LOOKS: Mapping[InsightKind, Look] = {
    InsightKind.ANOMALY: Look("Anomaly", ":material/crisis_alert:", "orange"),
    InsightKind.REGRESSION: Look("New level", ":material/stairs:", "violet"),
    InsightKind.FORECAST: Look("Forecast", ":material/trending_up:", "blue"),
    InsightKind.CORRELATION: Look("Together", ":material/join_inner:", "gray"),
    InsightKind.CAPACITY: Look("Capacity", ":material/hourglass_bottom:", "red"),
    InsightKind.THRESHOLD: Look("Bounds", ":material/tune:", "yellow"),
}
WORSE = Look("Worse", ":material/thumb_down:", "red")
BETTER = Look("Better", ":material/thumb_up:", "green")
NEITHER = Look("Neither", ":material/remove:", "gray")
_ALMOST = 0.999
_FEW_ROWS = 8
_LONGEST_LABEL = 28


def look_of(kind: InsightKind) -> Look:
    """Return how a kind of finding reads."""
    return KIND_LOOKS[kind]


def judged(row: InsightRow) -> Look:
    """Return whether a finding is for the better."""
    return NEITHER if row.is_good is None else BETTER if row.is_good else WORSE


def sure_words(confidence: float) -> str:
    """Return how sure a finding is."""
    return f"over {formats.percent(_ALMOST)}" if confidence > _ALMOST else formats.percent(confidence, places=0)


def is_over(row: InsightRow) -> bool:
    """Tell whether a finding holds no longer."""
    return row.until is not None or utc_now() - row.seen_at > LASTS


def choose_kinds() -> tuple[tuple[InsightKind, ...], bool]:
    """Draw the filter, and return the kinds that are wanted (none: all) and whether muted ones are."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        chosen = st.pills(
            "Kinds",
            [kind.value for kind in InsightKind],
            selection_mode="multi",
            format_func=lambda name: look_of(InsightKind(name)).word,
            label_visibility="collapsed",
            key="kind",
            bind="query-params",
        )
        with_muted = st.toggle(
            "Muted too",
            key="muted",
            bind="query-params",
            help="Subjects that were called useless twice, and more often than useful, are not shown.",
        )
    return tuple(InsightKind(name) for name in chosen), with_muted


def draw_list(rows: Sequence[InsightRow], chosen: str | None) -> InsightRow | None:
    """Draw findings, newest first, and return the one that is marked; at first the one that *chosen* names."""
    ids = [str(row.id) for row in rows]
    index = tables.table(
        rows,
        [
            Column("Kind", lambda row: look_of(row.kind), "state", width="small"),
            Column("What was found", lambda row: f"{row.title}{' (muted)' if row.is_muted else ''}", width="large"),
            Column("Verdict", judged, "state", width="small", help="Better or worse; neither where that says nothing."),
            Column("Sure", lambda row: sure_words(row.confidence), width="small", help="The finding says by what."),
            Column("Began", lambda row: row.since, "moment", help="Of a forecast: when it will be."),
            Column("Ended", lambda row: row.until, "moment", help="Nothing: it lasts, or was not looked at since."),
            Column("Found", lambda row: row.found_at, "moment"),
        ],
        alt="Findings, found last first: kind, what, for better or worse, how sure, when",
        key="insights.list",
        can_select=True,
        selected=ids.index(chosen) if chosen in ids else 0,
        height="content" if len(rows) <= _FEW_ROWS else 330,
    )
    return None if index is None else rows[index]


def draw_detail(detail: InsightDetail, kpis: Mapping[str, Kpi], filters: Filters) -> None:
    """Draw one finding: its chart, its numbers, what happened near it, and where else it was seen."""
    row, evidence = detail.row, detail.evidence
    st.subheader(formats.escaped(row.title), anchor=False)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        words = [look_of(row.kind).badge, judged(row).badge if row.is_good is not None else ""]
        words += [":gray-badge[:material/volume_off: Muted]"] if row.is_muted else []
        words += [":gray-badge[:material/science: Demo]"] if evidence.includes_demo else []
        words += [":gray-badge[:material/history: Over]"] if is_over(row) else []
        st.markdown(" ".join(filter(None, words)), width="content")
        if row.kpi_id in kpis:
            spec = page_of("overview")
            st.page_link(
                str(spec.path), label="Open the figure", icon=spec.icon, query_params=query(filters, kpi=row.kpi_id)
            )
    drawn = charts_of(row, evidence, kpis)
    for number, chart in enumerate(drawn):
        if len(drawn) > 1:
            st.markdown(f"**{formats.escaped(chart.series[0].name)}**")
        charts.draw(chart, key=f"insight.chart.{row.id}.{number}")
    left, right = st.columns([3, 2], gap="medium")
    with left:
        st.markdown("**What it rests on**")
        _draw_numbers(row, evidence)
        if evidence.related:
            st.markdown("**Where it was seen as well**")
            _draw_related(evidence.related)
    with right:
        st.markdown(f"**How sure: {sure_words(row.confidence)}**")
        st.caption(formats.escaped(evidence.how))
        st.markdown("**What happened near it**")
        _draw_happened(evidence.happened)


def charts_of(row: InsightRow, evidence: Evidence, kpis: Mapping[str, Kpi]) -> list[Chart]:
    """Return the charts of a finding: the course with what was expected, and a second course where there is one."""
    name = kpis[row.kpi_id].title if row.kpi_id in kpis else row.kpi_id
    interval = Interval(evidence.start, evidence.start + len(evidence.values) * evidence.step)
    series = [Series(f"{name}{f' of {row.key}' if row.key else ''}", _points(evidence, evidence.values))]
    if evidence.expected:
        label = "Forecast" if row.kind is InsightKind.FORECAST else "Expected"
        series.append(Series(label, _points(evidence, evidence.expected), tone="target", is_dashed=True))
    bounds = [] if evidence.bound is None else [Threshold(evidence.bound, "Bound of warning", "critical")]
    marks = [_mark(happening) for happening in evidence.happened]
    if interval.since <= row.since <= interval.until and row.kind in _PLACED:
        marks.append(Mark(row.since, "" if marks else "Here", row.until or _ongoing(row, interval), "warning"))
    first = Chart(
        alt=row.title,
        unit=evidence.unit,
        series=series,
        interval=interval,
        thresholds=bounds,
        marks=marks,
        bands=_bands(evidence),
        height=320 if not evidence.other_values else 220,
    )
    if not evidence.other_values:
        return [first]
    other = kpis.get(evidence.other_kpi_id or "")
    title = other.title if other is not None else evidence.other_kpi_id or ""
    second = Chart(
        alt=f"{title} over the same time",
        unit=other.unit if other is not None else "",
        series=[Series(title, _points(evidence, evidence.other_values), tone="note")],
        interval=interval,
        height=200,
    )
    return [first, second]


_PLACED = {InsightKind.ANOMALY, InsightKind.REGRESSION}


def _ongoing(row: InsightRow, interval: Interval) -> datetime | None:
    return interval.until if row.kind is InsightKind.ANOMALY else None


def _points(evidence: Evidence, values: Values) -> list[tuple[datetime, float | None]]:
    return [(evidence.start + place * evidence.step, value) for place, value in enumerate(values)]


def _bands(evidence: Evidence) -> list[Band]:
    edges = [
        (evidence.start + place * evidence.step, low, high)
        for place, (low, high) in enumerate(zip(evidence.low, evidence.high, strict=True))
        if low is not None and high is not None
    ]
    return [Band("Usual range", edges)] if edges else []


def _mark(happening: Happening) -> Mark:
    title = happening.title
    label = title if len(title) <= _LONGEST_LABEL else f"{title[: _LONGEST_LABEL - 1]}…"
    return Mark(happening.at, label, tone="critical" if happening.kind == "incident" else "note")


def _draw_numbers(row: InsightRow, evidence: Evidence) -> None:
    hours = len(evidence.values) * evidence.step / timedelta(hours=1)
    rest = [
        Number("Rows or events it rests on", float(evidence.samples), ""),
        Number("Hours shown", hours, ""),
    ]
    lines = [
        f"- {formats.escaped(one.label)}: **{formats.escaped(formats.quantity(one.value, one.unit))}**"
        for one in (*evidence.numbers, *rest)
    ]
    st.markdown("\n".join(lines))
    seen = formats.age(row.seen_at, now=utc_now())
    st.caption(f"Found {formats.moment(row.found_at, viewer_zone(), seconds=False)}, seen last {seen}.")


def _draw_related(related: Sequence[Related]) -> None:
    st.markdown("\n".join(f"- {formats.escaped(one.title)}" for one in related))


def _draw_happened(happened: Sequence[Happening]) -> None:
    if not happened:
        st.caption("No deployment or incident was noted within two hours of it.")
    for one in happened:
        about = f" · {formats.escaped(one.service)}" if one.service else ""
        when = formats.moment(one.at, viewer_zone(), seconds=False)
        st.markdown(f"- **{formats.escaped(one.title)}** ({one.kind}{about}), {when}")


def draw_feedback(detail: InsightDetail, *, actor: str, can_rate: bool) -> tuple[uuid.UUID, bool, str] | None:
    """Draw what people think of a finding, and return what the reader says now: its id, whether useful, and why."""
    row = detail.row
    with st.container(border=True):
        mine = next((one for one in detail.feedback if one.actor == actor), None)
        st.markdown(f"**Was this of use?** {_votes(row, mine)}")
        said: tuple[uuid.UUID, bool, str] | None = None
        if can_rate:
            with st.form(f"insight.rate.{row.id}", border=False):
                note = st.text_input("Why", value=mine.note if mine else "", max_chars=LONGEST_NOTE)
                with st.container(horizontal=True):
                    useful = st.form_submit_button("Useful", icon=":material/thumb_up:", key=f"insight.yes.{row.id}")
                    useless = st.form_submit_button(
                        "Not useful", icon=":material/thumb_down:", key=f"insight.no.{row.id}"
                    )
                if useful or useless:
                    said = (row.id, useful, note)
        others = [one for one in detail.feedback if one.note]
        for one in others:
            opinion = "useful" if one.is_useful else "not useful"
            st.caption(f"{formats.escaped(one.actor)}, {opinion}: {formats.escaped(one.note)}")
    return said


def _votes(row: InsightRow, mine: Feedback | None) -> str:
    words = f"{row.useful} useful, {row.useless} not."
    if mine is not None:
        words += f" You said: {'useful' if mine.is_useful else 'not useful'}."
    return words


def draw_empty(*, is_filtered: bool) -> None:
    """Say that nothing was found."""
    if is_filtered:
        states.empty("Nothing of this kind was found", "Choose other kinds above.", icon=":material/filter_alt_off:")
        return
    states.empty(
        "Nothing stands out",
        "Figures are looked at every ten minutes, as soon as two days of them are there. What is unlike all before,"
        " changed for good, or comes to its bounds is told here.",
        icon=":material/check_circle:",
    )
