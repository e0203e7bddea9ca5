"""The audit log: who did what, and who was refused. Rows are added and read, never changed."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from analytics.core.clock import Interval, utc_now
from analytics.core.ids import new_id
from analytics.core.logging import correlation_id as bound_correlation
from analytics.store.paging import DEFAULT_LIMIT, check_paging
from analytics.store.tables.identity import AuditEntry

OK = "ok"
REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One thing somebody did or was refused."""

    id: uuid.UUID
    at: datetime
    actor: str
    action: str
    object_type: str | None
    object_id: str | None
    outcome: str
    """``ok`` or ``refused``."""
    detail: Mapping[str, Any]
    correlation_id: str | None
    address: str | None


def record(
    session: Session,
    *,
    actor: str,
    action: str,
    object_type: str | None = None,
    object_id: str | None = None,
    outcome: str = OK,
    detail: Mapping[str, Any] | None = None,
    correlation_id: str | None = None,
    address: str | None = None,
) -> uuid.UUID:
    """Add one entry to the audit log; it is kept when the caller's transaction commits.

    Args:
        session: The caller's transaction.
        actor: E-mail of a user, ``token:PREFIX``, or the name of a process.
        action: What happened, past tense, for example ``run.queued``.
        object_type: Kind of the thing it happened to, if there is one.
        object_id: Which one.
        outcome: ``ok`` or ``refused``.
        detail: Whatever else explains it; never a secret.
        correlation_id: Joins it to a click and its log lines; default: the one bound now.
        address: IP address the request came from, if known.
    """
    entry = AuditEntry(
        id=new_id(),
        at=utc_now(),
        actor=actor,
        action=action,
        object_type=object_type,
        object_id=object_id,
        outcome=outcome,
        detail=dict(detail or {}),
        correlation_id=correlation_id or bound_correlation(),
        address=address,
    )
    session.add(entry)
    session.flush()
    return entry.id


def list_audit(
    session: Session,
    *,
    actor: str | None = None,
    action: str | None = None,
    outcome: str | None = None,
    interval: Interval | None = None,
    before: tuple[datetime, uuid.UUID] | None = None,
    limit: int = DEFAULT_LIMIT,
) -> list[AuditRow]:
    """Return entries, newest first.

    Args:
        session: The caller's transaction.
        actor: Only entries of this actor.
        action: Only this action, or, ending in ``.``, only actions that begin so.
        outcome: Only ``ok`` or only ``refused``.
        interval: Only entries in ``[since, until)``.
        before: Time and id of the last entry of the page before.
        limit: How many at most, 1 to 100.
    """
    check_paging(limit=limit)
    query = select(AuditEntry).order_by(AuditEntry.at.desc(), AuditEntry.id.desc()).limit(limit)
    if actor is not None:
        query = query.where(AuditEntry.actor == actor)
    if action is not None:
        query = query.where(
            AuditEntry.action.startswith(action, autoescape=True)
            if action.endswith(".")
            else AuditEntry.action == action
        )
    if outcome is not None:
        query = query.where(AuditEntry.outcome == outcome)
    if interval is not None:
        query = query.where(AuditEntry.at >= interval.since, AuditEntry.at < interval.until)
    if before is not None:
        query = query.where(tuple_(AuditEntry.at, AuditEntry.id) < tuple_(*before))
    return [_row(entry) for entry in session.scalars(query)]


def _row(entry: AuditEntry) -> AuditRow:
    return AuditRow(
        id=entry.id,
        at=entry.at,
        actor=entry.actor,
        action=entry.action,
        object_type=entry.object_type,
        object_id=entry.object_id,
        outcome=entry.outcome,
        detail=entry.detail,
        correlation_id=entry.correlation_id,
        address=str(entry.address) if entry.address is not None else None,
    )
