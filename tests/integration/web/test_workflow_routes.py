"""Workflows, runs, schedules, triggers and webhooks through a real server."""

import hashlib
import hmac
import json
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from served import Dashboard

pytestmark = pytest.mark.integration


@pytest.fixture
def operator(web: Dashboard, people: dict[str, str]) -> Iterator[httpx.Client]:
    with web.as_program(people["operator"]) as client:
        yield client


@pytest.fixture
def analyst(web: Dashboard, people: dict[str, str]) -> Iterator[httpx.Client]:
    with web.as_program(people["analyst"]) as client:
        yield client


def step(node_id: str, *needs: str, **more: Any) -> dict[str, Any]:
    return {"id": node_id, "kind": "transform", "needs": list(needs), "config": {"input": [], "steps": []}, **more}


PARAMS = {"type": "object", "properties": {"ref": {"type": "string"}}}


@pytest.fixture
def workflow(operator: httpx.Client) -> str:
    """A workflow of its own for each test."""
    name = f"w-{uuid.uuid4().hex[:8]}"
    spec = {"name": name, "params": PARAMS, "nodes": [step("a"), step("b", "a")]}
    answer = operator.post("/api/v1/workflows", json={"definition": spec})
    assert answer.status_code == 201, answer.text
    return name


def start(operator: httpx.Client, workflow: str, **more: Any) -> str:
    answer = operator.post(f"/api/v1/workflows/{workflow}/runs", json=more)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["run_id"])


def actions(web: Dashboard, object_id: str) -> list[str]:
    with psycopg.connect(web.dsn) as connection:
        rows = connection.execute("SELECT action FROM audit_log WHERE object_id = %s ORDER BY at", [object_id])
        return [row[0] for row in rows]


def test_a_definition_is_checked_compared_taken_out_and_in(
    operator: httpx.Client, analyst: httpx.Client, workflow: str
):
    wrong = {"name": workflow, "nodes": [step("a", "b"), step("b", "a")]}
    verdict = analyst.post("/api/v1/workflows/validate", json={"definition": wrong}).json()
    assert (verdict["is_valid"], "cycle" in verdict["problems"][0]["reason"]) == (False, True)

    second = {"name": workflow, "params": PARAMS, "nodes": [step("a"), step("c", "a")]}
    stored = operator.post("/api/v1/workflows", json={"definition": second}).json()
    assert stored["version"] == 2
    versions = analyst.get(f"/api/v1/workflows/{workflow}/versions").json()
    assert [row["version"] for row in versions] == [2, 1]
    first = analyst.get(f"/api/v1/workflows/{workflow}/versions/1").json()
    assert [node["id"] for node in first["spec"]["nodes"]] == ["a", "b"]
    diff = analyst.get(f"/api/v1/workflows/{workflow}/diff", params={"from": 1, "to": 2}).json()
    assert {(node["node_id"], node["what"]) for node in diff["nodes"]} == {("c", "added"), ("b", "removed")}

    text = analyst.get("/api/v1/workflows/export", params={"names": workflow}).text
    same = operator.post("/api/v1/workflows/import", json={"text": text, "dry_run": True}).json()
    changed = {"text": json.dumps(second | {"description": "another"}), "dry_run": True}
    other = operator.post("/api/v1/workflows/import", json=changed).json()
    assert (same["items"][0]["outcome"], other["items"][0]["outcome"]) == ("unchanged", "updated")
    assert analyst.get(f"/api/v1/workflows/{workflow}/stats").status_code == 200
    assert analyst.get(f"/api/v1/workflows/{workflow}/versions/9").status_code == 404
    assert analyst.post("/api/v1/workflows/import", json={"text": text}).status_code == 403


