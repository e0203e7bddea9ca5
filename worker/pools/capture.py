"""What a node prints, on the child's side: for its time, standard output and error are pipes to the parent.

They are exchanged as descriptors, so that C libraries and started programs are heard too. Lines go out one by one
until a node has printed more than is kept of it anyway; from then on in blocks, which is many times faster.
"""

import ctypes
import faulthandler
import io
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from worker.workflow.logs import MAX_BYTES, Level
from worker.workflow.node_kind import NodeLogger

_FLUSH_S = 0.1
_OUR_LOGGERS = ("worker", "analytics", "rq")
_libc = ctypes.CDLL(None)


class _Counted(io.FileIO):
    """A descriptor that counts what was written to it."""

    written = 0

    def write(self, data: Any, /) -> int:
        size = super().write(data)
        self.written += size
        return size


class OutputCapture:
    """The pipes of this process; belongs to the thread that carries nodes."""

    def __init__(self, stdout: int, stderr: int) -> None:
        """Capture into the descriptors *stdout* and *stderr*."""
        self._pipes = (stdout, stderr)
        for descriptor in self._pipes:
            os.set_inheritable(descriptor, False)  # noqa: FBT003 - the interface of os
        self._own = (os.dup(1), os.dup(2))
        self._streams: list[tuple[_Counted, io.TextIOWrapper]] = []
        self._is_on = threading.Event()
        faulthandler.enable(file=2)
        threading.Thread(target=self._flush_forever, name="flush", daemon=True).start()

    def own_stderr(self) -> io.TextIOWrapper:
        """Return a stream to the process's own standard error, which is never captured."""
        return open(self._own[1], "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)

    @contextmanager
    def captured(self) -> Iterator[None]:
        """Send what is printed to the parent for the block, whatever the node does to its streams."""
        before = sys.stdout, sys.stderr
        flush_all()
        for pipe, standard in zip(self._pipes, (1, 2), strict=True):
            os.dup2(pipe, standard)
        self._streams = [_stream(1), _stream(2)]
        sys.stdout, sys.stderr = (stream for _, stream in self._streams)
        self._is_on.set()
        try:
            yield
        finally:
            self._is_on.clear()
            self.flush()
            flush_all()
            sys.stdout, sys.stderr = before
            self._streams = []
            for own, standard in zip(self._own, (1, 2), strict=True):
                os.dup2(own, standard)

    def flush(self) -> None:
        """Send what Python holds back of the node's output."""
        for _, stream in self._streams:
            with suppress(ValueError, OSError):  # The node may have closed it.
                stream.flush()

    def _flush_forever(self) -> None:
        while True:
            self._is_on.wait()
            threading.Event().wait(_FLUSH_S)
            for raw, stream in list(self._streams):
                with suppress(ValueError, OSError):
                    if raw.written > MAX_BYTES and stream.line_buffering:
                        stream.reconfigure(line_buffering=False)
                    stream.flush()


class LoggedRecords(logging.Handler):
    """Gives what libraries log during a node to the node's log; our own lines stay in the log of the process."""

    def __init__(self, log: NodeLogger) -> None:
        super().__init__(logging.INFO)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Log *record*."""
        if record.name.partition(".")[0] in _OUR_LOGGERS:
            return
        say: Callable[[str], None] = getattr(self._log, _level(record.levelno))
        try:
            message = self.format(record)
        except (TypeError, ValueError, KeyError):  # The library's arguments do not fit its message.
            message = str(record.msg)
        say(f"{record.name}: {message}")


@contextmanager
def logged_records(log: NodeLogger) -> Iterator[None]:
    """Give what libraries log in the block to *log*, too."""
    handler = LoggedRecords(log)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


def flush_all() -> None:
    """Send what Python and C hold back of both streams."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(ValueError, OSError, AttributeError):
            stream.flush()
    _libc.fflush(None)


def _stream(descriptor: int) -> tuple[_Counted, io.TextIOWrapper]:
    raw = _Counted(descriptor, "w", closefd=False)
    buffered = io.BufferedWriter(raw, 64 * 1024)
    return raw, io.TextIOWrapper(buffered, encoding="utf-8", errors="backslashreplace", line_buffering=True)


def _level(number: int) -> Level:
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warning"
    return "info" if number >= logging.INFO else "debug"
