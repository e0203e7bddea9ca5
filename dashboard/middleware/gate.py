"""What no route may be reached for: a database with the wrong schema, and paths that are nothing of ours."""

from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from analytics.core.errors import NotFoundError
from dashboard.api.problems import problem, problem_of
from dashboard.auth.screens import notice_screen
from dashboard.context import get_context
from dashboard.readiness import SchemaState

_ALWAYS = frozenset({"/healthz", "/metrics", "/favicon.ico", "/robots.txt"})
_ASSETS = ("/static/", "/assets/")
_OURS = frozenset({"/login", "/logout", "/password", "/favicon.png", "/manifest.json", *_ALWAYS})
_PREFIXES = ("/api/", "/ws/", "/_stcore/", "/media/", "/component/", "/oauth2callback", "/auth/", "/hooks/", *_ASSETS)


class SchemaGateMiddleware:
    """Answers everything with what is wrong while the schema is not the one this version needs."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or answer it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        watch, path = get_context().schema, scope["path"]
        if watch.state is not SchemaState.WRONG or path in _ALWAYS or path.startswith(_ASSETS):
            await self._app(scope, receive, send)
            return
        detail = watch.problem or "The database has another schema than this version needs."
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1013, "reason": "The database needs `helmsight migrate`."})
        elif _wants_page(scope):
            screen = notice_screen(
                "Database not ready", "Helmsight does not serve pages yet.", detail=detail, status=503, again_after_s=5
            )
            await screen(scope, receive, send)
        else:
            answer = problem(status=503, code="wrong_schema", detail=detail, retryable=True)
            await answer(scope, receive, send)


class KnownPathsMiddleware:
    """Answers paths that are neither a page nor a route with 404, where Streamlit would show its first page."""

    def __init__(self, app: ASGIApp, *, is_page: Callable[[str], bool]) -> None:
        self._app = app
        self._is_page = is_page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or answer it."""
        path = scope.get("path", "")
        known = path in _OURS or path.startswith(_PREFIXES) or self._is_page(path.rstrip("/") or "/")
        if scope["type"] != "http" or known:
            await self._app(scope, receive, send)
        elif _wants_page(scope):
            screen = notice_screen(
                "Nothing here",
                "There is no page at this address.",
                tone="note",
                detail="It may have moved, or the link has a mistake.",
                status=404,
                action=("To the overview", "/"),
            )
            await screen(scope, receive, send)
        else:
            error = NotFoundError(f"There is nothing at {path[:200]}; the routes are listed at /api/v1/openapi.json.")
            await problem_of(error)(scope, receive, send)


def _wants_page(scope: Scope) -> bool:
    return scope["method"] in {"GET", "HEAD", "POST"} and "text/html" in Headers(scope=scope).get("accept", "")
