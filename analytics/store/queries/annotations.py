"""What happened at a time: deployments, incidents, notes; charts mark them."""

import uuid
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from analytics.core.clock import Interval
from analytics.store.paging import MAX_LIMIT, check_paging
from analytics.store.tables.measurements import Annotation


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
        AnnotationRow(row.id, row.at, row.until, row.kind, row.title, row.service, row.origin)
        for row in session.scalars(query)
    ]
    return rows[::-1]
