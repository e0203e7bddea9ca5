"""The parent's side of the child: start it, ask it, kill it with all it started, replace it when it grew."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection

import psutil

from analytics.core.logging import get_logger
from analytics.core.settings import Settings
from worker.pools.child_output import ChildOutput
from worker.pools.messages import ChildAnswer, ChildLine, ChildMessage, ChildRequest
from worker.runtime import Failure, NodeDiedError
from worker.workflow.logs import NodeLog
from worker.workflow.transports import timed_out

MAX_REQUESTS = 200
MAX_RSS_BYTES = 1536 * 2**20
LOADING_TIMEOUT_S = 60.0

_log = get_logger(__name__)


class ChildProcess:
    """One killable child, started at the first request; :meth:`kill` may be called from any thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Connection | None = None
        self._output: ChildOutput | None = None
        self._lifeline: int | None = None
        self._lock = threading.RLock()
        self._requests = 0
        self._is_loaded = False
        self._killed_because: str | None = None

    @property
    def pid(self) -> int | None:
        """Return the child's process id, or None when there is none."""
        process = self._process
        return None if process is None else process.pid

    def ask(self, request: ChildRequest, log: NodeLog | None = None) -> ChildAnswer:
        """Have the child carry *request*; when it takes too long it is killed. What it says goes to *log*."""
        self._replace_if_worn()
        pipe, output = self._start_if_needed()
        self._killed_because = None
        self._requests += 1
        try:
            self._wait_until_loaded(pipe)
            output.begin(log)
            pipe.send(request)
            return self._listen(pipe, output, request, log)
        except (EOFError, OSError):
            output.end()
            return ChildAnswer(None, self._death(request.node_id))

    def _listen(self, pipe: Connection, output: ChildOutput, request: ChildRequest, log: NodeLog | None) -> ChildAnswer:
        """Take what the child says until its answer, or until its time is over."""
        timeout_s = request.timeout.total_seconds()
        ends = time.monotonic() + timeout_s
        while True:
            if output.wait(pipe, ends - time.monotonic()):
                message: ChildMessage = pipe.recv()
                if isinstance(message, ChildAnswer):
                    output.end()
                    return message
                if log is None:
                    continue
                if isinstance(message, ChildLine):
                    log.write(message.level, message.message)
                else:
                    log.skip(message.lines, message.size_bytes)
            elif time.monotonic() >= ends:
                self.kill("timeout")
                output.end()
                self._forget()  # Waits for its end, so that the next node does not meet a child that is dying.
                failure = timed_out(request.node_id, timeout_s)
                return ChildAnswer(None, Failure(failure.code, failure.message, retryable=True))

    def _wait_until_loaded(self, pipe: Connection) -> None:
        """Wait for the child's first word, so that loading models does not count against a node's time."""
        if self._is_loaded:
            return
        if not pipe.poll(LOADING_TIMEOUT_S):
            self.kill("never loaded")
            raise EOFError
        pipe.recv()
        self._is_loaded = True

    def kill(self, because: str) -> None:
        """Kill the child and everything it started."""
        with self._lock:
            process = self._process
            if process is None:
                return
            self._killed_because = because
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End the child."""
        self.kill("closed")
        self._forget()

    def warm_up(self) -> None:
        """Start the child now, so that the first node does not wait for it."""
        self._start_if_needed()

    def _death(self, node_id: str) -> Failure:
        because = self._killed_because
        code = self._forget()
        if because == "stopped":
            return Failure("cancelled", f"The node {node_id!r} was stopped on request.", retryable=False)
        if because is not None:
            return Failure(
                NodeDiedError.code, f"The model worker was stopped while it carried {node_id!r}.", retryable=True
            )
        _log.warning("child died", node=node_id, code=code)
        return Failure(
            NodeDiedError.code, f"The process that carried {node_id!r} died (exit code {code}).", retryable=True
        )

    def _replace_if_worn(self) -> None:
        process = self._process
        if process is None:
            return
        if process.poll() is not None or self._requests >= MAX_REQUESTS:
            self.close()
            return
        with suppress(psutil.Error):
            if psutil.Process(process.pid).memory_info().rss > MAX_RSS_BYTES:
                _log.info("child replaced because it grew", pid=process.pid)
                self.close()

    def _start_if_needed(self) -> tuple[Connection, ChildOutput]:
        if (
            self._pipe is not None
            and self._output is not None
            and self._process is not None
            and self._process.poll() is None
        ):
            return self._pipe, self._output
        self._forget()
        ours, theirs = Pipe()
        lifeline, held = os.pipe()
        output = ChildOutput()
        given = (theirs.fileno(), lifeline, *output.given)
        started = time.perf_counter()
        with self._lock:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-m", "worker.pools.child", *map(str, given)],
                pass_fds=given,
                start_new_session=True,
                stdin=subprocess.DEVNULL,
            )
        theirs.close()
        os.close(lifeline)
        output.close_given()
        self._pipe, self._output, self._lifeline, self._requests, self._is_loaded = ours, output, held, 0, False
        ours.send(self._settings)
        _log.info("child started", pid=self._process.pid, duration_s=round(time.perf_counter() - started, 3))
        return ours, output

    def _forget(self) -> int | None:
        """Drop what belongs to the child; return its exit code, or None when there was none."""
        with self._lock:
            process, self._process = self._process, None
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        if self._output is not None:
            self._output.close()
            self._output = None
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None
        return None if process is None else process.wait()
