"""Execute one claimed run: start what is ready, by critical path; store each end before what follows it begins.

A node that fails for good does not stop the branches that do not need it; what needs it is skipped, and the run ends
failed. Completed nodes of an earlier claim are kept, the others run again, except those that are not safe to repeat.
"""

import asyncio
import heapq
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from analytics.core.clock import utc_now
from analytics.core.errors import HelmsightError
from analytics.core.logging import get_logger
from analytics.core.settings import Settings
from analytics.core.telemetry import NODE_SECONDS, NODES, RUN_SECONDS, RUNS
from worker.runtime import Failure, NodeDiedError, attempted, failure_of
from worker.workflow.checkpoints import Checkpointer
from worker.workflow.definition import Node, path_weights
from worker.workflow.inputs import resolved_config, scope_of
from worker.workflow.kinds import find_kind
from worker.workflow.node_kind import Idempotence, NodeCall, NodeKind, Transport, WorkerResources
from worker.workflow.records import ClaimedRun, NodeRecord, RunLostError, RunRecord
from worker.workflow.results import output_json, to_json
from worker.workflow.retries import Backoff, next_wait_s
from worker.workflow.templates import resolve
from worker.workflow.transports import Transports

MAX_IN_FLIGHT = 64
"""Nodes of one run that one worker executes at once."""
MAX_RECOVERIES = 3
MAX_ABSENCES = 12
"""How often a node is tried again because our own PostgreSQL was away: some three minutes with the usual waits."""
"""How often a node is given to another model worker after the one that carried it died."""
_ON_MODEL = ("pending", "running")


@dataclass(frozen=True, slots=True)
class Services:
    """What executions of one worker process share."""

    settings: Settings
    worker: str
    resources: WorkerResources
    checkpoints: Checkpointer
    transports: Transports
    backoff: Backoff = field(default_factory=Backoff)


@dataclass(frozen=True, slots=True)
class _Ended:
    node: Node
    status: str
    output: Any = None
    failure: Failure | None = None


