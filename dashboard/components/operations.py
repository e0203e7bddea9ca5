"""What needs a hand, in one list; how busy the host is; breakers and queues."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import streamlit as st

from analytics.core.clock import utc_now
from analytics.kpi import KpiReading, KpiState
from analytics.live.agents import AgentState, AgentStatus
from analytics.store.queries.mcp import McpServerRow
from analytics.store.queries.queue import QueueState
from analytics.store.queries.slo_alerts import SloAlertRow
from dashboard import formats
from dashboard.api.health import Health, HealthStatus, PartStatus
from dashboard.auth.viewer import current_viewer
from dashboard.components import charts, slos_alerts, tables
from dashboard.components.cards import target_words
from dashboard.components.charts import Chart, Series, Threshold
from dashboard.components.health import title_of
from dashboard.components.navigation import go
from dashboard.components.status import KPI_LOOKS, Look, look_of
from dashboard.components.tables import Column
from dashboard.filters import Filters, Span
from dashboard.links import page_of
from dashboard.performance_questions import Samples

_CRITICAL = KPI_LOOKS["critical"]
_WARNING = KPI_LOOKS["warning"]
_ORDER = {_CRITICAL.word: 0, _WARNING.word: 1}
_HOST_WORDS = {"system_cpu_ratio": "Processor", "system_memory_ratio": "Memory", "system_disk_ratio": "Disk"}
_HOST_HEIGHT = 260
HEALTH_LOOKS: Mapping[str, Look] = {
    "ok": Look("Healthy", ":material/check_circle:", "green"),
    "degraded": Look("Degraded", ":material/warning:", "orange"),
    "down": Look("Down", ":material/error:", "red"),
}


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that needs a hand."""

    look: Look
    kind: str
    what: str
    why: str
    since: datetime | None
    """None when it is not known."""
    page: str
    """Where one sees more of it."""
    params: Mapping[str, str] = field(default_factory=dict)


def troubles(
    *,
    health: Health | None,
    readings: Sequence[KpiReading],
    alerts: Sequence[SloAlertRow],
    queue: QueueState | None,
    servers: Sequence[McpServerRow],
    agents: Sequence[AgentState],
) -> list[Trouble]:
    """Return what needs a hand, critical things first, in each the newest first; what is not known is left out."""
    found = [
        *_of_parts(health),
        *_of_alerts(alerts),
        *_of_figures(readings),
        *_of_queue(queue),
        *_of_servers(servers),
        *_of_agents(agents),
    ]
    oldest = datetime.min.replace(tzinfo=utc_now().tzinfo)
    newest_first = sorted(found, key=lambda item: item.since or oldest, reverse=True)
    return sorted(newest_first, key=lambda item: _ORDER.get(item.look.word, len(_ORDER)))


def _of_parts(health: Health | None) -> Iterator[Trouble]:
    for part in () if health is None else health.parts:
        if part.status is PartStatus.DOWN and part.name != "mcp":
            yield Trouble(_CRITICAL, "Part", f"{title_of(part)}: away", part.detail, part.since, "operations")


def _of_alerts(alerts: Sequence[SloAlertRow]) -> Iterator[Trouble]:
    for alert in alerts:
        if not alert.is_inhibited:
            look = _CRITICAL if alert.severity == "page" else _WARNING
            words = slos_alerts.alert_words(alert)
            yield Trouble(look, "Objective", alert.slo_id, words, alert.started_at, "slo", {"id": alert.slo_id})


def _of_figures(readings: Sequence[KpiReading]) -> Iterator[Trouble]:
    for reading in readings:
        if reading.state in {KpiState.CRITICAL, KpiState.WARNING}:
            kpi = reading.kpi
            why = f"{formats.quantity(reading.value, kpi.unit)}, target {target_words(kpi) or formats.DASH}"
            look = look_of(KPI_LOOKS, reading.state)
            yield Trouble(look, "Key figure", kpi.title, why, None, "overview", {"kpi": kpi.id})


def _of_queue(queue: QueueState | None) -> Iterator[Trouble]:
    if queue is not None and queue.needs_attention:
        what = formats.plural(queue.needs_attention, "run")
        yield Trouble(_WARNING, "Queue", f"{what} in need of attention", "Somebody has to look at them.", None, "queue")


