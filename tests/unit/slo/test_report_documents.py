"""Reports as documents: what they say, that they stand alone, and that no text gets out of its place."""

import csv
import io
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html.parser import HTMLParser

import pytest

from analytics.core.clock import Interval
from analytics.core.ids import new_id
from analytics.slo.corrections import Correction
from analytics.slo.documents import ReportFormat, file_name, render
from analytics.slo.evaluate import SloStatus
from analytics.slo.explain import Cost
from analytics.slo.math import error_budget
from analytics.slo.model import Objective, PromEvents, SloState
from analytics.slo.period_report import CostlyTime, Line, PeriodReport, TakenOut
from analytics.slo.report import SloSummary
from analytics.store.queries.annotations import AnnotationRow

OCTOBER = Interval(datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))
SEPTEMBER = Interval(datetime(2026, 9, 1, tzinfo=UTC), OCTOBER.since)
EVIL = '<script>alert("x")</script> | *bold*'


def objective(slo_id: str = "checkout", title: str = "Checkout", target: str = "0.999") -> Objective:
    indicator = PromEvents(total="sum(increase(a[{window}]))", bad="sum(increase(b[{window}]))")
    return Objective(slo_id, title, "shop", Decimal(target), indicator, "Orders that went through.")


def status(of: Objective, good: float, total: float, *, compliant: bool | None) -> SloStatus:
    share = good / total if total else None
    budget = error_budget(good, total, budget_ratio=of.budget_ratio, period=OCTOBER.length)
    return SloStatus(
        objective=of,
        sli=share,
        compliant=compliant,
        margin=None if share is None else share - float(of.target),
        budget=budget,
        burn_rates={},
        state=SloState.HEALTHY if compliant else SloState.NO_DATA,
        coverage_ratio=0.985,
        good=good,
        total=total,
        measured_at=OCTOBER.until,
        includes_demo=False,
        series=[(OCTOBER.since, 1.0), (OCTOBER.since + timedelta(days=1), 0.9), (OCTOBER.since, None)],
        exhausted_in=None,
        interval=OCTOBER,
    )


@pytest.fixture
def report() -> PeriodReport:
    kept, quiet = objective(), objective("quiet", "Quiet")
    line = Line(status(kept, 99_940, 100_000, compliant=True), status(kept, 99_990, 100_000, compliant=True), 2, 0)
    happened = AnnotationRow(new_id(), OCTOBER.since, None, "deploy", "v2", "shop", "live", None)
    hours = Interval(datetime(2026, 10, 4, 9, tzinfo=UTC), datetime(2026, 10, 4, 11, tzinfo=UTC))
    correction = Correction(
        id=new_id(),
        slo_id=None,
        service="shop",
        starts_at=OCTOBER.since,
        ends_at=OCTOBER.since + timedelta(hours=2),
        rrule="FREQ=WEEKLY",
        zone="UTC",
        reason="Maintenance",
        created_at=OCTOBER.since,
        created_by="operator@example.org",
        withdrawn_at=None,
        withdrawn_by=None,
        origin="live",
    )
    return PeriodReport(
        period="2026-10",
        zone="UTC",
        interval=OCTOBER,
        made_at=datetime(2026, 11, 2, 8, tzinfo=UTC),
        before=SEPTEMBER,
        summary=SloSummary(total=2, compliant=1, violated=0, unknown=1, budgets_exhausted=0),
        summary_before=SloSummary(total=2, compliant=1, violated=0, unknown=1, budgets_exhausted=0),
        lines=[line, Line(status(quiet, 0, 0, compliant=None), None, 0, 0)],
        incidents=[CostlyTime(kept, Cost(hours, 45.0, 0.45, 20.088), [happened])],
        corrections=[TakenOut(correction, 4, timedelta(hours=8))],
    )


