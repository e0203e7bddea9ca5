"""Routes through a real server: identity, roles, errors, limits, headers and compressed bundles."""

import gzip
import re
from typing import Any

import httpx
import psycopg
import pytest
from served import METRICS_TOKEN, Dashboard

pytestmark = pytest.mark.integration


def test_a_viewer_who_starts_a_run_is_refused_and_it_is_noted(web: Dashboard, as_role: Any) -> None:
    answer = as_role("viewer").post("/api/v1/workflows/anything/runs", json={})
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] == "policy"
    assert "start a run" in problem["detail"]
    assert problem["correlation_id"] == answer.headers["x-correlation-id"]
    with psycopg.connect(web.dsn) as connection:
        row = connection.execute(
            "SELECT action, outcome, detail ->> 'needed' FROM audit_log WHERE correlation_id = %s",
            [problem["correlation_id"]],
        ).fetchone()
    assert row == ("access.refused", "refused", "operator")


def test_who_sends_no_credential_is_refused_everywhere_but_at_the_door(web: Dashboard) -> None:
    with httpx.Client(base_url=web.url) as client:
        for path in ("/api/v1/me", "/api/v1/openapi.json", "/_stcore/metrics", "/_stcore/host-config", "/metrics"):
            answer = client.get(path)
            assert answer.status_code == 401, path
            assert answer.headers["www-authenticate"] == "Bearer"
        assert client.get("/healthz").json()["status"] == "ok"
        assert client.get("/login").status_code == 200


def test_headers_of_ours_that_a_client_sends_are_dropped(web: Dashboard, as_role: Any) -> None:
    spoofed = {"X-Helm-User": "admin@example.org", "X-Helm-Role": "admin", "x-helm-session": "x"}
    with httpx.Client(base_url=web.url) as client:
        assert client.get("/api/v1/users", headers=spoofed).status_code == 401
    assert as_role("viewer").get("/api/v1/users", headers=spoofed).status_code == 403
    assert as_role("viewer").get("/api/v1/me", headers=spoofed).json()["role"] == "viewer"


def test_a_route_that_does_not_exist_is_a_problem_document(as_role: Any) -> None:
    for path in ("/api/v1/nothing", "/api/v2/me", "/api/v1/runs/not-an-id"):
        answer = as_role("viewer").get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json"), path
    wrong = as_role("viewer").put("/api/v1/me")
    assert wrong.status_code == 405


def test_an_address_that_is_no_page_is_404_for_browsers(web: Dashboard) -> None:
    with web.sign_in("viewer@example.org") as client:
        answer = client.get("/no-such-page")
    assert answer.status_code == 404
    assert "There is no page at this address." in answer.text


def test_a_body_that_is_too_large_is_refused_whether_it_says_so_or_not(as_role: Any) -> None:
    client = as_role("admin")
    said = client.post("/api/v1/projects", content=b"x" * (2**20 + 1))
    assert (said.status_code, said.json()["code"]) == (413, "too_large")
    silent = client.post("/api/v1/projects", content=iter([b"x" * 2**19] * 3))
    assert (silent.status_code, silent.json()["code"]) == (413, "too_large")


def test_bad_input_is_told_with_its_place(as_role: Any) -> None:
    client = as_role("operator")
    misspelt = client.post("/api/v1/projects", json={"nam": "x"})
    assert misspelt.status_code == 422
    assert {problem["path"] for problem in misspelt.json()["context"]["problems"]} == {"name", "nam"}
    assert client.post("/api/v1/projects", content=b"{").status_code == 422
    assert client.get("/api/v1/projects?limit=101").status_code == 422
    assert client.get("/api/v1/projects?limits=5").status_code == 422
    assert as_role("admin").get("/api/v1/audit?after=rubbish").status_code == 422


def test_projects_are_made_listed_changed_and_deleted(as_role: Any) -> None:
    client = as_role("operator")
    made = client.post("/api/v1/projects", json={"name": "Atlas", "config": {"depth": 2}})
    assert made.status_code == 201
    path = f"/api/v1/projects/{made.json()['id']}"
    assert client.patch(path, json={"name": "Atlas II"}).json()["config"] == {"depth": 2}
    task = client.post(f"{path}/tasks", json={"title": "Draw"}).json()
    assert client.get(f"{path}/tasks").json()["items"][0]["id"] == task["id"]
    page = client.get("/api/v1/projects?search=atlas").json()
    assert (page["total"], page["page"], page["pages"], page["limit"]) == (1, 1, 1, 20)
    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == 404