def _of_servers(servers: Sequence[McpServerRow]) -> Iterator[Trouble]:
    for server in servers:
        if server.enabled and server.status != "up":
            why = server.error or f"It is {server.status}."
            yield Trouble(_WARNING, "MCP server", f"{server.name}: no answer", why, server.seen_at, "mcp")


def _of_agents(agents: Sequence[AgentState]) -> Iterator[Trouble]:
    for agent in agents:
        if agent.status is AgentStatus.ERROR:
            why = agent.task or "It says that it is in error."
            yield Trouble(_WARNING, "Agent", agent.agent_id, why, agent.at, "agents", {"agent": agent.agent_id})


_COLUMNS: list[Column[Trouble]] = [
    Column("What", lambda item: item.what),
    Column("State", lambda item: item.look, "state", width="small"),
    Column("Kind", lambda item: item.kind, width="small"),
    Column("Why", lambda item: item.why, width="large"),
    Column("Since", lambda item: item.since, "moment"),
]


def draw_troubles(items: Sequence[Trouble], filters: Filters) -> None:
    """Draw what needs a hand; a click opens where one sees more."""
    if not items:
        st.caption(
            ":material/check_circle: Nothing needs you: no part is away, no alert is open, no figure is out of bounds."
        )
        return
    opened = tables.table(
        items,
        _COLUMNS,
        alt="What needs a hand, critical things first",
        key="operations.troubles",
        can_open=True,
        height="content" if len(items) <= _MOST_SHOWN else _LONG,
    )
    if opened is None or items[opened].page == "operations":
        return
    chosen = items[opened]
    if current_viewer().role >= page_of(chosen.page).role:
        go(chosen.page, filters, **chosen.params)


_MOST_SHOWN, _LONG = 10, 388


def health_metric(health: Health | None) -> None:
    """Draw the health of the whole as one figure."""
    if health is None:
        st.metric("Health", formats.NO_DATA, border=True, height="stretch")
        return
    look = HEALTH_LOOKS[health.status.value]
    away = sum(part.status is PartStatus.DOWN for part in health.parts)
    words = "Every part that is set up answers." if not away else f"{formats.plural(away, 'part')} away."
    detail = words if health.status is HealthStatus.OK else f"{words} The list below says what still works."
    st.metric("Health", look.word, border=True, height="stretch", help=detail)


def breakers_words(readings: Sequence[KpiReading], span: Span) -> str:
    """Return how much of the time calls of MCP servers failed at once, because the server kept failing."""
    share = next((reading.value for reading in readings if reading.kpi.id == "circuit_breakers"), None)
    if share is None:
        return ":material/help: Whether circuit breakers were open is not known: no worker has told Prometheus."
    if share == 0:
        return f":material/check_circle: Circuit breakers, {span.words}: none was open."
    away = formats.percent(share, places=1)
    return f":material/warning: Circuit breakers, {span.words}: {away} of the servers, on average, could not be called."


def host_chart(samples: Samples, thresholds: Sequence[Threshold]) -> Chart:
    """Return how busy the host was."""
    lines = [Series(_HOST_WORDS[line.name], line.points) for line in samples.lines if line.name in _HOST_WORDS]
    return Chart(
        alt="Share of processor, memory and disk in use over time, against where a warning begins and ends",
        unit="ratio",
        series=lines,
        interval=samples.interval,
        thresholds=thresholds if lines else (),
        height=_HOST_HEIGHT,
        from_zero=True,
    )


def draw_host(samples: Samples, thresholds: Sequence[Threshold]) -> None:
    """Draw how busy the host was, with the peaks in words."""
    charts.draw(host_chart(samples, thresholds), key="operations.host")
    peaks = [
        f"{_HOST_WORDS[line.name].lower()} {formats.percent(line.total.value_max)}"
        for line in samples.lines
        if line.total.value_max is not None and line.name in _HOST_WORDS
    ]
    if peaks:
        st.caption(f"Measured every half minute. Peaks: {', '.join(peaks)}.")
