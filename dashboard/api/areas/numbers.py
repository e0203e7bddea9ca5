"""Key figures, objectives and agents: what the numbers are, each with its age and what it rests on."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import Field
from sqlalchemy.orm import Session

from analytics.agents import AgentGraph, agent_graph
from analytics.core.clock import Interval, utc_now
from analytics.kpi import KpiReading, read_kpis
from analytics.live.agents import AgentState, agent_states
from analytics.slo import ErrorBudget, SloStatus, SloSummary, slo_report
from analytics.store.engine import session_scope
from dashboard.api.operations import Call, Operation, RangeQuery
from dashboard.auth.roles import Role


class KpisQuery(RangeQuery):
    """Which key figures over which span."""

    ids: str | None = Field(default=None, max_length=1000, description="Only these, separated by commas.")


class SlosQuery(RangeQuery):
    """Over which span the objectives are judged."""

    range: str = Field(default="30d", pattern=r"^[1-9]\d{0,3}[hd]$", description="The last so long, like `7d`.")


@dataclass(frozen=True, slots=True)
class KpiOut:
    """A key figure over an interval."""

    id: str
    title: str
    group: str
    unit: str
    doc: str
    source: str
    target: float | None
    value: float | None
    state: str
    samples: int
    measured_at: datetime | None
    since: datetime
    until: datetime
    previous: float | None
    includes_demo: bool
    series: list[tuple[datetime, float | None]]


@dataclass(frozen=True, slots=True)
class SloOut:
    """How an objective stands."""

    id: str
    title: str
    service: str
    description: str
    target: float
    sli: float | None
    compliant: bool | None
    margin: float | None
    state: str
    budget: ErrorBudget | None
    burn_rates: Mapping[str, float | None]
    """By window, written like ``1h``."""
    coverage_ratio: float
    good: float
    total: float
    measured_at: datetime | None
    includes_demo: bool
    exhausted_in_s: float | None
    series: list[tuple[datetime, float | None]]


@dataclass(frozen=True, slots=True)
class SloReportOut:
    """All objectives over an interval."""

    since: datetime
    until: datetime
    summary: SloSummary
    objectives: list[SloOut]


async def list_kpis(call: Call) -> list[KpiOut]:
    """Return key figures."""
    query = call.query(KpisQuery)
    ids = [part.strip() for part in query.ids.split(",")] if query.ids else None
    return [_kpi(reading) for reading in await call.in_thread(_read, call, query.interval(), ids)]


async def get_slos(call: Call) -> SloReportOut:
    """Return the report over all objectives."""
    now = utc_now()
    asked = call.query(SlosQuery).interval(now=now)
    report = await call.ask(slo_report, now=now, interval=asked)
    return SloReportOut(
        report.interval.since, report.interval.until, report.summary, [_slo(status) for status in report.statuses]
    )


async def get_graph(call: Call) -> AgentGraph:
    """Return the graph of agents."""
    return await call.ask(agent_graph, call.query(RangeQuery).interval())


async def list_states(call: Call) -> list[AgentState]:
    """Return what agents are doing now."""
    client = call.context.redis
    return await call.in_thread(agent_states, client) if client is not None else []


def _read(call: Call, interval: Interval, ids: list[str] | None) -> list[KpiReading]:
    def ask(session: Session) -> list[KpiReading]:
        return list(read_kpis(session, call.context.prom, interval, ids=ids))

    with session_scope(call.context.engine) as session:
        return ask(session)


def _kpi(reading: KpiReading) -> KpiOut:
    kpi = reading.kpi
    return KpiOut(
        id=kpi.id,
        title=kpi.title,
        group=kpi.group,
        unit=kpi.unit,
        doc=kpi.doc,
        source=kpi.source,
        target=kpi.target,
        value=reading.value,
        state=str(reading.state),
        samples=reading.samples,
        measured_at=reading.measured_at,
        since=reading.interval.since,
        until=reading.interval.until,
        previous=reading.previous,
        includes_demo=reading.includes_demo,
        series=list(reading.series),
    )


def _slo(status: SloStatus) -> SloOut:
    objective = status.objective
    return SloOut(
        id=objective.id,
        title=objective.title,
        service=objective.service,
        description=objective.description,
        target=float(objective.target),
        sli=status.sli,
        compliant=status.compliant,
        margin=status.margin,
        state=str(status.state),
        budget=status.budget,
        burn_rates={_window(window): rate for window, rate in status.burn_rates.items()},
        coverage_ratio=status.coverage_ratio,
        good=status.good,
        total=status.total,
        measured_at=status.measured_at,
        includes_demo=status.includes_demo,
        exhausted_in_s=status.exhausted_in.total_seconds() if status.exhausted_in is not None else None,
        series=list(status.series),
    )


def _window(window: timedelta) -> str:
    minutes = int(window.total_seconds()) // 60
    for size, unit in ((1440, "d"), (60, "h")):
        if minutes % size == 0:
            return f"{minutes // size}{unit}"
    return f"{minutes}m"


_STATE: Any = list[AgentState]

OPERATIONS = (
    Operation(
        "GET",
        "/kpis",
        list_kpis,
        "Return key figures over a range; a value is null when nothing was measured, never 0.",
        Role.VIEWER,
        list[KpiOut],
        query=KpisQuery,
    ),
    Operation(
        "GET",
        "/slos",
        get_slos,
        "Report how the objectives stand over a range, with budgets and burn rates.",
        Role.VIEWER,
        SloReportOut,
        query=SlosQuery,
    ),
    Operation(
        "GET",
        "/agents/graph",
        get_graph,
        "Return agents and the hand-overs between them over a range.",
        Role.VIEWER,
        AgentGraph,
        query=RangeQuery,
    ),
    Operation("GET", "/agents/states", list_states, "Return what agents are doing now.", Role.VIEWER, _STATE),
)
