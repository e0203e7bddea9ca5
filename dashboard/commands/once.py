"""`helmsight demo --once`: the main job without a browser, with real servers, real queues and real measurements.

Brings everything up (or uses what runs), queues a workflow run, an OCR and an MCP call, asks the dashboard over HTTP,
computes a KPI and two objectives from just that, reads the graph of agents, and prints one JSON object.
"""

import difflib
import json
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import redis
from sqlalchemy import Engine

from analytics.agents import agent_graph
from analytics.core.clock import Interval, utc_now
from analytics.core.errors import DependencyError, HelmsightError, InputError
from analytics.core.settings import Settings, inherited_environment, load_settings
from analytics.demo import is_seeded
from analytics.kpi import KpiReading, KpiState, read_kpis
from analytics.live.client import connect
from analytics.slo import Measured, Objective, measure, objective
from analytics.slo.math import burn_rate, error_budget, sli
from analytics.slo.model import SqlEvents
from analytics.sources.prometheus import PromClient
from analytics.store.engine import make_engine, session_scope
from analytics.store.queries.runs import RunDetail, run_detail
from dashboard.auth.accounts import create_user, new_token
from dashboard.auth.roles import Role
from dashboard.commands import stack
from dashboard.commands.accounts import one_time_password
from dashboard.processes.addresses import connected
from dashboard.processes.home import Home, StackState
from worker.catalog import sample_document
from worker.enqueue import Door, QueuedRun

READY_S = 150.0
RUNS_S = 120.0
SCRAPES_S = 90.0
REQUESTER = "demo"
WORKFLOW = "document-intake"
PROBE_EMAIL = "probe@localhost"
LEAST_ALIKE_RATIO = 0.8

_POLL_S = 0.2
_FIRST_SERVER_ERROR = 500
_ENDED = {"completed", "failed", "cancelled"}
_MCP_TEXT = "One command runs Helmsight. The whole path, from browser to worker and back."
_MCP_WORDS = 13

