"""Pairs of windows that can fire, and named periods."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.core.clock import Interval
from analytics.core.errors import InputError
from analytics.slo.model import (
    BUCKET,
    MONTH,
    AlertPolicy,
    Budgeting,
    BurnPair,
    CalendarUnit,
    CalendarWindow,
    Objective,
    PromEvents,
    RollingWindow,
    Severity,
    Slices,
)
from analytics.slo.windows import (
    burn_pairs,
    firing_pairs,
    guard_of,
    month_of,
    named_period,
    pairs_of,
    period_at,
    previous_period,
)

HOUR = timedelta(hours=1)


def test_a_strict_target_takes_the_pairs_of_the_workbook() -> None:
    pairs = burn_pairs(budget_ratio=0.001, period=MONTH)
    assert [pair.factor for pair in pairs] == pytest.approx([14.4, 6, 3, 1])
    assert [pair.long for pair in pairs] == [HOUR, 6 * HOUR, 24 * HOUR, 72 * HOUR]


def test_a_loose_target_takes_pairs_that_can_fire() -> None:
    """A budget of 20 % cannot burn 14.4 times faster than allowed; the note's worked example comes out."""
    first, second, *rest = burn_pairs(budget_ratio=0.2, period=MONTH)
    assert first.factor == second.factor == pytest.approx(2.5)
    assert first.long == timedelta(hours=5, minutes=50)  # 5.76 h, in whole buckets
    assert [pair.factor for pair in rest] == pytest.approx([3, 1])
    dashboard = burn_pairs(budget_ratio=0.1, period=MONTH)[0]
    assert dashboard.factor == pytest.approx(5)
    assert dashboard.long == timedelta(hours=2, minutes=55)  # 2.88 h


@settings(deadline=None)
@given(st.floats(min_value=1e-5, max_value=0.9))
def test_every_pair_can_be_reached(budget_ratio: float) -> None:
    for pair in burn_pairs(budget_ratio=budget_ratio, period=MONTH):
        assert pair.factor * budget_ratio < 1
        assert BUCKET <= pair.short < pair.long
        assert pair.long % BUCKET == pair.short % BUCKET == timedelta(0)


def test_a_target_of_all_has_pairs_too() -> None:
    assert len(burn_pairs(budget_ratio=0.0, period=MONTH)) == 4


def test_a_month_is_a_calendar_month() -> None:
    month = month_of(datetime(2026, 12, 31, 23, 59, tzinfo=UTC))
    assert month.since == datetime(2026, 12, 1, tzinfo=UTC)
    assert month.until == datetime(2027, 1, 1, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("days", "factors"),
    [
        pytest.param(30, [14.4, 6, 3, 1], id="30d"),
        pytest.param(28, [13.44, 5.6, 2.8, 0.9333], id="28d"),
        pytest.param(7, [13.44, 3.5, 1.4, 0.98], id="7d"),
        pytest.param(14, [13.44, 4.427, 1.98, 0.956], id="between"),
        pytest.param(90, [14.4, 6, 3, 1], id="quarter"),
        pytest.param(1, [11.52, 3.273, 1.371, 0.9755], id="day"),
    ],
)
def test_factors_follow_from_the_period(days: int, factors: list[float]) -> None:
    pairs = burn_pairs(budget_ratio=0.001, period=timedelta(days=days))
    assert [pair.factor for pair in pairs] == pytest.approx(factors, rel=0.001)
    assert [pair.tier for pair in pairs] == [1, 2, 3, 4]


def test_windows_of_a_long_period_grow_with_it() -> None:
    quarter = burn_pairs(budget_ratio=0.001, period=timedelta(days=90))
    assert [pair.long for pair in quarter] == [3 * HOUR, 18 * HOUR, 72 * HOUR, 216 * HOUR]
    assert [pair.short for pair in quarter] == [HOUR / 4, 1.5 * HOUR, 6 * HOUR, 18 * HOUR]


def test_of_an_hour_no_pair_would_alert_although_the_budget_lasts() -> None:
    assert all(pair.factor >= 0.9 for pair in burn_pairs(budget_ratio=0.001, period=HOUR))


