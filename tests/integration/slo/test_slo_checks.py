"""Objectives before they are saved: what their source says of them, and their history straight from it."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from analytics.core.clock import Interval
from analytics.core.errors import DependencyError, InputError, PolicyError
from analytics.slo import corrections, ledger
from analytics.slo.checks import Level, check
from analytics.slo.ledger import Bucket
from analytics.slo.model import (
    BooleanEvents,
    Budgeting,
    CompositeEvents,
    CompositeMode,
    Indicator,
    LatencyEvents,
    Member,
    NativeLatencyEvents,
    Objective,
    PromEvents,
    RawRatio,
    SqlEvents,
)
from analytics.slo.preview import preview
from analytics.sources.prometheus import PromClient
from analytics.store.tables import SloBucket5m, WorkItem
from dashboard.processes.servers import free_port

pytestmark = [pytest.mark.integration, pytest.mark.prometheus]
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
API = "api_availability"
DURATION = "helmsight_http_request_duration_seconds"
TOTAL = 'sum(increase(helmsight_http_requests_total{group="api"}[{window}]))'
BAD = 'sum(increase(helmsight_http_requests_total{status_class="5xx"}[{window}]))'
ROWS = "SELECT finished_at AS at, status = 'completed' AS good FROM work_item"


def made(indicator: Indicator, target: str = "0.9", **more: object) -> Objective:
    return Objective("shop", "Shop", "shop", Decimal(target), indicator, "d", **more)  # type: ignore[arg-type]


def said(item: Objective, session: Session, prom: PromClient | None, now: datetime) -> list[tuple[str, str]]:
    """Return path and first letter of the level of every problem."""
    return [(problem.path, problem.level.value[0]) for problem in check(item, session=session, prom=prom, now=now)]


@pytest.mark.parametrize(
    ("item", "problems"),
    [
        pytest.param(made(PromEvents(TOTAL, bad=BAD)), [], id="fine"),
        pytest.param(made(LatencyEvents(DURATION, Decimal(2), 'group="api"')), [], id="fine latency"),
        pytest.param(made(PromEvents(TOTAL, bad=BAD), group_by=("instance",)), [("group_by[0]", "e")], id="label lost"),
        pytest.param(
            made(PromEvents(TOTAL.replace("sum(", "sum by (instance) ("), bad=BAD), group_by=("instance",)),
            [],
            id="label kept",
        ),
        pytest.param(made(PromEvents("sum(up[{window}]", bad=BAD)), [("indicator.events.total", "e")], id="not PromQL"),
        pytest.param(
            made(PromEvents(TOTAL, good="sum(increase(never_total[{window}]))")),
            [("indicator.events.good", "w")],
            id="part without series",
        ),
        pytest.param(
            made(PromEvents("sum(increase(never_total[{window}]))", bad=BAD)),
            [("indicator.events.total", "w")],
            id="total without series",
        ),
        pytest.param(
            made(PromEvents(TOTAL, bad=BAD, present='nobody{a="b"}')),
            [("indicator.events.present", "w")],
            id="presence",
        ),
        pytest.param(
            made(PromEvents("sum(increase(helmsight_http_requests_total[1h]))", bad=BAD)),
            [("indicator.events.total", "w")],
            id="without a window",
        ),
        pytest.param(
            made(PromEvents(TOTAL.replace("increase", "rate"), bad=BAD)),
            [("indicator.events.total", "w"), ("indicator.events.bad", "w"), ("target", "w")],
            id="rate taken as count",
        ),
        pytest.param(
            made(PromEvents(BAD, bad=TOTAL)), [("indicator.events.bad", "w")], id="more bad events than events"
        ),
        pytest.param(made(PromEvents(TOTAL, bad=BAD), "0.99999999"), [("target", "w")], id="too few events"),
        pytest.param(
            made(RawRatio("sum(helmsight_http_requests_total)")), [("indicator.raw.query", "e")], id="no ratio"
        ),
        pytest.param(made(RawRatio("0 / sum(helmsight_http_requests_total) * 0")), [], id="ratio"),
        pytest.param(made(RawRatio("1 +")), [("indicator.raw.query", "e")], id="refused once"),
        pytest.param(made(RawRatio("vector(0) / 0")), [("indicator.raw.query", "w")], id="not a number"),
        pytest.param(made(BooleanEvents("nothing")), [("indicator.boolean.metric", "w")], id="no gauge"),
        pytest.param(
            made(NativeLatencyEvents("nothing", Decimal(1))),
            [("indicator.native_latency.histogram", "w")],
            id="no native histogram",
        ),
        pytest.param(made(CompositeEvents(CompositeMode.WEIGHTED, (Member(API),))), [], id="composite"),
    ],
)
def test_what_prometheus_says_of_an_objective(
    prom: PromClient, known_start: datetime, item: Objective, problems: list[tuple[str, str]]
) -> None:
    """Nothing of it is asked of PostgreSQL, so a session that leads nowhere will do."""
    assert said(item, Session(), prom, known_start + 100 * MINUTE) == problems


def test_a_threshold_between_buckets_is_refused_with_those_there_are(prom: PromClient, known_start: datetime) -> None:
    item = made(LatencyEvents(DURATION, Decimal("0.7"), 'group="api"'))
    (problem,) = check(item, session=Session(), prom=prom, now=known_start + HOUR)
    assert (problem.path, problem.level) == ("indicator.latency.threshold", Level.ERROR)
    assert "0.7 lies between the buckets" in problem.message
    assert problem.hint == "take one of 0.5, 2"


@pytest.mark.parametrize("is_set_up", [True, False])
def test_a_source_that_is_away_is_one_warning(known_start: datetime, is_set_up: bool) -> None:
    away = PromClient(f"http://127.0.0.1:{free_port()}") if is_set_up else None
    assert said(made(PromEvents(TOTAL, bad=BAD)), Session(), away, known_start) == [("indicator", "w")]


def test_what_postgresql_says_of_an_objective(session: Session, known_start: datetime) -> None:
    rows, path = made(SqlEvents(ROWS)), "indicator.sql.rows"
    now = known_start + HOUR
    assert said(rows, session, None, now) == [(path, "w")]
    session.add(WorkItem(kind="report", title="t", status="completed", finished_at=known_start))
    session.flush()
    assert said(rows, session, None, now) == [("target", "w")]
    assert said(made(SqlEvents(ROWS), group_by=("colour",)), session, None, now) == [(path, "e")]
    assert said(made(SqlEvents(f"{ROWS} WHERE 1")), session, None, now) == [(path, "e")]


def test_a_preview_is_the_history_that_the_ledger_would_have(
    session: Session, prom: PromClient, known_start: datetime
) -> None:
    """With corrections taken out, and in slices where the budget counts time; nothing is written."""
    now = known_start + 2 * HOUR + MINUTE
    item = made(PromEvents(TOTAL, bad=BAD))
    history = preview(item, session=session, prom=prom, now=now, days=1)
    assert history.interval == Interval(known_start - 22 * HOUR, known_start + 2 * HOUR)
    good, total, measured_s = history.totals()
    assert (total - good, total) == pytest.approx((60, 14_400), abs=5)
    assert measured_s == pytest.approx(7_200, abs=60)
    session.add(WorkItem(kind="report", title="kept", status="open"))
    corrections.add(
        session,
        corrections.NewCorrection(known_start + HOUR, known_start + HOUR + 10 * MINUTE, "planned"),
        actor="ada",
    )
    without = preview(item, session=session, prom=prom, now=now, days=1)
    assert without.totals()[0] == pytest.approx(without.totals()[1], abs=7)
    slices = preview(
        made(PromEvents(TOTAL, bad=BAD), budgeting=Budgeting.TIMESLICES), session=session, prom=prom, now=now, days=1
    )
    assert slices.totals()[1] == pytest.approx(22, abs=1)
    assert session.scalar(select(func.count()).select_from(SloBucket5m)) == 0


def test_a_preview_of_rows_and_of_members(session: Session, known_start: datetime) -> None:
    now = known_start + HOUR
    session.add(WorkItem(kind="report", title="t", status="failed", finished_at=known_start + MINUTE))
    session.flush()
    history = preview(made(SqlEvents(ROWS)), session=session, prom=None, now=now, days=1)
    assert history.totals() == (0, 1, 55 * 60)
    ledger.upsert(session, [Bucket(API, known_start, 90, 100, 300)])
    members = made(CompositeEvents(CompositeMode.WEIGHTED, (Member(API),)))
    assert len(preview(members, session=session, prom=None, now=now, days=1).parts) == 1


def test_a_preview_of_what_cannot_be_read_says_why(session: Session, prom: PromClient, known_start: datetime) -> None:
    for item, error in (
        (made(RawRatio("1 +")), InputError),
        (made(SqlEvents("SELECT 1 FROM api_token")), InputError),
        (made(SqlEvents("SELECT now() AS at, true AS good FROM api_token")), PolicyError),
    ):
        with pytest.raises(error):
            preview(item, session=session, prom=prom, now=known_start + HOUR)
    with pytest.raises(DependencyError, match="No Prometheus is set up"):
        preview(made(RawRatio("1")), session=session, prom=None, now=known_start)
