"""The performance score: what it is, where its points went, and what to do about it."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from analytics.core.clock import utc_now
from analytics.kpi import KpiReading
from analytics.kpi.overview import SCORE_NAME, SuccessMetric
from analytics.kpi.recommendations import Recommendation
from analytics.kpi.score import GOOD, HEADROOM, LEAST_COVERAGE, LEAST_SAMPLES, TARGET, WARNING, Part, Score
from dashboard import formats
from dashboard.auth.viewer import current_viewer
from dashboard.components import charts, sparks, states, tables
from dashboard.components.cards import sparkline, target_words
from dashboard.components.charts import Chart, Mark, Series, Threshold, Tone
from dashboard.components.navigation import go
from dashboard.components.status import KPI_LOOKS, Look, look_of
from dashboard.components.tables import Column
from dashboard.filters import Filters
from dashboard.links import PAGES, page_of, query

_MOST_LOSSES = 5
_MOST_ADVICE = 3
_MET = Look("Met", ":material/check_circle:", "green")
_MISSED = Look("Missed", ":material/error:", "red")
_UNKNOWN = Look("No data", ":material/help:", "gray")


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of where the points went: a figure, the limit, or the sum."""

    title: str
    part: Part | None
    lost: float | None


def score_text(value: float | None) -> str:
    """Return the score as people read it, with one decimal."""
    return formats.NO_DATA if value is None else f"{value:.1f}"


def score_card(score: Score, course: KpiReading | None, filters: Filters) -> None:
    """Draw the score with its trend; its last line links to where the points went.

    Args:
        score: Over the chosen range.
        course: The samples of it that were kept, or None.
        filters: What the reader chose.
    """
    look = look_of(KPI_LOOKS, score.state)
    with st.container(border=True, height="stretch", gap="xxsmall", key="score.card"):
        st.metric(
            "Performance score",
            score_text(score.value),
            help=(
                f"0 to 100, from {formats.plural(_known(score), 'figure')} over the {filters.span.words};"
                " the line shows the score over the hour before each point."
            ),
        )
        if course is not None:
            sparks.draw(sparkline(course.series), title="Performance score", unit="points")
        st.space("stretch")
        st.page_link(
            str(page_of("overview").path),
            label=look.text,
            icon=look.icon,
            help="Open the score: every figure with its points, what to do, and how it is computed.",
            query_params=query(filters, kpi=SCORE_NAME),
        )
        st.caption(_small_print(score))


def head(score: Score, course: KpiReading | None, filters: Filters, marks: Sequence[Mark] = ()) -> None:
    """Draw the course of the score against its bounds, and what it is over the chosen range."""
    look = look_of(KPI_LOOKS, score.state)
    st.header(f"Performance score {look.badge}", anchor=False)
    left, right = st.columns([3, 1], gap="medium")
    with left:
        if course is not None:
            charts.draw(_chart(course, filters, marks), key="score.chart")
            st.caption("Each point is the score over the hour before it, as it was sampled at that time.")
    with right:
        st.metric(f"Over the {filters.span.words}", score_text(score.value), border=True)
        limit = formats.DASH if score.limited_by is None else f"{score.limit_lost:.1f} points"
        st.table(
            {
                "Mean of its figures": score_text(score.mean),
                "Taken by the limit": limit,
                "Measured, by weight": formats.percent(score.coverage, places=0),
                "Without source": formats.percent(score.unsourced, places=0),
                "Figures with data": f"{_known(score)} of {len(score.parts)}",
                "Samples": formats.number(score.samples),
            },
            border="horizontal",
        )
        if score.value is None:
            st.caption(_why_no_score(score))


def losses(score: Score, filters: Filters) -> None:
    """Draw the few figures that cost most points; a click opens one."""
    st.markdown("**Where the points went**")
    if score.value is None:
        st.caption(_why_no_score(score))
        return
    lines = [line for line in _lines(score) if line.lost is not None and line.lost > 0]
    if not lines:
        st.caption(":material/check_circle: Nothing is lost.")
        return
    shown = sorted(lines, key=lambda line: -(line.lost or 0.0))[:_MOST_LOSSES]
    row = tables.table(
        shown,
        [
            Column("Figure", lambda line: line.title),
            Column("Lost", lambda line: _points_text(line.lost), help="Points of the score", width="small"),
            Column("State", lambda line: _state(line.part), "state"),
        ],
        alt="The figures that cost the score most, with the points they cost and their state",
        key="score.losses",
        can_open=True,
        height="content",
    )
    if row is not None:
        part = shown[row].part or score.limited_by
        go("overview", filters, kpi=part.kpi.id if part is not None else SCORE_NAME)


def advice_in_short(items: Sequence[Recommendation], filters: Filters) -> None:
    """Draw what brings most, each in two lines."""
    st.markdown("**What to do**")
    if not items:
        st.caption(":material/check_circle: Every figure with data is on target.")
        return
    for item in items[:_MOST_ADVICE]:
        _advice_line(item, filters)
    if len(items) > _MOST_ADVICE:
        st.page_link(
            str(page_of("overview").path),
            label=f"{len(items) - _MOST_ADVICE} more, and their causes",
            icon=":material/arrow_forward:",
            query_params=query(filters, kpi=SCORE_NAME),
        )


def advice(items: Sequence[Recommendation], filters: Filters) -> None:
    """Draw everything there is to do, what brings most first."""
    if not items:
        states.empty(
            "Nothing to do",
            "Every figure with data is on target, and nothing stands out.",
            icon=":material/check_circle:",
        )
        return
    for item in items:
        _advice_line(item, filters)


