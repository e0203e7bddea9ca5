"""Key figures: thresholds, steps, quantiles."""

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.core.clock import Interval
from analytics.core.errors import InputError, NotFoundError
from analytics.kpi import Bounds, Direction, Kpi, KpiState, kpi, registry
from analytics.kpi.cells import MEASURES, value_of
from analytics.kpi.model import MAX_POINTS, CellSource, grid_of
from analytics.kpi.prometheus import histogram_quantile
from analytics.rollup.cell import Cell
from analytics.rollup.cuts import fact_of
from analytics.rollup.sketch import People, Sketch

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SOURCE = CellSource("run", "n")


def figure(direction: Direction, target: float | None, good: float | None, warning: float | None) -> Kpi:
    return Kpi("x", "X", "g", "ratio", direction, "d", SOURCE, target, good, warning)


@pytest.mark.parametrize(
    ("value", "state"),
    [
        pytest.param(0.95, KpiState.ON_TARGET, id="exactly the target"),
        pytest.param(0.94, KpiState.GOOD, id="good"),
        pytest.param(0.85, KpiState.GOOD, id="exactly good"),
        pytest.param(0.80, KpiState.WARNING, id="warning"),
        pytest.param(0.74, KpiState.CRITICAL, id="critical"),
        pytest.param(None, KpiState.NO_DATA, id="nothing"),
    ],
)
def test_a_cache_hit_rate_is_rated_as_the_requirement_says(value: float | None, state: KpiState) -> None:
    """A13: target 95, good 85, warning 75 %."""
    assert figure(Direction.HIGHER, 0.95, 0.85, 0.75).rate(value) is state


@pytest.mark.parametrize(("value", "state"), [(0.05, "on_target"), (0.1, "good"), (0.5, "warning"), (0.51, "critical")])
def test_a_wait_for_a_connection_is_rated_as_the_requirement_says(value: float, state: str) -> None:
    """A13: 50, 100, 500 ms."""
    assert kpi("db_wait_p95").rate(value) == state


def test_a_figure_without_a_target_is_only_measured() -> None:
    assert figure(Direction.NEITHER, None, None, None).rate(0.0) is KpiState.MEASURED


@pytest.mark.parametrize(
    ("direction", "bounds", "reason"),
    [
        pytest.param(Direction.HIGHER, Bounds(0.9, 0.95, 0.99), "must fall", id="higher is better"),
        pytest.param(Direction.LOWER, Bounds(60, 15, 5), "must rise", id="lower is better"),
        pytest.param(Direction.LOWER, Bounds(5, 5, 60), "must rise", id="two alike"),
        pytest.param(Direction.LOWER, Bounds(5, None, 60), "or none of them", id="in part"),
        pytest.param(Direction.LOWER, Bounds(5, 15, float("nan")), "finite", id="not a number"),
        pytest.param(Direction.NEITHER, Bounds(1, 2, 3), "no better and no worse", id="no direction"),
    ],
)
def test_bounds_that_make_no_sense_are_told(direction: Direction, bounds: Bounds, reason: str) -> None:
    assert reason in str(bounds.problem(direction))
    with pytest.raises(InputError, match=reason):
        figure(direction, bounds.target, bounds.good, bounds.warning)


def test_the_registry_names_every_figure_once() -> None:
    ids = [item.id for item in registry()]
    assert len(ids) == len(set(ids)) >= 12
    assert kpi("runs").source == "PostgreSQL"
    assert kpi("http_p95").source == "Prometheus"
    with pytest.raises(NotFoundError):
        kpi("nothing")


@pytest.mark.parametrize(
    ("hours", "minutes", "count"), [(1, 2, 30), (6, 15, 24), (24, 30, 48), (24 * 7, 180, 56), (24 * 30, 720, 60)]
)
def test_the_usual_ranges_have_round_steps(hours: int, minutes: int, count: int) -> None:
    grid = grid_of(Interval(NOON - timedelta(hours=hours), NOON))
    assert (grid.step, grid.count) == (timedelta(minutes=minutes), count)
    assert grid.before == NOON - timedelta(hours=2 * hours)


@pytest.mark.parametrize(
    ("days", "finest", "step", "count"),
    [(1, HOUR, HOUR, 24), (2, HOUR, HOUR, 48), (7, DAY, DAY, 7), (30, DAY, DAY, 30), (90, DAY, 2 * DAY, 45)],
)
def test_long_ranges_have_steps_of_whole_hours_or_days(
    days: int, finest: timedelta, step: timedelta, count: int
) -> None:
    grid = grid_of(Interval(NOON - days * DAY, NOON), finest=finest)
    assert (grid.step, grid.count) == (step, count)


