"""The arithmetic of error budgets against published numbers, silence and impossible input."""

import math
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.core.errors import InputError
from analytics.slo.math import (
    burn_rate,
    burn_threshold,
    coverage,
    error_budget,
    shares_left,
    sli,
    time_to_exhaustion,
)

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
MONTH = 30 * DAY

counts = st.integers(min_value=1, max_value=10**9).flatmap(
    lambda total: st.tuples(st.integers(min_value=0, max_value=total), st.just(total))
)
ratios = st.floats(min_value=1e-6, max_value=0.999)


@pytest.mark.parametrize(
    ("share", "window", "expected"),
    [
        pytest.param(0.02, HOUR, 14.4, id="page-1h"),
        pytest.param(0.05, 6 * HOUR, 6.0, id="page-6h"),
        pytest.param(0.10, 3 * DAY, 1.0, id="ticket-3d"),
        pytest.param(0.10, DAY, 3.0, id="ticket-1d"),
    ],
)
def test_thresholds_match_the_workbook(share: float, window: timedelta, expected: float) -> None:
    """The alerts of the SRE workbook, table 5-8, come out for a 30-day period."""
    assert burn_threshold(share, window=window, period=MONTH) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("target", "days", "minutes"),
    [
        pytest.param(0.999, 30, 43.2, id="three-nines-30d"),
        pytest.param(0.999, 28, 40.32, id="three-nines-28d"),
        pytest.param(0.999, 31, 44.64, id="three-nines-31d"),
        pytest.param(0.99, 30, 432, id="two-nines-30d"),
    ],
)
def test_a_budget_in_minutes_matches_the_published_tables(target: float, days: int, minutes: float) -> None:
    budget = error_budget(1, 1, budget_ratio=1 - target, period=days * DAY)
    assert budget is not None
    assert budget.minutes == pytest.approx(minutes)


def test_a_budget_counts_events() -> None:
    budget = error_budget(99_960, 100_000, budget_ratio=0.001, period=MONTH)
    assert budget is not None
    assert budget.total_events == pytest.approx(100)
    assert budget.consumed_events == 40
    assert budget.remaining_events == pytest.approx(60)
    assert budget.remaining_ratio == pytest.approx(0.6)
    assert not budget.is_exhausted


def test_a_budget_that_is_overspent_is_below_zero() -> None:
    budget = error_budget(99_700, 100_000, budget_ratio=0.001, period=MONTH)
    assert budget is not None
    assert budget.remaining_ratio == pytest.approx(-2)
    assert budget.is_exhausted


def test_a_target_of_all_is_kept_or_broken_and_never_divides_by_zero() -> None:
    kept = error_budget(10, 10, budget_ratio=0.0, period=MONTH)
    broken = error_budget(9, 10, budget_ratio=0.0, period=MONTH)
    assert kept is not None
    assert broken is not None
    assert (kept.remaining_ratio, kept.is_exhausted) == (1.0, False)
    assert (broken.remaining_ratio, broken.is_exhausted) == (-math.inf, True)
    assert burn_rate(10, 10, budget_ratio=0.0) == 0
    assert burn_rate(9, 10, budget_ratio=0.0) == math.inf


def test_silence_has_no_share_no_budget_and_no_rate() -> None:
    assert sli(0, 0) is None
    assert error_budget(0, 0, budget_ratio=0.01, period=MONTH) is None
    assert burn_rate(0, 0, budget_ratio=0.01) is None


@pytest.mark.parametrize(("good", "total"), [(2, 1), (-1, 1), (0, -1)])
def test_counts_that_cannot_be_are_refused(good: float, total: float) -> None:
    for call in (
        lambda: sli(good, total),
        lambda: burn_rate(good, total, budget_ratio=0.1),
        lambda: error_budget(good, total, budget_ratio=0.1, period=MONTH),
    ):
        with pytest.raises(InputError):
            call()


def test_a_window_longer_than_the_period_is_refused() -> None:
    with pytest.raises(InputError):
        burn_threshold(0.02, window=2 * MONTH, period=MONTH)
    with pytest.raises(InputError):
        burn_threshold(1.5, window=HOUR, period=MONTH)


@settings(deadline=None)
@given(counts, ratios)
def test_a_burn_rate_of_one_spends_exactly_the_budget(count: tuple[int, int], ratio: float) -> None:
    """Consumed over allowed is the burn rate of the whole period, whatever the counts."""
    good, total = count
    budget = error_budget(good, total, budget_ratio=ratio, period=MONTH)
    rate = burn_rate(good, total, budget_ratio=ratio)
    assert budget is not None
    assert rate is not None
    assert rate >= 0
    assert budget.remaining_ratio == pytest.approx(1 - rate, rel=1e-6, abs=1e-6)
    assert budget.is_exhausted == (budget.remaining_ratio <= 0)
    assert budget.total_events == pytest.approx(budget.consumed_events + budget.remaining_events, abs=1e-3)


@settings(deadline=None)
@given(st.floats(min_value=0, max_value=1e9), st.floats(min_value=0, max_value=1e6))
def test_coverage_stays_between_nothing_and_all(measured_s: float, elapsed_s: float) -> None:
    assert 0 <= coverage(measured_s, timedelta(seconds=elapsed_s)) <= 1


def test_exhaustion_comes_sooner_the_faster_it_burns() -> None:
    assert time_to_exhaustion(0.5, 1.0, period=MONTH) == 15 * DAY
    assert time_to_exhaustion(0.5, 14.4, period=MONTH) == pytest.approx(25 * HOUR, abs=timedelta(seconds=1))
    assert time_to_exhaustion(0.0, 1.0, period=MONTH) == timedelta(0)
    assert time_to_exhaustion(0.5, 0.0, period=MONTH) is None
    assert time_to_exhaustion(0.5, None, period=MONTH) is None
    assert time_to_exhaustion(1.0, math.inf, period=MONTH) == timedelta(0)


@settings(deadline=None)
@given(st.lists(counts, min_size=1, max_size=20), st.sampled_from([0.0, 0.001, 0.5]))
def test_shares_of_many_budgets_are_those_of_each(parts: list[tuple[int, int]], ratio: float) -> None:
    good, total = (np.array(column, dtype=float) for column in zip(*parts, (0, 0), strict=True))
    for found, kept, whole in zip(shares_left(good, total, ratio), good, total, strict=True):
        budget = error_budget(kept, whole, budget_ratio=ratio, period=MONTH)
        assert found == (None if budget is None else pytest.approx(budget.remaining_ratio))
