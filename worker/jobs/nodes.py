"""Jobs of the queue ``models``."""

import threading
import uuid
from collections.abc import Callable
from datetime import datetime

import orjson
from sqlalchemy import Engine

from analytics.core.errors import DependencyError, HelmsightError, InvariantError
from analytics.core.logging import correlation_id, get_logger
from analytics.core.telemetry import NODE_CPU_SECONDS
from worker.pools.messages import ChildAnswer, ChildRequest
from worker.runtime import Failure, failure_of, job, tried
from worker.workflow.address import NodeAddress
from worker.workflow.kinds import find_kind
from worker.workflow.logs import LogWriter, NodeLog
from worker.workflow.remote import RemoteInput, RemoteNode, begin, finish

_LONGEST_WAIT_S = 2.0


class Carrier:
    """Takes a node, has the child carry it, writes its end down."""

    def __init__(
        self,
        engine: Engine,
        ask: Callable[[ChildRequest, NodeLog | None], ChildAnswer],
        *,
        executor: str,
        stop: threading.Event,
        logs: LogWriter | None = None,
    ) -> None:
        """Carry nodes for the worker *executor* until *stop* is set; what they say goes to *logs*, if there is one."""
        self._engine = engine
        self._logs = logs
        self._ask = ask
        self._executor = executor
        self._stop = stop
        self.busy = 0
        """1 while a node is carried."""

    def carry(self, node: RemoteNode) -> bool:
        """Carry *node*; False when there was nothing to do, because somebody has, or nobody waits for it.

        Raises:
            DependencyError: If PostgreSQL stays away; the executor has the node carried again.
        """
        self.busy = 1
        try:
            log = self._log(node)
            try:
                given = begin(self._engine, node, executor=self._executor)
            except DependencyError:
                raise
            except HelmsightError as error:
                answer = ChildAnswer(None, failure_of(error))
            else:
                if given is None:
                    return False
                answer = self._carried(node, given, log)
                _observe(given.kind, answer)
            if log is not None:
                log.close()
            self._finish(node, answer, log_lines=0 if log is None else log.lines)
        finally:
            self.busy = 0
        return True

    def _log(self, node: RemoteNode) -> NodeLog | None:
        if self._logs is None:
            return None
        return NodeLog(
            self._logs.put, NodeAddress(node.run_id, node.run_created_at, node.node_id, node.map_index), node.attempt
        )

    def _carried(self, node: RemoteNode, given: RemoteInput, log: NodeLog | None) -> ChildAnswer:
        request = ChildRequest(
            kind=given.kind,
            run_id=node.run_id,
            run_created_at=node.run_created_at,
            node_id=node.node_id,
            attempt=node.attempt,
            map_index=node.map_index,
            config=given.config,
            timeout=given.node.timeout,
            correlation_id=correlation_id(),
        )
        answer = tried(lambda: self._ask(request, log))
        return ChildAnswer(None, answer) if isinstance(answer, Failure) else answer

    def _finish(self, node: RemoteNode, answer: ChildAnswer, *, log_lines: int) -> None:
        """Write the end down; when PostgreSQL is away, wait for it rather than lose what was worked out."""
        wait_s = 0.1
        while True:
            try:
                kept = finish(
                    self._engine,
                    node,
                    executor=self._executor,
                    output=answer.output,
                    failure=answer.failure,
                    artifacts=answer.artifacts,
                    cpu_s=answer.cpu_s,
                    log_lines=log_lines,
                )
            except DependencyError:
                if self._stop.wait(wait_s):
                    raise
                wait_s = min(wait_s * 2, _LONGEST_WAIT_S)
            else:
                if not kept:
                    get_logger(__name__).info("nobody waits for the node", node=node.node_id, run=str(node.run_id))
                return


def _observe(kind: str, answer: ChildAnswer) -> None:
    if answer.cpu_s is not None:
        NODE_CPU_SECONDS.labels(kind).inc(answer.cpu_s)
    observe = find_kind(kind).observe
    if observe is not None and answer.output is not None:
        observe(orjson.loads(answer.output))


_carrier: Carrier | None = None


def bind(carrier: Carrier) -> None:
    """Say who carries nodes in this process; the model worker does so at its start. Said twice, the later holds."""
    global _carrier  # noqa: PLW0603 - one worker a process
    _carrier = carrier


@job
def run_node(*, run_id: str, run_created_at: str, node_id: str, attempt: int, map_index: int = -1) -> None:
    """Carry one attempt at one node.

    Safe to run twice: only the first takes the row of ``node_run`` from pending to running.
    """
    if _carrier is None:
        raise InvariantError("A node reached a process that carries none; the executor sends it again.")
    _carrier.carry(RemoteNode(uuid.UUID(run_id), datetime.fromisoformat(run_created_at), node_id, attempt, map_index))
