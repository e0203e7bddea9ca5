"""Findings, forecasts, capacity and bounds that fit through the API."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import create_engine, delete

from analytics.core.clock import floor_time, utc_now
from analytics.core.ids import new_id
from analytics.insights import Evidence, Finding, InsightKind
from analytics.insights.findings import list_insights, store
from analytics.store.engine import driver_url, session_scope
from analytics.store.tables import Insight

pytestmark = pytest.mark.integration
URL = "/api/v1/insights"


@pytest.fixture(scope="module")
def finding_id(web_dsn: str) -> Iterator[str]:
    now = floor_time(utc_now(), timedelta(hours=1))
    evidence = Evidence("ratio", now - timedelta(hours=2), timedelta(hours=1), [0.5, None], 40, "Counted.")
    one = Finding(InsightKind.ANOMALY, "agent_success", "Agent runs completed: unusually low", 0.8, now, evidence)
    engine = create_engine(driver_url(web_dsn))
    with session_scope(engine) as session:
        store(session, [one], now=now)
        (row,) = list_insights(session, kpi_id="agent_success")
    yield str(row.id)
    with session_scope(engine) as session:
        session.execute(delete(Insight))
    engine.dispose()


def test_findings_are_listed_and_told_with_what_they_rest_on(as_role: Any, finding_id: str) -> None:
    client = as_role("viewer")
    listed = client.get(URL, params={"kind": "anomaly", "limit": 1}).json()
    assert [item["id"] for item in listed["items"]] == [finding_id]
    one = client.get(f"{URL}/{finding_id}").json()
    assert one["evidence"]["values"] == [0.5, None]
    assert (one["insight"]["confidence"], one["evidence"]["how"]) == (0.8, "Counted.")
    assert client.get(f"{URL}/{new_id()}").status_code == 404
    assert client.get(URL, params={"kind": "hunch"}).status_code == 422


def test_who_may_rates_a_finding(as_role: Any, finding_id: str) -> None:
    assert as_role("viewer").post(f"{URL}/{finding_id}/feedback", json={"useful": True}).status_code == 403
    answer = as_role("analyst").post(f"{URL}/{finding_id}/feedback", json={"useful": False, "note": "noise"})
    assert answer.status_code == 200
    assert (answer.json()["insight"]["useless"], answer.json()["feedback"][0]["note"]) == (1, "noise")


def test_without_history_nothing_is_foretold(as_role: Any) -> None:
    client = as_role("viewer")
    assert client.get(f"{URL}/forecast", params={"kpi": "runs"}).json() == {"forecast": None}
    assert client.get(f"{URL}/forecast", params={"kpi": "no_such"}).status_code == 404
    assert client.get(f"{URL}/forecast", params={"kpi": "runs", "hours": 1000}).status_code == 422
    assert client.get(f"{URL}/threshold-advice").json() == []
    assert client.get(f"{URL}/capacity").json()["resources"] == []
