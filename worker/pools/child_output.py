"""What a child's node prints, on the parent's side: two pipes, read line by line into the node's log.

The parent reads, and not a thread of the child, because a node that prints while it holds the interpreter would then
wait for itself. What is over a limit is counted as it passes and never held, so that a node that prints a gigabyte
costs a fraction of a second and no memory.
"""

import fcntl
import os
import selectors
from contextlib import suppress
from multiprocessing.connection import Connection

from worker.workflow.logs import MAX_LINE_BYTES, Level, NodeLog

_READ_BYTES = 2**20
_MAX_REST_BYTES = 64 * 2**20
"""What is read after a node's end, at most: a process that it left behind may print for ever."""
_HELD_BYTES = MAX_LINE_BYTES + 4
"""Enough that the cut falls between characters."""


class LineReader:
    """Makes lines of what comes through a pipe; a line is held up to the limit, whatever its length."""

    def __init__(self, log: NodeLog, level: Level) -> None:
        self._log = log
        self._level = level
        self._held = b""
        self._over_bytes = 0
        self._is_open = False
        """Something of a line that has not ended was seen."""

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        start = 0
        while not self._log.is_full:
            end = data.find(b"\n", start)
            if end < 0:
                self._hold(data[start:])
                return
            self._hold(data[start:end])
            self._write()
            start = end + 1
        if start < len(data):
            self._held, self._over_bytes, self._is_open = b"", 0, not data.endswith(b"\n")
            self._log.skip(data.count(b"\n", start), len(data) - start)

    def end(self) -> None:
        """Take what is there as the last line."""
        if self._is_open and self._log.is_full:
            self._log.skip(1, len(self._held))
        elif self._is_open:
            self._write()
        self._held, self._over_bytes, self._is_open = b"", 0, False

    def _hold(self, piece: bytes) -> None:
        if not piece:
            return
        self._is_open = True
        room = _HELD_BYTES - len(self._held)
        self._held += piece[:room]
        self._over_bytes += max(0, len(piece) - room)

    def _write(self) -> None:
        line = self._held.decode("utf-8", "replace").rstrip("\r")
        shown = line.rpartition("\r")[2]  # What a terminal would show of a progress bar.
        self._log.write(self._level, shown, more_bytes=self._over_bytes)
        self._held, self._over_bytes, self._is_open = b"", 0, False


class ChildOutput:
    """The two pipes of one child, and the log of the node it carries."""

    def __init__(self) -> None:
        self._stdout, stdout = _pipe()
        self._stderr, stderr = _pipe()
        self.given: tuple[int, ...] = (stdout, stderr)
        """The ends that the child gets, until :meth:`close_given`."""
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._stdout, selectors.EVENT_READ)
        self._selector.register(self._stderr, selectors.EVENT_READ)
        self._readers: dict[int, LineReader] = {}

    def close_given(self) -> None:
        """Close the child's ends once it has them."""
        for descriptor in self.given:
            os.close(descriptor)
        self.given = ()

    def close(self) -> None:
        """Close our ends."""
        self.close_given()
        self._selector.close()
        os.close(self._stdout)
        os.close(self._stderr)

    def begin(self, log: NodeLog | None) -> None:
        """Give what comes from now on to *log*; what came before belonged to no node."""
        self._readers = {}
        self._read_rest()
        if log is not None:
            self._readers = {self._stdout: LineReader(log, "info"), self._stderr: LineReader(log, "warning")}

    def end(self) -> None:
        """Read what is left of a node that has ended."""
        self._read_rest()
        for reader in self._readers.values():
            reader.end()
        self._readers = {}

    def wait(self, pipe: Connection, timeout_s: float) -> bool:
        """Read what is printed until *pipe* has a message or *timeout_s* is over; tell whether it has."""
        self._selector.register(pipe, selectors.EVENT_READ)
        try:
            ready = [key.fd for key, _ in self._selector.select(max(0.0, timeout_s))]
        finally:
            self._selector.unregister(pipe)
        for descriptor in ready:
            if descriptor != pipe.fileno():
                self._read(descriptor)
        return pipe.fileno() in ready

    def _read_rest(self) -> None:
        left = _MAX_REST_BYTES
        for descriptor in (self._stdout, self._stderr):
            while left > 0 and (size := self._read(descriptor)):
                left -= size

    def _read(self, descriptor: int) -> int:
        """Read once; return how many bytes there were."""
        try:
            data = os.read(descriptor, _READ_BYTES)
        except BlockingIOError:
            return 0
        if not data:
            with suppress(KeyError):  # The child closed it; read again it would only say so again.
                self._selector.unregister(descriptor)
            return 0
        reader = self._readers.get(descriptor)
        if reader is not None:
            reader.feed(data)
        return len(data)


def _pipe() -> tuple[int, int]:
    ours, theirs = os.pipe()
    os.set_blocking(ours, False)
    if hasattr(fcntl, "F_SETPIPE_SZ"):  # Linux; elsewhere the pipe stays as it is.
        with suppress(PermissionError):
            fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, _READ_BYTES)
    return ours, theirs
