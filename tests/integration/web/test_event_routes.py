"""Events, leads and journeys through a real server."""

import http.client
import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from served import Dashboard

pytestmark = pytest.mark.integration

BATCH = {"Content-Type": "application/cloudevents-batch+json"}


@pytest.fixture
def operator(web: Dashboard, people: dict[str, str]) -> Iterator[httpx.Client]:
    with web.as_program(people["operator"]) as client:
        yield client


@pytest.fixture
def analyst(web: Dashboard, people: dict[str, str]) -> Iterator[httpx.Client]:
    with web.as_program(people["analyst"]) as client:
        yield client


@pytest.fixture
def source() -> str:
    """A source of its own for each test."""
    return f"/test/{uuid.uuid4().hex[:8]}"


def event(source: str, told: str, kind: str = "web.visit", **more: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": told, "source": source, "type": kind, **more}


def send(client: httpx.Client, *events: Any, **headers: str) -> httpx.Response:
    return client.post("/api/v1/events", content=json.dumps(events), headers=BATCH | headers)


def test_a_batch_goes_in_once_and_what_is_wrong_is_told(operator: httpx.Client, analyst: httpx.Client, source: str):
    rows = [event(source, "1", subject="Zoë 🦊"), event(source, "2", time="2026-01-01T00:00:00"), event(source, "1")]

    first, again = send(operator, *rows), send(operator, *rows)

    assert first.status_code == 202, first.text
    counts = {name: first.json()[name] for name in ("received", "stored", "known", "rejected")}
    assert counts == {"received": 3, "stored": 1, "known": 1, "rejected": 1}
    assert first.json()["problems"] == [
        {
            "index": 1,
            "id": "2",
            "path": "time",
            "reason": "2026-01-01T00:00:00 has no time zone; add one, for example Z",
        }
    ]
    assert (again.json()["stored"], again.json()["known"]) == (0, 2)
    listed = analyst.get("/api/v1/events", params={"source": source, "range": "1h"}).json()
    assert [(item["kind"], item["subject"]) for item in listed["items"]] == [("web.visit", "Zoë 🦊")]
    assert listed["next"] is None


def test_the_other_forms_of_events_are_taken(operator: httpx.Client, source: str):
    structured = {"Content-Type": "application/cloudevents+json"}
    one = operator.post("/api/v1/events", content=json.dumps(event(source, "1")), headers=structured)
    binary = {"ce-specversion": "1.0", "ce-id": "2", "ce-source": source, "ce-type": "web.visit"}
    two = operator.post("/api/v1/events", json={"page": "/"}, headers=binary)
    three = operator.post("/api/v1/events", json=[{"kind": "web.visit", "source": source}])

    assert [answer.json()["stored"] for answer in (one, two, three)] == [1, 1, 1]


def test_when_no_event_is_fit_the_answer_says_so(operator: httpx.Client, source: str):
    answer = send(operator, event(source, "1", "🦊"), event(source, ""))

    assert answer.status_code == 422
    assert answer.json()["context"]["rejected"] == 2
    assert [problem["path"] for problem in answer.json()["context"]["problems"]] == ["type", "id"]


def test_a_hundred_megabytes_are_refused_unread(web: Dashboard, people: dict[str, str]):
    def megabytes() -> Iterator[bytes]:
        for _ in range(100):
            yield b" " * 2**20

    address = urlsplit(web.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
    connection.putrequest("POST", "/api/v1/events")
    headers = BATCH | {"Authorization": f"Bearer {people['operator']}", "Content-Length": str(100 * 2**20)}
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()  # and not one byte of the body
    assert connection.getresponse().status == 413
    connection.close()
    with web.as_program(people["operator"]) as client:
        streamed = client.post("/api/v1/events", content=megabytes(), headers=BATCH)
        assert streamed.status_code == 413


def test_who_may_not_write_may_not_tell_of_events(analyst: httpx.Client, source: str):
    assert send(analyst, event(source, "1")).status_code == 403
    assert analyst.post("/api/v1/events/import", content=b"a", headers={"Content-Type": "text/csv"}).status_code == 403


def test_files_are_looked_at_and_imported(operator: httpx.Client, source: str):
    now = datetime.now(UTC) - timedelta(minutes=1)
    content = f"Zeit;Was;Wer\n{now:%Y-%m-%dT%H:%M:%S};web.visit;Jürgen\n{now:%Y-%m-%d};web.visit;b\n".encode("cp1252")
    asked = {"columns": '{"at": "Zeit", "kind": "Was", "subject": "Wer"}', "fixed": f'{{"source": "{source}"}}'}
    csv = {"Content-Type": "text/csv"}

    seen = operator.post("/api/v1/events/import", content=content, headers=csv, params=asked | {"dry_run": "true"})
    done = operator.post("/api/v1/events/import", content=content, headers=csv, params=asked | {"zone": "UTC"})

    assert seen.json()["form"]["encoding"] == "latin-1"
    assert [problem["index"] for problem in seen.json()["problems"]] == [2, 3]
    assert (done.json()["stored"], done.json()["rejected"]) == (2, 0)
    wrong = operator.post("/api/v1/events/import", content=content, headers=csv, params={"columns": "[1]"})
    assert wrong.status_code == 422
    nowhere = operator.post("/api/v1/events/import", content=content, headers=csv, params=asked | {"zone": "Moon/Base"})
    assert nowhere.status_code == 422


def test_the_second_call_of_a_lead_is_a_cache_hit_until_it_changes(
    web: Dashboard, operator: httpx.Client, analyst: httpx.Client, source: str
):
    told = send(operator, event(source, "1", "lead.created", subject=f"{source}@example.com", data={"p_score": 0.5}))
    assert told.json()["leads"] == 1
    listed = analyst.get("/api/v1/leads", params={"source": source}).json()["items"]
    address = f"/api/v1/leads/{listed[0]['id']}"
    assert analyst.get(address).json()["p_score"] == 0.5

    with psycopg.connect(web.dsn) as connection:  # past the routes, so that nothing is voided
        connection.execute("UPDATE lead SET owner = 'nobody knows' WHERE source = %s", [source])
    assert analyst.get(address).json()["owner"] is None
    changed = operator.patch(address, json={"status": "won", "p_score": 0.9})
    assert changed.status_code == 200, changed.text
    assert {name: analyst.get(address).json()[name] for name in ("status", "owner")} == {
        "status": "won",
        "owner": "nobody knows",
    }
    assert analyst.patch(address, json={"status": "lost"}).status_code == 403
    assert operator.patch(address, json={"status": "sold"}).status_code == 422
    assert operator.delete(address).status_code == 204
    assert analyst.get(address).status_code == 404
    assert analyst.get("/api/v1/leads/bands").status_code == 200


def test_funnels_are_saved_measured_and_removed(operator: httpx.Client, analyst: httpx.Client, source: str):
    send(operator, event(source, "1", subject=source), event(source, "2", "web.sale", subject=source))
    where = {"source": source}
    steps = [{"kind": "web.visit", "where": where}, {"kind": "web.sale", "where": where}]
    funnel = {"name": source, "steps": steps, "window_s": 3600}

    made = operator.post("/api/v1/journeys/funnels", json=funnel)
    assert made.status_code == 201, made.text
    assert operator.post("/api/v1/journeys/funnels", json=funnel).status_code == 409
    address = f"/api/v1/journeys/funnels/{made.json()['id']}"
    result = analyst.get(f"{address}/result", params={"range": "1h", "by": "source"}).json()
    assert [step["people"] for step in result["steps"]] == [1, 1]
    assert [group["key"] for group in result["groups"]] == [source]
    tried = {"steps": steps, "window_s": 60}
    assert analyst.post("/api/v1/journeys/funnel", json=tried).json()["steps"][0]["people"] == 1
    assert analyst.get("/api/v1/journeys/paths", params={"range": "1h", "start": "web.visit"}).status_code == 200
    assert operator.put(address, json=funnel | {"window_s": 60}).json()["spec"]["window"] == 60
    assert operator.delete(address).status_code == 204
    assert analyst.get(f"{address}/result").status_code == 404
    assert source not in {item["name"] for item in analyst.get("/api/v1/journeys/funnels").json()}
