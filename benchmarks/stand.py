"""A test stand: PostgreSQL and Valkey as the product ships them, its workers as processes, and a door to queue runs.

Settings are the product's own, with data flushed to disk at each commit, unless a fault needs a shorter lease. The
kinds of nodes in ``benchmarks/kinds`` are found by the workers as those of any third party. Not part of the product.
"""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import psutil
import psycopg
from sqlalchemy import Engine, create_engine

from analytics.core.settings import RedisSettings, Settings, StoreSettings
from analytics.live.client import connect
from analytics.store.engine import driver_url, session_scope
from analytics.store.migrate import migrate
from dashboard.processes.servers import (
    EmbeddedPostgres,
    EmbeddedValkey,
    Server,
    free_port,
    launch,
    wait_until_ready,
)
from worker.enqueue import Door
from worker.workflow import kinds
from worker.workflow.definition import parse_definition, register_workflow

KINDS = Path(__file__).parent / "kinds"
ROOT = Path(__file__).parents[1]
READY_S = 60.0


@dataclass
class Worker:
    """One worker process of ours."""

    name: str
    kind: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self.process.pid

    def send(self, what: signal.Signals) -> None:
        """Send a signal to it and to all it started."""
        os.killpg(self.pid, what)

    def kill(self) -> None:
        """Kill the worker itself without warning; its children have to notice by themselves."""
        self.process.kill()
        self.process.wait(timeout=20)

    def children(self) -> list[psutil.Process]:
        """Return what it started and still runs."""
        try:
            return psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []


