"""Objectives, corrections and annotations through a real server."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest
from served import Dashboard

from analytics.core.clock import floor_time, utc_now
from analytics.slo.model import BUCKET

pytestmark = pytest.mark.integration
API = "/api/v1/slos"
HOUR = timedelta(hours=1)


@pytest.fixture
def operator(web: Dashboard, people: dict[str, str]) -> Iterator[httpx.Client]:
    with web.as_program(people["operator"]) as client:
        yield client


@pytest.fixture
def viewer(web: Dashboard, people: dict[str, str]) -> Iterator[httpx.Client]:
    with web.as_program(people["viewer"]) as client:
        yield client


@pytest.fixture
def admin(web: Dashboard, people: dict[str, str]) -> Iterator[httpx.Client]:
    with web.as_program(people["admin"]) as client:
        yield client


def uploads(**more: Any) -> dict[str, Any]:
    return {
        "slo": "v1",
        "id": f"uploads-{uuid.uuid4().hex[:8]}",
        "title": "Uploads kept",
        "service": "files",
        "target": "99.5%",
        "indicator": {"events": {"total": "sum(increase(up[{window}]))", "bad": "sum(increase(down[{window}]))"}},
        **more,
    }


def put(client: httpx.Client, definition: dict[str, Any], **how: Any) -> httpx.Response:
    return client.put(f"{API}/{definition['id']}", json={"definition": definition, **how.pop("body", {})}, **how)


@pytest.fixture
def measured(web: Dashboard, operator: httpx.Client) -> str:
    """An objective with four days of events in the ledger, a tenth of them bad in the hour before last."""
    definition = uploads()
    assert put(operator, definition).status_code == 200
    until = floor_time(utc_now(), BUCKET)
    with psycopg.connect(web.dsn) as connection:
        for place in range(4 * 288):
            start = until - (place + 1) * BUCKET
            good = 90.0 if HOUR <= until - start < 2 * HOUR else 100.0
            connection.execute(
                "INSERT INTO slo_bucket_5m (slo_id, bucket_start, good, total, measured_s)"
                " VALUES (%s, %s, %s, 100, 300)",
                [definition["id"], start, good],
            )
        connection.execute(
            "INSERT INTO slo_bucket_1h (slo_id, bucket_start, good, total, measured_s)"
            " SELECT slo_id, date_trunc('hour', bucket_start), sum(good), sum(total), sum(measured_s)"
            " FROM slo_bucket_5m WHERE slo_id = %s GROUP BY 1, 2",
            [definition["id"]],
        )
    return str(definition["id"])


def test_a_definition_is_stored_changed_taken_out_and_in(operator: httpx.Client, viewer: httpx.Client):
    first = uploads()
    path = f"{API}/{first['id']}"
    stored = put(operator, first, headers={"If-Match": '"0"'}).json()
    assert (stored["revision"], stored["definition"]["target"]) == (1, "99.5%")
    changed = put(operator, first | {"target": "99%"}, headers={"If-Match": '"1"'}, body={"note": "Too tight"})
    assert changed.json()["revision"] == 2
    late = put(operator, first, headers={"If-Match": '"1"'})
    assert (late.status_code, late.json()["context"]) == (409, {"revision": 2})

    newest, oldest = viewer.get(f"{path}/revisions").json()
    assert (newest["note"], newest["changes"]) == (
        "Too tight",
        [{"path": "target", "before": "99.5%", "after": "99%"}],
    )
    assert (oldest["definition"], oldest["changes"]) == (stored["definition"], [])
    assert operator.post(f"{path}/revert", json={"revision": 1}).json()["revision"] == 3
    assert operator.delete(path, params={"note": "Gone"}, headers={"If-Match": "3"}).status_code == 204
    assert viewer.get(path).status_code == 404
    assert viewer.get(f"{path}/revisions").json()[0]["is_active"] is False
    assert operator.post(f"{path}/restore").json()["revision"] == 5
    shown = viewer.get(path).json()
    assert (shown["revision"], shown["definition"], shown["status"]["state"]) == (5, stored["definition"], "no_data")
    assert shown["status"]["sli"] is None


def test_a_definition_that_cannot_be_used_is_refused_with_all_that_is_wrong(operator: httpx.Client):
    wrong = uploads(target="999%", window={"rolling": "30 days"})
    refused = put(operator, wrong)
    assert refused.status_code == 422
    assert {problem["path"] for problem in refused.json()["context"]["problems"]} >= {"target", "window.rolling"}
    other = operator.put(f"{API}/other", json={"definition": uploads()})
    assert (other.status_code, "the address of other" in other.json()["detail"]) == (422, True)
    assert put(operator, uploads(), headers={"If-Match": "yesterday"}).status_code == 422
    unknown = uploads(indicator={"composite": {"members": [{"slo": "nothing"}]}})
    assert "nothing cannot be a member" in put(operator, unknown).json()["detail"]
    assert operator.put(f"{API}/x", json={"definition": []}).status_code == 422


def test_definitions_take_an_operator_and_sql_an_administrator(
    operator: httpx.Client, viewer: httpx.Client, admin: httpx.Client
):
    assert put(viewer, uploads()).status_code == 403
    sql = uploads(indicator={"sql": {"rows": "SELECT at, ok AS good FROM llm_call"}})
    refused = put(operator, sql)
    assert (refused.status_code, "the role admin" in refused.json()["detail"]) == (403, True)
    assert operator.get(f"{API}/{sql['id']}").status_code == 404
    assert put(admin, sql).status_code == 200
    assert put(operator, uploads(id=sql["id"])).status_code == 403
    assert operator.delete(f"{API}/{sql['id']}").status_code == 403
    assert operator.post(f"{API}/preview", json={"definition": sql}).status_code == 403
    assert put(admin, uploads(id=sql["id"])).status_code == 200
    assert operator.post(f"{API}/{sql['id']}/revert", json={"revision": 1}).status_code == 403
    assert operator.get(f"{API}/{sql['id']}").json()["revision"] == 2


def test_an_objective_is_tried_before_it_is_stored(admin: httpx.Client, operator: httpx.Client):
    sql = {"sql": {"rows": "SELECT at, ok AS good FROM llm_call"}}
    tried = admin.post(f"{API}/preview", json={"definition": uploads(indicator=sql), "days": 2}).json()
    assert [problem["path"] for problem in tried["problems"]] == ["indicator.sql.rows"]
    assert (tried["stands"]["sli"], tried["stands"]["window"]) == (None, "30d")
    wrong = uploads(indicator={"sql": {"rows": "SELECT nothing FROM llm_call"}})
    refused = admin.post(f"{API}/preview", json={"definition": wrong})
    assert (refused.status_code, refused.json()["context"]["problems"][0]["path"]) == (422, "indicator.sql.rows")
    assert operator.post(f"{API}/preview", json={"definition": uploads()}).status_code == 503  # no Prometheus here


def test_all_answers_about_an_objective_agree(viewer: httpx.Client, measured: str):
    path = f"{API}/{measured}"
    status = viewer.get(path).json()["status"]
    assert (status["total"], status["good"]) == (115_200, 115_080)
    assert status["state"] == "insufficient_data"
    left = status["budget"]["remaining_ratio"]
    assert left == pytest.approx(1 - 120 / (115_200 * 0.005))
    listed = viewer.get(API, params={"service": "files"}).json()
    assert next(item for item in listed["objectives"] if item["id"] == measured)["budget"] == status["budget"]
    burn_down = viewer.get(f"{path}/burn-down", params={"points": 50}).json()
    assert burn_down["remaining"][-1][1] == pytest.approx(left, abs=1e-6)
    assert viewer.get(f"{path}/forecast").json()["remaining"] == pytest.approx(left, abs=1e-6)
    explained = viewer.get(f"{path}/explain").json()
    assert explained["remaining"] == pytest.approx(left, abs=1e-6)
    assert explained["hours"][0]["bad"] == pytest.approx(120)
    report = viewer.get(f"{API}/report", params={"period": "4d", "ids": measured}).json()
    assert report["objectives"][0]["budget"]["consumed"] == pytest.approx(status["budget"]["consumed_events"])
    days = viewer.get(API, params={"period": "4d"}).json()["objectives"]
    assert next(item for item in days if item["id"] == measured)["state"] != "insufficient_data"


def test_policies_and_targets_are_tried_without_storing(viewer: httpx.Client, measured: str):
    path = f"{API}/{measured}"
    pairs = [{"severity": "page", "long": "1h", "short": "5m", "factor": 19}]
    tried = viewer.post(f"{path}/backtest", json={"days": 3, "alerting": {"min_bad": 0, "pairs": pairs}}).json()
    assert len(tried["current"]["pages"]) == 1
    assert (tried["tried"]["min_bad"], len(tried["tried"]["pages"])) == (0, 1)
    assert tried["tried"]["page_minutes"] < tried["current"]["page_minutes"]
    strict, loose = viewer.post(f"{path}/what-if", json={"targets": ["99.95%", 0.99]}).json()
    assert (strict["budget"]["is_exhausted"], loose["budget"]["is_exhausted"]) == (True, False)
    week = {"calendar": "week", "zone": "Europe/Berlin"}
    (weekly,) = viewer.post(f"{path}/what-if", json={"window": week}).json()
    assert (weekly["window"], weekly["zone"], weekly["target"]) == ("week", "Europe/Berlin", 0.995)
    assert viewer.post(f"{path}/what-if", json={"targets": ["150%"]}).status_code == 422
    assert viewer.post(f"{path}/backtest", json={"alerting": {"pairs": [{"severity": "sms"}]}}).status_code == 422
    assert viewer.get(f"{path}/revisions").json()[0]["revision"] == 1
    assert viewer.get(f"{path}/alerts", params={"is_open": True}).json()["items"] == []


def test_a_correction_counts_at_once_and_is_taken_back(operator: httpx.Client, viewer: httpx.Client, measured: str):
    end = floor_time(utc_now(), BUCKET) - HOUR + BUCKET
    asked = {
        "starts_at": (end - 2 * HOUR).isoformat(),
        "ends_at": end.isoformat(),
        "reason": "Moved",
        "slo_id": measured,
    }
    assert viewer.post("/api/v1/slo-corrections", json=asked).status_code == 403
    added = operator.post("/api/v1/slo-corrections", json=asked)
    assert (added.status_code, added.json()["overlaps"]) == (201, [])
    again = operator.post("/api/v1/slo-corrections", json=asked).json()
    assert again["overlaps"][0]["length_s"] == 7200
    status = viewer.get(f"{API}/{measured}").json()["status"]
    assert (status["good"], status["excluded_s"]) == (status["total"], 7200)
    listed = viewer.get("/api/v1/slo-corrections", params={"slo_id": measured}).json()
    assert {item["id"] for item in listed} == {added.json()["correction"]["id"], again["correction"]["id"]}
    for item in listed:
        assert operator.delete(f"/api/v1/slo-corrections/{item['id']}").status_code == 204
    assert viewer.get(f"{API}/{measured}").json()["status"]["good"] == 115_080
    bad = operator.post("/api/v1/slo-corrections", json=asked | {"rrule": "FREQ=HOURLY"})
    assert (bad.status_code, "FREQ of DAILY" in bad.json()["detail"]) == (422, True)


def test_what_happened_is_noted_listed_and_removed(operator: httpx.Client, viewer: httpx.Client):
    at = datetime(2026, 3, 1, tzinfo=UTC)
    asked = {"at": at.isoformat(), "kind": "deploy", "title": "Release 9", "service": "api"}
    assert viewer.post("/api/v1/annotations", json=asked).status_code == 403
    noted = operator.post("/api/v1/annotations", json=asked)
    assert noted.status_code == 201
    span = {"since": at.isoformat(), "until": (at + HOUR).isoformat()}
    (row,) = viewer.get("/api/v1/annotations", params=span).json()
    assert (row["id"], row["title"]) == (noted.json()["id"], "Release 9")
    assert row["created_by"].startswith("token:")
    for wrong in ({"kind": "party"}, {"title": "a\0b"}, {"at": "0001-01-01T00:00:00+14:00"}):
        assert operator.post("/api/v1/annotations", json=asked | wrong).status_code == 422
    assert operator.delete(f"/api/v1/annotations/{row['id']}").status_code == 204
    assert operator.delete(f"/api/v1/annotations/{row['id']}").status_code == 404
    assert viewer.get("/api/v1/annotations", params=span).json() == []


@pytest.mark.parametrize("form", ["json", "csv", "md", "html"])
def test_a_report_comes_in_every_form(viewer: httpx.Client, form: str):
    answer = viewer.get(f"{API}/report", params={"period": "month", "format": form, "ids": "api_availability"})
    assert answer.status_code == 200
    assert answer.headers["content-disposition"].endswith(f'.{form}"')
    assert "API availability" in answer.text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/report?period=yesteryear", 422),
        ("/report?zone=Mars/Base", 422),
        ("/report?format=pdf", 422),
        ("?period=30d&since=2026-01-01T00:00:00Z", 422),
        ("?until=2026-01-01T00:00:00Z", 422),
        ("?since=2026-01-01T00:00:00", 422),
        ("?period=-1d", 422),
        ("?period=9999d", 422),
        ("?service=%00", 422),
        ("/report?period=2000w", 422),
        ("/nothing", 404),
        ("/nothing/burn-down", 404),
        ("/nothing/forecast", 404),
        ("/nothing/explain", 404),
        ("/nothing/alerts", 404),
        ("/nothing/revisions", 404),
        ("/api_availability/burn-down?points=1", 422),
        ("/api_availability/alerts?after=x", 422),
    ],
)
def test_what_cannot_be_answered_is_refused(viewer: httpx.Client, path: str, status: int):
    answer = viewer.get(API + path)
    assert (answer.status_code, answer.json()["status"]) == (status, status)
