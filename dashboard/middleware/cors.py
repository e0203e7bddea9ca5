"""Which other origins may call the API: those that the settings list, never all."""

from collections.abc import Callable

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

_PREFLIGHT_S = 3600
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_HEADERS = (
    *("Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match", "X-Correlation-Id"),
    *("Mcp-Protocol-Version", "Mcp-Method", "Mcp-Name"),
)


class ListedOriginsMiddleware:
    """Answers preflight requests and marks answers of the API; without listed origins it does nothing.

    Credentials are not allowed: another origin shows an API token, never somebody's session.
    """

    def __init__(self, app: ASGIApp, *, origins: Callable[[], tuple[str, ...]]) -> None:
        self._app = app
        self._origins = origins
        self._cors: CORSMiddleware | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or answer it."""
        if scope["type"] != "http" or not scope["path"].startswith("/api/") or not self._origins():
            await self._app(scope, receive, send)
            return
        if self._cors is None:
            self._cors = CORSMiddleware(
                self._app,
                allow_origins=self._origins(),
                allow_methods=_METHODS,
                allow_headers=_HEADERS,
                expose_headers=("ETag", "Retry-After", "X-Correlation-Id"),
                max_age=_PREFLIGHT_S,
            )
        await self._cors(scope, receive, send)
