"""The event loop of a run worker: slots, executions, leases, and the ear on PostgreSQL.

It lives beside RQ's loop in a thread of its own, so that runs under way do not notice when Redis goes away.
"""

import asyncio
import contextlib
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import Future
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from analytics.core.errors import DependencyError
from analytics.core.logging import correlated, get_logger
from analytics.core.telemetry import SLOTS_USED
from analytics.store.engine import driver_url, make_async_engine, translated
from analytics.store.reading import make_reader
from worker.enqueue import CONTROL_CHANNEL, send_wake
from worker.mcp.pool import McpPool
from worker.pools.process import WorkerProcess
from worker.runtime import Failure, attempted
from worker.workflow.cache import NodeCache
from worker.workflow.checkpoints import Checkpointer
from worker.workflow.children import Children
from worker.workflow.claim import claim, release
from worker.workflow.executor import Execution, Services
from worker.workflow.lease import beat_s, renew
from worker.workflow.logs import LogWriter
from worker.workflow.node_kind import WorkerResources
from worker.workflow.reconcile import WAKE_DUE, reconcile
from worker.workflow.records import ClaimedRun, RunLostError
from worker.workflow.remote import ModelDispatch
from worker.workflow.retries import Backoff
from worker.workflow.transports import Transports

T = TypeVar("T")

CLAIM_BATCH = 16
"""The most runs claimed at once, so that several workers share what is queued."""

_LONGEST_WAIT_S = 2.0
_REFILL_S = 0.004
_LONGEST_TIMER_S = 60.0
"""Runs that wait longer are woken by the reconciler, which looks every few seconds."""

_RECONCILE_S = 2.0
"""How long at most a run whose lease has ended waits for somebody to notice."""

_log = get_logger(__name__)


@dataclass
class _Slot:
    run: ClaimedRun
    execution: Execution
    task: asyncio.Task[None] | None = None
    cancelled: bool = False
    """Somebody asked for it; otherwise a cancelled task means that the run is to go back or is lost."""


