"""Who asks, established once for pages, routes and sockets: default deny.

Client-sent ``X-Helm-*`` headers are dropped; the session cookie or the bearer token is verified; what was verified is
put into the scope (:func:`viewer_of`) and into trusted headers, from which Streamlit fills ``st.user``.
"""

import hmac
from collections.abc import Callable
from urllib.parse import quote

from anyio import to_thread
from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.proto.BackMsg_pb2 import BackMsg

from analytics.core.errors import DependencyError, HelmsightError, PolicyError
from analytics.core.settings import Settings
from analytics.core.telemetry import WEBSOCKET_OPENS, WEBSOCKET_REFUSALS
from dashboard.api.problems import problem_of
from dashboard.auth import socket_tokens
from dashboard.auth.next_path import login_address
from dashboard.auth.roles import Role
from dashboard.auth.screens import notice_screen
from dashboard.auth.sessions import COOKIE_NAME, TOKEN_PREFIX, SessionBook, SessionEndedError, Viewer
from dashboard.context import get_context
from dashboard.middleware.origins import SAFE_METHODS, is_same_site
from dashboard.streamlit_options import cookie_secret, metrics_token

SCOPE_KEY = "helmsight.viewer"
LIVE = "/ws/"
STREAM = "/_stcore/stream"
CLOSE_SIGNED_OUT = 4401
CLOSE_FORBIDDEN = 4403
CLOSE_TRY_LATER = 1013

_PUBLIC = frozenset({"/login", "/healthz", "/favicon.ico", "/robots.txt"})
_PUBLIC_PREFIXES = ("/static/", "/assets/")
"""Streamlit's own bundles, the same in every installation, and our icon: the sign-in page fetches them ahead."""
_HOOKS = "/hooks/"
"""Webhooks, which show a signature instead of an account; only as requests, and only the route of that name."""
_WHILE_CHANGING = frozenset({"/password", "/logout"})
_SCRAPED = frozenset({"/metrics", "/_stcore/metrics"})
_OURS = b"x-helm-"


class PasswordChangeRequiredError(PolicyError):
    """The password was given out for one use; nothing else is possible before it is changed."""

    code = "password_change_required"


class ForeignOriginError(PolicyError):
    """The request carries a session cookie but was made by another site."""

    code = "foreign_origin"


def viewer_of(scope: Scope) -> Viewer | None:
    """Return who asks, or None on public paths and sockets that introduce themselves later."""
    viewer: Viewer | None = scope.get(SCOPE_KEY)
    return viewer


