"""What was measured over the last hours, by name of the metric: from samples of the host, of pools and of programs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from analytics.core.clock import Interval, utc_now
from analytics.core.errors import DependencyError, InputError
from analytics.core.logging import get_logger
from analytics.kpi.prometheus import ResponseTimes, response_times
from analytics.kpi.series import steps_of
from analytics.rollup.cell import Cell
from analytics.rollup.read import HOUR, Want, series, totals, window
from analytics.sources.prometheus import PromClient

MOST_NAMES = 500
"""Names with the most samples; those beyond are not summed up."""

_HOST = {"cpu": "system_cpu_ratio", "memory": "system_memory_ratio", "disk": "system_disk_ratio"}
_LATEST = text("""
    SELECT asked.name, sample.unit, sample.warning, sample.critical
    FROM unnest(CAST(:names AS text[])) AS asked (name)
    CROSS JOIN LATERAL (
        SELECT unit, warning, critical FROM metric_sample
        WHERE name = asked.name AND at >= :since AND at < :until ORDER BY at DESC LIMIT 1
    ) AS sample
""")
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class MetricSummary:
    """All samples of one name."""

    name: str
    unit: str
    count: int
    average: float
    minimum: float
    maximum: float
    p95: float
    """At most 4.4 % off, as is p99."""
    p99: float
    latest_at: datetime
    warning: float | None
    """From where its sender warns, as it said last."""
    critical: float | None
    includes_demo: bool


@dataclass(frozen=True, slots=True)
class Summary:
    """What was measured over a period."""

    interval: Interval
    """The period really measured."""
    sample_count: int
    metrics: Sequence[MetricSummary]
    """By name."""
    averages: Mapping[str, float | None]
    """Of ``cpu``, ``memory`` and ``disk``, as ratios; None where nothing was measured."""
    peaks: Mapping[str, float | None]
    response_times: Sequence[ResponseTimes]
    """By group of endpoints; empty when Prometheus is not there or saw nothing."""


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """The samples of one name in one step; None where there were none."""

    start: datetime
    count: int
    average: float | None
    minimum: float | None
    maximum: float | None


@dataclass(frozen=True, slots=True)
class MetricCourse:
    """One metric over time."""

    name: str
    interval: Interval
    """What was really measured: whole steps."""
    step: timedelta
    points: Sequence[MetricPoint]
    """One for each step, in order of time."""


def metric_course(session: Session, name: str, interval: Interval, *, step: timedelta) -> MetricCourse:
    """Return the samples called *name* by *step*; a name that nobody sent has only empty steps.

    Raises:
        InputError: If the interval is empty, or the step does not suit it; as for key figures.
    """
    grid = steps_of(interval, step)
    whole = grid.interval if step >= HOUR else interval
    steps = series(session, Want("sample.name", name), whole, step=step)
    points = [
        MetricPoint(start, 0, None, None, None)
        if cell is None
        else MetricPoint(start, cell.value_n or 0, cell.mean_value, cell.value_min, cell.value_max)
        for start, cell in steps
    ]
    return MetricCourse(name, grid.interval, step, points)


def summary(session: Session, prom: PromClient | None, interval: Interval) -> Summary:
    """Return what was measured over *interval*, by name, at most 500 names.

    Raises:
        InputError: If the interval is empty.
    """
    if not interval.length:
        raise InputError("An empty interval has no summary; choose an end after the start.")
    covered = window(interval, now=utc_now()).interval
    cells = totals(session, "sample.name", interval, most=MOST_NAMES)
    latest = _latest(session, list(cells), covered)
    metrics = [
        _metric(name, cell, *latest.get(name, ("", None, None))) for name, cell in sorted(cells.items()) if cell.value_n
    ]
    by_name = {metric.name: metric for metric in metrics}
    host = {key: by_name.get(name) for key, name in _HOST.items()}
    return Summary(
        interval=covered,
        sample_count=sum(metric.count for metric in metrics),
        metrics=metrics,
        averages={key: None if metric is None else metric.average for key, metric in host.items()},
        peaks={key: None if metric is None else metric.maximum for key, metric in host.items()},
        response_times=_response_times(prom, interval),
    )


def _latest(session: Session, names: Sequence[str], covered: Interval) -> dict[str, tuple[Any, ...]]:
    """Return unit, warning and critical of the newest sample of each name."""
    parameters = {"names": list(names), "since": covered.since, "until": covered.until}
    return {name: tuple(rest) for name, *rest in session.execute(_LATEST, parameters)} if names else {}


def _metric(name: str, cell: Cell, unit: str, warning: float | None, critical: float | None) -> MetricSummary:
    low, high = cell.value_min or 0.0, cell.value_max or 0.0
    p95, p99 = (min(max(cell.quantile(q) or low, low), high) for q in (0.95, 0.99))
    return MetricSummary(
        name=name,
        unit=unit,
        count=cell.value_n or 0,
        average=cell.mean_value or 0.0,
        minimum=low,
        maximum=high,
        p95=p95,
        p99=p99,
        latest_at=cell.newest,
        warning=warning,
        critical=critical,
        includes_demo=cell.is_demo,
    )


def _response_times(prom: PromClient | None, interval: Interval) -> list[ResponseTimes]:
    if prom is None:
        return []
    try:
        return response_times(prom, interval)
    except (DependencyError, InputError) as error:
        _log.warning("response times not read", source="prometheus", reason=error.message)
        return []
