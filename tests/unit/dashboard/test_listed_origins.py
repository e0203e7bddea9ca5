"""Pages of other origins that the settings list: what browsers let them send."""

import asyncio

import httpx
import pytest
from starlette.applications import Starlette

from dashboard.api.table import OPERATIONS
from dashboard.middleware.cors import ListedOriginsMiddleware

LISTED = "https://tools.example"
HEADERS = {name for operation in OPERATIONS for name in operation.headers}
MCP = {"Authorization", "Content-Type", "Mcp-Protocol-Version", "Mcp-Method", "Mcp-Name"}


def preflight(origin: str, *, method: str = "POST", headers: set[str] | None = None) -> httpx.Response:
    app = ListedOriginsMiddleware(Starlette(), origins=lambda: (LISTED,))
    asked = {"Origin": origin, "Access-Control-Request-Method": method}
    asked |= {"Access-Control-Request-Headers": ",".join(sorted(headers))} if headers else {}

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client:
            return await client.options("/api/mcp", headers=asked)

    return asyncio.run(ask())


@pytest.mark.parametrize("method", sorted({operation.method for operation in OPERATIONS}))
def test_a_listed_origin_may_use_every_method_of_the_api(method: str) -> None:
    assert preflight(LISTED, method=method).status_code == 200


@pytest.mark.parametrize("headers", [HEADERS, MCP], ids=["api", "mcp"])
def test_a_listed_origin_may_send_the_headers_that_are_read(headers: set[str]) -> None:
    assert headers
    answer = preflight(LISTED, headers=headers)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, LISTED)


def test_another_origin_may_send_nothing() -> None:
    assert preflight("https://evil.example").status_code == 400