def test_a_run_is_started_found_steered_and_repeated(
    web: Dashboard, operator: httpx.Client, analyst: httpx.Client, workflow: str
):
    run_id = start(operator, workflow, params={"ref": "main"}, tags=["night"], priority=3)

    found = analyst.get("/api/v1/runs", params={"workflow": workflow, "tags": "night", "status": "queued"}).json()
    assert [row["id"] for row in found["items"]] == [run_id]
    assert analyst.get("/api/v1/runs/pages", params={"workflow": workflow}).json()["total"] == 1
    assert analyst.get("/api/v1/runs", params={"workflow": workflow, "trigger": "page"}).json()["items"] == []
    assert run_id in [row["run_id"] for row in analyst.get("/api/v1/queue/runs").json()["items"]]

    assert operator.post(f"/api/v1/runs/{run_id}/pause").json() == {"status": "paused"}
    assert operator.post(f"/api/v1/runs/{run_id}/pause").status_code == 409
    assert operator.post(f"/api/v1/runs/{run_id}/resume").status_code == 204
    assert operator.post(f"/api/v1/runs/{run_id}/signal", json={"name": "go", "data": [1]}).status_code == 204
    assert operator.post(f"/api/v1/runs/{run_id}/retry", json={}).status_code == 409
    assert analyst.post(f"/api/v1/runs/{run_id}/cancel").status_code == 403
    assert operator.post(f"/api/v1/runs/{run_id}/cancel").status_code == 204

    retried = operator.post(f"/api/v1/runs/{run_id}/retry", json={})
    assert retried.status_code == 202
    rerun = operator.post(f"/api/v1/runs/{run_id}/rerun", json={"params": {"ref": "other"}}).json()["run_id"]
    related = analyst.get(f"/api/v1/runs/{run_id}/related").json()
    assert {row["id"] for row in related["repeats"]} == {retried.json()["run_id"], rerun}
    assert analyst.get(f"/api/v1/runs/{rerun}").json()["params"] == {"ref": "other"}
    kinds = [event["kind"] for event in analyst.get(f"/api/v1/runs/{run_id}/events").json()]
    assert kinds == ["paused", "resumed", "signalled", "cancel_requested", "retried", "rerun"]
    assert actions(web, run_id)[:2] == ["run.queued", "run.paused"]


PATHS = (
    *("", "?outputs=false", "/events", "/related", "/timeline", "/estimate", "/artifacts", "/node/loop?node_id=a"),
    *("/node/log?node_id=a", "/node/input?node_id=a", "/changes?since=2026-01-01T00:00:00Z"),
)


def test_everything_about_a_run_can_be_read(operator: httpx.Client, analyst: httpx.Client, workflow: str):
    run_id = start(operator, workflow)

    answers = {path: analyst.get(f"/api/v1/runs/{run_id}{path}").status_code for path in PATHS}

    assert set(answers.values()) == {200}, answers


def test_two_runs_are_compared(operator: httpx.Client, analyst: httpx.Client, workflow: str):
    one, other = start(operator, workflow, params={"ref": "a"}), start(operator, workflow, params={"ref": "b"})

    answer = analyst.get(f"/api/v1/runs/{one}/compare", params={"with": other})

    assert answer.status_code == 200, answer.text
    assert "ref" in answer.text


def test_many_runs_are_cancelled_with_reasons(operator: httpx.Client, workflow: str):
    run_id, unknown = start(operator, workflow), str(uuid.uuid4())

    report = operator.post("/api/v1/runs/bulk", json={"action": "cancel", "run_ids": [run_id, unknown]}).json()

    assert report["done"] == 1
    assert report["refused"][0][0] == unknown
    assert "There is no run" in report["refused"][0][1]


def test_who_may_not_decide_is_refused(web: Dashboard, people: dict[str, str], operator: httpx.Client, workflow: str):
    run_id = start(operator, workflow)
    with psycopg.connect(web.dsn) as connection:
        connection.execute(
            "INSERT INTO node_wait (run_id, run_created_at, node_id, kind)"
            " SELECT id, created_at, 'a', 'approval' FROM run WHERE id = %s",
            [run_id],
        )
    decision = {"node_id": "a", "decision": "approved"}

    with web.as_program(people["viewer"]) as viewer:
        refused = viewer.post(f"/api/v1/runs/{run_id}/decide", json=decision)
    assert (refused.status_code, refused.json()["code"]) == (403, "policy")
    assert operator.post(f"/api/v1/runs/{run_id}/decide", json=decision).status_code == 204
    again = operator.post(f"/api/v1/runs/{run_id}/decide", json=decision)
    assert (again.status_code, "settled by operator@example.org" in again.json()["detail"]) == (409, True)


