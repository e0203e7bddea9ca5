"""Two real scheduler processes: a schedule starts one run for each time, and goes on when the leader is killed."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise

import pytest
from sqlalchemy import Engine, text

from analytics.core.settings import Settings
from analytics.store.engine import session_scope
from worker.workflow import schedules
from worker.workflow.definition import parse_definition, register_workflow
from worker.workflow.schedules import ScheduleSpec

pytestmark = pytest.mark.integration

CODE = "import worker.main as w, analytics.core.settings as s; w.main('scheduler', s.load_settings())"


@contextmanager
def scheduler(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    env = {
        "PATH": os.environ["PATH"],
        "HELMSIGHT_STORE__DSN": settings.dsn,
        "HELMSIGHT_REDIS__URL": settings.redis_url,
        "HELMSIGHT_HOME": str(settings.home),
        "HELMSIGHT_LOG__LEVEL": "WARNING",
    }
    process = subprocess.Popen([sys.executable, "-c", CODE], env=env)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def times(engine: Engine) -> list[float]:
    with session_scope(engine) as session:
        found = session.scalars(text("SELECT scheduled_for FROM run WHERE trigger = 'schedule' ORDER BY 1")).all()
    return [moment.timestamp() for moment in found]


def schedulers(engine: Engine) -> int:
    with session_scope(engine) as session:
        return int(session.scalar(text("SELECT count(*) FROM worker_process WHERE kind = 'scheduler'")) or 0)


def until(check: Callable[[], bool], *, what: str, within_s: float = 60) -> None:
    deadline = time.monotonic() + within_s
    while not check():
        assert time.monotonic() < deadline, f"there was no {what} within {within_s} s"
        time.sleep(0.1)


def test_every_second_has_one_run_though_two_schedulers_tick_and_one_is_killed(engine: Engine, settings: Settings):
    nodes = [{"id": "a", "kind": "transform", "config": {"input": [], "steps": []}}]
    with session_scope(engine) as session:
        register_workflow(session, parse_definition({"name": "w", "nodes": nodes}), created_by=None)
        spec = ScheduleSpec("each second", "w", every_s=1, catchup="all")
        schedules.save_schedule(session, spec, requested_by=None)
    with ExitStack() as stack:
        leader = stack.enter_context(scheduler(settings))
        until(lambda: len(times(engine)) >= 2, what="two runs")
        other = stack.enter_context(scheduler(settings))
        until(lambda: schedulers(engine) == 2, what="the second scheduler")
        until(lambda: len(times(engine)) >= 6, what="six runs")
        leader.kill()
        leader.wait()
        before = len(times(engine))
        until(lambda: len(times(engine)) >= before + 4, what="runs after the leader's end")
        assert other.poll() is None
        found = times(engine)

    assert [later - earlier for earlier, later in pairwise(found)] == [1.0] * (len(found) - 1)
