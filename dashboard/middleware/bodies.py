"""How large a request may be, checked before and while it is read."""

from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from analytics.core.errors import InputError
from dashboard.api.problems import problem_of

FORM_BYTES = 16 * 2**10
JSON_BYTES = 2**20
_MULTIPART_BYTES = 64 * 2**10
_UPLOADS = ("/api/v1/documents", "/api/v1/events/import", "/_stcore/upload_file")
_FORMS = ("/login", "/logout", "/password")
_HOOKS = "/hooks/"
HOOK_BYTES = 256 * 2**10
_EVENTS = "/api/v1/events"
EVENTS_BYTES = 8 * 2**20


class TooLargeError(InputError):
    """The request has more bytes than this route takes."""

    code = "too_large"
    status = 413


def limit_of(path: str, max_upload_bytes: int) -> int:
    """Return how many bytes a request to *path* may have."""
    if path.startswith(_UPLOADS):
        return max_upload_bytes + _MULTIPART_BYTES
    if path.startswith(_HOOKS):
        return HOOK_BYTES
    if path == _EVENTS:
        return EVENTS_BYTES
    return FORM_BYTES if path in _FORMS else JSON_BYTES


class BodyLimitMiddleware:
    """Refuses requests that are too large, whether they say so or not."""

    def __init__(self, app: ASGIApp, *, max_upload_bytes: Callable[[], int]) -> None:
        self._app = app
        self._max_upload_bytes = max_upload_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] != "http" or scope["method"] in {"GET", "HEAD", "OPTIONS"}:
            await self._app(scope, receive, send)
            return
        limit = limit_of(scope["path"], self._max_upload_bytes())
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared) > limit:
            await problem_of(_too_large(limit))(scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                if seen > limit:
                    raise _too_large(limit)
            return message

        await self._app(scope, counted, send)


def _too_large(limit: int) -> TooLargeError:
    return TooLargeError(
        f"The request is larger than the {limit:,} bytes this route takes; nothing was kept. Send less at once.",
        limit_bytes=limit,
    )