class Reader(HTMLParser):
    """Which tags there are, whether they close, what they say."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, _: object) -> None:
        self.tags.append(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, _: object) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    assert reader.open == []
    return reader


def test_the_html_says_what_each_objective_came_to(report: PeriodReport) -> None:
    text = " ".join(read(render(report, ReportFormat.HTML)).text.split())
    assert "2026-10-01 to 2026-10-31 (UTC)" in text
    assert "1 of 2 objectives met, 0 missed, of 1 too little is known." in text
    # 0.1 % of 100,000 events, 0.1 % of 44,640 minutes; 60 of 100 spent; 10 of 100 the month before.
    for part in ("99.9 %", "99.94 %", "100 events", "44.6 min", "60 %", "before: 10 %", "98.5 %", "2 pages"):
        assert part in text, part
    assert "\N{MINUS SIGN}0.05 points" in text
    assert "2026-10-04 09:00 to 11:00" in text
    assert "deploy: v2" in text
    assert "8 h, 4 times" in text


def test_the_html_needs_nothing_but_itself(report: PeriodReport) -> None:
    html = render(report, ReportFormat.HTML)
    assert not set(read(html).tags) & {"script", "link", "img", "iframe", "object", "base", "form"}
    assert not re.search(r"https?:|url\(|@import|\bsrc=|\bhref=", html)


def test_an_objective_without_events_is_said_to_have_none(report: PeriodReport) -> None:
    [_, line] = json.loads(render(report, ReportFormat.JSON))["objectives"]
    assert (line["verdict"], line["sli"], line["budget"], line["is_compliant"]) == ("no data", None, None, None)
    assert "no data" in read(render(report, ReportFormat.HTML)).text


def test_titles_stay_text_in_html_and_markdown(report: PeriodReport) -> None:
    evil = objective(title=EVIL)
    report = replace(report, lines=[Line(status(evil, 9, 10, compliant=False), None, 0, 0)])
    html = render(report, ReportFormat.HTML)
    assert "<script" not in html
    assert EVIL in read(html).text
    [row] = [line for line in render(report, ReportFormat.MARKDOWN).splitlines() if "script" in line]
    assert row.startswith('| \\<script\\>alert("x")\\</script\\> \\| \\*bold\\* | shop |')


@pytest.mark.parametrize("title", ["=1+1", "@sum", "-2", "+2"])
def test_no_cell_of_the_csv_is_a_formula(report: PeriodReport, title: str) -> None:
    report = replace(report, lines=[Line(status(objective(title=title), 9, 10, compliant=False), None, 0, 0)])
    [row] = csv.DictReader(io.StringIO(render(report, ReportFormat.CSV)))
    assert row["title"] == f"'{title}"


def test_the_csv_has_plain_numbers_and_empty_cells_for_what_is_not_known(report: PeriodReport) -> None:
    kept, quiet = csv.DictReader(io.StringIO(render(report, ReportFormat.CSV)))
    assert (float(kept["sli"]), float(kept["budget_remaining"])) == (0.9994, pytest.approx(40))
    assert (kept["budget_is_exhausted"], kept["pages"]) == ("false", "2")
    assert float(kept["spent_before"]) == pytest.approx(0.1)
    assert (quiet["sli"], quiet["budget_total"], quiet["verdict"]) == ("", "", "no data")


def test_a_budget_of_nothing_that_was_overspent_has_a_json_form(report: PeriodReport) -> None:
    never = objective(target="1")
    report = replace(report, lines=[Line(status(never, 9, 10, compliant=False), None, 0, 0)])
    [line] = json.loads(render(report, ReportFormat.JSON))["objectives"]
    assert line["budget"]["percentage_remaining"] is None
    assert line["budget"]["is_exhausted"] is True
    for form in ReportFormat:
        assert not re.search(r"\b(nan|inf)\b", render(report, form), re.IGNORECASE)


def test_a_period_that_is_not_over_says_up_to_when_it_counts(report: PeriodReport) -> None:
    report = replace(report, made_at=datetime(2026, 10, 20, 8, 30, tzinfo=UTC))
    for form in (ReportFormat.HTML, ReportFormat.MARKDOWN):
        assert "The period is not over: numbers are those up to 2026-10-20 08:30." in render(report, form)


def test_a_document_is_named_by_the_days_it_is_about(report: PeriodReport) -> None:
    assert file_name(report, ReportFormat.HTML) == "slo-report-2026-10-01-to-2026-10-31.html"


def test_markdown_tables_have_as_many_cells_as_columns(report: PeriodReport) -> None:
    rows = [line for line in render(report, ReportFormat.MARKDOWN).splitlines() if line.startswith("|")]
    widths = [len(re.findall(r"(?<!\\)\|", row)) for row in rows]
    assert widths == [12] * 4 + [7] * 3 + [5] * 3
