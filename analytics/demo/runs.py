"""Thirty days of runs of the demo workflow, as its definition says: nodes in order of what they need."""

import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import select
from sqlalchemy.orm import Session

from analytics.demo.company import KINDS, OWNERS, WORKFLOW
from analytics.demo.rows import History
from analytics.store.tables import Workflow, WorkflowVersion

RUN_COLUMNS = (
    "id",
    "created_at",
    "workflow_id",
    "version",
    "status",
    "requested_by",
    "trigger",
    "input",
    "output",
    "error",
    "attempt",
    "queued_at",
    "started_at",
    "finished_at",
    "tags",
    "schedule_id",
    "scheduled_for",
    "nodes_total",
    "node_counts",
    "origin",
)
_PLACE = ("run_id", "run_created_at", "node_id")
OF_RUNS: Mapping[str, Sequence[str]] = {
    "schedule": (
        "id",
        "workflow_id",
        "name",
        "cron",
        "zone",
        "tags",
        "starts_at",
        "paused_at",
        "created_at",
        "updated_at",
        "origin",
    ),
    "run": RUN_COLUMNS,
    "node_run": (
        *_PLACE,
        "kind",
        "status",
        "attempt",
        "executor",
        "started_at",
        "finished_at",
        "ready_at",
        "output",
        "cpu_ms",
        "cache_hit",
        "log_lines",
        "changed_at",
        "error",
    ),
    "node_attempt": (*_PLACE, "attempt", "executor", "started_at", "finished_at", "error"),
    "node_log": (*_PLACE, "attempt", "seq", "at", "level", "message"),
}
"""Columns of the rows, in order, by table; tables stand in the order in which they are filled."""

_RUNS_A_DAY = 26
_FAILING = 0.008
_TRIED_AGAIN = 0.02
_KNOWN = 0.12
"""Share of readings whose result the cache had."""
_LOGGED = timedelta(days=3)
"""So far back nodes have logs."""
_SCHEDULED_EACH = 9
_PAUSED_BEFORE = timedelta(days=2)
_SLOWEST = timedelta(minutes=2)
_TYPICAL_S: Mapping[str, float] = {
    "http.request": 0.35,
    "transform": 0.01,
    "sql.query": 0.05,
    "ocr.extract": 1.8,
    "mcp.call": 0.4,
}
_MESSAGES: Mapping[str, str] = {
    "http.request": "The address did not answer within the timeout.",
    "ocr.extract": "The page could not be read.",
    "mcp.call": "The MCP server closed the connection.",
}


@dataclass(frozen=True, slots=True)
class Definition:
    """The version of the demo workflow that is stored."""

    workflow_id: uuid.UUID
    version: int
    nodes: Sequence[Mapping[str, Any]]


def stored_definition(session: Session) -> Definition | None:
    """Return the demo workflow as it is stored, or None when no worker has stored it yet."""
    row = session.execute(
        select(Workflow.id, Workflow.current_version, WorkflowVersion.spec)
        .join(
            WorkflowVersion,
            (WorkflowVersion.workflow_id == Workflow.id) & (WorkflowVersion.version == Workflow.current_version),
        )
        .where(Workflow.name == WORKFLOW)
    ).one_or_none()
    return None if row is None else Definition(row[0], row[1], row[2].get("nodes", []))


def add_runs(history: History, definition: Definition) -> None:
    """Add runs of *definition*, their nodes and what hangs on them to *history*; all have ended.

    With them comes a schedule, paused, that is said to have started some of them.
    """
    schedule = history.chance.new_id(history.since)
    history.rows["schedule"].append(
        (
            schedule,
            definition.workflow_id,
            "Sample invoice, every night (demo)",
            "30 2 * * *",
            "UTC",
            "{demo,nightly}",
            history.since,
            history.until - _PAUSED_BEFORE,
            history.since,
            history.since,
            "demo",
        )
    )
    times = history.chance.times(history.since, history.until - _SLOWEST, a_day=_RUNS_A_DAY)
    for number, at in enumerate(times):
        _run(history, definition, at, number, schedule if number % _SCHEDULED_EACH == 0 else None)


