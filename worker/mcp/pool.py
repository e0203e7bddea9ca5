"""One session for each server, owned by one task of the worker's event loop, started when it is first needed.

AnyIO wants a cancel scope left by the task that entered it, so each session lives in a task of its own and others
only send requests through it. What may be called is decided in ``worker.mcp.gateway``.
"""

import asyncio
import functools
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, TypeVar

import mcp_types as types
from mcp.client.client import Client
from mcp.client.session import ClientSession
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

from analytics.core.errors import DependencyError, HelmsightError, InputError, PolicyError
from analytics.core.settings import Settings
from analytics.core.telemetry import MCP_BREAKER_OPEN
from worker.mcp.config import ServerConfig, load_servers, resolve_env
from worker.mcp.transport import Connection, stdio_transport

T = TypeVar("T")
START_LIMIT_S = 20.0
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_LONGEST_WAIT_S = 5.0
"""A call waits for a restart this long; if it takes longer, it fails at once."""
_SILENT_CALLS = 2
"""After this many timeouts in a row a server is started anew."""
_MOST_PAGES = 50
_MOST_TOOLS = 1000
_CALLER_MISTAKES = (types.INVALID_PARAMS, types.METHOD_NOT_FOUND)
_START_FAILURES = (OSError, MCPError, ValidationError, RuntimeError, ValueError, BaseExceptionGroup)


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool as its server describes it; the text is the server's, not ours."""

    name: str
    title: str | None
    description: str
    input_schema: Mapping[str, Any]
    output_schema: Mapping[str, Any] | None
    annotations: Mapping[str, Any]


@dataclass
class _Start:
    """One life of a server's process."""

    ready: asyncio.Future[ClientSession]
    connection: Connection = field(default_factory=Connection)
    task: asyncio.Task[None] | None = None
    protocol: str | None = None
    tools: tuple[Tool, ...] | None = None

    @property
    def over(self) -> bool:
        """Return whether it can no longer answer."""
        return self.connection.ended.is_set() or (self.task is not None and self.task.done())

    def stop(self) -> None:
        """Let the task leave the session; it is cancelled only while it starts, never while it cleans up."""
        starting = not self.over and not self.ready.done()
        self.connection.ended.set()
        if starting and self.task is not None:
            self.task.cancel()