@dataclass
class Stand:
    """Servers below ``root``, a directory that every account can enter, and the workers started on them."""

    root: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    """Settings of the workers beside ours, as variables."""
    server_settings: Mapping[str, str] = field(default_factory=dict)
    """Settings of PostgreSQL beside the product's."""

    def __post_init__(self) -> None:
        self.root.chmod(0o755)
        self.postgres = EmbeddedPostgres(
            root=self.root / "postgres", port=free_port(), settings=dict(self.server_settings)
        )
        self.valkey = EmbeddedValkey(root=self.root / "valkey", port=free_port())
        self.servers: dict[str, subprocess.Popen[bytes]] = {}
        self.workers: dict[str, Worker] = {}
        self._started = 0

    def __enter__(self) -> Self:
        use_bench_kinds()
        (self.root / "home").mkdir(exist_ok=True)
        try:
            self.start_server(self.postgres)
            self.start_server(self.valkey)
            self.settings = Settings(
                home=self.root / "home",
                store=StoreSettings(dsn=self.postgres.dsn),
                redis=RedisSettings(url=self.valkey.url),
            )
            self.engine: Engine = create_engine(driver_url(self.postgres.dsn), pool_size=10)
            migrate(self.engine)
            self.redis = connect(self.settings)
            self.door = Door(self.engine, self.redis, self.settings)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start_server(self, server: Server) -> None:
        """Start PostgreSQL or Valkey, on the port and the data it had."""
        server.prepare()
        log = self.root / f"{server.name}.log"
        process = launch(server.command(), log=log, account=server.account())
        self.servers[server.name] = process
        wait_until_ready(server, process, log=log)

    def end_server(self, server: Server, how: signal.Signals) -> None:
        """End a server with the signal *how*, and wait until it is gone."""
        process = self.servers.pop(server.name)
        process.send_signal(how)
        process.wait(timeout=30)

    def variables(self) -> dict[str, str]:
        """Return the environment of our workers."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("HELMSIGHT_")}
        return {
            **inherited,
            "PYTHONPATH": f"{KINDS}{os.pathsep}{ROOT}",
            "HELMSIGHT_HOME": str(self.root / "home"),
            "HELMSIGHT_STORE__DSN": self.postgres.dsn,
            "HELMSIGHT_REDIS__URL": self.valkey.url,
            **self.environment,
        }

    def start_worker(self, kind: str, **settings: str) -> Worker:
        """Start a worker process with the product's own command; *settings* are variables without their prefix."""
        self._started += 1
        name = f"{kind}-{self._started}"
        log = self.root / f"{name}.log"
        extra = {f"HELMSIGHT_{key.upper()}": value for key, value in settings.items()}
        process = launch(
            [sys.executable, "-m", "dashboard.cli", "worker", kind], log=log, env={**self.variables(), **extra}
        )
        self.workers[name] = Worker(name, kind, process, log)
        return self.workers[name]

    def wait_ready(self, *workers: Worker) -> None:
        """Wait until each of *workers* has told where its metrics are, and what it does besides has begun."""
        targets = self.root / "home" / "run" / "targets"

        def ready(worker: Worker) -> bool:
            if worker.process.poll() is not None:
                raise RuntimeError(f"{worker.name} ended:\n{tail(worker.log)}")
            return any(targets.glob(f"*.{worker.pid}.{worker.kind}.json"))

        for worker in workers:
            until(lambda worker=worker: ready(worker), f"{worker.name} at work", within_s=READY_S)
        queues = {"run": "rq:workers:runs", "model": "rq:workers:models", "scheduler": "rq:workers:upkeep"}
        for worker in workers:
            until(
                lambda worker=worker: any(
                    f".{worker.pid}." in name.decode() for name in self.redis.smembers(queues[worker.kind])
                ),
                f"{worker.name} at its queue",
                within_s=READY_S,
            )

    def stop_worker(self, worker: Worker) -> None:
        """Stop it as the supervisor does."""
        self.workers.pop(worker.name, None)
        if worker.process.poll() is None:
            worker.send(signal.SIGCONT)
            worker.process.terminate()
            try:
                worker.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                worker.send(signal.SIGKILL)
                worker.process.wait(timeout=20)

    def stop(self) -> None:
        """Stop everything."""
        for worker in list(self.workers.values()):
            self.stop_worker(worker)
        if hasattr(self, "redis"):
            self.redis.close()
        if hasattr(self, "engine"):
            self.engine.dispose()
        for server in (self.valkey, self.postgres):
            process = self.servers.pop(server.name, None)
            if process is not None and process.poll() is None:
                process.send_signal(server.stop_signal)
                try:
                    process.wait(timeout=20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def store(self, definition: Mapping[str, Any]) -> str:
        """Store *definition* and return its name."""
        parsed = parse_definition(dict(definition))
        with session_scope(self.engine) as session:
            register_workflow(session, parsed, created_by=None)
        return parsed.name

    def queue(self, workflow: str, **params: Any) -> uuid.UUID:
        """Queue a run through the door, as pages and routes do."""
        return self.door.queue_run(workflow=workflow, params=params, requested_by="bench@example.com").run_id

    @contextmanager
    def look(self) -> Iterator[psycopg.Connection[Any]]:
        """Open one transaction for looking, which counts as one commit however often one looks.

        It reads what is committed at each statement, so that it sees what happens meanwhile.
        """
        with psycopg.connect(self.postgres.dsn) as connection:
            yield connection

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Execute one statement and return its rows; none for a statement that returns none."""
        with psycopg.connect(self.postgres.dsn, autocommit=True) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description is not None else []


def use_bench_kinds() -> None:
    """Let this process find the kinds of the benchmarks, so that it can check definitions that use them."""
    if str(KINDS) not in sys.path:
        sys.path.insert(0, str(KINDS))
        kinds.registry.cache_clear()


def forget_bench_kinds() -> None:
    """Let this process be again as it was before :func:`use_bench_kinds`."""
    if str(KINDS) in sys.path:
        sys.path.remove(str(KINDS))
        kinds.registry.cache_clear()


def tail(log: Path, characters: int = 3000) -> str:
    """Return the end of *log*."""
    return log.read_text(encoding="utf-8", errors="replace")[-characters:] if log.exists() else ""


def until(check: Callable[[], Any], what: str, *, within_s: float, every_s: float = 0.02) -> Any:
    """Wait until *check* returns something true, and return that.

    Raises:
        TimeoutError: If it does not within *within_s* seconds.
    """
    deadline = time.monotonic() + within_s
    while True:
        found = check()
        if found:
            return found
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not happen within {within_s:g} s")
        time.sleep(every_s)


def node(node_id: str, kind: str, needs: Sequence[str] = (), **more: Any) -> dict[str, Any]:
    """Return a node of a definition; what is no property of nodes goes into its configuration."""
    own = {
        key: value
        for key, value in more.items()
        if key in {"retries", "timeout", "priority", "estimated_duration_s", "cache", "body", "run_if", "on_error"}
    }
    config = {key: value for key, value in more.items() if key not in own}
    return {"id": node_id, "kind": kind, "needs": list(needs), **own, "config": config}
