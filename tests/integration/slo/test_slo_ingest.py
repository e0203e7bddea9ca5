"""From real sources into the ledger: a Prometheus with known counters, and rows of PostgreSQL."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from analytics.core.clock import Interval, utc_now
from analytics.slo import ingest, ledger, measure, objective
from analytics.slo.ledger import Bucket
from analytics.slo.model import BUCKET, WHOLE
from analytics.sources.prometheus import PromClient
from analytics.store.engine import session_scope
from analytics.store.tables import SloBucket1h, SloBucket5m, WorkItem
from analytics.store.tables.slos import SloReading
from dashboard.processes.servers import free_port

pytestmark = [pytest.mark.integration, pytest.mark.prometheus]
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
API = "api_availability"
EXACT = "assessment_completion_rate"


def rows(engine: Engine, slo_id: str, group_key: str = WHOLE) -> dict[datetime, SloBucket5m]:
    with session_scope(engine) as session:
        wanted = select(SloBucket5m).where(SloBucket5m.slo_id == slo_id, SloBucket5m.group_key == group_key)
        return {row.bucket_start: row for row in session.scalars(wanted).all()}


def noted(engine: Engine, slo_id: str) -> SloReading:
    with session_scope(engine) as session:
        return session.get_one(SloReading, slo_id)


def test_one_objective_is_measured_straight_from_prometheus(
    prom: PromClient, known_start: datetime, session: Session
) -> None:
    interval = Interval(known_start + 10 * MINUTE, known_start + 20 * MINUTE)
    measured = measure(objective(API), interval, session=session, prom=prom)
    assert measured is not None
    assert (measured.good, measured.total) == (pytest.approx(1200), pytest.approx(1200))
    assert measure(objective(API), interval, session=session, prom=None) is None
    before = Interval(known_start - HOUR, known_start - 30 * MINUTE)
    assert measure(objective(API), before, session=session, prom=prom) is None


def test_a_second_reading_writes_the_same_and_goes_on_where_the_first_ended(
    engine: Engine, prom: PromClient, known_start: datetime
) -> None:
    first = ingest(engine, prom, now=known_start + HOUR + timedelta(seconds=61))
    assert first.until[API] == known_start + HOUR
    assert first.failed == {}
    kept = rows(engine, API)
    assert max(kept) == known_start + HOUR - BUCKET
    again = ingest(engine, prom, now=known_start + HOUR + timedelta(seconds=90))
    assert again.written == 3 * 2 + 2 * 2  # the last two buckets of three series and two statements
    assert {start: row.total for start, row in rows(engine, API).items()} == {
        start: row.total for start, row in kept.items()
    }
    ingest(engine, prom, now=known_start + 2 * HOUR)
    assert max(rows(engine, API)) == known_start + 2 * HOUR - 2 * BUCKET
    with session_scope(engine) as session:
        hour = session.get_one(SloBucket1h, (API, WHOLE, known_start + HOUR))
        fives = [row for start, row in rows(engine, API).items() if start >= known_start + HOUR]
        assert hour.total == pytest.approx(sum(row.total for row in fives))
        assert hour.good == pytest.approx(sum(row.good for row in fives))


def test_a_bucket_is_left_until_its_last_scrape_is_in(engine: Engine, prom: PromClient, known_start: datetime) -> None:
    ingest(engine, prom, now=known_start + HOUR + timedelta(seconds=59))
    assert max(rows(engine, API)) == known_start + HOUR - 2 * BUCKET


def test_a_prometheus_that_is_away_leaves_the_rest_and_is_read_on_later(
    engine: Engine, prom: PromClient, known_start: datetime
) -> None:
    now = known_start + HOUR
    ingest(engine, prom, now=now - 30 * MINUTE)
    with PromClient(f"http://127.0.0.1:{free_port()}") as away:
        report = ingest(engine, away, now=now)
    assert "did not answer" in report.failed[API]
    assert EXACT in report.until
    assert "did not answer" in (noted(engine, API).error or "")
    assert noted(engine, API).read_until == now - 35 * MINUTE
    assert max(rows(engine, API)) == now - 40 * MINUTE
    ingest(engine, prom, now=now + MINUTE)
    assert noted(engine, API).error is None
    kept = rows(engine, API)
    assert max(kept) == now - BUCKET
    assert set(kept) >= {known_start + place * BUCKET for place in range(12)}


def test_without_prometheus_the_exact_objectives_are_kept(engine: Engine) -> None:
    report = ingest(engine, None, now=utc_now())
    assert set(report.until) == {EXACT, "llm_api_success_rate"}
    with session_scope(engine) as session:
        assert set(session.scalars(select(SloReading.slo_id))) == set(report.until)
        assert set(session.scalars(select(SloBucket5m.slo_id))) == set(report.until)


def test_assessments_count_when_they_end(engine: Engine, known_start: datetime) -> None:
    """Completed is good, failed is bad; open ones, other kinds and the demo's do not count."""
    ends = known_start + 2 * MINUTE
    with session_scope(engine) as session:
        for status, kind, origin, finished_at in (
            ("completed", "assessment", "live", ends),
            ("completed", "assessment", "live", ends),
            ("failed", "assessment", "live", ends),
            ("open", "assessment", "live", None),
            ("completed", "report", "live", ends),
            ("failed", "assessment", "demo", ends),
        ):
            session.add(WorkItem(kind=kind, title="t", status=status, origin=origin, finished_at=finished_at))
    ingest(engine, None, now=known_start + 6 * MINUTE)
    row = rows(engine, EXACT)[known_start]
    assert (row.good, row.total, row.measured_s) == (2, 3, 300)
    with session_scope(engine) as session:
        late = session.scalars(select(WorkItem).where(WorkItem.status == "open")).one()
        late.status, late.finished_at = "failed", ends
    ingest(engine, None, now=known_start + 11 * MINUTE)
    row = rows(engine, EXACT)[known_start]
    assert (row.good, row.total) == (2, 4)


def test_old_buckets_go_and_their_hours_stay(engine: Engine, known_start: datetime) -> None:
    old = known_start - timedelta(days=91)
    with session_scope(engine) as session:
        ledger.upsert(session, [Bucket(API, old, 1, 1, 300), Bucket(API, known_start, 1, 1, 300)])
        ledger.roll_up(session, [API], since=old, until=old + HOUR)
    ingest(engine, None, now=known_start + HOUR)
    assert set(rows(engine, API)) == {known_start}
    with session_scope(engine) as session:
        assert session.get_one(SloBucket1h, (API, WHOLE, old)).total == 1
