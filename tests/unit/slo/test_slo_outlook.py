"""What was spent, what it was spent on, how it goes on, and what another target would mean."""

import math
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.core.clock import Interval
from analytics.core.errors import InputError
from analytics.slo.backtest import Incident
from analytics.slo.burndown import BurnDown, burndown
from analytics.slo.explain import annotation_costs, dearest
from analytics.slo.forecast import forecast
from analytics.slo.history import History, composite_of
from analytics.slo.model import (
    BUCKET,
    CalendarUnit,
    CalendarWindow,
    CompositeEvents,
    CompositeMode,
    Member,
    Objective,
    PromEvents,
    RollingWindow,
)
from analytics.slo.what_if import what_if, what_if_targets
from analytics.store.queries.annotations import AnnotationRow

START = datetime(2026, 3, 2, tzinfo=UTC)
HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)


def objective(target: str = "0.99", **more: Any) -> Objective:
    fields: dict[str, Any] = {"window": RollingWindow(WEEK), **more}
    return Objective("x", "X", "s", Decimal(target), PromEvents(total="t", bad="b"), "d", **fields)


def history(
    length: timedelta = WEEK,
    *,
    bad: Mapping[int, float] | None = None,
    gaps: range = range(0),
    of: Objective | None = None,
    start: datetime = START,
    step: timedelta = BUCKET,
) -> History:
    """Return a history with 100 events in each step, of which *bad* are bad, by place."""
    count = length // step
    total, measured = np.full(count, 100.0), np.full(count, step.total_seconds())
    total[list(gaps)], measured[list(gaps)] = 0, 0
    good = total.copy()
    for place, number in (bad or {}).items():
        good[place] -= number
    of = of or objective()
    return History(of, Interval(start, start + length), good, total, measured, np.zeros(count), step=step)


def happened(at: datetime, kind: str = "deploy", *, until: datetime | None = None) -> AnnotationRow:
    return AnnotationRow(uuid.uuid4(), at, until, kind, "It", "s", "live", None)


# ---- Burn-down ----


def test_the_line_ends_at_what_is_left_of_the_whole() -> None:
    """A week of 201,600 events allows 2,016 bad ones; 504 are spent in its first hour and a half."""
    course = burndown(history(bad=dict.fromkeys(range(18), 28)), points=168)
    assert len(course.remaining) == len(course.bad) == 168
    assert course.remaining[0] == (START + HOUR, pytest.approx(1 - 336 / 2016))
    assert course.remaining[-1] == (START + WEEK, pytest.approx(0.75))
    assert course.bad[0] == (START, 336)
    assert sum(value or 0 for _, value in course.bad) == pytest.approx(504)
    assert (course.gaps, course.excluded) == ([], [])


def test_gaps_are_shown_and_not_drawn_over() -> None:
    course = burndown(history(gaps=range(100, 130)), points=2016)
    assert course.gaps == [Interval(START + 100 * BUCKET, START + 130 * BUCKET)]
    assert {value for _, value in course.remaining[100:130]} == {None}
    assert {value for _, value in course.bad[100:130]} == {None}
    assert course.remaining[130][1] == 1


def test_buckets_that_are_not_read_yet_are_no_gap() -> None:
    assert burndown(history(gaps=range(2013, 2016))).gaps == []
    assert len(burndown(history(gaps=range(2012, 2016))).gaps) == 1


def test_time_that_corrections_take_out_is_flat_and_no_gap() -> None:
    kept = history(gaps=range(100, 130))
    kept.excluded_s[100:130] = 300
    course = burndown(kept, points=2016)
    assert course.excluded == [Interval(START + 100 * BUCKET, START + 130 * BUCKET)]
    assert course.gaps == []
    assert course.remaining[110][1] == 1


def test_the_rolling_line_is_known_where_a_window_was_measured() -> None:
    """The bad hour of the first week is in the window of every step until a week later."""
    two_weeks = history(2 * WEEK, bad=dict.fromkeys(range(12), 84))
    course = burndown(two_weeks, interval=Interval(START + WEEK, START + 2 * WEEK), points=168)
    assert course.interval.length == WEEK
    assert course.rolling[0] == (START + WEEK + HOUR, pytest.approx(1))
    earlier = burndown(two_weeks, interval=Interval(START + DAY, START + 2 * WEEK), points=312)
    known = [(moment, value) for moment, value in earlier.rolling if value is not None]
    assert known[0][0] == START + 152 * HOUR  # nine tenths of a week
    assert dict(known)[START + WEEK] == pytest.approx(0.5)
    assert burndown(history(of=objective(window=CalendarWindow()))).rolling == []


