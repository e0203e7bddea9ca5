"""Bounds of key figures that operators set in place of the standard ones: revised, audited, never written over."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, insert, select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from analytics.core.errors import ConflictError, InputError, NotFoundError
from analytics.core.logging import get_logger
from analytics.kpi.model import Bounds, Kpi
from analytics.kpi.registry import kpi, registry
from analytics.store.queries import audit
from analytics.store.tables import KpiThreshold, KpiThresholdRevision

LONGEST_NOTE = 1_000
"""Characters."""

_SHIPPED_BY = "Helmsight"
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('helmsight.kpi_threshold', 0))")
_log = get_logger(__name__)


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


@dataclass(frozen=True, slots=True)
class _Stored:
    """What is stored of one figure."""

    revision: int
    bounds: Bounds | None
    """None: the standard ones count again."""


def effective(session: Session, *, ids: Sequence[str] | None = None) -> Sequence[Kpi]:
    """Return the key figures with the bounds that count now, in the order of the registry, or of *ids*.

    Bounds that do not fit their figure any more, after an update of Helmsight, give way to the standard ones.

    Raises:
        NotFoundError: If an id is not known.
    """
    wanted = list(registry()) if ids is None else [kpi(kpi_id) for kpi_id in dict.fromkeys(ids)]
    stored = _load(session)
    return [_applied(item, stored.get(item.id)) for item in wanted]


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
    item = kpi(kpi_id)
    problem = bounds.problem(item.direction)
    if problem is not None:
        raise InputError(f"{item.title} {problem}. Nothing was stored.", kpi_id=kpi_id)
    stored = _locked(session, kpi_id, expected_revision)
    if stored.bounds == bounds:
        return _applied(item, stored)
    revision = _write(session, item, bounds, stored.revision + 1, actor=actor, note=note, action="kpi.thresholds_set")
    values = {
        "revision": revision,
        "target": bounds.target,
        "good": bounds.good,
        "warning": bounds.warning,
        "updated_by": actor,
    }
    statement = upsert(KpiThreshold).values(kpi_id=kpi_id, **values)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[KpiThreshold.kpi_id], set_={**values, "updated_at": func.clock_timestamp()}
        )
    )
    return _applied(item, _Stored(revision, bounds))


def reset_thresholds(
    session: Session, kpi_id: str, *, actor: str, note: str = "", expected_revision: int | None = None
) -> Kpi:
    """Go back to the standard bounds, as a new revision, and return the figure with them.

    Raises:
        NotFoundError: If there is no such figure, or it has the standard ones.
        ConflictError: If somebody stored another revision since.
    """
    item = kpi(kpi_id)
    stored = _locked(session, kpi_id, expected_revision)
    if stored.bounds is None:
        raise NotFoundError(f"{item.title} has its standard thresholds; nothing was changed.", kpi_id=kpi_id)
    reason = note.strip() or "Back to the standard"
    revision = _write(
        session, item, item.bounds, stored.revision + 1, actor=actor, note=reason, action="kpi.thresholds_reset"
    )
    session.execute(delete(KpiThreshold).where(KpiThreshold.kpi_id == kpi_id))
    return _applied(item, _Stored(revision, None))


def history(session: Session, kpi_id: str) -> Sequence[ThresholdRevision]:
    """Return every state of the bounds of a figure, newest first; it ends with revision 0, as shipped.

    Raises:
        NotFoundError: If there is no such figure.
    """
    item = kpi(kpi_id)
    table = KpiThresholdRevision
    rows = session.execute(
        select(table.revision, table.target, table.good, table.warning, table.note, table.created_at, table.created_by)
        .where(table.kpi_id == kpi_id)
        .order_by(table.revision.desc())
    )
    stored = [
        ThresholdRevision(kpi_id, revision, Bounds(target, good, warning), note, created_at, created_by)
        for revision, target, good, warning, note, created_at, created_by in rows
    ]
    return [*stored, ThresholdRevision(kpi_id, 0, item.bounds, "As shipped", None, _SHIPPED_BY)]


def _load(session: Session) -> Mapping[str, _Stored]:
    """Return what is stored by figure; one whose bounds were reset has a revision and no bounds."""
    newest = (
        select(KpiThresholdRevision.kpi_id, func.max(KpiThresholdRevision.revision).label("revision"))
        .group_by(KpiThresholdRevision.kpi_id)
        .subquery()
    )
    rows = session.execute(
        select(
            newest.c.kpi_id,
            newest.c.revision,
            KpiThreshold.revision,
            KpiThreshold.target,
            KpiThreshold.good,
            KpiThreshold.warning,
        ).join(KpiThreshold, KpiThreshold.kpi_id == newest.c.kpi_id, isouter=True)
    )
    return {
        kpi_id: _Stored(revision, None if own is None else Bounds(target, good, warning))
        for kpi_id, revision, own, target, good, warning in rows
    }


def _applied(item: Kpi, stored: _Stored | None) -> Kpi:
    if stored is None:
        return item
    bounds = item.bounds if stored.bounds is None else stored.bounds
    problem = bounds.problem(item.direction)
    if problem is not None:
        _log.warning("stored thresholds do not fit", kpi_id=item.id, reason=problem)
        bounds = item.bounds
    return item.with_bounds(bounds, revision=stored.revision)


def _locked(session: Session, kpi_id: str, expected: int | None) -> _Stored:
    """Return what is stored of a figure, which nobody else changes until the transaction ends."""
    session.execute(_LOCK)
    stored = _load(session).get(kpi_id, _Stored(0, None))
    if expected is not None and expected != stored.revision:
        raise ConflictError(
            f"The thresholds of {kpi_id} are at revision {stored.revision}, and this change was made from revision"
            f" {expected}. Nothing was stored; look at what changed, and make the change again.",
            revision=stored.revision,
        )
    return stored


def _write(session: Session, item: Kpi, bounds: Bounds, revision: int, *, actor: str, note: str, action: str) -> int:
    """Add a revision and say so in the audit log; return its number."""
    reason = note.strip()
    if len(reason) > LONGEST_NOTE:
        raise InputError(f"The note is longer than {LONGEST_NOTE} characters; nothing was stored.")
    values = {"target": bounds.target, "good": bounds.good, "warning": bounds.warning}
    session.execute(
        insert(KpiThresholdRevision).values(kpi_id=item.id, revision=revision, note=reason, created_by=actor, **values)
    )
    audit.record(
        session,
        actor=actor,
        action=action,
        object_type="kpi",
        object_id=item.id,
        detail={"revision": revision, "note": reason, **values},
    )
    return revision
