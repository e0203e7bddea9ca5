"""Pairs of windows that can fire, and named periods."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.slo.model import BUCKET, MONTH
from analytics.slo.windows import burn_pairs, month_of

HOUR = timedelta(hours=1)


def test_a_strict_target_takes_the_pairs_of_the_workbook() -> None:
    pairs = burn_pairs(budget_ratio=0.001, period=MONTH)
    assert [pair.factor for pair in pairs] == pytest.approx([14.4, 6, 3, 1])
    assert [pair.long for pair in pairs] == [HOUR, 6 * HOUR, 24 * HOUR, 72 * HOUR]


def test_a_loose_target_takes_pairs_that_can_fire() -> None:
    """A budget of 20 % cannot burn 14.4 times faster than allowed; the note's worked example comes out."""
    first, second, *rest = burn_pairs(budget_ratio=0.2, period=MONTH)
    assert first.factor == second.factor == pytest.approx(2.5)
    assert first.long == timedelta(hours=5, minutes=50)  # 5.76 h, in whole buckets
    assert [pair.factor for pair in rest] == pytest.approx([3, 1])
    dashboard = burn_pairs(budget_ratio=0.1, period=MONTH)[0]
    assert dashboard.factor == pytest.approx(5)
    assert dashboard.long == timedelta(hours=2, minutes=55)  # 2.88 h


@given(st.floats(min_value=1e-5, max_value=0.9))
def test_every_pair_can_be_reached(budget_ratio: float) -> None:
    for pair in burn_pairs(budget_ratio=budget_ratio, period=MONTH):
        assert pair.factor * budget_ratio < 1
        assert BUCKET <= pair.short < pair.long
        assert pair.long % BUCKET == pair.short % BUCKET == timedelta(0)


def test_a_target_of_all_has_pairs_too() -> None:
    assert len(burn_pairs(budget_ratio=0.0, period=MONTH)) == 4


def test_a_month_is_a_calendar_month() -> None:
    month = month_of(datetime(2026, 12, 31, 23, 59, tzinfo=UTC))
    assert month.since == datetime(2026, 12, 1, tzinfo=UTC)
    assert month.until == datetime(2027, 1, 1, tzinfo=UTC)