RUNS_COMPLETED = Objective(
    id="demo_runs_completed",
    title="Runs of this demonstration that completed",
    service="worker",
    target=Decimal("0.99"),
    indicator=SqlEvents("""
        SELECT finished_at AS at, status = 'completed' AS good
        FROM run
        WHERE created_at >= now() - interval '1 day' AND finished_at IS NOT NULL
          AND requested_by = 'demo' AND origin = 'live'
    """),
    description="Of the runs that this demonstration queued and that ended, those that completed.",
)


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What the steps work with."""

    settings: Settings
    state: StackState
    engine: Engine
    redis: redis.Redis
    prom: PromClient | None
    started_at: datetime


def run_once() -> bool:
    """Do it all and print the JSON object; return whether everything was well."""
    with ExitStack() as cleanup:
        settings = _settings_with_home(cleanup)
        state = Home(settings.home).running_state()
        if state is None or state.ready_at is None:
            state = cleanup.enter_context(_own_stack(settings))
        bench = cleanup.enter_context(_bench(connected(settings), state))
        result = _steps(bench)
    sys.stdout.write(json.dumps(result, default=str) + "\n")
    sys.stdout.flush()
    return all(part["ok"] for part in result.values())


def _steps(bench: Bench) -> dict[str, dict[str, Any]]:
    _ensure_history(bench)
    sample = sample_document()
    door = Door(bench.engine, bench.redis, bench.settings)
    queued = {
        "workflow": lambda: door.queue_run(workflow=WORKFLOW, params={}, requested_by=REQUESTER, trigger="demo"),
        "ocr": lambda: door.queue_ocr(
            name=sample.name, content=sample.content, options={}, requested_by=REQUESTER, trigger="demo"
        ),
        "mcp": lambda: door.queue_mcp_call(
            server="helmsight",
            tool="text_statistics",
            arguments={"text": _MCP_TEXT},
            requested_by=REQUESTER,
            trigger="demo",
        ),
    }
    runs = _queue_and_wait(bench, queued)
    return {
        "workflow": _checked(lambda: _workflow(runs["workflow"])),
        "ocr": _checked(lambda: _ocr(runs["ocr"], sample.text)),
        "mcp": _checked(lambda: _mcp(runs["mcp"])),
        "kpi": _checked(lambda: _kpi(bench)),
        "slo": _checked(lambda: _slo(bench)),
        "agents": _checked(lambda: _agents(bench)),
    }


# -- bringing it up ---------------------------------------------------------------------------------------------------


def _settings_with_home(cleanup: ExitStack) -> Settings:
    """Return settings whose home is the named one, the default one if it runs, or a temporary one."""
    settings = load_settings()
    if "home" in settings.model_fields_set or Home(settings.home).running_state() is not None:
        return settings
    folder = Path(tempfile.mkdtemp(prefix="helmsight-once-"))
    folder.chmod(0o755)  # PostgreSQL does not run as root, and its account has to get in
    cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
    return load_settings(home=folder)


@contextmanager
def _own_stack(settings: Settings) -> Iterator[StackState]:
    """Run `helmsight demo` for the block; it ends with us, even if we are killed."""
    changes = {"HELMSIGHT_HOME": str(settings.home)}
    if "port" not in settings.http.model_fields_set:
        changes["HELMSIGHT_HTTP__PORT"] = "0"
    if "scrape_interval" not in settings.prometheus.model_fields_set:
        changes["HELMSIGHT_PROMETHEUS__SCRAPE_INTERVAL"] = "2"
    command = [sys.executable, "-m", "dashboard.cli", "demo", "--stop-at-end-of-input"]
    child = subprocess.Popen(  # noqa: S603 - our own command
        command, stdin=subprocess.PIPE, stdout=sys.stderr, env=inherited_environment(**changes), start_new_session=True
    )
    try:
        yield _wait_ready(child, Home(settings.home))
    finally:
        if child.stdin is not None:
            with suppress(OSError):
                child.stdin.close()
        child.wait()


def _wait_ready(child: subprocess.Popen[bytes], home: Home) -> StackState:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise DependencyError("Helmsight did not start, see above; nothing was demonstrated.")
        state = home.running_state()
        if state is not None and state.ready_at is not None:
            return state
        time.sleep(_POLL_S)
    raise DependencyError(f"Helmsight was not ready after {READY_S:g} s; nothing was demonstrated.")


@contextmanager
def _bench(settings: Settings, state: StackState) -> Iterator[Bench]:
    with ExitStack() as cleanup:
        engine = make_engine(settings, role="demo")
        cleanup.callback(engine.dispose)
        client = cleanup.enter_context(connect(settings))
        prom = None
        if settings.prometheus.url is not None:
            prom = cleanup.enter_context(PromClient(settings.prometheus.url, settings.prometheus.timeout))
        yield Bench(settings=settings, state=state, engine=engine, redis=client, prom=prom, started_at=utc_now())


def _ensure_history(bench: Bench) -> None:
    with session_scope(bench.engine) as session:
        seeded = is_seeded(session)
    if not seeded:
        for line in stack.seed(accounts=False):
            _say(line)


# -- the three runs ---------------------------------------------------------------------------------------------------


def _queue_and_wait(bench: Bench, queued: Mapping[str, Callable[[], QueuedRun]]) -> dict[str, RunDetail | str]:
    """Queue all, then wait for all; a run that could not be queued or found is told as why."""
    waiting: dict[str, uuid.UUID] = {}
    ended: dict[str, RunDetail | str] = {}
    for name, queue in queued.items():
        try:
            waiting[name] = queue().run_id
            _say(f"queued {name}: run {waiting[name]}")
        except HelmsightError as error:
            ended[name] = error.message
    deadline = time.monotonic() + RUNS_S
    while waiting:
        for name, run_id in list(waiting.items()):
            with session_scope(bench.engine) as session:
                detail = run_detail(session, run_id)
            if detail is None:
                ended[name] = f"run {run_id} is gone"
            elif detail.row.status in _ENDED or time.monotonic() > deadline:
                ended[name] = detail
                _say(f"{name}: {detail.row.status}")
            else:
                continue
            del waiting[name]
        time.sleep(_POLL_S)
    return ended


def _completed(run: RunDetail | str) -> tuple[RunDetail, dict[str, Any]]:
    """Return a completed run and what to say of it.

    Raises:
        InputError: If it did not complete; the message says why.
    """
    if isinstance(run, str):
        raise InputError(run)
    row = run.row
    if row.status != "completed":
        raise InputError(f"run {row.id} is {row.status}: {row.error_message or 'no reason given'}")
    waited_s = (row.started_at - row.queued_at).total_seconds() if row.started_at is not None else None
    return run, {"run_id": row.id, "status": row.status, "waited_s": waited_s, "duration_s": row.duration_s}


def _workflow(run: RunDetail | str) -> dict[str, Any]:
    detail, values = _completed(run)
    nodes = [{"id": node.node_id, "kind": node.kind, "duration_s": node.duration_s} for node in detail.nodes]
    return {"ok": bool(nodes), "name": detail.row.workflow_name, **values, "nodes": nodes}


def _ocr(run: RunDetail | str, expected: str) -> dict[str, Any]:
    detail, values = _completed(run)
    output = detail.output
    alike = difflib.SequenceMatcher(None, expected.split(), str(output["text"]).split(), autojunk=False).ratio()
    return {
        "ok": alike >= LEAST_ALIKE_RATIO,
        **values,
        "words": output["word_count"],
        "pages": output["pages"],
        "confidence": output["confidence"],
        "words_alike_ratio": round(alike, 4),
        "first_line": str(output["text"]).partition("\n")[0],
    }


def _mcp(run: RunDetail | str) -> dict[str, Any]:
    detail, values = _completed(run)
    output = detail.output
    words = (output.get("structured") or {}).get("words")
    return {
        "ok": not output["is_error"] and words == _MCP_WORDS,
        **values,
        "server": output["server"],
        "tool": output["tool"],
        "words": words,
        "call_ms": output["duration_ms"],
    }


# -- what just happened, in numbers -----------------------------------------------------------------------------------


def _kpi(bench: Bench) -> dict[str, Any]:
    """Compute the share of runs that completed, over nothing but the time since we began."""
    interval = Interval(bench.started_at, utc_now())
    with session_scope(bench.engine) as session:
        readings = read_kpis(session, bench.prom, interval, ids=["run_success", "run_p95"])
    return {
        "ok": bool(readings) and all(_has_live_value(reading) for reading in readings),
        "since": interval.since.isoformat(),
        "until": interval.until.isoformat(),
        "readings": [
            {
                "id": reading.kpi.id,
                "value": reading.value,
                "unit": reading.kpi.unit,
                "target": reading.kpi.target,
                "state": reading.state,
                "samples": reading.samples,
            }
            for reading in readings
        ],
    }


def _has_live_value(reading: KpiReading) -> bool:
    return reading.value is not None and reading.state is not KpiState.NO_DATA and not reading.includes_demo


def _slo(bench: Bench) -> dict[str, Any]:
    interval = Interval(bench.started_at, utc_now())
    with session_scope(bench.engine) as session:
        stored = measure(RUNS_COMPLETED, interval, session=session, prom=None)
    postgres = _as_status(RUNS_COMPLETED, stored)
    scraped = _checked(lambda: _scraped_slo(bench))
    return {"ok": postgres["ok"] and scraped["ok"], "postgres": postgres, "prometheus": scraped}


def _as_status(item: Objective, found: Measured | None) -> dict[str, Any]:
    if found is None or found.total == 0:
        return {"ok": False, "id": item.id, "why": "no event was counted"}
    value = sli(found.good, found.total)
    budget = error_budget(found.good, found.total, budget_ratio=item.budget_ratio, period=item.period)
    return {
        "ok": value is not None,
        "id": item.id,
        "target": float(item.target),
        "good": round(found.good, 3),
        "total": round(found.total, 3),
        "sli": value,
        "compliant": value is not None and value >= item.target,
        "burn_rate": burn_rate(found.good, found.total, budget_ratio=item.budget_ratio),
        "budget_remaining_ratio": None if budget is None else budget.remaining_ratio,
        "since": found.interval.since.isoformat(),
        "until": found.interval.until.isoformat(),
    }


def _scraped_slo(bench: Bench) -> dict[str, Any]:
    """Ask the dashboard over HTTP until Prometheus, which reads it in its own time, has counted the answers."""
    if bench.prom is None:
        why = "there is no Prometheus: install the package `prometheus` or set HELMSIGHT_PROMETHEUS__URL"
        return {"ok": False, "why": why}
    item = objective("api_availability")
    answers = Counter[int]()
    deadline = time.monotonic() + SCRAPES_S
    found: Measured | None = None
    with _api_token(bench) as token:
        while time.monotonic() < deadline:
            answers += _ask_dashboard(bench.state, token)
            now = utc_now()
            interval = Interval(now - max(now - bench.started_at, timedelta(seconds=30)), now)
            with session_scope(bench.engine) as session:
                found = measure(item, interval, session=session, prom=bench.prom)
            if found is not None and found.total > 0:
                break
            time.sleep(_POLL_S * 2)
    status = _as_status(item, found)
    well = status["ok"] and all(code < _FIRST_SERVER_ERROR for code in answers)
    return {**status, "ok": well, "answers": dict(answers)}


@contextmanager
def _api_token(bench: Bench) -> Iterator[str]:
    """Make a viewer and a token for the block; both are gone afterwards."""
    from analytics.store.queries import identity  # noqa: PLC0415 - beside its only use

    with session_scope(bench.engine) as session:
        if identity.find_user(session, PROBE_EMAIL) is None:
            create_user(session, email=PROBE_EMAIL, name="Demo probe", role=Role.VIEWER, password=one_time_password())
        user = identity.find_user(session, PROBE_EMAIL)
        secret, row = new_token(
            session,
            user_email=PROBE_EMAIL,
            name="demo --once",
            role=Role.VIEWER,
            expires_at=utc_now() + timedelta(minutes=10),
        )
        if user is not None:
            identity.update_user(session, user.id, disabled=False)
    try:
        yield secret
    finally:
        with session_scope(bench.engine) as session:
            identity.revoke_token(session, row.id, now=utc_now())
            identity.update_user(session, row.user.id, disabled=True)


def _ask_dashboard(state: StackState, token: str) -> Counter[int]:
    """Send a few requests to the API; return how many were answered with each status."""
    base = f"http://127.0.0.1:{state.ports['http']}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    answers = Counter[int]()
    for path in ("/api/v1/kpis", "/api/v1/slos", "/api/v1/agents/graph", "/api/v1/openapi.json"):
        request = urllib.request.Request(base + path, headers={"Authorization": f"Bearer {token}"})  # noqa: S310 - http
        try:
            with opener.open(request, timeout=10) as response:
                response.read()
                answers[response.status] += 1
        except urllib.error.HTTPError as error:
            _say(f"{path}: {error}")
            error.close()
            answers[error.code] += 1
        except (urllib.error.URLError, OSError) as error:
            _say(f"{path}: {error}")
    return answers


def _agents(bench: Bench) -> dict[str, Any]:
    with session_scope(bench.engine) as session:
        graph = agent_graph(session, Interval.last(timedelta(days=30)))
    busiest = max(graph.nodes, key=lambda node: node.runs, default=None)
    return {
        "ok": bool(graph.nodes) and bool(graph.edges),
        "agents": len(graph.nodes),
        "handoffs": sum(edge.count for edge in graph.edges),
        "runs": sum(node.runs for node in graph.nodes),
        "busiest": None if busiest is None else {"id": busiest.id, "runs": busiest.runs},
    }


def _checked(step: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what *step* found, or, when it fails, why; one failed step does not keep the others from being shown."""
    try:
        return step()
    except HelmsightError as error:
        return {"ok": False, "why": error.message}
    except (KeyError, TypeError, AttributeError) as error:
        return {"ok": False, "why": f"the output has another form than expected ({error!r})"}


def _say(text: str) -> None:
    sys.stderr.write(f"helmsight: {text}\n")
    sys.stderr.flush()
