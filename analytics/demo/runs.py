"""Thirty days of runs of the demo workflow, as its definition says: nodes in order of what they need."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import select
from sqlalchemy.orm import Session

from analytics.demo.company import KINDS, OWNERS, WORKFLOW
from analytics.demo.history import History
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
    "origin",
)
NODE_COLUMNS = (
    "run_id",
    "run_created_at",
    "node_id",
    "kind",
    "status",
    "attempt",
    "executor",
    "started_at",
    "finished_at",
    "output",
    "error",
)

_RUNS_A_DAY = 26
_FAILING = 0.008
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

    workflow_id: Any
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
    """Add runs of *definition*, and their nodes, to *history*; all have ended."""
    times = history.chance.times(history.since, history.until - _SLOWEST, a_day=_RUNS_A_DAY)
    for number, at in enumerate(times):
        _run(history, definition, at, number)


def _run(history: History, definition: Definition, at: datetime, number: int) -> None:
    chance = history.chance
    run_id = chance.new_id(at)
    started = at + timedelta(seconds=round(chance.around(0.15), 3))
    ends: dict[str, datetime] = {}
    error: str | None = None
    for node in definition.nodes:
        needs = node.get("needs", [])
        if error is not None or any(need not in ends for need in needs):
            continue
        begun = max([started, *(ends[need] for need in needs)])
        ended = begun + timedelta(seconds=round(chance.around(_TYPICAL_S.get(node["kind"], 0.1)), 4))
        if node["kind"] in _MESSAGES and chance.happens(_FAILING):
            error = _json({"code": "dependency", "message": _MESSAGES[node["kind"]], "node_id": node["id"]})
        ends[node["id"]] = ended
        status, output = ("completed", _OUTPUT) if error is None else ("failed", None)
        place = (run_id, at, node["id"], node["kind"])
        history.rows["node_run"].append((*place, status, 1, "demo", begun, ended, output, error))
    document = _json({"demo": True, "document": f"{chance.one_of(KINDS)}-{number + 1:04}"})
    history.rows["run"].append(
        (
            run_id,
            at,
            definition.workflow_id,
            definition.version,
            "completed" if error is None else "failed",
            chance.one_of(OWNERS),
            "demo",
            document,
            _OUTPUT if error is None else None,
            error,
            1,
            at,
            started,
            max([started, *ends.values()]),
            "demo",
        )
    )


def _json(value: Mapping[str, Any]) -> str:
    return orjson.dumps(value).decode()


_OUTPUT = _json({"demo": True})
