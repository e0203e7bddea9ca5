import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.insights.anomaly import anomalies, judge
from analytics.insights.course import median, memory, season_of, usual, without_shape

HOURS = 21 * 24


def daily(seed: int = 1, *, noise: float = 5.0) -> np.ndarray:
    steps = np.arange(HOURS)
    return 100 + 40 * np.sin(steps / 24 * 2 * np.pi) + noise * np.random.default_rng(seed).normal(size=HOURS)


def test_a_spike_is_found_where_it_is_and_nothing_else():
    values = daily()
    values[400:402] += 60
    found = anomalies(judge(values))
    assert [(one.first, one.peak) for one in found] == [(400, found[0].peak)]
    assert found[0].peak in {400, 401}
    assert found[0].is_above
    assert found[0].confidence > 0.99


def test_a_usual_value_at_an_unusual_hour_is_an_anomaly():
    values = daily(noise=2.0)
    night = 16 * 24 + 18
    values[night : night + 3] = values[night - 12 : night - 9]
    found = anomalies(judge(values))
    assert any(one.first in range(night, night + 3) for one in found)


def test_noise_without_anomalies_is_silent():
    assert [anomalies(judge(daily(seed))) for seed in (3, 4, 5)] == [[], [], []]


@pytest.mark.parametrize("level", [0.0, 5.0, -3.0])
def test_a_constant_course_has_no_anomaly(level):
    assert anomalies(judge(np.full(HOURS, level))) == []


def test_what_is_too_small_to_matter_is_no_anomaly():
    values = np.zeros(HOURS)
    values[300] = 1.0
    assert anomalies(judge(values))
    assert anomalies(judge(values, least_sigma=2.0)) == []


def test_nothing_after_a_step_changes_what_is_thought_of_it():
    values = daily()
    values[400:402] += 60
    whole, cut = judge(values), judge(values[:420])
    # Only how long it cools down depends on the length.
    assert whole.score[:401] == pytest.approx(cut.score[:401], abs=1e-6)
    assert np.array_equal(whole.expected[:420], cut.expected, equal_nan=True)


def test_one_accident_does_not_hide_the_next():
    values = daily()
    values[300:303] += 80
    values[450:453] += 60
    assert [one.first for one in anomalies(judge(values))] == [300, 450]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.floats(-1e9, 1e9)), min_size=1, max_size=120),
    st.integers(1, 30),
)
def test_any_course_can_be_judged(values, season):
    judged = judge(np.array([np.nan if value is None else value for value in values]), season=season)
    assert np.isfinite(judged.score).all()
    assert (judged.score >= 0).all()
    assert ((judged.confidence >= 0) & (judged.confidence <= 1)).all()


def test_the_usual_value_is_the_median_of_the_same_hour_before():
    values = np.tile(np.arange(24.0), 6)
    values[3 * 24 + 5] = 1000
    expected = usual(values, 24)
    assert np.isnan(expected[: 3 * 24]).all()
    assert expected[5 * 24 : 6 * 24].tolist() == list(range(24))


def test_the_shape_goes_and_the_level_stays():
    steps = np.arange(10 * 24)
    rest = without_shape(50 + 10 * np.sin(steps / 24 * 2 * np.pi), 24)
    assert rest == pytest.approx(np.full(len(steps), 50.0), abs=0.5)


def test_a_week_is_the_season_of_what_rests_at_weekends():
    steps = np.arange(28 * 24)
    values = np.where((steps // 24) % 7 >= 5, 10.0, 100.0) + np.random.default_rng(1).normal(size=len(steps))
    assert season_of(values, 24) == 168
    assert season_of(daily(), 24) == 24


def test_the_median_passes_over_what_is_not_known():
    rows = np.array([[1.0, np.nan, 3.0], [np.nan] * 3, [5.0, 1.0, 2.0]])
    assert median(rows).tolist() == pytest.approx([2.0, np.nan, 2.0], nan_ok=True)


def test_memory_is_what_is_left_one_step_later():
    noise = np.random.default_rng(2).normal(size=4000)
    remembered = noise.copy()
    for place in range(1, len(noise)):
        remembered[place] += 0.6 * remembered[place - 1]
    assert memory(remembered) == pytest.approx(0.6, abs=0.05)
    assert memory(noise) < 0.05
    assert memory(np.full(10, 3.0)) == 0.0
