"""Nodes that run in the child of a model worker: both ends of the way there and back.

The job in Redis names the node only. The model worker takes the row of ``node_run`` from pending to running in its own
name, reads the node's input from PostgreSQL, and writes the end into that row; a notification tells the executor, and
a poll every two seconds covers lost ones. Results go by the row and not by Redis because a finished page of OCR is
then kept even when Redis, or the worker that waits for it, has died meanwhile.
"""

import asyncio
import contextlib
import functools
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from redis import Redis, RedisError
from rq import Queue
from rq.command import send_stop_job_command
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import AsyncEngine

from analytics.core.errors import DependencyError
from analytics.core.logging import correlation_id, get_logger
from analytics.live.client import redis_errors
from analytics.store.engine import session_scope, translated
from worker.catalog import RUN_NODE, QueueName
from worker.enqueue import CONTROL_CHANNEL, enqueue
from worker.queues import SERIALIZER
from worker.runtime import Failure, NodeDiedError
from worker.workflow.address import NodeAddress
from worker.workflow.artifacts import ArtifactRow, insert_now, load_outputs, split_output
from worker.workflow.definition import Node
from worker.workflow.inputs import node_scope, resolved_config
from worker.workflow.kinds import find_kind
from worker.workflow.node_kind import NodeCall
from worker.workflow.results import to_json

POLL_S = 2.0
_ABSENT_POLLS = 2
"""A pending node whose job is in no queue at this many polls in a row is sent again."""
_BACKSTOP_S = 60
_NOT_IN_JOB_IDS = re.compile(r"[^A-Za-z0-9_-]", re.ASCII)

_POLL = text(
    "SELECT n.run_id, n.node_id, n.map_index, n.status, n.attempt, n.output, n.output_ref, n.error, n.executor,"
    " n.executor IS NOT NULL AND coalesce(p.stopped_at IS NOT NULL OR p.seen_at < now() - :lease, true) AS abandoned"
    " FROM unnest(CAST(:runs AS uuid[]), CAST(:created AS timestamptz[]), CAST(:nodes AS text[]),"
    " CAST(:places AS integer[])) AS x(run_id, run_created_at, node_id, map_index)"
    " JOIN node_run n ON n.run_id = x.run_id AND n.run_created_at = x.run_created_at AND n.node_id = x.node_id"
    " AND n.map_index = x.map_index"
    " LEFT JOIN worker_process p ON p.name = n.executor"
)
_BEGIN = text(
    "UPDATE node_run SET status = 'running', executor = :executor, started_at = now(), changed_at = clock_timestamp()"
    " WHERE run_id = :run_id AND run_created_at = :created_at AND node_id = :node_id AND map_index = :map_index"
    " AND status = 'pending' AND attempt = :attempt RETURNING node_id"
)
_FINISH = text(
    "UPDATE node_run SET status = :status, finished_at = now(), output = CAST(:output AS jsonb),"
    " output_ref = :output_ref, error = CAST(:error AS jsonb), cpu_ms = :cpu_ms, log_lines = :log_lines,"
    " changed_at = clock_timestamp()"
    " WHERE run_id = :run_id AND run_created_at = :created_at AND node_id = :node_id AND map_index = :map_index"
    " AND status = 'running' AND attempt = :attempt AND executor = :executor RETURNING node_id"
)


@dataclass(frozen=True, slots=True)
class RemoteNode:
    """Which attempt at which node a model worker is to carry."""

    run_id: uuid.UUID
    run_created_at: datetime
    node_id: str
    attempt: int
    map_index: int = -1

    @property
    def job_id(self) -> str:
        """Return the id of its job, of the characters that RQ allows."""
        name = _NOT_IN_JOB_IDS.sub("_", self.node_id)
        place = "" if self.map_index < 0 else f"-i{self.map_index}"
        return f"node-{self.run_id}-{name}{place}-a{self.attempt}"


@dataclass(frozen=True, slots=True)
class RemoteInput:
    """What the child needs to carry it."""

    node: Node
    kind: str
    config: Mapping[str, Any]


