"""Key figures over time, by any step."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy.orm import Session

from analytics.core.clock import Interval
from analytics.kpi.model import KpiSeries
from analytics.sources.prometheus import PromClient

MOST_STEPS = 2_000


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
        interval: The time to look at, at most 2,000 steps.
        step: At least a minute for up to six hours; else a multiple of an hour, or of a day.
        dim: One of its ``dims``, or empty for all.
        key: Which value of it.

    Raises:
        NotFoundError: If there is no such figure or dimension.
        InputError: If the interval is empty, or the step does not suit it.
    """
    raise NotImplementedError


def many_series(
    session: Session, prom: PromClient | None, ids: Sequence[str], interval: Interval, *, step: timedelta
) -> dict[str, KpiSeries]:
    """Return several figures over the same time, with one query of the rollup for all of them."""
    raise NotImplementedError
