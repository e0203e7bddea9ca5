"""Findings as they are stored: found again they are the same row; people say whether they were of use.

A subject (kind, key figure and part) that people called useless twice, and more often than useful, is muted: what is
found about it is stored, and shown only to those who ask for it.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from analytics.insights.model import Evidence, Finding, InsightKind
from analytics.store.paging import DEFAULT_LIMIT

MUTED_FROM = 2
"""So many people who found a subject useless mute it."""
NEAR = timedelta(hours=6)
"""Findings of one subject that begin no further apart are the same."""
LASTS = timedelta(days=1)
"""A standing finding (forecast, correlation, capacity, threshold) not seen for so long is a new one when it returns."""


@dataclass(frozen=True, slots=True)
class InsightRow:
    """One stored finding."""

    id: uuid.UUID
    kind: InsightKind
    kpi_id: str
    dim: str
    key: str
    title: str
    confidence: float
    is_good: bool | None
    since: datetime
    until: datetime | None
    found_at: datetime
    seen_at: datetime
    """When it was found last."""
    origin: str
    useful: int
    """How many people found it of use."""
    useless: int
    is_muted: bool


@dataclass(frozen=True, slots=True)
class InsightDetail:
    """One finding with what it rests on and what people think of it."""

    row: InsightRow
    evidence: Evidence
    feedback: Sequence["Feedback"]


@dataclass(frozen=True, slots=True)
class Feedback:
    """What one person thinks of a finding."""

    actor: str
    is_useful: bool
    note: str
    created_at: datetime


def store(session: Session, found: Sequence[Finding], *, now: datetime) -> int:
    """Store *found*; what was known is brought up to date, and safe to repeat. Return how many are new."""
    raise NotImplementedError


def list_insights(
    session: Session,
    *,
    kinds: Sequence[InsightKind] | None = None,
    kpi_id: str | None = None,
    since: datetime | None = None,
    with_muted: bool = False,
    before: tuple[datetime, uuid.UUID] | None = None,
    limit: int = DEFAULT_LIMIT,
) -> list[InsightRow]:
    """Return findings, seen last first.

    Args:
        session: The caller's transaction.
        kinds: Only these.
        kpi_id: Only about this key figure.
        since: Only those seen at or after it.
        with_muted: Whether muted subjects are told as well.
        before: ``seen_at`` and id of the last one of the page before.
        limit: How many at most, 1 to 100.
    """
    raise NotImplementedError


def get_insight(session: Session, insight_id: uuid.UUID) -> InsightDetail:
    """Return one finding with its evidence.

    Raises:
        NotFoundError: If there is none.
    """
    raise NotImplementedError


def give_feedback(session: Session, insight_id: uuid.UUID, *, actor: str, is_useful: bool, note: str = "") -> None:
    """Note what *actor* thinks of a finding, in place of what they thought before; the audit log says so.

    Raises:
        NotFoundError: If there is none.
        InputError: If the note is longer than 1000 characters.
    """
    raise NotImplementedError
