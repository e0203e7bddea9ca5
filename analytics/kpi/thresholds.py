"""Bounds of key figures that operators set in place of the standard ones: revised, audited, never written over."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from analytics.kpi.model import Bounds, Kpi


@dataclass(frozen=True, slots=True)
class ThresholdRevision:
    """One state of the bounds of a figure."""

    kpi_id: str
    revision: int
    """0 is as shipped."""
    bounds: Bounds
    note: str
    created_at: datetime | None
    """None for the standard ones."""
    created_by: str


def effective(session: Session, *, ids: Sequence[str] | None = None) -> Sequence[Kpi]:
    """Return the key figures with the bounds that count now, in the order of the registry, or of *ids*.

    Bounds that do not fit their figure any more, after an update of Helmsight, give way to the standard ones.

    Raises:
        NotFoundError: If an id is not known.
    """
    raise NotImplementedError


def set_thresholds(
    session: Session,
    kpi_id: str,
    bounds: Bounds,
    *,
    actor: str,
    note: str = "",
    expected_revision: int | None = None,
) -> Kpi:
    """Store *bounds* as a new revision and return the figure with them; bounds that change nothing add none.

    Args:
        session: The open transaction.
        kpi_id: The figure.
        bounds: Target, good and warning; none of them, and the figure is only measured.
        actor: Who does it; the audit log says so too.
        note: Why, for the history.
        expected_revision: The revision the change was made from, 0 for the standard; None to write over any.

    Raises:
        NotFoundError: If there is no such figure.
        InputError: If they are not in order, or given in part.
        ConflictError: If somebody stored another revision since.
    """
    raise NotImplementedError


def reset_thresholds(
    session: Session, kpi_id: str, *, actor: str, note: str = "", expected_revision: int | None = None
) -> Kpi:
    """Go back to the standard bounds, as a new revision, and return the figure with them.

    Raises:
        NotFoundError: If there is no such figure, or it has the standard ones.
        ConflictError: If somebody stored another revision since.
    """
    raise NotImplementedError


def history(session: Session, kpi_id: str) -> Sequence[ThresholdRevision]:
    """Return every state of the bounds of a figure, newest first; it ends with revision 0, as shipped.

    Raises:
        NotFoundError: If there is no such figure.
    """
    raise NotImplementedError
