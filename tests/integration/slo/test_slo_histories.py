"""Histories from a real ledger: exact to five minutes, by group, without corrections, after pruning."""

import dataclasses
import itertools
import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import Engine, event, select
from sqlalchemy.orm import Session

from analytics.core.clock import Interval
from analytics.slo import catalogue, corrections, ledger, objectives
from analytics.slo.defaults import objective
from analytics.slo.ledger import HOUR, Bucket
from analytics.slo.model import (
    BUCKET,
    Budgeting,
    CalendarUnit,
    CalendarWindow,
    CompositeEvents,
    CompositeMode,
    Member,
    Objective,
    Slices,
)
from analytics.store.tables import SloBucket1h, SloBucket5m, SloReading

pytestmark = pytest.mark.integration
NOON = datetime(2026, 3, 15, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
API = objective("api_availability")
PAGES = objective("dashboard_load_time")
START = NOON - 2 * DAY
GROUP = '{"route": "/a"}'


def fill(session: Session, *ids: str, group_key: str = "", seed: int = 1) -> dict[tuple[str, datetime], Bucket]:
    """Fill two days with buckets of their own, a fifth of them missing, and the hours; return them."""
    chance = random.Random(seed)  # noqa: S311 - made-up traffic
    buckets = {}
    for slo_id in ids:
        for place in range(2 * DAY // BUCKET):
            if chance.random() < 0.2:
                continue
            total = chance.randint(0, 40)
            start = START + place * BUCKET
            buckets[slo_id, start] = Bucket(slo_id, start, chance.randint(0, total), total, 240, group_key)
    ledger.upsert(session, list(buckets.values()))
    ledger.roll_up(session, list(ids), since=START, until=NOON)
    return buckets


def expected(
    buckets: Mapping[tuple[str, datetime], Bucket], slo_id: str, interval: Interval, out: Sequence[Interval] = ()
) -> tuple[float, float, float]:
    """Add up what lies in the interval, bucket by bucket."""
    found = [
        bucket
        for (name, start), bucket in buckets.items()
        if name == slo_id
        and interval.since <= start < interval.until
        and not any(span.since <= start < span.until for span in out)
    ]
    return (
        sum(bucket.good for bucket in found),
        sum(bucket.total for bucket in found),
        sum(bucket.measured_s for bucket in found),
    )


def span(since: timedelta, until: timedelta) -> Interval:
    return Interval(NOON - since, NOON - until)


def test_any_span_is_exact_to_five_minutes_at_both_ends(session: Session) -> None:
    buckets = fill(session, API.id, PAGES.id)
    spans = (
        span(2 * DAY, timedelta(0)),
        span(DAY + 35 * MINUTE, 25 * MINUTE),
        span(90 * MINUTE, 45 * MINUTE),
        span(50 * MINUTE, 20 * MINUTE),
        span(HOUR, timedelta(0)),
        span(5 * MINUTE, timedelta(0)),
        span(5 * HOUR, 5 * HOUR),
    )
    for interval, step in itertools.product(spans, (BUCKET, HOUR)):
        found = ledger.histories(session, [API, PAGES], interval, step=step)
        for slo_id, history in found.items():
            assert history.totals() == expected(buckets, slo_id, interval)
            assert sum(history.excluded_s) == 0


def test_ends_within_a_bucket_are_those_of_the_bucket(session: Session) -> None:
    buckets = fill(session, API.id)
    asked = Interval(NOON - HOUR + 3 * MINUTE, NOON - 2 * MINUTE)
    found = ledger.histories(session, [API], asked)[API.id]
    assert found.interval == Interval(NOON - HOUR, NOON - 5 * MINUTE)
    assert found.totals() == expected(buckets, API.id, found.interval)


def test_corrections_are_taken_out_to_the_bucket_and_can_be_taken_back(session: Session) -> None:
    buckets = fill(session, API.id, PAGES.id)
    whole = span(2 * DAY, timedelta(0))
    out = [span(30 * HOUR + 20 * MINUTE, 27 * HOUR + 40 * MINUTE), span(10 * HOUR, 9 * HOUR + 50 * MINUTE)]
    stored = [
        corrections.add(
            session,
            corrections.NewCorrection(item.since, item.until, "maintenance", slo_id=API.id),
            actor="somebody",
        ).correction
        for item in out
    ]
    for step in (BUCKET, HOUR):
        found = ledger.histories(session, [API, PAGES], whole, step=step)
        assert found[API.id].totals() == expected(buckets, API.id, whole, out)
        assert sum(found[API.id].excluded_s) == 170 * 60
        assert found[PAGES.id].totals() == expected(buckets, PAGES.id, whole)
    for correction in stored:
        corrections.withdraw(session, correction.id, actor="somebody")
    assert ledger.histories(session, [API], whole)[API.id].totals() == expected(buckets, API.id, whole)


def test_groups_are_counted_each_for_itself(session: Session) -> None:
    whole = fill(session, API.id)
    group = fill(session, API.id, group_key=GROUP, seed=2)
    interval = span(DAY + 5 * MINUTE, 10 * MINUTE)
    for step in (BUCKET, HOUR):
        found = ledger.histories(session, [API], interval, step=step)[API.id]
        assert found.totals() == expected(whole, API.id, interval)
        found = ledger.histories(session, [API], interval, step=step, group_key=GROUP)[API.id]
        assert found.totals() == expected(group, API.id, interval)
        assert found.group_key == GROUP
    assert ledger.groups(session, [API.id, PAGES.id], since=START) == {API.id: [GROUP]}
    assert ledger.groups(session, [API.id], since=NOON + DAY) == {}


def test_an_hour_whose_buckets_are_pruned_stands_in_for_its_parts(session: Session) -> None:
    """Whole hours stay exact; of the hour that is cut, the share of its time counts."""
    buckets = fill(session, API.id)
    assert ledger.prune(session, [API], now=NOON + 89 * DAY + 59 * MINUTE) > 0
    interval = span(DAY + 90 * MINUTE, DAY - 2 * HOUR)
    (good, total, measured_s) = ledger.histories(session, [API], interval, step=HOUR)[API.id].totals()
    cut = expected(buckets, API.id, span(DAY + 2 * HOUR, DAY + HOUR))
    rest = expected(buckets, API.id, span(DAY + HOUR, DAY - 2 * HOUR))
    assert good == pytest.approx(cut[0] / 2 + rest[0])
    assert total == pytest.approx(cut[1] / 2 + rest[1])
    assert measured_s == pytest.approx(cut[2] / 2 + rest[2])


def test_buckets_stay_for_as_long_as_slices_need_them(session: Session) -> None:
    fill(session, API.id, PAGES.id)
    quarter = dataclasses.replace(
        API,
        window=CalendarWindow(CalendarUnit.QUARTER),
        budgeting=Budgeting.TIMESLICES,
        slices=Slices(30 * MINUTE),
    )
    ledger.prune(session, [quarter, PAGES], now=NOON + 91 * DAY)
    assert set(session.scalars(select(SloBucket5m.slo_id))) == {API.id}
    ledger.prune(session, [quarter, PAGES], now=NOON + 181 * DAY)
    assert set(session.scalars(select(SloBucket5m.slo_id))) == set()
    assert set(session.scalars(select(SloBucket1h.slo_id))) == {API.id, PAGES.id}


def test_a_gap_in_an_hour_that_has_buckets_is_not_filled_from_the_hour(session: Session) -> None:
    ledger.upsert(session, [Bucket(API.id, NOON, 1, 1, 300)])
    ledger.roll_up(session, [API.id], since=NOON, until=NOON + HOUR)
    late = Interval(NOON + 30 * MINUTE, NOON + HOUR)
    assert ledger.histories(session, [API], late, step=HOUR)[API.id].totals() == (0, 0, 0)


def test_slices_are_the_same_by_the_bucket_and_by_the_hour(session: Session) -> None:
    buckets = fill(session, API.id)
    interval = span(2 * DAY, 20 * MINUTE)
    for minutes in (5, 30, 60, 360):
        length = minutes * MINUTE
        item = dataclasses.replace(API, budgeting=Budgeting.TIMESLICES, slices=Slices(length, Decimal("0.5")))
        good = total = 0
        for place in range(interval.length // length):
            events = expected(buckets, API.id, Interval(START + place * length, START + (place + 1) * length))
            total += events[1] > 0
            good += events[1] > 0 and events[0] / events[1] >= 0.5
        for step in (BUCKET, HOUR):
            found = ledger.histories(session, [item], interval, step=step)[API.id]
            assert found.totals()[:2] == (good, total)


def composite(*members: str) -> Objective:
    events = CompositeEvents(CompositeMode.WEIGHTED, tuple(Member(member) for member in members))
    return Objective("all", "All", "api", Decimal("0.9"), events, "Together.")


def test_a_composite_brings_its_members_without_its_own_and_their_corrections(session: Session) -> None:
    buckets = fill(session, API.id, PAGES.id)
    whole, out = span(DAY, timedelta(0)), [span(3 * HOUR, 2 * HOUR), span(150 * MINUTE, HOUR)]
    item = catalogue.save(session, composite(API.id, PAGES.id), actor="somebody")
    for slo_id, off in zip(("all", API.id), out, strict=True):
        new = corrections.NewCorrection(off.since, off.until, "maintenance", slo_id=slo_id)
        corrections.add(session, new, actor="somebody")
    found = ledger.histories(session, [item, PAGES], whole, step=HOUR)
    api, pages = found["all"].parts
    assert api.totals() == expected(buckets, API.id, whole, out)
    assert pages.totals() == expected(buckets, PAGES.id, whole, out[:1])
    assert found[PAGES.id].totals() == expected(buckets, PAGES.id, whole)
    shares = [part.totals()[0] / part.totals()[1] for part in (api, pages)]
    good, total, _ = found["all"].totals()
    assert good / total == pytest.approx(sum(shares) / 2)


def test_a_member_that_is_not_in_use_does_not_count(session: Session) -> None:
    fill(session, API.id)
    found = ledger.histories(session, [composite(API.id, "gone")], span(DAY, timedelta(0)))["all"]
    assert [part.objective.id for part in found.parts] == [API.id]


def test_how_far_an_objective_was_measured_and_what_went_wrong_is_known(session: Session) -> None:
    ledger.upsert(session, [Bucket(API.id, NOON, 1, 1, 300), Bucket(API.id, NOON + BUCKET, 1, 1, 300)])
    session.add(SloReading(slo_id=PAGES.id, error="no answer", warnings=["partial"]))
    session.flush()
    found = ledger.readings(session, [API.id, PAGES.id], until=NOON + BUCKET)
    assert found[API.id] == ledger.Reading(NOON + BUCKET, None, [])
    assert found[PAGES.id] == ledger.Reading(None, "no answer", ["partial"])


def test_nine_objectives_take_two_statements_however_many_spans(session: Session, engine: Engine) -> None:
    new = corrections.NewCorrection(NOON - HOUR, NOON, "weekly", rrule="FREQ=DAILY;COUNT=2")
    corrections.add(session, new, actor="somebody")
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    ledger.histories(session, objectives(), span(DAY, timedelta(0)), step=HOUR)
    assert ledger.histories(session, [], span(DAY, timedelta(0))) == {}
    assert len(statements) == 2