def parts_table(score: Score, filters: Filters) -> None:
    """Draw every part of the score with its points and what it costs; the lines add up to 100 less the score."""
    lines = _lines(score)
    row = tables.table(
        lines,
        [
            Column("Figure", lambda line: line.title),
            Column("State", lambda line: _state(line.part), "state", width="small"),
            Column("Value", lambda line: _value(line.part), width="small"),
            Column("Target", lambda line: None if line.part is None else target_words(line.part.kpi), width="small"),
            Column("Points", lambda line: _points_of(line.part), "number", width="small", help="0 to 100"),
            Column(
                "Weight",
                lambda line: line.part.share if line.part is not None and line.part.points is not None else None,
                "ratio",
                width="small",
                help="Share of the weight of all figures with data",
            ),
            Column("Lost", lambda line: _points_text(line.lost), width="small", help="Points of the score"),
            Column("Samples", lambda line: None if line.part is None else line.part.reading.samples, "number"),
        ],
        alt="Every figure of the score with its value, points, weight and the points it costs",
        key="score.parts",
        can_open=True,
        height="content",
    )
    if row is not None and lines[row].part is not None:
        go("overview", filters, kpi=lines[row].part.kpi.id)  # type: ignore[union-attr]


def success_table(items: Sequence[SuccessMetric]) -> None:
    """Draw the measures of success with what counts as such."""
    tables.table(
        items,
        [
            Column("Measure", lambda item: item.title),
            Column(
                "State", lambda item: _UNKNOWN if item.is_met is None else _MET if item.is_met else _MISSED, "state"
            ),
            Column("Value", lambda item: formats.quantity(item.value, item.unit)),
            Column("Success", _success_words),
            Column("Samples", lambda item: item.samples, "number"),
            Column("What it is", lambda item: item.doc, width="large"),
        ],
        alt="The measures of success with their values and what counts as success",
        key="score.success",
        height="content",
    )


def formula() -> None:
    """Say how the score is computed."""
    st.markdown(
        f"Each figure with thresholds earns points on a line through them: **100** at its best value, **{TARGET:.0f}**"
        f" at its target, **{GOOD:.0f}** where good ends, **{WARNING:.0f}** where a warning ends, and **0** twice as"
        " far from the target as that. The score is their mean by weight over the figures that have data. It is at"
        f" most {HEADROOM:.0f} above the worst of them, so that one broken part is not averaged away; what that takes"
        f" is the line “Limit”. A figure without data, or on fewer than {LEAST_SAMPLES} samples, takes no part. With"
        " data on less than"
        f" {formats.percent(LEAST_COVERAGE)} of the weight of the figures whose source is there, there is no score."
    )


def _advice_line(item: Recommendation, filters: Filters) -> None:
    spec = next((page for page in PAGES if page.key == item.page), page_of("overview"))
    with st.container(gap=None):
        with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
            if item.gain is not None:
                st.markdown(f":green-badge[+{_points_text(item.gain)}]", width="content", help="Points of the score")
            title = formats.escaped(item.title)
            if current_viewer().role >= spec.role:
                st.page_link(str(spec.path), label=title, query_params=query(filters, **item.params))
            else:
                st.markdown(title, width="content")
        st.caption(formats.escaped(item.evidence))


def _lines(score: Score) -> list[_Line]:
    """Return what each figure costs, the limit after the last that costs something, and the sum."""
    lines = [_Line(part.kpi.title, part, part.lost if part.points is not None else None) for part in score.parts]
    if score.limited_by is not None:
        known = _known(score)
        title = f"Limit: {HEADROOM:.0f} above {score.limited_by.kpi.title}"
        lines = [*lines[:known], _Line(title, None, score.limit_lost), *lines[known:]]
    return lines


def _known(score: Score) -> int:
    return sum(part.points is not None for part in score.parts)


def _points_of(part: Part | None) -> float | None:
    return None if part is None or part.points is None else round(part.points, 1)


def _points_text(points: float | None) -> str | None:
    return None if points is None else f"{points:.1f}"


def _value(part: Part | None) -> str | None:
    return None if part is None else formats.quantity(part.reading.value, part.kpi.unit)


def _state(part: Part | None) -> Look | None:
    return None if part is None else look_of(KPI_LOOKS, part.reading.state)


def _success_words(item: SuccessMetric) -> str:
    sign = "within" if item.unit == "s" else "at least" if item.id == "score_steady" else "above"
    return f"{sign} {formats.quantity(item.target, item.unit)}"


def _chart(course: KpiReading, filters: Filters, marks: Sequence[Mark]) -> Chart:
    kpi = course.kpi
    bounds: tuple[tuple[float | None, str, Tone], ...] = (
        (kpi.target, "Target", "target"),
        (kpi.good, "Good to here", "note"),
        (kpi.warning, "Warning to here", "warning"),
    )
    known = [value for _, value in course.series if value is not None]
    now = score_text(known[-1] if known else None)
    return Chart(
        alt=f"The performance score over the {filters.span.words}; last {now}",
        unit="points",
        series=[Series("Performance score", course.series)],
        interval=course.interval,
        thresholds=[Threshold(value, label, tone) for value, label, tone in bounds if value is not None],
        marks=marks,
        height=320,
    )


def _why_no_score(score: Score) -> str:
    return (
        f"There is no score: by weight, {formats.percent(score.coverage, places=0)} of the figures whose source is"
        f" there have enough data; it takes {formats.percent(LEAST_COVERAGE, places=0)}."
    )


def _small_print(score: Score) -> str:
    parts = [f"Target ≥ {TARGET:.0f}", f"{formats.percent(score.coverage, places=0)} measured"]
    if score.unsourced:
        parts.append(f"{formats.percent(score.unsourced, places=0)} has no source")
    if score.measured_at is not None:
        parts.append(formats.age(score.measured_at, now=utc_now()))
    return " · ".join(parts)
