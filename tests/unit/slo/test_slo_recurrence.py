"""Spans that come again, by the clock of a time zone."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from analytics.core.clock import Interval
from analytics.core.errors import InputError
from analytics.slo.recurrence import recurrence

BERLIN = ZoneInfo("Europe/Berlin")
HOUR = timedelta(hours=1)
YEAR_2026 = Interval(datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))


def berlin(month: int, day: int, hour: int, minute: int = 0, *, fold: int = 0) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=BERLIN, fold=fold)


def span(since: datetime, length: timedelta = HOUR) -> Interval:
    return Interval(since.astimezone(UTC), since.astimezone(UTC) + length)


def found(
    first: Interval, rule: str | None, within: Interval = YEAR_2026, zone: str = "Europe/Berlin"
) -> list[Interval]:
    return recurrence(first, rule=rule, zone=zone).within(within)


def starts(first: Interval, rule: str, within: Interval = YEAR_2026) -> list[datetime]:
    return [item.since for item in found(first, rule, within)]


def test_a_rule_keeps_to_the_clock_when_summer_time_comes() -> None:
    spans = found(span(berlin(3, 22, 4)), "FREQ=WEEKLY;BYDAY=SU;COUNT=2")
    assert [item.since.hour for item in spans] == [3, 2]
    assert [item.length for item in spans] == [HOUR, HOUR]


def test_a_span_over_the_spring_night_is_an_hour_shorter() -> None:
    spans = found(span(berlin(3, 28, 1), 3 * HOUR), "FREQ=DAILY;COUNT=2")
    assert [item.length for item in spans] == [3 * HOUR, 2 * HOUR]


def test_a_span_over_the_autumn_night_is_an_hour_longer() -> None:
    spans = found(span(berlin(10, 24, 1), 3 * HOUR), "FREQ=DAILY;COUNT=2")
    assert [item.length for item in spans] == [3 * HOUR, 4 * HOUR]


def test_a_time_that_the_clock_skips_comes_after_the_change() -> None:
    spans = found(span(berlin(3, 28, 2, 30), HOUR / 2), "FREQ=DAILY;COUNT=2")
    assert spans[1] == Interval(datetime(2026, 3, 29, 1, 30, tzinfo=UTC), datetime(2026, 3, 29, 2, 0, tzinfo=UTC))


def test_a_time_that_comes_twice_counts_the_first_time() -> None:
    assert starts(span(berlin(10, 24, 2, 30)), "FREQ=DAILY;COUNT=2")[1] == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


def test_the_first_occurrence_is_as_given_even_in_the_hour_that_comes_twice() -> None:
    first = span(berlin(10, 25, 2, 30, fold=1))
    assert found(first, "FREQ=WEEKLY")[0] == first
    into_it = Interval(berlin(10, 25, 2, 45).astimezone(UTC), berlin(10, 25, 2, 15, fold=1).astimezone(UTC))
    assert [item.length for item in found(into_it, "FREQ=DAILY;COUNT=2")] == [HOUR / 2, HOUR / 2]


@pytest.mark.parametrize(
    ("first", "rule", "days"),
    [
        pytest.param(
            berlin(1, 31, 4), "FREQ=MONTHLY;BYMONTHDAY=-1;COUNT=3", [(1, 31), (2, 28), (3, 31)], id="month end"
        ),
        pytest.param(berlin(1, 31, 4), "FREQ=MONTHLY;COUNT=3", [(1, 31), (3, 31), (5, 31)], id="31st only"),
        pytest.param(
            berlin(1, 13, 4), "FREQ=MONTHLY;BYDAY=2TU;COUNT=3", [(1, 13), (2, 10), (3, 10)], id="second Tuesday"
        ),
        pytest.param(
            berlin(1, 30, 4),
            "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1;COUNT=3",
            [(1, 30), (2, 27), (3, 31)],
            id="last workday",
        ),
        pytest.param(
            berlin(1, 5, 4),
            "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,TH;COUNT=4",
            [(1, 5), (1, 8), (1, 19), (1, 22)],
            id="fortnight",
        ),
        pytest.param(
            berlin(5, 1, 4), "FREQ=YEARLY;BYMONTH=5,10;BYMONTHDAY=1,3;COUNT=3", [(5, 1), (5, 3), (10, 1)], id="yearly"
        ),
        pytest.param(berlin(1, 1, 4), "FREQ=DAILY;UNTIL=20260103", [(1, 1), (1, 2), (1, 3)], id="until a day"),
        pytest.param(berlin(1, 1, 4), "FREQ=DAILY;UNTIL=20260102T030000Z", [(1, 1), (1, 2)], id="until a time of UTC"),
        pytest.param(
            berlin(1, 1, 4), "rrule:freq=daily;until=20260102T035900", [(1, 1)], id="until a time of the clock"
        ),
    ],
)
def test_rules_come_on_their_days(first: datetime, rule: str, days: list[tuple[int, int]]) -> None:
    assert [(item.month, item.day) for item in starts(span(first), rule)] == days


def test_the_29th_of_february_comes_in_leap_years() -> None:
    first = span(datetime(2024, 2, 29, 4, tzinfo=UTC))
    decade = Interval(datetime(2024, 1, 1, tzinfo=UTC), datetime(2034, 1, 1, tzinfo=UTC))
    assert [item.since.year for item in found(first, "FREQ=YEARLY", decade, "UTC")] == [2024, 2028, 2032]


def test_occurrences_are_cut_to_the_span_asked_for() -> None:
    night = span(berlin(1, 1, 22), 8 * HOUR)
    asked = Interval(berlin(5, 2, 0).astimezone(UTC), berlin(5, 2, 23).astimezone(UTC))
    assert found(night, "FREQ=DAILY", asked) == [
        Interval(asked.since, berlin(5, 2, 6).astimezone(UTC)),
        Interval(berlin(5, 2, 22).astimezone(UTC), asked.until),
    ]
    assert found(night, None, asked) == []
    assert found(night, None) == [night]


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        pytest.param("", "has no FREQ of DAILY, WEEKLY", id="empty"),
        pytest.param("FREQ=SECONDLY", "has no FREQ of DAILY, WEEKLY", id="too often"),
        pytest.param("FREQ=DAILY;BYHOUR=1,2", "cannot have 'BYHOUR'; it may have INTERVAL", id="part not allowed"),
        pytest.param("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "cannot have 'BYMONTH'", id="never, daily"),
        pytest.param("FREQ=YEARLY;BYMONTH=2,4;BYMONTHDAY=31", "has a day 31", id="never, yearly"),
        pytest.param("FREQ=MONTHLY;BYDAY=MO;BYSETPOS=40", "BYSETPOS=40 cannot be used", id="no such position"),
        pytest.param("FREQ=MONTHLY;BYDAY=1MO;BYSETPOS=2", "BYSETPOS needs BYDAY with plain days", id="two positions"),
        pytest.param("FREQ=MONTHLY;BYDAY=5MO;BYMONTHDAY=1", "BYDAY or BYMONTHDAY, not both", id="two days"),
        pytest.param("FREQ=YEARLY;BYDAY=MO", "needs BYMONTH", id="days of no month"),
        pytest.param("FREQ=WEEKLY;BYDAY=XX", "BYDAY=XX cannot be used", id="no day"),
        pytest.param("FREQ=WEEKLY;INTERVAL=0", "INTERVAL=0 cannot be used", id="no interval"),
        pytest.param("FREQ=WEEKLY;COUNT=2;UNTIL=20260101", "not by both", id="two ends"),
        pytest.param("FREQ=WEEKLY;COUNT=2;COUNT=3", "gives a part twice", id="twice"),
        pytest.param("FREQ=DAILY;UNTIL=20261340", "UNTIL=20261340 is no date", id="no date"),
        pytest.param("FREQ=WEEKLY;BYDAY=SU", "comes first on Sunday 2026-01-04 at 04:00", id="starts on another day"),
        pytest.param("FREQ=DAILY;UNTIL=20250101", "comes never", id="over before it starts"),
        pytest.param("FREQ=DAILY;" + "X" * 300, "at most 200 characters", id="too long"),
        pytest.param("FREQ=DAILY;;", "gives a part twice", id="empty parts"),
    ],
)
def test_a_rule_that_cannot_be_used_is_refused_with_what_could_be_written(rule: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        recurrence(span(berlin(1, 1, 4)), rule=rule, zone="Europe/Berlin")


@pytest.mark.parametrize("zone", ["Mars/Base", "../etc/passwd", "", "\x00"])
def test_a_zone_that_does_not_exist_is_refused(zone: str) -> None:
    with pytest.raises(InputError, match="There is no time zone"):
        recurrence(span(berlin(1, 1, 4)), rule=None, zone=zone)
