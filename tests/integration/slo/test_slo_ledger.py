"""The ledger against a real PostgreSQL: late data, roll-up, demo history, the report."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, event, select, text
from sqlalchemy.orm import Session

from analytics.slo import SloState, ledger, objective, objectives, slo_report
from analytics.slo.ledger import Bucket
from analytics.slo.model import BUCKET
from analytics.store.tables import SloBucket1h, SloBucket5m

pytestmark = pytest.mark.integration
NOON = datetime(2026, 3, 15, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
API = "api_availability"


def bucket(start: datetime, good: float, total: float, measured_s: float = 300) -> Bucket:
    return Bucket(API, start, good, total, measured_s)


def hours(session: Session) -> list[tuple[datetime, float, float, float, float]]:
    rows = session.execute(
        select(
            SloBucket1h.bucket_start,
            SloBucket1h.good,
            SloBucket1h.total,
            SloBucket1h.measured_s,
            SloBucket1h.demo_total,
        ).order_by(SloBucket1h.bucket_start)
    )
    return [(row[0], row[1], row[2], row[3], row[4]) for row in rows]


def test_late_data_replaces_a_bucket_and_the_hour_follows(session: Session) -> None:
    ledger.upsert(session, [bucket(NOON, 9, 10), bucket(NOON + BUCKET, 10, 10)])
    ledger.roll_up(session, [API], since=NOON, until=NOON + 2 * BUCKET)
    ledger.upsert(session, [bucket(NOON, 18, 20)])
    ledger.roll_up(session, [API], since=NOON, until=NOON + BUCKET)
    assert hours(session) == [(NOON, 28, 30, 600, 0)]


def test_live_buckets_do_not_write_over_demo_history(session: Session) -> None:
    ledger.upsert(session, [bucket(NOON, 1, 100)], origin="demo")
    assert ledger.upsert(session, [bucket(NOON, 5, 5), bucket(NOON + BUCKET, 7, 7)]) == 1
    ledger.roll_up(session, [API], since=NOON, until=NOON + HOUR)
    assert session.execute(select(SloBucket5m.total, SloBucket5m.origin).order_by(SloBucket5m.bucket_start)).all() == [
        (100, "demo"),
        (7, "live"),
    ]
    assert hours(session) == [(NOON, 8, 107, 600, 100)]


def test_an_hour_without_buckets_left_goes(session: Session) -> None:
    ledger.upsert(session, [bucket(NOON, 1, 1), bucket(NOON + HOUR, 1, 1)])
    ledger.roll_up(session, [API], since=NOON, until=NOON + 2 * HOUR)
    assert ledger.prune(session, [objective(API)], now=NOON + HOUR + 90 * DAY) == 1
    ledger.drop_empty_hours(session, [API], since=NOON, until=NOON + 2 * HOUR)
    assert [row[0] for row in hours(session)] == [NOON + HOUR]


def test_nothing_to_write_is_nothing_written(session: Session) -> None:
    assert ledger.upsert(session, []) == 0


def fill(session: Session, *, since: datetime, until: datetime, total: float = 100, bad: float = 0) -> None:
    session.execute(
        text(
            "INSERT INTO slo_bucket_5m (slo_id, bucket_start, good, total, measured_s)"
            " SELECT :id, at, :good, :total, 300"
            " FROM generate_series(CAST(:since AS timestamptz), :until, interval '5 minutes') AS at"
            " ON CONFLICT (slo_id, group_key, bucket_start) DO UPDATE SET good = excluded.good, total = excluded.total"
        ),
        {"id": API, "good": total - bad, "total": total, "since": since, "until": until - BUCKET},
    )
    ledger.roll_up(session, [API], since=since, until=until)


def test_a_month_is_reported_from_its_hours(session: Session) -> None:
    """Hand-computed: 8,640 buckets of 100 events, of which 12 have 30 bad ones: 360 bad of 864 allowed."""
    fill(session, since=NOON - 30 * DAY, until=NOON)
    fill(session, since=NOON - 10 * DAY, until=NOON - 10 * DAY + HOUR, bad=30)
    report = slo_report(session, now=NOON)
    status = next(item for item in report.statuses if item.objective.id == API)
    assert (status.good, status.total) == (863_640, 864_000)
    assert status.sli == pytest.approx(1 - 360 / 864_000)
    assert status.budget is not None
    assert status.budget.total_events == pytest.approx(864)
    assert status.budget.remaining_ratio == pytest.approx(1 - 360 / 864)
    assert status.budget.minutes == pytest.approx(43.2)
    assert status.state is SloState.HEALTHY
    assert status.coverage_ratio == 1
    assert status.measured_at == NOON
    assert not status.includes_demo
    assert status.burn_rates == dict.fromkeys(status.burn_rates, 0)
    assert len(status.series) == 30
    assert [share for _, share in status.series if share != 1.0] == [pytest.approx(1 - 360 / 28_800)]
    assert report.summary.total == 9
    assert (report.summary.compliant, report.summary.unknown) == (1, 8)


def test_an_empty_ledger_knows_nothing(session: Session) -> None:
    report = slo_report(session, now=NOON)
    assert {status.state for status in report.statuses} == {SloState.NO_DATA}
    assert all(status.coverage_ratio == 0 and status.measured_at is None for status in report.statuses)
    assert all(share is None for status in report.statuses for _, share in status.series)
    assert report.summary.unknown == 9


def test_a_new_installation_has_numbers_but_no_verdict(session: Session) -> None:
    fill(session, since=NOON - HOUR, until=NOON)
    (status,) = slo_report(session, now=NOON, ids=[API]).statuses
    assert status.state is SloState.INSUFFICIENT_DATA
    assert status.sli == 1
    assert status.compliant is None
    (hour,) = slo_report(session, now=NOON, period=HOUR, ids=[API]).statuses
    assert hour.state is SloState.HEALTHY


def test_an_incident_now_burns_in_every_window(session: Session) -> None:
    fill(session, since=NOON - 30 * DAY, until=NOON)
    fill(session, since=NOON - HOUR, until=NOON, bad=5)
    (status,) = slo_report(session, now=NOON + timedelta(minutes=4), ids=[API]).statuses
    assert status.burn_rates[timedelta(minutes=5)] == pytest.approx(50)
    assert status.burn_rates[HOUR] == pytest.approx(50)
    assert status.burn_rates[DAY] == pytest.approx(50 / 24)
    assert status.state is SloState.DEGRADED


def test_a_quiet_month_is_known_to_be_quiet(session: Session) -> None:
    fill(session, since=NOON - 30 * DAY, until=NOON, total=0)
    (status,) = slo_report(session, now=NOON, ids=[API]).statuses
    assert status.coverage_ratio == 1
    assert status.state is SloState.NO_DATA


def test_buckets_after_the_present_are_not_read(session: Session) -> None:
    fill(session, since=NOON - HOUR, until=NOON + 2 * HOUR)
    (status,) = slo_report(session, now=NOON, period=HOUR, ids=[API]).statuses
    assert status.total == 1_200


def test_nine_objectives_over_a_month_take_four_statements(session: Session, engine: Engine) -> None:
    ids = [item.id for item in objectives()]
    session.execute(
        text(
            "INSERT INTO slo_bucket_5m SELECT id, at, 99, 100, 300, 'live'"
            " FROM unnest(CAST(:ids AS text[])) AS id,"
            " generate_series(CAST(:since AS timestamptz), CAST(:until AS timestamptz), interval '5 minutes') AS at"
        ),
        {"ids": ids, "since": NOON - 30 * DAY, "until": NOON - BUCKET},
    )
    ledger.roll_up(session, ids, since=NOON - 30 * DAY, until=NOON)
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    report = slo_report(session, now=NOON)
    assert all(status.total == 864_000 for status in report.statuses)
    assert len(statements) == 4