def test_the_same_key_is_one_run_and_other_parameters_are_refused(operator: httpx.Client, workflow: str):
    path, key = f"/api/v1/workflows/{workflow}/runs", {"Idempotency-Key": "k"}
    first = operator.post(path, json={"params": {"ref": "a"}}, headers=key).json()
    second = operator.post(path, json={"params": {"ref": "a"}}, headers=key).json()
    other = operator.post(path, json={"params": {"ref": "b"}}, headers=key)

    assert first["run_id"] == second["run_id"]
    assert (other.status_code, other.json()["code"]) == (409, "conflict")


def test_a_schedule_is_made_looked_at_changed_and_removed(
    web: Dashboard, operator: httpx.Client, analyst: httpx.Client, workflow: str
):
    rhythm = {"cron": "30 2 * * *", "zone": "Europe/Berlin"}
    preview = analyst.post("/api/v1/schedules/preview", json=rhythm | {"after": "2026-03-28T12:00:00Z", "count": 2})
    assert preview.json() == ["2026-03-29T01:00:00+00:00", "2026-03-30T00:30:00+00:00"]

    spec = {"name": f"nightly {workflow}", "workflow": workflow, **rhythm}
    made = operator.post("/api/v1/schedules", json=spec)
    assert made.status_code == 201, made.text
    path = f"/api/v1/schedules/{made.json()['id']}"
    assert operator.post("/api/v1/schedules", json=spec).status_code == 409
    assert analyst.post("/api/v1/schedules", json=spec).status_code == 403
    assert operator.post("/api/v1/schedules", json=spec | {"name": "x", "cron": "bad"}).status_code == 422

    seen = analyst.get(path).json()
    assert (len(seen["next_times"]), seen["row"]["workflow_name"]) == (10, workflow)
    assert analyst.get("/api/v1/schedules", params={"search": workflow}).json()["total"] == 1
    assert operator.put(path, json=spec | {"priority": 5}).status_code == 200
    assert operator.post(f"{path}/pause", json={"paused": True}).status_code == 204
    assert analyst.get(path).json()["next_times"] == []
    assert operator.post(f"{path}/pause", json={"paused": False}).status_code == 204
    span = {"since": "2026-01-01T00:00:00Z", "until": "2026-01-04T00:00:00Z"}
    filled = operator.post(f"{path}/backfill", json=span)
    assert (filled.status_code, len(filled.json()["run_ids"])) == (202, 3)
    assert len(analyst.get(path).json()["newest"]) == 3
    assert operator.delete(path).status_code == 204
    assert analyst.get(path).status_code == 404
    names = [action.removeprefix("schedule.") for action in actions(web, made.json()["id"])]
    assert names == ["created", "changed", "paused", "resumed", "backfilled", "deleted"]


def new_hook(operator: httpx.Client, workflow: str) -> dict[str, Any]:
    spec = {"name": f"hook-{workflow}", "workflow": workflow, "params": {"ref": "{{ event.data.ref }}"}}
    answer = operator.post("/api/v1/triggers", json=spec)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def signed(secret: str, body: bytes, at: int | None = None) -> dict[str, str]:
    at = int(time.time()) if at is None else at
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return {"Helmsight-Signature": f"t={at},v1={digest}", "Content-Type": "application/json"}


