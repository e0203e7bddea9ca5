"""Our MCP server through a running dashboard, asked by the SDK's own client."""

import asyncio
from typing import Any

import httpx
import httpx2
import pytest
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from served import Dashboard

pytestmark = pytest.mark.integration

_HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "tests", "version": "1"},
    },
}
_ACCEPT = {"Accept": "application/json, text/event-stream"}


def _asked(web: Dashboard, token: str, question: Any) -> Any:
    async def ask() -> Any:
        async with (
            httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=20) as http,
            Client(streamable_http_client(f"{web.url}/api/mcp", http_client=http)) as client,
        ):
            return await question(client)

    return asyncio.run(ask())


def test_an_agent_with_a_viewers_token_finds_tools_that_only_read(web: Dashboard, people: dict[str, str]) -> None:
    tools = _asked(web, people["viewer"], lambda client: client.list_tools()).tools
    assert [tool.name for tool in tools] == ["list_slos", "get_slo"]
    assert all(tool.annotations.read_only_hint and not tool.annotations.destructive_hint for tool in tools)
    assert all(tool.description and tool.output_schema for tool in tools)


def test_objectives_without_events_are_told_as_such(web: Dashboard, people: dict[str, str]) -> None:
    answer = _asked(web, people["viewer"], lambda client: client.call_tool("list_slos", {"service": "cache"}))
    [slo] = answer.structured_content["slos"]
    assert (slo["id"], slo["state"], slo["sli"], slo["budget"]) == ("cache_hit_rate", "no_data", None, None)


def test_an_objective_that_does_not_exist_is_an_error_the_agent_can_read(
    web: Dashboard, people: dict[str, str]
) -> None:
    answer = _asked(web, people["viewer"], lambda client: client.call_tool("get_slo", {"slo_id": "nothing"}))
    assert answer.is_error
    assert "There is no objective called 'nothing'; list_slos names them." in answer.content[0].text


def test_without_a_token_nothing_is_answered(web: Dashboard) -> None:
    answer = httpx.post(f"{web.url}/api/mcp", json=_HELLO, headers=_ACCEPT)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


def test_a_token_that_was_never_given_out_is_refused(web: Dashboard) -> None:
    answer = httpx.post(f"{web.url}/api/mcp", json=_HELLO, headers=_ACCEPT | {"Authorization": "Bearer nonsense"})
    assert answer.status_code == 401


def test_a_persons_session_is_not_enough(web: Dashboard, people: dict[str, str]) -> None:
    with web.sign_in("viewer@example.org") as browser:
        answer = browser.post("/api/mcp", json=_HELLO, headers=_ACCEPT)
    assert answer.status_code == 401
    assert "API token" in answer.json()["detail"]


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
def test_a_page_of_another_site_is_refused_even_with_a_token(
    web: Dashboard, people: dict[str, str], origin: str
) -> None:
    with web.as_program(people["admin"]) as program:
        answer = program.post("/api/mcp", json=_HELLO, headers=_ACCEPT | {"Origin": origin})
    assert answer.status_code == 403
    assert answer.json()["code"] == "foreign_origin"


def test_a_name_that_somebody_pointed_here_is_no_page_of_ours(web: Dashboard, people: dict[str, str]) -> None:
    rebound = {"Host": "evil.example:8501", "Origin": "http://evil.example:8501"}
    with web.as_program(people["admin"]) as program:
        assert program.post("/api/mcp", json=_HELLO, headers=_ACCEPT | rebound).status_code == 403
        answer = program.post("/api/mcp", json=_HELLO, headers=_ACCEPT | {"Origin": web.url})
    assert answer.status_code == 200
    assert answer.json()["result"]["serverInfo"]["name"] == "helmsight"


def test_there_is_no_stream_to_wait_on(web: Dashboard, people: dict[str, str]) -> None:
    with web.as_program(people["viewer"]) as program:
        assert program.get("/api/mcp", headers=_ACCEPT).status_code == 405
