"""What is stored, and what people are told, when PostgreSQL dies in the middle of work. Every kill is a real one."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest
from sqlalchemy import Engine

from analytics.core.clock import utc_now
from analytics.core.errors import DependencyError
from analytics.core.ids import new_id
from analytics.insights import Evidence, Finding, InsightKind, find_insights
from analytics.journeys.importing import Mapped
from analytics.kpi.overview import SCORE_NAME
from analytics.rollup.upkeep import keep_up
from analytics.store.engine import make_engine, session_scope
from benchmarks.stand import ROOT, Stand, until
from dashboard import journey_actions
from dashboard.auth.accounts import create_user, new_token
from dashboard.auth.roles import Role
from dashboard.auth.viewer import Viewer, set_test_viewer
from dashboard.context import build_context, set_context
from dashboard.processes.servers import free_port, launch
from worker.pools.process import WorkerProcess
from worker.pools.scheduler import Leadership, _ticking, ticks

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
    stand.engine.dispose()


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


def test_a_file_goes_in_with_the_note_of_it_or_not_at_all(stand: Stand, stop_at: Callable[..., None], tmp_path: Path):
    file, source, notes = tmp_path / "events.csv", "command", noted(stand)
    file.write_text(csv_text(), encoding="utf-8")
    command = ("events", "import", str(file), "--set", f"source={source}")
    stop_at("audit_log", "NEW.action = 'event.imported'")
    with lost(stand, WAYS[0]):
        said = told_in_a_line(helmsight(stand, *command))
    assert "nothing was changed. Try again" in said
    assert (stored(stand, source), noted(stand)) == (0, notes)
    again = json.loads(helmsight(stand, *command, "--json").stdout)
    assert (again["stored"], again["known"], stored(stand, source)) == (ROWS, 0, ROWS)
    assert noted(stand) == notes + 1


def test_whoever_imports_on_the_page_is_told_that_nothing_went_in(stand: Stand, stop_at: Callable[..., None]):
    context = build_context(stand.settings)
    set_context(context)
    mapped = Mapped({"at": "time", "kind": "kind", "subject": "user"}, {"source": "page"})
    stop_at("event", "NEW.kind = 'web.halt'")
    content = csv_text().encode()
    try:
        with set_test_viewer(Viewer(email="ada@example.org", name="Ada", role=Role.OPERATOR)):
            with lost(stand, WAYS[1]), pytest.raises(DependencyError, match=r"nothing was changed\. Try again"):
                journey_actions.import_file("events.csv", content, mapped)
            assert stored(stand, "page") == 0
            assert journey_actions.import_file("events.csv", content, mapped).stored == ROWS
            assert journey_actions.import_file("events.csv", content, mapped).known == ROWS
    finally:
        set_context(None)
        context.close()


def agent_runs(stand: Stand, *hours_ago: float) -> None:
    """Add runs of an agent, enough of each hour for a figure."""
    for hours in hours_ago:
        stand.sql(
            "INSERT INTO agent_run (id, agent_id, task_kind, status, started_at)"
            " SELECT gen_random_uuid(), 'planner', 'plan', 'completed', now() - %s * interval '1 hour'"
            " FROM generate_series(1, 30)",
            hours,
        )


def cells(stand: Stand) -> int:
    return stand.sql("SELECT coalesce(sum(n), 0) FROM rollup_hour WHERE cut = 'agent_run'")[0][0]


def test_a_rebuild_that_breaks_off_says_what_stays_and_ends_when_it_is_asked_again(
    stand: Stand, stop_at: Callable[..., None]
):
    agent_runs(stand, 0, 30, 55)
    command = ("rollup", "rebuild", "--last", "72h")
    keep_up(stand.engine, now=utc_now())
    whole = cells(stand)
    stand.sql("DELETE FROM rollup_hour WHERE cut = 'agent_run'")
    stop_at("rollup_hour", "NEW.cut = 'agent_run' AND NEW.bucket_start < now() - interval '48 hours'")
    with lost(stand, WAYS[0]):
        said = told_in_a_line(helmsight(stand, *command))
    assert "nothing was changed" not in said
    assert "stay" in said
    assert "same command" in said
    assert 0 < cells(stand) < whole, "newer days are summed, the one it broke off in is not"
    assert helmsight(stand, *command).returncode == 0
    assert cells(stand) == whole


@pytest.fixture
def engine(stand: Stand) -> Iterator[Engine]:
    """An engine as the product's processes have."""
    engine = make_engine(stand.settings, role="test")
    yield engine
    engine.dispose()


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search for findings finds three things, and every figure counts for the score."""
    now = utc_now()
    evidence = Evidence("s", now - timedelta(hours=3), timedelta(hours=1), [1.0, 9.0], 30, "Counted.")
    findings = [Finding(InsightKind.ANOMALY, f"k{place}", f"Finding {place}", 0.9, now, evidence) for place in range(3)]
    monkeypatch.setattr("analytics.insights.engine.look_at", lambda *_arguments, **_named: findings)
    monkeypatch.setattr("analytics.kpi.score.LEAST_COVERAGE", 0.01)


@pytest.mark.usefixtures("found")
@pytest.mark.parametrize("how", WAYS)
def test_findings_are_stored_together_or_not_at_all(
    stand: Stand, stop_at: Callable[..., None], engine: Engine, how: str
):
    count = "SELECT count(*) FROM insight"
    stand.sql("DELETE FROM insight")
    stop_at("insight", "NEW.title = 'Finding 2'")
    with lost(stand, how), pytest.raises(DependencyError, match=r"nothing was changed\. Try again"):
        find_insights(engine, None, now=utc_now())
    assert stand.sql(count) == [(0,)]
    assert find_insights(engine, None, now=utc_now()).stored.new == 3
    assert stand.sql(count) == [(3,)]


@pytest.mark.usefixtures("found")
def test_the_scheduler_finds_and_samples_soon_after_postgres_died_and_came_back(
    stand: Stand, stop_at: Callable[..., None], engine: Engine, monkeypatch: pytest.MonkeyPatch
):
    """The server is killed with all it consists of while both are at work; each is due again in an hour only."""
    monkeypatch.setattr("worker.pools.scheduler.AGAIN_S", 0.5)
    agent_runs(stand, 0.1)
    stand.sql("DELETE FROM insight")
    stand.sql("DELETE FROM metric_sample WHERE name = %s", SCORE_NAME)
    done = "SELECT (SELECT count(*) FROM insight), (SELECT count(*) FROM metric_sample WHERE name = %s)"
    stop_at("insight", "NEW.title = 'Finding 2'")
    stop_at("metric_sample", f"NEW.name = '{SCORE_NAME}'")
    process = WorkerProcess("scheduler", stand.settings, engine, stand.redis, "mine", 1)
    leadership = Leadership(process)
    work = [tick for tick in ticks(process) if tick.name in {"find_insights", "sample_score"}]
    with as_superuser(stand) as holder, ExitStack() as stack:
        holder.execute("SELECT pg_advisory_lock(%s)", [GATE])
        stack.callback(leadership.close)
        for tick in work:
            stack.enter_context(_ticking(replace(tick, after_s=0, every_s=3600), process, leadership))
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        until(lambda: holder.execute(waiting).fetchone() == (2,), "both at the gate", within_s=60)
        kill_all(stand)
        stand.start_server(stand.postgres)
        assert stand.sql(done, SCORE_NAME) != [(3, 0)]
        until(lambda: stand.sql(done, SCORE_NAME) == [(3, 1)], "findings and a sample", within_s=30)


def kill_all(stand: Stand) -> None:
    """Kill PostgreSQL with its children."""
    server = psutil.Process(stand.servers[stand.postgres.name].pid)
    children = server.children()
    stand.end_server(stand.postgres, signal.SIGKILL)
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.kill()
    psutil.wait_procs(children, timeout=20)
    stand.engine.dispose()


@pytest.fixture
def program(stand: Stand, tmp_path: Path) -> Iterator[httpx.Client]:
    """A program that talks to a dashboard of its own."""
    with session_scope(stand.engine) as session:
        email = f"{new_id().hex}@example.org"
        create_user(session, email=email, name="P", role=Role.OPERATOR, password="a long password")
        token, _ = new_token(session, user_email=email, name="p", role=Role.OPERATOR, expires_at=None)
    port = free_port()
    env = {**stand.variables(), "HELMSIGHT_HTTP__PORT": str(port), "HELMSIGHT_HOME": str(tmp_path)}
    process = launch([sys.executable, "-m", "dashboard.cli", "dashboard"], log=tmp_path / "log", env=env)
    address = f"http://127.0.0.1:{port}"
    try:
        until(lambda: is_up(address), "a dashboard", within_s=90)
        with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}, timeout=60) as client:
            yield client
    finally:
        process.terminate()
        process.wait(timeout=30)
    assert "Traceback" not in (tmp_path / "log").read_text(encoding="utf-8")


def is_up(address: str) -> bool:
    try:
        return httpx.get(f"{address}/healthz", timeout=2).is_success
    except httpx.TransportError:
        return False


def test_a_program_is_told_that_nothing_was_stored_and_may_send_it_again(
    stand: Stand, stop_at: Callable[..., None], program: httpx.Client
):
    batch = [
        {"id": str(number), "kind": "web.halt" if number == 400 else "web.visit", "source": "batch"}
        for number in range(500)
    ]
    file = csv_text().encode()
    sent = {
        "batch": lambda: program.post("/api/v1/events", json=batch),
        "file": lambda: program.post(
            "/api/v1/events/import",
            content=file,
            headers={"Content-Type": "text/csv"},
            params={"fixed": '{"source": "file"}'},
        ),
    }
    stop_at("event", "NEW.kind = 'web.halt'")
    for source, send in sent.items():
        with lost(stand, WAYS[source == "file"]):
            answer = send()
        assert answer.status_code == 503, answer.text
        assert answer.headers["content-type"].startswith("application/problem+json")
        assert "nothing was" in answer.json()["detail"]
        assert stored(stand, source) == 0
        again, third = (until_taken(send) for _ in range(2))
        assert (again["stored"], again["known"]) == (stored(stand, source), 0) == (again["received"], 0)
        assert (third["stored"], third["known"]) == (0, again["stored"])


def until_taken(send: Callable[[], httpx.Response]) -> dict[str, int]:
    """Return the first answer that is no 503: a part that was away is let rest for a moment."""
    answer = until(lambda: (found := send()).status_code != 503 and found, "a taken request", within_s=20, every_s=0.3)
    assert answer.is_success, answer.text
    return answer.json()
