from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.core.clock import Interval, floor_time, require_aware, utc_now
from analytics.core.errors import InputError

moments = st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
steps = st.sampled_from([timedelta(minutes=5), timedelta(hours=1), timedelta(days=1), timedelta(seconds=7)])


def test_the_present_is_in_utc():
    assert utc_now().tzinfo is UTC


def test_a_time_without_a_zone_is_refused():
    with pytest.raises(InputError, match="no time zone"):
        require_aware(datetime(2026, 1, 1))  # noqa: DTZ001 - that is the point


def test_a_time_of_another_zone_is_the_same_moment_in_utc():
    berlin = datetime(2026, 7, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    assert require_aware(berlin) == datetime(2026, 7, 1, 10, tzinfo=UTC)


@given(moments, steps)
def test_a_moment_lies_in_the_bucket_it_is_floored_to(moment, step):
    start = floor_time(moment, step)
    assert start <= moment < start + step


@given(moments, steps)
def test_flooring_twice_is_flooring_once(moment, step):
    assert floor_time(floor_time(moment, step), step) == floor_time(moment, step)


def test_an_interval_that_ends_before_it_starts_is_refused():
    now = utc_now()
    with pytest.raises(InputError, match="before it starts"):
        Interval(now, now - timedelta(seconds=1))


def test_the_last_hour_is_one_hour_long():
    assert Interval.last(timedelta(hours=1)).length == timedelta(hours=1)