def test_an_answer_that_has_not_changed_is_not_sent_again(as_role: Any) -> None:
    client = as_role("viewer")
    first = client.get("/api/v1/me")
    assert first.headers["cache-control"].startswith("private")
    again = client.get("/api/v1/me", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_long_lists_have_cursors_and_the_audit_log_is_for_administrators(as_role: Any) -> None:
    for name in ("a", "b", "c"):
        as_role("operator").post("/api/v1/projects", json={"name": name})
    first = as_role("admin").get("/api/v1/audit?limit=2&action=project.").json()
    second = as_role("admin").get(f"/api/v1/audit?limit=2&action=project.&after={first['next']}").json()
    assert len({row["id"] for row in first["items"] + second["items"]}) == len(first["items"]) + len(second["items"])
    assert first["items"][-1]["at"] >= second["items"][0]["at"]
    assert as_role("operator").get("/api/v1/audit").status_code == 403


def test_numbers_and_lists_answer_on_an_empty_database_without_inventing_anything(as_role: Any) -> None:
    client = as_role("analyst")
    paths = ["runs", "runs/counts", "workflows", "documents", "mcp/servers", "queue", "workers", "agents/states"]
    for path in [*paths, "agents/graph", "health/agents"]:
        assert client.get(f"/api/v1/{path}").status_code == 200, path
    kpis = client.get("/api/v1/kpis").json()
    assert {kpi["state"] for kpi in kpis if kpi["value"] is None} <= {"no_data", "no_source"}
    slos = client.get("/api/v1/slos").json()
    assert len(slos["objectives"]) == 9
    assert all(slo["sli"] is None and slo["compliant"] is None for slo in slos["objectives"] if slo["total"] == 0)


def test_an_api_token_can_be_made_used_and_revoked_and_never_exceeds_its_maker(web: Dashboard, as_role: Any) -> None:
    client = as_role("analyst")
    assert client.post("/api/v1/tokens", json={"name": "x", "role": "admin"}).status_code == 403
    made = client.post("/api/v1/tokens", json={"name": "ci", "role": "viewer"}).json()
    assert made["secret"].startswith(made["prefix"])
    with web.as_program(made["secret"]) as program:
        assert program.get("/api/v1/me").json()["role"] == "viewer"
        assert client.delete(f"/api/v1/tokens/{made['id']}").status_code == 204
        assert program.get("/api/v1/me").status_code == 401
    listed = client.get("/api/v1/tokens").json()["items"]
    assert made["secret"] not in str(listed)
    other = as_role("operator").get("/api/v1/tokens").json()["items"][0]
    assert as_role("analyst").delete(f"/api/v1/tokens/{other['id']}").status_code == 404


def test_accounts_are_made_with_one_time_passwords_and_losing_a_role_takes_effect(web: Dashboard, as_role: Any) -> None:
    admin = as_role("admin")
    made = admin.post("/api/v1/users", json={"email": "new@example.org", "name": "New", "role": "operator"}).json()
    with web.sign_in("new@example.org", made["one_time_password"]) as client:
        fields = {"current": made["one_time_password"], "new": "passphrase of new", "again": "passphrase of new"}
        assert client.post("/password", data=fields).status_code == 303
        assert client.get("/api/v1/me").json()["role"] == "operator"
        admin.patch(f"/api/v1/users/{made['id']}", json={"role": "viewer"})
        assert client.get("/api/v1/me").json()["role"] == "viewer"
        admin.patch(f"/api/v1/users/{made['id']}", json={"disabled": True})
        assert client.get("/api/v1/me").status_code == 401
    assert admin.post("/api/v1/users", json={"email": "NEW@example.org", "name": "N"}).status_code == 409


def test_the_last_administrator_cannot_be_removed(web: Dashboard, as_role: Any) -> None:
    with psycopg.connect(web.dsn, autocommit=True) as connection:
        connection.execute("UPDATE app_user SET role = 'viewer' WHERE role = 'admin' AND email <> 'admin@example.org'")
        row = connection.execute("SELECT id FROM app_user WHERE email = 'admin@example.org'").fetchone()
    assert row is not None
    answer = as_role("admin").patch(f"/api/v1/users/{row[0]}", json={"role": "viewer"})
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


def test_metrics_are_for_scrapers_and_administrators(web: Dashboard, as_role: Any) -> None:
    with httpx.Client(base_url=web.url, headers={"Authorization": f"Bearer {METRICS_TOKEN}"}) as scraper:
        text = scraper.get("/metrics").text
        assert scraper.get("/_stcore/metrics").status_code == 200
        assert scraper.get("/api/v1/me").status_code == 401
    for name in (
        "helmsight_http_requests_total",
        "helmsight_http_request_duration_seconds_bucket",
        "helmsight_page_load_duration_seconds_bucket",
        "helmsight_db_query_duration_seconds_bucket",
        'helmsight_websocket_opens_total{outcome="ok"}',
        "helmsight_db_connection_pool_size",
        'helmsight_queue_depth{queue="runs"}',
        "helmsight_page_sessions",
    ):
        assert name in text, name
    assert 'area="me",group="api",method="GET",status_class="4xx"' in text
    with web.sign_in("viewer@example.org") as viewer, web.sign_in("admin@example.org") as admin:
        assert viewer.get("/metrics").status_code == 403
        assert viewer.get("/_stcore/metrics").status_code == 403
        assert admin.get("/metrics").status_code == 200
    assert as_role("viewer").get("/metrics").status_code == 200


def test_browsers_report_how_long_pages_load(web: Dashboard, as_role: Any) -> None:
    with web.sign_in("viewer@example.org") as client:
        assert client.post("/api/v1/rum", json={"page": "slos", "seconds": 1.2}).status_code == 204
        assert client.post("/api/v1/rum", json={"page": "slos", "seconds": -1}).status_code == 422
    text = as_role("viewer").get("/metrics").text
    assert 'helmsight_page_load_duration_seconds_count{page="slos"} 1.0' in text


def test_pages_may_load_nothing_from_outside(web: Dashboard) -> None:
    with web.sign_in("viewer@example.org") as client:
        answer = client.get("/")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'self'; script-src 'self' 'unsafe-eval' blob:")
    assert "frame-ancestors 'self'" in policy
    assert "http" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert "fonts.gstatic" not in answer.text
    assert not re.search(r'(src|href)="https?:', answer.text)


def test_bundles_go_out_compressed_once_and_are_kept_for_a_year(web: Dashboard) -> None:
    with web.sign_in("viewer@example.org") as client:
        shell = client.get("/").text
        path = "/" + re.findall(r'src="\./(static/js/index[^"]+)"', shell)[0]
        packed = client.get(path, headers={"Accept-Encoding": "gzip"})
        plain = client.get(path, headers={"Accept-Encoding": "identity"})
        with client.stream("GET", path, headers={"Accept-Encoding": "gzip"}) as raw:
            body = b"".join(raw.iter_raw())
        again = client.get(path, headers={"Accept-Encoding": "gzip", "If-None-Match": packed.headers["etag"]})
    assert packed.headers["content-encoding"] == "gzip"
    assert "immutable" in packed.headers["cache-control"]
    assert gzip.decompress(body) == plain.content
    assert len(body) < 0.45 * len(plain.content)
    assert again.status_code == 304


def test_long_answers_are_compressed(as_role: Any) -> None:
    answer = as_role("viewer").get("/api/v1/openapi.json", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in as_role("viewer").get("/api/v1/me").headers


def test_health_says_what_is_there_and_what_is_not(as_role: Any) -> None:
    health = as_role("viewer").get("/api/v1/health/detailed").json()
    parts = {part["name"]: part for part in health["parts"]}
    assert health["status"] == "degraded"
    assert parts["postgres"]["status"] == "up"
    assert parts["redis"]["status"] == "up"
    assert parts["prometheus"]["status"] == "absent"
    assert parts["workers"]["status"] == "down"
    assert "Work can be queued" in parts["workers"]["detail"]
    assert parts["postgres"]["latency_ms"] > 0
    assert health["metrics"]["websocket_connections"] == 0


def test_uploads_that_are_no_document_are_refused(as_role: Any) -> None:
    client = as_role("operator")
    assert client.post("/api/v1/documents", json={}).status_code == 422
    answer = client.post("/api/v1/documents", files={"file": ("scan.png", b"just words", "image/png")})
    assert answer.status_code == 422
    assert answer.json()["context"]["reason"] == "not_an_image"


def test_a_workflow_definition_that_is_wrong_is_refused_with_line_and_reason(as_role: Any) -> None:
    answer = as_role("operator").post("/api/v1/workflows", json={"definition": "name: x\nnodes:\n  - id: a\n"})
    assert answer.status_code == 422
    problems = answer.json()["context"]["problems"]
    assert problems
    assert {"line", "path", "reason"} <= set(problems[0])


def test_a_run_is_stored_before_the_answer_and_can_be_cancelled(as_role: Any) -> None:
    client = as_role("operator")
    node = {"id": "a", "kind": "transform", "config": {"input": {"x": 1}, "steps": []}}
    stored = client.post("/api/v1/workflows", json={"definition": {"name": "hello", "nodes": [node]}})
    assert stored.status_code == 201, stored.text
    queued = client.post("/api/v1/workflows/hello/runs", json={}, headers={"Idempotency-Key": "k"})
    assert queued.status_code == 202
    again = client.post("/api/v1/workflows/hello/runs", json={}, headers={"Idempotency-Key": "k"})
    assert again.json()["run_id"] == queued.json()["run_id"]
    path = f"/api/v1/runs/{queued.json()['run_id']}"
    assert client.get(path).json()["row"]["status"] == "queued"
    assert client.post(f"{path}/cancel").status_code == 204
    assert client.get(path).json()["row"]["status"] == "cancelled"
    assert client.post(f"{path}/cancel").status_code == 409
