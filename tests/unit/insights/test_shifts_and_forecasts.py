import math

import numpy as np
import pytest

from analytics.insights.advice import advise, alarms_per_week
from analytics.insights.capacity import growth, load_at, reach
from analytics.insights.correlation import correlations
from analytics.insights.forecast import forecast
from analytics.insights.regression import shifts


def noise(seed: int, steps: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=steps)


def daily(steps: int, seed: int = 1) -> np.ndarray:
    return 100 + 40 * np.sin(np.arange(steps) / 24 * 2 * np.pi) + 3 * noise(seed, steps)


def test_a_level_that_changed_is_found_with_its_size():
    values = 20 + noise(7, 120)
    values[70:] += 2
    (found,) = shifts(values, season=1)
    assert abs(found.at - 70) <= 2
    assert found.until is None
    assert found.effect == pytest.approx(2, abs=0.5)
    assert found.after - found.before == pytest.approx(2, abs=0.5)
    assert found.confidence > 0.99


def test_a_level_that_came_back_says_until_when_it_lasted():
    values = 20 + noise(3, 200)
    values[80:140] += 4
    first, second = shifts(values, season=1)
    assert (first.at, first.until, second.at) == (80, second.at, 140)
    assert second.effect < 0


def test_gaps_do_not_move_a_change():
    values = 20 + noise(7, 160)
    values[90:] += 3
    values[[5, 6, 7, 8, 60, 61, 62]] = np.nan
    (found,) = shifts(values, season=1)
    assert abs(found.at - 90) <= 2


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(20 + noise(1, 120), id="noise"),
        pytest.param(20 + np.arange(120) * 0.2 + noise(2, 120), id="steady growth"),
        pytest.param(np.full(120, 4.0), id="constant"),
        pytest.param(np.full(120, np.nan), id="nothing"),
        pytest.param(np.arange(5.0), id="too short"),
    ],
)
def test_what_did_not_change_for_good_has_no_change(values):
    assert shifts(values, season=1) == []


def test_a_shift_under_a_daily_shape_is_found():
    values = daily(240)
    values[150:] += 12
    (found,) = shifts(values, season=24)
    assert abs(found.at - 150) <= 3


def test_a_forecast_repeats_the_shape_of_the_day_on_the_latest_level():
    values = daily(20 * 24)
    values[15 * 24 :] += 50
    found = forecast(values, season=24, ahead=48)
    assert found is not None
    truth = 150 + 40 * np.sin(np.arange(20 * 24, 22 * 24) / 24 * 2 * np.pi)
    assert np.abs(found.middle - truth).mean() < 6
    assert (found.low <= found.middle).all()
    assert (found.middle <= found.high).all()


def test_a_forecast_sees_weekends():
    steps = np.arange(28 * 24)
    values = np.where((steps // 24) % 7 >= 5, 20.0, 100.0) + noise(1, len(steps))
    found = forecast(values[: 26 * 24], season=24, ahead=48)
    assert found is not None
    assert found.season == 168
    assert found.error < found.naive_error / 2
    assert np.abs(found.middle - values[26 * 24 :]).mean() < 5


@pytest.mark.parametrize("values", [np.full(500, np.nan), np.arange(40.0), np.array([])])
def test_too_little_has_no_forecast(values):
    assert forecast(values, season=24, ahead=24) is None


def test_what_follows_something_is_found_at_its_lag():
    cause = noise(1, 500)
    effect = 5 + 0.8 * np.roll(cause, 3) + 0.5 * noise(2, 500)
    stranger = noise(3, 500)
    found = correlations({"cause": cause, "effect": effect, "stranger": stranger})
    assert [(one.first, one.second, one.lag) for one in found] == [("cause", "effect", 3)]
    assert 0.5 < found[0].coefficient < 1
    assert found[0].p_value < 1e-6


def test_two_courses_that_both_grow_do_not_go_together_for_that():
    steps = np.arange(500)
    assert correlations({"a": steps + 3 * noise(1, 500), "b": 2.0 * steps + 3 * noise(2, 500)}) == []


def test_one_shared_accident_is_no_correlation():
    first, second = noise(1, 300), noise(2, 300)
    first[100] += 500
    second[100] += 500
    assert correlations({"a": first, "b": second}) == []


def test_growth_says_when_a_bound_is_reached_and_how_sure_it_is():
    found = growth(0.5 + 0.005 * np.arange(40) + 0.01 * noise(1, 40))
    assert found is not None
    assert found.slope == pytest.approx(0.005, abs=0.0005)
    assert found.slope_low < 0.005 < found.slope_high
    assert found.confidence > 0.99
    when = reach(found, 0.9)
    assert when.early < when.likely < when.late
    assert when.likely == pytest.approx((0.9 - 0.695) / 0.005, rel=0.1)


def test_what_does_not_grow_never_reaches_its_bound():
    found = growth(0.5 + 0.01 * noise(1, 40))
    assert found is not None
    assert found.confidence < 0.95
    assert reach(found, 0.9).late == math.inf
    assert reach(found, 0.4).likely == 0.0
    assert growth(np.arange(10.0)) is None


def test_the_load_that_a_resource_bears_is_where_its_line_meets_the_bound():
    load = 100 + 20 * noise(1, 300)
    found = load_at(load, 0.1 + 0.004 * load, 0.9)
    assert found is not None
    assert found == pytest.approx((200.0, 1.0))
    assert load_at(load, 1 - 0.004 * load, 0.9) is None


def test_advised_bounds_lie_in_order_beyond_the_usual_value():
    values = 0.2 + 0.02 * noise(1, 28 * 24)
    found = advise(values, is_lower_better=True)
    assert found is not None
    assert 0.2 <= found.target < found.good < found.warning
    assert found.alarms_per_week < 2
    turned = advise(1 - values, is_lower_better=False, most=1.0)
    assert turned is not None
    assert turned.target > turned.good > turned.warning
    assert advise(values[:100], is_lower_better=True) is None


def test_alarms_are_counted_once_as_long_as_they_last():
    values = np.zeros(168)
    values[[10, 11, 12, 50]] = 5
    values[[13, 14]] = np.nan
    assert alarms_per_week(values, 4, is_lower_better=True, steps_per_week=168) == pytest.approx(2 * 168 / 166)