def test_a_webhook_needs_no_account_but_the_secret(
    web: Dashboard, operator: httpx.Client, analyst: httpx.Client, workflow: str
):
    hook = new_hook(operator, workflow)
    body = json.dumps({"ref": "main"}).encode()
    with httpx.Client(base_url=web.url) as outside:
        assert outside.post(hook["address"], content=body).status_code == 401
        old = outside.post(hook["address"], content=body, headers=signed(hook["secret"], body, 1_700_000_000))
        assert (old.status_code, "5 minutes" in old.json()["detail"]) == (401, True)
        headers = signed(hook["secret"], body)
        first = outside.post(hook["address"], content=body, headers=headers)
        again = outside.post(hook["address"], content=body, headers=headers)
        assert (first.status_code, again.status_code) == (202, 200)
        assert first.json()["run_id"] == again.json()["run_id"]
        assert outside.post("/hooks/none", content=body, headers=headers).status_code == 401
        assert outside.get(hook["address"]).status_code == 405
        assert outside.post(f"{hook['address']}/_stcore/stream", content=body, headers=headers).status_code == 404
        large = b"x" * (256 * 1024 + 1)
        assert outside.post(hook["address"], content=large, headers=signed(hook["secret"], large)).status_code == 413

        fresh = operator.post(f"/api/v1/triggers/{hook['id']}/rotate").json()["secret"]
        assert outside.post(hook["address"], content=body, headers=signed(hook["secret"], body)).status_code == 401
        assert outside.post(hook["address"], content=body, headers=signed(fresh, body)).status_code == 202
        operator.post(f"/api/v1/triggers/{hook['id']}/pause", json={"paused": True})
        paused = outside.post(hook["address"], content=body, headers=signed(fresh, b"other") | signed(fresh, body))
        assert paused.status_code == 409
    assert analyst.get(f"/api/v1/runs/{first.json()['run_id']}").json()["params"] == {"ref": "main"}
    assert "secret" not in analyst.get(f"/api/v1/triggers/{hook['id']}").json()
    assert operator.delete(f"/api/v1/triggers/{hook['id']}").status_code == 204


def test_the_example_of_the_documents_works(web: Dashboard, operator: httpx.Client, workflow: str):
    hook = new_hook(operator, workflow)
    script = (web.home.parent / "send.sh").absolute()
    text = documented_example()
    script.write_text(text)
    variables = {"SECRET": hook["secret"], "URL": web.url + hook["address"], "PATH": "/usr/bin:/bin"}

    done = subprocess.run(["bash", script], env=variables, capture_output=True, text=True, check=False, timeout=60)

    assert '"is_new":true' in done.stdout, done.stdout + done.stderr


def documented_example() -> str:
    """The script that docs/schedules.md shows, as it stands there."""
    document = (Path(__file__).parents[3] / "docs" / "schedules.md").read_text(encoding="utf-8")
    return document.partition("```bash\n")[2].partition("```")[0]


def test_events_start_what_waits_for_them_but_nobody_can_feign_the_end_of_a_run(operator: httpx.Client, workflow: str):
    spec = {"name": f"ev-{workflow}", "workflow": workflow, "kind": "event", "event_kind": f"{workflow[:1]}.paid"}
    made = operator.post("/api/v1/triggers", json=spec)
    assert (made.status_code, made.json()["secret"]) == (201, None)

    told = {"kind": "w.paid", "id": f"order-{workflow}"}
    assert len(operator.post("/api/v1/events", json=told).json()["run_ids"]) == 1
    assert operator.post("/api/v1/events", json=told).json()["run_ids"] == []
    operator.put(f"/api/v1/triggers/{made.json()['id']}", json=spec | {"event_kind": "run.failed"})
    assert operator.post("/api/v1/events", json={"kind": "run.failed"}).json()["run_ids"] == []
    operator.delete(f"/api/v1/triggers/{made.json()['id']}")


def test_views_are_kept_for_each_person(operator: httpx.Client, analyst: httpx.Client):
    made = operator.post("/api/v1/views", json={"name": "failed", "query": {"status": "failed"}, "shared": True})
    assert made.status_code == 201, made.text

    path = f"/api/v1/views/{made.json()['id']}"
    assert made.json()["id"] in [view["id"] for view in analyst.get("/api/v1/views").json()]
    assert analyst.delete(path).status_code == 404
    assert operator.delete(path).status_code == 204


def test_the_queue_can_be_read(analyst: httpx.Client):
    for path in ("/queue", "/queue/runs", "/queue/dead-letters", "/queue/waits", "/workers"):
        assert analyst.get(f"/api/v1{path}").status_code == 200, path


def test_the_document_tells_of_webhooks(analyst: httpx.Client):
    document = analyst.get("/api/v1/openapi.json").json()

    assert document["paths"]["/hooks/{name}"]["post"]["security"] == []
