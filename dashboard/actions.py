"""What people can do on pages: each checks the role, does one thing, and makes what it changed be read anew."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

import streamlit as st

from analytics.core.clock import utc_now
from analytics.core.errors import HelmsightError, InputError
from analytics.core.ids import new_secret
from analytics.store.engine import session_scope
from analytics.store.queries import audit, identity, views
from dashboard import data, formats
from dashboard.auth import accounts
from dashboard.auth.roles import Role
from dashboard.auth.sessions import Viewer
from dashboard.auth.viewer import current_viewer, require
from dashboard.components import states
from dashboard.context import get_context
from dashboard.reading import Question
from worker.doors.again import Version
from worker.doors.control import Attention, Decision
from worker.enqueue import BulkReport, QueuedRun

T = TypeVar("T")

_ONE_TIME_BYTES = 12


def attempt(do: Callable[[], T]) -> T | None:
    """Return what *do* returns, or None after drawing why it was refused; for buttons that act."""
    try:
        return do()
    except InputError as error:
        states.refused(error)
    except HelmsightError as error:
        st.error(formats.escaped(error.message), icon=":material/error:")
    return None


def succeeds(do: Callable[[], object]) -> bool:
    """Return whether *do* went through, after drawing why when it was refused."""

    def done() -> bool:
        do()
        return True

    return attempt(done) is not None


def queued_words(queued: QueuedRun) -> str:
    """Return what became of a request, in one sentence."""
    place = f"place {queued.position} in the queue" if queued.position else "it already runs"
    estimate = ""
    if queued.estimated_duration_s is not None:
        estimate = f", usually takes {formats.duration(queued.estimated_duration_s)}"
    late = "" if queued.woken else " Redis is away: the run is kept and starts when Redis returns."
    return f"Queued: {place}{estimate}.{late}"


# ---- Everybody who may open the page ----


def save_view(page: str, *, name: str, query: Mapping[str, Any], shared: bool) -> None:
    """Keep the filters *query* of a page under a name; one's own view of that name is replaced."""
    viewer = _allowed(Role.ANALYST, "save a view")
    with session_scope(get_context().engine) as session:
        views.save_view(session, owner=viewer.actor, page=page, name=name, query=query, shared=shared)
    data.saved_views.forget()


def delete_view(view_id: uuid.UUID) -> None:
    """Delete a view of one's own."""
    viewer = _allowed(Role.ANALYST, "delete a view")
    with session_scope(get_context().engine) as session:
        views.delete_view(session, view_id, owner=viewer.actor)
    data.saved_views.forget()


# ---- Operators ----


def start_run(workflow: str, params: Mapping[str, Any], *, priority: int = 0) -> QueuedRun:
    """Queue a run of *workflow*."""
    viewer = _allowed(Role.OPERATOR, "start a run")
    queued = get_context().door.queue_run(
        workflow=workflow, params=params, requested_by=viewer.actor, trigger="page", priority=priority
    )
    _changed_runs()
    return queued


def cancel_run(run_id: uuid.UUID) -> None:
    """Ask for the end of a run."""
    viewer = _allowed(Role.OPERATOR, "cancel a run")
    get_context().door.cancel_run(run_id, requested_by=viewer.actor)
    _changed_runs()


def pause_run(run_id: uuid.UUID) -> str:
    """Let nothing new begin in a run; return ``paused``, or ``pausing`` while something is under way."""
    viewer = _allowed(Role.OPERATOR, "pause a run")
    became = get_context().door.pause_run(run_id, requested_by=viewer.actor)
    _changed_runs()
    return became


def resume_run(run_id: uuid.UUID) -> None:
    """Let a paused run go on."""
    viewer = _allowed(Role.OPERATOR, "resume a run")
    get_context().door.resume_run(run_id, requested_by=viewer.actor)
    _changed_runs()


def signal_run(run_id: uuid.UUID, *, name: str, data: Any) -> None:
    """Give a run the signal *name*."""
    viewer = _allowed(Role.OPERATOR, "signal a run")
    get_context().door.signal_run(run_id, name=name, data=data, requested_by=viewer.actor)
    _changed_runs()


def decide(run_id: uuid.UUID, node_id: str, map_index: int, *, decision: Decision, data: Any) -> None:
    """Approve or reject what a step waits for."""
    viewer = _allowed(Role.OPERATOR, "decide on an approval")
    get_context().door.decide(
        run_id,
        node_id,
        map_index,
        decision=decision,
        data=data,
        requested_by=viewer.actor,
        role=viewer.role.label,
    )
    _changed_runs()


def resolve_attention(run_id: uuid.UUID, node_id: str, map_index: int, *, action: Attention, output: Any) -> None:
    """Say what became of a step whose worker died."""
    viewer = _allowed(Role.OPERATOR, "say how a run goes on")
    get_context().door.resolve_attention(
        run_id, node_id, map_index, action=action, output=output, requested_by=viewer.actor
    )
    _changed_runs()


def retry_run(run_id: uuid.UUID, *, from_nodes: Sequence[str] = (), version: Version = "same") -> QueuedRun:
    """Queue a run that keeps what *run_id* completed and does the rest, or begins again from *from_nodes*."""
    viewer = _allowed(Role.OPERATOR, "retry a run")
    queued = get_context().door.retry_run(
        run_id, from_nodes=from_nodes, version=version, requested_by=viewer.actor, trigger="page"
    )
    _changed_runs()
    return queued


