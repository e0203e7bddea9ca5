"""The whole product on a directory of its own, for benchmarks and browser tests: servers, dashboard, workers, demo.

Every part is a process of its own that can be killed and started again, without the supervisor, which would do it by
itself. Not part of the product.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import httpx
from sqlalchemy import create_engine

from analytics.core.clock import utc_now
from analytics.core.settings import RedisSettings, Settings, StoreSettings
from analytics.demo import seed
from analytics.live.client import connect
from analytics.store.engine import driver_url, session_scope
from dashboard.auth.accounts import create_user
from dashboard.auth.roles import Role
from dashboard.processes.servers import EmbeddedPostgres, EmbeddedValkey, Server, free_port, launch, wait_until_ready

PASSWORD = "a password of the tests"  # noqa: S105 - of accounts that live as long as the test
WORKERS = ("run", "model", "scheduler")
_FAST = {"fsync": "off"}
"""Safe while the machine stays up: what is committed survives the death of the server, not that of the kernel."""
_START_S = 60.0


@dataclass
class Product:
    """One running Helmsight below ``root``, a directory that every account can enter."""

    root: Path
    workers: tuple[str, ...] = WORKERS
    environment: Mapping[str, str] = field(default_factory=dict)
    """Settings beside ours, as variables."""
    port: int = field(default_factory=free_port)
    dashboard_command: tuple[str, ...] = (sys.executable, "-m", "dashboard.cli", "dashboard")

    def __post_init__(self) -> None:
        self.root.chmod(0o755)
        self.postgres = EmbeddedPostgres(root=self.root / "postgres", port=free_port(), settings=_FAST)
        self.valkey = EmbeddedValkey(root=self.root / "valkey", port=free_port())
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        """Return where the dashboard is, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        (self.root / "home").mkdir()
        try:
            self.start_server(self.postgres)
            self.start_server(self.valkey)
            self.run("prepare-store")
            self._fill()
            self.start_parts()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def settings(self) -> Settings:
        """Return settings that name this product's servers."""
        return Settings(
            home=self.root / "home",
            store=StoreSettings(dsn=self.postgres.dsn),
            redis=RedisSettings(url=self.valkey.url),
        )

    def variables(self) -> dict[str, str]:
        """Return the environment of every part."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("HELMSIGHT_")}
        return {
            **inherited,
            "HELMSIGHT_HOME": str(self.root / "home"),
            "HELMSIGHT_STORE__DSN": self.postgres.dsn,
            "HELMSIGHT_REDIS__URL": self.valkey.url,
            "HELMSIGHT_HTTP__PORT": str(self.port),
            **self.environment,
        }

    def email(self, role: Role) -> str:
        """Return the account of *role*; all have :data:`PASSWORD`."""
        return f"{role.label}@example.com"

    def start_server(self, server: Server) -> None:
        """Start PostgreSQL or Valkey, on the port and the data it had."""
        server.prepare()
        log = self.root / f"{server.name}.log"
        process = launch(server.command(), log=log, account=server.account())
        self.processes[server.name] = process
        wait_until_ready(server, process, log=log)

    def start_parts(self) -> None:
        """Start the dashboard and the workers together, and wait until all take work."""
        self.start_process("dashboard", self.dashboard_command, self.variables())
        for kind in self.workers:
            command = (sys.executable, "-m", "dashboard.cli", "worker", kind)
            self.start_process(f"worker-{kind}", command, self.variables())
        wait_until(lambda: answers(f"{self.url}/healthz"), "the dashboard", self.log("dashboard"))
        targets = self.root / "home" / "run" / "targets"
        wait_until(
            lambda: len(list(targets.glob("*.json"))) >= len(self.workers),
            "a worker",
            self.log(f"worker-{self.workers[0] if self.workers else 'run'}"),
        )

    def start_process(self, name: str, command: Iterable[str], environment: Mapping[str, str]) -> None:
        """Start *command* as the part *name*, its output in a log of that name."""
        self.processes[name] = launch(list(command), log=self.log(name), env=dict(environment))

    def log(self, name: str) -> Path:
        """Return the log of the part *name*."""
        return self.root / f"{name}.log"

    def run(self, *arguments: str) -> str:
        """Run a command of ours to its end and return what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "dashboard.cli", *arguments],
            check=False,
            capture_output=True,
            text=True,
            env=self.variables(),
            cwd="/",
            timeout=180,
        )
        if done.returncode != 0:
            raise RuntimeError(f"`helmsight {' '.join(arguments)}` failed: {done.stderr[-2000:]}")
        return done.stdout

    def kill(self, name: str) -> None:
        """Kill the part *name* without warning."""
        process = self.processes.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=20)

    def stop(self) -> None:
        """Stop everything, in reverse."""
        for name in reversed(list(self.processes)):
            process = self.processes.pop(name)
            if process.poll() is None:
                process.send_signal(signal.SIGINT if name == "postgres" else signal.SIGTERM)
                try:
                    process.wait(timeout=20)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait(timeout=20)

    def _fill(self) -> None:
        settings = self.settings()
        engine = create_engine(driver_url(self.postgres.dsn))
        client = connect(settings)
        try:
            with session_scope(engine) as session:
                for role in Role:
                    create_user(session, email=self.email(role), name=role.label.title(), role=role, password=PASSWORD)
            seed(engine, client, now=utc_now())
        finally:
            client.close()
            engine.dispose()


def answers(url: str) -> bool:
    """Tell whether *url* answers with success."""
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.HTTPError:
        return False


def wait_until(condition: Callable[[], object], what: str, log: Path, *, seconds: float = _START_S) -> None:
    """Wait until *condition* is true.

    Raises:
        TimeoutError: If it is not after *seconds*; the message carries the end of *log*.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            tail = log.read_text(encoding="utf-8", errors="replace")[-3000:] if log.exists() else ""
            raise TimeoutError(f"{what} was not ready after {seconds:g} s; the end of its log:\n{tail}")
        time.sleep(0.1)
