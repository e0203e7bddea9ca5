"""Key figures and metrics through the API."""

from datetime import timedelta
from typing import Any

import pytest

from analytics.core.clock import utc_now

pytestmark = pytest.mark.integration
BOUNDS = {"target": 0.995, "good": 0.99, "warning": 0.98, "note": "stricter"}


def test_samples_of_a_program_go_in_and_are_summed_up(as_role: Any) -> None:
    rows = [{"name": "web.orders", "value": value, "unit": "count", "warning": 5} for value in (1, 3)]
    assert as_role("analyst").post("/api/v1/metrics/samples", json={"samples": rows}).status_code == 403
    old = {"name": "web.orders", "value": 1, "at": (utc_now() - timedelta(days=400)).isoformat()}
    answer = as_role("operator").post("/api/v1/metrics/samples", json={"samples": [*rows, {"name": "x"}, old]})
    assert answer.status_code == 200
    taken = answer.json()
    assert taken["accepted"] == 2
    assert [(item["index"], item["path"]) for item in taken["rejected"]] == [(2, "value"), (3, "at")]
    found = as_role("viewer").get("/api/v1/metrics/summary?hours=1").json()
    (orders,) = [metric for metric in found["metrics"] if metric["name"] == "web.orders"]
    assert (orders["count"], orders["average"], orders["minimum"], orders["maximum"]) == (2, 2, 1, 3)
    assert (orders["unit"], orders["warning"], orders["critical"]) == ("count", 5, None)
    course = as_role("viewer").get("/api/v1/metrics/series?name=web.orders&hours=1&interval=5m").json()
    assert sum(point["count"] for point in course["points"]) == 2
    assert set(found["averages"]) == set(found["peaks"]) == {"cpu", "memory", "disk"}


def test_a_key_figure_is_read_as_a_whole_over_time_and_by_its_dimensions(as_role: Any) -> None:
    client = as_role("viewer")
    one = client.get("/api/v1/kpis/agent_success?range=1h").json()
    assert (one["id"], one["unit"], one["direction"], one["revision"]) == ("agent_success", "ratio", "higher", 0)
    assert {"agent", "project"} <= set(one["dims"])
    again = client.get("/api/v1/kpis/agent_success?range=1h").json()
    anew = client.get("/api/v1/kpis/agent_success?range=1h&force_refresh=true").json()
    assert again["until"] == one["until"] < anew["until"]
    course = client.get("/api/v1/kpis/agent_success/series?hours=24&interval=1h").json()
    assert (course["step_s"], len(course["points"])) == (3600, 25)
    assert client.get("/api/v1/kpis/agent_success/by/agent?range=1h").json() == []
    assert client.get("/api/v1/kpis/agent_success/by/colour").status_code == 404
    assert client.get("/api/v1/kpis/agent_success/series?hours=24&interval=1m").status_code == 422
    assert client.get("/api/v1/kpis/nothing").status_code == 404
    assert client.get("/api/v1/kpis/agent_success/rows").status_code == 403
    rows = as_role("analyst").get("/api/v1/kpis/agent_success/rows?range=1h").json()
    assert rows == {"items": [], "limit": 20, "next": None}
    assert as_role("analyst").get("/api/v1/kpis/http_p95/rows").status_code == 404


def test_thresholds_are_set_by_operators_and_stand_in_their_history(as_role: Any) -> None:
    path = "/api/v1/kpis/llm_success/thresholds"
    assert as_role("analyst").put(path, json=BOUNDS).status_code == 403
    operator = as_role("operator")
    changed = operator.put(path, json=BOUNDS, headers={"If-Match": "0"})
    assert changed.status_code == 200
    assert (changed.json()["revision"], changed.json()["target"], changed.json()["note"]) == (1, 0.995, "stricter")
    assert operator.put(path, json=BOUNDS | {"good": 0.985}, headers={"If-Match": "0"}).status_code == 409
    assert operator.put(path, json=BOUNDS | {"good": 0.999}).status_code == 422
    seen = as_role("viewer").get("/api/v1/kpis/llm_success").json()
    assert (seen["target"], seen["good"], seen["warning"], seen["revision"]) == (0.995, 0.99, 0.98, 1)
    assert operator.delete(path).json()["revision"] == 2
    assert operator.delete(path).status_code == 404
    told = as_role("viewer").get(path).json()
    assert [(item["revision"], item["target"]) for item in told] == [(2, 0.99), (1, 0.995), (0, 0.99)]
    actions = as_role("admin").get("/api/v1/audit?action=kpi.").json()["items"]
    assert {item["action"] for item in actions} == {"kpi.thresholds_set", "kpi.thresholds_reset"}
