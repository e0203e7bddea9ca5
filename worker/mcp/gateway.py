"""The way to a tool: checks in order, the call, the record (requirement G7).

A check is a coroutine function that raises to refuse; those of rate limits and breakers go between the allow-list
and the arguments. What a check refuses never reaches the server and never counts as its failure (G9).
"""

import asyncio
import hashlib
import json
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Session

from analytics.core.errors import DependencyError, HelmsightError, InputError, NotFoundError, PolicyError
from analytics.core.logging import get_logger
from analytics.core.telemetry import MCP_CALL_SECONDS, MCP_CALLS
from analytics.store.engine import async_session_scope
from analytics.store.queries import audit
from analytics.store.tables import Run
from worker.mcp.pool import McpPool, Tool
from worker.mcp.schemas import argument_problems, compile_schema, value_problems

OK = "ok"
TOOL_ERROR = "tool_error"
"""The server answered that the tool failed."""
INFRA_ERROR = "infra_error"
"""The server did not answer, or not as the protocol wants."""
REFUSED = "refused"
CANCELLED = "cancelled"
_MOMENT = timedelta(milliseconds=10)
_FIRST_WAIT_S = 0.2
_LONGEST_WAIT_S = 5.0

_late: set[asyncio.Task[None]] = set()
"""Audit entries on their way; the loop itself holds tasks only weakly."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Caller:
    """For whom a tool is called."""

    actor: str | None = None
    """E-mail of a user or the name of a process; None: whoever asked for the run."""
    run_id: uuid.UUID | None = None
    run_created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call, as the checks see it."""

    server: str
    tool: str
    arguments: Mapping[str, Any]
    caller: Caller
    timeout: timedelta | None = None
    """For all of it: starting the server, reading its tools, the call; None: the limits of the settings."""
    begun_at: float = field(default_factory=time.monotonic)

    @property
    def remaining(self) -> timedelta | None:
        """Return how much of the timeout is left, never less than a moment."""
        if self.timeout is None:
            return None
        return max(self.timeout - timedelta(seconds=time.monotonic() - self.begun_at), _MOMENT)


Check = Callable[[ToolCall], Awaitable[None]]


