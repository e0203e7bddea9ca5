"""Who is looking at a page: read from the trusted headers, checked again at every run."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

import streamlit as st

from analytics.core.errors import DependencyError, PolicyError
from analytics.core.logging import get_logger
from analytics.store.engine import session_scope
from analytics.store.queries import audit
from dashboard.auth.roles import Role
from dashboard.auth.sessions import SessionEndedError, Viewer
from dashboard.context import get_context

__all__ = ["TRUSTED_HEADERS", "SessionEndedError", "Viewer", "current_viewer", "require", "set_test_viewer"]

TRUSTED_HEADERS = {
    "X-Helm-User": "email",
    "X-Helm-Name": "name",
    "X-Helm-Role": "role",
    "X-Helm-Session": "session",
}
"""Headers that only our middleware can set, and the names under which ``st.user`` holds them."""

_log = get_logger(__name__)
_test_viewer: Viewer | None = None


def current_viewer() -> Viewer:
    """Return who looks at the page that runs now.

    The browser's socket carries the identity of the moment it opened; the session behind it is therefore checked
    again here, so that signing out and losing a role take effect at the next run.

    Raises:
        SessionEndedError: If the session ended; the page offers to sign in again.
        DependencyError: If PostgreSQL is away and the session was not seen lately.
    """
    if _test_viewer is not None:
        return _test_viewer
    held: Any = st.user.get("session")
    try:
        session_id = uuid.UUID(str(held))
    except ValueError:
        raise SessionEndedError("You are not signed in; nothing was read. Sign in again.") from None
    viewer = get_context().sessions.of_session(session_id)
    if viewer.must_change_password:
        raise SessionEndedError("Choose a password of your own first; nothing was read.", change_password=True)
    if viewer.email.lower() != unquote(str(st.user.get("email") or "")).lower():
        raise SessionEndedError("This session belongs to somebody else; nothing was read. Sign in again.")
    return viewer


def require(viewer: Viewer, role: Role, *, doing: str = "do this") -> None:
    """Refuse, and note it in the audit log, unless *viewer* has *role* or more.

    Args:
        viewer: Who asks.
        role: The lowest role that may.
        doing: What they asked for, as it stands after "may not", for example ``start a run``.

    Raises:
        PolicyError: If they may not; nothing was done.
    """
    if viewer.role >= role:
        return
    try:
        with session_scope(get_context().engine) as session:
            audit.record(
                session,
                actor=viewer.actor,
                action="access.refused",
                outcome=audit.REFUSED,
                detail={"doing": doing, "role": viewer.role.label, "needed": role.label},
            )
    except DependencyError as error:
        _log.warning("audit_entry_lost", actor=viewer.actor, doing=doing, reason=error.message)
    raise PolicyError(
        f"As {viewer.role.label} you may not {doing}; nothing was done. Ask an administrator for the role"
        f" {role.label}.",
        needed=role.label,
        role=viewer.role.label,
    )


@contextmanager
def set_test_viewer(viewer: Viewer | None) -> Iterator[None]:
    """Let pages run as *viewer* for the block; for tests without a server, where there are no headers."""
    global _test_viewer  # noqa: PLW0603 - AppTest runs the page in another thread, so a context variable does not reach it
    before, _test_viewer = _test_viewer, viewer
    try:
        yield
    finally:
        _test_viewer = before
