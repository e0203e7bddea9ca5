"""Bring one node to its end: its configuration, the cache, attempts with their waits, its log and its artifacts.

What comes out is what is to be stored; :mod:`worker.workflow.executor` stores it and goes on from there.
"""

import asyncio
import functools
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from analytics.core.clock import utc_now
from analytics.core.errors import HelmsightError, NotFoundError
from analytics.core.logging import get_logger
from analytics.core.settings import Settings
from analytics.core.telemetry import NODE_SECONDS, NODES
from worker.runtime import Failure, NodeDiedError, attempted, failure_of
from worker.workflow.address import NodeAddress
from worker.workflow.artifacts import ArtifactBox, ArtifactRow, split_output
from worker.workflow.cache import Hit, NodeCache, cache_key
from worker.workflow.checkpoints import Checkpointer
from worker.workflow.children import Children
from worker.workflow.definition import Node
from worker.workflow.inputs import resolved_config
from worker.workflow.kinds import nearest_kind
from worker.workflow.logs import LogWriter, NodeLog
from worker.workflow.node_kind import Idempotence, NodeCall, NodeKind, SilentLog, Transport, WorkerResources
from worker.workflow.records import AttemptRecord, Change, ClaimedRun, NodeRecord, NodeState, Place
from worker.workflow.results import output_json, to_json
from worker.workflow.retries import Backoff, next_wait_s
from worker.workflow.scopes import COMPLETED, FAILED, Scope, Step
from worker.workflow.transports import Transports

MAX_RECOVERIES = 3
"""How often a node is given to another model worker after the one that carried it died."""
MAX_ABSENCES = 12
"""How often a node is tried again because our own PostgreSQL was away: some three minutes with the usual waits."""
MAX_ATTEMPT = 32_000
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
    logs: LogWriter | None = None
    """None: what nodes say is not kept."""
    cache: NodeCache | None = None
    """None: every node is executed."""
    children: Children | None = None
    """None: no run can start another."""


@dataclass(slots=True)
class Job:
    """A node on its way to its end."""

    scope: Scope
    step: Step
    place: Place
    ready_at: datetime
    before: NodeState | None = None
    """What an earlier claim left of it."""
    attempt: int = 0
    started_at: datetime | None = None
    task: asyncio.Task[None] | None = None


class Ended(NamedTuple):
    """How a node ended, and what is to be stored of it."""

    status: str
    output: Any = None
    error: Mapping[str, Any] | None = None
    record: NodeRecord | None = None
    """None: it is stored already, by the model worker that carried it."""
    artifacts: tuple[ArtifactRow, ...] = ()


class _Tried(NamedTuple):
    output: Any
    log: NodeLog | SilentLog
    artifacts: tuple[ArtifactRow, ...]


