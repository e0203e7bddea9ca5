"""Live sockets through a real server: who may open one, what it sends, and when it ends."""

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import redis
from served import Dashboard
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from analytics.live.agents import set_agent_state
from dashboard.processes.servers import EmbeddedValkey

pytestmark = pytest.mark.integration


@pytest.fixture
def client(valkey: EmbeddedValkey) -> Iterator[redis.Redis]:
    """A client of the Redis that the dashboard uses."""
    with redis.Redis.from_url(valkey.url) as client:
        yield client


def _address(web: Dashboard, path: str = "/ws/agent-status") -> str:
    return web.url.replace("http", "ws", 1) + path


def _next(socket: ClientConnection, kind: str) -> dict[str, Any]:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        message: dict[str, Any] = json.loads(socket.recv(timeout=10))
        if message["type"] == kind:
            return message
    raise AssertionError(f"no message of type {kind}")


def _ending(socket: ClientConnection) -> tuple[int, dict[str, Any]]:
    last: dict[str, Any] = {}
    with suppress(ConnectionClosed):
        for text in socket:
            last = json.loads(text)
    assert socket.close_code is not None
    return socket.close_code, last


def test_a_socket_gets_the_whole_state_once_and_then_what_changed(
    web: Dashboard, people: dict[str, str], client: redis.Redis
) -> None:
    set_agent_state(client, "scout", status="idle")
    set_agent_state(client, "writer", status="active", task="draft")
    headers = {"Authorization": f"Bearer {people['viewer']}"}
    with connect(_address(web), additional_headers=headers) as socket:
        first = _next(socket, "snapshot")
        states = {agent["id"]: agent for agent in first["agents"]}
        assert states["writer"]["task"] == "draft"
        set_agent_state(client, "scout", status="active", task="look")
        change = _next(socket, "diff")
        assert [(agent["id"], agent["status"]) for agent in change["agents"]] == [("scout", "active")]
        assert change["seq"] > first["seq"]
        socket.send('{"type":"ping"}')
        assert _next(socket, "pong") == {"type": "pong"}


def test_a_browser_opens_a_socket_with_its_cookie_but_only_from_our_own_pages(web: Dashboard) -> None:
    with web.sign_in("viewer@example.org") as browser:
        cookie = {"Cookie": f"helmsight_session={browser.cookies['helmsight_session']}"}
        with connect(_address(web), additional_headers=cookie, origin=web.url) as socket:
            assert _next(socket, "snapshot")["seq"] >= 1
        with connect(_address(web), additional_headers=cookie, origin="https://evil.example") as socket:
            assert _ending(socket)[0] == 4403


def test_signing_out_closes_open_sockets(web: Dashboard) -> None:
    with web.sign_in("viewer@example.org") as browser:
        cookie = {"Cookie": f"helmsight_session={browser.cookies['helmsight_session']}"}
        with connect(_address(web), additional_headers=cookie, origin=web.url) as socket:
            _next(socket, "snapshot")
            assert browser.post("/logout").status_code == 303
            code, last = _ending(socket)
    assert code == 4401
    assert "signed out" in last["detail"]


def test_a_program_introduces_itself_with_a_short_lived_token(web: Dashboard, people: dict[str, str]) -> None:
    with web.as_program(people["viewer"]) as program:
        token = program.post("/api/v1/socket-tokens").json()["token"]
    with connect(_address(web)) as socket:
        socket.send(json.dumps({"type": "auth", "token": token}))
        assert _next(socket, "snapshot")["type"] == "snapshot"


@pytest.mark.parametrize(
    "message",
    [
        pytest.param('{"type": "auth", "token": "not.a.token"}', id="invalid token"),
        pytest.param('{"type": "auth"}', id="no token"),
        pytest.param('{"email": "admin@example.org"}', id="an identity in the message"),
        pytest.param("rubbish", id="no JSON"),
    ],
)
def test_who_does_not_show_a_valid_token_is_told_and_closed(web: Dashboard, message: str) -> None:
    with connect(_address(web)) as socket:
        socket.send(message)
        code, last = _ending(socket)
    assert code == 4401
    assert last["type"] == "error"


def test_a_socket_with_a_credential_that_ended_is_closed_with_its_reason(web: Dashboard) -> None:
    with connect(_address(web), additional_headers={"Authorization": "Bearer helm_unknown"}) as socket:
        assert _ending(socket)[0] == 4401


def test_a_run_can_be_watched_until_it_ends(web: Dashboard, people: dict[str, str]) -> None:
    node = {"id": "a", "kind": "transform", "config": {"input": {"x": 1}, "steps": []}}
    headers = {"Authorization": f"Bearer {people['analyst']}"}
    with web.as_program(people["operator"]) as program:
        stored = program.post("/api/v1/workflows", json={"definition": {"name": "watched", "nodes": [node]}})
        assert stored.status_code == 201, stored.text
        run_id = program.post("/api/v1/workflows/watched/runs", json={}).json()["run_id"]
        with connect(_address(web, f"/ws/runs/{run_id}"), additional_headers=headers) as socket:
            first = _next(socket, "snapshot")
            assert first["run"]["status"] == "queued"
            assert first["nodes"] == [{"id": "a", "status": "pending"}]
            program.post(f"/api/v1/runs/{run_id}/cancel")
            assert _next(socket, "diff")["run"]["status"] == "cancelled"
            assert _ending(socket)[0] == 1000
        viewer = {"Authorization": f"Bearer {people['viewer']}"}
        with connect(_address(web, f"/ws/runs/{run_id}"), additional_headers=viewer) as socket:
            assert _ending(socket)[0] == 4403


def test_sockets_are_counted(web: Dashboard, people: dict[str, str]) -> None:
    headers = {"Authorization": f"Bearer {people['viewer']}"}
    with web.as_program(people["viewer"]) as program:
        with connect(_address(web), additional_headers=headers) as socket:
            _next(socket, "snapshot")
            assert 'helmsight_websocket_connections{channel="agent-status"} 1.0' in program.get("/metrics").text
        text = program.get("/metrics").text
    assert 'helmsight_websocket_messages_total{channel="agent-status",direction="out"}' in text
    assert 'helmsight_websocket_latency_seconds_count{channel="agent-status"}' in text


def test_the_pages_own_socket_needs_a_session(web: Dashboard) -> None:
    with pytest.raises(Exception, match="403"), connect(_address(web, "/_stcore/stream")):
        pass
