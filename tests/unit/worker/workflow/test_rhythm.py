"""When schedules come: cron in time zones whose clocks change, month ends, leap days, intervals."""

from datetime import UTC, datetime, timedelta

import pytest

from analytics.core.errors import InputError
from worker.workflow.rhythm import find_zone, newest_times, next_time, next_times, parse_rhythm

BERLIN = "Europe/Berlin"


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


def local(cron: str, zone: str, after: datetime, count: int) -> list[str]:
    found = next_times(parse_rhythm(cron=cron), zone, after, count)
    return [moment.astimezone(find_zone(zone)).strftime("%m-%d %H:%M %z") for moment in found]


def test_a_time_that_a_night_leaves_out_comes_once_when_the_clock_is_changed():
    assert local("30 2 * * *", BERLIN, utc(2026, 3, 28), 3) == [
        "03-28 02:30 +0100",
        "03-29 03:00 +0200",
        "03-30 02:30 +0200",
    ]


def test_several_times_that_a_night_leaves_out_come_once_and_not_beside_the_hour_itself():
    assert local("*/30 1-3 * * *", BERLIN, utc(2026, 3, 29), 4) == [
        "03-29 01:30 +0100",
        "03-29 03:00 +0200",
        "03-29 03:30 +0200",
        "03-30 01:00 +0200",
    ]


def test_a_time_that_a_night_has_twice_comes_the_first_time():
    assert local("30 2 * * *", BERLIN, utc(2026, 10, 24, 12), 2) == ["10-25 02:30 +0200", "10-26 02:30 +0100"]


def test_asked_between_the_two_it_does_not_come_again():
    assert local("45 2 * * *", BERLIN, utc(2026, 10, 25, 1, 30), 1) == ["10-26 02:45 +0100"]


def test_what_comes_every_hour_goes_by_hours_that_pass():
    assert local("0 * * * *", BERLIN, utc(2026, 10, 24, 23, 30), 4) == [
        "10-25 02:00 +0200",
        "10-25 02:00 +0100",
        "10-25 03:00 +0100",
        "10-25 04:00 +0100",
    ]
    assert local("30 * * * *", BERLIN, utc(2026, 3, 29, 0, 0), 2) == ["03-29 01:30 +0100", "03-29 03:30 +0200"]


def test_a_zone_that_skips_midnight_starts_its_day_an_hour_later():
    assert local("0 0 * * *", "America/Sao_Paulo", utc(2018, 11, 3, 12), 1) == ["11-04 01:00 -0200"]


def test_a_zone_that_skips_a_day_has_one_run_for_it():
    assert local("0 12 * * *", "Pacific/Apia", utc(2011, 12, 29, 1), 3) == [
        "12-29 12:00 -1000",
        "12-31 00:00 +1400",
        "12-31 12:00 +1400",
    ]


def test_a_clock_that_is_changed_by_half_an_hour():
    assert local("15 2 * * *", "Australia/Lord_Howe", utc(2026, 10, 3, 0), 2) == [
        "10-04 02:30 +1100",
        "10-05 02:15 +1100",
    ]


def test_leap_days_and_month_ends():
    after = datetime(2026, 1, 15, tzinfo=UTC)
    leap = next_times(parse_rhythm(cron="0 6 29 2 *"), "UTC", after, 2)
    ends = next_times(parse_rhythm(cron="0 6 L * *"), "UTC", after, 3)
    long = next_times(parse_rhythm(cron="0 6 31 * *"), "UTC", after, 3)

    assert [moment.year for moment in leap] == [2028, 2032]
    assert [moment.strftime("%m-%d") for moment in ends] == ["01-31", "02-28", "03-31"]
    assert [moment.month for moment in long] == [1, 3, 5]


def test_names_ranges_steps_and_words():
    friday = datetime(2026, 11, 20, 12, tzinfo=UTC)

    assert next_time(parse_rhythm(cron="0 9 * * MON-FRI"), "UTC", friday) == datetime(2026, 11, 23, 9, tzinfo=UTC)
    assert next_time(parse_rhythm(cron="5/20 * * jan,nov *"), "UTC", friday) == friday + timedelta(minutes=5)
    assert next_time(parse_rhythm(cron="@monthly"), "UTC", friday) == datetime(2026, 12, 1, tzinfo=UTC)


def test_an_interval_counts_from_its_anchor():
    anchor = datetime(2026, 1, 1, 0, 7, tzinfo=UTC)
    rhythm = parse_rhythm(every_s=5400, anchor=anchor)

    assert next_times(rhythm, "UTC", anchor, 2) == [anchor + timedelta(minutes=90), anchor + timedelta(minutes=180)]
    assert next_time(rhythm, "UTC", anchor - timedelta(days=3)) == anchor


def test_the_newest_times_of_a_long_outage_are_found_without_going_through_all():
    until = datetime(2026, 1, 1, 0, 0, 30, tzinfo=UTC)
    found = newest_times(parse_rhythm(cron="* * * * *"), "UTC", datetime(2000, 1, 1, tzinfo=UTC), until, 3)

    assert [moment.strftime("%H:%M") for moment in found] == ["23:58", "23:59", "00:00"]


def test_the_newest_times_do_not_begin_before_they_may():
    since = datetime(2026, 1, 1, tzinfo=UTC)
    found = newest_times(parse_rhythm(every_s=60), "UTC", since, since + timedelta(minutes=2), 100)

    assert found == [since, since + timedelta(minutes=1), since + timedelta(minutes=2)]


@pytest.mark.parametrize(
    "wrong",
    ["", "* * * *", "0 0 * * * *", "61 * * * *", "0 0 30 2 *", "H 0 * * *", "@reboot", "0 0 * * funday", "*/0 * * * *"],
)
def test_a_cron_expression_that_cannot_be_used_is_refused(wrong: str):
    with pytest.raises(InputError, match="othing was stored"):
        parse_rhythm(cron=wrong)


@pytest.mark.parametrize("wrong", [{}, {"cron": "@daily", "every_s": 5}, {"every_s": 0.5}, {"every_s": 1e9}], ids=str)
def test_it_is_either_cron_or_an_interval_within_bounds(wrong: dict[str, object]):
    with pytest.raises(InputError):
        parse_rhythm(**wrong)


@pytest.mark.parametrize("wrong", ["Europe/Nowhere", "", "../etc/passwd", "/etc/localtime"])
def test_an_unknown_zone_is_refused(wrong: str):
    with pytest.raises(InputError, match="time zone"):
        find_zone(wrong)
