"""How a route of the API is declared and run: role, checked input, one transaction, JSON out.

A route is an :class:`Operation`; the routing table and the OpenAPI document are both made from the list of them.
"""

import base64
import hashlib
import re
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import urlencode

import orjson
from anyio import to_thread
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from analytics.core.clock import Interval, require_aware, utc_now
from analytics.core.errors import InputError, InvariantError, NotFoundError
from analytics.live.cache import read_anew
from analytics.store.engine import async_session_scope
from analytics.store.paging import DEFAULT_LIMIT, MAX_LIMIT, Page
from analytics.store.queries import audit
from dashboard.auth.roles import Role
from dashboard.auth.throttle import known_address
from dashboard.auth.viewer import Viewer, require
from dashboard.context import AppContext, get_context
from dashboard.middleware.identity import viewer_of

PREFIX = "/api/v1"
P = ParamSpec("P")
T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

LONGEST_RANGE = timedelta(days=400)
_UNITS = {"m": 60, "h": 3600, "d": 86400}
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
"""An escaped NUL in JSON; PostgreSQL has no text with one."""


class Asked(BaseModel):
    """What a caller sends; unknown names are refused, so that a misspelt filter is not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NumberedQuery(Asked):
    """A numbered page of a list."""

    page: int = Field(default=1, ge=1, le=1_000_000, description="Which page, from 1.")
    limit: int = Field(default=DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="The most items of a page.")


class SearchQuery(NumberedQuery):
    """A numbered page of a list that can be searched."""

    search: str | None = Field(default=None, max_length=200, description="Only what contains this.")


class CursorQuery(Asked):
    """A page of a long list, newest first."""

    limit: int = Field(default=DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="The most items of a page.")
    after: str | None = Field(default=None, max_length=200, description="`next` of the page before.")


class RangeQuery(Asked):
    """A span of time: the last so long, or from one moment to another."""

    range: str = Field(default="24h", pattern=r"^[1-9]\d{0,3}[mhd]$", description="The last so long, like `6h`, `30d`.")
    since: datetime | None = Field(default=None, description="Its start instead; with a time zone.")
    until: datetime | None = Field(default=None, description="Its end; the present when only `since` is given.")

    @model_validator(mode="after")
    def _has_start(self) -> "RangeQuery":
        if self.until is not None and self.since is None:
            raise ValueError("until needs since")
        return self

    def interval(self, *, now: datetime | None = None) -> Interval:
        """Return the span, half-open.

        Raises:
            InputError: If it is reversed, without a time zone, or longer than 400 days.
        """
        end = now or utc_now()
        if self.since is not None:
            span = Interval(require_aware(self.since), require_aware(self.until) if self.until is not None else end)
        else:
            span = Interval.last(timedelta(seconds=int(self.range[:-1]) * _UNITS[self.range[-1]]), now=end)
        if span.length > LONGEST_RANGE:
            raise InputError(f"A range is at most {LONGEST_RANGE.days} days; nothing was read.")
        return span


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of a long list, and where the next begins."""

    items: list[Any]
    limit: int
    next: str | None
    """To be sent as ``after``; None on the last page."""