@pytest.mark.parametrize("length", [timedelta(0), BUCKET, 7 * BUCKET])
def test_short_and_empty_histories_are_drawn(length: timedelta) -> None:
    course = burndown(history(length))
    assert len(course.remaining) == length // BUCKET
    assert isinstance(course, BurnDown)
    nothing = burndown(history(WEEK, gaps=range(2016)))
    assert {value for _, value in nothing.remaining} == {None}


def test_a_burn_down_of_no_points_is_refused() -> None:
    with pytest.raises(InputError, match="at least one"):
        burndown(history(), points=0)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 100), min_size=1, max_size=200), st.integers(1, 60))
def test_nothing_is_lost_between_the_points(bad: list[int], points: int) -> None:
    kept = history(len(bad) * BUCKET, bad=dict(enumerate(bad)))
    course = burndown(kept, points=points)
    assert len(course.bad) <= points
    assert sum(value or 0 for _, value in course.bad) == pytest.approx(sum(bad), abs=1e-6)
    assert course.remaining[-1][1] == pytest.approx(1 - sum(bad) / (0.01 * 100 * len(bad)), abs=1e-6)


# ---- Forecast ----


def test_a_rolling_budget_returns_as_bad_events_age_out() -> None:
    """All of the spending was on the first day; a day from now it is out of the window, exactly."""
    spent = history(bad=dict.fromkeys(range(288), 3.5))
    ahead = forecast(spent, horizon=2 * DAY)
    left = dict(ahead.unspent)
    now = START + WEEK
    assert ahead.remaining == pytest.approx(0.5)
    assert left[now + DAY / 2] == pytest.approx(0.75)
    assert left[now + DAY] == left[now + 2 * DAY] == pytest.approx(1)
    assert [scenario.burn_rate for scenario in ahead.scenarios] == [0, 0, 0]
    assert all(scenario.exhausted_at is None for scenario in ahead.scenarios)


def test_each_recent_rate_is_a_scenario_with_an_end() -> None:
    """The last hour burns 10 times too fast: 60 events bad in 5 minutes of a day that allows 288."""
    burning = history(bad=dict.fromkeys(range(2004, 2016), 10))
    ahead = forecast(burning, horizon=WEEK)
    fast, slow, slowest = ahead.scenarios
    assert (fast.burn_rate, slow.burn_rate) == (pytest.approx(10), pytest.approx(10 / 6))
    assert slowest.burn_rate == pytest.approx(10 / 72)
    # 120 of 2,016 are spent; at 120 an hour the rest is gone in 15.8 hours.
    assert fast.exhausted_at == START + WEEK + 16 * HOUR
    assert slow.exhausted_at is not None
    assert slow.exhausted_at > fast.exhausted_at
    assert slowest.exhausted_at is None


def test_a_calendar_budget_does_not_return() -> None:
    month = objective(window=CalendarWindow(CalendarUnit.WEEK))
    spent = history(2 * DAY, bad=dict.fromkeys(range(288), 1), of=month)
    ahead = forecast(spent)
    assert len(ahead.unspent) <= 241
    assert ahead.interval.until == START + WEEK
    assert ahead.remaining == pytest.approx(0.5)
    assert ahead.unspent[-1] == (START + WEEK, pytest.approx(1 - 288 / 2016))


def test_a_used_up_budget_is_used_up_at_once_and_comes_back() -> None:
    gone = history(bad=dict.fromkeys(range(288), 20))
    ahead = forecast(gone, horizon=WEEK)
    assert {scenario.exhausted_at for scenario in ahead.scenarios} == {START + WEEK}
    assert ahead.unspent[-1][1] == pytest.approx(1)


