"""Key figures from cells of the rollup: one query for all of them, however many facts there are."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from analytics.core.clock import Interval, utc_now
from analytics.kpi.model import CellSource, Found, Kpi, KpiPoint
from analytics.rollup.cell import Cell
from analytics.rollup.cuts import joined
from analytics.rollup.read import Course, Want, read_many

PROJECT = "project"

MEASURES: Mapping[str, Callable[[Cell], float | None]] = {
    "n": lambda cell: cell.n,
    "ok": lambda cell: cell.ok,
    "failed": lambda cell: cell.failed,
    "ended": lambda cell: cell.ended,
    "people": lambda cell: cell.distinct(),
    "input_tokens": lambda cell: cell.input_tokens,
    "output_tokens": lambda cell: cell.output_tokens,
    "tokens": lambda cell: cell.tokens,
    "cost_usd": lambda cell: cell.cost_usd,
    "priced": lambda cell: cell.priced,
    "duration_n": lambda cell: cell.duration_n,
    "duration_s": lambda cell: cell.duration_s,
    "value": lambda cell: cell.mean_value,
    "value_sum": lambda cell: cell.value_sum,
    "value_n": lambda cell: cell.value_n,
    "p50": lambda cell: cell.quantile(0.50),
    "p95": lambda cell: cell.quantile(0.95),
    "p99": lambda cell: cell.quantile(0.99),
}
"""What can be computed of a cell, by name; None where nothing of it is known."""

_AMOUNTS = {"n", "ok", "failed", "ended", "people", "tokens", "input_tokens", "output_tokens", "cost_usd", "value_sum"}
"""Measures of which a step without facts has 0."""


def value_of(source: CellSource, cell: Cell | None) -> tuple[float | None, int]:
    """Return the value of a figure for *cell*, None when it rests on nothing, and on how many facts it rests."""
    if cell is None:
        return None, 0
    samples = int(MEASURES[source.samples](cell) or 0)
    value = MEASURES[source.value](cell)
    if not samples or value is None:
        return None, samples
    if source.total is None:
        return float(value), samples
    total = MEASURES[source.total](cell)
    return (float(value) / float(total) if total else None), samples


def read_cells(
    session: Session,
    kpis: Sequence[Kpi],
    interval: Interval,
    *,
    step: timedelta | None,
    project_id: uuid.UUID | None = None,
    with_before: bool = True,
) -> dict[str, Found]:
    """Return what the rollup knows of *kpis* by id; a figure not kept by project is missing when one is asked.

    Args:
        session: The open transaction.
        kpis: Figures; those with other sources are passed over.
        interval: The time to look at.
        step: Of the trend; None for none.
        project_id: Only facts of this project.
        with_before: Whether to read the time before, too.
    """
    wanted = {item.id: want for item in kpis if (want := want_of(item, project_id)) is not None}
    if not wanted:
        return {}
    courses = read_many(session, list(dict.fromkeys(wanted.values())), interval, step=step, with_before=with_before)
    read_at = min(interval.until, utc_now())
    return {
        item.id: _found(item.measure, courses[wanted[item.id]], read_at)
        for item in kpis
        if item.id in wanted and isinstance(item.measure, CellSource)
    }


def want_of(item: Kpi, project_id: uuid.UUID | None = None) -> Want | None:
    """Return the line of the rollup that *item* is read from, of one project if asked; None when there is none."""
    source = item.measure
    if not isinstance(source, CellSource):
        return None
    if project_id is None:
        return Want(source.cut, source.key)
    return Want(item.dims[PROJECT], key_of(source, str(project_id))) if PROJECT in item.dims else None


def key_of(source: CellSource, part: str) -> str:
    """Return the key of *part* in a cut of *source* by one more dimension."""
    return joined(source.key, part) if source.key else part


def measured_at(source: CellSource, cell: Cell | None, read_at: datetime) -> datetime | None:
    """Return up to when facts were read; a sample is only as new as its measurement."""
    if cell is None:
        return None
    return min(cell.newest, read_at) if source.cut.startswith("sample.") else read_at


def _found(source: CellSource, course: Course, read_at: datetime) -> Found:
    value, samples = value_of(source, course.total)
    is_amount = source.total is None and source.value in _AMOUNTS
    empty = 0.0 if is_amount and value is not None else None
    steps = [(start, value_of(source, cell)) for start, cell in course.steps]
    return Found(
        value=value,
        samples=samples,
        previous=value_of(source, course.before)[0],
        points=[KpiPoint(start, part if seen else empty, seen) for start, (part, seen) in steps],
        measured_at=measured_at(source, course.total, read_at) if samples else None,
        includes_demo=course.total is not None and course.total.is_demo,
    )
