"""`helmsight up`: which parts there are, in which order they start, and what is said about it.

Stage 1 is PostgreSQL and Valkey, unless the settings name servers; then the schema is brought up to date by a child
that ends; stage 2 is the dashboard and Prometheus, stage 3 the workers and the scheduler. How a part is kept alive is
the supervisor's.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import analytics.store
from analytics.core.clock import utc_now
from analytics.core.errors import ConfigError, DependencyError
from analytics.core.ids import new_id
from analytics.core.settings import Settings
from dashboard.processes.addresses import LOOPBACK, http_port, inner_ports, named, url_of, variables
from dashboard.processes.groups import ProcessGroup, is_same_process, kill_marked, members, stop_groups
from dashboard.processes.home import Home, PartState, StackState
from dashboard.processes.prometheus import PrometheusServer, answers, find_prometheus
from dashboard.processes.servers import EmbeddedPostgres, EmbeddedValkey, Server, secret_file
from dashboard.processes.supervisor import Part, StopRequestedError, Supervisor, last_line, marked_environment

LEAST_FREE_BYTES = 200 * 2**20
"""Below this PostgreSQL is not started: it would stop in the middle of a write."""
CONFIG_EXIT_CODE = 2

_STORES, _SERVERS, _WORKERS = 1, 2, 3
_READY_S = 90.0
_WORKERS_READY_S = 30.0
_GUARD_S = 60.0
_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class FirstAdmin:
    """The account made on the first start; its password is shown once and must be changed."""

    email: str
    password: str


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What the caller of a start wants beside the parts themselves."""

    said: Callable[[str], None]
    """Progress, one line a call."""
    told: Callable[[str], None]
    """What the commands after the migration have to say; may hold passwords, so it is not logged."""
    admin_made: Callable[[FirstAdmin], None]
    ready: Callable[[StackState], None]
    after_migration: Sequence[Sequence[str]] = ()
    """Commands of ours (``dashboard.cli`` arguments) to run once the schema is there, such as the demo history."""
    stores_only: bool = False
    """Start PostgreSQL and Valkey, run the commands, stop."""
    stop_at_end_of_input: bool = False
    """Stop when standard input ends: whoever started us is gone."""


