"""What people can do with workflows on pages: versions, starts, schedules, triggers, tests of one node.

Each checks the role, does one thing, and makes what it changed be read anew, as in :mod:`dashboard.actions`.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analytics.core.clock import utc_now
from analytics.store.engine import session_scope
from analytics.store.queries import audit
from dashboard import data
from dashboard.auth.roles import Role
from dashboard.auth.sessions import Viewer
from dashboard.auth.viewer import current_viewer, require
from dashboard.context import get_context
from dashboard.streamlit_options import cookie_secret
from worker.enqueue import QueuedRun
from worker.workflow import schedules, triggers
from worker.workflow.definition import Definition, parse_definition, register_workflow
from worker.workflow.schedules import ScheduleSpec
from worker.workflow.triggers import TriggerSpec


@dataclass(frozen=True, slots=True)
class StartOptions:
    """How a run is to be started, beside its parameters."""

    priority: int = 0
    tags: Sequence[str] = ()
    idempotency_key: str | None = None
    use_cache: bool = True
    version: int | None = None
    """None: the current one."""


def start_run(workflow: str, params: Mapping[str, Any], options: StartOptions) -> QueuedRun:
    """Queue a run of *workflow*."""
    viewer = _allowed(Role.OPERATOR, "start a run")
    queued = get_context().door.queue_run(
        workflow=workflow,
        params=params,
        requested_by=viewer.actor,
        trigger="page",
        priority=options.priority,
        tags=options.tags,
        idempotency_key=options.idempotency_key,
        use_cache=options.use_cache,
        version=options.version,
    )
    _changed_runs()
    return queued


def store_version(source: str) -> tuple[uuid.UUID, int]:
    """Store the definition written in *source* as a new workflow or version; return its id and version."""
    _allowed(Role.OPERATOR, "store a workflow version")
    return _stored(parse_definition(source))


def run_node(definition: Definition, params: Mapping[str, Any]) -> QueuedRun:
    """Store *definition*, which holds one node under test, and queue a run of it past the cache."""
    viewer = _allowed(Role.OPERATOR, "test a node")
    _, version = _stored(definition)
    queued = get_context().door.queue_run(
        workflow=definition.name,
        params=params,
        requested_by=viewer.actor,
        trigger="page",
        tags=("test",),
        use_cache=False,
        version=version,
    )
    _changed_runs()
    return queued


# ---- Schedules ----


def save_schedule(spec: ScheduleSpec, *, schedule_id: uuid.UUID | None = None) -> uuid.UUID:
    """Store a new schedule, or change one; return its id."""
    viewer = _allowed(Role.OPERATOR, "save a schedule")
    with session_scope(get_context().engine) as session:
        saved = schedules.save_schedule(session, spec, requested_by=viewer.actor, schedule_id=schedule_id)
    _changed_schedules()
    return saved


def pause_schedule(schedule_id: uuid.UUID) -> None:
    """Start no more runs by a schedule until it is resumed."""
    viewer = _allowed(Role.OPERATOR, "pause a schedule")
    with session_scope(get_context().engine) as session:
        schedules.pause_schedule(session, schedule_id, requested_by=viewer.actor)
    _changed_schedules()


def resume_schedule(schedule_id: uuid.UUID) -> None:
    """Let a paused schedule go on."""
    viewer = _allowed(Role.OPERATOR, "resume a schedule")
    with session_scope(get_context().engine) as session:
        schedules.resume_schedule(session, schedule_id, requested_by=viewer.actor)
    _changed_schedules()


def delete_schedule(schedule_id: uuid.UUID) -> None:
    """Remove a schedule; its runs stay."""
    viewer = _allowed(Role.OPERATOR, "delete a schedule")
    with session_scope(get_context().engine) as session:
        schedules.delete_schedule(session, schedule_id, requested_by=viewer.actor)
    _changed_schedules()


def preview_schedule(spec: ScheduleSpec, *, count: int = 5) -> list[Any]:
    """Return the next times a schedule would have, in UTC; nothing is stored."""
    return schedules.preview(spec, after=utc_now(), count=count)


# ---- Triggers ----


def save_trigger(spec: TriggerSpec) -> str | None:
    """Store a new trigger; return the secret of a webhook, which is shown this once."""
    viewer = _allowed(Role.OPERATOR, "save a trigger")
    context = get_context()
    with session_scope(context.engine) as session:
        saved = triggers.save_trigger(
            session, spec, requested_by=viewer.actor, installation=cookie_secret(context.settings)
        )
    data.list_triggers.forget()
    return saved.secret


def rotate_secret(trigger_id: uuid.UUID) -> str:
    """Give a webhook a new secret; return it, to be shown this once."""
    viewer = _allowed(Role.OPERATOR, "change the secret of a webhook")
    context = get_context()
    with session_scope(context.engine) as session:
        secret = triggers.rotate_secret(
            session, trigger_id, requested_by=viewer.actor, installation=cookie_secret(context.settings)
        )
    data.list_triggers.forget()
    return secret


def pause_trigger(trigger_id: uuid.UUID, *, paused: bool) -> None:
    """Start no more runs by a trigger, or with *paused* False let it go on."""
    viewer = _allowed(Role.OPERATOR, "pause a trigger")
    with session_scope(get_context().engine) as session:
        triggers.pause_trigger(session, trigger_id, requested_by=viewer.actor, paused=paused)
    data.list_triggers.forget()


def delete_trigger(trigger_id: uuid.UUID) -> None:
    """Remove a trigger; its runs stay."""
    viewer = _allowed(Role.OPERATOR, "delete a trigger")
    with session_scope(get_context().engine) as session:
        triggers.delete_trigger(session, trigger_id, requested_by=viewer.actor)
    data.list_triggers.forget()


def hook_host() -> str:
    """Return the address of this site as programs outside write it."""
    http = get_context().settings.http
    return str(http.public_url or f"http://{http.host}:{http.port}")


def _stored(definition: Definition) -> tuple[uuid.UUID, int]:
    viewer = current_viewer()
    with session_scope(get_context().engine) as session:
        workflow_id, version = register_workflow(session, definition, created_by=viewer.actor)
        audit.record(
            session,
            actor=viewer.actor,
            action="workflow.version_added",
            object_type="workflow",
            object_id=str(workflow_id),
            detail={"version": version},
        )
    for question in (data.list_workflows, data.workflow, data.list_versions, data.version):
        question.forget()
    return workflow_id, version


def _allowed(role: Role, doing: str) -> Viewer:
    viewer = current_viewer()
    require(viewer, role, doing=doing)
    return viewer


def _changed_runs() -> None:
    for question in (data.latest_runs, data.list_runs, data.page_of_runs, data.run_counts, data.queue_state):
        question.forget()


def _changed_schedules() -> None:
    for question in (data.list_workflows, data.workflow, data.list_schedules, data.schedule_times):
        question.forget()
