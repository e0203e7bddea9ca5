"""What every worker process has: a name, connections, a row in ``worker_process``, metrics, and an end on SIGTERM."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Literal

import orjson
import psutil
from prometheus_client import start_http_server
from redis import Redis
from sqlalchemy import Engine, text

from analytics.core.errors import DependencyError
from analytics.core.logging import get_logger
from analytics.core.settings import Settings
from analytics.live.client import connect
from analytics.store.engine import make_engine, session_scope
from worker.workflow.lease import beat_s

Kind = Literal["run", "model", "scheduler"]

_log = get_logger(__name__)


@dataclass
class WorkerProcess:
    """The present process as a worker."""

    kind: Kind
    settings: Settings
    engine: Engine
    redis: Redis
    name: str
    slots: int
    slots_used: Callable[[], int] = field(default=lambda: 0)
    stop: threading.Event = field(default_factory=threading.Event)
    """Set when the process shall end."""


@contextmanager
def worker_process(kind: Kind, settings: Settings, *, slots: int) -> Iterator[WorkerProcess]:
    """Open connections, metrics and the heartbeat for the block; SIGTERM and SIGINT set ``stop``."""
    engine = make_engine(settings, role=f"worker-{kind}")
    client = connect(settings)
    name = f"{socket.gethostname()}.{os.getpid()}.{kind}"
    process = WorkerProcess(kind=kind, settings=settings, engine=engine, redis=client, name=name, slots=slots)
    beat = threading.Thread(target=_beat_until_stopped, args=(process,), name="heartbeat", daemon=True)
    try:
        with _metrics(process):
            _install_signals(process)
            _beat(process)
            beat.start()
            _log.info("worker started", worker=name)
            yield process
    finally:
        process.stop.set()
        if beat.is_alive():
            beat.join(timeout=2)
        _say_goodbye(process)
        client.close()
        engine.dispose()
        _log.info("worker stopped", worker=name)


def _install_signals(process: WorkerProcess) -> None:
    def ask_to_stop(_: int, __: FrameType | None) -> None:
        process.stop.set()

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, ask_to_stop)
        signal.signal(signal.SIGINT, ask_to_stop)


def _beat_until_stopped(process: WorkerProcess) -> None:
    while not process.stop.wait(beat_s(process.settings.worker.lease)):
        _beat(process)


def _beat(process: WorkerProcess) -> None:
    try:
        with session_scope(process.engine) as session:
            session.execute(
                text(
                    "INSERT INTO worker_process (name, kind, host, pid, slots, slots_used)"
                    " VALUES (:name, :kind, :host, :pid, :slots, :slots_used)"
                    " ON CONFLICT (name) DO UPDATE SET seen_at = now(), slots_used = EXCLUDED.slots_used,"
                    " stopped_at = NULL"
                ),
                {
                    "name": process.name,
                    "kind": process.kind,
                    "host": socket.gethostname(),
                    "pid": os.getpid(),
                    "slots": process.slots,
                    "slots_used": process.slots_used(),
                },
            )
    except DependencyError as error:
        _log.warning("heartbeat not written", error=error.message)


def _say_goodbye(process: WorkerProcess) -> None:
    try:
        with session_scope(process.engine) as session:
            session.execute(
                text("UPDATE worker_process SET stopped_at = now(), slots_used = 0 WHERE name = :name"),
                {"name": process.name},
            )
    except DependencyError as error:
        _log.warning("end of the worker not written", error=error.message)


@contextmanager
def _metrics(process: WorkerProcess) -> Iterator[None]:
    """Serve this process's metrics, and tell Prometheus where, for the block."""
    worker = process.settings.worker
    server, thread = start_http_server(worker.metrics_port, addr=worker.metrics_host)
    target = _target_file(process)
    if target is not None:
        _write_target(target, process, server.server_port)
    try:
        yield
    finally:
        if target is not None:
            target.unlink(missing_ok=True)
        server.shutdown()
        server.server_close()
        thread.join(timeout=2)


def _target_file(process: WorkerProcess) -> Path | None:
    if not process.settings.home.is_dir():
        return None
    folder = process.settings.home / "run" / "targets"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _log.warning("no place for the Prometheus target", folder=str(folder), error=str(error))
        return None
    _forget_dead_targets(folder)
    return folder / f"{process.name}.json"


def _forget_dead_targets(folder: Path) -> None:
    """Remove the targets of workers of this host that were killed before they could."""
    for path in folder.glob(f"{socket.gethostname()}.*.json"):
        pid = path.name.removeprefix(f"{socket.gethostname()}.").partition(".")[0]
        if pid.isdecimal() and not psutil.pid_exists(int(pid)):
            path.unlink(missing_ok=True)


def _write_target(path: Path, process: WorkerProcess, port: int) -> None:
    host = process.settings.worker.metrics_host
    reached = socket.gethostname() if host in {"0.0.0.0", "::"} else host  # noqa: S104 - compared, not bound
    content = [{"targets": [f"{reached}:{port}"], "labels": {"job": "helmsight-worker", "worker_kind": process.kind}}]
    partial = path.with_suffix(".new")
    with suppress(OSError):
        partial.write_bytes(orjson.dumps(content))
        partial.rename(path)


def keep_trying(process: WorkerProcess, work: Callable[[], None], *, longest_s: float = 2.0) -> None:
    """Call *work* until the process shall stop, with growing waits after it fails for want of Redis or PostgreSQL."""
    wait_s = 0.1
    while not process.stop.is_set():
        began = time.monotonic()
        try:
            work()
        except DependencyError as error:
            _log.warning("worker waits for a service", error=error.message)
        wait_s = 0.1 if time.monotonic() - began > longest_s else min(wait_s * 2, longest_s)
        if not process.stop.is_set():
            process.stop.wait(wait_s)
