"""The scheduler: what has to happen every so often, and the queue ``upkeep``.

Several schedulers do no harm: ticks happen in the one that holds an advisory lock, and every tick is safe to repeat.
Each tick has a thread of its own, so that a slow Prometheus does not hold up the recovery of runs.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy import Connection, exc, text
from sqlalchemy.orm import Session

from analytics.core.clock import utc_now
from analytics.core.logging import correlated, get_logger
from analytics.core.settings import Settings
from analytics.core.telemetry import JOB_SECONDS, JOBS, QUEUE_DEPTH
from analytics.database import keep_indexes, request_best, sample_sizes
from analytics.demo import is_seeded, keep_alive
from analytics.insights import find_insights
from analytics.kpi.overview import record_score
from analytics.rollup.retention import Keep, drop_old_facts
from analytics.rollup.upkeep import keep_up
from analytics.slo.ingest import ingest
from analytics.sources.prometheus import PromClient
from analytics.sources.store import StoreSampler
from analytics.sources.system import Measurement, record, sample_system
from analytics.store.engine import session_scope
from analytics.store.partitions import ensure_partitions
from analytics.store.queries.runs import queue_state
from analytics.store.retention import clean_expired, drop_old_months
from worker.catalog import QueueName
from worker.doors.waking import Waker
from worker.jobs import upkeep
from worker.mcp.catalogue import refresh_catalogue_once
from worker.pools.process import WorkerProcess, worker_process
from worker.pools.rq_worker import OneQueueWorker, work_until_stopped
from worker.queues import queue_depths
from worker.runtime import Failure, tried
from worker.workflow.definition import ensure_builtin_workflows
from worker.workflow.event_sources import raise_alerts, read_stream
from worker.workflow.lease import beat_s
from worker.workflow.reconcile import reconcile
from worker.workflow.schedules import tick
from worker.workflow.triggers import raise_run_ends

AGAIN_S = 15.0
"""What failed because a part was away is tried again after so long at the latest."""
KEEP_WORKERS = timedelta(days=7)
ENDED_AT_ONCE = 1000

_LOCK = text("SELECT pg_try_advisory_lock(hashtext('helmsight.scheduler'))")

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Tick:
    """Something that has to happen every so often."""

    name: str
    every_s: float
    work: Callable[[], object]
    after_s: float = 0.0
    """So long after the start at first: what takes seconds does not hold up what others wait for."""


class Leadership:
    """Whether this process is the scheduler that acts: it holds an advisory lock on a connection of its own."""

    def __init__(self, process: WorkerProcess) -> None:
        self._engine = process.engine
        self._connection: Connection | None = None
        self._lock = threading.Lock()

    def is_held(self) -> bool:
        """Tell whether it acts now; takes the lock when nobody has it."""
        with self._lock:
            try:
                if self._connection is not None:
                    self._connection.execute(text("SELECT 1"))
                    return True
                with ExitStack() as stack:
                    connection = stack.enter_context(self._engine.connect())
                    connection.execution_options(isolation_level="AUTOCOMMIT")
                    if connection.scalar(_LOCK):
                        stack.pop_all()
                        self._connection = connection
                        return True
            except exc.SQLAlchemyError as error:
                _log.warning("scheduler's lock lost", error=str(error).split("\n")[0])
                self._drop()
            return False

    def close(self) -> None:
        """Give the lock up."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()
            connection.close()


def ticks(process: WorkerProcess) -> list[Tick]:
    """Return what the scheduler does, and how often."""
    settings, engine = process.settings, process.engine
    prom = PromClient(settings.prometheus.url, settings.prometheus.timeout) if settings.prometheus.url else None
    lease = settings.worker.lease
    store = StoreSampler()
    return [
        Tick("tick_schedules", 2, lambda: _tick_schedules(process)),
        Tick("count_ended", 2, lambda: _count_ended(process)),
        Tick("read_events", 2, lambda: read_stream(engine, process.redis, settings)),
        Tick("raise_alerts", 60, lambda: raise_alerts(engine, process.redis, settings, now=utc_now())),
        Tick("reconcile", beat_s(lease), lambda: reconcile(engine, process.redis, grace=2 * lease / 3)),
        Tick("ingest_slo", 60, lambda: ingest(engine, prom, now=utc_now())),
        Tick("keep_up_rollup", 20, lambda: _keep_up_rollup(process)),
        Tick("sample_system", 30, lambda: _sample_system(process, store)),
        Tick("sample_score", 300, lambda: _sample_score(process, prom)),
        Tick("find_insights", 600, lambda: find_insights(engine, prom, now=utc_now()), after_s=45),
        Tick("sample_queues", 30, lambda: _sample_queues(process)),
        Tick("sample_sizes", 3600, lambda: _sample_sizes(process)),
        Tick("keep_indexes", 5, lambda: keep_indexes(engine)),
        Tick("advise_index", 3600, lambda: _advise_index(process), after_s=300),
        Tick("keep_demo_alive", 4, lambda: _keep_demo_alive(process)),
        Tick("ensure_partitions", 6 * 3600, lambda: _ensure_partitions(process)),
        Tick("clean_expired", 3600, lambda: _clean_expired(process)),
        Tick("drop_old_months", 6 * 3600, lambda: drop_old_months(engine, keep=settings.store.keep_runs)),
        Tick("drop_old_facts", 6 * 3600, lambda: _drop_old_facts(process)),
        Tick("ensure_builtins", 3600, lambda: _ensure_builtins(process)),
        Tick("forget_workers", 3600, lambda: _forget_workers(process)),
        Tick("refresh_mcp", 300, lambda: refresh_catalogue_once(settings, engine)),
    ]


