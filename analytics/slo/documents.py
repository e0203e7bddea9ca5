"""The report of a period as a document: HTML, Markdown, CSV or JSON. The same numbers as on pages and in the API."""

import csv
import enum
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from analytics.core.clock import Interval
from analytics.slo import document_words as words
from analytics.slo.document_html import html_document
from analytics.slo.evaluate import SloStatus
from analytics.slo.period_report import CostlyTime, Line, PeriodReport, TakenOut


class ReportFormat(enum.StrEnum):
    """How a report is written."""

    HTML = "html"
    MARKDOWN = "md"
    CSV = "csv"
    JSON = "json"

    @property
    def media_type(self) -> str:
        """Return the media type of the document."""
        return _MEDIA_TYPES[self]


_MEDIA_TYPES = {
    ReportFormat.HTML: "text/html; charset=utf-8",
    ReportFormat.MARKDOWN: "text/markdown; charset=utf-8",
    ReportFormat.CSV: "text/csv; charset=utf-8",
    ReportFormat.JSON: "application/json",
}


def render(report: PeriodReport, form: ReportFormat) -> str:
    """Return *report* as a document."""
    match form:
        case ReportFormat.HTML:
            return html_document(report)
        case ReportFormat.MARKDOWN:
            return "\n".join(_markdown(report)) + "\n"
        case ReportFormat.CSV:
            return _csv(report)
        case ReportFormat.JSON:
            return json.dumps(report_data(report), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def file_name(report: PeriodReport, form: ReportFormat) -> str:
    """Return what the document is called when it is saved, such as ``slo-report-2026-10-01-to-2026-10-31.html``."""
    first, end = (moment.astimezone(ZoneInfo(report.zone)) for moment in (report.interval.since, report.interval.until))
    last = end - timedelta(microseconds=1)
    return f"slo-report-{first:%Y-%m-%d}-to-{last:%Y-%m-%d}.{form}"


# ---- JSON ----


def report_data(report: PeriodReport) -> dict[str, Any]:
    """Return *report* as plain values of JSON: shares are 0 to 1, times ISO 8601, null means not known."""
    return {
        "period": report.period,
        "zone": report.zone,
        **_ends(report.interval),
        "is_over": report.is_over,
        "made_at": report.made_at.isoformat(),
        "before": _ends(report.before),
        "summary": asdict(report.summary),
        "summary_before": asdict(report.summary_before),
        "objectives": [line_data(line) for line in report.lines],
        "costliest": [_costly_data(item) for item in report.incidents],
        "corrections": [_taken_out_data(item) for item in report.corrections],
        "method": list(words.METHOD),
    }


def line_data(line: Line) -> dict[str, Any]:
    """Return one objective of a report as plain values of JSON."""
    before = line.before
    return status_data(line.status) | {
        "verdict": words.verdict(line.status),
        "pages": line.pages,
        "tickets": line.tickets,
        "sli_before": None if before is None else before.sli,
        "sli_change": line.sli_change,
        "spent_before": _finite(line.spent_before),
    }


def status_data(status: SloStatus) -> dict[str, Any]:
    """Return how an objective stands as plain values of JSON."""
    objective, budget = status.objective, status.budget
    return {
        "id": objective.id,
        "group": status.group_key or None,
        "title": objective.title,
        "service": objective.service,
        "owner": objective.owner,
        "state": status.state.value,
        **_ends(status.interval),
        "target": float(objective.target),
        "sli": status.sli,
        "is_compliant": status.compliant,
        "margin": status.margin,
        "unit": status.unit,
        "good": status.good,
        "bad": status.total - status.good,
        "total": status.total,
        "budget": None
        if budget is None
        else {
            "total": budget.total_events,
            "consumed": budget.consumed_events,
            "remaining": budget.remaining_events,
            "percentage_remaining": _finite(budget.remaining_ratio * 100),
            "minutes": budget.minutes,
            "is_exhausted": budget.is_exhausted,
        },
        "coverage": status.coverage_ratio,
        "corrected_s": status.excluded_s,
        "measured_at": None if status.measured_at is None else status.measured_at.isoformat(),
        "includes_demo": status.includes_demo,
    }


def _costly_data(item: CostlyTime) -> dict[str, Any]:
    return {
        "id": item.objective.id,
        **_ends(item.cost.interval),
        "bad": item.cost.bad,
        "share_of_budget": item.cost.share,
        "minutes": _finite(item.cost.minutes),
        "happened": [{"at": row.at.isoformat(), "kind": row.kind, "title": row.title} for row in item.annotations],
    }


def _taken_out_data(item: TakenOut) -> dict[str, Any]:
    correction = item.correction
    return {
        "id": str(correction.id),
        "objective": correction.slo_id,
        "service": correction.service,
        "reason": correction.reason,
        "created_by": correction.created_by,
        "times": item.times,
        "length_s": item.length.total_seconds(),
    }


def _ends(interval: Interval) -> dict[str, str]:
    return {"since": interval.since.isoformat(), "until": interval.until.isoformat()}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


# ---- CSV ----

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def _csv(report: PeriodReport) -> str:
    rows = [_flat(line_data(line)) for line in report.lines]
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(_COLUMNS)
    for row in rows:
        writer.writerow([_cell(row.get(name)) for name in _COLUMNS])
    return out.getvalue()


_COLUMNS = (
    "id",
    "title",
    "service",
    "owner",
    "since",
    "until",
    "target",
    "sli",
    "verdict",
    "margin",
    "unit",
    "good",
    "bad",
    "total",
    "budget_total",
    "budget_consumed",
    "budget_remaining",
    "budget_percentage_remaining",
    "budget_minutes",
    "budget_is_exhausted",
    "coverage",
    "corrected_s",
    "pages",
    "tickets",
    "sli_before",
    "sli_change",
    "spent_before",
    "includes_demo",
)


def _flat(data: Mapping[str, Any]) -> dict[str, Any]:
    budget = data["budget"] or {}
    return {**data, **{f"budget_{name}": value for name, value in budget.items()}}


def _cell(value: object) -> object:
    """Return what stands in a cell; text that a spreadsheet would take for a formula is quoted."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


# ---- Markdown ----


def _markdown(report: PeriodReport) -> Iterator[str]:
    yield "# Service level report"
    yield f"\n{words.period_text(report)}. {words.headline(report)}"
    for note in words.notes_of(report):
        yield f"\n> {note}"
    yield "\n## Objectives\n"
    head = ("Objective", "Service", "Target", "Actual", "Verdict", "Budget", "Spent", "Left", "Coverage", "Alerts")
    yield from _table((*head, "Against the period before"), [_markdown_row(line) for line in report.lines])
    yield "\n## What cost most\n"
    if report.incidents:
        rows = [words.costly_row(item, report.zone) for item in report.incidents]
        yield from _table(words.COSTLY_HEAD, rows)
    else:
        yield words.NOTHING_COSTLY
    yield "\n## Corrections in force\n"
    if report.corrections:
        yield from _table(words.CORRECTION_HEAD, [words.correction_row(item) for item in report.corrections])
    else:
        yield words.NO_CORRECTIONS
    yield "\n## How these numbers were made\n"
    yield from (f"- {sentence}" for sentence in words.METHOD)


def _markdown_row(line: Line) -> Sequence[str]:
    status = line.status
    return (
        words.name_of(status),
        status.objective.service,
        words.target_text(status.objective.target),
        words.share_text(status.sli, target=status.objective.target),
        words.verdict(status),
        ", ".join(part for part in words.budget_parts(status) if part),
        words.share_text(line.spent),
        ", ".join(part for part in words.left_parts(status) if part),
        words.share_text(status.coverage_ratio),
        words.alerts_text(line),
        words.points_text(line.sli_change),
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield _row(head)
    yield _row(["---"] * len(head))
    yield from (_row(row) for row in rows)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(_markdown_text(cell) for cell in cells)} |"


def _markdown_text(text: str) -> str:
    """Return *text* so that it stays in its cell and means nothing to Markdown."""
    plain = " ".join(text.split())
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>|" else sign for sign in plain)
