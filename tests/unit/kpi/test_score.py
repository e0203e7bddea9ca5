"""The performance score: the published table, and what holds for any readings."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.core.clock import Interval
from analytics.kpi.model import CounterSource, Direction, Kpi, KpiReading, KpiState
from analytics.kpi.score import Score, gain_of, points_of, score_if, score_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = Interval(NOON - timedelta(days=1), NOON)
SOURCE = CounterSource("x")
TABLE = [
    pytest.param(Direction.HIGHER, "ratio", [1.0, 0.95, 0.85, 0.75, 0.55], id="cache hits"),
    pytest.param(Direction.LOWER, "s", [0.0, 0.05, 0.1, 0.5, 0.95], id="wait for a connection"),
    pytest.param(Direction.LOWER, "s", [0.0, 0.2, 0.5, 1.0, 1.8], id="latency, p99"),
    pytest.param(Direction.HIGHER, "ratio", [1.0, 0.999, 0.995, 0.99, 0.981], id="availability"),
]
"""A13, with the best value there is and where the points end."""


def figure(name: str = "x", *, weight: float = 1.0, best: float | None = None) -> Kpi:
    """A figure whose value is worth as many points as it has hundredths between its bounds."""
    return Kpi(name, name, "g", "", Direction.HIGHER, "d", SOURCE, 90, 80, 70, best=best, weight=weight)


def reading(
    value: float | None, name: str = "x", *, weight: float = 1.0, minutes_ago: int = 0, samples: int | None = None
) -> KpiReading:
    kpi = figure(name, weight=weight)
    at = None if value is None else NOON - timedelta(minutes=minutes_ago)
    return KpiReading(
        kpi, value, kpi.rate(value), (0 if value is None else 20) if samples is None else samples, at, DAY
    )


@pytest.mark.parametrize(("direction", "unit", "values"), TABLE)
def test_the_table_of_targets_is_worth_90_80_and_70(direction: Direction, unit: str, values: list[float]) -> None:
    _, target, good, warning, _ = values
    kpi = Kpi("x", "X", "g", unit, direction, "d", SOURCE, target, good, warning)
    found = [points_of(kpi, value) for value in values]
    assert found == pytest.approx([100, 90, 80, 70, 0], abs=1e-6)
    assert points_of(kpi, (target + good) / 2) == pytest.approx(85)


@pytest.mark.parametrize(
    ("value", "points", "state"),
    [(90, 90, "on_target"), (80, 80, "good"), (70, 70, "warning"), (69, 66.5, "critical")],
)
def test_figures_that_all_stand_at_a_bound_give_the_score_of_that_bound(
    value: float, points: float, state: str
) -> None:
    score = score_of([reading(value, "a", weight=3), reading(value, "b"), reading(value, "c", weight=0.5)])
    assert score.value == pytest.approx(points)
    assert score.state == state


def test_a_figure_on_a_handful_of_samples_takes_no_part() -> None:
    score = score_of([reading(90, "a", weight=3), reading(10, "b", samples=19)])
    assert score.value == pytest.approx(90)
    assert score.coverage == pytest.approx(0.75)
    assert [part.points for part in score.parts] == [pytest.approx(90), None]


def test_beyond_its_best_a_figure_is_worth_no_more_and_far_off_no_less_than_nothing() -> None:
    assert points_of(figure(), 1e9) == 100
    assert points_of(figure(), -1e9) == 0
    assert points_of(figure(), None) is None
    assert points_of(figure(), float("nan")) is None


def test_a_figure_whose_target_is_the_best_there_is_earns_all_points_at_it() -> None:
    kpi = Kpi("x", "X", "g", "ratio", Direction.HIGHER, "d", SOURCE, 1.0, 0.9, 0.8)
    assert points_of(kpi, 1.0) == 100
    assert points_of(kpi, 0.95) == pytest.approx(85)


def test_a_broken_part_holds_the_score_to_30_above_it() -> None:
    score = score_of([reading(50, "bad"), *(reading(100, f"fine{n}") for n in range(9))])
    assert points_of(figure(), 50) == 0
    assert score.mean == pytest.approx(90)
    assert score.value == pytest.approx(30)
    assert score.limited_by is not None
    assert score.limited_by.kpi.id == "bad"
    assert score.limit_lost == pytest.approx(60)


def test_a_figure_without_data_leaves_the_average_and_lowers_the_coverage() -> None:
    score = score_of([reading(90, "a", weight=3), reading(None, "b", weight=1)])
    assert score.value == pytest.approx(90)
    assert score.coverage == 0.75
    last = score.parts[-1]
    assert (last.kpi.id, last.points, last.share, last.lost) == ("b", None, 0, 0)


def test_with_data_on_less_than_half_of_the_weight_there_is_no_score() -> None:
    score = score_of([reading(100, "a", weight=1), reading(None, "b", weight=1.1)])
    assert score.value is None
    assert score.state is KpiState.NO_DATA
    assert score.mean == pytest.approx(100)
    assert gain_of(score, "a", 100) is None
    assert score_of([]) == Score(None, None, None, 0.0, 0.0, 0.0, [], None, None)


def test_figures_whose_source_is_not_there_are_told_apart_from_silent_ones() -> None:
    away = KpiReading(figure("away", weight=7), None, KpiState.NO_SOURCE, 0, None, DAY)
    score = score_of([reading(90, "a", weight=2), reading(None, "b", weight=1), away])
    assert score.value == pytest.approx(90)
    assert score.coverage == pytest.approx(2 / 3)
    assert score.unsourced == pytest.approx(0.7)


def test_figures_without_thresholds_or_weight_take_no_part() -> None:
    free = Kpi("free", "Free", "g", "count", Direction.NEITHER, "d", SOURCE)
    score = score_of([reading(90), KpiReading(free, 5, KpiState.MEASURED, 1, NOON, DAY), reading(0, "y", weight=0)])
    assert [part.kpi.id for part in score.parts] == ["x"]
    assert score.value == pytest.approx(90)


def test_a_score_is_as_old_as_the_oldest_of_its_figures() -> None:
    score = score_of([reading(90, "a"), reading(90, "b", minutes_ago=7)])
    assert score.measured_at == NOON - timedelta(minutes=7)
    assert score.samples == 40


def test_a_gain_counts_the_limit_that_falls_with_it() -> None:
    score = score_of([reading(60, "bad"), *(reading(100, f"fine{n}") for n in range(4))])
    assert score.value == pytest.approx(35 + 30)
    assert gain_of(score, "bad", 70) == pytest.approx((4 * 100 + 70) / 5 - 65)
    assert gain_of(score, "not there", 70) is None


_values = st.one_of(st.none(), st.floats(-50, 250), st.sampled_from([50.0, 70.0, 80.0, 90.0, 100.0]))
_figures = st.lists(st.tuples(_values, st.floats(0.1, 5)), min_size=1, max_size=8)


def readings_of(values: list[tuple[float | None, float]]) -> list[KpiReading]:
    return [reading(value, f"k{place}", weight=weight) for place, (value, weight) in enumerate(values)]


@given(_figures)
def test_a_score_is_bounded_and_its_lost_points_add_up(values: list[tuple[float | None, float]]) -> None:
    score = score_of(readings_of(values))
    assert 0 <= score.coverage <= 1 + 1e-9
    assert sum(part.share for part in score.parts) == pytest.approx(1 if score.mean is not None else 0)
    if score.value is not None:
        assert -1e-9 <= score.value <= 100 + 1e-9
        assert sum(part.lost for part in score.parts) + score.limit_lost == pytest.approx(100 - score.value)
        worst = min(part.points for part in score.parts if part.points is not None)
        assert score.value <= worst + 30 + 1e-9
        assert (score.limited_by is not None) == (score.limit_lost > 0)
        assert score_if(score, {}) == pytest.approx(score.value)


@given(_figures, st.integers(0, 7), st.floats(0, 100))
def test_a_better_figure_never_lowers_the_score(
    values: list[tuple[float | None, float]], place: int, better_by: float
) -> None:
    place %= len(values)
    value, weight = values[place]
    if value is None:
        return
    before = score_of(readings_of(values))
    after = score_of(readings_of([*values[:place], (value + better_by, weight), *values[place + 1 :]]))
    if before.value is not None and after.value is not None:
        assert after.value >= before.value - 1e-9
        assert gain_of(before, f"k{place}", value + better_by) == pytest.approx(after.value - before.value, abs=1e-9)
