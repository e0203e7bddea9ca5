"""What nodes say: a log for each attempt with limits, and the writer that brings lines to PostgreSQL in batches.

A line is on its way for some 200 ms; a worker that is killed loses no more than that. Nothing waits for a line to be
stored, and while PostgreSQL is away lines wait in bounded memory.
"""

import asyncio
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple

import psycopg
from sqlalchemy import Connection, Engine

from analytics.core.errors import DependencyError
from analytics.core.logging import get_logger
from analytics.core.telemetry import NODE_LOG_LINES
from analytics.store.engine import translated
from worker.workflow.address import NodeAddress

MAX_LINES = 10_000
"""The most lines of one attempt that are kept."""
MAX_BYTES = 2**20
"""The most bytes of one attempt that are kept."""
MAX_LINE_BYTES = 8192
"""The most bytes of one line that are kept."""
BATCH_S = 0.2
"""How long lines are collected before they are written."""
MAX_PENDING_BYTES = 32 * 2**20
"""What a process holds of lines that are not written yet; above that lines are dropped and counted."""

Level = Literal["debug", "info", "warning", "error"]

_MAX_ATTEMPT = 32_000
_SEQUENCES = 20_000
"""Numbers set aside for the lines of one claim of a run, so that a claim that died leaves no clash behind."""
_MARKER_EVERY_S = 1.0
_LINE_OVERHEAD_BYTES = 200
_BATCH_LINES = 5000
_LONGEST_WAIT_S = 2.0

_COPY = (
    "COPY node_log (run_id, run_created_at, node_id, map_index, attempt, seq, at, level, message)"
    " FROM STDIN (FORMAT binary)"
)
_UPSERT = (
    "INSERT INTO node_log (run_id, run_created_at, node_id, map_index, attempt, seq, at, level, message)"
    " SELECT * FROM unnest(%s::uuid[], %s::timestamptz[], %s::text[], %s::int4[], %s::int2[], %s::int4[],"
    " %s::timestamptz[], %s::text[], %s::text[])"
    " ON CONFLICT (run_id, run_created_at, node_id, map_index, attempt, seq) DO "
)
_REPLACE = _UPSERT + "UPDATE SET at = EXCLUDED.at, message = EXCLUDED.message"
_KEEP = _UPSERT + "NOTHING"
# The binary form of COPY: a count of fields, then each field after its length; times are microseconds since 2000.
_COPY_HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_TAIL = b"\xff\xff"
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_EPOCH_S = _EPOCH.timestamp()
_MICROSECOND = timedelta(microseconds=1)
_RUN = struct.Struct("!hi16siqi")
_NODE = struct.Struct("!iiih")
_LINE = struct.Struct("!iiiqi")
_LENGTH = struct.Struct("!i")

_log = get_logger(__name__)


class LogLine(NamedTuple):
    """A line on its way to ``node_log``."""

    address: NodeAddress
    attempt: int
    seq: int
    at_s: float
    """Seconds since 1970, as of :func:`time.time`."""
    level: Level
    message: str
    replaces: bool = False
    """It takes the place of the line that has its number."""


