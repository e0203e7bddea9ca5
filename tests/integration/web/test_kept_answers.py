"""Answers of the API that are kept for others, and what the caches and pools tell of themselves."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

pytestmark = pytest.mark.integration

USAGE = "/api/v1/analytics/usage?range=3h"


def caches(client):
    found = client.get("/api/v1/caches").json()
    return {cache["name"]: cache for cache in found["caches"]}


def test_an_expensive_answer_is_kept_and_read_anew_when_asked(as_role):
    client = as_role("viewer")
    first = client.get(USAGE)
    before = caches(client)["metrics"]
    again = client.get(USAGE)
    assert ("age" in first.headers, "age" in again.headers) == (False, True)
    assert (again.json(), again.headers["etag"]) == (first.json(), first.headers["etag"])
    after = caches(client)["metrics"]
    assert after["hits"] == before["hits"] + 1
    assert after["ttl_s"] == 30
    assert "age" not in client.get(USAGE, headers={"Cache-Control": "no-cache"}).headers


def test_a_journey_that_has_ended_is_read_once_until_something_of_its_time_is_told_late(as_role):
    operator, analyst = as_role("operator"), as_role("analyst")
    began = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=5)
    ended = {"since": began.isoformat(), "until": (began + timedelta(hours=2)).isoformat()}
    subject = f"ann-{uuid4().hex[:8]}"

    def tell(at: datetime) -> None:
        event = {"kind": "web.visit", "source": "/kept", "subject": subject, "at": at.isoformat()}
        assert operator.post("/api/v1/events", json=[event]).status_code == 202

    def read(**headers: str) -> tuple[int, int]:
        """Return how many events the journey has, and how many lookups were answered without reading."""
        before = caches(analyst)["sessions"]["hits"]
        answer = analyst.get("/api/v1/events", params={**ended, "subject": subject}, headers=headers)
        return len(answer.json()["items"]), caches(analyst)["sessions"]["hits"] - before

    tell(began)
    assert [read(), read()] == [(1, 0), (1, 1)]
    tell(datetime.now(UTC))
    assert read() == (1, 1)
    tell(began + timedelta(minutes=5))
    assert [read(), read()] == [(2, 0), (2, 1)]
    assert read(**{"Cache-Control": "no-cache"}) == (2, 0)
    misses = caches(analyst)["sessions"]["misses"]
    analyst.get("/api/v1/events", params={"range": "6h", "subject": subject})
    assert caches(analyst)["sessions"]["misses"] == misses, "a time that goes on is not kept"


def test_the_graph_of_agents_over_the_past_is_kept_beyond_its_half_minute(as_role):
    viewer, operator = as_role("viewer"), as_role("operator")
    until = datetime.now(UTC) - timedelta(hours=2)
    graph = {"since": (until - timedelta(hours=1)).isoformat(), "until": until.isoformat()}
    first = viewer.get("/api/v1/agents/graph", params=graph)
    assert first.status_code == 200
    before = caches(viewer)["agents"]
    operator.delete("/api/v1/caches/metrics")
    again = viewer.get("/api/v1/agents/graph", params=graph)
    after = caches(viewer)["agents"]
    assert again.json() == first.json()
    assert (after["hits"] - before["hits"], after["misses"] - before["misses"]) == (1, 0)
    assert (after["ttl_s"], after["declared_size"]) == (1800, 200)
    viewer.get("/api/v1/agents/graph", params=graph, headers={"Cache-Control": "no-cache"})
    assert caches(viewer)["agents"]["misses"] > after["misses"]


def test_operators_empty_caches_and_others_do_not(as_role):
    assert as_role("viewer").delete("/api/v1/caches/metrics").status_code == 403
    operator = as_role("operator")
    operator.get(USAGE)
    assert operator.delete("/api/v1/caches/metrics?pattern=*usage*").json()["entries"] >= 1
    assert "age" not in operator.get(USAGE).headers
    assert operator.delete("/api/v1/caches/nonsense").status_code == 404


def test_views_of_a_person_are_kept_until_they_change_or_are_voided(as_role):
    analyst = as_role("analyst")
    assert analyst.get("/api/v1/views?page=kept").json() == []
    made = analyst.post("/api/v1/views", json={"page": "kept", "name": "Mine", "query": {"a": 1}})
    assert made.status_code in {200, 201}
    assert [view["name"] for view in analyst.get("/api/v1/views?page=kept").json()] == ["Mine"]
    misses = caches(analyst)["users"]["misses"]
    analyst.get("/api/v1/views?page=kept")
    assert caches(analyst)["users"]["misses"] == misses
    assert as_role("operator").delete("/api/v1/caches/users/analyst@example.org").status_code == 204
    analyst.get("/api/v1/views?page=kept")
    assert caches(analyst)["users"]["misses"] == misses + 1


def test_pools_tell_how_they_are(as_role):
    pools = {pool["name"]: pool for pool in as_role("viewer").get("/api/v1/pools").json()}
    assert pools["async"]["checkouts"] > 0
    assert 0 <= pools["async"]["hit_rate"] <= 1
    assert pools["async"]["mean_wait_s"] > 0
    assert (pools["sync"]["size"], pools["sync"]["most"], pools["sync"]["exhausted"]) == (20, 30, 0)
