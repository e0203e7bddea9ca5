"""Histories: sums over any window, corrections taken out, time cut into slices."""

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.core.clock import Interval
from analytics.core.errors import InputError
from analytics.slo.defaults import objective
from analytics.slo.history import History, history_of
from analytics.slo.model import BUCKET, Budgeting, Slices
from analytics.slo.timeslices import Counts

NOON = datetime(2026, 3, 15, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
API = objective("api_availability")


def counts(
    good: Sequence[float], total: Sequence[float], *, since: datetime = NOON, piece: timedelta = BUCKET
) -> Counts:
    starts = [int((since + place * piece).timestamp()) for place in range(len(total))]
    measured = np.full(len(total), piece.total_seconds())
    return Counts(np.array(starts, dtype=np.int64), np.array(good, float), np.array(total, float), measured)


def sliced(budgeting: Budgeting, length: timedelta, target: str = "0.95") -> dict[str, object]:
    return {"budgeting": budgeting, "slices": Slices(length, Decimal(target))}


def history(good: Sequence[float], total: Sequence[float], **changes: object) -> History:
    """Five-minute steps from noon on."""
    item = dataclasses.replace(API, **changes)  # type: ignore[arg-type]
    return history_of(item, Interval(NOON, NOON + len(total) * BUCKET), counts(good, total))


whole_numbers = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=60)


@given(whole_numbers, st.integers(1, 70))
def test_a_trailing_window_is_the_sum_of_its_steps(pairs: list[tuple[int, int]], steps: int) -> None:
    good, total = [part for part, _ in pairs], [part + rest for part, rest in pairs]
    found = history(good, total).trailing(steps * BUCKET)
    for place in range(len(pairs)):
        first = max(0, place + 1 - steps)
        assert found[0][place] == sum(good[first : place + 1])
        assert found[1][place] == sum(total[first : place + 1])


def test_silence_and_perfection_after_much_traffic_are_exact() -> None:
    """Sums are differences of running sums: fractions before must not leave a bad event, or any, behind."""
    busy = [1e9 / 3 + place / 7 for place in range(50)]
    found = history([value * 0.9 for value in busy] + [0.1] * 5 + [0] * 5, busy + [0.1] * 5 + [0] * 5)
    good, total = found.trailing(5 * BUCKET)
    assert total[54] == pytest.approx(0.5, abs=1e-5)
    assert good[54] == total[54]
    assert (good[59], total[59]) == (0, 0)


def test_the_running_sum_ends_with_the_totals() -> None:
    found = history([1, 2, 0, 4], [1, 3, 0, 5])
    good, total = found.cumulative()
    assert good.tolist() == [1, 3, 3, 7]
    assert total.tolist() == [1, 4, 4, 9]
    assert found.totals() == (7, 9, 1200)


def test_a_window_that_is_no_whole_number_of_steps_is_refused() -> None:
    for window in (timedelta(minutes=7), timedelta(0), MINUTE):
        with pytest.raises(InputError, match="whole number of steps"):
            history([1], [1]).trailing(window)


def test_steps_of_an_hour_are_cut_to_the_interval() -> None:
    """From 12:35 to 14:10: 25 minutes, an hour, and ten minutes."""
    interval = Interval(NOON + 35 * MINUTE, NOON + 130 * MINUTE)
    found = history_of(API, interval, counts([1] * 36, [2] * 36), step=HOUR)
    assert len(found) == 3
    assert found.starts == [NOON + 35 * MINUTE, NOON + HOUR, NOON + 2 * HOUR]
    assert found.ends == [NOON + HOUR, NOON + 2 * HOUR, NOON + 130 * MINUTE]
    assert found.total.tolist() == [10, 24, 4]
    assert found.measured_s.tolist() == [1500, 3600, 600]
    assert found.coverage() == 1


def test_what_corrections_take_out_is_neither_counted_nor_asked_for() -> None:
    out = [Interval(NOON + 50 * MINUTE, NOON + 70 * MINUTE)]
    found = history_of(API, Interval(NOON, NOON + 2 * HOUR), counts([1] * 24, [2] * 24), step=HOUR, exclusions=out)
    assert found.total.tolist() == [20, 20]
    assert found.excluded_s.tolist() == [600, 600]
    assert found.coverage() == 1
    silent = dataclasses.replace(found, measured_s=np.array([3000.0, 0.0]))
    assert silent.coverage() == pytest.approx(0.5)


