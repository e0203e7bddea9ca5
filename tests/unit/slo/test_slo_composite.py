"""Objectives taken together, by hand: the weighted mean, the worst, the sum of burn rates."""

import dataclasses
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.core.clock import Interval
from analytics.slo.defaults import objective
from analytics.slo.history import History, composite_of, history_of
from analytics.slo.model import BUCKET, CompositeEvents, CompositeMode, Member, Objective
from analytics.slo.timeslices import Counts

NOON = datetime(2026, 3, 15, 12, tzinfo=UTC)
FAST = dataclasses.replace(objective("api_availability"), id="fast", target=Decimal("0.99"))
SLOW = dataclasses.replace(FAST, id="slow", target=Decimal("0.9"))
PERFECT = dataclasses.replace(FAST, id="perfect", target=Decimal(1))


def whole(mode: CompositeMode, *members: Member, target: str = "0.95") -> Objective:
    return Objective("all", "All", "api", Decimal(target), CompositeEvents(mode, members), "Together.")


def taken_together(item: Objective, *parts: tuple[Objective, list[float], list[float]]) -> History:
    """Return the composite of members with bad and total of each bucket from noon on."""
    length = max([len(total) for _, _, total in parts], default=1)
    span = Interval(NOON, NOON + length * BUCKET)
    starts = np.array([int((NOON + place * BUCKET).timestamp()) for place in range(length)])
    found = []
    for member, bad, total in parts:
        good = np.array(total, float) - np.array(bad, float)
        found.append(history_of(member, span, Counts(starts, good, np.array(total, float), np.full(length, 300.0))))
    return composite_of(item, found, interval=span, step=BUCKET)


def share(history: History) -> float:
    good, total, _ = history.totals()
    return good / total


def test_the_weighted_mean_counts_members_by_weight_and_not_by_traffic() -> None:
    """(1 * 0.9 + 3 * 0.5) / 4 = 0.6."""
    item = whole(CompositeMode.WEIGHTED, Member("fast"), Member("slow", Decimal(3)))
    found = taken_together(item, (FAST, [1000], [10_000]), (SLOW, [1], [2]))
    assert share(found) == pytest.approx(0.6)
    assert found.totals()[1:] == (10_002, 300)


def test_a_member_without_events_leaves_its_weight_to_the_others() -> None:
    item = whole(CompositeMode.WEIGHTED, Member("fast"), Member("slow", Decimal(3)))
    assert share(taken_together(item, (FAST, [1], [10]), (SLOW, [0], [0]))) == pytest.approx(0.9)
    assert share(taken_together(item, (FAST, [1], [10]))) == pytest.approx(0.9)


def test_the_worst_is_who_has_spent_most_of_its_own_budget() -> None:
    """Twice 1 % against half of 10 %: the composite has spent twice its own 5 %."""
    item = whole(CompositeMode.WORST_OF, Member("fast"), Member("slow"))
    found = taken_together(item, (FAST, [2], [100]), (SLOW, [5], [100]))
    assert 1 - share(found) == pytest.approx(2 * 0.05)


def test_burn_rates_add_up_by_weight() -> None:
    """0.5 * 2 + 0.25 * 0.4 = 1.1 of the budget."""
    item = whole(CompositeMode.BURN_SUM, Member("fast", Decimal("0.5")), Member("slow", Decimal("0.25")))
    found = taken_together(item, (FAST, [2], [100]), (SLOW, [4], [100]))
    assert 1 - share(found) == pytest.approx(1.1 * 0.05)


def test_a_silent_member_does_not_make_the_sum_of_burn_rates_smaller() -> None:
    """Weight 1 of 3 says 0.5; all of them would say 1.5."""
    item = whole(CompositeMode.BURN_SUM, Member("fast"), Member("slow", Decimal(2)))
    found = taken_together(item, (FAST, [0.5], [100]), (SLOW, [0], [0]))
    assert 1 - share(found) == pytest.approx(1.5 * 0.05)


@pytest.mark.parametrize("mode", list(CompositeMode))
def test_nothing_known_of_any_member_is_nothing_known(mode: CompositeMode) -> None:
    item = whole(mode, Member("fast"), Member("slow"))
    assert taken_together(item, (FAST, [0], [0]), (SLOW, [0], [0])).totals()[:2] == (0, 0)
    cut = Interval(NOON - timedelta(minutes=25), NOON + timedelta(minutes=70))
    nobody = composite_of(item, [], interval=cut, step=timedelta(hours=1))
    assert (len(nobody), nobody.totals(), nobody.coverage()) == (3, (0, 0, 0), 0)


@pytest.mark.parametrize("mode", list(CompositeMode))
def test_members_without_a_bad_event_make_a_composite_without_one(mode: CompositeMode) -> None:
    item = whole(mode, Member("fast", Decimal("0.3")), Member("slow", Decimal("0.7")))
    good, total, _ = taken_together(item, (FAST, [0], [0.1]), (SLOW, [0], [1e9])).totals()
    assert good == total


@given(st.integers(1, 100), st.integers(0, 100), st.sampled_from(list(CompositeMode)))
def test_no_composite_is_worse_than_an_outage(first: int, second: int, mode: CompositeMode) -> None:
    item = whole(mode, Member("fast", Decimal("0.1")), Member("slow", Decimal("0.2")), target="0.5")
    good, total, _ = taken_together(item, (FAST, [first], [100]), (SLOW, [second], [100])).totals()
    assert 0 <= good <= total


def test_a_member_that_allows_nothing_bad_spends_all_at_the_first() -> None:
    item = whole(CompositeMode.WORST_OF, Member("fast"), Member("perfect"))
    assert share(taken_together(item, (FAST, [0], [100]), (PERFECT, [1], [1000]))) == 0
    assert share(taken_together(item, (FAST, [0], [100]), (PERFECT, [0], [1000]))) == 1


def test_a_composite_that_allows_nothing_bad_takes_the_worst_share() -> None:
    item = whole(CompositeMode.WORST_OF, Member("fast"), Member("slow"), target="1")
    assert share(taken_together(item, (FAST, [1], [100]), (SLOW, [1], [10]))) == pytest.approx(0.9)


def test_a_window_is_made_of_the_members_windows_and_not_of_steps() -> None:
    """One bad of 1 and none of 99 is 1 % of a window, not half of it."""
    item = whole(CompositeMode.WEIGHTED, Member("fast"))
    found = taken_together(item, (FAST, [1, 0], [1, 99]))
    good, total = found.trailing(2 * BUCKET)
    assert 1 - good[1] / total[1] == pytest.approx(0.01)
    assert found.trailing(BUCKET)[0].tolist() == [0, 99]


def test_what_was_measured_is_the_mean_of_the_members() -> None:
    item = whole(CompositeMode.WEIGHTED, Member("fast"), Member("slow"))
    found = taken_together(item, (FAST, [0], [1]), (SLOW, [0], [1]))
    half = dataclasses.replace(found.parts[0], measured_s=np.array([150.0]))
    again = composite_of(item, [half, found.parts[1]], interval=found.interval, step=BUCKET)
    assert again.coverage() == pytest.approx(0.75)
    assert again.within(Interval(NOON, NOON + timedelta(minutes=5))).coverage() == pytest.approx(0.75)
