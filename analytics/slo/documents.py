"""The report of a period as a document: HTML, Markdown, CSV or JSON. The same numbers as on pages and in the API."""

import enum

from analytics.slo.period_report import PeriodReport


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
    raise NotImplementedError


def file_name(report: PeriodReport, form: ReportFormat) -> str:
    """Return what the document is called when it is saved, such as ``slo-report-2026-10-01-to-2026-10-31.html``."""
    raise NotImplementedError
