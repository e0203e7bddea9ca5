"""Small trends say in words what they show, break at gaps, and start bars at zero."""

import re

import pytest

from dashboard.components.sparks import in_words, picture

GAP = float("nan")


def path(values, kind="line"):
    return re.search(r' d="([^"]*)"', picture(values, kind, "#123456"))[1]


def heights(values):
    return [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", path(values))]


def test_a_trend_says_where_it_began_and_ended_and_its_extremes():
    assert in_words([0.9, 0.5, 0.8], "Runs completed", "ratio") == (
        "Runs completed: from 90 % to 80 %, lowest 50 %, highest 90 %"
    )


def test_a_line_is_broken_at_a_gap_and_a_lonely_value_is_a_dot():
    assert re.findall("[MLh]", path([1.0, 2.0, GAP, 3.0, GAP, 4.0, 5.0])) == list("MLMhML")


def test_higher_values_stand_higher_and_nothing_leaves_the_picture():
    low, high, middle = heights([1.0, 3.0, 2.0])
    assert 52 > low > middle > high > 0


def test_a_trend_that_does_not_change_is_a_line_in_the_middle():
    assert heights([4.0, 4.0, 4.0]) == [26.0, 26.0, 26.0]


def test_bars_start_at_zero_so_that_twice_as_much_is_twice_as_high():
    up = [float(height) for height in re.findall(r"v-([\d.]+)", path([10.0, 20.0], "bar"))]
    assert up[1] == pytest.approx(2 * up[0], abs=0.1)


def test_a_step_with_nothing_has_no_bar():
    assert path([3.0, 0.0, GAP, 1.0], "bar").count("z") == 2
