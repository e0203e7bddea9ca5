"""From real sources into the ledger: a Prometheus with known counters, and rows of PostgreSQL."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from analytics.core.clock import Interval, utc_now
from analytics.slo import SourceKind, ingest, ledger, measure, objective, objectives
from analytics.slo.ledger import Bucket
from analytics.slo.model import BUCKET
from analytics.slo.sources.prometheus import prometheus_buckets
from analytics.sources.prometheus import PromClient
from analytics.store.engine import session_scope
from analytics.store.tables import Cursor, SloBucket1h, SloBucket5m, WorkItem
from dashboard.processes.servers import free_port

pytestmark = [pytest.mark.integration, pytest.mark.prometheus]
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
API = "api_availability"


def rows(engine: Engine, slo_id: str) -> dict[datetime, SloBucket5m]:
    with session_scope(engine) as session:
        found = session.scalars(select(SloBucket5m).where(SloBucket5m.slo_id == slo_id)).all()
        return {row.bucket_start: row for row in found}


def test_counts_of_prometheus_are_those_that_were_scraped(prom: PromClient, known_start: datetime) -> None:
    interval = Interval(known_start, known_start + 3 * HOUR)
    found = {(item.slo_id, item.start): item for item in prometheus_buckets(prom, list(objectives()), interval)}
    quiet = found[API, known_start + 10 * MINUTE]
    assert (quiet.good, quiet.total, quiet.measured_s) == (pytest.approx(600), pytest.approx(600), 300)
    incident = found[API, known_start + HOUR + 5 * MINUTE]
    assert incident.total - incident.good == pytest.approx(30)
    assert incident.total == pytest.approx(630)
    restarted = found[API, known_start + HOUR + 35 * MINUTE]
    assert restarted.total == pytest.approx(600)
    fast = found["api_latency_p95", known_start + 10 * MINUTE]
    assert (fast.good, fast.total) == (pytest.approx(285), pytest.approx(300))
    assert found["api_latency_p99", fast.start].good == pytest.approx(300)


def test_time_in_which_nothing_was_seen_is_not_measured(prom: PromClient, known_start: datetime) -> None:
    interval = Interval(known_start, known_start + 3 * HOUR)
    found = {item.start: item for item in prometheus_buckets(prom, [objective(API)], interval)}
    assert known_start + 2 * HOUR + 10 * MINUTE not in found
    assert sum(item.measured_s for item in found.values()) == pytest.approx(10_800 - 900, abs=60)


def test_an_objective_without_series_has_no_buckets(prom: PromClient, known_start: datetime) -> None:
    interval = Interval(known_start, known_start + HOUR)
    assert prometheus_buckets(prom, [objective("cache_hit_rate")], interval) == []
    assert prometheus_buckets(prom, [objective("llm_api_success_rate")], interval) == []


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
    assert first.until[SourceKind.PROMETHEUS] == known_start + HOUR
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
        hour = session.get_one(SloBucket1h, (API, known_start + HOUR))
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
    assert "did not answer" in report.failed[SourceKind.PROMETHEUS]
    assert SourceKind.POSTGRES in report.until
    assert max(rows(engine, API)) == now - 40 * MINUTE
    ingest(engine, prom, now=now + MINUTE)
    kept = rows(engine, API)
    assert max(kept) == now - BUCKET
    assert set(kept) >= {known_start + place * BUCKET for place in range(12)}


def test_without_prometheus_the_exact_objectives_are_kept(engine: Engine) -> None:
    report = ingest(engine, None, now=utc_now())
    assert list(report.until) == [SourceKind.POSTGRES]
    with session_scope(engine) as session:
        assert session.scalars(select(Cursor.name)).all() == ["slo.postgres"]
        assert set(session.scalars(select(SloBucket5m.slo_id))) == {
            "assessment_completion_rate",
            "llm_api_success_rate",
        }


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
    row = rows(engine, "assessment_completion_rate")[known_start]
    assert (row.good, row.total, row.measured_s) == (2, 3, 300)
    with session_scope(engine) as session:
        late = session.scalars(select(WorkItem).where(WorkItem.status == "open")).one()
        late.status, late.finished_at = "failed", ends
    ingest(engine, None, now=known_start + 11 * MINUTE)
    row = rows(engine, "assessment_completion_rate")[known_start]
    assert (row.good, row.total) == (2, 4)


def test_old_buckets_go_and_their_hours_stay(engine: Engine, known_start: datetime) -> None:
    old = known_start - timedelta(days=91)
    with session_scope(engine) as session:
        ledger.upsert(session, [Bucket(API, old, 1, 1, 300), Bucket(API, known_start, 1, 1, 300)])
        ledger.roll_up(session, [API], since=old, until=old + HOUR)
    ingest(engine, None, now=known_start + HOUR)
    assert set(rows(engine, API)) == {known_start}
    with session_scope(engine) as session:
        assert session.get_one(SloBucket1h, (API, old)).total == 1
