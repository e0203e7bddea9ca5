"""Values read as people write them, and silence reads as silence."""

from datetime import UTC, datetime, timedelta

import pytest

from dashboard import formats

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (7, "7"), (1234, "1,234"), (12_345, "12.3k"), (1.2e6, "1.2M"), (3.14159, "3.14"), (0.001234, "0.00123")],
)
def test_numbers_are_compact_from_ten_thousand(value, text):
    assert formats.number(value) == text


@pytest.mark.parametrize(
    "write", [formats.number, formats.percent, formats.duration, formats.size_bytes, formats.money]
)
@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_what_is_not_known_is_never_a_number(write, value):
    assert write(value) == formats.NO_DATA


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(0, "0 %"), (1, "100 %"), (0.5, "50 %"), (0.9991, "99.91 %"), (0.99999, "99.999 %"), (-0.3, "-30 %")],
)
def test_a_share_close_to_full_is_not_rounded_to_full(ratio, text):
    assert formats.percent(ratio) == text


@pytest.mark.parametrize(
    ("ratio", "target", "text"),
    [
        (0.98957, 0.99, "98.96 %"),
        (0.989999, 0.99, "98.9999 %"),
        (0.99, 0.99, "99 %"),
        (0.95, 0.99, "95 %"),
        (None, 0.99, formats.NO_DATA),
    ],
)
def test_a_missed_target_never_reads_as_met(ratio, target, text):
    assert formats.percent_against(ratio, target) == text


def test_almost_everything_is_less_than_everything():
    assert formats.percent(0.999999999) == "99.999 %"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.00034, "0.34 ms"),
        (0.34, "340 ms"),
        (1.25, "1.2 s"),
        (61, "1 min 1 s"),
        (7265, "2 h 1 min"),
        (timedelta(days=1, hours=1), "1 d 1 h"),
        (-90, "-1 min 30 s"),
    ],
)
def test_durations_take_their_two_largest_units(seconds, text):
    assert formats.duration(seconds) == text


@pytest.mark.parametrize(
    ("ago", "text"),
    [
        (0, "just now"),
        (12, "12 s ago"),
        (300, "5 min ago"),
        (90_000, "1 d ago"),
        (-120, "in 2 min"),
        (-0.5, "just now"),
    ],
)
def test_ages_take_one_unit(ago, text):
    assert formats.age(NOW - timedelta(seconds=ago), now=NOW) == text


def test_what_never_happened_says_so():
    assert formats.age(None, now=NOW) == "never"
    assert formats.moment(None) == formats.DASH


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.5, "ratio", "50 %"),
        (1.5, "s", "1.5 s"),
        (250, "ms", "250 ms"),
        (1536, "bytes", "1.5 KiB"),
        (3.5, "usd", "$3.50"),
        (12, "count", "12"),
        (12, "tokens", "12 tokens"),
        (None, "tokens", formats.NO_DATA),
    ],
)
def test_a_quantity_carries_its_unit(value, unit, text):
    assert formats.quantity(value, unit) == text


@pytest.mark.parametrize(
    ("value", "previous", "unit", "text"),
    [(0.95, 0.9, "ratio", "+5.0 points"), (3, 2, "s", "+50.0 %"), (1, 2, "count", "-50.0 %"), (2, 2, "s", "0")],
)
def test_a_change_is_signed(value, previous, unit, text):
    assert formats.change(value, previous, unit) == text


def test_nothing_is_compared_with_zero():
    assert formats.change(3, 0, "count") is None


def test_moments_are_shown_in_the_zone_of_the_viewer():
    assert formats.moment(NOW, formats.zone_named("Europe/Berlin")) == "21 Nov 2026 13:00:00 CET"


@pytest.mark.parametrize("name", [None, "", "No/Where", "../../etc/passwd"])
def test_an_unknown_zone_is_utc(name):
    assert formats.zone_named(name).key == "UTC"


def test_names_that_people_gave_draw_nothing():
    shown = formats.escaped("a@b.c [x](http://e) :red[y] *z* <b>")
    assert "[" not in shown.replace("\\[", "")
    plain = shown.replace("\N{WORD JOINER}", "")
    assert plain == r"a\@b.c \[x\]\(http\://e\) \:red\[y\] \*z\* \<b\>"


@pytest.mark.parametrize("address", ["a@b.example", "http://e.example", "www.e.example"])
def test_addresses_in_names_are_not_made_links(address):
    assert address not in formats.escaped(address).replace("\\", "")


def test_absent_text_is_empty():
    assert formats.escaped(None) == ""


@pytest.mark.parametrize(("count", "text"), [(0, "0 runs"), (1, "1 run"), (2, "2 runs"), (1200, "1,200 runs")])
def test_one_thing_has_no_plural(count, text):
    assert formats.plural(count, "run") == text
