"""Key figures from rows of PostgreSQL: one statement a table, however many figures it feeds.

Each statement reads the rows of the interval and of the one before it, through the index or the partitions on time;
its cost grows with those rows, not with the table. Percentiles are exact, over the same rows.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from analytics.core.clock import utc_now
from analytics.kpi.model import FactSource, Found, Grid, Kpi

_AMOUNTS = {"n", "cost_usd", "tokens", "subjects"}
"""Columns of which a step without rows has 0."""


@dataclass(frozen=True, slots=True)
class FactTable:
    """Rows with a time, and what can be counted of them."""

    rows: str
    """Selects ``at`` and ``origin`` besides what *columns* need; ``{where}`` stands for the condition on time."""
    time: str
    columns: Mapping[str, str]
    has_project: bool = False


_METRIC = FactTable(
    rows="SELECT at, value, origin FROM metric_sample WHERE name = :name AND {where}",
    time="at",
    columns={"n": "count(*)", "average": "avg(value)"},
)

_TABLES = {
    "run": FactTable(
        rows="SELECT created_at AS at, status, finished_at - started_at AS took, origin FROM run WHERE {where}",
        time="created_at",
        columns={
            "n": "count(*)",
            "completed": "count(*) FILTER (WHERE status = 'completed')",
            "ended": "count(*) FILTER (WHERE status IN ('completed', 'failed'))",
            "p95_s": "percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM took))"
            " FILTER (WHERE status = 'completed')",
        },
    ),
    "agent_run": FactTable(
        rows="SELECT started_at AS at, status, cost_usd AS cost, origin FROM agent_run WHERE {where}",
        time="started_at",
        columns={
            "n": "count(*)",
            "completed": "count(*) FILTER (WHERE status = 'completed')",
            "ended": "count(*) FILTER (WHERE status IN ('completed', 'failed'))",
            "cost_usd": "sum(cost)",
            "priced": "count(cost)",
        },
        has_project=True,
    ),
    "llm_call": FactTable(
        rows="SELECT at, ok, input_tokens + output_tokens AS spent, origin FROM llm_call WHERE {where}",
        time="at",
        columns={"n": "count(*)", "succeeded": "count(*) FILTER (WHERE ok)", "tokens": "sum(spent)"},
    ),
    "lead": FactTable(
        rows="SELECT created_at AS at, converted_at, origin FROM lead WHERE {where}",
        time="created_at",
        columns={"n": "count(*)", "converted": "count(converted_at)"},
    ),
    "assessment": FactTable(
        rows="SELECT finished_at AS at, status, origin FROM work_item"
        " WHERE kind = 'assessment' AND status IN ('completed', 'failed') AND {where}",
        time="finished_at",
        columns={"n": "count(*)", "completed": "count(*) FILTER (WHERE status = 'completed')"},
        has_project=True,
    ),
    "event": FactTable(
        rows="SELECT at, subject, origin FROM event WHERE {where}",
        time="at",
        columns={"n": "count(*)", "subjects": "count(DISTINCT subject)"},
        has_project=True,
    ),
    "system_cpu_ratio": _METRIC,
    "system_memory_ratio": _METRIC,
}


def read_facts(session: Session, kpis: Sequence[Kpi], grid: Grid, *, project_id: uuid.UUID | None) -> dict[str, Found]:
    """Return what PostgreSQL knows of *kpis* by id; a figure that is not kept by project is missing when one is asked.

    Args:
        session: The open transaction.
        kpis: Figures; those with other sources are passed over.
        grid: The interval and its steps.
        project_id: Only rows of this project.
    """
    wanted = {item.id: item.measure for item in kpis if isinstance(item.measure, FactSource)}
    found: dict[str, Found] = {}
    for name in dict.fromkeys(source.table for source in wanted.values()):
        table = _TABLES[name]
        if project_id is not None and not table.has_project:
            continue
        rows = _read(session, name, table, grid, project_id)
        for kpi_id, source in wanted.items():
            if source.table == name:
                found[kpi_id] = _found(rows, source, grid)
    return found


def _read(
    session: Session, name: str, table: FactTable, grid: Grid, project_id: uuid.UUID | None
) -> Sequence[Mapping[str, Any]]:
    """Return sums by step of the interval (``is_total`` 0) and of the whole interval and the one before (1)."""
    where = f"{table.time} >= :before AND {table.time} < :until"
    if project_id is not None:
        where += " AND project_id = :project_id"
    # Nothing but the texts of this module goes into the statement; every value is bound.
    columns = ", ".join(f"{expression} AS {column}" for column, expression in table.columns.items())
    statement = (
        "SELECT is_current, step, grouping(step) AS is_total, bool_or(origin = 'demo') AS has_demo,"  # noqa: S608
        f" max(at) AS newest, {columns} FROM (SELECT facts.*, at >= :since AS is_current,"
        " CASE WHEN at >= :since THEN date_bin(CAST(:step AS interval), at, :since) END AS step"
        f" FROM ({table.rows.replace('{where}', where)}) AS facts) AS placed"
        " GROUP BY GROUPING SETS ((is_current), (is_current, step))"
    )
    parameters = {
        "before": grid.before,
        "since": grid.interval.since,
        "until": grid.interval.until,
        "step": grid.step,
        "name": name,
        "project_id": project_id,
    }
    return [dict(row) for row in session.execute(text(statement), parameters).mappings()]


def _found(rows: Sequence[Mapping[str, Any]], source: FactSource, grid: Grid) -> Found:
    totals = {row["is_current"]: row for row in rows if row["is_total"]}
    current, previous = totals.get(True), totals.get(False)
    samples = 0 if current is None else int(current[source.samples] or 0)
    steps = {row["step"].astimezone(UTC): _value(row, source) for row in rows if not row["is_total"] and row["step"]}
    return Found(
        value=None if current is None else _value(current, source),
        samples=samples,
        previous=None if previous is None else _value(previous, source),
        series=steps,
        empty_step=0.0 if source.total is None and source.value in _AMOUNTS and samples else None,
        measured_at=_measured_at(current, source, grid),
        includes_demo=current is not None and bool(current["has_demo"]),
    )


def _value(row: Mapping[str, Any], source: FactSource) -> float | None:
    """Return the value, None when it rests on nothing."""
    if not row[source.samples] or row[source.value] is None:
        return None
    if source.total is None:
        return float(row[source.value])
    return float(row[source.value]) / float(row[source.total])


def _measured_at(current: Mapping[str, Any] | None, source: FactSource, grid: Grid) -> datetime | None:
    """Return up to when rows were read; a sample is only as new as its measurement."""
    if current is None or not current[source.samples]:
        return None
    if source.value == "average":
        newest: datetime = current["newest"]
        return newest
    return min(grid.interval.until, utc_now())
