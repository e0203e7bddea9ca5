"""How answers of Prometheus are read."""

import itertools
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from analytics.core.clock import Interval
from analytics.core.errors import InputError
from analytics.sources.prometheus import MAX_POINTS, PromClient, _pages, _series, _value, matcher

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("api", 'job="api"', id="plain"),
        pytest.param('a"b', r'job="a\"b"', id="quote"),
        pytest.param("a\\", r'job="a\\"', id="backslash"),
        pytest.param("a\nb", r'job="a\nb"', id="newline"),
    ],
)
def test_a_label_value_cannot_end_its_string(value: str, expected: str) -> None:
    assert matcher("job", value) == expected


def test_a_matcher_takes_an_operator() -> None:
    assert matcher("le", "2(\\.0)?", "=~") == r'le=~"2(\\.0)?"'


def test_what_is_not_known_has_no_value_and_infinity_stays() -> None:
    assert _value({"value": [1, "NaN"]}) is None
    assert _value({"value": [1, "+Inf"]}) == np.inf
    assert _value({"value": [1, "0.25"]}) == 0.25


def test_a_native_histogram_is_refused() -> None:
    with pytest.raises(InputError, match="histograms, not numbers"):
        _value({"metric": {}, "histogram": [1, {}]})


def test_a_series_keeps_nan_and_infinity() -> None:
    series = _series({"a": "b"}, [[1.5, "1"], [2, "NaN"], [3, "-Inf"]])
    assert series.times.tolist() == [1.5, 2, 3]
    assert np.isnan(series.values[1])
    assert series.values[2] == -np.inf


def test_a_range_ends_before_its_end() -> None:
    interval = Interval(NOON, NOON + timedelta(minutes=10))
    assert list(_pages(interval, timedelta(minutes=5))) == [(NOON, NOON + timedelta(minutes=5))]
    assert list(_pages(Interval(NOON, NOON), timedelta(minutes=5))) == []
    odd = Interval(NOON, NOON + timedelta(minutes=11))
    assert list(_pages(odd, timedelta(minutes=5))) == [(NOON, NOON + timedelta(minutes=10))]


def test_a_long_range_is_asked_in_parts_that_meet() -> None:
    step = timedelta(seconds=60)
    pages = list(_pages(Interval(NOON, NOON + 25_000 * step), step))
    assert [(until - since) // step + 1 for since, until in pages] == [MAX_POINTS, MAX_POINTS, 3_000]
    assert all(later[0] - earlier[1] == step for earlier, later in itertools.pairwise(pages))


@pytest.mark.parametrize("step", [timedelta(0), timedelta(milliseconds=500), timedelta(seconds=1.5)])
def test_a_step_that_is_not_whole_seconds_is_refused(step: timedelta) -> None:
    with PromClient("http://127.0.0.1:9") as client, pytest.raises(InputError, match="whole seconds"):
        client.range("up", Interval(NOON, NOON + timedelta(hours=1)), step)