class ServerSession:
    """A server that is started when needed and started again, after a pause that grows, when it dies."""

    def __init__(self, config: ServerConfig, settings: Settings) -> None:
        self.config = config
        self._settings = settings
        self._start: _Start | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures = 0
        self._not_before = 0.0
        self._timeouts = 0

    @property
    def pid(self) -> int | None:
        """Return the process now running, if one is."""
        return None if self._start is None or self._start.over else self._start.connection.pid

    @property
    def protocol(self) -> str | None:
        """Return the protocol version last agreed on."""
        return None if self._start is None else self._start.protocol

    @property
    def is_resting(self) -> bool:
        """Return whether calls fail at once now, because the server keeps failing."""
        return self._rest_s > _LONGEST_WAIT_S

    @property
    def _rest_s(self) -> float:
        """Return how long it is until the server may be started again, in seconds."""
        return self._not_before - time.monotonic()

    async def tools(self, *, refresh: bool = False) -> tuple[Tool, ...]:
        """Return the server's tools: as it listed them when it was started, or anew.

        Raises:
            DependencyError: If it does not answer.
        """
        session, start = await self._session()
        if start.tools is None or refresh:
            start.tools = tuple(await self._answer(start, _list_tools(session)))
        return start.tools

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> types.CallToolResult:
        """Call *tool*; how the server itself judges the arguments is in the result's ``is_error``.

        Raises:
            DependencyError: If the server does not answer, or not with what the protocol asks for.
            InputError: If it knows no such tool or refuses the arguments.
        """
        session, start = await self._session()
        request = types.CallToolRequest(params=types.CallToolRequestParams(name=tool, arguments=dict(arguments)))
        # Not session.call_tool(): its check of the output runs regular expressions of the server without a limit.
        result = await self._answer(start, session.send_request(request, types.CallToolResult))
        self._failures = self._timeouts = 0
        return result

    def count_timeout(self) -> None:
        """Note that a caller waited in vain; a server that lets that happen again and again is ended.

        One that is still starting is left to :data:`START_LIMIT_S`.
        """
        if self._start is None or not self._start.ready.done():
            return
        self._timeouts += 1
        if self._timeouts >= _SILENT_CALLS:
            self._start.connection.reason = "it stopped answering and was ended"
            self._start.stop()
            self._timeouts = 0

    async def close(self) -> None:
        """End the server's process, and wait for those still ending."""
        start, self._start = self._start, None
        if start is not None:
            start.stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _session(self) -> tuple[ClientSession, _Start]:
        start = self._start
        if start is None or start.over:
            await self._pause()
            start = self._start  # another call may have started it meanwhile
            if start is None or start.over:
                start = self._begin()
        return await asyncio.shield(start.ready), start

    async def _pause(self) -> None:
        if self._start is not None:
            self._failures += 1
            self._start = None
            if self._failures > 1:
                pause = min(_FIRST_PAUSE_S * 2 ** (self._failures - 2), _LONGEST_PAUSE_S)
                self._not_before = time.monotonic() + pause
        remaining = self._rest_s
        if remaining > _LONGEST_WAIT_S:
            error = self._unavailable(f"keeps failing and is started again in {remaining:.0f} s")
            raise error.with_context(retry_after_s=round(remaining))
        if remaining > 0:
            await asyncio.sleep(remaining)

    def _begin(self) -> _Start:
        loop = asyncio.get_running_loop()
        start = _Start(ready=loop.create_future())
        start.ready.add_done_callback(_look_at)
        start.task = loop.create_task(self._own(start), name=f"mcp-{self.config.name}")
        self._tasks.add(start.task)
        start.task.add_done_callback(self._tasks.discard)
        start.task.add_done_callback(_look_at)
        self._start = start
        return start

    async def _own(self, start: _Start) -> None:
        """Hold the session open until the server ends, or this task is cancelled."""
        alarm = asyncio.get_running_loop().call_later(START_LIMIT_S, start.stop)
        failure = f"it did not start within {START_LIMIT_S:g} s"
        config = self.config
        try:
            transport = stdio_transport(
                [config.command, *config.args],
                start.connection,
                env=resolve_env(config, self._settings),
                cwd=config.cwd,
            )
            async with Client(transport, cache=None, client_info=_client_info()) as client:
                alarm.cancel()
                start.protocol = client.protocol_version
                start.ready.set_result(client.session)
                await start.connection.ended.wait()
        except _START_FAILURES as error:
            failure = _cause(error, start.connection)
        except DependencyError as error:
            failure = error.message
        finally:
            alarm.cancel()
            start.connection.ended.set()
            if not start.ready.done():
                reason = start.connection.reason or failure
                start.ready.set_exception(self._unavailable(f"could not be started: {reason}"))

    async def _answer(self, start: _Start, request: Coroutine[Any, Any, T]) -> T:
        try:
            return await request
        except MCPError as error:
            if error.code == types.CONNECTION_CLOSED or start.connection.ended.is_set():
                raise self._unavailable(f"did not answer: {await _explained(start)}") from error
            if error.code in _CALLER_MISTAKES:
                raise InputError(
                    f"MCP server {self.config.name!r} refused the call: {error.message}. Nothing was done.",
                    server=self.config.name,
                ) from error
            raise self._unavailable(f"answered with error {error.code}: {error.message}") from error
        except (ValidationError, RuntimeError) as error:
            raise self._unavailable("broke the protocol with its answer") from error

    def _unavailable(self, what: str) -> DependencyError:
        return DependencyError(
            f"MCP server {self.config.name!r} {what.rstrip('.')}. No result was kept; try again shortly.",
            part=f"mcp:{self.config.name}",
        )