def _run(history: History, definition: Definition, at: datetime, number: int, schedule: uuid.UUID | None) -> None:
    chance = history.chance
    run_id = chance.new_id(at)
    started = at + timedelta(seconds=round(chance.around(0.15), 3))
    ends: dict[str, datetime] = {}
    error: str | None = None
    statuses: list[str] = []
    for node in definition.nodes:
        needs = [str(need).split(".", 1)[0] for need in node.get("needs", [])]
        if error is not None or any(need not in ends for need in needs):
            continue
        ready = max([started, *(ends[need] for need in needs)])
        done = _node(history, (run_id, at, node["id"]), node["kind"], ready)
        ends[node["id"]], error = done.ended, done.error
        statuses.append("completed" if error is None else "failed")
    kind = chance.one_of(KINDS)
    history.rows["run"].append(
        (
            run_id,
            at,
            definition.workflow_id,
            definition.version,
            "completed" if error is None else "failed",
            None if schedule else chance.one_of(OWNERS),
            "demo",
            _json({"demo": True, "document": f"{kind}-{number + 1:04}"}),
            _OUTPUT if error is None else None,
            error,
            1,
            at,
            started,
            max([started, *ends.values()]),
            "{demo,nightly}" if schedule else "{demo," + kind.replace(" ", "-") + "}",
            schedule,
            at if schedule else None,
            len(definition.nodes),
            _json(Counter(statuses)),
            "demo",
        )
    )


@dataclass(frozen=True, slots=True)
class _Done:
    ended: datetime
    error: str | None


def _node(history: History, place: tuple[uuid.UUID, datetime, str], kind: str, ready: datetime) -> _Done:
    """Add one node with its attempts, and with its log when it is of the last days."""
    chance = history.chance
    begun = ready + timedelta(seconds=round(chance.around(0.004), 4))
    attempt = 1
    if kind in _MESSAGES and chance.happens(_TRIED_AGAIN):
        failed = begun + timedelta(seconds=round(chance.around(_TYPICAL_S[kind]), 4))
        problem = _json({"code": "dependency", "message": _MESSAGES[kind]})
        history.rows["node_attempt"].append((*place, 1, "demo", begun, failed, problem))
        begun, attempt = failed + timedelta(seconds=round(chance.around(0.6), 3)), 2
    is_known = kind == "ocr.extract" and attempt == 1 and chance.happens(_KNOWN)
    took_s = 0.001 if is_known else round(chance.around(_TYPICAL_S.get(kind, 0.1)), 4)
    ended = begun + timedelta(seconds=took_s)
    error = None
    if kind in _MESSAGES and not is_known and chance.happens(_FAILING):
        error = _json({"code": "dependency", "message": _MESSAGES[kind], "node_id": place[2]})
    lines = []
    if place[1] >= history.until - _LOGGED and not is_known:
        lines = [(begun, "info", f"Began {kind} (demo)."), (ended, "info", f"Ended after {took_s:g} s (demo).")]
        if error is not None:
            lines[1] = (ended, "error", _MESSAGES[kind])
    history.rows["node_log"] += [(*place, attempt, seq, *line) for seq, line in enumerate(lines, start=1)]
    cpu_ms = round(took_s * 900, 1) if kind == "ocr.extract" and not is_known else None
    status, output = ("completed", _OUTPUT) if error is None else ("failed", None)
    history.rows["node_run"].append(
        (*place, kind, status, attempt, "demo", begun, ended, ready, output, cpu_ms, is_known, len(lines), ended, error)
    )
    return _Done(ended, error)


def _json(value: Mapping[str, Any]) -> str:
    return orjson.dumps(value).decode()


_OUTPUT = _json({"demo": True})
