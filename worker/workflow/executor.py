"""Execute one claimed run: start what is ready, by critical path; store each end before what follows it begins.

A node that fails for good does not stop the branches that do not need it; what needs it is skipped, and the run ends
failed. Completed nodes of an earlier claim are kept, the others run again, except those that are not safe to repeat:
these wait for a person. When all that is left waits for something, the run gives up its slot (ADR 0009).

Everything happens on the event loop: nodes run in tasks, and the ends of commits come back as calls. Each only notes
what happened; :meth:`Execution._turn` acts on it.
"""

import asyncio
import functools
import heapq
import itertools
import time
from collections import Counter, deque
from collections.abc import Coroutine, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from analytics.core.clock import utc_now
from analytics.core.errors import DependencyError, HelmsightError, InvariantError
from analytics.core.logging import get_logger
from analytics.core.telemetry import NODES, RUN_SECONDS, RUNS
from analytics.store.engine import translated
from worker.runtime import Failure, NodeDiedError, attempted, failure_of, tried
from worker.workflow.attempts import MAX_ABSENCES, Attempts, Ended, Job, Services
from worker.workflow.claim import read_waits
from worker.workflow.control import (
    Container,
    Foreach,
    While,
    attention_of,
    branch_taken,
    config_of,
    outcome_of,
    scope_result,
    wait_of,
)
from worker.workflow.definition import DEFAULT_MAX_PARALLEL, find_node
from worker.workflow.inputs import scope_of
from worker.workflow.node_kind import Idempotence, Transport
from worker.workflow.records import (
    Change,
    ClaimedRun,
    EventRecord,
    NodeRecord,
    NodeState,
    Outcome,
    ParkRecord,
    Place,
    RunLostError,
    RunRecord,
    WaitEnd,
    WaitRecord,
    WaitState,
)
from worker.workflow.results import output_json, to_json
from worker.workflow.scopes import COMPLETED, FAILED, SKIPPED, Scope, Step

STAY_S = 1.0
"""A run whose next wait ends sooner keeps its slot."""
_SOONEST_LOOK_S = 0.02
_OPEN = ("pending", "running", "waiting", "needs_attention")

_NO_CHILD = Failure("dependency", "The other workflow could not be queued; nothing was started.", retryable=False)

__all__ = ["MAX_ABSENCES", "Execution", "Services"]


