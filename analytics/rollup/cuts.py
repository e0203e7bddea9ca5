"""Which facts are summed, what is measured of each, and along which dimensions they are cut.

Everything else in this package is written once for all of them; a new fact or a new cut is a declaration here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from analytics.core.errors import InputError

SEPARATOR = "\x1f"
"""Stands between the parts of a key of two dimensions."""
LONGEST_PART = 200
"""Names are cut off after so many characters, so that a key fits into an index."""


@dataclass(frozen=True, slots=True, eq=False)
class Fact:
    """One kind of fact: rows of a table with a time, what is measured of them, and their cuts.

    Measures are SQL expressions over the table's columns; None where this fact has no such measure.
    """

    name: str
    source: str
    """Under which name triggers mark its hours; see ``rollup_dirty``."""
    table: str
    time: str
    dims: Mapping[str, str]
    """Expressions of any type by the name of the dimension."""
    cuts: Mapping[str, tuple[str, ...]]
    """Dimensions by the name of the cut, in the order in which they stand in its keys."""
    shown: tuple[str, ...]
    """Columns that a raw row is shown with, besides ``id`` and its time as ``at``."""
    where: str = "true"
    ok: str | None = None
    failed: str | None = None
    duration: str | None = None
    """Seconds; one that is negative because clocks differ is not known."""
    input_tokens: str | None = None
    output_tokens: str | None = None
    cost: str | None = None
    value: str | None = None
    sketched: str | None = None
    """``duration`` or ``value``: of which of them the distribution is kept."""
    person: str | None = None


_SECONDS = "CASE WHEN isfinite(finished_at) THEN date_part('epoch', finished_at - {}) END"

_FACTS = (
    Fact(
        name="agent_run",
        source="agent_run",
        table="agent_run",
        time="started_at",
        dims={"project": "project_id", "agent": "agent_id", "task_kind": "task_kind"},
        cuts={
            "agent_run": (),
            "agent_run.project": ("project",),
            "agent_run.agent": ("agent",),
            "agent_run.task_kind": ("task_kind",),
            "agent_run.agent_task": ("agent", "task_kind"),
        },
        shown=(
            "finished_at",
            "agent_id",
            "project_id",
            "task_kind",
            "status",
            "confidence",
            "input_tokens",
            "output_tokens",
            "cost_usd",
            "error",
            "origin",
        ),
        ok="status = 'completed'",
        failed="status = 'failed'",
        duration=_SECONDS.format("started_at"),
        input_tokens="input_tokens",
        output_tokens="output_tokens",
        cost="cost_usd",
        value="confidence",
        sketched="duration",
    ),
    Fact(
        name="llm_call",
        source="llm_call",
        table="llm_call",
        time="at",
        dims={"service": "provider", "model": "model"},
        cuts={
            "llm_call": (),
            "llm_call.service": ("service",),
            "llm_call.model": ("model",),
            "llm_call.service_model": ("service", "model"),
        },
        shown=(
            "provider",
            "model",
            "ok",
            "duration_ms",
            "input_tokens",
            "output_tokens",
            "cost_usd",
            "agent_run_id",
            "origin",
        ),
        ok="ok",
        failed="NOT ok",
        duration="duration_ms / 1000.0",
        input_tokens="input_tokens",
        output_tokens="output_tokens",
        cost="cost_usd",
        sketched="duration",
    ),
    Fact(
        name="event",
        source="event",
        table="event",
        time="at",
        dims={"kind": "kind", "source": "source", "service": "service", "project": "project_id"},
        cuts={
            "event": (),
            "event.kind": ("kind",),
            "event.source": ("source",),
            "event.service": ("service",),
            "event.project": ("project",),
            "event.kind_service": ("kind", "service"),
        },
        shown=("kind", "source", "subject", "project_id", "service", "duration_ms", "cost_usd", "props", "origin"),
        duration="duration_ms / 1000.0",
        cost="cost_usd",
        sketched="duration",
        person="CASE WHEN kind NOT LIKE 'context.%' THEN subject END",
    ),
    Fact(
        name="context",
        source="event",
        table="event",
        time="at",
        where="kind LIKE 'context.%'",
        dims={"kind": "substr(kind, 9)", "context": "subject", "agent": "props ->> 'agent_id'"},
        cuts={
            "context": (),
            "context.kind": ("kind",),
            "context.context": ("context",),
            "context.agent": ("agent",),
        },
        shown=("kind", "source", "subject", "project_id", "service", "duration_ms", "cost_usd", "props", "origin"),
        duration="duration_ms / 1000.0",
        cost="cost_usd",
        sketched="duration",
    ),
    Fact(
        name="lead",
        source="lead",
        table="lead",
        time="created_at",
        dims={"source": "source", "status": "status"},
        cuts={"lead": (), "lead.source": ("source",), "lead.status": ("status",)},
        shown=("email", "owner", "source", "status", "p_score", "converted_at", "origin"),
        ok="converted_at IS NOT NULL OR status = 'won'",
        failed="converted_at IS NULL AND status = 'lost'",
        value="p_score",
        sketched="value",
    ),
    Fact(
        name="work_item",
        source="work_item",
        table="work_item",
        time="created_at",
        dims={"kind": "kind", "status": "status"},
        cuts={"work_item": (), "work_item.kind": ("kind",), "work_item.kind_status": ("kind", "status")},
        shown=("kind", "title", "owner", "status", "completion_ratio", "project_id", "finished_at", "origin"),
        ok="status = 'completed'",
        failed="status = 'failed'",
        value="completion_ratio",
    ),
    Fact(
        name="work_done",
        source="work_done",
        table="work_item",
        time="finished_at",
        where="status IN ('completed', 'failed')",
        dims={"kind": "kind", "project": "project_id"},
        cuts={
            "work_done": (),
            "work_done.kind": ("kind",),
            "work_done.project": ("project",),
            "work_done.kind_project": ("kind", "project"),
        },
        shown=("kind", "title", "owner", "status", "completion_ratio", "project_id", "created_at", "origin"),
        ok="status = 'completed'",
        failed="status = 'failed'",
        duration=_SECONDS.format("created_at"),
        sketched="duration",
    ),
    Fact(
        name="run",
        source="run",
        table="run",
        time="created_at",
        dims={"workflow": "workflow_id", "trigger": "trigger"},
        cuts={"run": (), "run.workflow": ("workflow",), "run.trigger": ("trigger",)},
        shown=("workflow_id", "version", "status", "trigger", "requested_by", "started_at", "took_s", "origin"),
        ok="status = 'completed'",
        failed="status = 'failed'",
        duration="CASE WHEN status = 'completed' THEN took_s END",
        sketched="duration",
    ),
    Fact(
        name="sample",
        source="metric_sample",
        table="metric_sample",
        time="at",
        dims={"name": "name", "tags": "tags"},
        cuts={"sample.name": ("name",), "sample.name_tags": ("name", "tags")},
        shown=("name", "value", "unit", "tags", "warning", "critical", "origin"),
        value="value",
        sketched="value",
    ),
)

FACTS: Mapping[str, Fact] = {fact.name: fact for fact in _FACTS}
SOURCES: tuple[str, ...] = tuple(dict.fromkeys(fact.source for fact in _FACTS))
"""Names under which hours are marked."""
CUTS: Mapping[str, Fact] = {cut: fact for fact in _FACTS for cut in fact.cuts}
"""The fact of each cut."""


def fact_of(cut: str) -> Fact:
    """Return the fact that *cut* is a cut of.

    Raises:
        InputError: If there is no such cut.
    """
    fact = CUTS.get(cut)
    if fact is None:
        raise InputError(f"There is no cut {cut!r}; nothing was read. There are: {', '.join(CUTS)}.")
    return fact


def joined(*parts: str) -> str:
    """Return the key of several dimensions: *parts* as the store keeps them, one for each dimension."""
    return SEPARATOR.join(part[:LONGEST_PART] for part in parts)


def parts(key: str) -> list[str]:
    """Return the parts of *key*, one for each dimension of its cut."""
    return key.split(SEPARATOR)