def test_all_taken_out_leaves_no_time_to_cover() -> None:
    span = Interval(NOON, NOON + HOUR)
    found = history_of(API, span, counts([1] * 12, [2] * 12), exclusions=[span])
    assert found.totals() == (0, 0, 0)
    assert found.coverage() == 0


def test_what_may_not_have_been_read_yet_is_no_gap() -> None:
    found = history_of(API, Interval(NOON, NOON + HOUR), counts([1] * 10, [1] * 10))
    assert found.coverage() == pytest.approx(50 / 60)
    assert found.coverage(lag=10 * MINUTE) == 1


def test_an_interval_without_length_has_nothing() -> None:
    found = history_of(API, Interval(NOON, NOON), counts([1], [1]))
    assert len(found) == 0
    assert found.totals() == (0, 0, 0)
    assert found.coverage() == 0
    assert found.trailing(BUCKET)[0].tolist() == []


def test_slices_are_good_from_their_target_on_and_silence_is_no_slice() -> None:
    """Two buckets a slice, 95 % each: 19 of 20 is good, 18.9 is not, nothing is neither."""
    found = history(
        [10, 9, 10, 8.9, 0, 0, 1, 0],
        [10, 10, 10, 10, 0, 0, 1, 0],
        **sliced(Budgeting.TIMESLICES, 10 * MINUTE),
    )
    good, total = found.trailing(BUCKET)
    assert good.tolist() == [0, 1, 0, 0, 0, 0, 0, 1]
    assert total.tolist() == [0, 1, 0, 1, 0, 0, 0, 1]
    assert found.totals() == (2, 3, 2400)


def test_slices_by_their_share_weigh_alike_whatever_their_traffic() -> None:
    found = history([1, 900, 0], [2, 1000, 0], **sliced(Budgeting.RATIO_TIMESLICES, BUCKET))
    good, total, _ = found.totals()
    assert good == pytest.approx(1.4)
    assert total == 2


def test_only_slices_that_are_wholly_in_the_interval_count() -> None:
    """From 12:20 to 13:50, by the half hour: 12:30, 13:00 and no part of 12:00 or 13:30."""
    item = dataclasses.replace(API, **sliced(Budgeting.TIMESLICES, 30 * MINUTE))  # type: ignore[arg-type]
    interval = Interval(NOON + 20 * MINUTE, NOON + 110 * MINUTE)
    found = history_of(item, interval, counts([0] * 4 + [1] * 20, [1] * 24))
    assert found.totals()[:2] == (2, 2)
    assert [found.ends[place] for place in np.flatnonzero(found.total)] == [NOON + HOUR, NOON + 90 * MINUTE]


def test_slices_of_hours_stand_where_they_end() -> None:
    item = dataclasses.replace(API, **sliced(Budgeting.TIMESLICES, 6 * HOUR))  # type: ignore[arg-type]
    found = history_of(item, Interval(NOON, NOON + DAY), counts([1] * 24, [1] * 24, piece=HOUR), step=HOUR)
    assert [found.ends[place] for place in np.flatnonzero(found.total)] == [
        NOON + place * 6 * HOUR for place in range(1, 5)
    ]


def test_a_slice_is_judged_without_what_a_correction_takes_out_of_it() -> None:
    item = dataclasses.replace(API, **sliced(Budgeting.TIMESLICES, 10 * MINUTE))  # type: ignore[arg-type]
    out = [Interval(NOON, NOON + BUCKET), Interval(NOON + 10 * MINUTE, NOON + 20 * MINUTE)]
    found = history_of(item, Interval(NOON, NOON + 20 * MINUTE), counts([0, 1, 0, 0], [1, 1, 1, 1]), exclusions=out)
    assert found.totals()[:2] == (1, 1)


def test_demo_events_remain_known_as_slices() -> None:
    item = dataclasses.replace(API, **sliced(Budgeting.TIMESLICES, BUCKET))  # type: ignore[arg-type]
    span = Interval(NOON, NOON + HOUR)
    assert history_of(item, span, counts([90] * 12, [100] * 12), demo_total=600).demo_total == 6