class IdentityMiddleware:
    """Lets through whom it knows and what is public; everything else is refused here."""

    def __init__(self, app: ASGIApp, *, is_page: Callable[[str], bool]) -> None:
        self._app = app
        self._is_page = is_page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request or socket on, or answer it."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        raw = [(name, value) for name, value in scope["headers"] if not name.lower().startswith(_OURS)]
        scope = {**scope, "headers": raw}
        path = scope["path"]
        is_hook = scope["type"] == "http" and path.startswith(_HOOKS)
        if path in _PUBLIC or path.startswith(_PUBLIC_PREFIXES) or is_hook:
            await self._public(scope, receive, send)
            return
        headers = Headers(raw=raw)
        if path in _SCRAPED and _shows_metrics_token(headers, get_context().settings):
            await self._app(scope, receive, send)
            return
        try:
            viewer = await identify(headers, is_socket=scope["type"] == "websocket")
            if viewer is None and not (scope["type"] == "websocket" and path.startswith(LIVE)):
                raise SessionEndedError("You are not signed in; nothing was done. Sign in, or send an API token.")
            _check(scope, headers, viewer)
        except HelmsightError as error:
            await self._refuse(scope, receive, send, error)
            return
        if viewer is not None:
            scope = {**scope, "headers": [*raw, *_trusted(viewer)], SCOPE_KEY: viewer}
            if scope["type"] == "websocket" and path == STREAM:
                receive = _rechecked(receive, viewer, get_context().sessions)
        await self._app(scope, receive, send)

    async def _public(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in SAFE_METHODS:
            settings = get_context().settings.http
            if not is_same_site(Headers(scope=scope), settings):
                await self._refuse(scope, receive, send, _foreign())
                return
        await self._app(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, error: HelmsightError) -> None:
        if scope["type"] == "websocket":
            await _refuse_socket(scope, receive, send, error)
            return
        if scope["method"] in {"GET", "HEAD"} and self._wants_page(scope):
            response = _page_for(scope, error)
        else:
            response = problem_of(error)
        if isinstance(error, SessionEndedError) and COOKIE_NAME in Headers(scope=scope).get("cookie", ""):
            response.delete_cookie(COOKIE_NAME, path="/", httponly=True, samesite="lax")
        await response(scope, receive, send)

    def _wants_page(self, scope: Scope) -> bool:
        path = scope["path"]
        if path.startswith(("/api", "/_stcore/", "/media/", "/component/")) or path in _SCRAPED:
            return False
        return self._is_page(path) or "text/html" in Headers(scope=scope).get("accept", "")


async def identify(headers: Headers, *, is_socket: bool = False) -> Viewer | None:
    """Return whom the bearer token or the session cookie stands for, or None when there is neither.

    Raises:
        SessionEndedError: If what was sent is no longer valid, or never was.
        DependencyError: If PostgreSQL is away and the credential was not seen lately.
    """
    context = get_context()
    kind, _, value = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        value = value.strip()
        if is_socket and not value.startswith(TOKEN_PREFIX):
            return await of_socket_token(value)
        return await context.sessions.token(value)
    cookie = cookie_parser(headers.get("cookie", "")).get(COOKIE_NAME)
    return await context.sessions.cookie(cookie) if cookie else None


async def of_socket_token(token: str) -> Viewer:
    """Return whom an API token or a short-lived socket token stands for; raises as :func:`identify`."""
    context = get_context()
    if token.startswith(TOKEN_PREFIX):
        return await context.sessions.token(token)
    secret = cookie_secret(context.settings)
    return await to_thread.run_sync(lambda: socket_tokens.redeem(token, secret=secret, sessions=context.sessions))


def _check(scope: Scope, headers: Headers, viewer: Viewer | None) -> None:
    if viewer is None:
        return
    path = scope["path"]
    changes = scope["type"] == "websocket" or scope["method"] not in SAFE_METHODS
    if viewer.session_id is not None and changes and not is_same_site(headers, get_context().settings.http):
        raise _foreign()
    if viewer.must_change_password and path not in _WHILE_CHANGING:
        raise PasswordChangeRequiredError("Choose a password of your own first, at /password; nothing was done.")
    if path in _SCRAPED and viewer.token_id is None and viewer.role < Role.ADMIN:
        raise PolicyError("Metrics are for administrators and scrapers; nothing was read.", needed=Role.ADMIN.label)


def _foreign() -> ForeignOriginError:
    return ForeignOriginError("This request was made by another site; nothing was done. Open Helmsight itself.")


def _page_for(scope: Scope, error: HelmsightError) -> Response:
    if isinstance(error, SessionEndedError):
        had_cookie = COOKIE_NAME in Headers(scope=scope).get("cookie", "")
        address = login_address(
            scope["path"], scope["query_string"].decode("latin-1"), reason="ended" if had_cookie else None
        )
        return RedirectResponse(address, status_code=303, headers={"Cache-Control": "no-store"})
    if isinstance(error, PasswordChangeRequiredError):
        return RedirectResponse("/password", status_code=303, headers={"Cache-Control": "no-store"})
    if isinstance(error, DependencyError):
        return notice_screen(
            "One moment",
            "Helmsight cannot reach its database.",
            detail="Who you are cannot be checked until it is back. Queued work is kept.",
            status=error.status,
            again_after_s=5,
        )
    return notice_screen("Not allowed", error.message, status=error.status, action=("To the first page", "/"))


async def _refuse_socket(scope: Scope, receive: Receive, send: Send, error: HelmsightError) -> None:
    """Refuse so that the client sees why: browsers hide the status of a handshake, so live sockets open and close."""
    if isinstance(error, SessionEndedError):
        code = CLOSE_SIGNED_OUT
    elif isinstance(error, DependencyError):
        code = CLOSE_TRY_LATER
    else:
        code = CLOSE_FORBIDDEN
    await receive()
    if scope["path"].startswith(LIVE):
        if code == CLOSE_TRY_LATER:
            WEBSOCKET_OPENS.labels("failed").inc()
        else:
            WEBSOCKET_REFUSALS.labels(error.code).inc()
        await send({"type": "websocket.accept"})
    await send(
        {"type": "websocket.close", "code": code, "reason": error.message.encode()[:120].decode(errors="ignore")}
    )


def _trusted(viewer: Viewer) -> list[tuple[bytes, bytes]]:
    return [
        (b"x-helm-user", quote(viewer.email).encode()),
        (b"x-helm-name", quote(viewer.name).encode()),
        (b"x-helm-role", viewer.role.label.encode()),
        (b"x-helm-session", str(viewer.session_id or "").encode()),
    ]


def _shows_metrics_token(headers: Headers, settings: Settings) -> bool:
    kind, _, value = headers.get("authorization", "").partition(" ")
    return kind.lower() == "bearer" and hmac.compare_digest(
        value.strip().encode("utf-8", "surrogateescape"), metrics_token(settings).encode()
    )


def _rechecked(receive: Receive, viewer: Viewer, sessions: SessionBook) -> Receive:
    """Return *receive* of a page's socket, with its session checked at every message.

    A page run checks its viewer first, but a fragment does not run the whole page. Once the session ended, every run
    asked for becomes a run of the whole page, which then says so.
    """

    async def checked() -> Message:
        message = await receive()
        if message["type"] == "websocket.receive" and message.get("bytes"):
            try:
                await sessions.again(viewer)
            except SessionEndedError:
                message = {**message, "bytes": _as_whole_run(message["bytes"])}
            except DependencyError:
                pass
        return message

    return checked


def _as_whole_run(content: bytes) -> bytes:
    asked = BackMsg()
    asked.ParseFromString(content)
    if asked.WhichOneof("type") != "rerun_script" or not asked.rerun_script.fragment_id:
        return content
    asked.rerun_script.ClearField("fragment_id")
    return bytes(asked.SerializeToString())
