"""The outermost layer: a correlation id and metrics for every request and socket."""

import time
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from analytics.core.logging import correlated, get_logger
from analytics.core.telemetry import HTTP_REQUEST_SECONDS, HTTP_REQUESTS, HTTP_RESPONSE_BYTES
from dashboard.middleware.groups import group_of

CORRELATION_HEADER = "X-Correlation-Id"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_LOGGED = frozenset({"api", "auth"})
_SERVER_ERROR = 500
_log = get_logger(__name__)


class RequestMiddleware:
    """Binds the correlation id, counts and times requests."""

    def __init__(self, app: ASGIApp, *, is_page: Callable[[str], bool]) -> None:
        self._app = app
        self._is_page = is_page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request or socket on."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        with correlated(Headers(scope=scope).get(CORRELATION_HEADER)) as correlation:
            if scope["type"] == "websocket":
                await self._app(scope, receive, send)
            else:
                await self._measured(scope, receive, send, correlation)

    async def _measured(self, scope: Scope, receive: Receive, send: Send, correlation: str) -> None:
        started = time.perf_counter()
        status, n_bytes = _SERVER_ERROR, 0

        async def watch(message: Message) -> None:
            nonlocal status, n_bytes
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[CORRELATION_HEADER] = correlation
            elif message["type"] == "http.response.body":
                n_bytes += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            seconds = time.perf_counter() - started
            group, area = group_of(scope["path"], is_page=self._is_page(scope["path"]))
            method = scope["method"] if scope["method"] in _METHODS else "OTHER"
            HTTP_REQUESTS.labels(group, area, method, f"{status // 100}xx").inc()
            HTTP_REQUEST_SECONDS.labels(group, area).observe(seconds)
            HTTP_RESPONSE_BYTES.labels(group).inc(n_bytes)
            if group in _LOGGED or status >= _SERVER_ERROR:
                _log.info(
                    "request_answered", path=scope["path"], method=method, status=status, seconds=round(seconds, 4)
                )
