"""What sources say of objectives: a real Prometheus with odd series, and rows of a real PostgreSQL."""

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from analytics.core.clock import Interval
from analytics.core.errors import DependencyError, InputError, PolicyError
from analytics.slo import Objective, objective, objectives
from analytics.slo.model import (
    BUCKET,
    BooleanEvents,
    CompositeEvents,
    CompositeMode,
    Indicator,
    LatencyEvents,
    Member,
    PromEvents,
    RawRatio,
    SqlEvents,
)
from analytics.slo.sources import postgres, prometheus
from analytics.slo.sources.reading import MAX_GROUPS, Reading, kept_groups
from analytics.slo.timeslices import Counts
from analytics.sources.prometheus import PromClient
from analytics.store.tables import WorkItem
from dashboard.processes.servers import free_port

pytestmark = [pytest.mark.integration, pytest.mark.prometheus]
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
MINUTES = 120
SCRAPED_AFTER_S = 23.5
API = "api_availability"
ORDERS = PromEvents(
    total="sum(increase(shop_orders_total[{window}]))",
    bad='sum(increase(shop_orders_total{outcome="failed"}[{window}]))',
)


def orders() -> dict[tuple[str, str], list[int]]:
    """Orders by minute: few, and many fail while the shop of area b restarts every other minute."""
    chance = np.random.default_rng(5)
    made = {}
    for area in "ab":
        total = chance.poisson(2, MINUTES)
        share = np.where((np.arange(MINUTES) >= 60) & (np.arange(MINUTES) < 72), 0.7, 0.1)
        failed = chance.binomial(total, share)
        made[area, "ok"] = (total - failed).tolist()
        made[area, "failed"] = failed.tolist()
    return made


def odd_series(start: datetime) -> str:
    """Return the samples, each minute at 23.5 s past the full minute; the events of the minute before are in them."""
    origin = start.timestamp() + SCRAPED_AFTER_S
    lines = ["# TYPE shop_orders counter"]
    for (area, outcome), events in orders().items():
        value = 0
        for minute, count in enumerate([0, *events], start=-1):
            is_restart = area == "b" and (minute == 40 or (60 < minute < 72 and minute % 2 == 0))
            value = count if is_restart else value + count
            labels = f'area="{area}",outcome="{outcome}"'
            lines.append(f"shop_orders_total{{{labels}}} {value} {origin + 60 * minute}")
    lines.append("# TYPE shop_error_ratio gauge")
    for minute in range(MINUTES + 1):
        ratio = "NaN" if 30 <= minute < 40 else "+Inf" if 60 <= minute < 65 else "0.02"
        lines.append(f"shop_error_ratio {ratio} {origin + 60 * minute}")
    lines.append("# TYPE probe_up gauge")
    lines += [f"probe_up {int(not 50 <= minute < 55)} {origin + 60 * minute}" for minute in range(MINUTES + 1)]
    lines.append("# TYPE visits counter")
    lines += [f'visits_total{{page="{page}"}} 7 {origin + 60}' for page in range(MAX_GROUPS + 2)]
    lines += [f'visits_total{{page="{page}"}} 9 {origin + 120}' for page in range(MAX_GROUPS + 2)]
    return "\n".join([*lines, "# EOF", ""])


@pytest.fixture(scope="module")
def odd_url(serve: Callable[[str], str], known_start: datetime) -> str:
    return serve(odd_series(known_start))


@pytest.fixture
def odd(odd_url: str) -> Iterator[PromClient]:
    with PromClient(odd_url) as client:
        yield client


def made(indicator: Indicator, slo_id: str = "shop", **more: object) -> Objective:
    return Objective(slo_id, "Shop", "shop", Decimal("0.9"), indicator, "d", **more)  # type: ignore[arg-type]


