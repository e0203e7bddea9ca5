"""The live sockets: ``/ws/agent-status`` at 2 Hz, ``/ws/runs/{id}`` when the run changes, at most 5 times a second.

A browser shows its session cookie, a program a bearer token or, in its first message, a token of
``/api/v1/socket-tokens``. Who it is stays with the connection and is checked again every few seconds.
"""

import asyncio
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import orjson
from anyio import to_thread
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from analytics.core.clock import utc_now
from analytics.core.errors import DependencyError, HelmsightError, NotFoundError
from analytics.core.logging import get_logger
from analytics.core.telemetry import (
    WEBSOCKET_CONNECTIONS,
    WEBSOCKET_LATENCY_SECONDS,
    WEBSOCKET_MESSAGES,
    WEBSOCKET_OPENS,
    WEBSOCKET_REFUSALS,
)
from analytics.live.agents import AgentState, async_agent_states
from analytics.store.engine import session_scope
from analytics.store.queries import audit
from dashboard.auth.roles import Role
from dashboard.auth.sessions import SessionEndedError, Viewer
from dashboard.auth.viewer import require
from dashboard.context import AppContext, get_context
from dashboard.live.feed import Feed, Reading, Signal, Watcher
from dashboard.live.notices import RunNotices
from dashboard.live.run_reader import RunReader, run_exists
from dashboard.middleware.identity import (
    CLOSE_FORBIDDEN,
    CLOSE_SIGNED_OUT,
    CLOSE_TRY_LATER,
    of_socket_token,
    viewer_of,
)

AGENTS = "agent-status"
RUNS = "runs"
_AGENTS_EVERY_S = 0.5
_RUN_EVERY_S = 5.0
"""Runs tell when they change; this is for notices that got lost."""
_HEARTBEAT_S = 15.0
_CHECK_S = 3.0
_INTRODUCE_S = 5.0
_SILENT_S = 60.0
_log = get_logger(__name__)


@dataclass(slots=True)
class Connection:
    """One open socket and who it is."""

    socket: WebSocket
    channel: str
    viewer: Viewer
    authenticated_at: datetime
    heard_at: float
    """Monotonic clock, seconds."""


class Hub:
    """The feeds of one process, by what they tell about."""

    def __init__(self) -> None:
        self._feeds: dict[tuple[str, str], Feed] = {}
        self._notices: RunNotices | None = None

    def agents(self, context: AppContext) -> Feed:
        """Return the feed of agents' states."""
        return self._feed((AGENTS, ""), partial(_read_agents, context), name="agents", every_s=_AGENTS_EVERY_S)

    def run(self, context: AppContext, run_id: uuid.UUID) -> Feed:
        """Return the feed of one run."""
        if self._notices is None:
            self._notices = RunNotices(lambda: get_context().settings.dsn)
        key = (RUNS, str(run_id))
        if key not in self._feeds:
            reader = RunReader(context.async_engine, run_id)
            signal = partial(self._notices.watching, run_id)
            self._feed(key, reader.read, name="nodes", every_s=_RUN_EVERY_S, signal=signal)
        return self._feeds[key]

    async def close(self) -> None:
        """Stop all reading."""
        for feed in self._feeds.values():
            await feed.close()
        self._feeds.clear()
        if self._notices is not None:
            await self._notices.close()

    def forget_run(self, run_id: uuid.UUID) -> None:
        """Let go of the feed of a run that nobody watches."""
        feed = self._feeds.get((RUNS, str(run_id)))
        if feed is not None and not feed.is_watched:
            del self._feeds[RUNS, str(run_id)]

    def _feed(
        self, key: tuple[str, str], read: Callable[[], Any], *, name: str, every_s: float, signal: Signal | None = None
    ) -> Feed:
        if key not in self._feeds:
            self._feeds[key] = Feed(read, name=name, every_s=every_s, signal=signal)
        return self._feeds[key]


hub = Hub()


async def agent_status(socket: WebSocket) -> None:
    """Push what agents are doing: the whole state once, then what changed."""
    context = get_context()
    connection = await _open(socket, AGENTS, Role.VIEWER)
    if connection is not None:
        await _push(connection, hub.agents(context))


async def run_status(socket: WebSocket) -> None:
    """Push what a run is doing until it ends."""
    context, run_id = get_context(), socket.path_params["run_id"]
    connection = await _open(socket, RUNS, Role.ANALYST)
    if connection is None:
        return
    try:
        if not await run_exists(context.async_engine, run_id):
            raise NotFoundError("There is no such run.")
    except HelmsightError as error:
        await _close(socket, CLOSE_TRY_LATER if isinstance(error, DependencyError) else CLOSE_FORBIDDEN, error.message)
        return
    await _push(connection, hub.run(context, run_id))
    hub.forget_run(run_id)


def routes() -> list[WebSocketRoute]:
    """Return the routes of this module."""
    return [
        WebSocketRoute(f"/ws/{AGENTS}", agent_status),
        WebSocketRoute(f"/ws/{RUNS}/{{run_id:uuid}}", run_status),
    ]