class NodeLog:
    """The log of one attempt at a node; its methods may be called from any thread."""

    __slots__ = (
        "_address",
        "_attempt",
        "_bytes",
        "_cut_bytes",
        "_cut_lines",
        "_first",
        "_put",
        "_told_at",
        "_told_cut",
        "is_full",
        "lines",
    )
    _lock = threading.Lock()  # One for all, because a log is made for every attempt and locks are held for moments.

    def __init__(self, put: Callable[[LogLine], bool], address: NodeAddress, attempt: int, *, epoch: int = 1) -> None:
        """Log what *attempt* says through *put*, which returns False when it has no room.

        Args:
            put: :meth:`LogWriter.put`.
            address: The node.
            attempt: From 1.
            epoch: Of the run's claim; two claims that came to count the same attempt keep their lines apart.
        """
        self._put = put
        self._address = address
        self._attempt = min(attempt, _MAX_ATTEMPT)
        self._first = max(0, epoch - 1) % 100_000 * _SEQUENCES
        self._bytes = 0
        self._cut_lines = 0
        self._cut_bytes = 0
        self._told_cut: int | None = None
        self._told_at = 0.0
        self.lines = 0
        """How many lines are kept, without the one that says what was cut."""
        self.is_full = False
        """A limit was reached: what follows is counted and not kept."""

    def debug(self, message: str) -> None:
        """Log *message*."""
        self.write("debug", message)

    def info(self, message: str) -> None:
        """Log *message*."""
        self.write("info", message)

    def warning(self, message: str) -> None:
        """Log *message*."""
        self.write("warning", message)

    def error(self, message: str) -> None:
        """Log *message*."""
        self.write("error", message)

    def write(self, level: Level, message: str, *, more_bytes: int = 0) -> None:
        """Log *message*; what no text of PostgreSQL can hold is replaced, and what is too long is cut.

        Args:
            level: How much it matters.
            message: One line, usually.
            more_bytes: What was cut off before.
        """
        message, size = _fitting(message, more_bytes)
        with self._lock:
            if not self.is_full and self.lines < MAX_LINES and self._bytes + size <= MAX_BYTES:
                line = LogLine(self._address, self._attempt, self._first + self.lines, time.time(), level, message)
                if self._put(line):
                    self.lines += 1
                    self._bytes += size
                    return
            else:
                self.is_full = True
            self._skip(1, size)

    def skip(self, lines: int, size_bytes: int) -> None:
        """Count *lines* that were not kept because the log :attr:`is_full`."""
        with self._lock:
            self._skip(lines, size_bytes)

    def close(self) -> None:
        """Say how much was cut, if anything was."""
        with self._lock:
            if self._cut_lines and self._told_cut != self._cut_lines:
                self._mark()
        if self._cut_lines:
            NODE_LOG_LINES.labels("cut").inc(self._cut_lines)

    def _skip(self, lines: int, size_bytes: int) -> None:
        self._cut_lines += lines
        self._cut_bytes += size_bytes
        if time.monotonic() - self._told_at >= _MARKER_EVERY_S:
            self._mark()

    def _mark(self) -> None:
        self._told_at = time.monotonic()
        message = (
            f"{self._cut_lines:,} lines with {_size(self._cut_bytes)} were not kept: the log of an attempt holds"
            f" {MAX_LINES:,} lines and {_size(MAX_BYTES)}."
        )
        seq = self._first + MAX_LINES
        if self._put(LogLine(self._address, self._attempt, seq, time.time(), "warning", message, replaces=True)):
            self._told_cut = self._cut_lines


class LogWriter:
    """Brings lines to PostgreSQL for one process."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._pending: deque[LogLine] = deque()
        self._pending_bytes = 0  # About: threads may count at the same moment. Right again whenever nothing waits.
        self._draining = threading.Lock()

    def put(self, line: LogLine) -> bool:
        """Take *line*, from any thread; False when too many wait, and it was dropped."""
        if self._pending_bytes > MAX_PENDING_BYTES:
            NODE_LOG_LINES.labels("dropped").inc()
            return False
        self._pending_bytes += len(line.message) + _LINE_OVERHEAD_BYTES
        self._pending.append(line)
        return True

    async def write_forever(self) -> None:
        """Write what arrives, in a thread of the loop's, until cancelled; then call :meth:`flush`."""
        wait_s = BATCH_S
        while True:
            await asyncio.sleep(wait_s)
            if self._pending:
                wait_s = await asyncio.to_thread(self._try, wait_s)

    def write_until(self, stop: threading.Event) -> None:
        """Write what arrives until *stop* is set, and what is there then; for a process without a loop."""
        wait_s = BATCH_S
        while not stop.wait(wait_s):
            wait_s = self._try(wait_s)
        self._try(wait_s)

    async def flush(self) -> None:
        """Write what has arrived until now.

        Raises:
            DependencyError: If PostgreSQL does not answer; the lines wait on.
        """
        await asyncio.to_thread(self.drain)

    def drain(self) -> None:
        """Do what :meth:`flush` does, in the caller's thread."""
        with self._draining:
            while lines := self._take():
                try:
                    self._store(lines)
                except DependencyError:
                    self._put_back(lines)
                    raise
                NODE_LOG_LINES.labels("kept").inc(len(lines))

    def _try(self, wait_s: float) -> float:
        """Write what is there; return how long to wait before the next time."""
        try:
            self.drain()
        except DependencyError as error:
            _log.warning("log lines wait", lines=len(self._pending), error=error.message)
            return min(wait_s * 2, _LONGEST_WAIT_S)
        return BATCH_S

    def _take(self) -> list[LogLine]:
        lines = [self._pending.popleft() for _ in range(min(_BATCH_LINES, len(self._pending)))]
        self._pending_bytes = max(0, self._pending_bytes - _held_bytes(lines)) if self._pending else 0
        return lines

    def _put_back(self, lines: list[LogLine]) -> None:
        self._pending.extendleft(reversed(lines))
        self._pending_bytes += _held_bytes(lines)

    def _store(self, lines: Sequence[LogLine]) -> None:
        try:
            self._write(lines, copied=True)
        except psycopg.Error as error:
            _log.info("log lines are stored node by node", lines=len(lines), error=_first_line(error))
            for address in dict.fromkeys(line.address for line in lines):
                self._store_apart([line for line in lines if line.address == address])

    def _store_apart(self, lines: Sequence[LogLine]) -> None:
        """Store the lines of one node where lines of several were refused; what is refused again is dropped."""
        try:
            self._write(lines, copied=False)
        except psycopg.Error as error:
            NODE_LOG_LINES.labels("dropped").inc(len(lines))
            _log.warning("log lines dropped", node=lines[0].address.node_id, lines=len(lines), error=_first_line(error))

    def _write(self, lines: Sequence[LogLine], *, copied: bool) -> None:
        """Store *lines* in one transaction.

        Raises:
            DependencyError: If PostgreSQL does not answer; nothing was stored.
            psycopg.Error: If PostgreSQL refuses a line; nothing was stored.
        """
        new = [line for line in lines if not line.replaces]
        markers = {(line.address, line.attempt): line for line in lines if line.replaces}
        try:
            with translated(), self._engine.begin() as connection, _driver(connection).cursor() as cursor:
                if new and copied:
                    with cursor.copy(_COPY) as copy:
                        copy.write(_copied(new))
                elif new:
                    cursor.execute(_KEEP, _arrays(new))
                if markers:
                    cursor.execute(_REPLACE, _arrays(list(markers.values())))
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise DependencyError(
                f"PostgreSQL did not take log lines ({_first_line(error)}); they wait.", part="postgres"
            ) from error


