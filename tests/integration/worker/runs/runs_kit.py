"""What the tests of runs share: hosts and model workers in this process, workflows in one line, waiting."""

import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from rq.timeouts import TimerDeathPenalty
from sqlalchemy import Engine, text

from analytics.core.settings import Settings
from analytics.live.client import connect
from analytics.store.engine import make_engine, session_scope
from analytics.store.queries.runs import RunDetail, run_detail
from worker.jobs import nodes, runs
from worker.pools.child_process import ChildProcess
from worker.pools.host import RunHost
from worker.pools.model_worker import ModelWorker
from worker.pools.process import WorkerProcess, _beat, _beat_until_stopped, _say_goodbye
from worker.pools.rq_worker import work_until_stopped
from worker.pools.run_worker import RunWorker
from worker.workflow.definition import parse_definition, register_workflow
from worker.workflow.logs import LogWriter
from worker.workflow.retries import Backoff

ENDED = ("completed", "failed", "cancelled")
LEASE = timedelta(seconds=1.8)


def node(node_id: str, *needs: str, kind: str = "test.wait", **more: Any) -> dict[str, Any]:
    keys = {"retries", "timeout", "priority", "estimated_duration_s", "run_if", "on_error", "cache", "body", "backoff"}
    return {
        "id": node_id,
        "kind": kind,
        "needs": list(needs),
        **{key: value for key, value in more.items() if key in keys},
        "config": {key: value for key, value in more.items() if key not in keys},
    }


def store(engine: Engine, name: str, *steps: dict[str, Any], **more: Any) -> str:
    with session_scope(engine) as session:
        register_workflow(session, parse_definition({"name": name, "nodes": list(steps), **more}), created_by=None)
    return name


def until(check: Callable[[], Any], *, within_s: float = 20.0, what: str = "it") -> Any:
    deadline = time.monotonic() + within_s
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < deadline, f"{what} did not happen within {within_s} s"
        time.sleep(0.02)


def detail(engine: Engine, run_id: uuid.UUID) -> RunDetail:
    with session_scope(engine) as session:
        found = run_detail(session, run_id)
    assert found is not None
    return found


def ended(engine: Engine, run_id: uuid.UUID, *, within_s: float = 20.0) -> RunDetail:
    def check() -> RunDetail | None:
        found = detail(engine, run_id)
        return found if found.row.status in ENDED else None

    return until(check, within_s=within_s, what=f"the end of run {run_id}")


def statuses(found: RunDetail) -> dict[str, str]:
    return {item.node_id: item.status for item in found.nodes}


def executions(log: Path) -> Counter[str]:
    """How often each node ran, by what it wrote down."""
    return Counter(line.split()[0] for line in log.read_text().splitlines()) if log.exists() else Counter()


@contextmanager
def process(settings: Settings, kind: Any, name: str, slots: int) -> Iterator[WorkerProcess]:
    engine, client = make_engine(settings, role=f"test-{kind}"), connect(settings)
    mine = WorkerProcess(kind=kind, settings=settings, engine=engine, redis=client, name=name, slots=slots)
    _beat(mine)
    beat = threading.Thread(target=_beat_until_stopped, args=(mine,), daemon=True)
    beat.start()
    try:
        yield mine
    finally:
        mine.stop.set()
        beat.join(timeout=5)
        _say_goodbye(mine)
        client.close()
        engine.dispose()


@contextmanager
def hosting(settings: Settings, name: str = "host-1", slots: int = 50, drain_s: float = 0.0) -> Iterator[RunHost]:
    """A run worker without RQ: it finds runs by looking, three times a lease."""
    with process(settings, "run", name, slots) as mine:
        host = RunHost(mine, backoff=Backoff(0.01, 0.05))
        host.start()
        try:
            yield host
        finally:
            host.close(drain_s=drain_s)


@contextmanager
def frozen(host: RunHost, statement: str | None = None) -> Iterator[None]:
    """The host's loop stands still, as that of a process stopped by SIGSTOP; after *statement*, if there is one."""
    goes_on, stands_still = threading.Event(), threading.Event()

    def stand_still() -> None:
        stands_still.set()
        goes_on.wait()

    async def stop() -> None:
        if statement is None:
            stand_still()
            return
        async with host._engine.connect() as connection:
            await connection.execute(text(statement))
            stand_still()
            await connection.invalidate()

    stopped = host._submit(stop())
    stands_still.wait()
    try:
        yield
    finally:
        goes_on.set()
        stopped.result()


class _InThread:
    death_penalty_class = TimerDeathPenalty
    dequeue_timeout = 1

    def _install_signal_handlers(self) -> None:
        """Only the main thread may."""


class ThreadRunWorker(_InThread, RunWorker): ...


class ThreadModelWorker(_InThread, ModelWorker): ...


@contextmanager
def token_worker(settings: Settings, name: str = "tokens") -> Iterator[RunHost]:
    """A whole run worker, with RQ's loop in a thread."""
    with process(settings, "run", name, 50) as mine:
        host = RunHost(mine, backoff=Backoff(0.01, 0.05))
        host.start()
        runs.bind(host.claim_one)
        with _working(mine, lambda: ThreadRunWorker(mine, host)):
            yield host
        host.close(drain_s=0)


@contextmanager
def model_worker(settings: Settings, name: str = "model-1") -> Iterator[ChildProcess]:
    """A whole model worker, with RQ's loop in a thread and a real child."""
    with process(settings, "model", name, 1) as mine:
        child, logs, is_over = ChildProcess(settings), LogWriter(mine.engine), threading.Event()
        writing = threading.Thread(target=logs.write_until, args=(is_over,))
        writing.start()
        nodes.bind(nodes.Carrier(mine.engine, child.ask, executor=mine.name, stop=mine.stop, logs=logs))
        child.warm_up()
        try:
            with _working(mine, lambda: ThreadModelWorker(mine, child)):
                yield child
                child.kill("worker stopped")
            child.close()
        finally:
            is_over.set()
            writing.join()


@contextmanager
def _working(mine: WorkerProcess, make: Callable[[], Any]) -> Iterator[None]:
    thread = threading.Thread(target=work_until_stopped, args=(mine, make), daemon=True)
    thread.start()
    try:
        yield
    finally:
        mine.stop.set()
        thread.join(timeout=20)
