from datetime import timedelta

import pytest

from analytics.core.errors import InputError
from worker.workflow.durations import duration_problems, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("30s", 30), ("1.5m", 90), ("2h", 7200), ("7d", 604_800), (0.5, 0.5), (3, 3), (" 5s ", 5)],
)
def test_a_duration_is_a_number_of_seconds_or_has_a_unit(text, seconds):
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "s", "5 s", "-1s", "1w", "1e9s", "999999999d999", "٣s"])
def test_other_text_is_no_duration(text):
    with pytest.raises(InputError, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 1e300, "999999999d"])
def test_what_cannot_be_counted_is_an_error_of_ours(value):
    with pytest.raises(InputError, match="no duration"):
        parse_duration(value)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("0s", "a duration above 0 to 1h is needed, not 0s"),
        ("2h", "a duration above 0 to 1h is needed, not 2h"),
        ("soon", "'soon' is not a duration"),
        ([1], "is not a duration"),
    ],
)
def test_a_duration_out_of_range_is_told_with_the_range(value, reason):
    [(path, found)] = duration_problems({"for": value}, "for", most_s=3600)
    assert path == ("for",)
    assert reason in found


@pytest.mark.parametrize("value", [None, "{{ params.x }}", "{{ params.x }}s", 1, "1h"])
def test_what_is_not_known_yet_or_fits_is_no_problem(value):
    assert list(duration_problems({"for": value}, "for", most_s=3600)) == []
