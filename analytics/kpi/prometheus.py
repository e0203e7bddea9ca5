"""Key figures from counters, gauges and histograms of Prometheus: two queries for all of them together."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from analytics.core.clock import Interval, utc_now
from analytics.kpi.model import CounterSource, Found, GaugeSource, Grid, Kpi, KpiPoint, QuantileSource
from analytics.sources.prometheus import PromClient

_Steps = dict[datetime, float]
_VALUE, _TOTAL = "value", "total"
_HTTP_TIME = "helmsight_http_request_duration_seconds"


@dataclass(frozen=True, slots=True)
class ResponseTimes:
    """How one group of endpoints answered."""

    group: str
    """``api``, ``page``, ``auth``, …"""
    area: str
    """The part of the interface, such as ``runs``, or the page; empty where groups have none."""
    requests: int
    average_s: float
    p95_s: float | None
    """Exact to a bucket of the histogram, as is p99."""
    p99_s: float | None


def read_prometheus(prom: PromClient, kpis: Sequence[Kpi], grid: Grid) -> dict[str, Found]:
    """Return what Prometheus knows of *kpis* by id; one without any series is missing.

    Increases are asked for by step and added here, so that the raw samples are read once.

    Raises:
        DependencyError: If Prometheus is away.
    """
    counters = {item.id: item.measure for item in kpis if isinstance(item.measure, CounterSource)}
    gauges = {item.id: item.measure for item in kpis if isinstance(item.measure, GaugeSource)}
    quantiles = {item.id: item.measure for item in kpis if isinstance(item.measure, QuantileSource)}
    window = _window(grid)
    asked = {
        **{(name, _VALUE): _increase(source.value, window) for name, source in counters.items()},
        **{(name, _TOTAL): _increase(source.total, window) for name, source in counters.items() if source.total},
        **{(name, _VALUE): _level(source, window) for name, source in gauges.items()},
        **{(name, _TOTAL): f"sum(count_over_time({source.selector}[{window}]))" for name, source in gauges.items()},
    }
    seen = _steps(prom, asked, grid)
    found = {
        name: _counted(seen.get((name, _VALUE), {}), seen.get((name, _TOTAL), {}) if source.total else None, grid)
        for name, source in counters.items()
        if (name, _TOTAL if source.total else _VALUE) in seen
    }
    for name in gauges:
        if (name, _VALUE) in seen:
            found[name] = _levels(seen[name, _VALUE], seen.get((name, _TOTAL), {}), grid)
    for name, by_bound in _histograms(prom, quantiles, grid).items():
        found[name] = _quantile(by_bound, quantiles[name].quantile, grid)
    return found


def read_prometheus_by(prom: PromClient, item: Kpi, label: str, interval: Interval) -> dict[str, Found]:
    """Return what Prometheus knows of *item* over *interval* by the value of *label*, without a trend.

    Raises:
        DependencyError: If Prometheus is away.
    """
    window, end = _whole(interval)
    source = item.measure
    if isinstance(source, QuantileSource):
        return _quantiles_by(prom, source, label, window, end)
    if isinstance(source, GaugeSource):
        return _levels_by(prom, source, label, window, end)
    if not isinstance(source, CounterSource):
        return {}
    values = _values_by(prom, source.value, label, window, end)
    totals = values if source.total is None else _values_by(prom, source.total, label, window, end)
    found: dict[str, Found] = {}
    for key, total in totals.items():
        if total > 0:
            part = values.get(key, 0.0)
            value = part if source.total is None else min(1.0, part / total)
            found[key] = Found(value, round(total), measured_at=end)
    return found


def response_times(prom: PromClient, interval: Interval) -> list[ResponseTimes]:
    """Return how requests were answered over *interval* by group and area, busiest first.

    Raises:
        DependencyError: If Prometheus is away.
    """
    window, end = _whole(interval)
    buckets: dict[tuple[str, str], dict[float, float]] = {}
    for row in prom.instant(f"sum by (group, area, le) (increase({_HTTP_TIME}_bucket[{window}]))", end):
        place = buckets.setdefault((row.labels.get("group", ""), row.labels.get("area", "")), {})
        place[float(row.labels["le"])] = row.value or 0.0
    spent = {
        (row.labels.get("group", ""), row.labels.get("area", "")): row.value or 0.0
        for row in prom.instant(f"sum by (group, area) (increase({_HTTP_TIME}_sum[{window}]))", end)
    }
    found = []
    for (group, area), by_bound in buckets.items():
        bounds = np.array(sorted(by_bound), dtype=np.float64)
        counts = np.array([by_bound[bound] for bound in bounds], dtype=np.float64)
        total = float(counts[-1])
        if total > 0 and (group, area) in spent:
            p95, p99 = (histogram_quantile(quantile, bounds, counts) for quantile in (0.95, 0.99))
            found.append(ResponseTimes(group, area, round(total), spent[group, area] / total, p95, p99))
    return sorted(found, key=lambda times: (-times.requests, times.group, times.area))


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


def _increase(selector: str, window: str) -> str:
    return f"sum(increase({selector}[{window}]))"


def _level(source: GaugeSource, window: str) -> str:
    """Return the query of the mean level; processes that show the same thing are not added up."""
    level = f"avg_over_time({source.selector}[{window}])"
    if not source.by:
        return f"max({level})"
    return f"{'avg' if source.is_share else 'sum'}(max by ({source.by}) ({level}))"


def _steps(prom: PromClient, asked: Mapping[tuple[str, str], str], grid: Grid) -> dict[tuple[str, str], _Steps]:
    """Return what each query says, by the start of the step; one query for all of them."""
    if not asked:
        return {}
    query = " or ".join(
        f'label_replace(label_replace({expression}, "kpi", "{name}", "", ""), "part", "{part}", "", "")'
        for (name, part), expression in asked.items()
    )
    return {
        (series.labels["kpi"], series.labels["part"]): _by_start(series.times, series.values, grid)
        for series in prom.range(query, _ends(grid), grid.step)
    }


def _values_by(prom: PromClient, selector: str, label: str, window: str, at: datetime) -> dict[str, float]:
    rows = prom.instant(f"sum by ({label}) (increase({selector}[{window}]))", at)
    return {row.labels.get(label, ""): row.value for row in rows if row.value is not None}


def _quantiles_by(prom: PromClient, source: QuantileSource, label: str, window: str, at: datetime) -> dict[str, Found]:
    buckets = f"{source.histogram}_bucket{{{source.matchers}}}"
    by_key: dict[str, dict[float, float]] = {}
    for row in prom.instant(f"sum by ({label}, le) (increase({buckets}[{window}]))", at):
        if row.value is not None:
            by_key.setdefault(row.labels.get(label, ""), {})[float(row.labels["le"])] = row.value
    found: dict[str, Found] = {}
    for key, by_bound in by_key.items():
        bounds = np.array(sorted(by_bound), dtype=np.float64)
        counts = np.array([by_bound[bound] for bound in bounds], dtype=np.float64)
        if counts[-1] > 0:
            value = histogram_quantile(source.quantile, bounds, counts)
            found[key] = Found(value, round(float(counts[-1])), measured_at=at)
    return found


def _levels_by(prom: PromClient, source: GaugeSource, label: str, window: str, at: datetime) -> dict[str, Found]:
    counts = prom.instant(f"sum by ({label}) (count_over_time({source.selector}[{window}]))", at)
    seen = {row.labels.get(label, ""): row.value or 0.0 for row in counts}
    rows = prom.instant(f"max by ({label}) (avg_over_time({source.selector}[{window}]))", at)
    levels = {row.labels.get(label, ""): row.value for row in rows if row.value is not None}
    return {key: Found(value, round(seen.get(key, 0.0)), measured_at=at) for key, value in levels.items()}


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

    total = value(current)
    is_amount = totals is None and total is not None
    steps = {start: (whole[start] if is_amount else value([start]), whole[start]) for start in current}
    return Found(
        value=total,
        samples=round(sum(whole[start] for start in current)),
        previous=value(previous),
        points=_points(steps, grid),
        measured_at=min(grid.interval.until, utc_now()),
    )


def _levels(values: _Steps, counts: _Steps, grid: Grid) -> Found:
    """Return the mean level: that of the steps in which it was seen."""
    current, previous = _split(values, grid)
    return Found(
        value=_mean([values[start] for start in current]),
        samples=round(sum(counts.get(start, 0.0) for start in current)),
        previous=_mean([values[start] for start in previous]),
        points=_points({start: (values[start], counts.get(start, 0.0)) for start in current}, grid),
        measured_at=min(grid.interval.until, utc_now()) if current else None,
    )


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _points(steps: Mapping[datetime, tuple[float | None, float]], grid: Grid) -> list[KpiPoint]:
    """Return every step of the interval; None where nothing was seen."""
    return [
        KpiPoint(start, value, round(samples))
        for start in grid.starts
        for value, samples in [steps.get(start, (None, 0.0))]
    ]


def _quantile(by_bound: Mapping[float, _Steps], quantile: float, grid: Grid) -> Found:
    bounds = np.array(sorted(by_bound), dtype=np.float64)
    starts = sorted({start for steps in by_bound.values() for start in steps})
    counts = np.array([[by_bound[bound].get(start, 0.0) for bound in bounds] for start in starts], dtype=np.float64)
    is_current = np.array([start >= grid.interval.since for start in starts], dtype=bool)
    now, before = counts[is_current].sum(axis=0), counts[~is_current].sum(axis=0)
    steps = {
        start: (histogram_quantile(quantile, bounds, row), float(row[-1]))
        for start, row, current in zip(starts, counts, is_current.tolist(), strict=True)
        if current
    }
    return Found(
        value=histogram_quantile(quantile, bounds, now),
        samples=round(float(now[-1])) if len(now) else 0,
        previous=histogram_quantile(quantile, bounds, before),
        points=_points(steps, grid),
        measured_at=min(grid.interval.until, utc_now()),
    )


def _split(steps: _Steps, grid: Grid) -> tuple[list[datetime], list[datetime]]:
    current = [start for start in steps if start >= grid.interval.since]
    return current, [start for start in steps if start < grid.interval.since]


def _whole(interval: Interval) -> tuple[str, datetime]:
    """Return the interval as a window of Prometheus, and the moment it ends."""
    end = max(min(interval.until, utc_now()), interval.since)
    return f"{max(1, round((end - interval.since).total_seconds()))}s", end


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
