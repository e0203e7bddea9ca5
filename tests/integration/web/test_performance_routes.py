"""The overview, the score, its course and advice, and work items through the API."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import create_engine, delete, insert

from analytics.core.clock import utc_now
from analytics.core.ids import new_id
from analytics.rollup.upkeep import keep_up
from analytics.store.engine import driver_url, session_scope
from analytics.store.tables import AgentRun, WorkItem

pytestmark = pytest.mark.integration
MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def _known(web_dsn: str) -> Iterator[None]:
    """Ninety of a hundred agent runs completed within the hour, and three reports; taken away afterwards."""
    at = utc_now() - 10 * MINUTE
    runs = [
        {"id": new_id(), "agent_id": "known", "task_kind": "k", "started_at": at, "status": status}
        for status in ["completed"] * 90 + ["failed"] * 10
    ]
    items = [
        {"kind": "report", "title": f"Report {number}", "status": "open", "created_at": at + number * MINUTE}
        for number in range(3)
    ]
    engine = create_engine(driver_url(web_dsn))
    with session_scope(engine) as session:
        session.execute(insert(AgentRun), runs)
        session.execute(insert(WorkItem), items)
    keep_up(engine, now=utc_now())
    yield
    with session_scope(engine) as session:
        session.execute(delete(AgentRun).where(AgentRun.agent_id == "known"))
        session.execute(delete(WorkItem))
    engine.dispose()


@pytest.mark.usefixtures("_known")
def test_the_overview_is_small_and_says_more_when_asked(as_role: Any) -> None:
    client = as_role("viewer")
    short = client.get("/api/v1/performance/overview?range=1h&force_refresh=true").json()
    assert {"timestamp", "system_health", "performance_score", "metrics"} <= set(short)
    assert short["system_health"]["status"] in {"ok", "degraded"}
    assert {"pool_size", "hit_rate", "avg_wait_time"} <= set(short["metrics"]["connections"]["sync"])
    assert {"hit_rate", "size", "max_size", "evictions"} <= set(short["metrics"]["caching"]["overview"])
    assert (short["score"]["parts"], short["figures"], short["system_health"]["parts"]) == ([], [], [])
    reports = next(kind for kind in short["work"] if kind["kind"] == "report")
    assert (reports["total"], reports["by_status"]["open"], reports["latest"]) == (3, 3, [])
    assert {metric["id"]: metric["value"] for metric in short["success"]}["alert_response"] is None
    long = client.get("/api/v1/performance/overview?range=1h&include_details=true").json()
    assert long["timestamp"] == short["timestamp"], "the same answer stands for a minute"
    assert {part["name"] for part in long["system_health"]["parts"]} >= {"postgres", "redis"}
    assert len(long["figures"]) > 40
    again = client.get("/api/v1/performance/overview?range=1h&force_refresh=true").json()
    assert again["timestamp"] > short["timestamp"]


@pytest.mark.usefixtures("_known")
def test_the_score_tells_what_each_figure_costs_and_what_to_do(as_role: Any) -> None:
    client = as_role("viewer")
    score = client.get("/api/v1/performance/score?range=1h").json()
    (agents,) = [part for part in score["parts"] if part["kpi_id"] == "agent_success"]
    assert (agents["value"], agents["points"], agents["state"]) == (0.9, pytest.approx(70), "warning")
    found = client.get("/api/v1/performance/recommendations?range=1h").json()
    (advice,) = [item for item in found if item["kpi_id"] == "agent_success"]
    assert (advice["rule"], advice["value"], advice["value_after"]) == ("below_target", 0.9, 0.98)
    assert "90 %" in advice["evidence"]


@pytest.mark.usefixtures("_known")
def test_figures_are_told_by_step_and_the_system_by_day(as_role: Any) -> None:
    client = as_role("viewer")
    found = client.get("/api/v1/performance/timeseries?hours=3&interval=30m&ids=agent_success,performance_score").json()
    assert found["step_s"] == 1800
    (agents, score) = found["series"]
    assert [value for _, value, _ in agents["points"] if value is not None] == [0.9]
    assert score["unit"] == "points"
    assert len(client.get("/api/v1/performance/timeseries").json()["series"]) > 10
    assert client.get("/api/v1/performance/timeseries?hours=24&interval=7m").status_code == 422
    system = client.get("/api/v1/analytics/system-insights?days=2").json()
    assert {trend["figure"]["id"] for trend in system["productivity"]} >= {"runs", "agent_runs"}
    assert {trend["figure"]["id"] for trend in system["utilisation"]} >= {"system_cpu", "db_pool_use"}
    assert any(item["kpi_id"] == "agent_success" for item in system["recommendations"])
    assert client.get("/api/v1/analytics/system-insights?days=0").status_code == 422


@pytest.mark.usefixtures("_known")
def test_work_items_come_newest_first_page_by_page(as_role: Any) -> None:
    client = as_role("viewer")
    first = client.get("/api/v1/work-items?kind=report&limit=2").json()
    assert [item["title"] for item in first["items"]] == ["Report 2", "Report 1"]
    rest = client.get("/api/v1/work-items", params={"kind": "report", "limit": 2, "after": first["next"]}).json()
    assert [item["title"] for item in rest["items"]] == ["Report 0"]
    assert client.get("/api/v1/work-items?status=completed").json()["items"] == []
    assert client.get("/api/v1/work-items?kind=poem").status_code == 422
