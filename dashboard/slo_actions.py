"""What people can do with objectives on pages: definitions, corrections, annotations.

Each checks the role, does one thing, and makes what it changed be read anew, as in :mod:`dashboard.actions`.
"""

import uuid

from analytics.slo import corrections
from analytics.slo.corrections import NewCorrection
from analytics.slo.model import Objective, SqlEvents
from analytics.store.queries.annotations import NewAnnotation
from dashboard.auth.roles import Role


def role_to_change(objective: Objective) -> Role:
    """Return the lowest role that may store *objective*: SQL reads the database, so it takes an administrator."""
    return Role.ADMIN if isinstance(objective.indicator, SqlEvents) else Role.OPERATOR


def save_slo(objective: Objective, *, note: str, expected_revision: int | None) -> Objective:
    """Store a definition; see :func:`analytics.slo.catalogue.save`."""
    raise NotImplementedError


def deactivate_slo(slo_id: str, *, note: str = "", expected_revision: int | None = None) -> None:
    """Take an objective out of use; its history stays."""
    raise NotImplementedError


def restore_slo(slo_id: str, *, note: str = "") -> Objective:
    """Take an objective into use again, as it was defined last."""
    raise NotImplementedError


def revert_slo(slo_id: str, revision: int, *, note: str = "", expected_revision: int | None = None) -> Objective:
    """Store what an earlier revision said as a new one."""
    raise NotImplementedError


def add_correction(new: NewCorrection) -> corrections.Added:
    """Store a correction; the answer says which others it meets."""
    raise NotImplementedError


def withdraw_correction(correction_id: uuid.UUID) -> None:
    """Let a correction count no longer."""
    raise NotImplementedError


def add_annotation(new: NewAnnotation) -> uuid.UUID:
    """Note a deployment, an incident or something else; return its id."""
    raise NotImplementedError


def delete_annotation(annotation_id: uuid.UUID) -> None:
    """Remove a note of what happened."""
    raise NotImplementedError
