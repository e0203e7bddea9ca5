"""Reading key figures over an interval."""

import uuid
from collections.abc import Mapping, Sequence

from sqlalchemy.orm import Session

from analytics.core.clock import Interval
from analytics.core.errors import DependencyError, InputError
from analytics.core.logging import get_logger
from analytics.kpi.facts import read_facts
from analytics.kpi.model import FactSource, Found, Grid, Kpi, KpiReading, KpiState, grid_of
from analytics.kpi.prometheus import read_prometheus
from analytics.kpi.registry import kpi, registry
from analytics.sources.prometheus import PromClient

_log = get_logger(__name__)


def read_kpis(
    session: Session,
    prom: PromClient | None,
    interval: Interval,
    *,
    ids: Sequence[str] | None = None,
    project_id: uuid.UUID | None = None,
) -> list[KpiReading]:
    """Return a reading of every key figure over *interval*, in the order of the registry.

    A Prometheus that is away, or None, leaves its figures with the state ``no_source``; the others are not touched.

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
    wanted = list(registry()) if ids is None else [kpi(name) for name in dict.fromkeys(ids)]
    grid = grid_of(interval)
    found: dict[str, Found] = read_facts(session, wanted, grid, project_id=project_id)
    answered = False
    if prom is not None and project_id is None and any(not isinstance(item.measure, FactSource) for item in wanted):
        try:
            found.update(read_prometheus(prom, wanted, grid))
            answered = True
        except (DependencyError, InputError) as error:
            _log.warning("kpi source not read", source="prometheus", reason=error.message)
    return [_reading(item, found, grid, is_there=_is_there(item, found, answered=answered)) for item in wanted]


def _is_there(item: Kpi, found: Mapping[str, Found], *, answered: bool) -> bool:
    return item.id in found or (answered and not isinstance(item.measure, FactSource))


def _reading(item: Kpi, found: Mapping[str, Found], grid: Grid, *, is_there: bool) -> KpiReading:
    known = found.get(item.id)
    if known is None:
        state = KpiState.NO_DATA if is_there else KpiState.NO_SOURCE
        return KpiReading(item, None, state, 0, None, grid.interval)
    return KpiReading(
        kpi=item,
        value=known.value,
        state=item.rate(known.value),
        samples=known.samples,
        measured_at=known.measured_at if known.value is not None else None,
        interval=grid.interval,
        series=[(start, known.series.get(start, known.empty_step)) for start in grid.starts],
        previous=known.previous,
        includes_demo=known.includes_demo,
    )
