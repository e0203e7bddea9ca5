"""Where an attempt runs: on the event loop, in a thread, or in a child process of a model worker."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Protocol

from analytics.core.errors import InvariantError
from analytics.core.logging import correlated, correlation_id
from worker.runtime import NodeTimeoutError
from worker.workflow.node_kind import NodeCall, NodeKind, Transport

MAX_THREADS = 16
_THREAD_GRACE_S = 0.5


class ProcessTransport(Protocol):
    """How a node reaches a model worker, and its result comes back."""

    async def run(self, call: NodeCall) -> Any:
        """Return the node's output, or the failure of the attempt."""


class Transports:
    """Runs attempts of one worker process; belongs to one event loop."""

    def __init__(self, process: ProcessTransport | None) -> None:
        self._process = process
        self._threads = asyncio.Semaphore(MAX_THREADS)

    async def run(self, kind: NodeKind, call: NodeCall) -> Any:
        """Return the output of one attempt.

        Raises:
            NodeTimeoutError: If it took longer than ``call.timeout``; it was stopped.
        """
        match kind.transport:
            case Transport.INLINE:
                return await self._limited(kind.run(call), call)
            case Transport.THREAD:
                async with self._threads:
                    return await self._limited(_in_thread(kind.run, call), call)
            case Transport.PROCESS:
                if self._process is None:
                    raise InvariantError(f"Nothing here reaches a model worker, so {call.node_id!r} was not run.")
                return await self._process.run(call)
            case Transport.CONTROL:
                raise InvariantError(f"{call.node_id!r} is steered by the engine and cannot be carried.")

    async def _limited(self, work: Any, call: NodeCall) -> Any:
        limit = asyncio.timeout(call.timeout.total_seconds())
        try:
            async with limit:
                return await work
        except TimeoutError:
            if not limit.expired():
                raise
            raise timed_out(call.node_id, call.timeout.total_seconds()) from None
        finally:
            call.stop.set()


def timed_out(node_id: str, timeout_s: float) -> NodeTimeoutError:
    """Return the error of a node that took too long."""
    return NodeTimeoutError(
        f"The node {node_id!r} took longer than {timeout_s:g} s and was stopped. Raise its timeout if that is too"
        " short."
    )


async def _in_thread(function: Callable[[NodeCall], Any], call: NodeCall) -> Any:
    """Run *function* in a daemon thread, which a stuck node cannot use to keep the process from ending."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[Any] = loop.create_future()
    correlation = correlation_id()

    def settle(setter: Callable[[Any], None], value: Any) -> None:
        if not result.done():
            setter(value)

    def work() -> None:
        with correlated(correlation):
            try:
                value = function(call)
            except BaseException as error:
                loop.call_soon_threadsafe(settle, result.set_exception, error)
                if not isinstance(error, Exception):
                    raise
            else:
                loop.call_soon_threadsafe(settle, result.set_result, value)

    threading.Thread(target=work, name=f"node-{call.node_id}", daemon=True).start()
    return await result
