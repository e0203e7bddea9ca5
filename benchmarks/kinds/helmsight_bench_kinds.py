"""Node kinds of the benchmarks, a distribution of its own that workers find by entry point, as any third party's.

The first four carry the figures; the last three write down in the table ``bench_effect`` that they happened, at once
and in a transaction of their own, so that what happened twice is seen whatever the engine believes.
"""

import asyncio
import os
import time
from typing import Any

import psycopg
from sqlalchemy import text

from analytics.core.errors import InvariantError
from analytics.store.engine import translated
from worker.workflow.kinds import Idempotence, NodeCall, NodeKind, Transport

_EFFECT = (
    "INSERT INTO bench_effect (run_id, node_id, map_index, attempt, pid, phase) VALUES ({0}, {1}, {2}, {3}, {4}, {5})"
)
_EFFECTS_AT_ONCE = asyncio.Semaphore(4)
"""A killed fleet of workers must not use up the connections of the server it is measured on."""


async def note(call: NodeCall) -> Any:
    """Do nothing but say so: one line of log, one small output."""
    call.log.info("noted")
    return {"number": call.config.get("number"), "node": call.node_id}


async def sleep(call: NodeCall) -> Any:
    """Wait as long as the configuration says, which takes no processor time."""
    await asyncio.sleep(call.config["seconds"])
    return call.config["seconds"]


async def stamp(call: NodeCall) -> Any:
    """Return the time at which the node began, seconds since 1970."""
    del call
    return time.time()


def fibonacci(call: NodeCall) -> Any:
    """Return the seconds that ``fibo(n)`` took, the plain recursive one."""
    began = time.perf_counter()
    _fibo(call.config["n"])
    return time.perf_counter() - began


def _fibo(n: int) -> int:
    return n if n < 2 else _fibo(n - 1) + _fibo(n - 2)


async def effect(call: NodeCall) -> Any:
    """Leave a mark when it begins, wait, leave a mark when it ends."""
    await _leave(call, "begun")
    await asyncio.sleep(call.config.get("seconds", 0))
    await _leave(call, "ended")
    return call.config.get("value")


async def _leave(call: NodeCall, phase: str) -> None:
    engine = call.resources.async_engine
    if engine is None:
        raise InvariantError("There is no connection for the mark; nothing was marked.")
    names = [f":p{number}" for number in range(6)]
    async with _EFFECTS_AT_ONCE:
        with translated():
            async with engine.begin() as connection:
                marks = dict(zip((name[1:] for name in names), _mark(call, phase), strict=True))
                await connection.execute(text(_EFFECT.format(*names)), marks)


def child_effect(call: NodeCall) -> Any:
    """Do the same in the child of a model worker, busy and deaf meanwhile."""
    _leave_from_child(call, "begun")
    until = time.monotonic() + call.config.get("seconds", 0)
    while time.monotonic() < until:
        time.sleep(0.05)
    _leave_from_child(call, "ended")
    return os.getpid()


def _leave_from_child(call: NodeCall, phase: str) -> None:
    with psycopg.connect(call.settings.dsn, autocommit=True) as connection:
        connection.execute(_EFFECT.format(*["%s"] * 6), _mark(call, phase))


def _mark(call: NodeCall, phase: str) -> tuple[Any, ...]:
    return (call.run_id, call.node_id, getattr(call, "map_index", -1), call.attempt, os.getpid(), phase)


def _schema(*required: str, **properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "required": list(required), "properties": properties}


_SECONDS = {"type": "number", "minimum": 0}
_MARKING = _schema(seconds=_SECONDS, value={})

NOTE = NodeKind(
    name="bench.note",
    summary="Does nothing but write one line of log.",
    config_schema=_schema(number={}, given={}),
    transport=Transport.INLINE,
    idempotence=Idempotence.IDEMPOTENT,
    run=note,
    cacheable=True,
)
SLEEP = NodeKind(
    name="bench.sleep",
    summary="Waits.",
    config_schema=_schema("seconds", seconds=_SECONDS),
    transport=Transport.INLINE,
    idempotence=Idempotence.IDEMPOTENT,
    run=sleep,
)
STAMP = NodeKind(
    name="bench.stamp",
    summary="Tells when it began.",
    config_schema=_schema(number={}),
    transport=Transport.INLINE,
    idempotence=Idempotence.IDEMPOTENT,
    run=stamp,
)
FIBONACCI = NodeKind(
    name="bench.fibonacci",
    summary="Computes a Fibonacci number slowly, in a thread.",
    config_schema=_schema("n", n={"type": "integer", "minimum": 0, "maximum": 40}),
    transport=Transport.THREAD,
    idempotence=Idempotence.IDEMPOTENT,
    run=fibonacci,
)
EFFECT = NodeKind(
    name="bench.effect",
    summary="Leaves a mark when it begins and when it ends.",
    config_schema=_MARKING,
    transport=Transport.INLINE,
    idempotence=Idempotence.IDEMPOTENT,
    run=effect,
)
UNSAFE_EFFECT = NodeKind(
    name="bench.unsafe_effect",
    summary="Leaves marks, and must not run twice.",
    config_schema=_MARKING,
    transport=Transport.INLINE,
    idempotence=Idempotence.UNSAFE,
    run=effect,
)
CHILD_EFFECT = NodeKind(
    name="bench.child_effect",
    summary="Leaves marks from the child of a model worker.",
    config_schema=_MARKING,
    transport=Transport.PROCESS,
    idempotence=Idempotence.IDEMPOTENT,
    run=child_effect,
)
