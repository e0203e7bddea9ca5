"""Agents, usage and costs through the API."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import create_engine, delete, insert

from analytics.core.clock import utc_now
from analytics.core.ids import new_id
from analytics.rollup.upkeep import keep_up
from analytics.store.engine import driver_url, session_scope
from analytics.store.tables import AgentRun, Event, LlmCall

pytestmark = pytest.mark.integration
MINE = "of-analytics"


@pytest.fixture(scope="module")
def _known(web_dsn: str) -> Iterator[None]:
    """Twenty runs of an agent, two model calls one of which has no price, and an event of a person."""
    at = utc_now() - timedelta(minutes=5)
    runs = [
        {"id": new_id(), "agent_id": MINE, "task_kind": "k", "started_at": at, "status": "completed"} for _ in range(20)
    ]
    call = {"at": at, "provider": MINE, "ok": True, "duration_ms": 10, "input_tokens": 1, "output_tokens": 1}
    calls = [{**call, "id": new_id(), "model": model, "cost_usd": cost} for model, cost in (("a", 0.5), ("b", None))]
    event = {"id": new_id(), "at": at, "kind": "web.page_view", "source": MINE, "subject": "ann"}
    engine = create_engine(driver_url(web_dsn))
    with session_scope(engine) as session:
        session.execute(insert(AgentRun), runs)
        session.execute(insert(LlmCall), calls)
        session.execute(insert(Event), [event])
    keep_up(engine, now=utc_now())
    yield
    with session_scope(engine) as session:
        session.execute(delete(AgentRun).where(AgentRun.agent_id == MINE))
        session.execute(delete(LlmCall).where(LlmCall.provider == MINE))
        session.execute(delete(Event).where(Event.source == MINE))
    keep_up(engine, now=utc_now())
    engine.dispose()


@pytest.mark.usefixtures("_known")
def test_agents_are_told_for_the_last_days_with_how_sure_it_is(as_role: Any) -> None:
    client = as_role("viewer")
    answer = client.get("/api/v1/analytics/agent-performance?days=1")
    mine = next(agent for agent in answer.json()["agents"] if agent["id"] == MINE)
    assert (mine["runs"], mine["success_ratio"], mine["health"]) == (20, 1.0, "healthy")
    assert mine["success_low"] == pytest.approx(0.839, abs=1e-3)
    assert (mine["cost_usd"], mine["p95_s"]) == (None, None)
    assert "private" in answer.headers["cache-control"]
    again = client.get("/api/v1/analytics/agent-performance?days=1", headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code in {200, 304}  # an hour may have ended between the two


@pytest.mark.usefixtures("_known")
def test_costs_are_told_by_model_and_an_unknown_price_is_null(as_role: Any) -> None:
    found = as_role("viewer").get("/api/v1/costs?by=service_model&range=1h").json()
    lines = {line["key"]: line for line in found["lines"]}
    priced, unpriced = lines[f"{MINE}\x1fa"], lines[f"{MINE}\x1fb"]
    assert (priced["cost_usd"], priced["per_success_usd"], priced["unpriced"]) == (0.5, 0.5, 0)
    assert (unpriced["cost_usd"], unpriced["per_success_usd"], unpriced["unpriced"]) == (None, None, 1)


@pytest.mark.usefixtures("_known")
def test_usage_counts_people_and_events(as_role: Any) -> None:
    found = as_role("viewer").get("/api/v1/analytics/usage?range=1h").json()
    mine = next(line for line in found["sources"] if line["key"] == MINE)
    assert (mine["count"], mine["people"]) == (1, 1)
    assert found["people"] >= 1


@pytest.mark.parametrize(
    "path",
    ["analytics/agent-performance?days=0", "analytics/agent-performance?days=x", "costs?by=weather", "costs?limit=0"],
)
def test_a_question_that_makes_no_sense_is_refused(as_role: Any, path: str) -> None:
    answer = as_role("viewer").get(f"/api/v1/{path}")
    assert answer.status_code == 422
    assert "Nothing was done" in answer.json()["detail"]