def _driver(connection: Connection) -> psycopg.Connection[Any]:
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)  # noqa: S101 - our engines have no other driver
    return driver


def _copied(lines: Sequence[LogLine]) -> bytes:
    """Return *lines* as COPY takes them."""
    parts = [_COPY_HEAD]
    last: tuple[NodeAddress, int] | None = None
    place = b""
    for line in lines:
        if last is None or line.address is not last[0] or line.attempt != last[1]:
            last, place = (line.address, line.attempt), _place(line)
        level, message = line.level.encode(), line.message.encode()
        at_us = int((line.at_s - _EPOCH_S) * 1e6)
        parts += (place, _LINE.pack(4, line.seq, 8, at_us, len(level)), level, _LENGTH.pack(len(message)), message)
    parts.append(_COPY_TAIL)
    return b"".join(parts)


def _place(line: LogLine) -> bytes:
    """Return the fields that all lines of an attempt begin with."""
    where = line.address
    node = where.node_id.encode()
    created_us = (where.run_created_at - _EPOCH) // _MICROSECOND
    return b"".join(
        (
            _RUN.pack(9, 16, where.run_id.bytes, 8, created_us, len(node)),
            node,
            _NODE.pack(4, where.map_index, 2, line.attempt),
        )
    )


def _arrays(lines: Sequence[LogLine]) -> tuple[list[Any], ...]:
    return (
        [line.address.run_id for line in lines],
        [line.address.run_created_at for line in lines],
        [line.address.node_id for line in lines],
        [line.address.map_index for line in lines],
        [line.attempt for line in lines],
        [line.seq for line in lines],
        [datetime.fromtimestamp(line.at_s, UTC) for line in lines],
        [line.level for line in lines],
        [line.message for line in lines],
    )


def _fitting(message: str, more_bytes: int) -> tuple[str, int]:
    """Return *message* as PostgreSQL can hold it and no longer than a line may be, with its size in bytes."""
    if "\0" in message:
        message = message.replace("\0", "\ufffd")
    if not more_bytes and len(message) <= MAX_LINE_BYTES and message.isascii():
        return message, len(message)
    encoded = message.encode("utf-8", "replace")
    if not more_bytes and len(encoded) <= MAX_LINE_BYTES:
        return encoded.decode(), len(encoded)
    kept = encoded[:MAX_LINE_BYTES]
    more_bytes += len(encoded) - len(kept)
    return f"{kept.decode('utf-8', 'ignore')} … ({more_bytes:,} more bytes)", len(kept)


def _held_bytes(lines: Sequence[LogLine]) -> int:
    return sum(len(line.message) for line in lines) + _LINE_OVERHEAD_BYTES * len(lines)


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 2**20:,.1f} MiB" if size_bytes >= 2**20 else f"{size_bytes / 1024:,.1f} KiB"


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
