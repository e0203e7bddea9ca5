"""A server as a child process, spoken to over its stdin and stdout, with a limit on the size of a message.

In place of the SDK's own transport, which has no such limit and slows down with the square of the size. The child
gets its own process group, which is ended with it.
"""

import asyncio
import os
import signal
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import anyio
from anyio.abc import ByteReceiveStream, Process
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter

MAX_MESSAGE_BYTES = 4 * 2**20
_CHUNK_BYTES = 2**16
_GRACE_S = 2.0
"""How long a server may take to end by itself, and again after SIGTERM."""
_POLL_S = 0.01
_STDERR_LINES = 20
_STDERR_CHARACTERS = 300

Incoming = SessionMessage | Exception
Streams = tuple[MemoryObjectReceiveStream[Incoming], MemoryObjectSendStream[SessionMessage]]


@dataclass
class Connection:
    """What is known of a server's process besides its messages."""

    ended: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when it can no longer answer."""
    reason: str | None = None
    """Why we ended it, if we did."""
    pid: int | None = None
    exit_code: int | None = None
    stderr: deque[str] = field(default_factory=lambda: deque(maxlen=_STDERR_LINES))
    """Its last lines, cut."""

    def explain(self) -> str:
        """Return why it does not answer, for a message."""
        if self.reason is not None:
            return self.reason
        last = next((line for line in reversed(self.stderr) if line.strip()), None)
        ending = "its process ended" if self.exit_code is None else f"its process ended with code {self.exit_code}"
        return f"{ending}, last saying: {last}" if last else ending


@asynccontextmanager
async def stdio_transport(
    command: Sequence[str],
    connection: Connection,
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
    max_message_bytes: int = MAX_MESSAGE_BYTES,
) -> AsyncIterator[Streams]:
    """Start *command* and yield the streams of its messages; its whole process group is ended with the block.

    Args:
        command: Program and arguments; no shell reads them.
        connection: Told what happens to the process.
        env: Variables besides the few harmless ones that every server gets (PATH, HOME and the like).
        cwd: Where it runs; None: where this process does.
        max_message_bytes: A longer message ends the server.

    Raises:
        OSError: If it cannot be started.
    """
    process = await anyio.open_process(
        list(command), env=get_default_environment() | dict(env), cwd=cwd, start_new_session=True
    )
    connection.pid = process.pid
    inbox_send, inbox = anyio.create_memory_object_stream[Incoming](0)
    outbox, outbox_receive = anyio.create_memory_object_stream[SessionMessage](0)
    pump = _Pump(process, connection, max_message_bytes)
    async with AsyncExitStack() as stack:
        for stream in (inbox_send, inbox, outbox, outbox_receive):
            stack.push_async_callback(stream.aclose)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pump.read, inbox_send)
            tasks.start_soon(pump.write, outbox_receive)
            tasks.start_soon(pump.read_stderr)
            try:
                yield inbox, outbox
            finally:
                connection.ended.set()
                with anyio.CancelScope(shield=True):
                    await _end(process)
                    connection.exit_code = process.returncode
                tasks.cancel_scope.cancel()


class _Pump:
    """Moves messages between the pipes of a process and the streams of a session."""

    def __init__(self, process: Process, connection: Connection, max_message_bytes: int) -> None:
        self._process = process
        self._connection = connection
        self._limit = max_message_bytes

    async def read(self, inbox: MemoryObjectSendStream[Incoming]) -> None:
        """Hand on each line of the server's stdout; closing *inbox* tells the session that it is over."""
        async with inbox:
            try:
                async for line in self._lines(_piped(self._process.stdout)):
                    await inbox.send(_parse(line))
            except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
                pass  # the session is gone, or the process: both are told by closing the stream
            finally:
                self._connection.ended.set()

    async def write(self, outbox: MemoryObjectReceiveStream[SessionMessage]) -> None:
        """Write each message to the server's stdin as one line."""
        stdin = self._process.stdin
        async with outbox:
            try:
                async for message in outbox:
                    text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
                    if stdin is not None:
                        await stdin.send(text.encode() + b"\n")
            except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
                self._connection.ended.set()

    async def read_stderr(self) -> None:
        """Keep the last lines of the server's stderr."""
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
            async for chunk in _chunks(_piped(self._process.stderr)):
                for line in chunk.decode(errors="replace").splitlines():
                    self._connection.stderr.append(line[:_STDERR_CHARACTERS])

    async def _lines(self, stdout: ByteReceiveStream) -> AsyncIterator[bytes]:
        parts: list[bytes] = []
        size = 0
        async for chunk in _chunks(stdout):
            *finished, rest = chunk.split(b"\n")
            for piece in finished:
                if size + len(piece) > self._limit:
                    break
                yield b"".join([*parts, piece])
                parts, size = [], 0
            else:
                parts.append(rest)
                size += len(rest)
                if size <= self._limit:
                    continue
            self._connection.reason = f"it sent a message of more than {self._limit:,} bytes and was ended"
            return


async def _chunks(stream: ByteReceiveStream) -> AsyncIterator[bytes]:
    while True:
        try:
            yield await stream.receive(_CHUNK_BYTES)
        except anyio.EndOfStream:
            return


def _piped(stream: ByteReceiveStream | None) -> ByteReceiveStream:
    if stream is None:
        raise OSError("the process has no pipe")
    return stream


def _parse(line: bytes) -> SessionMessage | Exception:
    try:
        return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError as error:
        return error


async def _end(process: Process) -> None:
    """End *process* and its group: close its stdin, then SIGTERM, then SIGKILL."""
    if process.stdin is not None:
        with suppress(OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            await process.stdin.aclose()
    for number in (signal.SIGTERM, signal.SIGKILL):
        if await _gone(process):
            break
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
    await _gone(process)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # children of a server that ended by itself
    _close_pipes(process)


def _close_pipes(process: Process) -> None:
    """Close what asyncio keeps open while a descendant that left the group holds a pipe; waiting would hang."""
    transport = getattr(getattr(process, "_process", None), "_transport", None)
    if isinstance(transport, asyncio.SubprocessTransport):
        with suppress(PermissionError):
            transport.close()


async def _gone(process: Process) -> bool:
    with anyio.move_on_after(_GRACE_S):
        while process.returncode is None:  # noqa: ASYNC110 - wait() also waits for pipes that others may hold
            await anyio.sleep(_POLL_S)
    return process.returncode is not None