@dataclass(slots=True)
class Call:
    """One call of a route."""

    request: Request
    context: AppContext
    viewer: Viewer
    _query: BaseModel | None = None
    _body: BaseModel | None = None

    def query(self, kind: type[M]) -> M:
        """Return the query, which the operation declares as *kind*."""
        return _typed(self._query, kind)

    def body(self, kind: type[M]) -> M:
        """Return the body, which the operation declares as *kind*."""
        return _typed(self._body, kind)

    def path(self, name: str) -> Any:
        """Return a part of the path, in the type its route declares."""
        return self.request.path_params[name]

    @property
    def address(self) -> str | None:
        """Return the IP address the call came from, if it is known."""
        return known_address(self.request.client.host) if self.request.client is not None else None

    @property
    def is_anew(self) -> bool:
        """Return whether the caller wants an answer that is read now, whatever is kept."""
        return "no-cache" in self.request.headers.get("cache-control", "")

    async def ask(self, question: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a query, or a change, in one transaction without holding up the event loop."""
        async with async_session_scope(self.context.async_engine) as session:
            return await session.run_sync(partial(question, **kwargs), *args)

    async def in_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what blocks, such as the door into the queues, in a thread."""
        return await to_thread.run_sync(partial(work, *args, **kwargs))

    def record(
        self,
        session: Session,
        action: str,
        *,
        object_type: str,
        object_id: object,
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """Add to the audit log what the caller did."""
        audit.record(
            session,
            actor=self.viewer.actor,
            action=action,
            object_type=object_type,
            object_id=str(object_id),
            detail=detail,
            address=self.address,
        )


Handler = Callable[[Call], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One route."""

    method: str
    path: str
    """Below :data:`PREFIX`, in Starlette's notation."""
    handler: Handler
    summary: str
    """What it does, as a sentence; the OpenAPI document says it."""
    role: Role
    """The lowest role that may."""
    returns: Any = None
    """Type of the answer; None for none."""
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    status: int = 200
    doing: str = "read this"
    """What it does, as it stands after "you may not"."""
    max_age_s: int = 0
    """How long browsers may keep the answer without asking again."""
    media_type: str = "application/json"
    """Of the answer."""
    body_media_type: str = "application/json"
    bodies: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """JSON schemas by media type of bodies that the handler reads itself; for the OpenAPI document."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Request headers it reads, with what they mean; for the OpenAPI document."""
    keep: str | None = None
    """The shared cache that keeps the answer by path and query; only where it is the same for everybody who may ask.

    A change through the API in the same area voids it; ``Cache-Control: no-cache`` reads it anew.
    """
    rests_on: tuple[str, ...] = ()
    """Other tags of the shared cache whose changes void a kept answer."""

    @property
    def area(self) -> str:
        """Return the first segment of the path, by which metrics are grouped."""
        return self.path.strip("/").partition("/")[0].removesuffix(".json")

    def route(self) -> Route:
        """Return the route that runs it."""

        async def endpoint(request: Request) -> Response:
            return await self.run(request)

        return Route(PREFIX + self.path, endpoint, methods=[self.method], name=f"{self.method} {self.path}")

    async def run(self, request: Request) -> Response:
        """Check who asks and what, run the handler, and render what it returns."""
        viewer = viewer_of(request.scope)
        if viewer is None:
            raise InvariantError("A route was reached without an identity; nothing was done.")
        if viewer.role < self.role:
            await to_thread.run_sync(partial(require, viewer, self.role, doing=self.doing))
        call = Call(
            request,
            get_context(),
            viewer,
            _query=_parsed_query(self.query, request.query_params) if self.query is not None else None,
            _body=await _read_body(request, self.body) if self.body is not None else None,
        )
        if self.keep is not None:
            return await self._kept(call, self.keep)
        answer = await self.handler(call)
        if self.method != "GET":
            await to_thread.run_sync(call.context.caches.invalidate, self.area)
        return answer if isinstance(answer, Response) else self._render(request, answer)

    async def _kept(self, call: Call, name: str) -> Response:
        """Answer from the cache *name*, or read and keep the answer; its ``Age`` says how old it is, in seconds."""
        caches, request = call.context.caches, call.request
        key = f"{request.url.path}?{urlencode(sorted(request.query_params.multi_items()))}"
        tags = (self.area, *self.rests_on)
        versions = await to_thread.run_sync(caches.versions, tags)
        if not call.is_anew:
            kept = await to_thread.run_sync(partial(caches.get, name, key, of=str, tags=tags))
            if kept is not None:
                response = self._render_content(request, kept.value.encode())
                response.headers["Age"] = str(max(0, int((utc_now() - kept.computed_at).total_seconds())))
                return response
        with read_anew(is_asked=call.is_anew):
            content = to_json(await self.handler(call))
        await to_thread.run_sync(partial(caches.put, name, key, content.decode(), of=str, versions=versions))
        return self._render_content(request, content)

    def _render(self, request: Request, answer: Any) -> Response:
        if answer is None:
            return Response(status_code=204, headers={"Cache-Control": "no-store"})
        return self._render_content(request, to_json(answer))

    def _render_content(self, request: Request, content: bytes) -> Response:
        if self.method != "GET":
            return Response(
                content, status_code=self.status, media_type="application/json", headers={"Cache-Control": "no-store"}
            )
        etag = f'W/"{hashlib.sha256(content).hexdigest()[:32]}"'
        keep = f"max-age={self.max_age_s}" if self.max_age_s else "no-cache"
        headers = {"Cache-Control": f"private, {keep}", "ETag": etag, "Vary": "Authorization, Cookie"}
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=headers)
        return Response(content, status_code=self.status, media_type="application/json", headers=headers)


def to_json(answer: Any) -> bytes:
    """Return *answer*, made of frozen rows, pages and plain values, as JSON."""
    return orjson.dumps(answer, default=_plain, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS)


def listing(rows: Sequence[T], limit: int, key: Callable[[T], tuple[datetime, uuid.UUID]]) -> Listing:
    """Return *rows* as a page with its cursor; a full page may be followed by an empty one."""
    return Listing(list(rows), limit, encode_cursor(*key(rows[-1])) if len(rows) >= limit else None)


def encode_cursor(at: datetime, row_id: uuid.UUID) -> str:
    """Return what stands for the last row of a page."""
    return base64.urlsafe_b64encode(f"{at.isoformat()}|{row_id}".encode()).decode().rstrip("=")


def decode_cursor(cursor: str | None) -> tuple[datetime, uuid.UUID] | None:
    """Return the time and id that *cursor* stands for; None for the first page.

    Raises:
        InputError: If it is not one of ours.
    """
    if cursor is None:
        return None
    try:
        at, _, row_id = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().partition("|")
        return require_aware(datetime.fromisoformat(at)), uuid.UUID(row_id)
    except ValueError as error:
        raise InputError("`after` is not a value that this API gave out; nothing was read.") from error


def found(row: T | None, what: str) -> T:
    """Return *row*.

    Raises:
        NotFoundError: If there is none.
    """
    if row is None:
        raise NotFoundError(f"There is no such {what}; nothing was done.")
    return row


def _typed(value: BaseModel | None, kind: type[M]) -> M:
    if not isinstance(value, kind):
        raise InvariantError(f"The operation does not declare {kind.__name__}.")
    return value


async def _read_body(request: Request, kind: type[BaseModel]) -> BaseModel:
    content = await request.body()
    if not content:
        return _parsed(kind, {}, "body")
    if _NUL.search(content):
        raise InputError("The body holds a NUL character, which no text may; nothing was done.")
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise InputError(f"The body is not JSON ({error}); nothing was done.") from error
    return _parsed(kind, document, "body")


def _parsed_query(kind: type[BaseModel], values: Mapping[str, str]) -> BaseModel:
    if any("\0" in value for value in values.values()):
        raise InputError("The query holds a NUL character, which no text may; nothing was done.")
    return _parsed(kind, dict(values), "query")


def _parsed(kind: type[BaseModel], values: Any, where: str) -> BaseModel:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        problems = [
            {"path": ".".join(str(part) for part in item["loc"]), "reason": item["msg"]} for item in error.errors()
        ]
        first = problems[0]
        raise InputError(
            f"The {where} cannot be used: {first['path'] or where}: {first['reason']}. Nothing was done.",
            problems=problems,
        ) from error


def _page(page: Page[Any]) -> dict[str, Any]:
    return {
        "items": list(page.items),
        "page": page.page,
        "limit": page.limit,
        "total": page.total,
        "pages": page.pages,
    }


_PLAIN: tuple[tuple[type[Any], Callable[[Any], Any]], ...] = (
    (Page, _page),
    (BaseModel, BaseModel.model_dump),
    (Decimal, float),
    (timedelta, timedelta.total_seconds),
    (Mapping, dict),
    (Iterable, list),
)


def _plain(value: Any) -> Any:
    names = getattr(type(value), "__dataclass_fields__", None)
    if names is not None and not isinstance(value, Page):
        return {name: getattr(value, name) for name in names}
    for kind, plain in _PLAIN:
        if isinstance(value, kind):
            return plain(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
