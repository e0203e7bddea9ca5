"""The child of a model worker: loads models once, carries one node at a time, may be killed at any moment.

It is a fresh interpreter, never a fork: models and their thread pools do not survive a fork. Run as
``python -m worker.pools.child PIPE LIFELINE STDOUT STDERR``; it ends by itself when the parent does.
"""

import functools
import logging
import os
import resource
import sys
import threading
import traceback
from multiprocessing.connection import Connection

from analytics.core.errors import HelmsightError
from analytics.core.logging import configure_logging, correlated, get_logger
from analytics.core.settings import Settings
from analytics.store.engine import make_engine
from worker.pools.capture import OutputCapture, logged_records
from worker.pools.messages import LOADED, ChildAnswer, ChildLine, ChildMessage, ChildRequest, ChildSkipped
from worker.runtime import Failure, tried
from worker.workflow.address import NodeAddress
from worker.workflow.artifacts import ArtifactBox
from worker.workflow.kinds import NodeCall, Transport, WorkerResources, find_kind, registry
from worker.workflow.logs import MAX_BYTES, MAX_LINES, Level
from worker.workflow.results import output_json

_TRACE_FRAMES = 12


class ParentLog:
    """A node's log, sent to the parent; what is over the limit is counted here and sent as numbers."""

    def __init__(self, parent: "Parent", capture: OutputCapture) -> None:
        self._parent = parent
        self._capture = capture
        self._lock = threading.Lock()
        self._lines = 0
        self._bytes = 0
        self._skipped_lines = 0
        self._skipped_bytes = 0

    def debug(self, message: str) -> None:
        """Log *message*."""
        self._say("debug", message)

    def info(self, message: str) -> None:
        """Log *message*."""
        self._say("info", message)

    def warning(self, message: str) -> None:
        """Log *message*."""
        self._say("warning", message)

    def error(self, message: str) -> None:
        """Log *message*."""
        self._say("error", message)

    def close(self) -> None:
        """Tell how much was not sent."""
        with self._lock:
            if self._skipped_lines:
                self._parent.send(ChildSkipped(self._skipped_lines, self._skipped_bytes))
            self._skipped_lines = self._skipped_bytes = 0

    def _say(self, level: Level, message: str) -> None:
        with self._lock:
            if self._lines >= MAX_LINES or self._bytes >= MAX_BYTES:
                self._skipped_lines += 1
                self._skipped_bytes += len(message)
                return
            self._lines += 1
            self._bytes += len(message)
            self._capture.flush()  # What was printed before comes before.
            self._parent.send(ChildLine(level, message))


class Parent:
    """The pipe to the parent; any thread may send."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()

    def send(self, message: ChildMessage | str) -> None:
        """Send *message* whole."""
        with self._lock:
            self._pipe.send(message)

    def receive(self) -> ChildRequest:
        """Return the next request.

        Raises:
            EOFError: If the parent is gone.
        """
        request: ChildRequest = self._pipe.recv()
        return request


def serve(parent: Parent, settings: Settings, capture: OutputCapture) -> None:
    """Answer requests of *parent* until it is gone."""
    engine = make_engine(settings, role="worker-child")
    resources = WorkerResources(engine=engine)
    while True:
        try:
            request = parent.receive()
        except EOFError:
            return
        log = ParentLog(parent, capture)
        box = ArtifactBox(NodeAddress(request.run_id, request.run_created_at, request.node_id, request.map_index))
        carry = functools.partial(_carry, request.kind, _call(request, settings, resources, log, box))
        began_s = _cpu_s()
        with correlated(request.correlation_id), capture.captured(), logged_records(log):
            result = tried(carry)
        log.close()
        cpu_s = _cpu_s() - began_s
        if isinstance(result, Failure):
            parent.send(ChildAnswer(None, result, cpu_s=cpu_s))
        else:
            parent.send(ChildAnswer(result, None, tuple(box.rows), cpu_s))


def warm_up(settings: Settings) -> None:
    """Load what the kinds of nodes carried here need; what cannot be loaded is said by the node that needs it."""
    for kind in registry().values():
        if kind.transport is Transport.PROCESS and kind.warm is not None:
            result = tried(lambda kind=kind: kind.warm(settings))  # type: ignore[misc]
            if isinstance(result, Failure):
                get_logger(__name__).warning("kind not warmed up", kind=kind.name, error=result.message)


def _carry(kind: str, call: NodeCall) -> str:
    try:
        return output_json(find_kind(kind).run(call))
    except HelmsightError:
        raise
    except Exception:
        call.log.error(traceback.format_exc(limit=-_TRACE_FRAMES))  # noqa: TRY400 - a log of its own kind
        raise


def _call(
    request: ChildRequest, settings: Settings, resources: WorkerResources, log: ParentLog, box: ArtifactBox
) -> NodeCall:
    return NodeCall(
        run_id=request.run_id,
        run_created_at=request.run_created_at,
        node_id=request.node_id,
        map_index=request.map_index,
        attempt=request.attempt,
        key=request.key or f"{request.run_id}/{request.node_id}",
        config=request.config,
        timeout=request.timeout,
        settings=settings,
        resources=resources,
        log=log,
        save=box.save,
    )


def _cpu_s() -> float:
    """Return the processor time of this process and the children it waited for."""
    ours, theirs = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return ours.ru_utime + ours.ru_stime + theirs.ru_utime + theirs.ru_stime


def _end_with_parent(lifeline: int) -> None:
    """End this process when the parent's end of the pipe closes, whatever a model is doing."""
    os.read(lifeline, 1)
    os._exit(1)


def main() -> None:
    """Serve the pipe whose descriptor is the first argument."""
    pipe, lifeline, stdout, stderr = (int(argument) for argument in sys.argv[1:5])
    threading.Thread(target=_end_with_parent, args=(lifeline,), daemon=True).start()
    connection = Connection(pipe)
    settings: Settings = connection.recv()
    capture = OutputCapture(stdout, stderr)
    configure_logging(level=settings.log.level, json=settings.log.format == "json", part="worker-child")
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setStream(capture.own_stderr())
    warm_up(settings)
    parent = Parent(connection)
    parent.send(LOADED)
    serve(parent, settings, capture)


if __name__ == "__main__":
    main()
