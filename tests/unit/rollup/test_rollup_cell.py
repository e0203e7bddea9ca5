"""Cells are added up, and say nothing where nothing is known."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.core.clock import Interval
from analytics.core.errors import InputError
from analytics.rollup.cell import Cell, summed
from analytics.rollup.cuts import CUTS, FACTS, LONGEST_PART, fact_of, joined, parts
from analytics.rollup.read import window
from analytics.rollup.sketch import Sketch
from analytics.rollup.tiers import DAY, HOUR, MINUTE

NOW = datetime(2026, 3, 18, 10, 30, tzinfo=UTC)
counts = st.none() | st.integers(0, 1000)
amounts = st.none() | st.integers(-1000, 1000).map(float)
cells = st.builds(
    Cell,
    n=st.integers(1, 1000),
    ok=counts,
    failed=counts,
    demo=st.integers(0, 10),
    newest=st.integers(0, 1000).map(lambda minutes: NOW - minutes * MINUTE),
    duration_n=counts,
    duration_s=amounts,
    input_tokens=counts,
    output_tokens=counts,
    cost_usd=amounts,
    priced=counts,
    value_n=counts,
    value_sum=amounts,
    value_min=amounts,
    value_max=amounts,
    sketch=st.lists(st.floats(0.1, 100), max_size=5).map(Sketch.of),
)


def told(cell: Cell) -> Cell:
    return replace(cell, sketch=Sketch(cell.sketch.to_bytes()))


@settings(max_examples=30)
@given(st.lists(cells, min_size=1, max_size=4), st.randoms())
def test_cells_add_up_to_the_same_in_any_order(some, random):
    added = some[0]
    for cell in some[1:]:
        added += cell
    shuffled = random.sample(some, len(some))
    assert told(added) == told(summed(some)) == told(summed(shuffled))
    assert added.n == sum(cell.n for cell in some)
    assert added.newest == max(cell.newest for cell in some)


def test_nothing_added_up_is_nothing():
    assert summed([]) is None


def empty(**changes) -> Cell:
    names = ("ok", "failed", "duration_n", "duration_s", "input_tokens", "output_tokens", "cost_usd", "priced")
    unknown = dict.fromkeys((*names, "value_n", "value_sum", "value_min", "value_max"))
    return Cell(**{"n": 3, "demo": 0, "newest": NOW, **unknown, **changes})


def test_what_is_not_known_is_not_zero():
    cell = empty()
    assert (cell.ended, cell.success_ratio, cell.mean_duration_s, cell.mean_value, cell.tokens) == (None,) * 5
    assert (cell.quantile(0.5), cell.distinct(), (cell + cell).cost_usd) == (None, None, None)


def test_ratios_and_means_rest_on_what_is_known():
    cell = empty(
        ok=3, failed=1, duration_n=2, duration_s=5.0, value_n=4, value_sum=2.0, input_tokens=7, output_tokens=1
    )
    assert (cell.ended, cell.success_ratio, cell.mean_duration_s, cell.mean_value, cell.tokens) == (
        4,
        0.75,
        2.5,
        0.5,
        8,
    )
    assert empty(ok=0, failed=0).success_ratio is None


def test_every_cut_is_of_one_fact_and_names_it():
    assert all(cut.split(".")[0] == fact.name for cut, fact in CUTS.items())
    assert {dim for fact in FACTS.values() for cut in fact.cuts.values() for dim in cut} == {
        dim for fact in FACTS.values() for dim in fact.dims
    }
    with pytest.raises(InputError, match="no cut 'agent_run"):
        fact_of("agent_run.colour")


def test_keys_of_two_dimensions_are_taken_apart_again_and_stay_short():
    assert parts(joined("planner", "ocr")) == ["planner", "ocr"]
    assert len(joined("x" * 10_000)) == LONGEST_PART


@pytest.mark.parametrize(
    ("length", "since", "until", "step"),
    [
        pytest.param(timedelta(hours=6), "2026-03-18 04:30", "2026-03-18 10:30", MINUTE, id="six-hours-exactly"),
        pytest.param(timedelta(hours=24), "2026-03-17 10:00", "2026-03-18 11:00", HOUR, id="a-day-by-full-hours"),
        pytest.param(timedelta(hours=48), "2026-03-16 10:00", "2026-03-18 11:00", HOUR, id="two-days-by-full-hours"),
        pytest.param(timedelta(days=30), "2026-02-16 00:00", "2026-03-18 11:00", DAY, id="a-month-from-its-first-day"),
    ],
)
def test_a_reading_covers_what_was_asked_and_says_what_more(length, since, until, step):
    covered = window(Interval.last(length, now=NOW), now=NOW)
    assert f"{covered.interval.since:%Y-%m-%d %H:%M}" == since
    assert f"{covered.interval.until:%Y-%m-%d %H:%M}" == until
    assert covered.step == step
    assert covered.before.until == covered.interval.since
    assert covered.before.length == length


def test_a_window_that_ends_in_a_closed_day_covers_all_of_that_day():
    asked = Interval(NOW - timedelta(days=40), NOW - timedelta(days=20))
    covered = window(asked, now=NOW)
    assert covered.interval == Interval(datetime(2026, 2, 6, tzinfo=UTC), datetime(2026, 2, 27, tzinfo=UTC))