class Execution:
    """One claimed run on its way to its end."""

    def __init__(self, run: ClaimedRun, services: Services) -> None:
        self._run = run
        self._services = services
        self._nodes = {node.id: node for node in run.definition.nodes}
        self._weights = path_weights(run.definition)
        self._missing = {node.id: len(node.needs) for node in run.definition.nodes}
        self._followers: dict[str, list[str]] = {}
        for node in run.definition.nodes:
            for need in node.needs:
                self._followers.setdefault(need, []).append(node.id)
        self._ready: list[tuple[int, float, int, str]] = []
        self._outputs: dict[str, Any] = {}
        self._scope = scope_of(run.id, run.created_at, run.params)
        self._begun: dict[str, tuple[int, datetime]] = {}
        self._in_flight = 0
        self._settled: set[str] = set()
        self._failures: list[tuple[str, Failure]] = []
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ended: asyncio.Queue[_Ended | RunLostError] = asyncio.Queue()

    async def run(self) -> str:
        """Execute to the end; return the run's status.

        Raises:
            RunLostError: If another worker holds the run now; ours was stopped.
        """
        started = time.perf_counter()
        for node in self._run.definition.nodes:
            if self._missing[node.id] == 0:
                self._push(node.id)
        try:
            await self._resume()
            await self._drive()
        finally:
            await self._stop_nodes()
        status, output, failure = self._result()
        await self._end(status, output=output, failure=failure)
        RUNS.labels(status).inc()
        RUN_SECONDS.observe(time.perf_counter() - started)
        return status

    async def cancel(self) -> None:
        """Store that the run and its nodes in flight were cancelled; call it after the task of :meth:`run` ended."""
        run, now = self._run, utc_now()
        open_nodes = [node for node in run.definition.nodes if node.id in self._tasks and node.id not in self._settled]
        records = []
        for node in open_nodes:
            attempt, started_at = self._begun.get(node.id, (1, None))
            records.append(self._record(node, "cancelled", attempt=attempt, started_at=started_at, finished_at=now))
        await self._services.checkpoints.store_all(
            [
                *records,
                RunRecord(run.id, run.created_at, run.epoch, "cancelled", None, None, self._counts(len(records))),
            ]
        )
        RUNS.labels("cancelled").inc()

    async def _drive(self) -> None:
        while self._ready or self._in_flight:
            while self._ready and self._in_flight < MAX_IN_FLIGHT:
                node = self._nodes[heapq.heappop(self._ready)[-1]]
                self._in_flight += 1
                self._tasks[node.id] = asyncio.create_task(self._carry(node), name=f"{self._run.id}/{node.id}")
            ended = await self._ended.get()
            self._in_flight -= 1
            if isinstance(ended, RunLostError):
                raise ended
            self._settle(ended)

    async def _carry(self, node: Node) -> None:
        """Bring one node to its end and tell the driver."""
        try:
            ended = await attempted(self._attempts(node))
        except RunLostError as error:
            self._ended.put_nowait(error)
        else:
            self._ended.put_nowait(_Ended(node, "failed", failure=ended) if isinstance(ended, Failure) else ended)

    async def _attempts(self, node: Node) -> _Ended:
        before = self._run.nodes.get(node.id)
        attempt = before.attempt + 1 if before is not None else 1
        try:
            kind = find_kind(node.kind)
            config = resolved_config(kind, node, self._scope)
        except HelmsightError as error:
            return await self._fail(node, failure_of(error), attempt=attempt, started_at=utc_now())
        adopted = kind.transport is Transport.PROCESS and before is not None and before.status in _ON_MODEL
        if adopted:
            attempt -= 1
        counts = Counter[str]()
        while True:
            started_at = utc_now()
            self._begun[node.id] = (attempt, started_at)
            if not adopted:
                await self._announce(node, kind, attempt, started_at)
            adopted = False
            result = await self._attempt(node, kind, config, attempt)
            if not isinstance(result, Failure):
                return await self._complete(node, kind, result, attempt=attempt, started_at=started_at)
            wait_s = self._wait_s(node, kind, result, counts)
            if wait_s is None:
                return await self._fail(node, result, attempt=attempt, started_at=started_at)
            NODES.labels(node.kind, "retried").inc()
            get_logger(__name__).info("node is tried again", node=node.id, attempt=attempt, error=result.message)
            await asyncio.sleep(wait_s)
            attempt += 1

    def _wait_s(self, node: Node, kind: NodeKind, failure: Failure, counts: "Counter[str]") -> float | None:
        """Return the wait before the next attempt, or None.

        A death of the carrier, or an absence of our own store, is not the node's fault and uses up no retry.
        """
        if kind.idempotence is Idempotence.UNSAFE:
            return None
        if failure.code == NodeDiedError.code:
            cause, retries = "death", MAX_RECOVERIES
        elif failure.part == "postgres":
            cause, retries = "absence", MAX_ABSENCES
        else:
            cause, retries = "failure", node.retries
        counts[cause] += 1
        return next_wait_s(failure, failures=counts[cause], retries=retries, backoff=self._services.backoff)

    async def _announce(self, node: Node, kind: NodeKind, attempt: int, started_at: datetime) -> None:
        """Write down that an attempt begins; durably when it matters after a crash."""
        on_model = kind.transport is Transport.PROCESS
        begun = self._record(
            node,
            "pending" if on_model else "running",
            attempt=attempt,
            started_at=None if on_model else started_at,
            executor=None if on_model else self._services.worker,
        )
        if kind.idempotence is Idempotence.UNSAFE or on_model:
            await self._services.checkpoints.store(begun)
        else:
            self._services.checkpoints.note(begun)

    async def _attempt(self, node: Node, kind: NodeKind, config: Mapping[str, Any], attempt: int) -> Any:
        """Return the output of one attempt, or its failure."""
        call = NodeCall(
            run_id=self._run.id,
            run_created_at=self._run.created_at,
            node_id=node.id,
            attempt=attempt,
            key=f"{self._run.id}/{node.id}",
            config=config,
            timeout=node.timeout,
            settings=self._services.settings,
            resources=self._services.resources,
        )
        clock = time.perf_counter()
        try:
            return await attempted(self._services.transports.run(kind, call, self._run, node))
        finally:
            NODE_SECONDS.labels(node.kind).observe(time.perf_counter() - clock)

    async def _complete(self, node: Node, kind: NodeKind, output: Any, *, attempt: int, started_at: datetime) -> _Ended:
        try:
            encoded = output_json(output)
        except HelmsightError as error:
            return await self._fail(node, failure_of(error), attempt=attempt, started_at=started_at)
        if kind.transport is not Transport.PROCESS:
            await self._services.checkpoints.store(
                self._record(
                    node,
                    "completed",
                    attempt=attempt,
                    started_at=started_at,
                    finished_at=utc_now(),
                    output=encoded,
                    executor=self._services.worker,
                )
            )
        NODES.labels(node.kind, "completed").inc()
        return _Ended(node, "completed", output=output)

    async def _fail(self, node: Node, failure: Failure, *, attempt: int, started_at: datetime) -> _Ended:
        error = {**failure.as_dict(), "final": True}
        await self._services.checkpoints.store(
            self._record(
                node,
                "failed",
                attempt=attempt,
                started_at=started_at,
                finished_at=utc_now(),
                error=to_json(error),
                executor=self._services.worker,
            )
        )
        NODES.labels(node.kind, "failed").inc()
        return _Ended(node, "failed", failure=failure)

    def _settle(self, ended: _Ended) -> None:
        """Take note of a node's end: wake what waits for it, or skip what can never run."""
        self._settled.add(ended.node.id)
        if ended.status == "completed":
            self._outputs[ended.node.id] = ended.output
            self._scope["nodes"][ended.node.id] = {"output": ended.output}
            for follower in self._followers.get(ended.node.id, ()):
                self._missing[follower] -= 1
                if self._missing[follower] == 0 and follower not in self._settled:
                    self._push(follower)
            return
        if ended.failure is not None:
            self._failures.append((ended.node.id, ended.failure))
        self._skip_after(ended.node.id)

    def _skip_after(self, node_id: str) -> None:
        open_ids = list(self._followers.get(node_id, ()))
        while open_ids:
            follower = open_ids.pop()
            if follower in self._settled:
                continue
            self._settled.add(follower)
            NODES.labels(self._nodes[follower].kind, "skipped").inc()
            self._services.checkpoints.note(
                self._record(self._nodes[follower], "skipped", attempt=1, started_at=None, finished_at=utc_now())
            )
            open_ids += self._followers.get(follower, ())

    async def _resume(self) -> None:
        """Take over what earlier claims have left."""
        for node_id, state in self._run.nodes.items():
            node = self._nodes.get(node_id)
            if node is None:
                continue
            if state.status == "completed":
                self._settle(_Ended(node, "completed", output=state.output))
            elif state.status == "failed" and (state.error or {}).get("final"):
                error = state.error or {}
                self._settle(_Ended(node, "failed", failure=Failure(error["code"], error["message"], retryable=False)))
            elif state.status == "running" and self._is_unsafe(node):
                failure = Failure(
                    "unsafe_interrupted",
                    f"The worker died while {node_id!r} was under way, and repeating it may do harm. Look whether it"
                    " happened, then start a new run.",
                    retryable=False,
                )
                self._settle(await self._fail(node, failure, attempt=state.attempt, started_at=utc_now()))
        self._ready = [item for item in self._ready if item[-1] not in self._settled]
        heapq.heapify(self._ready)

    def _is_unsafe(self, node: Node) -> bool:
        try:
            return find_kind(node.kind).idempotence is Idempotence.UNSAFE
        except HelmsightError:
            return False

    def _result(self) -> tuple[str, str | None, Failure | None]:
        failure = self._first_failure()
        if failure is not None:
            return "failed", None, failure
        definition = self._run.definition
        try:
            output = (
                resolve(definition.output, self._scope)
                if definition.output is not None
                else {node.id: self._outputs[node.id] for node in definition.nodes if node.id not in self._followers}
            )
            return "completed", output_json(output), None
        except HelmsightError as error:
            return "failed", None, failure_of(error)

    def _first_failure(self) -> Failure | None:
        return self._failures[0][1] if self._failures else None

    async def _end(self, status: str, *, output: str | None, failure: Failure | None) -> None:
        run = self._run
        error = None
        if failure is not None:
            node_id = self._failures[0][0] if self._failures else None
            error = to_json({"code": failure.code, "message": failure.message, "node_id": node_id})
        record = RunRecord(run.id, run.created_at, run.epoch, status, output, error, self._counts())
        await self._services.checkpoints.store(record)

    def _counts(self, cancelled: int = 0) -> str:
        """Return how many nodes ended in each status, as JSON text."""
        found = {
            "completed": len(self._outputs),
            "failed": len(self._failures),
            "skipped": len(self._settled) - len(self._outputs) - len(self._failures),
            "cancelled": cancelled,
        }
        return to_json({status: count for status, count in found.items() if count})

    async def _stop_nodes(self) -> None:
        open_tasks = [task for task in self._tasks.values() if not task.done()]
        for task in open_tasks:
            task.cancel()
        await asyncio.gather(*open_tasks, return_exceptions=True)

    def _push(self, node_id: str) -> None:
        node = self._nodes[node_id]
        heapq.heappush(self._ready, (-node.priority, -self._weights[node_id], len(self._settled), node_id))

    def _record(
        self,
        node: Node,
        status: str,
        *,
        attempt: int,
        started_at: datetime | None,
        finished_at: datetime | None = None,
        output: str | None = None,
        error: str | None = None,
        executor: str | None = None,
    ) -> NodeRecord:
        return NodeRecord(
            run_id=self._run.id,
            run_created_at=self._run.created_at,
            epoch=self._run.epoch,
            node_id=node.id,
            kind=node.kind,
            status=status,
            attempt=min(attempt, 32_000),
            executor=executor,
            started_at=started_at,
            finished_at=finished_at,
            output=output,
            error=error,
        )