class Stack:
    """One start of Helmsight on one home."""

    def __init__(self, settings: Settings, *, environment: Mapping[str, str], wishes: Wishes) -> None:
        self._settings = settings
        self._wishes = wishes
        self._home = Home(settings.home)
        self._start_id = new_id().hex
        self._environment = marked_environment(environment, self._start_id)
        self._supervisor = Supervisor(self._home, start_id=self._start_id, said=self._say)

    def run(self) -> None:
        """Start everything and stay until a stop is asked for.

        Raises:
            AlreadyRunningError: If another start holds the home.
            HelmsightError: If a part that is needed cannot be started; everything was stopped again.
        """
        self._home.prepare()
        with self._home.locked():
            _require_space(self._home.root)
            recover(self._home, self._say)
            supervisor = self._supervisor
            with stop_on_signals(supervisor, at_end_of_input=self._wishes.stop_at_end_of_input):
                try:
                    supervisor.begin()
                    self._start()
                    if not self._wishes.stores_only:
                        supervisor.watch()
                except StopRequestedError as stop:
                    self._say(stop.message)
                finally:
                    self._say("stopping")
                    supervisor.stop()
                    self._say("stopped")

    def _start(self) -> None:
        settings = self._settings
        before = self._home.read_state()
        port, remark = http_port(settings.http)
        if remark is not None:
            self._say(remark)
        binary = self._prometheus_binary()
        ports = {"http": port} | inner_ports(
            self._own_servers(binary), before.ports if before is not None else {}, {port}
        )
        self._supervisor.tell(ports=ports)
        self._start_stores(ports)
        settings = self._with_addresses(ports)
        if self._wishes.stores_only:
            self._prepare(settings)
            self._run_commands(settings)
            return
        is_prepared = "postgres" in ports and self._take_stamp()
        if not is_prepared:
            self._prepare(settings)
        self._start_parts(settings, ports, binary)
        if is_prepared:
            self._prepare(settings)
        self._run_commands(settings)
        self._supervisor.wait_ready("dashboard", timeout_s=_READY_S)
        self._supervisor.wait_ready(*self._worker_names(), "prometheus", timeout_s=_WORKERS_READY_S)
        self._supervisor.tell(url=url_of(settings.http, port), ready_at=utc_now().isoformat())
        if "postgres" in ports:
            self._stamp.write_text(migrations_digest(), encoding="ascii")
        self._wishes.ready(self._supervisor.state)

    @property
    def _stamp(self) -> Path:
        return self._home.postgres / "prepared"

    def _take_stamp(self) -> bool:
        """Tell whether the last start on this home became ready with the migrations we have now.

        Then nothing has to wait for the migrations, which find nothing to do. The stamp is taken away until this
        start is ready as well: one that fails makes the next one wait.
        """
        try:
            found = self._stamp.read_text(encoding="ascii")
            self._stamp.unlink()
        except (FileNotFoundError, UnicodeDecodeError):
            return False
        return found == migrations_digest()

    def _own_servers(self, prometheus: Path | None) -> list[str]:
        settings = self._settings
        return [
            name
            for name, ours in (
                ("postgres", settings.store.dsn is None),
                ("valkey", settings.redis.url is None),
                ("prometheus", prometheus is not None),
            )
            if ours
        ]

    def _prometheus_binary(self) -> Path | None:
        settings = self._settings.prometheus
        if self._wishes.stores_only:
            return None
        if settings.url is not None:
            self._supervisor.tell_external("prometheus", PartState.EXTERNAL, "named by HELMSIGHT_PROMETHEUS__URL")
            return None
        binary = find_prometheus(settings)
        if binary is None:
            reason = (
                "no `prometheus` program was found, so SLOs and KPIs that need one say `no source`; all else works."
                " Install the package `prometheus`, or set HELMSIGHT_PROMETHEUS__URL"
            )
            self._supervisor.tell_external("prometheus", PartState.ABSENT, reason)
            self._say(reason)
        return binary

    def _start_stores(self, ports: Mapping[str, int]) -> None:
        parts = []
        if "postgres" in ports:
            parts.append(
                _server_part(
                    EmbeddedPostgres(root=self._home.postgres, port=ports["postgres"], environment=self._environment),
                    env=self._environment,
                    port=ports["postgres"],
                )
            )
        else:
            self._supervisor.tell_external("postgres", PartState.EXTERNAL, "named by HELMSIGHT_STORE__DSN")
        if "valkey" in ports:
            parts.append(
                _server_part(
                    EmbeddedValkey(root=self._home.valkey, port=ports["valkey"]),
                    env=self._environment,
                    port=ports["valkey"],
                )
            )
        else:
            self._supervisor.tell_external("valkey", PartState.EXTERNAL, "named by HELMSIGHT_REDIS__URL")
        self._supervisor.start(parts)
        self._supervisor.wait_ready("postgres", "valkey", timeout_s=_READY_S)

    def _with_addresses(self, ports: Mapping[str, int]) -> Settings:
        home = self._home
        return named(
            self._settings,
            postgres=EmbeddedPostgres(root=home.postgres, port=ports["postgres"]) if "postgres" in ports else None,
            redis_url=EmbeddedValkey(root=home.valkey, port=ports["valkey"]).url if "valkey" in ports else None,
            prometheus_url=f"http://{LOOPBACK}:{ports['prometheus']}" if "prometheus" in ports else None,
        )

    def _prepare(self, settings: Settings) -> None:
        report = self._run_once(["prepare-store"], settings)
        if report.get("admin") is not None:
            self._wishes.admin_made(FirstAdmin(**report["admin"]))

    def _run_commands(self, settings: Settings) -> None:
        for command in self._wishes.after_migration:
            for line in self._run_once(command, settings).get("lines", ()):
                self._wishes.told(line)

    def _run_once(self, arguments: Sequence[str], settings: Settings) -> dict[str, Any]:
        """Run one of our commands to its end and return the JSON object of its last line.

        Raises:
            DependencyError, ConfigError: What it failed with, in its own words.
        """
        log = self._home.log(arguments[0])
        with log.open("ab") as sink:
            child = subprocess.Popen(  # noqa: S603 - our own command
                _ours(*arguments),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=sink,
                cwd="/",
                env=self._environment | variables(settings),
                start_new_session=True,
            )
        try:
            while True:
                with suppress(subprocess.TimeoutExpired):
                    out, _ = child.communicate(timeout=_POLL_S)
                    break
                self._supervisor.check_stop()
        except BaseException:
            child.kill()
            child.wait()
            raise
        if child.returncode != 0:
            kind = ConfigError if child.returncode == CONFIG_EXIT_CODE else DependencyError
            said = last_line(log).removeprefix("helmsight: ")
            raise kind(f"{said or f'`helmsight {arguments[0]}` failed'} Everything was stopped.")
        lines = out.decode("utf-8").strip().splitlines()
        return dict(json.loads(lines[-1])) if lines else {}

    def _start_parts(self, settings: Settings, ports: Mapping[str, int], prometheus: Path | None) -> None:
        env = self._environment | variables(settings) | self._secrets()
        env["HELMSIGHT_HTTP__PORT"] = str(ports["http"])
        parts = [self._dashboard(settings, env, ports["http"])]
        if prometheus is not None:
            parts.append(self._prometheus(settings, prometheus, ports))
        parts += [
            self._worker(
                name, kind, env, metrics_port=settings.worker.metrics_port and settings.worker.metrics_port + n
            )
            for n, (name, kind) in enumerate(self._workers())
        ]
        self._supervisor.start(parts)

    def _secrets(self) -> dict[str, str]:
        """Return the secrets that all parts share: those of the settings, or ours, made on the first start."""
        settings = self._settings
        found = {}
        if settings.metrics.token is None:
            found["HELMSIGHT_METRICS__TOKEN"] = secret_file(self._home.secrets / "metrics-token")
        if settings.auth.cookie_secret is None:
            found["HELMSIGHT_AUTH__COOKIE_SECRET"] = secret_file(self._home.secrets / "cookie-secret")
        return found

    def _dashboard(self, settings: Settings, env: Mapping[str, str], port: int) -> Part:
        host = {"0.0.0.0": LOOPBACK, "::": "[::1]"}.get(settings.http.host, settings.http.host)  # noqa: S104 - a name
        return Part(
            name="dashboard",
            command=lambda: _ours("dashboard"),
            is_ready=lambda _: answers(f"http://{host}:{port}/healthz"),
            env=env,
            stage=_SERVERS,
            port=port,
            ready_timeout_s=_READY_S,
            config_exit_code=CONFIG_EXIT_CODE,
        )

    def _prometheus(self, settings: Settings, binary: Path, ports: Mapping[str, int]) -> Part:
        token_file = self._home.secrets / "metrics-token"
        if settings.metrics.token is not None:
            token_file = self._home.secrets / "metrics-token-named"
            token_file.touch(mode=0o600)
            token_file.write_text(settings.metrics.token.get_secret_value(), encoding="utf-8")
        server = PrometheusServer(
            binary=binary,
            root=self._home.prometheus,
            port=ports["prometheus"],
            dashboard=f"{LOOPBACK}:{ports['http']}",
            token_file=token_file,
            targets=self._home.targets,
            scrape_interval=settings.prometheus.scrape_interval,
        )
        return Part(
            name="prometheus",
            command=server.command,
            is_ready=lambda _: server.is_ready(),
            prepare=server.prepare,
            env=self._environment,
            stage=_SERVERS,
            port=server.port,
            is_required=False,
        )

    def _worker(self, name: str, kind: str, env: Mapping[str, str], *, metrics_port: int) -> Part:
        return Part(
            name=name,
            command=lambda: _ours("worker", kind),
            is_ready=lambda group: _has_announced(self._home, group),
            env={**env, "HELMSIGHT_WORKER__METRICS_PORT": str(metrics_port)},
            stage=_WORKERS,
            stop_timeout_s=20.0,
            is_required=False,
            config_exit_code=CONFIG_EXIT_CODE,
        )

    def _workers(self) -> list[tuple[str, str]]:
        models = [(f"worker-model-{n}", "model") for n in range(1, self._settings.worker.model_processes + 1)]
        return [("worker-run", "run"), *models, ("scheduler", "scheduler")]

    def _worker_names(self) -> list[str]:
        return [name for name, _ in self._workers()]

    def _say(self, text: str) -> None:
        self._wishes.said(text)
        with suppress(OSError), self._home.log("supervisor").open("a", encoding="utf-8") as log:
            log.write(f"{utc_now().isoformat(timespec='milliseconds')} {text}\n")


