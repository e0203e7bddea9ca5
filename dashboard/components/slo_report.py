"""The report of a period: which one, how the objectives did, what cost most, what was taken out, downloads."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from zoneinfo import ZoneInfo

import streamlit as st

from analytics.slo import document_words as words
from analytics.slo.documents import ReportFormat, file_name, render
from analytics.slo.model import CalendarUnit, CalendarWindow
from analytics.slo.period_report import CostlyTime, Line, PeriodReport, TakenOut
from analytics.slo.windows import period_at, previous_period
from dashboard import formats
from dashboard.components import slos, states, tables
from dashboard.components.status import Look
from dashboard.components.tables import Column

_SHOWN = ((CalendarUnit.MONTH, 13), (CalendarUnit.QUARTER, 5), (CalendarUnit.WEEK, 6), (CalendarUnit.YEAR, 2))
_ROLLING = {"7d": "Last 7 days", "30d": "Last 30 days", "90d": "Last 90 days"}
_FORMATS = {
    ReportFormat.HTML: ("HTML", ":material/html:"),
    ReportFormat.CSV: ("CSV", ":material/csv:"),
    ReportFormat.JSON: ("JSON", ":material/data_object:"),
    ReportFormat.MARKDOWN: ("Markdown", ":material/markdown:"),
}
_VERDICTS = {
    True: Look("Met", ":material/check_circle:", "green"),
    False: Look("Missed", ":material/error:", "red"),
    None: Look("Not known", ":material/help:", "gray"),
}


# ---- Which period ----


def periods(now: datetime, zone: str) -> dict[str, str]:
    """Return periods that can be chosen, their titles by name, the present month first."""
    found = {}
    for unit, count in _SHOWN:
        span = period_at(CalendarWindow(unit, zone), now)
        for _ in range(count):
            first = span.since.astimezone(ZoneInfo(zone))
            name, title = _named(unit, first)
            found[name] = f"{title}, to date" if span.until > now else title
            span = previous_period(CalendarWindow(unit, zone), span.since)
    return found | _ROLLING


def _named(unit: CalendarUnit, first: datetime) -> tuple[str, str]:
    match unit:
        case CalendarUnit.MONTH:
            return f"{first:%Y-%m}", f"{first:%B %Y}"
        case CalendarUnit.QUARTER:
            quarter = (first.month + 2) // 3
            return f"{first:%Y}-Q{quarter}", f"Quarter {quarter} of {first:%Y}"
        case CalendarUnit.WEEK:
            return f"{first:%G-W%V}", f"Week {first:%V} of {first:%G}"
        case _:
            return f"{first:%Y}", f"Year {first:%Y}"


def neighbour(name: str, names: Sequence[str], step: int) -> str | None:
    """Return the name *step* places after *name* among those of the same kind, or None."""
    alike = [other for other in names if _kind(other) == _kind(name) and other not in _ROLLING]
    place = alike.index(name) + step if name in alike else -1
    return alike[place] if 0 <= place < len(alike) else None


def _kind(name: str) -> str:
    return "".join("0" if character.isdigit() else character for character in name)


# ---- How it went ----


def draw_verdict(report: PeriodReport) -> None:
    """Draw the outcome in a sentence and in four figures, each against the period before."""
    missed = [line.status.objective.title for line in report.lines if line.status.compliant is False]
    names = f" {', '.join(formats.escaped(name) for name in missed)}." if missed else ""
    if not report.lines or report.summary.unknown == report.summary.total:
        st.info("Too little was measured in this period to say anything of its objectives.", icon=":material/help:")
    elif missed:
        st.error(f"**{words.headline(report)}** Missed:{names}", icon=":material/error:")
    elif report.summary.unknown:
        st.warning(f"**{words.headline(report)}**", icon=":material/help:")
    else:
        st.success(f"**{words.headline(report)}**", icon=":material/check_circle:")
    now, before = report.summary, report.summary_before
    is_known = before.unknown < before.total
    with st.grid(4, min_column_width=150, key="slo_report.summary"):
        _count("Met", now.compliant, before.compliant if is_known else None, is_good=True, of=now.total)
        _count("Missed", now.violated, before.violated if is_known else None)
        _count("Not known", now.unknown, before.unknown if is_known else None)
        _count("Budgets used up", now.budgets_exhausted, before.budgets_exhausted if is_known else None)
    span = words.span_text(report.before, report.zone)
    against = (
        f"Arrows compare with the period before, {span}."
        if is_known
        else f"Too little was measured in the period before, {span}, to compare with it."
    )
    st.caption(" ".join([against, *words.notes_of(report)]))


def _count(label: str, value: int, before: int | None, *, is_good: bool = False, of: int | None = None) -> None:
    change = None if before is None or before == value else value - before
    shown = f"{value:,}" if of is None else f"{value:,} of {of:,}"
    st.metric(label, shown, change, delta_color="normal" if is_good else "inverse", border=True)


_LINES: list[Column[Line]] = [
    Column("Objective", lambda line: line.status.objective.title),
    Column("Verdict", lambda line: _VERDICTS[line.status.compliant], "state", width="small"),
    Column("Actual", lambda line: slos.indicator_words(line.status), width="small", help="Share of good events."),
    Column("Target", lambda line: slos.target_words(line.status.objective), width="small"),
    Column("Margin", lambda line: _points(line.status.margin), width="small", help="Actual minus target, in points."),
    Column("Course", lambda line: [value for _, value in line.status.series], "trend", width="small"),
    Column("Change", lambda line: _points(line.sli_change), width="small", help="Since the period before, in points."),
    Column("Budget left", lambda line: slos.budget_words(line.status), width="small"),
    Column("Of", lambda line: " = ".join(filter(None, words.budget_parts(line.status))), help="The whole budget."),
    Column("Spent before", lambda line: _spent(line.spent_before), width="small", help="In the period before."),
    Column("Pages", lambda line: line.pages, "number", width="small"),
    Column("Tickets", lambda line: line.tickets, "number", width="small"),
    Column(
        "Coverage",
        lambda line: line.status.coverage_ratio,
        "progress",
        width="small",
        help="Share of the period that was measured; below 90 % nothing is claimed.",
    ),
    Column("Service", lambda line: line.status.objective.service, width="small"),
]


def draw_lines(lines: Sequence[Line]) -> Line | None:
    """Draw every objective, least budget left first; return the one that was opened just now."""
    row = tables.table(
        lines,
        _LINES,
        alt="The objectives in this period, least budget left first: verdict, indicator, budget, alerts, coverage",
        key="slo_report.lines",
        can_open=True,
        height="content",
    )
    return None if row is None else lines[row]


def _points(change: float | None) -> str | None:
    return None if change is None else words.points_text(change).removesuffix(" points")


def _spent(share: float | None) -> str | None:
    return None if share is None else formats.percent(share)


# ---- What cost most, what was taken out ----

_COSTLY: list[Column[CostlyTime]] = [
    Column("Began", lambda item: item.cost.interval.since, "moment"),
    Column("Lasted", lambda item: formats.duration(item.cost.interval.length), width="small"),
    Column("Objective", lambda item: item.objective.title),
    Column("Of budget", lambda item: item.cost.share, "ratio", width="small"),
    Column("As an outage", lambda item: words.minutes_text(item.cost.minutes), width="small"),
    Column("Bad", lambda item: item.cost.bad, "number", width="small"),
    Column(
        "What happened then",
        lambda item: "; ".join(f"{row.kind}: {row.title}" for row in item.annotations) or None,
        width="large",
    ),
]
_TAKEN_OUT: list[Column[TakenOut]] = [
    Column("Reason", lambda item: item.correction.reason),
    Column("Concerns", lambda item: words.correction_row(item)[1]),
    Column("Taken out", lambda item: formats.duration(item.length), width="small"),
    Column("Times", lambda item: item.times, "number", width="small"),
    Column("Entered by", lambda item: item.correction.created_by),
    Column("On", lambda item: item.correction.created_at, "moment"),
]


def draw_costly(report: PeriodReport) -> None:
    """Draw the stretches of time that cost most."""
    st.header("What cost most", anchor=False)
    incidents = report.incidents
    if all(line.status.sli is None for line in report.lines):
        states.empty("Not known", "Nothing was measured in this period.", icon=":material/help:")
        return
    if not incidents:
        states.empty("Nothing", words.NOTHING_COSTLY, icon=":material/savings:")
        return
    tables.table(
        incidents,
        _COSTLY,
        alt="The stretches of time that cost most of a budget, dearest first",
        key="slo_report.costly",
        height="content",
    )


def draw_taken_out(corrections: Sequence[TakenOut]) -> None:
    """Draw the corrections in force."""
    st.header("What does not count", anchor=False)
    if not corrections:
        st.caption(f"{words.NO_CORRECTIONS} Corrections are added on an objective's page.")
        return
    tables.table(
        corrections,
        _TAKEN_OUT,
        alt="Corrections in force and how much time they take out",
        key="slo_report.corrections",
        height="content",
    )


def draw_method() -> None:
    """Draw how the numbers were made."""
    with st.expander("How the numbers are made", icon=":material/calculate:"):
        st.markdown("\n".join(f"- {sentence}" for sentence in words.METHOD))


def draw_downloads(report: PeriodReport) -> None:
    """Draw a button for each form of the report; it is written when it is clicked."""
    with st.container(horizontal=True, gap="small", width="content", key="slo_report.downloads"):
        for form, (label, icon) in _FORMATS.items():
            make: Callable[[], str] = partial(render, report, form)
            st.download_button(
                label,
                data=make,
                file_name=file_name(report, form),
                mime=form.media_type,
                icon=icon,
                on_click="ignore",
                key=f"slo_report.{form}",
            )
