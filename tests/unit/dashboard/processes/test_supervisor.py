import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from analytics.core.errors import ConfigError, DependencyError
from dashboard.processes.groups import MARK_VARIABLE, created_at
from dashboard.processes.home import Home, PartState
from dashboard.processes.supervisor import (
    CRASH_LOOP_AFTER,
    Backoff,
    Part,
    StopRequestedError,
    Supervisor,
    last_line,
    marked_environment,
    rotate,
)

SLEEPER = "import time; time.sleep(600)"
START_ID = "unit-test-start"


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path / "home")
    home.prepare()
    return home


@pytest.fixture
def said():
    return []


@pytest.fixture
def supervisor(home, said, monkeypatch):
    monkeypatch.setattr("dashboard.processes.supervisor.FIRST_WAIT_S", 0.02)
    supervisor = Supervisor(home, start_id=f"{START_ID}-{os.getpid()}", said=said.append)
    supervisor.begin()
    yield supervisor
    supervisor.stop()


def part(name="part", code=SLEEPER, **wishes):
    return Part(
        **{
            "name": name,
            "command": lambda: [sys.executable, "-c", code],
            "is_ready": lambda _: True,
            "env": marked_environment({}, f"{START_ID}-{os.getpid()}"),
            **wishes,
        }
    )


def until(condition, *, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def pid_of(supervisor, name="part"):
    group = supervisor.state.part(name).group
    return None if group is None else group.pid


def test_the_wait_before_a_start_doubles_up_to_half_a_minute():
    backoff = Backoff()
    assert [backoff.wait_s(0) for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert backoff.is_looping


def test_a_stable_life_starts_the_waits_from_the_beginning():
    backoff = Backoff()
    for _ in range(CRASH_LOOP_AFTER):
        backoff.wait_s(0)
    assert backoff.wait_s(60) == 0.5
    assert not backoff.is_looping


def test_a_killed_part_is_started_again_and_counted(supervisor, said):
    supervisor.start([part()])
    supervisor.wait_ready("part", timeout_s=20)
    first = pid_of(supervisor)
    os.kill(first, signal.SIGKILL)
    until(lambda: pid_of(supervisor) not in {None, first} and supervisor.state.part("part").state is PartState.READY)
    assert supervisor.state.part("part").restarts == 1
    assert any("SIGKILL" in line for line in said)


def test_a_part_that_ends_again_and_again_is_shown_as_a_crash_loop(supervisor):
    supervisor.start([part(code="import sys; sys.exit('the cellar is flooded')", is_ready=lambda _: False)])
    with pytest.raises(DependencyError, match="the cellar is flooded"):
        supervisor.wait_ready("part", timeout_s=60)
    shown = supervisor.home.read_state().part("part")
    assert shown.state is PartState.CRASH_LOOP
    assert "the cellar is flooded" in shown.detail


def test_wrong_settings_are_reported_at_once_instead_of_tried_again(supervisor):
    code = "import sys; print('helmsight: HELMSIGHT_X is wrong', file=sys.stderr); sys.exit(2)"
    supervisor.start([part(code=code, is_ready=lambda _: False, config_exit_code=2)])
    with pytest.raises(ConfigError, match="HELMSIGHT_X is wrong"):
        supervisor.wait_ready("part", timeout_s=60)
    assert supervisor.state.part("part").restarts == 0


def test_an_optional_part_that_fails_holds_nobody_up(supervisor):
    supervisor.start(
        [part(), part("extra", code="import sys; sys.exit(1)", is_ready=lambda _: False, is_required=False)]
    )
    supervisor.wait_ready("part", "extra", timeout_s=60)
    assert supervisor.state.part("extra").state is PartState.CRASH_LOOP


def test_waiting_ends_when_a_stop_is_asked_for(supervisor):
    supervisor.start([part(is_ready=lambda _: False)])
    threading.Timer(0.2, supervisor.stopping.set).start()
    with pytest.raises(StopRequestedError):
        supervisor.wait_ready("part", timeout_s=60)


def test_later_stages_are_stopped_first_and_nothing_is_left(supervisor, home, tmp_path):
    code = (
        "import signal, sys, time\n"
        "def end(*_):\n    open(sys.argv[1], 'a').write(sys.argv[2] + '\\n'); sys.exit()\n"
        "signal.signal(signal.SIGTERM, end)\nprint('up', flush=True)\ntime.sleep(600)\n"
    )
    order = tmp_path / "order"
    for stage, name in enumerate(("store", "server", "worker")):
        log = home.log(name)
        supervisor.start(
            [
                part(
                    name,
                    stage=stage,
                    command=lambda name=name: [sys.executable, "-c", code, str(order), name],
                    is_ready=lambda _, log=log: "up" in log.read_text(),
                )
            ]
        )
    supervisor.wait_ready("store", "server", "worker", timeout_s=30)
    pids = [pid_of(supervisor, name) for name in ("store", "server", "worker")]
    supervisor.stop()
    assert order.read_text().split() == ["worker", "server", "store"]
    assert [created_at(pid) for pid in pids] == [None, None, None]
    assert {shown.state for shown in home.read_state().parts} == {PartState.STOPPED}


def test_a_part_that_ignores_its_signal_is_killed_with_all_it_started(supervisor, home, said):
    code = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)\n"
        "print(child.pid, flush=True)\ntime.sleep(600)\n"
    )
    supervisor.start(
        [part(code=code, stop_timeout_s=0.3, is_ready=lambda _: home.log("part").read_text().strip() != "")]
    )
    supervisor.wait_ready("part", timeout_s=20)
    grandchild = int(home.log("part").read_text())
    supervisor.stop()
    assert created_at(grandchild) is None
    assert any("was killed" in line for line in said)