class McpPool:
    """The sessions of this process; an async context, used from the loop that entered it only."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.servers: Mapping[str, ServerConfig] = load_servers(settings)
        self._sessions = {name: ServerSession(config, settings) for name, config in self.servers.items()}

    async def __aenter__(self) -> Self:
        """Return the pool, and show which of its servers rest; none is started yet."""
        for name, session in self._sessions.items():
            MCP_BREAKER_OPEN.labels(name).set_function(functools.partial(_resting, session))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End every server."""
        for name in self._sessions:
            MCP_BREAKER_OPEN.remove(name)
        await asyncio.gather(*(session.close() for session in self._sessions.values()))

    def session(self, server: str) -> ServerSession:
        """Return the session of *server*, which may be called.

        Raises:
            PolicyError: If there is no such server, or it is switched off.
            DependencyError: If its entry in the file cannot be used.
        """
        config = self.servers.get(server)
        if config is None:
            raise PolicyError(
                f"MCP server {server!r} is not on the list, so nothing was called. There are:"
                f" {', '.join(self.servers)}.",
                reason="server_not_allowed",
            )
        if not config.enabled:
            raise PolicyError(
                f"MCP server {server!r} is switched off, so nothing was called. An operator can enable it in the"
                " servers file.",
                reason="server_disabled",
            )
        if config.problem is not None:
            raise DependencyError(
                f"MCP server {server!r} cannot be used: {config.problem} Nothing was called.", part=f"mcp:{server}"
            )
        return self._sessions[server]

    async def list_tools(
        self,
        server: str,
        *,
        refresh: bool = False,
        timeout: timedelta | None = None,  # noqa: ASYNC109 - it is the caller's, and told in the error
    ) -> tuple[Tool, ...]:
        """Return the tools of *server*.

        Raises:
            PolicyError: If the server may not be used.
            DependencyError: If it does not answer within *timeout*, or the server's own limit if that is shorter.
        """
        session = self.session(server)
        return await self._within(session, timeout, session.tools(refresh=refresh), "list its tools")

    async def call(
        self,
        server: str,
        tool: str,
        arguments: Mapping[str, Any],
        timeout: timedelta | None = None,  # noqa: ASYNC109 - it is the caller's, and told in the error
    ) -> dict[str, Any]:
        """Call *tool* and return ``content`` (blocks), ``structured`` (or None) and ``is_error``.

        Raises:
            PolicyError: If the server may not be used.
            InputError: If the server refuses the call.
            DependencyError: If it does not answer within *timeout*, or the server's own limit if that is shorter.
        """
        session = self.session(server)
        result = await self._within(session, timeout, session.call(tool, arguments), f"answer {tool!r}")
        return {
            "content": [block.model_dump(mode="json", by_alias=True, exclude_none=True) for block in result.content],
            "structured": result.structured_content,
            "is_error": bool(result.is_error),
        }

    async def _within(
        self, session: ServerSession, wanted: timedelta | None, work: Coroutine[Any, Any, T], what: str
    ) -> T:
        longest = session.config.timeout or self.settings.mcp.call_timeout
        limit = longest if wanted is None else min(wanted, longest)
        try:
            async with asyncio.timeout(limit.total_seconds()):
                return await work
        except TimeoutError as error:
            session.count_timeout()
            raise DependencyError(
                f"MCP server {session.config.name!r} did not {what} within {limit.total_seconds():.3g} s; the call was"
                " cancelled, but what it began may have happened.",
                part=f"mcp:{session.config.name}",
                reason="timeout",
            ) from error


async def _list_tools(session: ClientSession) -> list[Tool]:
    found: list[Tool] = []
    cursor: str | None = None
    for _ in range(_MOST_PAGES):
        page = await session.list_tools(params=types.PaginatedRequestParams(cursor=cursor))
        found.extend(_tool(tool) for tool in page.tools)
        cursor = page.next_cursor
        if cursor is None or len(found) >= _MOST_TOOLS:
            break
    return found[:_MOST_TOOLS]


def _tool(tool: types.Tool) -> Tool:
    notes = tool.annotations.model_dump(mode="json", by_alias=True, exclude_none=True) if tool.annotations else {}
    return Tool(
        name=tool.name,
        title=tool.title or notes.get("title"),
        description=tool.description or "",
        input_schema=tool.input_schema,
        output_schema=tool.output_schema,
        annotations=notes,
    )


def _client_info() -> types.Implementation:
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - only when a server is started

    try:
        return types.Implementation(name="helmsight", version=version("helmsight"))
    except PackageNotFoundError:
        return types.Implementation(name="helmsight", version="0")


async def _explained(start: _Start) -> str:
    """Wait until the process has been ended, so that its exit code is known, and say why."""
    if start.task is not None:
        await asyncio.wait([start.task])
    return start.connection.explain()


def _cause(error: BaseException, connection: Connection) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, OSError):
        return f"{error.strerror or error} ({error.filename})" if error.filename else str(error.strerror or error)
    if isinstance(error, MCPError) and error.code == types.CONNECTION_CLOSED:
        return connection.explain()
    if isinstance(error, HelmsightError):
        return error.message
    return str(error).split("\n", 1)[0]


def _resting(session: ServerSession) -> float:
    return float(session.is_resting)


def _look_at(future: asyncio.Future[Any]) -> None:
    """Take note of a failure that nobody waits for any more."""
    if not future.cancelled():
        future.exception()
