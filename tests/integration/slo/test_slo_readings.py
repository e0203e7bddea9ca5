"""How each objective is read for itself: cursors, failures, changes, backfill."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import Engine, select

from analytics.core.clock import Interval
from analytics.slo import SloState, catalogue, ingest, ledger, slo_report
from analytics.slo.ingest import backfill
from analytics.slo.ledger import Bucket
from analytics.slo.model import (
    BUCKET,
    WHOLE,
    CompositeEvents,
    CompositeMode,
    Indicator,
    LatencyEvents,
    Member,
    Objective,
    PromEvents,
    RawRatio,
    SqlEvents,
)
from analytics.sources.prometheus import Answer, PromClient, Series
from analytics.store.engine import session_scope
from analytics.store.tables import SloBucket1h, SloBucket5m, WorkItem
from analytics.store.tables.slos import SloReading

pytestmark = [pytest.mark.integration, pytest.mark.prometheus]
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
API = "api_availability"
REQUESTS = PromEvents(
    total='sum(increase(helmsight_http_requests_total{group="api"}[{window}]))',
    bad='sum(increase(helmsight_http_requests_total{group="api",status_class="5xx"}[{window}]))',
)


REFUSED = 'label_replace(up, "x", "", "", "(")'
"""Fine to the eye, but its pattern is not one."""


class Warning_(PromClient):  # noqa: N801 - the plain name is taken
    """A Prometheus behind which one store is missing, as long as it says so."""

    is_partial = True

    def range(self, query: str, interval: Interval, step: timedelta) -> Answer[Series]:
        answer = super().range(query, interval, step)
        return Answer(answer, warnings=("store b is missing",) if self.is_partial else ())


def define(engine: Engine, indicator: Indicator, slo_id: str = "shop", **more: object) -> Objective:
    """Store an objective, or a new revision of it."""
    made = Objective(slo_id, "Shop", "shop", Decimal("0.9"), indicator, "d", **more)  # type: ignore[arg-type]
    with session_scope(engine) as session:
        return catalogue.save(session, made, actor="ada")


def rows(engine: Engine, slo_id: str = "shop", group_key: str = WHOLE) -> dict[datetime, SloBucket5m]:
    with session_scope(engine) as session:
        wanted = select(SloBucket5m).where(SloBucket5m.slo_id == slo_id, SloBucket5m.group_key == group_key)
        return {row.bucket_start: row for row in session.scalars(wanted).all()}


def noted(engine: Engine, slo_id: str = "shop") -> SloReading:
    with session_scope(engine) as session:
        return session.get_one(SloReading, slo_id)


def test_one_refused_query_is_noted_and_tried_again_and_the_others_go_on(
    engine: Engine, prom: PromClient, known_start: datetime
) -> None:
    define(engine, replace(REQUESTS, bad=REFUSED))
    for minutes in (61, 66):
        report = ingest(engine, prom, now=known_start + minutes * MINUTE)
        assert list(report.failed) == ["shop"]
        assert report.until[API] == known_start + (minutes - 1) * MINUTE
    assert "refused the query" in (noted(engine).error or "")
    assert (noted(engine).read_until, noted(engine).failed_at) == (None, known_start + 66 * MINUTE)
    assert rows(engine) == {}
    define(engine, REQUESTS)
    assert ingest(engine, prom, now=known_start + 67 * MINUTE).failed == {}
    assert (noted(engine).error, noted(engine).failed_at) == (None, None)
    assert (min(rows(engine)), max(rows(engine))) == (known_start - BUCKET, known_start + HOUR)


def test_another_indicator_is_read_anew_and_another_title_is_not(
    engine: Engine, prom: PromClient, known_start: datetime
) -> None:
    item = define(engine, REQUESTS)
    old = known_start - 20 * timedelta(days=1)
    ingest(engine, prom, now=known_start + 61 * MINUTE)
    with session_scope(engine) as session:
        ledger.upsert(session, [Bucket("shop", old, 1, 1, 300)])
        ledger.roll_up(session, ["shop"], since=old, until=old + BUCKET)
        ledger.upsert(session, [Bucket("shop", known_start, 7, 7, 300, '{"area": "x"}')])
    first = noted(engine).fingerprint
    with session_scope(engine) as session:
        catalogue.save(session, replace(item, title="Shop!", target=Decimal("0.8")), actor="ada")
    assert ingest(engine, prom, now=known_start + 66 * MINUTE).written < 30
    assert noted(engine).fingerprint == first
    define(engine, LatencyEvents("helmsight_http_request_duration_seconds", Decimal("0.5"), 'group="api"'))
    ingest(engine, prom, now=known_start + 71 * MINUTE)
    assert noted(engine).fingerprint != first
    kept = rows(engine)
    assert [row.total for start, row in kept.items() if start > known_start] == pytest.approx([300] * 13)
    assert old in kept, "what the new source does not reach stays"
    assert rows(engine, group_key='{"area": "x"}') == {}
    of_the_hour = sum(row.total for start, row in kept.items() if known_start <= start < known_start + HOUR)
    with session_scope(engine) as session:
        assert session.get_one(SloBucket1h, ("shop", WHOLE, known_start)).total == pytest.approx(of_the_hour)


def test_a_new_objective_gets_the_past_while_the_others_go_on(
    engine: Engine, prom: PromClient, known_start: datetime
) -> None:
    ingest(engine, prom, now=known_start + 2 * HOUR)
    define(engine, REQUESTS, group_by=("instance",))
    define(engine, CompositeEvents(CompositeMode.WEIGHTED, (Member(API), Member("shop"))), "both")
    report = ingest(engine, prom, now=known_start + 2 * HOUR + 5 * MINUTE)
    assert min(rows(engine)) == known_start - BUCKET
    assert "both" not in report.until
    assert len(rows(engine, API)) == len(rows(engine))


def test_a_warning_is_kept_and_its_buckets_are_read_again_for_an_hour(
    engine: Engine, prometheus_url: str, known_start: datetime
) -> None:
    define(engine, REQUESTS)
    with Warning_(prometheus_url) as client:
        report = ingest(engine, client, now=known_start + 90 * MINUTE)
        assert report.warnings["shop"] == ["store b is missing"]
        assert noted(engine).warnings == ["store b is missing"]
        assert noted(engine).read_until == known_start + 25 * MINUTE
        with session_scope(engine) as session:
            ledger.upsert(session, [Bucket("shop", known_start + 30 * MINUTE, 1, 1, 300)])
        client.is_partial = False
        ingest(engine, client, now=known_start + 95 * MINUTE)
    assert rows(engine)[known_start + 30 * MINUTE].total == pytest.approx(600)
    assert noted(engine).warnings == []
    assert noted(engine).read_until == known_start + 90 * MINUTE


def test_rows_are_read_as_far_back_as_they_go(engine: Engine, known_start: datetime) -> None:
    define(engine, SqlEvents("SELECT finished_at AS at, true AS good, kind FROM work_item"), group_by=("kind",))
    define(engine, SqlEvents("SELECT now() AS at, true AS good FROM api_token"), "secret")
    oldest = known_start - timedelta(days=35)
    with session_scope(engine) as session:
        for finished_at in (oldest, known_start):
            session.add(WorkItem(kind="report", title="t", status="completed", finished_at=finished_at))
    report = ingest(engine, None, now=known_start + 11 * MINUTE)
    assert "holds secrets" in report.failed["secret"]
    assert (min(rows(engine)), len(rows(engine))) == (oldest, 35 * 288 + 2)
    key = '{"kind": "report"}'
    ingest(engine, None, now=known_start + 31 * MINUTE)
    assert max(rows(engine, group_key=key)) == max(rows(engine)) == known_start + 25 * MINUTE
    assert rows(engine, group_key=key)[known_start + 25 * MINUTE].total == 0


def test_backfill_reads_anew_and_says_how_far_the_source_goes(
    engine: Engine, prom: PromClient, known_start: datetime
) -> None:
    item = define(engine, REQUESTS)
    broken = define(engine, RawRatio(REFUSED), "broken")
    with session_scope(engine) as session:
        for slo_id, start in (("shop", known_start + HOUR), ("broken", known_start)):
            ledger.upsert(session, [Bucket(slo_id, start, 5, 5, 300)])
    report = backfill(engine, prom, [item, broken], days=15, now=known_start + 3 * HOUR)
    assert report.since == {"shop": known_start - BUCKET}
    assert report.written["shop"] == len(rows(engine))
    assert list(report.failed) == ["broken"]
    assert rows(engine)[known_start + HOUR].total == pytest.approx(630, abs=10)
    assert rows(engine, "broken")[known_start].total == 5


def test_a_source_with_less_than_the_window_is_not_healthy(
    engine: Engine, prom: PromClient, known_start: datetime
) -> None:
    """Three hours of thirty days: the numbers are there, a verdict is not."""
    define(engine, REQUESTS)
    now = known_start + 2 * HOUR
    ingest(engine, prom, now=now)
    with session_scope(engine) as session:
        (status,) = slo_report(session, now=now, ids=["shop"]).statuses
    assert status.state is SloState.INSUFFICIENT_DATA
    assert status.coverage_ratio == pytest.approx(2 / 720, rel=0.05)
    assert status.compliant is None
    assert status.sli is not None