@given(st.timedeltas(min_value=timedelta(hours=7), max_value=timedelta(days=1000)), st.sampled_from([HOUR, DAY]))
def test_steps_of_long_ranges_are_whole(length: timedelta, finest: timedelta) -> None:
    grid = grid_of(Interval(NOON - length, NOON), finest=finest)
    assert 1 <= grid.count <= MAX_POINTS
    assert not grid.step % finest
    assert grid.starts[-1] < NOON <= grid.starts[-1] + grid.step


@given(st.timedeltas(min_value=timedelta(seconds=1), max_value=timedelta(days=400)))
def test_steps_cover_any_interval(length: timedelta) -> None:
    grid = grid_of(Interval(NOON - length, NOON))
    assert 1 <= grid.count <= MAX_POINTS
    assert grid.starts[-1] < NOON
    assert grid.starts[-1] + grid.step >= NOON


def test_an_empty_interval_is_refused() -> None:
    with pytest.raises(InputError, match="empty interval"):
        grid_of(Interval(NOON, NOON))


def test_a_quantile_is_that_of_prometheus() -> None:
    """Hand-computed: 100 observations, 90 at most 0.1 s, 98 at most 0.5 s; p95 lies 5/8 into the second bucket."""
    bounds = np.array([0.1, 0.5, np.inf])
    assert histogram_quantile(0.95, bounds, np.array([90.0, 98.0, 100.0])) == pytest.approx(0.1 + 0.4 * 5 / 8)
    assert histogram_quantile(0.99, bounds, np.array([90.0, 98.0, 100.0])) == 0.5
    assert histogram_quantile(0.5, bounds, np.array([100.0, 100.0, 100.0])) == pytest.approx(0.05)


def test_a_quantile_of_nothing_is_not_known() -> None:
    assert histogram_quantile(0.95, np.array([0.1, np.inf]), np.array([0.0, 0.0])) is None
    assert histogram_quantile(0.95, np.array([np.inf]), np.array([5.0])) is None


def test_the_guide_names_the_bounds_that_count() -> None:
    """What ``docs/kpis.md`` says of requirements, by the figures that have to meet them."""
    assert kpi("cache_hits").bounds == Bounds(0.95, 0.85, 0.75)
    assert kpi("http_p99").bounds == Bounds(0.2, 0.5, 1.0)
    assert kpi("availability").bounds == Bounds(0.999, 0.995, 0.99)
    assert [kpi(name).warning for name in ("system_cpu", "system_memory", "system_disk")] == [0.85, 0.9, 0.9]
    assert [kpi(name).target for name in ("system_cpu", "run_p95", "ocr_p95", "page_load_p95")] == [0.7, 5, 2, 3]


def test_every_figure_can_be_computed() -> None:
    for item in registry():
        source = item.measure
        if isinstance(source, CellSource):
            fact_of(source.cut)
            assert {source.value, source.samples, source.total or "n"} <= MEASURES.keys(), item.id
            for cut in item.dims.values():
                assert fact_of(cut).name == fact_of(source.cut).name, item.id


def cell(**measured: Any) -> Cell:
    nothing: dict[str, Any] = dict.fromkeys(field.name for field in fields(Cell))
    known = {"n": 4, "demo": 0, "newest": NOON, "sketch": Sketch(), "people": People()}
    return Cell(**nothing | known | measured)


SHARE = CellSource("run", "ok", "ended", total="ended")


@pytest.mark.parametrize(
    ("source", "measured", "expected"),
    [
        pytest.param(CellSource("run", "n"), {}, (4, 4), id="a count"),
        pytest.param(SHARE, {"ok": 3, "failed": 1}, (0.75, 4), id="a share"),
        pytest.param(
            CellSource("run", "ok", "ended", total="ended"), {"ok": 0, "failed": 0}, (None, 0), id="none ended"
        ),
        pytest.param(SHARE, {"ok": 0, "failed": 2}, (0, 2), id="all failed"),
        pytest.param(CellSource("run", "cost_usd", "priced"), {"priced": 0}, (None, 0), id="no price is known"),
        pytest.param(CellSource("run", "cost_usd", "priced"), {"priced": 2, "cost_usd": 0.0}, (0, 2), id="free"),
        pytest.param(CellSource("run", "p95", "duration_n"), {"duration_n": 0}, (None, 0), id="no time is known"),
        pytest.param(CellSource("run", "value", "value_n"), {"value_n": 2, "value_sum": 1.0}, (0.5, 2), id="a mean"),
    ],
)
def test_a_value_rests_on_what_was_seen(
    source: CellSource, measured: dict[str, Any], expected: tuple[float | None, int]
) -> None:
    assert value_of(source, cell(**measured)) == expected
    assert value_of(source, None) == (None, 0)
