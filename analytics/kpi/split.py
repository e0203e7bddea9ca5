"""One key figure by agent, model, source, …, and the rows behind it."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from analytics.core.clock import Interval, utc_now
from analytics.core.errors import DependencyError, InputError, NotFoundError
from analytics.core.logging import get_logger
from analytics.kpi.cells import key_of, measured_at, value_of
from analytics.kpi.model import CellSource, Found, Kpi, KpiReading
from analytics.kpi.prometheus import read_prometheus_by
from analytics.kpi.registry import kpi
from analytics.kpi.thresholds import effective
from analytics.rollup.cuts import SEPARATOR
from analytics.rollup.read import drill, keys, totals, window
from analytics.sources.prometheus import PromClient

MOST_KEYS = 100
_log = get_logger(__name__)


def read_by(
    session: Session, prom: PromClient | None, kpi_id: str, dim: str, interval: Interval, *, most: int = 20
) -> list[KpiReading]:
    """Return a reading of *kpi_id* for each value of *dim* (``key``), those with the most samples first.

    They have neither trend nor earlier value. Parts of a pair, such as agent and task kind, are joined by U+001F; an
    empty key stands for facts that do not say. Without an answer of the source there are none.

    Args:
        session: The open transaction.
        prom: Where counters are asked for, or None.
        kpi_id: The figure.
        dim: One of its ``dims``.
        interval: The time to look at.
        most: How many at most; 1 to 100.

    Raises:
        NotFoundError: If there is no such figure, or it cannot be split by *dim*; says by what it can.
        InputError: If *most* is out of range.
    """
    if not 1 <= most <= MOST_KEYS:
        raise InputError(f"A split has 1 to {MOST_KEYS} rows; nothing was read.")
    (item,) = effective(session, ids=[kpi_id])
    place = cut_of(item, dim)
    covered = window(interval, now=utc_now()).interval
    if isinstance(item.measure, CellSource):
        found = _cells_by(session, item.measure, place, interval, most)
    else:
        found = _counted_by(prom, item, place, interval)
    readings = [
        KpiReading(
            kpi=item,
            value=known.value,
            state=item.rate(known.value),
            samples=known.samples,
            measured_at=known.measured_at,
            interval=covered if isinstance(item.measure, CellSource) else interval,
            includes_demo=known.includes_demo,
            key=key,
        )
        for key, known in found.items()
    ]
    return sorted(readings, key=lambda reading: (-reading.samples, reading.key))[:most]


def kpi_rows(
    session: Session,
    kpi_id: str,
    interval: Interval,
    *,
    dim: str = "",
    key: str = "",
    limit: int = 50,
    after: tuple[datetime, uuid.UUID] | None = None,
) -> Sequence[Mapping[str, Any]]:
    """Return the raw rows that a reading rests on, newest first; of one value of a dimension if *dim* says so.

    Args:
        session: The open transaction.
        kpi_id: The figure.
        interval: The time to look at, exactly.
        dim: One of its ``dims``, or empty for all.
        key: Which value of it.
        limit: The most rows.
        after: ``(row["at"], row["id"])`` of the last row of the page before.

    Raises:
        NotFoundError: If there is no such figure or dimension, or it comes from Prometheus, which keeps no rows.
    """
    item = kpi(kpi_id)
    if not isinstance(item.measure, CellSource):
        raise NotFoundError(f"{item.title} is counted by Prometheus, which keeps no rows; nothing was read.")
    cut, whole = line_of(item, dim, key)
    return drill(session, cut, whole, interval, limit=limit, after=after)


def cut_of(item: Kpi, dim: str) -> str:
    """Return the cut of the rollup, or the label of Prometheus, by which *item* is split by *dim*.

    Raises:
        NotFoundError: If it cannot be; says by what it can.
    """
    if dim not in item.dims:
        choices = ", ".join(item.dims) or "nothing"
        raise NotFoundError(f"{item.title} cannot be split by {dim!r}; it can by {choices}. Nothing was read.")
    return item.dims[dim]


def line_of(item: Kpi, dim: str, key: str) -> tuple[str, str]:
    """Return cut and key of one line of a figure of the rollup.

    Raises:
        NotFoundError: If it has no such dimension.
    """
    source = item.measure
    if not isinstance(source, CellSource):
        raise NotFoundError(f"{item.title} does not come from the rollup; nothing was read.")
    return (cut_of(item, dim), key_of(source, key)) if dim else (source.cut, source.key)


def _cells_by(session: Session, source: CellSource, cut: str, interval: Interval, most: int) -> dict[str, Found]:
    """Return what the rollup knows by key of *cut*; of a figure that is one key itself, by what follows that key."""
    prefix = f"{source.key}{SEPARATOR}" if source.key else ""
    wanted = [key for key in keys(session, cut, interval) if key.startswith(prefix)] if prefix else None
    if wanted == []:
        return {}
    cells = totals(session, cut, interval, keys=wanted, most=most)
    read_at = min(interval.until, utc_now())
    found: dict[str, Found] = {}
    for key, cell in cells.items():
        value, samples = value_of(source, cell)
        if samples:
            at = measured_at(source, cell, read_at)
            found[key.removeprefix(prefix)] = Found(value, samples, measured_at=at, includes_demo=cell.is_demo)
    return found


def _counted_by(prom: PromClient | None, item: Kpi, label: str, interval: Interval) -> dict[str, Found]:
    if prom is None:
        return {}
    try:
        return read_prometheus_by(prom, item, label, interval)
    except DependencyError as error:
        _log.warning("kpi source not read", source="prometheus", reason=error.message)
        return {}