def rerun(
    run_id: uuid.UUID, *, params: Mapping[str, Any] | None = None, version: Version = "same", use_cache: bool = True
) -> QueuedRun:
    """Queue a run that does all of *run_id* again, with *params* instead of its own if there are any."""
    viewer = _allowed(Role.OPERATOR, "run a workflow again")
    queued = get_context().door.rerun(
        run_id, params=params, version=version, use_cache=use_cache, requested_by=viewer.actor, trigger="page"
    )
    _changed_runs()
    return queued


def cancel_runs(run_ids: Sequence[uuid.UUID]) -> BulkReport:
    """Cancel each of *run_ids*; one that cannot be cancelled does not stop the others."""
    viewer = _allowed(Role.OPERATOR, "cancel runs")
    report = get_context().door.cancel_many(run_ids, requested_by=viewer.actor)
    _changed_runs()
    return report


def retry_runs(run_ids: Sequence[uuid.UUID]) -> BulkReport:
    """Retry each of *run_ids*; one that cannot be retried does not stop the others."""
    viewer = _allowed(Role.OPERATOR, "retry runs")
    report = get_context().door.retry_many(run_ids, requested_by=viewer.actor, trigger="page")
    _changed_runs()
    return report


def read_document(name: str, content: bytes) -> QueuedRun:
    """Store an uploaded file and queue its reading."""
    viewer = _allowed(Role.OPERATOR, "upload a document")
    queued = get_context().door.queue_ocr(
        name=name, content=content, options={}, requested_by=viewer.actor, trigger="page"
    )
    data.list_documents.forget()
    _changed_runs()
    return queued


def call_tool(server: str, tool: str, arguments: Mapping[str, Any]) -> QueuedRun:
    """Queue a call of an MCP tool."""
    viewer = _allowed(Role.OPERATOR, "call an MCP tool")
    queued = get_context().door.queue_mcp_call(
        server=server, tool=tool, arguments=arguments, requested_by=viewer.actor, trigger="page"
    )
    _changed_runs()
    return queued


def refresh_tools() -> bool:
    """Ask for the lists of MCP tools to be read again."""
    viewer = _allowed(Role.OPERATOR, "refresh the list of MCP tools")
    taken = get_context().door.refresh_mcp(viewer.actor)
    data.mcp_servers.forget()
    data.mcp_tools.forget()
    return taken


# ---- Administrators ----


def add_user(*, email: str, name: str, role: str) -> str:
    """Add an account; return its one-time password, which is stored nowhere."""
    viewer = _allowed(Role.ADMIN, "add a user")
    password = new_secret(_ONE_TIME_BYTES)
    with session_scope(get_context().engine) as session:
        accounts.create_user(
            session, email=email, name=name, role=Role.parse(role), password=password, must_change_password=True
        )
        audit.record(
            session, actor=viewer.actor, action="user.added", object_type="user", object_id=email, detail={"role": role}
        )
    data.list_users.forget()
    return password


def change_user(user: identity.UserRow, *, role: str | None = None, disabled: bool | None = None) -> None:
    """Change the role of an account, or disable or enable it; its sessions are checked again at once."""
    viewer = _allowed(Role.ADMIN, "change a user")
    with session_scope(get_context().engine) as session:
        identity.update_user(session, user.id, role=role, disabled=disabled)
        if disabled:
            identity.revoke_sessions_of(session, user.id, now=utc_now())
        audit.record(
            session,
            actor=viewer.actor,
            action="user.changed",
            object_type="user",
            object_id=user.email,
            detail={"role": role, "disabled": disabled},
        )
    get_context().sessions.forget()
    data.list_users.forget()


def reset_password(user: identity.UserRow) -> str:
    """Give an account a new one-time password and end its sessions; return the password."""
    viewer = _allowed(Role.ADMIN, "reset a password")
    password = new_secret(_ONE_TIME_BYTES)
    with session_scope(get_context().engine) as session:
        accounts.change_password(session, user=user, password=password, must_change_password=True, actor=viewer.actor)
    get_context().sessions.forget()
    data.list_users.forget()
    return password


def add_token(*, email: str, name: str, role: str, days: int | None) -> str:
    """Make an API token for an account; return its secret, which is shown once."""
    _allowed(Role.ADMIN, "make an API token")
    expires_at: datetime | None = None if days is None else utc_now() + timedelta(days=days)
    with session_scope(get_context().engine) as session:
        secret, _ = accounts.new_token(
            session, user_email=email, name=name, role=Role.parse(role), expires_at=expires_at
        )
    data.list_tokens.forget()
    return secret


def revoke_token(token: identity.TokenRow) -> None:
    """End an API token."""
    viewer = _allowed(Role.ADMIN, "revoke an API token")
    with session_scope(get_context().engine) as session:
        identity.revoke_token(session, token.id, now=utc_now())
        audit.record(session, actor=viewer.actor, action="token.revoked", object_type="token", object_id=token.prefix)
    get_context().sessions.forget(token_id=token.id)
    data.list_tokens.forget()


def _allowed(role: Role, doing: str) -> Viewer:
    viewer = current_viewer()
    require(viewer, role, doing=doing)
    return viewer


def _changed_runs() -> None:
    for question in _OF_RUNS:
        question.forget()


_OF_RUNS: tuple[Question[..., Any], ...] = (
    data.latest_runs,
    data.list_runs,
    data.page_of_runs,
    data.run_counts,
    data.run,
    data.run_without_outputs,
    data.run_events,
    data.related_runs,
    data.open_waits,
    data.queue_state,
    data.queued_runs,
    data.dead_letters,
)
"""What reads runs; read anew after something was done with one."""