@settings(deadline=None)
@given(st.floats(min_value=0, max_value=0.9), st.integers(min_value=1, max_value=24 * 800))
def test_pairs_of_any_period_fit_into_it(budget_ratio: float, hours: int) -> None:
    for pair in burn_pairs(budget_ratio=budget_ratio, period=hours * HOUR):
        assert BUCKET <= pair.short < pair.long <= hours * HOUR
        assert pair.factor * budget_ratio < 1
        assert pair.factor >= 0.9


def objective(**more: Any) -> Objective:
    return Objective("x", "X", "s", Decimal("0.999"), PromEvents(total="t", bad="b"), "d", **more)


def test_pairs_of_a_policy_have_the_tiers_of_their_order() -> None:
    pair = BurnPair(Severity.TICKET, 2 * HOUR, BUCKET, 2)
    written = objective(alerting=AlertPolicy(pairs=(pair, replace(pair, severity=Severity.PAGE))))
    assert [(item.severity, item.tier) for item in pairs_of(written)] == [("ticket", 1), ("page", 2)]


def test_windows_of_a_policy_are_rounded_up_to_what_is_counted() -> None:
    policy = AlertPolicy(pairs=(BurnPair(Severity.PAGE, HOUR, timedelta(minutes=1), 2),))
    (pair,) = pairs_of(objective(alerting=policy))
    assert (pair.long, pair.short) == (HOUR, BUCKET)
    (sliced,) = pairs_of(objective(alerting=policy, budgeting=Budgeting.TIMESLICES, slices=Slices(2 * HOUR)))
    assert (sliced.long, sliced.short) == (2 * HOUR, 2 * HOUR)


def test_windows_of_budgets_of_time_are_whole_slices() -> None:
    sliced = objective(budgeting=Budgeting.TIMESLICES, slices=Slices(HOUR))
    assert [(pair.long, pair.short) for pair in pairs_of(sliced)][:2] == [(HOUR, HOUR), (6 * HOUR, HOUR)]


def test_the_guard_counts_what_the_budget_counts() -> None:
    assert guard_of(objective()) == 3
    assert guard_of(objective(budgeting=Budgeting.RATIO_TIMESLICES)) == 0
    slices = objective(budgeting=Budgeting.TIMESLICES)
    assert guard_of(slices) == 1  # 8.6 slices may be bad in 30 days
    assert guard_of(replace(slices, target=Decimal("0.99"))) == 2  # 86
    assert guard_of(replace(slices, target=Decimal("0.99"), alerting=AlertPolicy(min_bad=0))) == 0
    assert guard_of(replace(slices, slices=Slices(HOUR))) == 1


def test_pairs_fire_when_both_windows_burn() -> None:
    burning = {HOUR: (980.0, 1000.0), BUCKET: (80.0, 100.0)}
    assert [pair.tier for pair in firing_pairs(objective(), burning)] == [1]
    assert firing_pairs(objective(), {**burning, BUCKET: (100.0, 100.0)}) == []
    assert firing_pairs(objective(), {HOUR: (980.0, 1000.0)}) == []
    assert firing_pairs(objective(), {}) == []