class Gateway:
    """Calls tools for others and records every attempt, refused ones too."""

    def __init__(self, pool: McpPool, engine: AsyncEngine) -> None:
        self._pool = pool
        self._engine = engine
        self.checks: tuple[tuple[str, Check], ...] = (
            ("allow_list", self._on_the_list),
            ("arguments", self._fitting_arguments),
        )

    async def call(self, call: ToolCall) -> dict[str, Any]:
        """Return ``server``, ``tool``, ``content``, ``structured``, ``is_error`` and ``duration_ms`` of the call.

        Raises:
            PolicyError: If a check refuses it.
            InputError: If there is no such tool, or the arguments do not fit its schema.
            DependencyError: If the server does not answer in time, or breaks the protocol.
        """
        started = time.perf_counter()
        try:
            await self._check(call)
            result = await self._answered(call)
        except HelmsightError as error:
            await self._finish(call, _outcome(error), started, error)
            raise
        except asyncio.CancelledError:
            await asyncio.shield(asyncio.ensure_future(self._finish(call, CANCELLED, started)))
            raise
        duration_s = await self._finish(call, TOOL_ERROR if result["is_error"] else OK, started)
        return {"server": call.server, "tool": call.tool, **result, "duration_ms": round(duration_s * 1000, 2)}

    async def _check(self, call: ToolCall) -> None:
        for name, check in self.checks:
            try:
                await check(call)
            except HelmsightError as error:
                error.with_context(check=name)
                raise

    async def _on_the_list(self, call: ToolCall) -> None:
        self._pool.session(call.server)
        if not self._pool.servers[call.server].allows(call.tool):
            raise PolicyError(
                f"The servers file does not let {call.tool!r} of {call.server!r} be called, so it was not.",
                reason="tool_not_allowed",
            )

    async def _fitting_arguments(self, call: ToolCall) -> None:
        tool = await self._find(call)
        try:
            problems = argument_problems(tool.input_schema, call.arguments)
        except ValueError as error:
            raise DependencyError(
                f"MCP server {call.server!r} describes the arguments of {call.tool!r} in a way that cannot be used"
                f" ({error}); nothing was called.",
                part=f"mcp:{call.server}",
            ) from error
        if problems:
            listed = "; ".join(f"{problem['path'] or 'arguments'}: {problem['reason']}" for problem in problems)
            raise InputError(
                f"The arguments do not fit {call.tool!r} of {call.server!r}: {listed}. Nothing was called.",
                problems=problems,
                reason="invalid_params",
            )

    async def _find(self, call: ToolCall) -> Tool:
        tools = {tool.name: tool for tool in await self._pool.list_tools(call.server, timeout=call.remaining)}
        if call.tool not in tools:
            raise NotFoundError(
                f"MCP server {call.server!r} has no tool {call.tool!r}; nothing was called. It has:"
                f" {', '.join(tools) or 'none'}.",
                reason="unknown_tool",
            )
        return tools[call.tool]

    async def _answered(self, call: ToolCall) -> dict[str, Any]:
        result = await self._pool.call(call.server, call.tool, call.arguments, call.remaining)
        schema = (await self._find(call)).output_schema
        if schema is not None and not result["is_error"]:
            self._require_output(call, schema, result["structured"])
        cleaned: dict[str, Any] = without_controls(result)
        return cleaned

    def _require_output(self, call: ToolCall, schema: Mapping[str, Any], value: Any) -> None:
        try:
            problems = value_problems(compile_schema(schema), value)
        except ValueError as error:
            problems = [{"path": "its output schema", "reason": str(error)}]
        if problems:
            first = problems[0]
            raise DependencyError(
                f"MCP server {call.server!r} answered {call.tool!r} against its own schema"
                f" ({first['path'] or 'result'}: {first['reason']}); the result was not kept.",
                part=f"mcp:{call.server}",
            )

    async def _finish(
        self, call: ToolCall, outcome: str, started: float, failure: HelmsightError | None = None
    ) -> float:
        """Measure and record the attempt; return how long it took, in seconds."""
        duration_s = time.perf_counter() - started
        server = call.server if call.server in self._pool.servers else "unknown"
        MCP_CALLS.labels(server, outcome).inc()
        if outcome != REFUSED:
            MCP_CALL_SECONDS.labels(server).observe(duration_s)
        canonical = json.dumps(dict(call.arguments), sort_keys=True, separators=(",", ":"), default=str)
        detail = {
            "server": call.server,
            "tool": call.tool,
            "result": outcome,
            "argument_names": sorted(call.arguments),
            "arguments_sha256": hashlib.sha256(canonical.encode()).hexdigest(),
            "duration_ms": round(duration_s * 1000, 2),
            "run_id": str(call.caller.run_id) if call.caller.run_id else None,
        }
        if failure is not None:
            detail |= {"code": failure.code} | {key: failure.context.get(key) for key in ("reason", "check")}
        await self._record(call, outcome, without_controls(detail))
        return duration_s

    async def _record(self, call: ToolCall, outcome: str, detail: Mapping[str, Any]) -> None:
        """Write the audit entry; when PostgreSQL is away, later, because the call has happened and may not be lost."""
        try:
            await self._store(call, outcome, detail)
        except DependencyError as error:
            get_logger(__name__).warning("audit entry waits", error=error.message, outcome=outcome, **detail)
            late = asyncio.create_task(self._store_late(call, outcome, detail), name="late audit entry")
            _late.add(late)
            late.add_done_callback(_late.discard)

    async def _store(self, call: ToolCall, outcome: str, detail: Mapping[str, Any]) -> None:
        async with async_session_scope(self._engine) as session:
            await session.run_sync(_write, call, outcome, detail)

    async def _store_late(self, call: ToolCall, outcome: str, detail: Mapping[str, Any]) -> None:
        wait_s = _FIRST_WAIT_S
        while True:
            await asyncio.sleep(wait_s)
            try:
                await self._store(call, outcome, detail)
            except DependencyError:
                wait_s = min(wait_s * 2, _LONGEST_WAIT_S)
            else:
                return


def _write(session: Session, call: ToolCall, outcome: str, detail: Mapping[str, Any]) -> None:
    audit.record(
        session,
        actor=_actor(session, call.caller),
        action="mcp.called",
        object_type="mcp_tool",
        object_id=f"{call.server}.{call.tool}"[:200],
        outcome=audit.REFUSED if outcome == REFUSED else audit.OK,
        detail=detail,
    )


def _actor(session: Session, caller: Caller) -> str:
    if caller.actor is not None:
        return caller.actor
    if caller.run_id is not None and caller.run_created_at is not None:
        asked = session.scalar(
            select(Run.requested_by).where(Run.id == caller.run_id, Run.created_at == caller.run_created_at)
        )
        if asked is not None:
            return asked
    return "worker"


def _outcome(failure: HelmsightError) -> str:
    if not isinstance(failure, (PolicyError, InputError)):
        return INFRA_ERROR
    return REFUSED if "check" in failure.context else TOOL_ERROR


def without_controls(value: Any) -> Any:
    """Return *value* with control characters (and halves of characters) taken out of every text.

    They have no place in text to be read, and PostgreSQL refuses some of them.
    """
    match value:
        case str():
            return _CONTROL.sub("", value)
        case Mapping():
            return {without_controls(key): without_controls(item) for key, item in value.items()}
        case list() | tuple():
            return [without_controls(item) for item in value]
        case _:
            return value
