"""Thirty days of the company: documents passed from agent to agent, projects, leads, events, work items.

Rows come as tuples, by table, for COPY; nothing here touches the database.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from analytics.demo.chance import Chance
from analytics.demo.company import (
    AGENTS,
    KINDS,
    OWNERS,
    PATH,
    PROJECTS,
    TASKS,
    DemoAgent,
    Incident,
    Release,
    runaway,
)
from analytics.demo.contexts import add_contexts
from analytics.demo.journeys import add_journeys
from analytics.demo.measures import add_measures
from analytics.demo.rows import History, json_of

DOCUMENTS_A_DAY = 70
_ATTEMPTS = 3
_OUTAGE = "llm_api_success_rate"
_UNANSWERED = "The model did not answer in three attempts."
_REJECTED = "The document did not pass the checks of this step."
_BY_ID = {agent.id: agent for agent in AGENTS}
_DAY = timedelta(days=1)
_RUNAWAY = ("demo-summariser", 140)
"""Who summarised again and again, and how often."""
_SERVICES = {
    "demo-reader": ("document.read", "ocr", "demo-ocr", 0.0045),
    "demo-notifier": ("document.announced", "mail", "demo-mail", 0.0004),
}
"""Services that runs of agents use beside models: kind and source of the event, the service, what it costs."""


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


def company_history(
    chance: Chance,
    *,
    since: datetime,
    until: datetime,
    incidents: Sequence[Incident] = (),
    releases: Sequence[Release] = (),
) -> History:
    """Return what the company did in ``[since, until)``."""
    history = History(chance, since, until, incidents, releases)
    for agent in AGENTS:
        config = {"demo": True, "model": agent.model.name if agent.model else None}
        row = (agent.id, agent.name, agent.icon, agent.team, json_of(config), since, "demo")
        history.rows["agent"].append(row)
    projects = _projects(history)
    for at in chance.times(since, until, a_day=DOCUMENTS_A_DAY):
        _document(history, at, chance.one_of(projects))
    _runaway(history, projects)
    add_journeys(history)
    add_contexts(history, projects)
    _work_items(history, projects)
    add_measures(history)
    for incident in incidents:
        ends = (incident.since, incident.until)
        history.add("annotation", incident.since, *ends, "incident", incident.title, incident.service)
    for release in releases:
        history.add("annotation", release.at, release.at, None, "deploy", release.title, release.service)
    return history


def _projects(history: History) -> list[uuid.UUID]:
    chance, made = history.chance, []
    for number, name in enumerate(PROJECTS):
        created = history.since + number * timedelta(hours=7)
        config = json_of({"demo": True, "languages": ["de", "en"]})
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
        work = _work(history, agent, at)
        if work.ended >= history.until:
            return
        is_ok = _agent_run(history, work, project, kind, parent=None if before is None else before.run)
        if before is not None:
            history.add("handoff", at, at, before.agent.id, agent_id, before.run, is_ok)
        if not is_ok:
            return
        before = work
        at = work.ended + timedelta(seconds=round(chance.around(0.4), 3))


def _work(history: History, agent: DemoAgent, at: datetime) -> _Work:
    """Return a run that begins at *at* and takes as long as the releases until then make it."""
    took_s = history.chance.around(agent.took_s)
    for release in history.releases:
        if agent.model is not None and release.at <= at:
            took_s *= release.slower.get(agent.model.name, 1.0)
    return _Work(agent, at, at + timedelta(seconds=round(took_s, 3)), history.chance.new_id(at))


def _failing(history: History, work: _Work) -> float:
    """Return the share of runs that fail, as releases left it."""
    share = work.agent.failing
    for release in history.releases:
        if release.at <= work.at:
            share *= release.failing.get(work.agent.id, 1.0)
    return share


def _runaway(history: History, projects: Sequence[uuid.UUID]) -> None:
    """Add the runs of an agent that did the same work again and again: calls and cost rise for an hour and a half."""
    name, count = _RUNAWAY
    since, until = runaway(history.until)
    project = history.chance.one_of(projects)
    for place in range(count):
        at = since + place * (until - since) / count
        _agent_run(history, _work(history, _BY_ID[name], at), project, KINDS[0], parent=None)


def _agent_run(history: History, work: _Work, project: uuid.UUID, kind: str, *, parent: uuid.UUID | None) -> bool:
    """Add one run with its model calls; return whether it went well."""
    spent = _model_calls(history, work)
    is_ok = spent.is_ok and not history.chance.happens(_failing(history, work))
    if work.agent.id in _SERVICES:
        kind_of_event, source, service, price = _SERVICES[work.agent.id]
        took_ms = round((work.ended - work.at).total_seconds() * 800, 1)
        props = {"demo": True, "agent_id": work.agent.id}
        history.event(
            work.at, kind_of_event, source, None, props, project=project, service=service, took_ms=took_ms, cost=price
        )
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
    outage = history.incident_at(work.at, _OUTAGE)
    spent = _Spent(is_ok=False)
    for _ in range(_ATTEMPTS):
        is_ok = not chance.happens(outage.bad_ratio[_OUTAGE] if outage else 0.004)
        read = round(chance.around(work.agent.tokens[0]))
        written = round(chance.around(work.agent.tokens[1])) if is_ok else 0
        price = None
        if model.input_usd is not None and model.output_usd is not None:
            price = round((read * model.input_usd + written * model.output_usd) / 1e6, 6)
        took_ms = round((work.ended - work.at).total_seconds() * 900 * (0.5 + 0.5 * chance.rng.random()), 1)
        call = (work.at, work.run, model.provider, model.name, is_ok, took_ms, read, written, price)
        history.add("llm_call", work.at, *call)
        cost = None if price is None else round((spent.cost_usd or 0.0) + price, 6)
        spent = _Spent(spent.input_tokens + read, spent.output_tokens + written, cost, is_ok)
        if is_ok:
            break
    return spent


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
