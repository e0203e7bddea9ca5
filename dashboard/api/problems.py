"""Errors as an API tells them: RFC 9457 problem details, one form for all routes."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from analytics.core.errors import HelmsightError
from analytics.core.logging import correlation_id, get_logger, mask_secrets

MEDIA_TYPE = "application/problem+json"
_log = get_logger(__name__)


def problem(
    *,
    status: int,
    code: str,
    detail: str,
    retryable: bool = False,
    context: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a problem document.

    Args:
        status: HTTP status.
        code: Our short name of the kind of error; clients branch on it.
        detail: What failed, what was not done, what to do next.
        retryable: Whether the same call may succeed later.
        context: Facts about this case, without secrets.
        headers: More response headers.
    """
    document: dict[str, Any] = {
        "type": f"urn:helmsight:problem:{code}",
        "title": _title(status),
        "status": status,
        "detail": detail,
        "code": code,
        "retryable": retryable,
    }
    bound = correlation_id()
    if bound is not None:
        document["correlation_id"] = bound
    if context:
        document["context"] = mask_secrets(None, "", dict(context))
    body = orjson.dumps(document, default=str, option=orjson.OPT_NON_STR_KEYS)
    return Response(
        body, status_code=status, media_type=MEDIA_TYPE, headers={"Cache-Control": "no-store", **(headers or {})}
    )


def problem_of(error: HelmsightError) -> Response:
    """Return the problem document of one of our errors."""
    headers: dict[str, str] = {}
    retry_after = error.context.get("retry_after_s")
    if isinstance(retry_after, int):
        headers["Retry-After"] = str(retry_after)
    elif error.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = "5"
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return problem(
        status=error.status,
        code=error.code,
        detail=error.message,
        retryable=error.retryable,
        context=error.context,
        headers=headers,
    )


async def answer_helmsight_error(request: Request, error: HelmsightError) -> Response:
    """Answer a route that raised one of our errors."""
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.warning("request_failed", path=request.url.path, code=error.code, reason=error.message)
    return problem_of(error)


async def answer_http_exception(request: Request, error: HTTPException) -> Response:
    """Answer what Starlette itself refuses: no such route, wrong method."""
    if error.status_code == HTTPStatus.NOT_FOUND:
        detail = f"There is nothing at {request.url.path}; the routes are listed at /api/v1/openapi.json."
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        detail = f"{request.method} is not possible here; nothing was done."
    else:
        detail = str(error.detail)
    return problem(
        status=error.status_code,
        code=_title(error.status_code).lower().replace(" ", "_"),
        detail=detail,
        headers=dict(error.headers or {}),
    )


async def answer_unexpected(request: Request, error: Exception) -> Response:
    """Answer an error nobody foresaw: logged in full, told in one sentence."""
    _log.error("request_broke", path=request.url.path, exc_info=error)
    return problem(
        status=HTTPStatus.INTERNAL_SERVER_ERROR,
        code="internal",
        detail="Helmsight made a mistake and did not finish this request. Tell the administrator the correlation id.",
    )


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