_Key = tuple[uuid.UUID, str, int]


@dataclass
class _Wait:
    node: RemoteNode
    timeout_s: float
    done: asyncio.Future[Any]
    correlation: str | None
    job_id: str
    sent: bool = False
    absent: int = 0
    resent: int = field(default=0)


class ModelDispatch:
    """The executor's end; belongs to one event loop."""

    def __init__(self, engine: AsyncEngine, client: Redis, *, lease: timedelta) -> None:
        self._engine = engine
        self._client = client
        self._lease = lease
        self._waiting: dict[_Key, _Wait] = {}
        self._poke = asyncio.Event()

    async def run(self, call: NodeCall) -> Any:
        """Have a model worker carry the node; return its output or its failure."""
        remote = RemoteNode(call.run_id, call.run_created_at, call.node_id, call.attempt, call.map_index)
        key = (call.run_id, call.node_id, call.map_index)
        wait = _Wait(
            node=remote,
            timeout_s=call.timeout.total_seconds(),
            done=asyncio.get_running_loop().create_future(),
            correlation=correlation_id(),
            job_id=remote.job_id,
        )
        self._waiting[key] = wait
        try:
            await self._send(wait)
            self._poke.set()
            return await wait.done
        except asyncio.CancelledError:
            await asyncio.to_thread(self._stop, wait)
            raise
        finally:
            self._waiting.pop(key, None)

    def heard(self) -> None:
        """Look at the rows soon: a model worker has told that it finished something."""
        self._poke.set()

    async def watch_forever(self) -> None:
        """Look at the rows of what is under way, when told and every two seconds, until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._poke.wait()
            told = self._poke.is_set()
            self._poke.clear()
            if self._waiting:
                try:
                    await self._poll(told=told)
                except DependencyError as error:
                    get_logger(__name__).warning("model nodes not looked at", error=error.message)
                    await asyncio.sleep(POLL_S / 4)

    async def _poll(self, *, told: bool) -> None:
        waits = list(self._waiting.values())
        with translated():
            async with self._engine.connect() as connection:
                rows = await connection.execute(
                    _POLL,
                    {
                        "runs": [wait.node.run_id for wait in waits],
                        "created": [wait.node.run_created_at for wait in waits],
                        "nodes": [wait.node.node_id for wait in waits],
                        "places": [wait.node.map_index for wait in waits],
                        "lease": self._lease,
                    },
                )
                found = {(row.run_id, row.node_id, row.map_index): row for row in rows}
                large = await load_outputs(
                    connection, [row.output_ref for row in found.values() if row.output_ref is not None]
                )
        for wait in waits:
            row = found.get((wait.node.run_id, wait.node.node_id, wait.node.map_index))
            if row is None or wait.done.done() or row.attempt != wait.node.attempt:
                continue
            if row.status == "completed":
                wait.done.set_result(row.output if row.output_ref is None else large[row.output_ref])
            elif row.status == "failed":
                error = row.error or {}
                wait.done.set_result(
                    Failure(
                        error.get("code", "unexpected"),
                        error.get("message", ""),
                        retryable=bool(error.get("retryable")),
                    )
                )
            elif row.status == "running" and row.abandoned:
                wait.done.set_result(died(f"The model worker {row.executor} died while it carried the node."))
            elif row.status == "pending" and not told:
                await self._resend_if_absent(wait)

    async def _resend_if_absent(self, wait: _Wait) -> None:
        if wait.sent:
            position = await asyncio.to_thread(self._position, wait.job_id)
            wait.absent = wait.absent + 1 if position is None else 0
            if wait.absent < _ABSENT_POLLS:
                return
            wait.absent = 0
            wait.resent += 1
            wait.job_id = f"{wait.node.job_id}-r{wait.resent}"
        await self._send(wait)

    async def _send(self, wait: _Wait) -> None:
        node = wait.node
        send = functools.partial(
            enqueue,
            self._client,
            RUN_NODE,
            {
                "run_id": str(node.run_id),
                "run_created_at": node.run_created_at.isoformat(),
                "node_id": node.node_id,
                "attempt": node.attempt,
                "map_index": node.map_index,
            },
            job_id=wait.job_id,
            correlation=wait.correlation,
            timeout_s=wait.timeout_s + _BACKSTOP_S,
        )
        try:
            await asyncio.to_thread(send)
            wait.sent = True
        except DependencyError as error:
            get_logger(__name__).warning("model node waits for Redis", node=node.node_id, error=error.message)

    def _position(self, job_id: str) -> int | None:
        try:
            with redis_errors("a job was looked for"):
                return Queue(QueueName.MODELS, connection=self._client, serializer=SERIALIZER).get_job_position(job_id)
        except DependencyError:
            return 0  # Redis is away: not known to be lost.

    def _stop(self, wait: _Wait) -> None:
        """Take the job out of the queue, or have its child killed; a result that comes anyway finds no row."""
        queue = Queue(QueueName.MODELS, connection=self._client, serializer=SERIALIZER)
        try:
            if queue.get_job_position(wait.job_id) is not None:
                queue.remove(wait.job_id)
            else:
                send_stop_job_command(self._client, wait.job_id, serializer=SERIALIZER)
        except (InvalidJobOperation, NoSuchJobError):
            pass  # It has ended already.
        except RedisError as error:
            get_logger(__name__).warning("model node not stopped", job=wait.job_id, error=str(error))


def begin(engine: Engine, node: RemoteNode, *, executor: str) -> RemoteInput | None:
    """Take *node* in the name of *executor*, or return None when somebody has, or nobody waits for it any more.

    Raises:
        DependencyError: If PostgreSQL does not answer; nothing was taken.
        InputError: If the node's templates name what is not there; it was taken, and has to be finished.
    """
    key = _key(node)
    with session_scope(engine) as session:
        if session.execute(_BEGIN, {**key, "executor": executor}).one_or_none() is None:
            return None
    with session_scope(engine) as session:
        step, scope = node_scope(session, node.run_id, node.run_created_at, node.node_id, node.map_index)
    return RemoteInput(step, step.kind, resolved_config(find_kind(step.kind), step, scope))


def finish(
    engine: Engine,
    node: RemoteNode,
    *,
    executor: str,
    output: str | None,
    failure: Failure | None,
    artifacts: Sequence[ArtifactRow] = (),
    cpu_s: float | None = None,
    log_lines: int = 0,
) -> bool:
    """Write the end of *node* and what it saved, and tell the executor; False when nobody waits for it any more.

    Raises:
        DependencyError: If PostgreSQL does not answer; nothing was written.
    """
    address = NodeAddress(node.run_id, node.run_created_at, node.node_id, node.map_index)
    inline, large = (None, None) if output is None else split_output(output, address)
    with session_scope(engine) as session:
        kept = session.execute(
            _FINISH,
            {
                **_key(node),
                "executor": executor,
                "status": "completed" if failure is None else "failed",
                "output": inline,
                "output_ref": None if large is None else large.id,
                "error": None if failure is None else to_json(failure.as_dict()),
                "cpu_ms": None if cpu_s is None else cpu_s * 1000,
                "log_lines": log_lines,
            },
        ).one_or_none()
        if kept is not None and failure is None:
            insert_now(session, [*artifacts, *([] if large is None else [large])])
        session.execute(
            text("SELECT pg_notify(:channel, :payload)"),
            {"channel": CONTROL_CHANNEL, "payload": f"node:{node.run_id}:{node.node_id}"},
        )
    return kept is not None


def died(message: str) -> Failure:
    """Return the failure of a node whose carrier is gone."""
    return Failure(NodeDiedError.code, message, retryable=True)


def _key(node: RemoteNode) -> dict[str, Any]:
    return {
        "run_id": node.run_id,
        "created_at": node.run_created_at,
        "node_id": node.node_id,
        "attempt": node.attempt,
        "map_index": node.map_index,
    }
