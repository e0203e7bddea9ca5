"""The child of a model worker: loads models once, carries one node at a time, may be killed at any moment.

It is a fresh interpreter, never a fork: models and their thread pools do not survive a fork. Run as
``python -m worker.pools.child FD LIFELINE``; it ends by itself when the parent does.
"""

import os
import sys
import threading
from multiprocessing.connection import Connection

from analytics.core.logging import configure_logging, correlated, get_logger
from analytics.core.settings import Settings
from analytics.store.engine import make_engine
from worker.pools.messages import LOADED, ChildAnswer, ChildRequest
from worker.runtime import Failure, tried
from worker.workflow.kinds import NodeCall, Transport, WorkerResources, find_kind, registry
from worker.workflow.results import output_json


def serve(pipe: Connection, settings: Settings) -> None:
    """Answer requests from *pipe* until it closes."""
    engine = make_engine(settings, role="worker-child")
    resources = WorkerResources(engine=engine)
    while True:
        try:
            request: ChildRequest = pipe.recv()
        except EOFError:
            return
        with correlated(request.correlation_id):
            result = tried(lambda request=request: _carry(request, settings, resources))  # type: ignore[misc]
        pipe.send(ChildAnswer(None, result) if isinstance(result, Failure) else ChildAnswer(result, None))


def warm_up(settings: Settings) -> None:
    """Load what the kinds of nodes carried here need; what cannot be loaded is said by the node that needs it."""
    for kind in registry().values():
        if kind.transport is Transport.PROCESS and kind.warm is not None:
            result = tried(lambda kind=kind: kind.warm(settings))  # type: ignore[misc]
            if isinstance(result, Failure):
                get_logger(__name__).warning("kind not warmed up", kind=kind.name, error=result.message)


def _carry(request: ChildRequest, settings: Settings, resources: WorkerResources) -> str:
    call = NodeCall(
        run_id=request.run_id,
        run_created_at=request.run_created_at,
        node_id=request.node_id,
        attempt=request.attempt,
        key=f"{request.run_id}/{request.node_id}",
        config=request.config,
        timeout=request.timeout,
        settings=settings,
        resources=resources,
    )
    return output_json(find_kind(request.kind).run(call))


def _end_with_parent(lifeline: int) -> None:
    """End this process when the parent's end of the pipe closes, whatever a model is doing."""
    os.read(lifeline, 1)
    os._exit(1)


def main() -> None:
    """Serve the pipe whose descriptor is the first argument."""
    pipe, lifeline = Connection(int(sys.argv[1])), int(sys.argv[2])
    threading.Thread(target=_end_with_parent, args=(lifeline,), daemon=True).start()
    settings: Settings = pipe.recv()
    configure_logging(level=settings.log.level, json=settings.log.format == "json", part="worker-child")
    warm_up(settings)
    pipe.send(LOADED)
    serve(pipe, settings)


if __name__ == "__main__":
    main()