def recover(home: Home, said: Callable[[str], None]) -> None:
    """Stop what a killed start left on *home*, as its state names it, after its guard had time to do so."""
    state = home.read_state()
    if state is None:
        return
    if state.guard_pid is not None and is_same_process(state.guard_pid, state.guard_created or 0.0):
        said("the last start was killed; waiting until its guard has stopped what it left")
        _wait_for_end(state.guard_pid, state.guard_created or 0.0)
    left = [part.group for part in state.parts if part.group is not None and members(part.group)]
    if left:
        said(f"stopping what the last start left: {', '.join(group.name for group in left)}")
        stop_groups(left, said=said)
    kill_marked(state.start_id)
    for target in home.targets.glob("*.json"):
        target.unlink(missing_ok=True)


@contextmanager
def stop_on_signals(supervisor: Supervisor, *, at_end_of_input: bool) -> Iterator[None]:
    """Turn the first SIGINT, SIGTERM or SIGHUP into a wish to stop, and the second into haste.

    The handlers themselves only write to a pipe: an event set inside of a handler can lock up with the main
    thread that waits for it.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    wakeup_before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def listen() -> None:
        while os.read(reader, 1):
            if supervisor.stopping.is_set():
                supervisor.hurried.set()
            supervisor.stopping.set()
        os.close(reader)

    def listen_for_end() -> None:
        while sys.stdin.buffer.read(4096):
            pass
        supervisor.stopping.set()

    threading.Thread(target=listen, daemon=True).start()
    if at_end_of_input:
        threading.Thread(target=listen_for_end, daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(wakeup_before)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(writer)


def migrations_digest() -> str:
    """Return a name for the migrations of this installation; it changes when one is added."""
    digest = hashlib.sha256()
    for path in sorted((Path(analytics.store.__file__).parent / "migrations" / "versions").glob("*.*")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def _require_space(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE_BYTES:
        raise DependencyError(
            f"The disk of {folder} is full: {free // 2**20} MB are free, {LEAST_FREE_BYTES // 2**20} MB are needed."
            " Nothing was started. Free some space, or set HELMSIGHT_HOME to another disk.",
            part="home",
        )


def _server_part(server: EmbeddedPostgres | EmbeddedValkey, *, env: Mapping[str, str], port: int) -> Part:
    checked: Server = server
    return Part(
        name=checked.name,
        command=checked.command,
        is_ready=lambda _: checked.is_ready(),
        prepare=checked.prepare,
        env=env,
        account=checked.account(),
        stage=_STORES,
        stop_signal=checked.stop_signal,
        stop_timeout_s=30.0,
        port=port,
    )


def _has_announced(home: Home, group: ProcessGroup) -> bool:
    """Tell whether a worker has written where its metrics are: its file is called ``HOST.PID.KIND.json``."""
    return any(home.targets.glob(f"*.{group.pid}.*.json"))


def _ours(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "dashboard.cli", *arguments]


def _wait_for_end(pid: int, created: float) -> None:
    waiting = threading.Event()
    for _ in range(int(_GUARD_S / _POLL_S)):
        if not is_same_process(pid, created):
            return
        waiting.wait(_POLL_S)
