"""Shares, and how sure they are."""

import pytest

from analytics.core.ratios import wilson


@pytest.mark.parametrize(
    ("hits", "total", "low", "high"),
    [
        pytest.param(81, 263, 0.2553, 0.3662, id="Newcombe-1998-method-3-a"),
        pytest.param(15, 148, 0.0624, 0.1605, id="Newcombe-1998-method-3-b"),
        pytest.param(0, 20, 0.0, 0.1611, id="Newcombe-1998-method-3-c"),
        pytest.param(1, 29, 0.0061, 0.1718, id="Newcombe-1998-method-3-d"),
    ],
)
def test_intervals_are_the_published_ones(hits: int, total: int, low: float, high: float) -> None:
    """Newcombe, "Two-sided confidence intervals for the single proportion" (1998), table I, method 3."""
    assert wilson(hits, total) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_nothing_seen_has_no_interval() -> None:
    assert wilson(0, 0) is None


def test_the_interval_lies_within_0_and_1_and_around_the_share() -> None:
    for total in (1, 2, 10, 1000):
        for hits in range(0, total + 1, max(1, total // 10)):
            low, high = wilson(hits, total) or (2.0, -1.0)
            assert 0 <= low <= hits / total <= high <= 1


@pytest.mark.parametrize(("hits", "total"), [(-1, 3), (4, 3), (0, -1)])
def test_what_is_no_share_is_refused(hits: int, total: int) -> None:
    with pytest.raises(ValueError, match="no share"):
        wilson(hits, total)