async def _open(socket: WebSocket, channel: str, role: Role) -> Connection | None:
    """Accept a socket once it is known whose it is; a refused one is told why and closed."""
    await socket.accept()
    try:
        viewer = viewer_of(socket.scope) or await _introduced(socket)
        if viewer.role < role:
            await to_thread.run_sync(partial(require, viewer, role, doing="watch this"))
    except HelmsightError as error:
        if isinstance(error, DependencyError):
            WEBSOCKET_OPENS.labels("failed").inc()
            code = CLOSE_TRY_LATER
        else:
            WEBSOCKET_REFUSALS.labels(error.code).inc()
            code = CLOSE_SIGNED_OUT if isinstance(error, SessionEndedError) else CLOSE_FORBIDDEN
        await _close(socket, code, error.message)
        return None
    except WebSocketDisconnect:
        return None
    WEBSOCKET_OPENS.labels("ok").inc()
    await to_thread.run_sync(partial(_note_opened, get_context(), viewer, socket))
    return Connection(socket, channel, viewer, utc_now(), time.monotonic())


async def _introduced(socket: WebSocket) -> Viewer:
    """Return who the first message says it is, by the token it carries."""
    try:
        text = await asyncio.wait_for(socket.receive_text(), _INTRODUCE_S)
        message = orjson.loads(text)
    except TimeoutError:
        raise SessionEndedError("No token came in time; the socket was closed.") from None
    except (orjson.JSONDecodeError, KeyError) as error:
        raise SessionEndedError('The first message must be {"type": "auth", "token": …}.') from error
    token = message.get("token") if isinstance(message, dict) and message.get("type") == "auth" else None
    if not isinstance(token, str) or not token:
        raise SessionEndedError('The first message must be {"type": "auth", "token": …}.')
    return await of_socket_token(token)


async def _push(connection: Connection, feed: Feed) -> None:
    channel = connection.channel
    WEBSOCKET_CONNECTIONS.labels(channel).inc()
    try:
        async with feed.watched() as watcher:
            tasks = {
                asyncio.create_task(_listen(connection), name="socket-listen"),
                asyncio.create_task(_send(connection, watcher), name="socket-send"),
                asyncio.create_task(_guard(connection), name="socket-guard"),
            }
            done, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)
            for task in done:
                code, reason = _ending(task)
                await _close(connection.socket, code, reason)
    finally:
        WEBSOCKET_CONNECTIONS.labels(channel).dec()


def _ending(task: "asyncio.Task[None]") -> tuple[int, str]:
    error = task.exception()
    if error is None or isinstance(error, (WebSocketDisconnect, RuntimeError)):
        return 1000, ""
    if isinstance(error, SessionEndedError):
        return CLOSE_SIGNED_OUT, error.message
    raise error


async def _listen(connection: Connection) -> None:
    while True:
        text = await connection.socket.receive_text()
        connection.heard_at = time.monotonic()
        WEBSOCKET_MESSAGES.labels(connection.channel, "in").inc()
        if '"ping"' in text[:64]:
            await connection.socket.send_text('{"type":"pong"}')


async def _send(connection: Connection, watcher: Watcher) -> None:
    sent, latency = (
        WEBSOCKET_MESSAGES.labels(connection.channel, "out"),
        WEBSOCKET_LATENCY_SECONDS.labels(connection.channel),
    )
    while True:
        message = await watcher.next(_HEARTBEAT_S)
        await connection.socket.send_text(message.text if message is not None else '{"type":"ping"}')
        sent.inc()
        if message is not None:
            latency.observe(time.perf_counter() - message.made_at)
            if message.is_last:
                return


async def _guard(connection: Connection) -> None:
    """Return when the peer is silent; raise when its session ended."""
    context = get_context()
    while time.monotonic() - connection.heard_at < _SILENT_S:
        await asyncio.sleep(_CHECK_S)
        try:
            await context.sessions.again(connection.viewer)
        except DependencyError as error:
            _log.warning("session_not_checked", reason=error.message)


async def _close(socket: WebSocket, code: int, reason: str) -> None:
    if socket.application_state is not WebSocketState.CONNECTED or socket.client_state is not WebSocketState.CONNECTED:
        return
    try:
        if reason:
            await socket.send_text(orjson.dumps({"type": "error", "code": code, "detail": reason}).decode())
        await socket.close(code, reason.encode()[:120].decode(errors="ignore"))
    except (WebSocketDisconnect, RuntimeError):
        _log.debug("socket_gone_before_close", code=code)


def _note_opened(context: AppContext, viewer: Viewer, socket: WebSocket) -> None:
    try:
        with session_scope(context.engine) as session:
            audit.record(
                session, actor=viewer.actor, action="socket.opened", object_type="socket", object_id=socket.url.path
            )
    except DependencyError as error:
        _log.warning("audit_entry_lost", actor=viewer.actor, action="socket.opened", reason=error.message)


async def _read_agents(context: AppContext) -> Reading:
    client = context.redis_async
    if client is None:
        raise DependencyError("No Redis is named, so live states are not known.", part="redis")
    return Reading({state.agent_id: _agent(state) for state in await async_agent_states(client)})


def _agent(state: AgentState) -> dict[str, Any]:
    return {
        "id": state.agent_id,
        "status": state.status.value,
        "task": state.task,
        "detail": dict(state.detail),
        "version": state.version,
        "at": state.at.isoformat(),
    }
