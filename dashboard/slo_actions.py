"""What people can do with objectives on pages: definitions, corrections, annotations.

Each checks the role, does one thing, and makes what it changed be read anew, as in :mod:`dashboard.actions`.
"""

import uuid

from analytics.slo import corrections
from analytics.slo.corrections import NewCorrection
from analytics.slo.model import Objective
from analytics.store.queries.annotations import NewAnnotation
from dashboard import data, slo_changes, slo_questions
from dashboard.auth.viewer import current_viewer
from dashboard.slo_changes import role_to_change

__all__ = [
    "add_annotation",
    "add_correction",
    "deactivate_slo",
    "delete_annotation",
    "restore_slo",
    "revert_slo",
    "role_to_change",
    "save_slo",
    "withdraw_correction",
]


def save_slo(objective: Objective, *, note: str, expected_revision: int | None) -> Objective:
    """Store a definition; see :func:`analytics.slo.catalogue.save`."""
    stored = slo_changes.save(current_viewer(), objective, note=note, expected_revision=expected_revision)
    _changed()
    return stored


def deactivate_slo(slo_id: str, *, note: str = "", expected_revision: int | None = None) -> None:
    """Take an objective out of use; its history stays."""
    slo_changes.deactivate(current_viewer(), slo_id, note=note, expected_revision=expected_revision)
    _changed()


def restore_slo(slo_id: str, *, note: str = "") -> Objective:
    """Take an objective into use again, as it was defined last."""
    stored = slo_changes.restore(current_viewer(), slo_id, note=note)
    _changed()
    return stored


def revert_slo(slo_id: str, revision: int, *, note: str = "", expected_revision: int | None = None) -> Objective:
    """Store what an earlier revision said as a new one."""
    stored = slo_changes.revert(current_viewer(), slo_id, revision, note=note, expected_revision=expected_revision)
    _changed()
    return stored


def add_correction(new: NewCorrection) -> corrections.Added:
    """Store a correction; the answer says which others it meets."""
    added = slo_changes.add_correction(current_viewer(), new)
    _changed()
    return added


def withdraw_correction(correction_id: uuid.UUID) -> None:
    """Let a correction count no longer."""
    slo_changes.withdraw_correction(current_viewer(), correction_id)
    _changed()


def add_annotation(new: NewAnnotation) -> uuid.UUID:
    """Note a deployment, an incident or something else; return its id."""
    noted = slo_changes.add_annotation(current_viewer(), new)
    _changed()
    return noted


def delete_annotation(annotation_id: uuid.UUID) -> None:
    """Remove a note of what happened."""
    slo_changes.delete_annotation(current_viewer(), annotation_id)
    _changed()


def _changed() -> None:
    for question in (*data.OF_SLOS, *slo_questions.OF_DRAFTS):
        question.forget()
