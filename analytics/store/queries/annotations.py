"""What happened at a time: deployments, incidents, notes; charts mark them."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from analytics.core.clock import Interval, require_aware
from analytics.core.errors import InputError, NotFoundError
from analytics.core.ids import new_id
from analytics.store.paging import MAX_LIMIT, check_paging
from analytics.store.queries import audit
from analytics.store.tables.measurements import Annotation

KINDS = ("deploy", "incident", "note")
LONGEST_TITLE = 200


@dataclass(frozen=True, slots=True)
class AnnotationRow:
    """One thing that happened."""

    id: uuid.UUID
    at: datetime
    until: datetime | None
    """End of what lasted; None for a moment."""
    kind: str
    """``deploy``, ``incident`` or ``note``."""
    title: str
    service: str | None
    """What it was about; None for everything."""
    origin: str
    created_by: str | None
    """Who noted it; None for a program that did not say."""


@dataclass(frozen=True, slots=True)
class NewAnnotation:
    """Something that happened, as somebody notes it."""

    at: datetime
    title: str
    kind: str = "note"
    """``deploy``, ``incident`` or ``note``."""
    until: datetime | None = None
    """End of what lasted; None for a moment."""
    service: str | None = None
    """None for everything."""


def add_annotation(session: Session, new: NewAnnotation, *, actor: str) -> uuid.UUID:
    """Store what happened and return its id; the audit log says who noted it.

    Raises:
        InputError: If its kind is unknown, its title empty or too long, or it ends before it begins.
    """
    title = new.title.strip()
    if new.kind not in KINDS:
        raise InputError(f"The kind {new.kind!r} is unknown; take one of {', '.join(KINDS)}. Nothing was noted.")
    if not 0 < len(title) <= LONGEST_TITLE:
        raise InputError(f"The title must have 1 to {LONGEST_TITLE} characters. Nothing was noted.")
    at = require_aware(new.at)
    until = None if new.until is None else require_aware(new.until)
    if until is not None and until <= at:
        raise InputError("It ends before it begins. Nothing was noted; for a moment, leave the end away.")
    service = (new.service or "").strip() or None
    row = Annotation(id=new_id(), at=at, until=until, kind=new.kind, title=title, service=service, created_by=actor)
    session.add(row)
    session.flush()
    detail = {"kind": new.kind, "title": title, "at": at.isoformat(), "service": service}
    _record(session, actor, "annotation.added", row.id, detail)
    return row.id


def delete_annotation(session: Session, annotation_id: uuid.UUID, *, actor: str) -> None:
    """Remove what was noted; the audit log keeps what it said.

    Raises:
        NotFoundError: If there is none.
    """
    row = session.get(Annotation, annotation_id)
    if row is None:
        raise NotFoundError("There is no such annotation; nothing was removed.", annotation_id=str(annotation_id))
    detail = {"kind": row.kind, "title": row.title, "at": row.at.isoformat(), "service": row.service}
    session.delete(row)
    _record(session, actor, "annotation.deleted", annotation_id, detail)


def _record(session: Session, actor: str, action: str, annotation_id: uuid.UUID, detail: dict[str, Any]) -> None:
    audit.record(
        session, actor=actor, action=action, object_type="annotation", object_id=str(annotation_id), detail=detail
    )


def list_annotations(
    session: Session, interval: Interval, *, service: str | None = None, limit: int = MAX_LIMIT
) -> list[AnnotationRow]:
    """Return what happened in or reached into *interval*, oldest first; the newest *limit* of it.

    Args:
        session: The open transaction.
        interval: Only what touches ``[since, until)``.
        service: Only what is about this service or about everything; None for all.
        limit: How many at most, 1 to 100.
    """
    check_paging(limit=limit)
    query = (
        select(Annotation)
        .where(Annotation.at < interval.until, func.coalesce(Annotation.until, Annotation.at) >= interval.since)
        .order_by(Annotation.at.desc())
        .limit(limit)
    )
    if service is not None:
        query = query.where(or_(Annotation.service == service, Annotation.service.is_(None)))
    rows = [
        AnnotationRow(row.id, row.at, row.until, row.kind, row.title, row.service, row.origin, row.created_by)
        for row in session.scalars(query)
    ]
    return rows[::-1]
