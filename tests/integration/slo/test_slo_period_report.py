"""The report of a period against a real ledger: what each objective came to, what cost most, and the month before."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from analytics.core.clock import Interval
from analytics.core.errors import InputError
from analytics.core.ids import new_id
from analytics.slo import corrections, ledger
from analytics.slo.corrections import NewCorrection
from analytics.slo.model import BUCKET
from analytics.slo.period_report import PeriodReport, period_report
from analytics.store.queries.annotations import NewAnnotation, add_annotation
from analytics.store.tables import SloAlert

pytestmark = pytest.mark.integration
API = "api_availability"
HOUR = timedelta(hours=1)
FEBRUARY, MARCH = datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)
NOON = datetime(2026, 3, 15, 12, tzinfo=UTC)


_FILL = text("""
    INSERT INTO slo_bucket_5m (slo_id, group_key, bucket_start, good, total, measured_s, origin)
    SELECT :slo_id, '', start, 100 - :bad, 100, 300, 'live'
    FROM generate_series(CAST(:since AS timestamptz), CAST(:last AS timestamptz), '5 minutes') AS start
    ON CONFLICT (slo_id, group_key, bucket_start) DO UPDATE SET good = excluded.good
""")


def fill(session: Session, since: datetime, until: datetime, *, bad: float = 0) -> None:
    session.execute(_FILL, {"slo_id": API, "since": since, "last": until - BUCKET, "bad": bad})
    ledger.roll_up(session, [API], since=since, until=until)


@pytest.fixture
def report(session: Session) -> PeriodReport:
    """February without a fault; March to the 15th at noon, with an outage of two hours and a planned one."""
    fill(session, FEBRUARY, NOON)
    fill(session, datetime(2026, 3, 3, 9, tzinfo=UTC), datetime(2026, 3, 3, 11, tzinfo=UTC), bad=50)
    fill(session, datetime(2026, 3, 8, 2, tzinfo=UTC), datetime(2026, 3, 8, 4, tzinfo=UTC), bad=100)
    planned = NewCorrection(
        datetime(2026, 3, 8, 2, tzinfo=UTC), datetime(2026, 3, 8, 4, tzinfo=UTC), "Moved", service="api"
    )
    corrections.add(session, planned, actor="tests")
    for title, service in (("v2", "api"), ("v7", "agents")):
        new = NewAnnotation(datetime(2026, 3, 3, 8, 50, tzinfo=UTC), title, kind="deploy", service=service)
        add_annotation(session, new, actor="tests")
    return period_report(session, now=NOON, ids=[API])


def test_a_month_is_counted_to_date_and_set_against_the_whole_month_before(report: PeriodReport) -> None:
    [line] = report.lines
    # 24 buckets of 50 bad ones; of 14.5 days two hours are taken out.
    assert (line.status.total - line.status.good, line.status.total) == (1200, (14.5 * 288 - 24) * 100)
    assert line.before is not None
    assert (line.before.sli, line.spent_before) == (1.0, 0.0)
    assert report.before == Interval(FEBRUARY, MARCH)
    assert not report.is_over
    assert (report.summary.violated, report.summary_before.compliant) == (1, 1)


def test_what_cost_most_and_what_was_taken_out_are_told(report: PeriodReport) -> None:
    [costly] = report.incidents
    assert costly.cost.interval == Interval(datetime(2026, 3, 3, 9, tzinfo=UTC), datetime(2026, 3, 3, 11, tzinfo=UTC))
    assert costly.cost.bad == 1200
    assert [row.title for row in costly.annotations] == ["v2"]
    [taken] = report.corrections
    assert (taken.correction.reason, taken.times, taken.length) == ("Moved", 1, 2 * HOUR)


def test_pages_and_tickets_that_overlap_are_one(session: Session) -> None:
    day = datetime(2026, 3, 3, tzinfo=UTC)
    cases: dict[str, tuple[tuple[int, int], list[tuple[str, int, int, int | None]]]] = {
        API: ((1, 0), [("page", 1, 9, 10), ("page", 2, 9, 12), ("page", 1, 11, 13)]),
        "api_latency_p95": ((2, 1), [("page", 1, 9, 10), ("page", 1, 11, 12), ("ticket", 3, 9, 12)]),
        "api_latency_p99": ((0, 1), [("ticket", 3, 9, None), ("ticket", 4, 15, 16)]),
    }
    for slo_id, (_, alerts) in cases.items():
        for severity, tier, since, until in alerts:
            alert = SloAlert(
                id=new_id(),
                slo_id=slo_id,
                kind="burn",
                severity=severity,
                tier=tier,
                started_at=day + since * HOUR,
                ended_at=None if until is None else day + until * HOUR,
            )
            session.add(alert)
    session.flush()
    lines = period_report(session, now=NOON, ids=list(cases)).lines
    assert {line.status.objective.id: (line.pages, line.tickets) for line in lines} == {
        slo_id: counted for slo_id, (counted, _) in cases.items()
    }


def test_a_month_begins_at_midnight_of_its_zone(session: Session) -> None:
    fill(session, FEBRUARY, NOON)
    report = period_report(session, now=NOON, zone="Europe/Berlin", period="2026-02", ids=[API])
    # The hour of the 31st of January (UTC) that is February in Berlin was not measured.
    assert report.interval.since == FEBRUARY - HOUR
    assert report.lines[0].status.total == (28 * 24 - 1) * 1200
    assert report.before.until == report.interval.since


def test_a_period_that_was_hardly_measured_has_no_verdict_and_no_trend(session: Session) -> None:
    fill(session, NOON - HOUR, NOON)
    [line] = period_report(session, now=NOON, period="7d", ids=[API]).lines
    assert (line.status.compliant, line.before, line.sli_change) == (None, None, None)


def test_a_period_that_has_not_begun_is_refused(session: Session) -> None:
    with pytest.raises(InputError, match="begins on 2026-04-01; there is nothing to report yet"):
        period_report(session, now=NOON, period="2026-04")
