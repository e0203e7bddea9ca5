"""Rows of the demo, by table, as tuples for COPY; nothing here touches the database."""

import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from analytics.demo.chance import Chance
from analytics.demo.company import Incident, Release

COLUMNS: Mapping[str, Sequence[str]] = {
    "agent": ("id", "name", "icon", "team", "config", "created_at", "origin"),
    "project": ("id", "name", "config", "created_at", "updated_at", "origin"),
    "task": ("id", "project_id", "title", "status", "created_at", "finished_at", "origin"),
    "agent_run": (
        "id",
        "started_at",
        "finished_at",
        "agent_id",
        "project_id",
        "parent_id",
        "task_kind",
        "status",
        "confidence",
        "input_tokens",
        "output_tokens",
        "cost_usd",
        "error",
        "origin",
    ),
    "llm_call": (
        "id",
        "at",
        "agent_run_id",
        "provider",
        "model",
        "ok",
        "duration_ms",
        "input_tokens",
        "output_tokens",
        "cost_usd",
        "origin",
    ),
    "handoff": ("id", "at", "source_agent_id", "target_agent_id", "run_id", "ok", "origin"),
    "lead": (
        "id",
        "email",
        "owner",
        "source",
        "status",
        "p_score",
        "created_at",
        "converted_at",
        "external_id",
        "updated_at",
        "origin",
    ),
    "event": (
        "id",
        "at",
        "kind",
        "source",
        "subject",
        "project_id",
        "props",
        "service",
        "duration_ms",
        "cost_usd",
        "received_at",
        "origin",
    ),
    "context": (
        "id",
        "parent_id",
        "kind",
        "name",
        "agent_id",
        "project_id",
        "created_at",
        "archived_at",
        "last_read_at",
        "last_write_at",
        "props",
        "origin",
    ),
    "metric_sample": ("id", "at", "name", "value", "unit", "tags", "warning", "critical", "origin"),
    "work_item": (
        "id",
        "project_id",
        "kind",
        "title",
        "owner",
        "status",
        "completion_ratio",
        "created_at",
        "finished_at",
        "origin",
    ),
    "funnel": ("id", "name", "steps", "window_s", "created_at", "updated_at", "updated_by", "origin"),
    "annotation": ("id", "at", "until", "kind", "title", "service", "origin"),
}
"""Columns of the rows, in order, by table; tables stand in the order in which they are filled."""


@dataclass(slots=True)
class History:
    """What happens in ``[since, until)``, as rows by table."""

    chance: Chance
    since: datetime
    until: datetime
    incidents: Sequence[Incident] = ()
    releases: Sequence[Release] = ()
    rows: dict[str, list[tuple[Any, ...]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, table: str, at: datetime, *values: Any) -> uuid.UUID:
        """Add one row with an id for *at*, labelled as the demo's; return the id."""
        row_id = self.chance.new_id(at)
        self.rows[table].append((row_id, *values, "demo"))
        return row_id

    def event(
        self,
        at: datetime,
        kind: str,
        source: str,
        subject: str | None,
        props: Mapping[str, object],
        *,
        project: uuid.UUID | None = None,
        service: str | None = None,
        took_ms: float | None = None,
        cost: float | None = None,
    ) -> None:
        """Add one event, which was told of at once."""
        row = (at, kind, source, subject, project, json_of(props), service, took_ms, cost, at)
        self.add("event", at, *row)

    def incident_at(self, at: datetime, objective: str) -> Incident | None:
        """Return the incident that hurt *objective* at *at*, or None."""
        return next((item for item in self.incidents if objective in item.bad_ratio and item.covers(at)), None)


def json_of(value: Mapping[str, object]) -> str:
    """Return *value* as JSON text."""
    return orjson.dumps(value).decode()
