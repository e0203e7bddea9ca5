"""The contexts that the demo's agents work in: a workspace for each project, tasks in it, conversations in those."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from analytics.demo.company import AGENTS, KINDS, PROJECTS
from analytics.demo.rows import History, json_of

CONVERSATIONS_A_DAY = 5.0
_ACCESSES = 14
"""Median of the accesses of a conversation."""
_NEVER_USED = 0.12
_ARCHIVED = 0.55
_WRITES = 0.3
_SHARED = AGENTS[0].id
_TOOK_MS = {"read": 4.0, "write": 11.0}


@dataclass(slots=True)
class _Context:
    """A context as it comes along."""

    id: str
    parent: str | None
    kind: str
    name: str
    agent: str | None
    project: uuid.UUID
    created: datetime
    read: datetime | None = None
    written: datetime | None = None
    archived: datetime | None = None


def add_contexts(history: History, projects: Sequence[uuid.UUID]) -> None:
    """Add contexts, and who read, wrote and archived them."""
    chance = history.chance
    tasks: list[_Context] = []
    for place, (name, project) in enumerate(zip(PROJECTS, projects, strict=True)):
        created = history.since + timedelta(hours=7 * place + 1)
        workspace = _Context(f"demo-workspace-{place + 1}", None, "workspace", name, None, project, created)
        _add(history, workspace)
        for kind in KINDS:
            begun = created + timedelta(days=round(chance.around(1.5), 3))
            task_id, title = f"{workspace.id}-{kind.replace(' ', '-')}", f"{kind.capitalize()} of {name}"
            task = _Context(task_id, workspace.id, "task", title, _SHARED, project, begun)
            _use(history, task, count=20, most=timedelta(days=20))
            _add(history, task)
            tasks.append(task)
    times = chance.times(history.since + timedelta(days=4), history.until, a_day=CONVERSATIONS_A_DAY)
    for number, at in enumerate(times, start=1):
        task = chance.one_of(tasks)
        agent, talk_id = chance.one_of(AGENTS).id, f"demo-conversation-{number:04}"
        talk = _Context(talk_id, task.id, "conversation", f"Conversation {number}", agent, task.project, at)
        if not chance.happens(_NEVER_USED):
            _use(history, talk, count=round(chance.around(_ACCESSES)), most=timedelta(hours=9))
        if chance.happens(_ARCHIVED):
            last = max(moment for moment in (at, talk.read, talk.written) if moment is not None)
            gone = last + timedelta(days=round(chance.around(2.0), 3))
            talk.archived = gone if gone < history.until else None
        _add(history, talk)


def _add(history: History, context: _Context) -> None:
    times = (context.created, context.archived, context.read, context.written)
    name, props = f"{context.name} (demo)", json_of({"demo": True})
    head = (context.id, context.parent, context.kind, name, context.agent, context.project)
    history.rows["context"].append((*head, *times, props, "demo"))
    _tell(history, context, "created", context.agent, context.created)
    if context.archived is not None:
        _tell(history, context, "archived", context.agent, context.archived)


def _use(history: History, context: _Context, *, count: int, most: timedelta) -> None:
    """Add reads and writes in the time after *context* was created, most of them soon."""
    chance = history.chance
    for share in sorted(chance.rng.random(count).tolist()):
        at = context.created + timedelta(seconds=round(1 + share * share * most.total_seconds(), 3))
        if at >= history.until:
            return
        if chance.happens(_WRITES):
            context.written = at
            _tell(history, context, "write", chance.one_of(AGENTS).id, at)
        else:
            context.read = at
            _tell(history, context, "read", chance.one_of(AGENTS).id, at)


def _tell(history: History, context: _Context, what: str, agent: str | None, at: datetime) -> None:
    props = {"demo": True} if agent is None else {"demo": True, "agent_id": agent}
    took_ms = round(history.chance.around(_TOOK_MS[what]), 2) if what in _TOOK_MS else None
    history.event(
        at,
        f"context.{what}",
        "context",
        context.id,
        props,
        project=context.project,
        service="demo-contexts",
        took_ms=took_ms,
    )