class Attempts:
    """Carries nodes of one run."""

    def __init__(self, run: ClaimedRun, services: Services) -> None:
        self._run = run
        self._services = services

    async def carry(self, job: Job) -> Ended:
        """Bring the node of *job* to its end.

        Raises:
            RunLostError: If the run is no longer ours.
        """
        before, step = job.before, job.step
        job.attempt = before.attempt + 1 if before is not None else 1
        job.started_at = utc_now()
        kind = step.kind
        try:
            if kind is None:
                raise NotFoundError(f"There is no node kind {step.node.kind!r}{nearest_kind(step.node.kind)}.")
            config = resolved_config(kind, step.node, job.scope.view, is_literal=step.is_literal)
        except HelmsightError as error:
            return self.failed(job, failure_of(error))
        if step.node.cache_ttl is not None and kind.cacheable and self._services.cache is not None:
            return await self._cached(job, kind, config, self._services.cache)
        return await self._tries(job, kind, config)

    def failed(self, job: Job, failure: Failure, *, log_lines: int = 0) -> Ended:
        """Return the end of a node that failed for good."""
        error = {**failure.as_dict(), "final": True}
        record = self.record(job, FAILED, finished_at=utc_now(), error=to_json(error), log_lines=log_lines)
        return Ended(FAILED, error=error, record=record)

    def completed(self, job: Job, output: Any, encoded: str | None = None, **more: Any) -> Ended:
        """Return the end of a node that did what it should."""
        text = encoded if encoded is not None else output_json(output)
        inline, artifact = split_output(text, self._address(job))
        ref = None if artifact is None else artifact.id
        artifacts = more.pop("artifacts", ())
        record = self.record(job, COMPLETED, finished_at=utc_now(), output=inline, output_ref=ref, **more)
        return Ended(
            COMPLETED, output, record=record, artifacts=artifacts if artifact is None else (*artifacts, artifact)
        )

    def record(
        self,
        job: Job,
        status: str,
        *,
        finished_at: datetime | None = None,
        output: str | None = None,
        error: str | None = None,
        executor: str | None = "",
        **more: Any,
    ) -> NodeRecord:
        """Return the state of the node of *job*, as it is to be stored."""
        run = self._run
        return NodeRecord(
            run.id,
            run.created_at,
            run.epoch,
            job.place[0],
            job.place[1],
            job.step.node.kind,
            status,
            min(max(job.attempt, 1), MAX_ATTEMPT),
            self._services.worker if executor == "" else executor,
            job.ready_at,
            job.started_at,
            finished_at,
            output,
            error=error,
            **more,
        )

    def change(self, *nodes: NodeRecord, **more: Any) -> Change:
        """Return a change of our run."""
        return Change(self._run.id, self._run.created_at, self._run.epoch, nodes, **more)

    async def _cached(self, job: Job, kind: NodeKind, config: Mapping[str, Any], cache: NodeCache) -> Ended:
        """Take the result from the cache; else work it out while others that want it wait."""
        ttl = job.step.node.cache_ttl
        assert ttl is not None  # noqa: S101 - looked at by the caller
        engine = self._services.resources.engine
        prints = (
            await attempted(asyncio.to_thread(kind.fingerprint, config, engine))
            if kind.fingerprint is not None and engine is not None
            else []
        )
        if isinstance(prints, Failure):
            return self.failed(job, prints)
        key = cache_key(kind, config, prints)
        is_promised = False
        if self._run.use_cache:
            found = await cache.get(key, kind=kind.name, ttl=ttl)
            if isinstance(found, Hit):
                _counted(NODES, job.step.node.kind, "cached").inc()
                return self.completed(job, found.output, found.text, cache_hit=True, cache_key=key)
            is_promised = found.held
        try:
            ended = await self._tries(job, kind, config, key)
            if ended.status == COMPLETED:
                text = ended.record.output if ended.record is not None else None
                text = text if text is not None else output_json(ended.output)
                cache.put(key, text, kind=kind.name, ttl=ttl, address=self._address(job))
            return ended
        finally:
            if is_promised:
                cache.release(key)  # What was put is released already.

    async def _tries(self, job: Job, kind: NodeKind, config: Mapping[str, Any], key: bytes | None = None) -> Ended:
        before, node = job.before, job.step.node
        adopted = kind.transport is Transport.PROCESS and before is not None and before.status in _ON_MODEL
        if adopted:
            job.attempt -= 1
        counts = Counter[str]()
        while True:
            if not adopted:
                await self._announce(job, kind)
            adopted = False
            tried = await self._attempt(job, kind, config)
            result = tried.output
            lines = tried.log.lines if isinstance(tried.log, NodeLog) else 0
            if not isinstance(result, Failure):
                return self._complete(job, kind, tried, cache_key=key, log_lines=lines)
            wait_s = self._wait_s(node, kind, result, counts)
            if wait_s is None:
                return self.failed(job, result, log_lines=lines)
            self._note_attempt(job, result)
            await asyncio.sleep(wait_s)
            job.attempt += 1
            job.started_at = utc_now()

    def _complete(self, job: Job, kind: NodeKind, tried: _Tried, **more: Any) -> Ended:
        _counted(NODES, job.step.node.kind, "completed").inc()
        if kind.transport is Transport.PROCESS:
            return Ended(COMPLETED, tried.output)
        try:
            return self.completed(job, tried.output, artifacts=tried.artifacts, **more)
        except HelmsightError as error:
            return self.failed(job, failure_of(error))

    def _note_attempt(self, job: Job, failure: Failure) -> None:
        """Write down an attempt that another follows."""
        _counted(NODES, job.step.node.kind, "retried").inc()
        get_logger(__name__).info("node is tried again", node=job.place[0], attempt=job.attempt, error=failure.message)
        assert job.started_at is not None  # noqa: S101 - it was tried
        self._services.checkpoints.submit(
            self.change(
                attempts=(
                    AttemptRecord(
                        *job.place,
                        min(job.attempt, MAX_ATTEMPT),
                        self._services.worker,
                        job.started_at,
                        utc_now(),
                        to_json(failure.as_dict()),
                    ),
                )
            )
        )

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
        rule = node.backoff
        backoff = (
            self._services.backoff if rule is None else Backoff(rule.base.total_seconds(), rule.cap.total_seconds())
        )
        return next_wait_s(failure, failures=counts[cause], retries=retries, backoff=backoff)

    async def _announce(self, job: Job, kind: NodeKind) -> None:
        """Write down that an attempt begins; durably when it matters after a crash."""
        if kind.transport is Transport.PROCESS:
            pending = self.record(job, "pending", executor=None)._replace(started_at=None)
            await self._services.checkpoints.store(self.change(pending))
        elif kind.idempotence is Idempotence.UNSAFE:
            await self._services.checkpoints.store(self.change(self.record(job, "running")))
        else:
            self._services.checkpoints.announce(self.change(self.record(job, "running")))

    async def _attempt(self, job: Job, kind: NodeKind, config: Mapping[str, Any]) -> _Tried:
        """Return the output of one attempt, or its failure."""
        run, services, (node_id, map_index) = self._run, self._services, job.place
        address = self._address(job)
        logs = services.logs
        log = SilentLog() if logs is None else NodeLog(logs.put, address, job.attempt, epoch=run.epoch)
        box = ArtifactBox(address)
        call = NodeCall(
            run_id=run.id,
            run_created_at=run.created_at,
            node_id=node_id,
            attempt=job.attempt,
            key=node_key(run, job.place),
            config=config,
            timeout=job.step.node.timeout,
            settings=services.settings,
            resources=services.resources,
            map_index=map_index,
            log=log,
            save=box.save,
        )
        clock = time.perf_counter()
        try:
            output = await attempted(services.transports.run(kind, call))
        finally:
            _counted(NODE_SECONDS, job.step.node.kind).observe(time.perf_counter() - clock)
            if isinstance(log, NodeLog):
                log.close()
        return _Tried(output, log, tuple(box.rows))

    def _address(self, job: Job) -> NodeAddress:
        return NodeAddress(self._run.id, self._run.created_at, *job.place)


def node_key(run: ClaimedRun, place: Place) -> str:
    """Return the key of a node that is the same on every attempt."""
    return f"{run.id}/{place[0]}" if place[1] < 0 else f"{run.id}/{place[0]}/{place[1]}"


@functools.cache
def _counted(metric: Any, *labels: str) -> Any:
    """Return the child of *metric*; looking it up anew costs more than counting."""
    return metric.labels(*labels)
