"""Changes of objectives as people make them, on pages and through the API: what role each takes."""

import uuid
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.orm import Session

from analytics.slo import catalogue, corrections
from analytics.slo.corrections import NewCorrection
from analytics.slo.model import Objective, SqlEvents
from analytics.store.engine import session_scope
from analytics.store.queries import annotations
from analytics.store.queries.annotations import NewAnnotation
from dashboard.auth.roles import Role
from dashboard.auth.sessions import Viewer
from dashboard.auth.viewer import require
from dashboard.context import get_context

T = TypeVar("T")


def role_to_change(*objectives: Objective) -> Role:
    """Return the lowest role that may store *objectives*: SQL reads the database, so it takes an administrator."""
    has_sql = any(isinstance(item.indicator, SqlEvents) for item in objectives)
    return Role.ADMIN if has_sql else Role.OPERATOR


def save(viewer: Viewer, objective: Objective, *, note: str, expected_revision: int | None) -> Objective:
    """Store a definition; see :func:`analytics.slo.catalogue.save`."""

    def change(session: Session) -> Objective:
        return catalogue.save(session, objective, actor=viewer.actor, note=note, expected_revision=expected_revision)

    return _change(viewer, objective.id, change, doing="store an objective")


def deactivate(viewer: Viewer, slo_id: str, *, note: str, expected_revision: int | None) -> None:
    """Take an objective out of use; see :func:`analytics.slo.catalogue.deactivate`."""

    def change(session: Session) -> None:
        catalogue.deactivate(session, slo_id, actor=viewer.actor, note=note, expected_revision=expected_revision)

    _change(viewer, slo_id, change, doing="take an objective out of use")


def restore(viewer: Viewer, slo_id: str, *, note: str) -> Objective:
    """Take an objective into use again; see :func:`analytics.slo.catalogue.restore`."""

    def change(session: Session) -> Objective:
        return catalogue.restore(session, slo_id, actor=viewer.actor, note=note)

    return _change(viewer, slo_id, change, doing="take an objective into use")


def revert(viewer: Viewer, slo_id: str, revision: int, *, note: str, expected_revision: int | None) -> Objective:
    """Store what an earlier revision said; see :func:`analytics.slo.catalogue.revert_to`."""

    def change(session: Session) -> Objective:
        return catalogue.revert_to(
            session, slo_id, revision, actor=viewer.actor, note=note, expected_revision=expected_revision
        )

    return _change(viewer, slo_id, change, doing="go back to an earlier objective")


def add_correction(viewer: Viewer, new: NewCorrection) -> corrections.Added:
    """Store a correction; see :func:`analytics.slo.corrections.add`."""
    require(viewer, Role.OPERATOR, doing="correct budgets")
    with session_scope(get_context().engine) as session:
        return corrections.add(session, new, actor=viewer.actor)


def withdraw_correction(viewer: Viewer, correction_id: uuid.UUID) -> corrections.Correction:
    """Let a correction count no longer; see :func:`analytics.slo.corrections.withdraw`."""
    require(viewer, Role.OPERATOR, doing="withdraw a correction")
    with session_scope(get_context().engine) as session:
        return corrections.withdraw(session, correction_id, actor=viewer.actor)


def add_annotation(viewer: Viewer, new: NewAnnotation) -> uuid.UUID:
    """Note what happened; see :func:`analytics.store.queries.annotations.add_annotation`."""
    require(viewer, Role.OPERATOR, doing="note what happened")
    with session_scope(get_context().engine) as session:
        return annotations.add_annotation(session, new, actor=viewer.actor)


def delete_annotation(viewer: Viewer, annotation_id: uuid.UUID) -> None:
    """Remove a note of what happened."""
    require(viewer, Role.OPERATOR, doing="remove a note of what happened")
    with session_scope(get_context().engine) as session:
        annotations.delete_annotation(session, annotation_id, actor=viewer.actor)


def _change(viewer: Viewer, slo_id: str, change: Callable[[Session], T], *, doing: str) -> T:
    """Do *change*, and undo it when the role does not reach for what it stored or replaced."""
    require(viewer, Role.OPERATOR, doing=doing)
    with session_scope(get_context().engine) as session:
        before = catalogue.load(session, ids=[slo_id], with_inactive=True)
        after = change(session)
        stored = [after] if isinstance(after, Objective) else []
        require(viewer, role_to_change(*before, *stored), doing=f"{doing} that reads PostgreSQL")
    return after
