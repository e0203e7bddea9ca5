"""What needs a hand comes in order; courses carry their bounds."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from analytics.core.clock import Interval
from analytics.kpi import KpiReading, KpiState
from analytics.kpi.registry import kpi
from analytics.live.agents import AgentState, AgentStatus
from analytics.store.queries.slo_alerts import SloAlertRow
from dashboard.api.health import Health, HealthStatus, PartHealth, PartStatus
from dashboard.components import charts, operations, performance
from dashboard.filters import Span
from dashboard.performance_questions import Samples

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = Interval(NOW - 24 * HOUR, NOW)


def alert(severity="page", *, since=NOW, inhibited=False):
    return SloAlertRow(
        uuid.uuid4(),
        "api",
        "",
        "exhausted",
        severity,
        0,
        since,
        None,
        None,
        is_inhibited=inhibited,
        detail={},
        origin="",
    )


def reading(kpi_id, value, state):
    return KpiReading(kpi(kpi_id), value, state, 10, NOW, DAY)


def found(**known):
    nothing = {"health": None, "readings": (), "alerts": (), "queue": None, "servers": (), "agents": ()}
    return operations.troubles(**(nothing | known))


def test_nothing_known_is_nothing_to_do():
    assert found() == []


def test_critical_things_come_first_and_in_each_the_newest():
    away = PartHealth("redis", PartStatus.DOWN, NOW - HOUR, "No answer.", None)
    health = Health(HealthStatus.DEGRADED, NOW, "1", NOW, (away,))
    agent = AgentState("planner", AgentStatus.ERROR, None, {}, 1, NOW)
    items = found(
        health=health,
        alerts=[alert("ticket"), alert(since=NOW), alert(inhibited=True)],
        readings=[reading("http_p95", 0.4, KpiState.WARNING), reading("http_errors", 0.0, KpiState.ON_TARGET)],
        agents=[agent],
    )
    assert [(item.look.word, item.kind) for item in items] == [
        ("Critical", "Objective"),
        ("Critical", "Part"),
        ("Warning", "Objective"),
        ("Warning", "Agent"),
        ("Warning", "Key figure"),
    ]
    assert "target" in items[-1].why
    assert items[-1].params == {"kpi": "http_p95"}


@pytest.mark.parametrize(
    ("value", "said"),
    [(None, "is not known"), (0.0, "last 24 hours: none was open"), (0.125, "12.5 % of the servers, on average")],
)
def test_circuit_breakers_are_told_in_words(value, said):
    readings = [reading("circuit_breakers", value, KpiState.MEASURED)]
    assert said in operations.breakers_words(readings, Span("24h"))
    assert "is not known" in operations.breakers_words([], Span("24h"))


def test_answers_are_drawn_with_bounds_and_without_anything_measured_there_is_no_line():
    bounds = performance.bounds_of([reading("http_p95", 0.1, KpiState.ON_TARGET)], "http_p95")
    assert [line.tone for line in bounds] == ["warning", "critical"]
    points = [(NOW - HOUR, 0.1), (NOW, None)]
    chart, words = performance.answers_chart({"api": points, "static": points}, None, bounds, DAY)
    assert ([series.name for series in chart.series], len(chart.thresholds)) == (["API"], 2)
    assert "Prometheus" in words
    empty, words = performance.answers_chart({}, Samples(DAY, []), bounds, DAY)
    assert charts.is_empty(empty)
    assert not empty.thresholds
    assert "sampled" in words
    assert performance.bounds_of([], "http_p95") == []
