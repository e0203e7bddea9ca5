"""The objectives of this installation: the standard ones as shipped, overlaid by those that people defined.

Definitions are kept with all their revisions; a revision is added, never changed. A definition that cannot be read
any more, say after a downgrade, is reported by :func:`entries` and leaves the others alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from analytics.slo.model import Objective


@dataclass(frozen=True, slots=True)
class Entry:
    """One objective with where it comes from."""

    slo_id: str
    objective: Objective | None
    """None when its definition cannot be read."""
    problem: str | None
    """Why it cannot be read."""
    revision: int
    """0 for a standard objective as shipped."""
    is_active: bool
    is_standard: bool
    """Whether Helmsight ships an objective of this id."""
    updated_at: datetime | None
    """None for a standard objective as shipped."""
    updated_by: str | None
    origin: str
    """``live`` or ``demo``."""


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two revisions."""

    path: str
    """Dotted, as in the native form, for example ``window.rolling``."""
    before: str | None
    """None when it was not there."""
    after: str | None
    """None when it is not there any more."""


@dataclass(frozen=True, slots=True)
class Revision:
    """One state of a definition."""

    revision: int
    """0 for a standard objective as shipped."""
    objective: Objective | None
    """None when this revision took it out of use, or cannot be read."""
    is_active: bool
    note: str
    created_at: datetime | None
    """None for revision 0."""
    created_by: str
    changes: Sequence[Change]
    """Against the revision before that had a definition; empty for the first."""


def load(session: Session, *, ids: Sequence[str] | None = None, with_inactive: bool = False) -> Sequence[Objective]:
    """Return the objectives that can be read: standard ones first in their order, then the others by id.

    Args:
        session: The open transaction.
        ids: Only these; unknown ones are left out. None for all.
        with_inactive: Also those taken out of use.
    """
    raise NotImplementedError


def entries(session: Session, *, with_inactive: bool = True) -> Sequence[Entry]:
    """Return all objectives, also those that cannot be read, in the order of :func:`load`."""
    raise NotImplementedError


def find(session: Session, slo_id: str, *, with_inactive: bool = False) -> Objective:
    """Return the objective *slo_id*.

    Raises:
        NotFoundError: If there is none, or it was taken out of use and *with_inactive* is False.
        InputError: If its definition cannot be read.
    """
    raise NotImplementedError


def check_members(session: Session, objective: Objective) -> None:
    """Refuse a composite whose members do not exist, are composites, or that a composite has as a member.

    Raises:
        InputError: With what is wrong and which objectives could be members.
    """
    raise NotImplementedError


def save(
    session: Session, objective: Objective, *, actor: str, note: str = "", expected_revision: int | None = None
) -> Objective:
    """Store *objective* as a new revision and return it with its number; one that changes nothing adds none.

    An objective that was taken out of use is in use again.

    Args:
        session: The open transaction.
        objective: What counts from now on, for past events too; its own ``revision`` is not read.
        actor: Who does it.
        note: Why, for the history.
        expected_revision: The revision the change was made from, 0 for none stored; None to write over any.

    Raises:
        ConflictError: If somebody stored another revision since.
        InputError: If it is a composite that :func:`check_members` refuses.
    """
    raise NotImplementedError


def deactivate(
    session: Session, slo_id: str, *, actor: str, note: str = "", expected_revision: int | None = None
) -> int:
    """Take an objective out of use and return the number of that revision; its ledger and history stay.

    Raises:
        NotFoundError: If there is none in use.
        ConflictError: If another revision was stored since, or a composite in use has it as a member.
    """
    raise NotImplementedError


def restore(session: Session, slo_id: str, *, actor: str, note: str = "") -> Objective:
    """Take an objective into use again, as it was defined last.

    Raises:
        NotFoundError: If there never was one.
        ConflictError: If it is in use.
    """
    raise NotImplementedError


def revert_to(
    session: Session,
    slo_id: str,
    revision: int,
    *,
    actor: str,
    note: str = "",
    expected_revision: int | None = None,
) -> Objective:
    """Store what *revision* said as a new revision; 0 is a standard objective as shipped.

    Raises:
        NotFoundError: If there is no such revision, or it took the objective out of use.
        ConflictError: If another revision was stored since.
    """
    raise NotImplementedError


def revisions(session: Session, slo_id: str) -> Sequence[Revision]:
    """Return every revision of an objective, newest first; a standard one ends with revision 0, as shipped.

    Raises:
        NotFoundError: If there never was such an objective.
    """
    raise NotImplementedError


def changes(before: Objective | None, after: Objective | None) -> Sequence[Change]:
    """Return what differs between two definitions, by path; empty when one of them is missing."""
    raise NotImplementedError
