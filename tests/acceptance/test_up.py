"""One command starts everything, and nothing survives it. The tests share a home and run in order."""

import json
import os
import shutil
import signal
import socket
import urllib.request

import pytest

from analytics.core.errors import DependencyError
from analytics.core.settings import Settings
from analytics.live.client import connect
from analytics.store.engine import make_engine, session_scope
from analytics.store.queries.runs import run_detail
from dashboard.processes.addresses import connected
from dashboard.processes.groups import created_at
from dashboard.processes.home import PartState
from worker.enqueue import Door

pytestmark = pytest.mark.acceptance


def status_of(url):
    with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310 - our own http
        return response.status


def test_a_malformed_setting_is_named_and_nothing_starts(product):
    done = product.run("up", HELMSIGHT_WORKER__RUN_SLOTS="many")
    assert done.returncode == 2
    assert "HELMSIGHT_WORKER__RUN_SLOTS" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_misspelt_setting_is_named_with_the_right_one(product):
    done = product.run("doctor", "--json", HELMSIGHT_STORE__DNS="x")
    assert done.returncode == 1
    assert "HELMSIGHT_STORE__DNS (did you mean HELMSIGHT_STORE__DSN?)" in done.stdout


def test_a_taken_port_set_by_name_is_refused(product):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        done = product.run("up", HELMSIGHT_HTTP__PORT=port)
    assert done.returncode == 2
    assert f"HELMSIGHT_HTTP__PORT is {port}" in done.stderr.splitlines()[-1]


def test_commands_without_a_store_say_what_to_do(product):
    done = product.run("user", "list")
    assert done.returncode == 2
    assert "helmsight up" in done.stderr


def test_a_server_that_is_named_and_away_is_one_clear_line(product):
    done = product.run(
        "up", HELMSIGHT_STORE__DSN="postgresql://nobody:secret@127.0.0.1:1/none", HELMSIGHT_REDIS__URL="redis://x:1/0"
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "PostgreSQL" in last
    assert "secret" not in done.stderr
    assert "Traceback" not in done.stderr


def test_doctor_works_while_nothing_runs(product):
    done = product.run("doctor", "--json")
    checks = {check["part"]: check["finding"] for check in json.loads(done.stdout)["checks"]}
    assert done.returncode == 0, done.stdout
    assert checks["postgres"] == checks["redis"] == checks["supervisor"] == "off"


def test_the_first_start_is_ready_and_gives_out_a_password_once(product):
    state = product.start()
    assert status_of(f"{state.url}/healthz") == 200
    assert product.said().count("one-time password:") == 1
    assert f"Helmsight is ready: {state.url}" in product.said()
    bad = {part.name: part.state for part in state.parts if part.state not in {PartState.READY, PartState.ABSENT}}
    assert bad == {}


def test_a_second_start_on_the_same_home_says_where_the_first_is(product):
    done = product.run("up")
    state = product.state()
    assert done.returncode == 3
    assert state.url in done.stderr
    assert str(state.pid) in done.stderr


def test_doctor_finds_everything_well_while_it_runs(product):
    done = product.run("doctor", "--json")
    failed = [check for check in json.loads(done.stdout)["checks"] if check["finding"] == "failed"]
    assert failed == []
    assert done.returncode == 0


def test_an_account_is_made_from_the_command_line_while_it_runs(product):
    added = product.run("user", "add", "ada@example.com", "--role", "operator")
    assert "added ada@example.com as operator" in added.stdout
    assert "one-time password:" in added.stdout


def test_no_run_is_lost_when_postgresql_and_valkey_are_killed_under_it(product):
    state = product.state()
    settings = connected(Settings(home=product.home.root))
    engine = make_engine(settings, role="test")
    client = connect(settings)
    params = {"base_url": f"http://127.0.0.1:{state.ports['http']}"}
    queued = Door(engine, client, settings).queue_run(
        workflow="document-intake", params=params, requested_by="test", trigger="cli"
    )
    for name in ("postgres", "valkey"):
        os.kill(state.part(name).group.pid, signal.SIGKILL)

    def has_completed():
        try:
            with session_scope(engine) as session:
                row = run_detail(session, queued.run_id).row
        except DependencyError:
            return False
        assert row.status not in {"failed", "cancelled"}, row.error_message
        return row.status == "completed"

    product.until(has_completed, seconds=90)
    product.until(lambda: product.state().part("valkey").state is PartState.READY)
    assert product.state().part("postgres").restarts >= 1
    assert status_of(f"{state.url}/healthz") == 200
    engine.dispose()
    client.close()


@pytest.mark.prometheus
def test_the_demo_without_a_browser_finds_everything_true(product):
    if shutil.which("prometheus") is None:
        pytest.skip("no prometheus program")
    done = product.run("demo", "--once")
    result = json.loads(done.stdout.strip().splitlines()[-1])
    assert set(result) == {"workflow", "ocr", "mcp", "kpi", "slo", "agents"}
    assert {name: part for name, part in result.items() if not part["ok"]} == {}, done.stderr
    assert done.returncode == 0
    assert result["slo"]["prometheus"]["total"] > 0
    assert result["ocr"]["words_alike_ratio"] > 0.9


def test_a_part_that_is_killed_comes_back(product):
    first = product.state().part("scheduler")
    os.kill(first.group.pid, signal.SIGKILL)

    def is_back():
        now = product.state().part("scheduler")
        return now.state is PartState.READY and now.group.pid != first.group.pid

    product.until(is_back)
    assert product.state().part("scheduler").restarts == first.restarts + 1


def test_a_killed_supervisor_leaves_nothing_and_the_next_start_recovers(product):
    before = product.state()
    assert product.stop(signal.SIGKILL) == -signal.SIGKILL
    after = product.start()
    assert "one-time password:" not in product.said()
    assert status_of(f"{after.url}/healthz") == 200
    pids = [part.group.pid for part in before.parts if part.group is not None]
    reused = {part.group.pid for part in after.parts if part.group is not None}
    assert [pid for pid in pids if pid not in reused and created_at(pid) is not None] == []
    assert "ada@example.com" in product.run("user", "list").stdout


def test_ctrl_c_stops_everything(product):
    assert product.stop(signal.SIGINT) == 0
    assert product.left() == []
    assert {part.state for part in product.state().parts} <= {PartState.STOPPED, PartState.ABSENT}


def test_the_demo_history_is_removed_while_nothing_runs(product):
    done = product.run("demo", "--remove")
    assert done.returncode == 0, done.stderr
    assert "removed demo history" in done.stdout
    assert product.left() == []


def test_data_of_another_major_version_is_refused_and_left_alone(product):
    version = product.home.postgres / "data" / "PG_VERSION"
    version.write_text("12\n")
    done = product.run("up")
    assert done.returncode == 2
    assert "PostgreSQL 12" in done.stderr.splitlines()[-1]
    assert version.read_text() == "12\n"
