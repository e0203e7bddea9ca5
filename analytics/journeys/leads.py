"""Leads: somebody who may become a customer, with the chance that they do."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from analytics.core.clock import Interval

STATUSES = ("new", "contacted", "qualified", "won", "lost")
BANDS = ("0.75 to 1", "0.5 to 0.75", "0.25 to 0.5", "0 to 0.25", "not scored")


@dataclass(frozen=True, slots=True)
class LeadRow:
    """One lead."""

    id: uuid.UUID
    email: str | None
    owner: str | None
    source: str
    external_id: str | None
    status: str
    p_score: float | None
    """Chance to become a customer, 0 to 1; None when not scored."""
    created_at: datetime
    converted_at: datetime | None
    updated_at: datetime
    origin: str


@dataclass(frozen=True, slots=True)
class LeadFilter:
    """Which leads; what is None does not matter."""

    status: str | None = None
    owner: str | None = None
    source: str | None = None
    band: str | None = None
    search: str | None = None
    """Part of the e-mail or of the external id."""


@dataclass(frozen=True, slots=True)
class Band:
    """How leads with a score in one band went on."""

    band: str
    leads: int
    contacted: int
    """Contacted or further; leads that are lost count where they are won or lost only."""
    qualified: int
    won: int
    lost: int
    took_s: float | None
    """Median from the first contact to the sale, seconds; None when nobody was won."""
    mean_score: float | None


def list_leads(
    session: Session,
    wanted: LeadFilter = LeadFilter(),
    *,
    interval: Interval | None = None,
    before: tuple[datetime, uuid.UUID] | None = None,
    limit: int = 50,
) -> list[LeadRow]:
    """Return leads, those that came last first, after the cursor *before*."""
    raise NotImplementedError


def get_lead(session: Session, lead_id: uuid.UUID) -> LeadRow | None:
    """Return one lead, or None."""
    raise NotImplementedError


def change_lead(session: Session, lead_id: uuid.UUID, *, changes: dict[str, object], actor: str) -> LeadRow:
    """Change ``email``, ``owner``, ``status`` or ``p_score`` of a lead.

    Raises:
        InputError: If a value cannot be; nothing was changed.
        NotFoundError: If there is no such lead.
    """
    raise NotImplementedError


def by_band(session: Session, interval: Interval) -> Sequence[Band]:
    """Return how the leads that came in *interval* went on, by band of their score, the best band first."""
    raise NotImplementedError
