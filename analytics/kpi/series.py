"""Key figures over time, by any step."""

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from sqlalchemy.orm import Session

from analytics.core.clock import Interval, floor_time
from analytics.core.errors import InputError
from analytics.kpi.cells import read_cells
from analytics.kpi.model import CellSource, Found, Grid, Kpi, KpiPoint, KpiSeries
from analytics.kpi.read import read_counted
from analytics.kpi.split import line_of
from analytics.kpi.thresholds import effective
from analytics.rollup.read import HOUR
from analytics.sources.prometheus import PromClient

MOST_STEPS = 2_000
_MINUTE = timedelta(minutes=1)


def kpi_series(
    session: Session,
    prom: PromClient | None,
    kpi_id: str,
    interval: Interval,
    *,
    step: timedelta,
    dim: str = "",
    key: str = "",
) -> KpiSeries:
    """Return *kpi_id* over *interval* by *step*; of one value of a dimension if *dim* and *key* say so.

    Args:
        session: The open transaction.
        prom: Where counters are asked for, or None.
        kpi_id: The figure.
        interval: The time to look at, at most 2,000 steps; moved outward to whole steps.
        step: At least a minute for up to six hours; else a multiple of an hour, or of a day.
        dim: One of its ``dims``, or empty for all; only figures that come from the rollup have a course by dimension.
        key: Which value of it.

    Raises:
        NotFoundError: If there is no such figure or dimension.
        InputError: If the interval is empty, or the step does not suit it.
    """
    (item,) = effective(session, ids=[kpi_id])
    if dim:
        item = _line(item, dim, key)
    return replace(_series(session, prom, [item], interval, step)[item.id], key=key if dim else "")


def many_series(
    session: Session, prom: PromClient | None, ids: Sequence[str], interval: Interval, *, step: timedelta
) -> dict[str, KpiSeries]:
    """Return several figures over the same time, by id, with one query of the rollup for all of them.

    Raises:
        NotFoundError: If an id is not known.
        InputError: If the interval is empty, or the step does not suit it.
    """
    return _series(session, prom, effective(session, ids=ids), interval, step)


def steps_of(interval: Interval, step: timedelta) -> Grid:
    """Return the steps over *interval*; those of hours and days begin at multiples of their length since the epoch.

    Raises:
        InputError: If the interval is empty, the step shorter than a minute, or there are more than 2,000 of them.
    """
    if interval.length <= timedelta(0):
        raise InputError("An empty interval has no course; choose an end after the start.")
    if step < _MINUTE or (step > HOUR and step % HOUR):
        raise InputError("A step is a minute or more, and above an hour a whole number of hours; nothing was read.")
    since = interval.since if step < HOUR else floor_time(interval.since, step)
    count = math.ceil((interval.until - since) / step)
    if count > MOST_STEPS:
        raise InputError(f"{count:,} steps are more than {MOST_STEPS:,}; take longer ones. Nothing was read.")
    return Grid(Interval(since, since + count * step), step, count, with_before=False)


def _series(
    session: Session, prom: PromClient | None, kpis: Sequence[Kpi], interval: Interval, step: timedelta
) -> dict[str, KpiSeries]:
    grid = steps_of(interval, step)
    whole = grid.interval if step >= HOUR else interval
    found = read_cells(session, kpis, whole, step=step, with_before=False) | (read_counted(prom, kpis, grid) or {})
    return {item.id: _course(item, found.get(item.id), grid) for item in kpis}


def _course(item: Kpi, known: Found | None, grid: Grid) -> KpiSeries:
    if known is None:
        nothing = [KpiPoint(start, None, 0) for start in grid.starts]
        return KpiSeries(item, grid.interval, grid.step, nothing, None)
    return KpiSeries(item, grid.interval, grid.step, known.points, known.measured_at, includes_demo=known.includes_demo)


def _line(item: Kpi, dim: str, key: str) -> Kpi:
    """Return *item* as read from the cells of one value of *dim*."""
    cut, whole = line_of(item, dim, key)
    source = item.measure
    return replace(item, measure=replace(source, cut=cut, key=whole)) if isinstance(source, CellSource) else item