@pytest.mark.parametrize(
    ("unit", "zone", "now", "since", "until"),
    [
        pytest.param("month", "UTC", "2024-02-29T12:00", "2024-02-01T00:00", "2024-03-01T00:00", id="leap-february"),
        pytest.param("month", "UTC", "2026-01-31T23:59", "2026-01-01T00:00", "2026-02-01T00:00", id="month-end"),
        pytest.param("month", "UTC", "2026-02-01T00:00", "2026-02-01T00:00", "2026-03-01T00:00", id="first-moment"),
        pytest.param("year", "UTC", "2024-12-31T23:59", "2024-01-01T00:00", "2025-01-01T00:00", id="leap-year"),
        pytest.param("quarter", "UTC", "2026-06-30T23:59", "2026-04-01T00:00", "2026-07-01T00:00", id="quarter"),
        pytest.param(
            "week", "UTC", "2027-01-01T00:00", "2026-12-28T00:00", "2027-01-04T00:00", id="week-over-new-year"
        ),
        pytest.param("day", "Europe/Berlin", "2026-03-29T12:00", "2026-03-28T23:00", "2026-03-29T22:00", id="23-hours"),
        pytest.param("day", "Europe/Berlin", "2026-10-25T12:00", "2026-10-24T22:00", "2026-10-25T23:00", id="25-hours"),
        pytest.param("month", "Europe/Berlin", "2026-03-31T22:30", "2026-03-31T22:00", "2026-04-30T22:00", id="local"),
        pytest.param("day", "Asia/Kathmandu", "2026-05-01T18:15", "2026-05-01T18:15", "2026-05-02T18:15", id="45-min"),
        pytest.param(
            "day", "Africa/Cairo", "2026-04-24T12:00", "2026-04-23T22:00", "2026-04-24T21:00", id="no-midnight"
        ),
        pytest.param("day", "America/Havana", "2026-11-01T12:00", "2026-11-01T04:00", "2026-11-02T05:00", id="twice"),
        pytest.param("day", "Pacific/Apia", "2011-12-29T12:00", "2011-12-29T10:00", "2011-12-30T10:00", id="no-30th"),
    ],
)
def test_calendar_spans_are_those_of_the_zone(unit: str, zone: str, now: str, since: str, until: str) -> None:
    found = period_at(CalendarWindow(CalendarUnit(unit), zone), at(now))
    assert (found.since, found.until) == (at(since), at(until))


zones = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"])
moments = st.integers(0, 20 * 365 * 24 * 12).map(lambda count: at("2015-01-01T00:00") + count * BUCKET)


@settings(deadline=None)
@given(st.sampled_from(CalendarUnit), zones, moments)
def test_calendar_spans_follow_each_other_without_a_gap(unit: CalendarUnit, zone: str, now: datetime) -> None:
    window = CalendarWindow(unit, zone)
    span, before = period_at(window, now), previous_period(window, now)
    assert span.since <= now < span.until
    assert before.until == span.since
    assert period_at(window, span.until).since == span.until


def test_rolling_windows_end_now() -> None:
    now = at("2026-03-15T12:00")
    assert period_at(RollingWindow(), now) == Interval(at("2026-02-13T12:00"), now)
    assert previous_period(RollingWindow(), now) == Interval(at("2026-01-14T12:00"), at("2026-02-13T12:00"))


@pytest.mark.parametrize(
    ("name", "since", "until"),
    [
        ("30d", "2026-02-13T12:00", "2026-03-15T12:00"),
        ("12h", "2026-03-15T00:00", "2026-03-15T12:00"),
        ("4w", "2026-02-15T12:00", "2026-03-15T12:00"),
        ("month", "2026-03-01T00:00", "2026-04-01T00:00"),
        ("last-month", "2026-02-01T00:00", "2026-03-01T00:00"),
        ("last-week", "2026-03-02T00:00", "2026-03-09T00:00"),
        ("2026", "2026-01-01T00:00", "2027-01-01T00:00"),
        ("2026-Q1", "2026-01-01T00:00", "2026-04-01T00:00"),
        ("2025-12", "2025-12-01T00:00", "2026-01-01T00:00"),
        ("2026-W53", "2026-12-28T00:00", "2027-01-04T00:00"),
        ("2024-02-29", "2024-02-29T00:00", "2024-03-01T00:00"),
    ],
)
def test_periods_have_names(name: str, since: str, until: str) -> None:
    assert named_period(name, now=at("2026-03-15T12:00")) == Interval(at(since), at(until))


@pytest.mark.parametrize(
    "name", ["", "0d", "2026-13", "2026-00", "2025-W53", "2025-02-29", "2026-Q5", "9999-12-31", "soon", "0000"]
)
def test_names_of_no_period_are_refused(name: str) -> None:
    with pytest.raises(InputError):
        named_period(name, now=at("2026-03-15T12:00"))


def test_named_periods_begin_at_midnight_of_the_zone() -> None:
    summer = named_period("2026-07", now=at("2026-03-15T12:00"), zone="America/New_York")
    assert (summer.since, summer.until) == (at("2026-07-01T04:00"), at("2026-08-01T04:00"))
    with pytest.raises(InputError, match="time zone"):
        named_period("2026-07", now=at("2026-03-15T12:00"), zone="Mars/Olympus")