def starts(counts: Counts, since: datetime) -> list[int]:
    """Return the minutes since *since* at which measured buckets start."""
    return [(int(start) - int(since.timestamp())) // 60 for start in counts.starts]


def at(reading: Reading, moment: datetime) -> tuple[float, float, float]:
    (place,) = np.flatnonzero(reading.whole.starts == moment.timestamp())
    return (
        float(reading.whole.good[place]),
        float(reading.whole.total[place]),
        float(reading.whole.measured_s[place]),
    )


# ---- Prometheus ----


def test_counts_are_those_that_were_scraped(prom: PromClient, known_start: datetime) -> None:
    found = prometheus.read(prom, objectives(), Interval(known_start, known_start + 3 * HOUR))
    assert at(found[API], known_start + 10 * MINUTE) == pytest.approx((600, 600, 300))
    assert at(found[API], known_start + HOUR + 5 * MINUTE) == pytest.approx((600, 630, 300))
    assert at(found[API], known_start + HOUR + 35 * MINUTE) == pytest.approx((600, 600, 300))
    assert at(found["api_latency_p95"], known_start + 10 * MINUTE) == pytest.approx((285, 300, 300))
    assert at(found["api_latency_p99"], known_start + 10 * MINUTE) == pytest.approx((300, 300, 300))


def test_objectives_read_together_say_what_each_says_alone(prom: PromClient, known_start: datetime) -> None:
    interval = Interval(known_start + 30 * MINUTE, known_start + HOUR)
    together = prometheus.read(prom, objectives(), interval)
    for slo_id in (API, "api_latency_p95", "cache_hit_rate"):
        alone = prometheus.read(prom, [objective(slo_id)], interval)[slo_id]
        for name in ("starts", "good", "total", "measured_s"):
            assert getattr(together[slo_id].whole, name) == pytest.approx(getattr(alone.whole, name))


def test_time_in_which_nothing_was_scraped_is_not_measured(prom: PromClient, known_start: datetime) -> None:
    """From 02:00 to 02:20 there are no scrapes; the one at 02:20 itself belongs to the bucket it ends."""
    found = prometheus.read(prom, [objective(API)], Interval(known_start, known_start + 3 * HOUR))[API].whole
    assert sorted(set(range(0, 180, 5)) - set(starts(found, known_start))) == [120, 125, 130]
    assert float(found.measured_s.sum()) == pytest.approx(10_800 - 1_140, abs=60)


def test_few_events_between_scrapes_and_restarts_are_counted_exactly(odd: PromClient, known_start: datetime) -> None:
    """Extrapolation alone is off by some percent here; a restart may cost an event or two, never more."""
    found = prometheus.read(odd, [made(ORDERS)], Interval(known_start, known_start + 2 * HOUR))["shop"].whole
    events = orders()
    total = np.sum([events[key] for key in events], axis=0).reshape(-1, 5).sum(axis=1)
    bad = np.sum([events[area, "failed"] for area in "ab"], axis=0).reshape(-1, 5).sum(axis=1)
    calm = np.array([not (40 <= minute < 45 or 60 <= minute < 75) for minute in starts(found, known_start)])
    assert len(calm) == 24
    assert found.total[calm] == pytest.approx(total[calm])
    assert (found.total - found.good)[calm] == pytest.approx(bad[calm])
    assert found.total == pytest.approx(total, rel=0.25)


def test_groups_add_up_to_the_whole(odd: PromClient, known_start: datetime) -> None:
    """Of an expression that keeps the label; one that does not has the whole only."""
    by_area = PromEvents(
        total="sum by (area) (rate(shop_orders_total[{window}]))",
        bad='sum by (area) (rate(shop_orders_total{outcome="failed"}[{window}]))',
        per_second=True,
    )
    interval = Interval(known_start, known_start + HOUR)
    found = prometheus.read(odd, [made(by_area, group_by=("area",))], interval)["shop"]
    groups = [json.dumps({"area": area}) for area in "ab"]
    assert set(found.counts) == {"", *groups}
    assert sum(found.counts[key].total for key in groups) == pytest.approx(found.whole.total)
    assert float(found.counts[groups[0]].total.sum()) == pytest.approx(
        sum(sum(orders()["a", outcome][:60]) for outcome in ("ok", "failed"))
    )
    assert found.whole.total == pytest.approx(prometheus.read(odd, [made(ORDERS)], interval)["shop"].whole.total)
    assert set(prometheus.read(odd, [made(ORDERS, group_by=("area",))], interval)["shop"].counts) == {""}


def test_only_so_many_groups_are_kept_and_the_whole_has_all(odd: PromClient, known_start: datetime) -> None:
    visits = PromEvents(total="increase(visits_total[{window}])", good="increase(visits_total[{window}])")
    interval = Interval(known_start, known_start + BUCKET)
    found = prometheus.read(odd, [made(visits, group_by=("page",))], interval)["shop"]
    assert len(found.counts) == 1 + MAX_GROUPS
    assert list(found.warnings) == kept_groups([str(page) for page in range(MAX_GROUPS + 2)])[1]
    assert float(found.whole.total.sum()) >= 2 * (MAX_GROUPS + 2)


def test_where_prometheus_computes_no_number_nothing_is_measured(odd: PromClient, known_start: datetime) -> None:
    interval = Interval(known_start, known_start + 2 * HOUR)
    found = prometheus.read(odd, [made(RawRatio("shop_error_ratio"))], interval)["shop"].whole
    assert sorted(set(range(0, 120, 5)) - set(starts(found, known_start))) == [30, 35, 60]
    assert found.total == pytest.approx(np.ones(21))
    assert found.good == pytest.approx(np.full(21, 0.98))


def test_samples_of_a_gauge_are_events(odd: PromClient, known_start: datetime) -> None:
    interval = Interval(known_start, known_start + 2 * HOUR)
    found = prometheus.read(odd, [made(BooleanEvents("probe_up"))], interval)["shop"]
    assert at(found, known_start + 20 * MINUTE) == pytest.approx((5, 5, 300), rel=1e-4)
    assert float((found.whole.total - found.whole.good).sum()) == pytest.approx(5, rel=1e-4)


def test_presence_may_be_told_by_another_series(odd: PromClient, known_start: datetime) -> None:
    """Then a source whose events have no series yet is measured, with no events."""
    nothing = PromEvents(
        total="sum(increase(never_total[{window}]))", bad="sum(increase(never_total[{window}]))", present="probe_up"
    )
    found = prometheus.read(odd, [made(nothing)], Interval(known_start, known_start + HOUR))["shop"].whole
    assert float(found.measured_s.sum()) == pytest.approx(3600, abs=60)
    assert float(found.total.sum()) == 0
    silent = PromEvents(total=nothing.total, bad=nothing.bad)
    assert not prometheus.read(odd, [made(silent)], Interval(known_start, known_start + HOUR))["shop"].counts


def test_a_part_without_series_is_zero(odd: PromClient, known_start: datetime) -> None:
    interval = Interval(known_start, known_start + HOUR)
    never = "sum(increase(never_total[{window}]))"
    items = [
        made(PromEvents(total=ORDERS.total, bad=never), "b"),
        made(PromEvents(total=ORDERS.total, good=never), "g"),
    ]
    found = prometheus.read(odd, items, interval)
    assert found["b"].whole.good == pytest.approx(found["b"].whole.total)
    assert float(found["g"].whole.good.sum()) == 0
    assert float(found["g"].whole.total.sum()) > 0


@pytest.mark.parametrize(
    ("broken", "error", "reason"),
    [
        pytest.param("sum(increase(shop_orders_total[{window}])", InputError, "parse error", id="not PromQL"),
        pytest.param("1", InputError, "refused", id="no series but a number"),
        pytest.param(
            "sum(count_over_time((shop_orders_total * 2)[400d:1s]))", DependencyError, "did not answer", id="too slow"
        ),
        pytest.param('label_replace(up, "x", "", "", "(")', InputError, "refused", id="wrong pattern"),
    ],
)
def test_an_objective_that_cannot_be_read_leaves_the_others(
    odd_url: str, known_start: datetime, broken: str, error: type[Exception], reason: str
) -> None:
    interval = Interval(known_start, known_start + 3 * BUCKET)
    items = [made(ORDERS, "a"), made(PromEvents(total=broken, bad=broken, present="probe_up"), "b"), made(ORDERS, "c")]
    with PromClient(odd_url, timedelta(seconds=4)) as client:
        found = prometheus.read(client, items, interval)
    assert isinstance(found["b"].error, error)
    assert reason in str(found["b"].error)
    assert found["a"].error is found["c"].error is None
    assert found["a"].whole.total == pytest.approx(found["c"].whole.total)
    assert len(found["a"].whole.starts) == 3


def test_a_comment_at_the_end_of_an_expression_harms_nobody(odd: PromClient, known_start: datetime) -> None:
    commented = PromEvents(total=f"{ORDERS.total} # all", bad=f"{ORDERS.bad}\n# bad")
    interval = Interval(known_start, known_start + 3 * BUCKET)
    found = prometheus.read(odd, [made(commented, "a"), made(ORDERS, "b")], interval)
    assert found["a"].whole.total == pytest.approx(found["b"].whole.total, rel=0.3)
    assert found["a"].error is None


def test_a_prometheus_that_is_away_is_asked_once(known_start: datetime) -> None:
    with PromClient(f"http://127.0.0.1:{free_port()}") as away:
        found = prometheus.read(away, objectives(), Interval(known_start, known_start + HOUR))
    assert {type(reading.error) for reading in found.values()} == {DependencyError}
    assert len(found) == 7


def test_what_cannot_be_read_in_one_page_is_read_in_parts(odd_url: str, known_start: datetime) -> None:
    asked: list[timedelta] = []

    class Narrow(PromClient):
        def range(self, query: str, interval: Interval, step: timedelta):  # type: ignore[no-untyped-def]
            asked.append(interval.length)
            if interval.length > timedelta(days=2):
                raise InputError("Prometheus refused the query: too many samples")
            return super().range(query, interval, step)

    interval = Interval(known_start - timedelta(days=5), known_start + HOUR)
    with Narrow(odd_url) as client:
        found = prometheus.read(client, [made(ORDERS)], interval)["shop"]
    assert found.error is None
    assert starts(found.whole, known_start)[:2] == [-5, 0]
    assert max(asked) > timedelta(days=4)


# ---- PostgreSQL ----

ROWS = "SELECT finished_at AS at, status = 'completed' AS good, kind FROM work_item WHERE origin = 'live'"


@pytest.fixture
def items(session: Session, known_start: datetime) -> None:
    """Two items of one kind and one of another, of which one failed, from 00:10."""
    for minute, kind, status in (
        (10, "assessment", "completed"),
        (11, "assessment", "failed"),
        (16, "report", "completed"),
    ):
        finished_at = known_start + minute * MINUTE
        session.add(WorkItem(kind=kind, title="t", status=status, origin="live", finished_at=finished_at))
    session.flush()


@pytest.mark.usefixtures("items")
def test_rows_are_counted_from_the_first_on(session: Session, known_start: datetime) -> None:
    item = made(SqlEvents(ROWS + ";  "), group_by=("kind",))
    found = postgres.read(session, item, Interval(known_start, known_start + HOUR), is_first=True)
    assert starts(found.whole, known_start)[0] == 10
    assert (found.whole.good[:2].tolist(), found.whole.total[:2].tolist()) == ([1, 1], [2, 1])
    assert set(found.whole.measured_s) == {300}
    report = found.counts['{"kind": "report"}']
    assert report.total[:2].tolist() == [0, 1]
    assert set(found.counts) == {"", '{"kind": "assessment"}', '{"kind": "report"}'}


def test_without_rows_the_last_two_buckets_are_measured_and_groups_go_on(
    session: Session, known_start: datetime
) -> None:
    interval = Interval(known_start, known_start + HOUR)
    found = postgres.read(session, made(SqlEvents(ROWS)), interval, is_first=True)
    assert starts(found.whole, known_start) == [50, 55]
    later = postgres.read(session, made(SqlEvents(ROWS), group_by=("kind",)), interval, groups=['{"kind": "old"}'])
    assert later.counts['{"kind": "old"}'].measured_s.sum() == 3600


REFUSED = (
    ("SELECT now() AS at, true AS good FROM api_token", PolicyError, "api_token"),
    ("SELECT 1; SELECT 2", InputError, "refuses"),
    ("SELECT now() AS at, true AS good) x; DELETE FROM work_item; --", InputError, "refuses"),
    ("DELETE FROM work_item RETURNING finished_at AS at, true AS good", InputError, "refuses"),
    ("SELECT finished_at AS at, kind AS good FROM work_item", InputError, "boolean"),
    ("SELECT finished_at AS at FROM work_item", InputError, '"good" does not exist'),
)


@pytest.mark.usefixtures("items")
def test_statements_that_do_more_than_count_are_refused(session: Session, known_start: datetime) -> None:
    interval = Interval(known_start, known_start + HOUR)
    for rows, error, reason in REFUSED:
        found = postgres.read(session, made(SqlEvents(rows)), interval)
        assert type(found.error) is error, rows
        assert reason in str(found.error)
    assert session.scalar(text("SELECT count(*) FROM work_item")) == 3
    assert session.scalar(text("SELECT current_setting('transaction_read_only')")) == "off"
    for rows in (f"{ROWS} -- all", f"{ROWS} AND kind NOT LIKE 'a%:b'"):
        assert float(postgres.read(session, made(SqlEvents(rows)), interval).whole.total.sum()) == 3


def test_a_statement_that_takes_too_long_is_stopped(
    session: Session, known_start: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "TIMEOUT", timedelta(milliseconds=50))
    slow = made(SqlEvents("SELECT now() AS at, pg_sleep(9) IS NOT NULL AS good"))
    found = postgres.read(session, slow, Interval(known_start, known_start + timedelta(days=9000)))
    assert "longer than 0.05 s" in str(found.error)


def test_composites_have_no_source(prom: PromClient, known_start: datetime) -> None:
    item = made(CompositeEvents(CompositeMode.WEIGHTED, (Member(API),)))
    assert prometheus.read(prom, [item], Interval(known_start, known_start + HOUR)) == {}


def test_both_spellings_of_a_bound_are_found(prom: PromClient, known_start: datetime) -> None:
    whole = LatencyEvents("helmsight_http_request_duration_seconds", Decimal(2), 'group="api"')
    interval = Interval(known_start, known_start + HOUR)
    found = prometheus.read(prom, [made(whole)], interval)["shop"].whole
    assert found.good == pytest.approx(found.total)
