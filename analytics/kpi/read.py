"""Reading key figures over an interval."""

import uuid
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy.orm import Session

from analytics.core.clock import Interval, utc_now
from analytics.core.errors import DependencyError, InputError
from analytics.core.logging import get_logger
from analytics.kpi.cells import read_cells
from analytics.kpi.model import CellSource, Found, Grid, Kpi, KpiReading, KpiState, grid_of
from analytics.kpi.prometheus import read_prometheus
from analytics.kpi.thresholds import effective
from analytics.rollup.read import window
from analytics.sources.prometheus import PromClient

_MINUTE = timedelta(minutes=1)
_log = get_logger(__name__)


def read_kpis(
    session: Session,
    prom: PromClient | None,
    interval: Interval,
    *,
    ids: Sequence[str] | None = None,
    project_id: uuid.UUID | None = None,
) -> list[KpiReading]:
    """Return a reading of every key figure over *interval*, in the order of the registry, with the bounds that count.

    A Prometheus that is away, or None, leaves its figures with the state ``no_source``; the others are not touched.
    Ranges over six hours are measured in whole hours, over two days in whole days (UTC) from their start: the
    ``interval`` of a reading says which.

    Args:
        session: The open transaction.
        prom: Where counters are asked for, or None.
        interval: The time to look at; it is compared with the same length before.
        ids: Only these figures.
        project_id: Only what belongs to this project; figures that are not kept by project have no source then.

    Raises:
        NotFoundError: If an id is not known.
        InputError: If the interval is empty.
        DependencyError: If PostgreSQL is away; raised by the scope of *session*.
    """
    grid = trend_grid(interval)
    wanted = effective(session, ids=ids)
    found = read_cells(session, wanted, interval, step=max(grid.step, _MINUTE), project_id=project_id)
    counted = read_counted(prom if project_id is None else None, wanted, grid)
    return [_reading(item, found | (counted or {}), grid, is_counted=counted is not None) for item in wanted]


def trend_grid(interval: Interval) -> Grid:
    """Return what a reading over *interval* measures, in at most 60 steps.

    Raises:
        InputError: If the interval is empty.
    """
    if interval.length <= timedelta(0):
        return grid_of(interval)
    covered = window(interval, now=utc_now())
    return grid_of(covered.interval, finest=covered.step)


def read_counted(prom: PromClient | None, kpis: Sequence[Kpi], grid: Grid) -> dict[str, Found] | None:
    """Return what Prometheus knows of *kpis* by id; None when it is not there."""
    if prom is None or all(isinstance(item.measure, CellSource) for item in kpis):
        return None
    try:
        return read_prometheus(prom, kpis, grid)
    except (DependencyError, InputError) as error:
        _log.warning("kpi source not read", source="prometheus", reason=error.message)
        return None


def _reading(item: Kpi, found: dict[str, Found], grid: Grid, *, is_counted: bool) -> KpiReading:
    known = found.get(item.id)
    if known is None:
        is_there = is_counted and not isinstance(item.measure, CellSource)
        state = KpiState.NO_DATA if is_there else KpiState.NO_SOURCE
        return KpiReading(item, None, state, 0, None, grid.interval)
    return KpiReading(
        kpi=item,
        value=known.value,
        state=item.rate(known.value),
        samples=known.samples,
        measured_at=known.measured_at if known.value is not None else None,
        interval=grid.interval,
        series=[(point.start, point.value) for point in known.points],
        previous=known.previous,
        includes_demo=known.includes_demo,
    )
