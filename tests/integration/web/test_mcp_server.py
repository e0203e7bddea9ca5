"""Our MCP server through a running dashboard, asked by the SDK's own client."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx
import httpx2
import pytest
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from served import Dashboard
from sqlalchemy import create_engine, text

from analytics.core.clock import floor_time, utc_now
from analytics.kpi import registry
from analytics.slo import catalogue, ledger
from analytics.slo.model import BUCKET, Objective, PromEvents
from analytics.store.engine import driver_url, session_scope

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
_OF_SLOS = ("list_slos", "get_slo", "explain_burn", "what_if", "backtest")
BAD_BEFORE = timedelta(days=2)
_FILL = text("""
    INSERT INTO slo_bucket_5m (slo_id, group_key, bucket_start, good, total, measured_s, origin)
    SELECT 'orders', '', start, CASE WHEN start >= :bad_at AND start < :bad_at + interval '1 hour' THEN 50 ELSE 100 END,
           100, 300, 'live'
    FROM generate_series(CAST(:since AS timestamptz), CAST(:last AS timestamptz), '5 minutes') AS start
""")
_ACCEPT = {"Accept": "application/json, text/event-stream"}


def _asked(web: Dashboard, token: str, question: Any, *, mode: str = "auto") -> Any:
    async def ask() -> Any:
        async with (
            httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=20) as http,
            Client(streamable_http_client(f"{web.url}/api/mcp", http_client=http), mode=mode) as client,
        ):
            return await question(client)

    return asyncio.run(ask())


@pytest.fixture(scope="module")
def slo_id(web: Dashboard) -> Iterator[str]:
    """An objective of 99 % with a month of events, of which an hour of the day before yesterday was bad."""
    engine = create_engine(driver_url(web.dsn))
    end = floor_time(utc_now(), BUCKET)
    indicator = PromEvents(total="sum(increase(orders[{window}]))", bad="sum(increase(lost[{window}]))")
    with session_scope(engine) as session:
        new = Objective("orders", "Orders", "mcp-tests", Decimal("0.99"), indicator, "Orders that arrived.")
        catalogue.save(session, new, actor="tests")
        session.execute(_FILL, {"since": end - timedelta(days=31), "last": end - BUCKET, "bad_at": end - BAD_BEFORE})
        ledger.roll_up(session, ["orders"], since=end - timedelta(days=31), until=end)
    yield "orders"
    with session_scope(engine) as session:
        session.execute(text("DELETE FROM slo_bucket_5m WHERE slo_id = 'orders'"))
        session.execute(text("DELETE FROM slo_bucket_1h WHERE slo_id = 'orders'"))
        catalogue.deactivate(session, "orders", actor="tests")
    engine.dispose()


def test_an_agent_with_a_viewers_token_finds_tools_that_only_read(web: Dashboard, people: dict[str, str]) -> None:
    tools = _asked(web, people["viewer"], lambda client: client.list_tools()).tools
    assert [tool.name for tool in tools] == [*_OF_SLOS, "list_kpis"]
    assert all(tool.annotations.read_only_hint and not tool.annotations.destructive_hint for tool in tools)
    assert all(tool.title and tool.description for tool in tools)


def test_clients_of_the_protocol_with_a_handshake_are_answered_too(web: Dashboard, people: dict[str, str]) -> None:
    tools = _asked(web, people["viewer"], lambda client: client.list_tools(), mode="legacy").tools
    assert len(tools) == 6


def test_the_tools_tell_of_one_objective_what_its_ledger_says(
    web: Dashboard, people: dict[str, str], slo_id: str
) -> None:
    async def ask(client: Any) -> list[dict[str, Any]]:
        calls = [
            ("list_slos", {"service": "mcp-tests"}),
            ("get_slo", {"slo_id": slo_id}),
            ("explain_burn", {"slo_id": slo_id}),
            ("what_if", {"slo_id": slo_id, "targets": ["99.9%", 0.95]}),
            ("backtest", {"slo_id": slo_id, "min_bad": 100_000}),
        ]
        found = [await client.call_tool(name, arguments) for name, arguments in calls]
        assert [answer.is_error for answer in found] == [False] * 5, found
        return [answer.structured_content for answer in found]

    listed, one, explained, tried, tested = _asked(web, people["viewer"], ask)
    # 30 days of 8,640 buckets of 100 events, 12 of them bad by half: 600 of 864,000, of which 8,640 may be bad.
    [brief] = listed["slos"]
    assert (brief["id"], brief["budget_left"]) == (slo_id, pytest.approx(1 - 600 / 8640))
    assert one["status"]["budget"]["consumed_events"] == pytest.approx(600)
    assert one["definition"]["target"] == "99%"
    assert "series" not in one["status"]
    [dearest] = explained["hours"]
    assert (dearest["bad"], dearest["share"]) == (pytest.approx(600), pytest.approx(600 / 8640))
    assert [(item["target"], item["compliant"]) for item in tried["outcomes"]] == [(0.999, True), (0.95, True)]
    assert len(tested["current"]["pages"]) == 1
    assert tested["tried"]["pages"] == []


def test_objectives_without_events_are_told_as_such(web: Dashboard, people: dict[str, str]) -> None:
    answer = _asked(web, people["viewer"], lambda client: client.call_tool("list_slos", {"service": "cache"}))
    [slo] = answer.structured_content["slos"]
    assert (slo["id"], slo["state"], slo["sli"], slo["budget_left"]) == ("cache_hit_rate", "no_data", None, None)


def test_key_figures_say_what_was_not_measured(web: Dashboard, people: dict[str, str]) -> None:
    answer = _asked(web, people["viewer"], lambda client: client.call_tool("list_kpis", {"group": "agents"}))
    (runs,) = [figure for figure in answer.structured_content["kpis"] if figure["id"] == "agent_runs"]
    assert (runs["value"], runs["state"], runs["samples"], runs["unit"]) == (None, "no_data", 0, "count")
    assert {figure["group"] for figure in answer.structured_content["kpis"]} == {"agents"}


def test_agents_and_programs_are_told_of_every_key_figure_there_is(web: Dashboard, people: dict[str, str]) -> None:
    answer = _asked(web, people["viewer"], lambda client: client.call_tool("list_kpis", {}))
    with web.as_program(people["viewer"]) as client:
        listed = client.get("/api/v1/kpis").json()
    wanted = [item.id for item in registry()]
    assert {"circuit_breakers", "cache_p95", "cache_hits"} < set(wanted)
    assert [figure["id"] for figure in answer.structured_content["kpis"]] == wanted
    assert [figure["id"] for figure in listed] == wanted


@pytest.mark.parametrize("tool", ["get_slo", "explain_burn", "what_if", "backtest"])
def test_an_objective_that_does_not_exist_is_an_error_the_agent_can_read(
    web: Dashboard, people: dict[str, str], tool: str
) -> None:
    answer = _asked(web, people["viewer"], lambda client: client.call_tool(tool, {"slo_id": "nothing"}))
    assert answer.is_error
    assert "There is no objective called 'nothing'" in answer.content[0].text


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("what_if", {"targets": ["999%"]}, "999% is not a share from 0 % to 100 %"),
        ("what_if", {"window": "soon"}, "'soon' is no length of time"),
        ("what_if", {"window": "month", "zone": "Mars/One"}, "There is no time zone 'Mars/One'"),
        ("backtest", {"days": 400}, "less than or equal to 90"),
        ("list_slos", {"state": "green"}, "healthy"),
    ],
)
def test_arguments_that_cannot_be_used_are_errors_that_say_why(
    web: Dashboard, people: dict[str, str], tool: str, arguments: dict[str, Any], said: str
) -> None:
    arguments = arguments if tool == "list_slos" else {"slo_id": "cache_hit_rate", **arguments}
    answer = _asked(web, people["viewer"], lambda client: client.call_tool(tool, arguments))
    assert answer.is_error
    assert said in answer.content[0].text


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