class Execution:
    """One claimed run on its way to its end, or to where it has to wait."""

    def __init__(self, run: ClaimedRun, services: Services) -> None:
        self._run = run
        self._services = services
        self._attempts = Attempts(run, services)
        definition = run.plan.definition
        self._most = DEFAULT_MAX_PARALLEL if definition is None else definition.max_parallel
        self._timeout = None if definition is None else definition.timeout
        self._began = time.perf_counter()
        self._root = Scope(run.plan, scope_of(run.id, run.created_at, run.params))
        self._ready: list[tuple[int, float, int, Job]] = []
        self._order = itertools.count()
        self._ended: deque[tuple[Scope, int, str, Any, Mapping[str, Any] | None]] = deque()
        self._over: deque[Scope] = deque()
        self._jobs: dict[Place, Job] = {}
        """Nodes that are carried, or whose end is not committed."""
        self._working = 0
        """How many of them are carried; only these count against what may be under way at once."""
        self._parked: dict[Place, tuple[Job, WaitState | None]] = {}
        self._containers: dict[Place, tuple[Container, asyncio.TimerHandle | None]] = {}
        self._alarm: asyncio.TimerHandle | None = None
        self._looking: asyncio.Task[None] | None = None
        self._look_again = False
        self._is_scheduled = False
        self._is_paused = run.pause_requested
        self._is_leaving = False
        self._had_waits = bool(run.waits)
        self._done: asyncio.Future[str] | None = None

    async def run(self) -> str:
        """Execute; return the run's status: an end, or ``waiting``, ``needs_attention``, ``paused``, ``queued``.

        Raises:
            RunLostError: If another worker holds the run now; ours was stopped.
        """
        loop = asyncio.get_running_loop()
        self._done = loop.create_future()
        left_s = self._left_s()
        limit = None if left_s is None else loop.call_later(left_s, self._time_over)
        if left_s == 0.0:
            self._time_over()
        else:
            self.enter(self._root)
        try:
            status = await self._done
        finally:
            self._is_leaving = True
            for handle in (limit, self._alarm):
                if handle is not None:
                    handle.cancel()
            await self._stop_nodes()
        if status in {COMPLETED, FAILED}:
            RUNS.labels(status).inc()
            RUN_SECONDS.observe(time.perf_counter() - self._began)
        return status

    async def cancel(self) -> None:
        """Store that the run and its open nodes were cancelled; call it after the task of :meth:`run` ended."""
        await self._services.checkpoints.store(self._end_of("cancelled", stopped=True))
        children = self._services.children
        if children is not None and any(job.step.node.kind == "subworkflow" for job in self._open_jobs()):
            await attempted(asyncio.to_thread(children.stop, self._run.id))
        RUNS.labels("cancelled").inc()

    @property
    def is_paused(self) -> bool:
        """Tell whether nothing new is begun."""
        return self._is_paused

    @property
    def soonest_s(self) -> float | None:
        """Return in how many seconds the first of its waits is over; None: none has an end."""
        return self._soonest_s()

    def pause(self, is_paused: bool = True) -> None:  # noqa: FBT001, FBT002 - says what its name asks
        """Begin nothing new, until the run is paused once what is in flight has ended; or take that back."""
        self._is_paused = is_paused
        self._wake()

    def look(self) -> None:
        """Read soon what became of waits: somebody has told that one is over."""
        if self._looking is not None:
            self._look_again = True
        elif self._parked and not self._is_leaving:
            self._looking = asyncio.create_task(self._look(), name=f"{self._run.id} looks")

    def enter(self, scope: Scope) -> None:
        """Begin what is ready in *scope*."""
        now = utc_now()
        for index in scope.first():
            self._arrive(scope, index, now)
        self._wake()

    def leave(self, container: Container, result: Any) -> None:
        """End the node of *container* with *result*, its output or a failure."""
        _, limit = self._containers.pop(container.job.place, (container, None))
        if limit is not None:
            limit.cancel()
        self._finish(container.job, self._ended_with(container.job, result))

    # What happens, noted; `_turn` acts on it.

    def _arrive(self, scope: Scope, index: int, now: datetime) -> None:
        """Take in a node that may begin: its earlier end counts, else it is queued by priority and path."""
        step = scope.plan.steps[index]
        place = scope.place(step)
        before = self._run.nodes.get(place) if self._run.nodes else None
        if before is not None and before.status == COMPLETED:
            self._ended.append((scope, index, COMPLETED, before.output, None))
        elif before is not None and before.status == FAILED and (before.error or {}).get("final"):
            self._ended.append((scope, index, FAILED, None, before.error))
        else:
            job = Job(scope, step, place, now, before)
            order = (-step.node.priority, -(step.weight + scope.weight), next(self._order), job)
            heapq.heappush(self._ready, order)

    def _wake(self) -> None:
        if not self._is_scheduled and self._done is not None:
            self._is_scheduled = True
            self._done.get_loop().call_soon(self._turn_once)

    def _turn_once(self) -> None:
        self._is_scheduled = False
        if self._done is None or self._done.done() or self._is_leaving:
            return
        result = tried(self._turn)
        if isinstance(result, Failure):
            self._break(InvariantError(f"The run {self._run.id} cannot be carried on: {result.message}"))

    def _turn(self) -> None:
        while True:
            if self._ended:
                self._settle(*self._ended.popleft())
            elif self._over:
                scope = self._over.popleft()
                scope.container.child_ended(scope)
            elif self._ready and not self._is_paused and self._working < self._most:
                self._start(heapq.heappop(self._ready)[-1])
            else:
                break
        if not self._jobs and self._looking is None:
            self._rest()

    def _settle(self, scope: Scope, index: int, status: str, output: Any, error: Mapping[str, Any] | None) -> None:
        ready, skipped = scope.settle(index, status, output, error)
        now = utc_now()
        if skipped:
            self._note_skipped(scope, skipped, now)
        for follower in ready:
            self._arrive(scope, follower, now)
        if scope.left == 0 and scope.container is not None and not scope.is_closed:
            self._over.append(scope)

    def _note_skipped(self, scope: Scope, skipped: Iterable[int], now: datetime) -> None:
        records = []
        for index in skipped:
            step = scope.plan.steps[index]
            place = scope.place(step)
            before = self._run.nodes.get(place)
            if before is None or before.status != SKIPPED:
                NODES.labels(step.node.kind, SKIPPED).inc()
                record = self._attempts.record(Job(scope, step, place, now), SKIPPED, finished_at=now, executor=None)
                records.append(record._replace(ready_at=None))
        if records:
            self._services.checkpoints.submit(self._attempts.change(*records))

    def _rest(self) -> None:
        """Nothing is under way: end, or give up the slot."""
        if self._root.left == 0:
            self._end()
        elif self._is_paused:
            self._park("paused")
        elif self._parked:
            soonest = self._soonest_s()
            if soonest is not None and soonest <= STAY_S:
                self._set_alarm()
            else:
                kinds = {job.before.status for job, _ in self._parked.values() if job.before is not None}
                self._park("needs_attention" if kinds == {"needs_attention"} else "waiting")
        else:
            raise InvariantError(f"The run {self._run.id} has nodes left that can never run.")

    # Nodes.

    def _start(self, job: Job) -> None:
        if job.scope.is_closed:
            return
        kind, before = job.step.kind, job.before
        if before is not None and before.status in {"waiting", "needs_attention"} and self._resume_wait(job):
            return
        if kind is not None and kind.transport is Transport.CONTROL:
            self._steer(job)
        elif self._is_unsure(job):
            self._need_attention(job)
        else:
            self._work(job, self._carry(job))

    def _work(self, job: Job, work: Coroutine[Any, Any, None]) -> None:
        """Have *work* bring the node of *job* to its end, in a task."""
        self._jobs[job.place] = job
        self._working += 1
        job.task = asyncio.create_task(work)

    def _worked(self) -> None:
        """Let another node begin: one is no longer carried, though its end may still be on its way to the store."""
        self._working -= 1
        if self._ready:
            self._wake()

    def _is_unsure(self, job: Job) -> bool:
        """Tell whether the node was under way when a worker died, and is not safe to repeat."""
        kind, before = job.step.kind, job.before
        return (
            kind is not None
            and kind.idempotence is Idempotence.UNSAFE
            and kind.transport is not Transport.PROCESS
            and before is not None
            and before.status == "running"
        )

    async def _carry(self, job: Job) -> None:
        try:
            ended = await attempted(self._attempts.carry(job))
        except RunLostError as error:
            self._break(error)
            return
        finally:
            self._worked()
        if isinstance(ended, Failure):
            ended = self._attempts.failed(job, ended)
        kind = job.step.kind
        died = ended.status == FAILED and (ended.error or {}).get("code") == NodeDiedError.code
        if died and kind is not None and kind.idempotence is Idempotence.UNSAFE:
            self._need_attention(job)
        else:
            self._finish(job, ended)

    def _finish(self, job: Job, ended: Ended, **more: Any) -> None:
        """Store the end of a node; what follows it begins after the commit."""
        self._jobs[job.place] = job
        if ended.status == FAILED:
            NODES.labels(job.step.node.kind, FAILED).inc()
        if ended.record is None:
            self._stored(job, ended, Outcome(kept=True))
            return
        change = self._attempts.change(ended.record, artifacts=ended.artifacts, **more)
        change.then = functools.partial(self._stored, job, ended)
        self._services.checkpoints.submit(change)

    def _stored(self, job: Job, ended: Ended, outcome: Outcome) -> None:
        if self._is_leaving or job.scope.is_closed:
            return
        if outcome.refusal is not None and ended.status == COMPLETED:
            message = f"PostgreSQL refuses the output ({outcome.refusal}); it was not kept."
            self._finish(job, self._attempts.failed(job, Failure("input", message, retryable=False)))
        elif not outcome.kept:
            self._refused(outcome)
        else:
            del self._jobs[job.place]
            self._ended.append((job.scope, job.step.index, ended.status, ended.output, ended.error))
            self._wake()

    def _ended_with(self, job: Job, result: Any) -> Ended:
        if isinstance(result, Failure):
            return self._attempts.failed(job, result)
        try:
            return self._attempts.completed(job, result)
        except HelmsightError as error:
            return self._attempts.failed(job, failure_of(error))

    def _refused(self, outcome: Outcome) -> None:
        if outcome.refusal is None:
            self._break(RunLostError(f"The run {self._run.id} is no longer ours."))
        else:
            self._break(InvariantError(f"PostgreSQL refuses a checkpoint: {outcome.refusal}"))

    def _break(self, error: BaseException) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(error)

    # Kinds that the engine steers.

    def _steer(self, job: Job) -> None:
        before = job.before
        job.attempt = 1 if before is None else before.attempt
        job.started_at = (before.started_at if before is not None else None) or utc_now()
        match job.step.node.kind:
            case "branch":
                self._finish(job, self._ended_with(job, tried(lambda: branch_taken(job))))
            case "foreach" | "while":
                self._open(job)
            case "subworkflow":
                self._work(job, self._start_child(job))
            case _:
                wait = tried(lambda: wait_of(job))
                if isinstance(wait, Failure):
                    self._finish(job, self._attempts.failed(job, wait))
                else:
                    self._wait(job, wait, "waiting")

    def _open(self, job: Job) -> None:
        kind = Foreach if job.step.node.kind == "foreach" else While
        container: Container | Failure = tried(lambda: kind(job, self))
        if isinstance(container, Failure):
            self._finish(job, self._attempts.failed(job, container))
            return
        limit_s = job.step.timeout_s
        limit = None
        if limit_s is not None and self._done is not None:
            limit = self._done.get_loop().call_later(limit_s, self._container_over, container, limit_s)
        self._containers[job.place] = (container, limit)
        self._services.checkpoints.announce(self._attempts.change(self._attempts.record(job, "running")))
        container.go_on()

    def _container_over(self, container: Container, limit_s: float) -> None:
        """Stop all of a loop that took too long."""
        container.is_stopped = True
        inside = [job for job in self._open_jobs() if job.scope.is_closed]
        for job in inside:
            self._jobs.pop(job.place, None)
            self._parked.pop(job.place, None)
            self._containers.pop(job.place, None)
            if job.task is not None:
                job.task.cancel()
        now = utc_now()
        records = [self._attempts.record(job, "cancelled", finished_at=now) for job in inside]
        ends = [WaitEnd(*job.place, "cancelled") for job in inside]
        self._services.checkpoints.submit(self._attempts.change(*records, wait_ends=ends))
        message = f"{container.job.place[0]!r} took longer than {limit_s:g} s and was stopped."
        self.leave(container, Failure("timeout", message, retryable=False))

    async def _start_child(self, job: Job) -> None:
        """Store the child together with our wait for it, then wait."""
        try:
            failure = await self._queue_child(job)
        except RunLostError as error:
            self._break(error)
            return
        finally:
            self._worked()
        if failure is None:
            self._is_parked(job, "waiting", Outcome(kept=True))
        else:
            self._finish(job, self._attempts.failed(job, failure))

    async def _queue_child(self, job: Job) -> Failure | None:
        children = self._services.children
        config = tried(lambda: config_of(job))
        if isinstance(config, Failure) or children is None:
            return config if isinstance(config, Failure) else _NO_CHILD
        record = self._attempts.record(job, "waiting")
        wait_s = 0.1
        for _ in range(MAX_ABSENCES):
            queued = await attempted(asyncio.to_thread(children.queue, record, config, timeout_s=job.step.timeout_s))
            if not isinstance(queued, Failure):
                return None
            if queued.part != "postgres":
                return queued
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, 30.0)
        return _NO_CHILD

    # Waits.

    def _need_attention(self, job: Job) -> None:
        job.attempt = job.before.attempt if job.before is not None else max(1, job.attempt)
        job.started_at = job.started_at or (job.before.started_at if job.before is not None else None)
        wait = attention_of(job)
        event = EventRecord("needs_attention", *job.place, to_json({"attempt": job.attempt}))
        get_logger(__name__).warning("node needs attention", run_id=str(self._run.id), node=job.place[0])
        self._wait(job, wait, "needs_attention", events=(event,))

    def _wait(self, job: Job, wait: WaitRecord, status: str, **more: Any) -> None:
        """Store that the node waits; the slot of the run is not needed for it."""
        self._jobs[job.place] = job
        change = self._attempts.change(self._attempts.record(job, status), waits=(wait,), **more)
        change.then = functools.partial(self._is_parked, job, status)
        self._services.checkpoints.submit(change)

    def _is_parked(self, job: Job, status: str, outcome: Outcome) -> None:
        if self._is_leaving or job.scope.is_closed:
            return
        if not outcome.kept:
            self._refused(outcome)
            return
        del self._jobs[job.place]
        job.before = NodeState(status, job.attempt, None, None, job.started_at)
        self._parked[job.place] = (job, None)
        self._had_waits = True
        self.look()
        self._wake()

    def _resume_wait(self, job: Job) -> bool:
        """Go on waiting where an earlier claim left off; False when nothing is known of the wait."""
        wait = self._run.waits.get(job.place)
        if wait is None or job.before is None:
            return False
        job.attempt, job.started_at = job.before.attempt, job.before.started_at
        if wait.outcome is not None or wait.is_due:
            self._wait_over(job, wait)
        else:
            self._parked[job.place] = (job, wait)
            self._set_alarm()
        return True

    def _wait_over(self, job: Job, wait: WaitState) -> None:
        if wait.kind == "attention" and wait.outcome == "repeat":
            assert job.before is not None  # noqa: S101 - it waited
            job.before = NodeState("repeat", job.before.attempt, None, None)
            self._work(job, self._carry(job))
            return
        ended = self._ended_with(job, tried(lambda: outcome_of(job, wait)))
        ends: tuple[WaitEnd, ...] = ()
        if wait.outcome is None:
            ends = (WaitEnd(*job.place, "elapsed" if wait.kind == "time" else "expired"),)
            if wait.kind == "run" and self._services.children is not None:
                asyncio.get_running_loop().run_in_executor(None, self._services.children.stop, self._run.id)
        self._finish(job, ended, wait_ends=ends)

    async def _look(self) -> None:
        """Read the waits of this run, and go on with those that are over."""
        engine = self._services.resources.async_engine
        try:
            while engine is not None:
                self._look_again = False
                found = await self._read_waits(engine)
                for place, (job, _) in list(self._parked.items()):
                    wait = found.get(place)
                    if wait is None:
                        continue
                    if wait.outcome is not None or wait.is_due:
                        del self._parked[place]
                        self._wait_over(job, wait)
                    else:
                        self._parked[place] = (job, wait)
                if not self._look_again:
                    break
        finally:
            self._looking = None
            self._set_alarm()
            self._wake()

    async def _read_waits(self, engine: AsyncEngine) -> Mapping[Place, WaitState]:
        while True:
            try:
                with translated():
                    async with engine.connect() as connection:
                        return (await read_waits(connection, [self._run.id])).get(self._run.id, {})
            except DependencyError as error:
                get_logger(__name__).warning("waits not read", run_id=str(self._run.id), error=error.message)
                await asyncio.sleep(1.0)

    def _soonest_s(self) -> float | None:
        times = [wait.until for _, wait in self._parked.values() if wait is not None and wait.until is not None]
        return (min(times) - utc_now()).total_seconds() if times else None

    def _set_alarm(self) -> None:
        """Look again when the next wait is over."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        soonest = self._soonest_s()
        if soonest is not None and self._done is not None and not self._is_leaving:
            self._alarm = self._done.get_loop().call_later(max(_SOONEST_LOOK_S, soonest), self.look)

    # The end.

    def _park(self, status: str) -> None:
        self._is_leaving = True
        park = ParkRecord(status, self._left_s())
        change = self._attempts.change(park=park, concurrency_key=self._run.concurrency_key)
        change.then = lambda outcome: self._left(outcome.parked_as or status, outcome)
        self._services.checkpoints.submit(change)

    def _end(self) -> None:
        self._is_leaving = True
        status, output, error = self._result()
        change = self._end_of(status, output=output, error=error)

        def ended(outcome: Outcome) -> None:
            if outcome.refusal is not None and status == COMPLETED:
                message = f"PostgreSQL refuses the run's output ({outcome.refusal}); it was not kept."
                again = self._end_of(FAILED, error=to_json({"code": "input", "message": message, "node_id": None}))
                again.then = functools.partial(self._left, FAILED)
                self._services.checkpoints.submit(again)
            else:
                self._left(status, outcome)

        change.then = ended
        self._services.checkpoints.submit(change)

    def _left(self, status: str, outcome: Outcome) -> None:
        if not outcome.kept:
            self._refused(outcome)
        elif self._done is not None and not self._done.done():
            self._done.set_result(status)

    def _result(self) -> tuple[str, str | None, str | None]:
        """Return the run's status, its output and its error, the last two as JSON text."""
        problem = self._run.plan.problem
        if problem is not None:
            result: Any = Failure("definition", f"The workflow's version cannot be read: {problem}", retryable=False)
        else:
            result = scope_result(self._root)
        if not isinstance(result, Failure):
            try:
                return COMPLETED, output_json(result), None
            except HelmsightError as error:
                result = failure_of(error)
        node_id, failed = None, self._root.failed
        if failed is not None:
            node_id = self._root.plan.steps[failed].node.id
            found = self._root.nodes[node_id]["error"] or {}
            result = Failure(found.get("code", result.code), found.get("message", result.message), retryable=False)
        return FAILED, None, to_json({"code": result.code, "message": result.message, "node_id": node_id})

    def _left_s(self) -> float | None:
        """Return the seconds that the run may still take; None: as long as it takes."""
        if self._timeout is None:
            return None
        gone = self._run.age + timedelta(seconds=time.perf_counter() - self._began)
        return max(0.0, (self._timeout - gone).total_seconds())

    def _time_over(self) -> None:
        """Fail the run, because all of it took too long."""
        if self._is_leaving or self._timeout is None:
            return
        self._is_leaving = True
        message = f"The run took longer than {self._timeout.total_seconds():g} s; its nodes were stopped."
        self._looking = asyncio.create_task(self._stop_late(message))

    async def _stop_late(self, message: str) -> None:
        children = self._services.children
        await self._stop_nodes()
        if children is not None and any(wait and wait.kind == "run" for _, wait in self._parked.values()):
            await attempted(asyncio.to_thread(children.stop, self._run.id))
        error = to_json({"code": "timeout", "message": message, "node_id": None})
        change = self._end_of(FAILED, error=error, stopped=True)
        change.then = functools.partial(self._left, FAILED)
        self._services.checkpoints.submit(change)

    def _end_of(
        self, status: str, *, output: str | None = None, error: str | None = None, stopped: bool = False
    ) -> Change:
        """Return the run's end; when it was *stopped*, with all its open nodes as cancelled."""
        run = self._run
        records = self._stopped_nodes() if stopped else []
        counts = Counter(found for found in self._root.statuses if found is not None)
        counts.update(record.status for record in records if record.map_index < 0 and "/" not in record.node_id)
        return self._attempts.change(
            *records,
            end=RunRecord(status, output, error, to_json(dict(counts))),
            has_waits=self._had_waits,
            has_parent=run.parent_run_id is not None,
            concurrency_key=run.concurrency_key,
        )

    def _stopped_nodes(self) -> list[NodeRecord]:
        now = utc_now()
        open_jobs = self._open_jobs()
        records = {job.place: self._attempts.record(job, "cancelled", finished_at=now) for job in open_jobs}
        for place, state in self._run.nodes.items():
            if state.status in _OPEN and place not in records and not self._has_ended(place):
                record = self._record_left(place, state, now)
                if record is not None:
                    records[place] = record
        return list(records.values())

    def _has_ended(self, place: Place) -> bool:
        return place[1] < 0 and place[0] in self._root.nodes

    def _record_left(self, place: Place, state: NodeState, now: datetime) -> NodeRecord | None:
        """Return the cancelled record of a node that an earlier claim has left open."""
        definition = self._run.plan.definition
        node = None if definition is None else find_node(definition, place[0])
        if node is None:
            return None
        step = Step(0, node, None, (), 0.0, None, is_literal=True)
        job = Job(self._root, step, place, now, state, attempt=state.attempt, started_at=state.started_at)
        return self._attempts.record(job, "cancelled", finished_at=now)._replace(ready_at=None)

    def _open_jobs(self) -> list[Job]:
        parked = [job for job, _ in self._parked.values()]
        return [*self._jobs.values(), *parked, *(container.job for container, _ in self._containers.values())]

    async def _stop_nodes(self) -> None:
        open_tasks = [job.task for job in self._jobs.values() if job.task is not None and not job.task.done()]
        current = asyncio.current_task()
        if self._looking is not None and self._looking is not current:
            open_tasks.append(self._looking)
        for task in open_tasks:
            task.cancel()
        await asyncio.gather(*open_tasks, return_exceptions=True)
