"""Key figures from counters and histograms of Prometheus: three queries for all of them together."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from analytics.core.clock import Interval, utc_now
from analytics.kpi.model import CounterSource, Found, Grid, Kpi, QuantileSource
from analytics.sources.prometheus import PromClient

_Steps = dict[datetime, float]


def read_prometheus(prom: PromClient, kpis: Sequence[Kpi], grid: Grid) -> dict[str, Found]:
    """Return what Prometheus knows of *kpis* by id; one without any series is missing.

    Increases are asked for by step and added here, so that the raw samples are read once.

    Raises:
        DependencyError: If Prometheus is away.
    """
    counters = {item.id: item.measure for item in kpis if isinstance(item.measure, CounterSource)}
    quantiles = {item.id: item.measure for item in kpis if isinstance(item.measure, QuantileSource)}
    values = _increases(prom, {name: source.value for name, source in counters.items()}, grid)
    totals = _increases(prom, {name: source.total for name, source in counters.items() if source.total}, grid)
    found = {
        name: _counted(values.get(name, {}), totals.get(name, {}) if source.total else None, grid)
        for name, source in counters.items()
        if (name in totals if source.total else name in values)
    }
    for name, by_bound in _histograms(prom, quantiles, grid).items():
        found[name] = _quantile(by_bound, quantiles[name].quantile, grid)
    return found


def histogram_quantile(quantile: float, bounds: NDArray[np.float64], counts: NDArray[np.float64]) -> float | None:
    """Return the value below which a share of *quantile* of the observations lies, or None when there was none.

    Args:
        quantile: 0 to 1.
        bounds: Upper bounds of the buckets, ascending, the last infinite.
        counts: Observations at or below each bound.

    Source:
        The ``histogram_quantile`` function of Prometheus: linear within a bucket, and the highest finite bound for
        what lies above it.
    """
    counts = np.maximum.accumulate(counts)
    if len(counts) < 2 or counts[-1] <= 0:  # noqa: PLR2004 - one bucket tells nothing
        return None
    rank = quantile * counts[-1]
    place = int(np.searchsorted(counts, rank, side="left"))
    if place >= len(bounds) - 1:
        return float(bounds[-2])
    low, below = (0.0, 0.0) if place == 0 else (float(bounds[place - 1]), float(counts[place - 1]))
    inside = float(counts[place]) - below
    return float(low + (float(bounds[place]) - low) * ((rank - below) / inside if inside > 0 else 1.0))


def _increases(prom: PromClient, wanted: Mapping[str, str], grid: Grid) -> dict[str, _Steps]:
    """Return the increase of each selector by the start of the step."""
    if not wanted:
        return {}
    window = _window(grid)
    query = " or ".join(
        f'label_replace(sum(increase({selector}[{window}])), "kpi", "{name}", "", "")'
        for name, selector in wanted.items()
    )
    return {
        series.labels["kpi"]: _by_start(series.times, series.values, grid)
        for series in prom.range(query, _ends(grid), grid.step)
    }


def _histograms(prom: PromClient, wanted: Mapping[str, QuantileSource], grid: Grid) -> dict[str, dict[float, _Steps]]:
    """Return the increase of each bucket, by figure, bound and start of the step."""
    if not wanted:
        return {}
    window = _window(grid)
    query = " or ".join(
        f"label_replace(sum by (le) (increase({source.histogram}_bucket{{{source.matchers}}}[{window}])),"
        f' "kpi", "{name}", "", "")'
        for name, source in wanted.items()
    )
    found: dict[str, dict[float, _Steps]] = {}
    for series in prom.range(query, _ends(grid), grid.step):
        bounds = found.setdefault(series.labels["kpi"], {})
        bounds[float(series.labels["le"])] = _by_start(series.times, series.values, grid)
    return found


def _counted(values: _Steps, totals: _Steps | None, grid: Grid) -> Found:
    """Return an amount, or a share; where only the whole was seen, the part is 0."""
    whole = values if totals is None else totals
    current, previous = _split(whole, grid)

    def value(starts: Iterable[datetime]) -> float | None:
        places = list(starts)
        total = sum(whole[start] for start in places)
        if not places or total <= 0:
            return None
        part = sum(values.get(start, 0.0) for start in places)
        return part if totals is None else min(1.0, part / total)

    return Found(
        value=value(current),
        samples=round(sum(whole[start] for start in current)),
        previous=value(previous),
        series={start: (whole[start] if totals is None else value([start])) for start in current},
        measured_at=min(grid.interval.until, utc_now()),
    )


def _quantile(by_bound: Mapping[float, _Steps], quantile: float, grid: Grid) -> Found:
    bounds = np.array(sorted(by_bound), dtype=np.float64)
    starts = sorted({start for steps in by_bound.values() for start in steps})
    counts = np.array([[by_bound[bound].get(start, 0.0) for bound in bounds] for start in starts], dtype=np.float64)
    is_current = np.array([start >= grid.interval.since for start in starts], dtype=bool)
    now, before = counts[is_current].sum(axis=0), counts[~is_current].sum(axis=0)
    return Found(
        value=histogram_quantile(quantile, bounds, now),
        samples=round(float(now[-1])) if len(now) else 0,
        previous=histogram_quantile(quantile, bounds, before),
        series={
            start: histogram_quantile(quantile, bounds, row)
            for start, row, current in zip(starts, counts, is_current.tolist(), strict=True)
            if current
        },
        measured_at=min(grid.interval.until, utc_now()),
    )


def _split(steps: _Steps, grid: Grid) -> tuple[list[datetime], list[datetime]]:
    current = [start for start in steps if start >= grid.interval.since]
    return current, [start for start in steps if start < grid.interval.since]


def _window(grid: Grid) -> str:
    return f"{round(grid.step.total_seconds())}s"


def _ends(grid: Grid) -> Interval:
    """Return the ends of all steps: an increase is that up to the moment it is computed at."""
    last = grid.interval.since + grid.count * grid.step
    return Interval(grid.before + grid.step, last + timedelta(seconds=1))


def _by_start(times: NDArray[np.float64], values: NDArray[np.float64], grid: Grid) -> _Steps:
    """Return values by the start of their step; Prometheus was asked at whole seconds, the grid need not be."""
    shift = timedelta(microseconds=grid.interval.since.microsecond) - grid.step
    return {
        datetime.fromtimestamp(time, UTC) + shift: value
        for time, value in zip(times.tolist(), values.tolist(), strict=True)
        if np.isfinite(value)
    }