ABANDONED = """
import os, signal, sys, time
from pathlib import Path
from dashboard.processes.home import Home
from dashboard.processes.supervisor import Part, Supervisor, marked_environment

supervisor = Supervisor(Home(Path(sys.argv[1])), start_id=sys.argv[2], said=lambda text: None)
supervisor.begin()
if sys.argv[3] == "with a new guard":
    os.kill(supervisor._guard.pid, signal.SIGKILL)
    supervisor._guard._process.wait()
run = lambda code: lambda: [sys.executable, "-c", code]
env = marked_environment({}, sys.argv[2])
supervisor.start([Part(name="part", command=run("import time; time.sleep(600)"), is_ready=lambda _: True, env=env)])
supervisor.wait_ready("part", timeout_s=30)
supervisor._guard.ensure()
print(supervisor.state.part("part").group.pid, supervisor._guard.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("how", ["with its guard", "with a new guard"])
def test_a_killed_supervisor_leaves_no_process_behind(home, how):
    done = subprocess.run(
        [sys.executable, "-c", ABANDONED, str(home.root), f"abandoned-{os.getpid()}", how],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    part_pid, guard_pid = (int(word) for word in done.stdout.split())
    until(lambda: created_at(part_pid) is None and created_at(guard_pid) is None)
    assert "the supervisor is gone; stopping part" in home.log("guard").read_text()


def test_a_large_log_is_copied_aside_and_emptied_while_its_writer_goes_on(tmp_path):
    log = tmp_path / "part.log"
    with log.open("a") as writer:
        for number in range(6):
            writer.write(f"{number}" * 50)
            writer.flush()
            assert rotate(log, limit_bytes=40, kept=3)
        writer.write("after")
        writer.flush()
    assert log.read_text() == "after"
    assert [(tmp_path / f"part.log.{n}").read_text()[0] for n in (1, 2, 3)] == ["5", "4", "3"]
    assert not (tmp_path / "part.log.4").exists()


def test_a_small_or_missing_log_is_left_alone(tmp_path):
    log = tmp_path / "part.log"
    assert not rotate(log)
    log.write_text("short")
    assert not rotate(log)


def test_the_last_line_of_a_log_is_of_this_life_only(tmp_path):
    log = tmp_path / "part.log"
    assert last_line(log) == ""
    log.write_text("old trouble\n")
    assert last_line(log) == "old trouble"
    assert last_line(log, after=12) == ""
    log.write_text("old trouble\nnew trouble\n\n")
    assert last_line(log, after=12) == "new trouble"


def test_children_carry_the_mark_of_their_start(supervisor):
    supervisor.start([part()])
    supervisor.wait_ready("part", timeout_s=20)
    until(lambda: psutil.Process(pid_of(supervisor)).environ().get(MARK_VARIABLE) == f"{START_ID}-{os.getpid()}")
