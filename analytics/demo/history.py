"""Thirty days of the company: documents passed from agent to agent, projects, leads, events, work items.

Rows come as tuples, by table, for COPY; nothing here touches the database.
"""

import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson

from analytics.demo.chance import Chance
from analytics.demo.company import (
    AGENTS,
    KINDS,
    LEAD_SOURCES,
    OWNERS,
    PATH,
    PROJECTS,
    PROVIDER,
    TASKS,
    DemoAgent,
    Incident,
)

DOCUMENTS_A_DAY = 70
VISITS_A_DAY = 260
_ATTEMPTS = 3
_OUTAGE = "llm_api_success_rate"
_UNANSWERED = "The model did not answer in three attempts."
_REJECTED = "The document did not pass the checks of this step."
_LEAD_STEPS = (
    ("page_view", "web", 1.0),
    ("post_liked", "social", 0.35),
    ("download", "web", 0.45),
    ("message_received", "message", 0.40),
    ("meeting_booked", "web", 0.25),
)
_BY_ID = {agent.id: agent for agent in AGENTS}
_DAY = timedelta(days=1)

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
    "lead": ("id", "email", "owner", "source", "status", "p_score", "created_at", "converted_at", "origin"),
    "event": ("id", "at", "kind", "source", "subject", "project_id", "props", "origin"),
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
    rows: dict[str, list[tuple[Any, ...]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, table: str, at: datetime, *values: Any) -> uuid.UUID:
        """Add one row with an id for *at*, labelled as the demo's; return the id."""
        row_id = self.chance.new_id(at)
        self.rows[table].append((row_id, *values, "demo"))
        return row_id

    def outage_at(self, at: datetime) -> Incident | None:
        """Return the incident in which models did not answer at *at*."""
        return next((item for item in self.incidents if _OUTAGE in item.bad_ratio and item.covers(at)), None)


@dataclass(frozen=True, slots=True)
class _Work:
    """One run of one agent."""

    agent: DemoAgent
    at: datetime
    ended: datetime
    run: uuid.UUID


@dataclass(frozen=True, slots=True)
class _Spent:
    """What the model calls of a run took."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None
    is_ok: bool = True


def company_history(chance: Chance, *, since: datetime, until: datetime, incidents: Sequence[Incident]) -> History:
    """Return what the company did in ``[since, until)``."""
    history = History(chance, since, until, incidents)
    for agent in AGENTS:
        config = {"demo": True, "model": agent.model.name if agent.model else None}
        row = (agent.id, agent.name, agent.icon, agent.team, _json(config), since, "demo")
        history.rows["agent"].append(row)
    projects = _projects(history)
    for at in chance.times(since, until, a_day=DOCUMENTS_A_DAY):
        _document(history, at, chance.one_of(projects))
    _leads(history, projects)
    _visits(history)
    _work_items(history, projects)
    for incident in incidents:
        ends = (incident.since, incident.until)
        history.add("annotation", incident.since, *ends, "incident", incident.title, incident.service)
    bad = incidents[-1]
    history.add("annotation", bad.since, bad.since, None, "deploy", "Release 4.7.1 (demo)", "api")
    history.add("annotation", bad.until, bad.until, None, "deploy", "Release 4.7.2 (demo)", "api")
    return history


def _projects(history: History) -> list[uuid.UUID]:
    chance, made = history.chance, []
    for number, name in enumerate(PROJECTS):
        created = history.since + number * timedelta(hours=7)
        config = _json({"demo": True, "languages": ["de", "en"]})
        project = history.add("project", created, f"{name} (demo)", config, created, created)
        made.append(project)
        for place, title in enumerate(TASKS):
            begun = created + (place * 3 + chance.rng.random()) * _DAY
            if begun >= history.until:
                continue
            ended: datetime | None = begun + chance.around(3.0) * _DAY
            status = "failed" if chance.happens(0.06) else "completed"
            if ended is not None and ended >= history.until:
                ended, status = None, "active"
            history.add("task", begun, project, title, status, begun, ended)
    return made


def _document(history: History, at: datetime, project: uuid.UUID) -> None:
    """Pass one document from agent to agent until the last, a failure, or the present."""
    chance = history.chance
    kind = chance.one_of(KINDS)
    before: _Work | None = None
    for agent_id, share in PATH:
        if not chance.happens(share):
            continue
        agent = _BY_ID[agent_id]
        ended = at + timedelta(seconds=round(chance.around(agent.took_s), 3))
        if ended >= history.until:
            return
        work = _Work(agent, at, ended, chance.new_id(at))
        is_ok = _agent_run(history, work, project, kind, parent=None if before is None else before.run)
        if before is not None:
            history.add("handoff", at, at, before.agent.id, agent_id, before.run, is_ok)
        if not is_ok:
            return
        before = work
        at = ended + timedelta(seconds=round(chance.around(0.4), 3))


def _agent_run(history: History, work: _Work, project: uuid.UUID, kind: str, *, parent: uuid.UUID | None) -> bool:
    """Add one run with its model calls; return whether it went well."""
    spent = _model_calls(history, work)
    is_ok = spent.is_ok and not history.chance.happens(work.agent.failing)
    history.rows["agent_run"].append(
        (
            work.run,
            work.at,
            work.ended,
            work.agent.id,
            project,
            parent,
            kind,
            "completed" if is_ok else "failed",
            round(0.72 + 0.25 * history.chance.rng.random(), 3) if is_ok else None,
            spent.input_tokens,
            spent.output_tokens,
            spent.cost_usd,
            None if is_ok else (_REJECTED if spent.is_ok else _UNANSWERED),
            "demo",
        )
    )
    return is_ok


def _model_calls(history: History, work: _Work) -> _Spent:
    """Add the calls of one run, three at most; return what they took."""
    model, chance = work.agent.model, history.chance
    if model is None:
        return _Spent()
    outage = history.outage_at(work.at)
    spent = _Spent(is_ok=False)
    for _ in range(_ATTEMPTS):
        is_ok = not chance.happens(outage.bad_ratio[_OUTAGE] if outage else 0.004)
        read = round(chance.around(work.agent.tokens[0]))
        written = round(chance.around(work.agent.tokens[1])) if is_ok else 0
        price = None
        if model.input_usd is not None and model.output_usd is not None:
            price = round((read * model.input_usd + written * model.output_usd) / 1e6, 6)
        took_ms = round((work.ended - work.at).total_seconds() * 900 * (0.5 + 0.5 * chance.rng.random()), 1)
        call = (work.at, work.run, PROVIDER, model.name, is_ok, took_ms, read, written, price)
        history.add("llm_call", work.at, *call)
        cost = None if price is None else round((spent.cost_usd or 0.0) + price, 6)
        spent = _Spent(spent.input_tokens + read, spent.output_tokens + written, cost, is_ok)
        if is_ok:
            break
    return spent


def _leads(history: History, projects: Sequence[uuid.UUID]) -> None:
    """Add leads and their way: visits, a download, a message; some become customers after days."""
    chance, until = history.chance, history.until
    for number, at in enumerate(chance.times(history.since, until, a_day=9)):
        email, project = f"lead{number:04}@example.com", chance.one_of(projects)
        moment = at
        for kind, source, share in _LEAD_STEPS:
            if moment < until and chance.happens(share):
                _event(history, moment, kind, source, email, project=project)
            moment += timedelta(hours=round(chance.around(9), 3))
        score = round(float(chance.rng.beta(2, 3)), 3)
        status, converted = "new", None
        if moment < until:
            status = "contacted" if chance.happens(0.5) else "qualified"
            decided = moment + chance.around(3.0) * _DAY
            if decided < until:
                is_won = chance.happens(0.12 + 0.35 * score)
                status, converted = ("won", decided) if is_won else ("lost", None)
        owner, source = chance.one_of(OWNERS), chance.one_of(LEAD_SOURCES)
        history.add("lead", at, email, owner, source, status, score, at, converted)


def _visits(history: History) -> None:
    """Add visits of people who are not leads."""
    chance = history.chance
    for at in chance.times(history.since, history.until, a_day=VISITS_A_DAY):
        visitor = f"visitor{int(chance.rng.integers(900)):03}"
        kind = chance.one_of(("page_view", "page_view", "page_view", "search", "share"))
        _event(history, at, kind, "social" if kind == "share" else "web", visitor)


def _event(
    history: History, at: datetime, kind: str, source: str, subject: str, *, project: uuid.UUID | None = None
) -> None:
    history.add("event", at, at, kind, source, subject, project, _json({"demo": True}))


def _work_items(history: History, projects: Sequence[uuid.UUID]) -> None:
    chance = history.chance
    for kind, a_day, failing in (("assessment", 16, 0.03), ("recommendation", 9, 0.02), ("report", 4, 0.01)):
        for number, at in enumerate(chance.times(history.since, history.until, a_day=a_day)):
            ended: datetime | None = at + timedelta(hours=round(chance.around(5.0), 3))
            share = round(float(chance.rng.random()) * 0.9, 2)
            if ended is not None and ended >= history.until:
                status, ended = "active", None
            elif chance.happens(failing):
                status = "failed"
            else:
                status, share = "completed", 1.0
            title, owner = f"{kind.capitalize()} {number + 1:03} (demo)", chance.one_of(OWNERS)
            history.add("work_item", at, chance.one_of(projects), kind, title, owner, status, share, at, ended)


def _json(value: Mapping[str, Any]) -> str:
    return orjson.dumps(value).decode()