class RunHost:
    """Carries up to ``slots`` runs at once; its methods may be called from any thread."""

    def __init__(self, process: WorkerProcess, *, backoff: Backoff | None = None) -> None:
        self._process = process
        self._backoff = backoff or Backoff()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="runs", daemon=True)
        self._slots: dict[uuid.UUID, _Slot] = {}
        self._claiming = asyncio.Lock()
        self._claim_soon: asyncio.Task[None] | None = None
        self._waking: asyncio.Task[None] | None = None
        self._closing = False
        self._has_more = False
        """Runs may be queued that no free slot was there for."""
        self._is_refilling = False
        self._freed = threading.Event()
        self._stack: AsyncExitStack | None = None
        self._engine: AsyncEngine | None = None
        self._services: Services | None = None
        self._dispatch: ModelDispatch | None = None

    @property
    def slots_used(self) -> int:
        """Return how many runs are under way."""
        return len(self._slots)

    @property
    def slots_free(self) -> int:
        """Return how many more could be."""
        return self._process.slots - len(self._slots)

    def start(self) -> None:
        """Start the loop and what runs on it."""
        self._thread.start()
        self._submit(self._open()).result()

    def claim_one(self) -> uuid.UUID | None:
        """Claim the best queued runs and start them; return the best, or None when none waits or no slot is free.

        Raises:
            DependencyError: If PostgreSQL does not answer.
        """
        claimed = self._submit(self._claim_batch()).result()
        return claimed[0] if claimed else None

    def wait_for_slot(self, timeout_s: float) -> bool:
        """Wait until a slot is free; tell whether one is."""
        if self.slots_free > 0:
            return True
        self._freed.clear()
        if self.slots_free <= 0:
            self._freed.wait(timeout_s)
        return self.slots_free > 0

    def close(self, *, drain_s: float) -> None:
        """Let runs end for up to *drain_s* seconds, give the others back, and stop the loop."""
        self._submit(self._close(drain_s)).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        if not self._thread.is_alive():
            self._loop.close()

    def _submit(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _open(self) -> None:
        process = self._process
        stack = AsyncExitStack()
        # Whoever stands still within a transaction, as a stopped process does, keeps its runs no longer than a lease.
        self._engine = make_async_engine(process.settings, role="runs", longest_pause=process.settings.worker.lease)
        stack.push_async_callback(self._engine.dispose)
        reader = make_reader(process.settings)
        if reader is not None:
            stack.push_async_callback(reader.dispose)
        pool = await stack.enter_async_context(McpPool(process.settings))
        checkpoints = Checkpointer(self._engine, owner=process.name)
        self.checkpoints = checkpoints
        logs = LogWriter(process.engine)
        stack.push_async_callback(_flushed, logs)
        cache = NodeCache(self._engine, owner=process.name, lease=process.settings.worker.lease)
        self._dispatch = ModelDispatch(self._engine, process.redis, lease=process.settings.worker.lease)
        self._services = Services(
            settings=process.settings,
            worker=process.name,
            resources=WorkerResources(
                engine=process.engine, async_engine=self._engine, reader=reader, redis=process.redis, mcp=pool
            ),
            checkpoints=checkpoints,
            transports=Transports(self._dispatch),
            backoff=self._backoff,
            logs=logs,
            cache=cache,
            children=Children(process.engine, process.redis, process.settings, owner=process.name),
        )
        for work in (
            checkpoints.write_forever,
            logs.write_forever,
            cache.work_forever,
            self._dispatch.watch_forever,
            self._renew_forever,
            self._look_forever,
            self._reconcile_forever,
            self._listen_forever,
        ):
            await stack.enter_async_context(_running(work))
        self._stack = stack

    async def _close(self, drain_s: float) -> None:
        self._closing = True
        if self._claim_soon is not None:
            await asyncio.gather(self._claim_soon, return_exceptions=True)
        tasks = [slot.task for slot in self._slots.values() if slot.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=drain_s)
        left = {run_id: slot for run_id, slot in self._slots.items() if slot.task is not None}
        for slot in left.values():
            if slot.task is not None:
                slot.task.cancel()
        await asyncio.gather(*(slot.task for slot in left.values() if slot.task), return_exceptions=True)
        if left:
            await self._give_back(list(left))
        if self._stack is not None:
            await self._stack.aclose()
        await asyncio.get_running_loop().shutdown_default_executor()

    async def _give_back(self, run_ids: list[uuid.UUID]) -> None:
        assert self._engine is not None  # noqa: S101 - opened before
        try:
            for run_id, epoch, correlation in await release(self._engine, run_ids, owner=self._process.name):
                await asyncio.to_thread(
                    send_wake, self._process.redis, run_id, epoch, correlation=correlation, again=False
                )
        except DependencyError as error:
            _log.warning("runs not given back; their leases run out", runs=len(run_ids), error=error.message)

    async def _claim_batch(self) -> list[uuid.UUID]:
        claimed = await self._claim()
        if self._has_more and self.slots_free > 0:
            self._look_for_runs()
        return claimed

    async def _claim(self) -> list[uuid.UUID]:
        """Claim as many runs as there are free slots, but no more than one batch; return them, the best first."""
        assert self._engine is not None  # noqa: S101 - opened before
        assert self._services is not None  # noqa: S101
        async with self._claiming:
            limit = min(self.slots_free, CLAIM_BATCH)
            if limit <= 0 or self._closing:
                self._has_more = True
                return []
            lease = self._process.settings.worker.lease
            runs = await claim(self._engine, owner=self._process.name, lease=lease, limit=limit)
            self._has_more = len(runs) == limit
            for run in runs:
                slot = _Slot(run, Execution(run, self._services), cancelled=run.cancel_requested)
                earlier = self._slots.get(run.id)
                if earlier is not None and earlier.task is not None:
                    earlier.task.cancel()  # We stood still, lost the run, and have it again.
                self._slots[run.id] = slot
                slot.task = asyncio.create_task(self._carry(slot), name=f"run {run.id}")
        SLOTS_USED.set(len(self._slots))
        return [run.id for run in runs]

    def _refill(self) -> None:
        self._is_refilling = False
        self._look_for_runs()

    def _look_for_runs(self) -> None:
        """Claim what is queued soon, because somebody told that there is something."""
        if self._claim_soon is None and not self._closing:
            self._claim_soon = asyncio.create_task(self._claim_all())

    async def _claim_all(self) -> None:
        try:
            await self._claim()
            while self._has_more and self.slots_free > 0 and not self._closing:
                await self._claim()
        except DependencyError as error:
            _log.warning("queue not looked at", error=error.message)
        finally:
            self._claim_soon = None

    async def _wake_due(self) -> None:
        """Queue waiting runs whose time has come."""
        assert self._engine is not None  # noqa: S101 - opened before
        try:
            with translated():
                async with self._engine.begin() as connection:
                    await connection.execute(WAKE_DUE)
        except DependencyError as error:
            _log.warning("waiting runs not looked at", error=error.message)
        self._look_for_runs()

    def _wake_at_due(self) -> None:
        if not self._closing:
            self._waking = asyncio.create_task(self._wake_due())

    async def _carry(self, slot: _Slot) -> None:
        run = slot.run
        try:
            with correlated(run.correlation_id):
                _log.info("run started", run_id=str(run.id), attempt=run.attempt, resumed=len(run.nodes))
                await self._execute(slot)
        except RunLostError:
            _log.warning("run lost to another worker", run_id=str(run.id), epoch=run.epoch)
        finally:
            if self._slots.get(run.id) is slot:
                del self._slots[run.id]
            SLOTS_USED.set(len(self._slots))
            self._freed.set()
            if self._has_more and not self._is_refilling:
                # Runs that began together end together: wait a moment, to claim for all their slots at once.
                self._is_refilling = True
                asyncio.get_running_loop().call_later(_REFILL_S, self._refill)

    async def _execute(self, slot: _Slot) -> None:
        try:
            result = await attempted(slot.execution.run()) if not slot.cancelled else None
        except asyncio.CancelledError:
            if not slot.cancelled:
                raise
            result = None
        run_id = str(slot.run.id)
        if result is None:
            await slot.execution.cancel()
            _log.info("run cancelled", run_id=run_id)
        elif isinstance(result, Failure):
            _log.error("run broke off; its lease runs out", run_id=run_id, error=result.message)
        else:
            _log.info("run left", run_id=run_id, status=result)
            self._after(slot, result)

    def _after(self, slot: _Slot, status: str) -> None:
        """See to it that a run that gave up its slot goes on in time."""
        soonest_s = slot.execution.soonest_s
        if status == "queued":
            asyncio.get_running_loop().call_soon(self._look_for_runs)
        elif status == "waiting" and soonest_s is not None and soonest_s <= _LONGEST_TIMER_S:
            asyncio.get_running_loop().call_later(max(0.01, soonest_s), self._wake_at_due)

    def _cancel(self, run_id: uuid.UUID) -> None:
        slot = self._slots.get(run_id)
        if slot is not None and not slot.cancelled and slot.task is not None:
            slot.cancelled = True
            slot.task.cancel()

    async def _renew_forever(self) -> None:
        assert self._engine is not None  # noqa: S101 - opened before
        lease = self._process.settings.worker.lease
        while True:
            await asyncio.sleep(beat_s(lease))
            before = {run_id: slot.run.epoch for run_id, slot in self._slots.items()}
            if not before:
                continue
            try:
                held = await renew(self._engine, owner=self._process.name, lease=lease)
            except DependencyError as error:
                _log.warning("leases not renewed", runs=len(before), error=error.message)
                continue
            for run_id, epoch in before.items():
                ours = held.get(run_id)
                slot = self._slots.get(run_id)
                if ours is not None and ours.epoch == epoch:
                    if ours.cancel_requested:
                        self._cancel(run_id)
                    elif slot is not None:
                        if ours.pause_requested != slot.execution.is_paused:
                            slot.execution.pause(ours.pause_requested)
                        slot.execution.look()  # Whoever told us of a wait that is over may not have been heard.
                elif slot is not None and slot.run.epoch == epoch and slot.task is not None:
                    slot.task.cancel()

    async def _look_forever(self) -> None:
        """Claim what is queued even when no token tells of it, so that runs go on without Redis."""
        while True:
            await asyncio.sleep(beat_s(self._process.settings.worker.lease))
            await self._claim_all()

    async def _reconcile_forever(self) -> None:
        lease = self._process.settings.worker.lease
        while True:
            await asyncio.sleep(min(_RECONCILE_S, beat_s(lease)))
            try:
                await asyncio.to_thread(reconcile, self._process.engine, self._process.redis, grace=2 * lease / 3)
            except DependencyError as error:
                _log.warning("nothing reconciled", error=error.message)

    async def _listen_forever(self) -> None:
        url = make_url(driver_url(self._process.settings.dsn)).set(drivername="postgresql")
        dsn = url.render_as_string(hide_password=False)
        wait_s = 0.1
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    dsn, autocommit=True, application_name="helmsight-listen", connect_timeout=5
                ) as connection:
                    await connection.execute(f"LISTEN {CONTROL_CHANNEL}")
                    wait_s = 0.1
                    async for notice in connection.notifies():
                        self._hear(notice.payload)
            except psycopg.Error as error:
                _log.warning("control channel lost", error=str(error).strip().split("\n")[0])
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, _LONGEST_WAIT_S)

    def _hear(self, payload: str) -> None:
        subject, _, rest = payload.partition(":")
        if subject == "node" and self._dispatch is not None:
            self._dispatch.heard()
        elif subject == "claim":
            self._look_for_runs()
        else:
            with contextlib.suppress(ValueError):
                self._steer(subject, uuid.UUID(rest))

    def _steer(self, subject: str, run_id: uuid.UUID) -> None:
        slot = self._slots.get(run_id)
        if slot is None:
            if subject == "look":
                self._look_for_runs()
            return
        match subject:
            case "cancel":
                self._cancel(run_id)
            case "pause" | "resume":
                slot.execution.pause(subject == "pause")
            case "look":
                slot.execution.look()
            case _:
                _log.warning("unknown message", subject=subject)


async def _flushed(logs: LogWriter) -> None:
    try:
        await logs.flush()
    except DependencyError as error:
        _log.warning("log lines lost", error=error.message)


@asynccontextmanager
async def _running(work: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Run *work*, which never returns, as a task for the block; start it again when it breaks."""

    async def keep() -> None:
        while True:
            failure = await attempted(work())
            _log.error("background work broke off", work=work.__qualname__, failure=str(failure))
            await asyncio.sleep(1)

    task = asyncio.create_task(keep(), name=work.__qualname__)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