def scheduler(settings: Settings) -> None:
    """Tick, and work off the queue ``upkeep``, until SIGTERM."""
    with worker_process("scheduler", settings, slots=1) as process, ExitStack() as stack:
        leadership = Leadership(process)
        stack.callback(leadership.close)
        upkeep.bind(lambda: refresh_catalogue_once(settings, process.engine))
        for tick in ticks(process):
            stack.enter_context(_ticking(tick, process, leadership))
        work_until_stopped(process, lambda: _upkeep_worker(process))


def _upkeep_worker(process: WorkerProcess) -> OneQueueWorker:
    return OneQueueWorker(QueueName.UPKEEP, process.redis, name=process.name, stop=process.stop)


@contextmanager
def _ticking(tick: Tick, process: WorkerProcess, leadership: Leadership) -> Iterator[None]:
    def loop() -> None:
        wait_s = tick.after_s
        while not process.stop.wait(wait_s):
            began = time.monotonic()
            # Whoever does not lead asks again soon, to take over when the leader is gone.
            every_s = _once(tick) if leadership.is_held() else min(tick.every_s, 5.0)
            wait_s = max(0.05, every_s - (time.monotonic() - began))

    thread = threading.Thread(target=loop, name=tick.name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        process.stop.set()
        thread.join(timeout=2)


def _once(tick: Tick) -> float:
    """Do it and return after how many seconds it is to be done again."""
    started = time.perf_counter()
    with correlated():
        result = tried(tick.work)
        JOBS.labels(tick.name, "failed" if isinstance(result, Failure) else "finished").inc()
        if isinstance(result, Failure):
            _log.warning("tick failed", tick=tick.name, error=result.message)
    JOB_SECONDS.labels(tick.name).observe(time.perf_counter() - started)
    return min(tick.every_s, AGAIN_S) if isinstance(result, Failure) and result.retryable else tick.every_s


def _tick_schedules(process: WorkerProcess) -> None:
    tick(process.engine, process.redis, process.settings)


def _count_ended(process: WorkerProcess) -> None:
    waker = Waker(process.engine, process.redis)
    while raise_run_ends(process.engine, waker, process.settings, limit=ENDED_AT_ONCE) == ENDED_AT_ONCE:
        if process.stop.is_set():
            return


def _keep_up_rollup(process: WorkerProcess) -> None:
    keep_up(process.engine, now=utc_now(), keep_hours=process.settings.store.keep_hours)


def _drop_old_facts(process: WorkerProcess) -> None:
    store = process.settings.store
    kept = Keep(store.keep_facts, store.keep_samples, store.keep_hours, store.keep_days)
    drop_old_facts(process.engine, kept)


def _clean_expired(process: WorkerProcess) -> None:
    settings = process.settings
    clean_expired(process.engine, keep=settings.store.keep_runs, keep_keys=settings.worker.idempotency_ttl)


def _sample_system(process: WorkerProcess, store: StoreSampler) -> None:
    home = process.settings.home
    measurements = sample_system(home if home.is_dir() else Path("/"))
    with session_scope(process.engine) as session:
        measurements += [*store.sample(session), *_sample_runs(session)]
        record(session, measurements, utc_now())


def _sample_runs(session: Session) -> list[Measurement]:
    state = queue_state(session)
    counts = {"queued": state.queued, "running": state.running}
    return [Measurement("runs_in_state", count, "runs", {"state": name}) for name, count in counts.items()]


def _sample_score(process: WorkerProcess, prom: PromClient | None) -> None:
    with session_scope(process.engine) as session:
        record_score(session, prom, now=utc_now())


def _sample_queues(process: WorkerProcess) -> None:
    depths = queue_depths(process.redis)
    for depth in depths:
        QUEUE_DEPTH.labels(depth.name).set(depth.waiting)
    with session_scope(process.engine) as session:
        record(
            session,
            [Measurement("queue_waiting", depth.waiting, "jobs", {"queue": depth.name}) for depth in depths],
            utc_now(),
        )


def _sample_sizes(process: WorkerProcess) -> None:
    with session_scope(process.engine) as session:
        sample_sizes(session, now=utc_now())


def _advise_index(process: WorkerProcess) -> None:
    if process.settings.store.auto_index:
        with session_scope(process.engine) as session:
            request_best(session, now=utc_now())


def _keep_demo_alive(process: WorkerProcess) -> None:
    with session_scope(process.engine) as session:
        seeded = is_seeded(session)
    if seeded:
        keep_alive(process.redis)


def _ensure_partitions(process: WorkerProcess) -> None:
    with session_scope(process.engine) as session:
        ensure_partitions(session.connection())


def _ensure_builtins(process: WorkerProcess) -> None:
    with session_scope(process.engine) as session:
        ensure_builtin_workflows(session)


def _forget_workers(process: WorkerProcess) -> None:
    with session_scope(process.engine) as session:
        session.execute(
            text("DELETE FROM worker_process WHERE seen_at < :before"), {"before": utc_now() - KEEP_WORKERS}
        )