def test_traffic_is_expected_as_at_the_same_hour_of_other_weeks() -> None:
    """Nobody works at weekends: a failing hour on a Friday evening spends nothing until Monday."""
    four = history(4 * WEEK + 5 * DAY, of=objective(window=RollingWindow(WEEK)))
    hours = np.arange(len(four)) // 12
    is_weekend = (hours // 24) % 7 >= 5
    four.total[is_weekend] = four.good[is_weekend] = 0
    four.good[-12:] = 0
    ahead = forecast(four, horizon=3 * DAY)
    saturday, monday = START + 4 * WEEK + 5 * DAY, START + 5 * WEEK
    course = dict(ahead.scenarios[0].remaining)
    assert course[saturday + HOUR] == course[saturday + DAY] == course[monday]
    assert (course[monday + HOUR] or 0) < (course[monday] or 0)


def test_nights_of_clock_changes_are_looked_ahead_over() -> None:
    berlin = objective(window=CalendarWindow(CalendarUnit.MONTH, "Europe/Berlin"))
    for start, days in ((datetime(2026, 2, 28, 23, tzinfo=UTC), 31), (datetime(2026, 9, 30, 22, tzinfo=UTC), 31)):
        ahead = forecast(history(14 * DAY, of=berlin, start=start), step=HOUR)
        moments = [moment for moment, _ in ahead.unspent]
        assert len(moments) == len(set(moments))
        assert {after - before for before, after in pairwise(moments)} == {HOUR}
        assert abs(ahead.interval.until - start - days * DAY) == HOUR


def test_silence_has_no_outlook() -> None:
    ahead = forecast(history(gaps=range(2016)))
    assert (ahead.remaining, ahead.scenarios) == (None, [])
    assert {value for _, value in ahead.unspent} == {None}
    assert forecast(history(timedelta(0))).remaining is None


def test_a_step_that_stands_still_is_refused() -> None:
    with pytest.raises(InputError):
        forecast(history(), step=timedelta(0))


def test_a_target_of_all_is_looked_ahead_of() -> None:
    kept = forecast(history(of=objective("1")))
    broken = forecast(history(bad={2000: 1}, of=objective("1")))
    assert (kept.remaining, broken.remaining) == (1, -math.inf)
    assert broken.scenarios[0].burn_rate == 0
    assert broken.scenarios[1].exhausted_at == START + WEEK


def test_members_of_a_composite_go_on_each_for_itself() -> None:
    burning = history(bad=dict.fromkeys(range(2004, 2016), 50), of=replace(objective(), id="a"))
    calm = history(of=replace(objective(), id="b"))
    events = CompositeEvents(CompositeMode.WORST_OF, (Member("a"), Member("b")))
    whole = replace(objective(), id="c", indicator=events)
    together = composite_of(whole, [burning, calm], interval=burning.interval, step=BUCKET)
    ahead, alone = forecast(together), forecast(burning)
    assert ahead.remaining == pytest.approx(alone.remaining)
    assert ahead.scenarios[0].exhausted_at == alone.scenarios[0].exhausted_at
    assert burndown(together).remaining[-1][1] == pytest.approx(alone.remaining)
    assert what_if(together).sli == pytest.approx(together.totals()[0] / together.totals()[1])


# ---- What if ----


def test_other_targets_are_judged_on_the_same_events() -> None:
    kept = history(bad=dict.fromkeys(range(1000, 1012), 50))  # 600 of 201,600
    strict, own, loose = what_if_targets(kept, [Decimal("0.999"), Decimal("0.99"), Decimal("0.5")])
    assert (strict.compliant, own.compliant, loose.compliant) == (False, True, True)
    assert own.budget is not None
    assert own.budget.remaining_ratio == pytest.approx(1 - 600 / 2016)
    assert own.budget.minutes == pytest.approx(100.8)
    assert strict.margin == pytest.approx(1 - 600 / 201_600 - 0.999)
    assert strict.events_allowed == pytest.approx(201.6)
    assert own.pages == 1
    assert loose.pages == 0
    assert own.lasts is None
    assert what_if(kept).target == Decimal("0.99")


def test_a_shorter_window_sees_less_and_a_longer_one_says_what_it_lacks() -> None:
    kept = history(bad=dict.fromkeys(range(12), 50))
    day = what_if(kept, window=RollingWindow(DAY))
    assert (day.interval, day.sli, day.coverage) == (Interval(START + 6 * DAY, START + WEEK), 1, 1)
    month = what_if(kept, window=RollingWindow(28 * DAY))
    assert month.interval == kept.interval
    assert (month.coverage, month.compliant) == (pytest.approx(0.25), None)
    assert month.events_allowed == pytest.approx(0.01 * 201_600 * 4)


def test_a_calendar_window_that_ends_with_the_history_is_over_and_not_new() -> None:
    week = what_if(history(), window=CalendarWindow(CalendarUnit.WEEK))
    assert (week.interval, week.coverage) == (Interval(START, START + WEEK), 1)


def test_impossible_targets_are_refused() -> None:
    for target in ("0", "1.5", "-1"):
        with pytest.raises(InputError):
            what_if(history(), target=Decimal(target))


def test_nothing_measured_is_judged_as_nothing() -> None:
    for empty in (history(timedelta(0)), history(gaps=range(2016))):
        said = what_if(empty, target=Decimal("0.9"), incidents=[Incident(Interval(START, START + HOUR))])
        assert (said.sli, said.compliant, said.budget, said.events_allowed) == (None, None, None, None)
        assert (said.coverage, said.pages) == (0, 0)


# ---- Where it went ----


def test_a_deployment_costs_what_is_bad_beyond_the_usual_in_the_hour_after_it() -> None:
    """One in a hundred is usual; after the deployment 13 are, until half an hour later the next one mends it."""
    bad = dict.fromkeys(range(2016), 1.0) | dict.fromkeys(range(1000, 1012), 13.0)
    kept = history(bad=bad)
    broke, mended = happened(START + 1000 * BUCKET), happened(START + 1006 * BUCKET)
    cost, second = annotation_costs(kept, [broke, mended])
    assert cost.interval == Interval(broke.at, mended.at)
    assert (cost.bad, cost.usual) == (78, pytest.approx(6))
    assert cost.share == pytest.approx(72 / 2016)
    assert cost.minutes == pytest.approx(72 / 201_600 * 7 * 24 * 60)
    assert second.interval.length == HOUR


def test_an_incident_costs_what_was_bad_while_it_lasted() -> None:
    kept = history(bad=dict.fromkeys(range(1000, 1003), 40))
    begun = START + 1000 * BUCKET + timedelta(minutes=2)
    (cost,) = annotation_costs(kept, [happened(begun, "incident", until=begun + timedelta(minutes=12))])
    assert (cost.bad, cost.usual, cost.share) == (120, 0, pytest.approx(120 / 2016))


def test_what_happened_at_other_times_or_for_no_time_costs_nothing() -> None:
    outside = [happened(START - 2 * HOUR), happened(START + WEEK + HOUR)]
    assert annotation_costs(history(), outside) == []
    moment = START + DAY
    (cost,) = annotation_costs(history(bad={288: 50}), [happened(moment, "note", until=moment)])
    assert (cost.bad, cost.share) == (0, 0)
    (silent,) = annotation_costs(history(gaps=range(2016)), [happened(moment)])
    assert (silent.share, silent.minutes) == (None, 0)


def test_the_dearest_hours_are_named_together_and_in_order() -> None:
    kept = history(bad={**dict.fromkeys(range(24, 48), 10), 600: 99, 900: 1})
    first, second = dearest(kept)
    assert (first.interval, first.bad) == (Interval(START + 2 * HOUR, START + 4 * HOUR), 240)
    assert (second.interval, second.bad) == (Interval(START + 50 * HOUR, START + 51 * HOUR), 99)
    assert first.share == pytest.approx(240 / 2016)
    assert dearest(kept, limit=1) == [first]
    assert dearest(history(timedelta(0))) == []
    assert len(dearest(history(DAY, bad={5: 90}, step=HOUR))) == 1


def test_a_history_that_begins_within_an_hour_is_cut_at_the_clock() -> None:
    kept = history(DAY, bad={0: 50, 5: 50}, start=START + 35 * timedelta(minutes=1))
    moments, places = kept.hours()
    assert moments[:2] == [START + timedelta(minutes=35), START + HOUR]
    assert moments[-1] == kept.interval.until
    assert places[:3].tolist() == [0, 5, 17]
    assert places[-1] == 288
    assert [cost.bad for cost in dearest(kept)] == [100]
