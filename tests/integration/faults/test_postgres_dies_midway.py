"""What is stored, and what people are told, when PostgreSQL dies in the middle of work. Every kill is a real one."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import psycopg
import pytest
from pydantic import SecretStr

from analytics.core.clock import utc_now
from analytics.core.errors import DependencyError
from analytics.store.engine import make_engine, session_scope
from benchmarks.stand import ROOT, Stand, until
from dashboard.auth.accounts import create_user, new_token
from dashboard.auth.roles import Role
from dashboard.processes.servers import free_port, launch

pytestmark = pytest.mark.integration

GATE = 4711
ROWS = 12_000
"""More than two of the pieces that a file goes in by."""
HALTED = 11_000
WAYS = ("a killed backend", "a terminated backend")


@pytest.fixture
def stop_at(stand: Stand) -> Iterator[Callable[..., None]]:
    """A function that makes PostgreSQL wait at the insert of such rows into a table, until it is killed there."""
    stand.sql(
        "CREATE OR REPLACE FUNCTION wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN PERFORM pg_advisory_xact_lock({GATE}); RETURN NEW; END $$"
    )
    tables = []

    def stop(table: str, rows: str) -> None:
        tables.append(table)
        stand.sql(
            f"CREATE TRIGGER gate BEFORE INSERT ON {table} FOR EACH ROW WHEN ({rows}) EXECUTE FUNCTION wait_at_gate()"
        )

    yield stop
    for table in tables:
        stand.sql(f"DROP TRIGGER gate ON {table}")


@contextmanager
def lost(stand: Stand, how: str) -> Iterator[None]:
    """Lose PostgreSQL when the work of the block comes to the gate; it is there again at the end of the block."""
    with as_superuser(stand) as holder:
        holder.execute("SELECT pg_advisory_lock(%s)", [GATE])
        killer = threading.Thread(target=kill_at_gate, args=(stand, how))
        killer.start()
        yield
        killer.join()
    until(lambda: answers(stand), "PostgreSQL that answers", within_s=30)


def as_superuser(stand: Stand) -> psycopg.Connection:
    return psycopg.connect(stand.postgres.superuser_dsn.replace("/postgres?", "/helmsight?"), autocommit=True)


def kill_at_gate(stand: Stand, how: str) -> None:
    with as_superuser(stand) as watch:
        waiting = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        (pid,) = until(lambda: watch.execute(waiting).fetchone(), "work at the gate", within_s=60)
        if how == "a killed backend":
            os.kill(pid, signal.SIGKILL)  # PostgreSQL then ends all others, and recovers
        else:
            watch.execute("SELECT pg_terminate_backend(%s)", [pid])


def answers(stand: Stand) -> bool:
    try:
        return stand.sql("SELECT 1") == [(1,)]
    except psycopg.OperationalError:
        return False


def helmsight(stand: Stand, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dashboard.cli", *arguments]
    return subprocess.run(
        command, env=stand.variables(), cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


def told_in_a_line(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a command that failed said: one line, and nothing of ours inside."""
    assert done.returncode == 1, done
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("helmsight: ")
    return line


def stored(stand: Stand, source: str) -> int:
    return stand.sql("SELECT count(*) FROM event WHERE source = %s", source)[0][0]


def noted(stand: Stand) -> int:
    return stand.sql("SELECT count(*) FROM audit_log WHERE action = 'event.imported'")[0][0]


def csv_text() -> str:
    at = (utc_now() - timedelta(hours=1)).isoformat()
    rows = (f"{at},{'web.halt' if number == HALTED else 'web.visit'},p{number}\n" for number in range(ROWS))
    return "time,kind,user\n" + "".join(rows)


@pytest.mark.parametrize(
    ("how", "table", "rows"),
    [
        (WAYS[0], "event", "NEW.kind = 'web.halt'"),
        (WAYS[1], "event", "NEW.kind = 'web.halt'"),
        (WAYS[1], "audit_log", "NEW.action = 'event.imported'"),
    ],
    ids=["killed", "terminated", "terminated-at-its-note"],
)
def test_a_file_goes_in_whole_or_not_at_all_and_once(
    stand: Stand, stop_at: Callable[..., None], tmp_path: Path, how: str, table: str, rows: str
):
    file, source, notes = tmp_path / "events.csv", f"{how} {table}", noted(stand)
    file.write_text(csv_text(), encoding="utf-8")
    command = ("events", "import", str(file), "--set", f"source={source}")
    stop_at(table, rows)
    with lost(stand, how):
        said = told_in_a_line(helmsight(stand, *command))
    assert "nothing was" in said
    assert "Try again" in said
    assert (stored(stand, source), noted(stand)) == (0, notes)

    again, third = (json.loads(helmsight(stand, *command, "--json").stdout) for _ in range(2))
    assert (again["stored"], again["known"]) == (ROWS, 0)
    assert (third["stored"], third["known"]) == (0, ROWS)
    assert stored(stand, source) == ROWS
