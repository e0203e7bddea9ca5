"""``POST /api/mcp``: the MCP server over streamable HTTP, without sessions, for programs that show an API token.

The SDK is loaded by the first call, so that a dashboard that no agent asks starts and runs without it.
"""

import asyncio
import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from anyio import to_thread
from starlette.datastructures import Headers
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from analytics.core.settings import HttpSettings
from dashboard.auth.sessions import SessionEndedError
from dashboard.context import get_context
from dashboard.middleware.identity import ForeignOriginError, viewer_of
from dashboard.middleware.origins import is_own_origin

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

PATH = "/api/mcp"


class Door:
    """Lets programs with a token through to the MCP server of this process."""

    def __init__(self) -> None:
        self._serving: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[StreamableHTTPSessionManager] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one message.

        Raises:
            SessionEndedError: If it shows no API token; a person's session is not enough.
            ForeignOriginError: If a page of another site sent it.
        """
        viewer = viewer_of(scope)
        if viewer is None or viewer.token_id is None:
            raise SessionEndedError("Agents show an API token as `Authorization: Bearer …`; nothing was done.")
        if not _may_ask(Headers(scope=scope), get_context().settings.http):
            raise ForeignOriginError(
                "A page of another site asked; nothing was done. HELMSIGHT_HTTP__ALLOWED_ORIGINS lists those that may."
            )
        manager = await self._manager()
        await manager.handle_request(scope, receive, send)

    async def close(self) -> None:
        """Stop serving; a later call starts again."""
        if self._serving is not None:
            self._serving.cancel()
            await asyncio.gather(self._serving, return_exceptions=True)
        self._serving = self._ready = None

    async def _manager(self) -> "StreamableHTTPSessionManager":
        if self._serving is None or self._ready is None or self._serving.done():
            self._ready = asyncio.get_running_loop().create_future()
            self._serving = asyncio.create_task(self._serve(self._ready), name="mcp-server")
        ready, serving = self._ready, self._serving
        await asyncio.wait((ready, serving), return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            serving.result()  # says why it could not start
        return ready.result()

    async def _serve(self, ready: "asyncio.Future[StreamableHTTPSessionManager]") -> None:
        """Serve until cancelled; the SDK's task group has to be opened and closed by one task."""
        manager = await to_thread.run_sync(_load)
        async with manager.run():
            ready.set_result(manager)
            await asyncio.Event().wait()


def _load() -> "StreamableHTTPSessionManager":
    from mcp.server.transport_security import TransportSecuritySettings  # noqa: PLC0415 - see the module

    from dashboard.mcp_server.tools import make_server  # noqa: PLC0415

    server = make_server()
    checked_here = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    server.streamable_http_app(json_response=True, stateless_http=True, transport_security=checked_here)
    return server.session_manager


def _may_ask(headers: Headers, http: HttpSettings) -> bool:
    """Tell whether no page asked, or a page of ours at an address that nobody can point elsewhere.

    That the page's host is the host asked proves nothing for a name: whoever owns the name may let it point here.
    """
    origin = headers.get("origin")
    if origin is None:
        return True
    if is_own_origin(origin, None, http):
        return True
    return is_own_origin(origin, headers.get("host"), http) and _is_address(urlsplit(origin).hostname)


def _is_address(host: str | None) -> bool:
    try:
        return host == "localhost" or bool(ipaddress.ip_address(host or ""))
    except ValueError:
        return False


door = Door()
"""Of this process."""


def routes() -> list[Route]:
    """Return the route."""
    return [Route(PATH, door, methods=["POST"], name="mcp")]
