"""Key figures and agents: what the numbers are, each with its age and what it rests on."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import Field
from sqlalchemy.orm import Session

from analytics.agents import AgentGraph, agent_graph
from analytics.core.clock import Interval
from analytics.kpi import KpiReading, read_kpis
from analytics.live.agents import AgentState, agent_states
from analytics.store.engine import session_scope
from dashboard.api.operations import Call, Operation, RangeQuery
from dashboard.auth.roles import Role


class KpisQuery(RangeQuery):
    """Which key figures over which span."""

    ids: str | None = Field(default=None, max_length=1000, description="Only these, separated by commas.")


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


async def list_kpis(call: Call) -> list[KpiOut]:
    """Return key figures."""
    query = call.query(KpisQuery)
    ids = [part.strip() for part in query.ids.split(",")] if query.ids else None
    return [_kpi(reading) for reading in await call.in_thread(_read, call, query.interval(), ids)]


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
        "/agents/graph",
        get_graph,
        "Return agents and the hand-overs between them over a range.",
        Role.VIEWER,
        AgentGraph,
        query=RangeQuery,
    ),
    Operation("GET", "/agents/states", list_states, "Return what agents are doing now.", Role.VIEWER, _STATE),
)
