"""Corrections: time that does not count against budgets, such as planned maintenance.

They are applied when numbers are read and never touch the ledger, so they work backwards and can be taken back.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from analytics.core.clock import Interval
from analytics.slo.model import Objective


@dataclass(frozen=True, slots=True)
class NewCorrection:
    """A correction as somebody asks for it.

    For one objective, for all of a service, or with neither for all objectives.
    """

    starts_at: datetime
    ends_at: datetime
    """Of the first occurrence; after its start."""
    reason: str
    slo_id: str | None = None
    service: str | None = None
    rrule: str | None = None
    """How it recurs, as in RFC 5545, for example ``FREQ=WEEKLY;BYDAY=SU``; None for once.

    DAILY, WEEKLY (with BYDAY), MONTHLY and YEARLY (with BYMONTH, and BYDAY or BYMONTHDAY), each with INTERVAL, COUNT
    or UNTIL.
    """
    zone: str = "UTC"
    """IANA name; it recurs at the same time of that zone's clock, summer and winter."""


@dataclass(frozen=True, slots=True)
class Correction:
    """A stored correction."""

    id: uuid.UUID
    slo_id: str | None
    service: str | None
    starts_at: datetime
    ends_at: datetime
    rrule: str | None
    zone: str
    reason: str
    created_at: datetime
    created_by: str
    withdrawn_at: datetime | None
    """None while it is in force."""
    withdrawn_by: str | None
    origin: str


@dataclass(frozen=True, slots=True)
class Overlap:
    """Time that two corrections both take out; it is taken out once."""

    correction: Correction
    """The other one."""
    length: timedelta
    """Within a year from the start of the new one."""
    first: Interval
    """Where they meet first."""


@dataclass(frozen=True, slots=True)
class Added:
    """What was stored."""

    correction: Correction
    overlaps: Sequence[Overlap]
    """For information: nothing is wrong with them."""


def add(session: Session, new: NewCorrection, *, actor: str) -> Added:
    """Store a correction; it counts at once, for the past too.

    Raises:
        InputError: If its times, rule, zone, scope or reason cannot be used.
        NotFoundError: If there is no such objective or service.
    """
    raise NotImplementedError


def withdraw(session: Session, correction_id: uuid.UUID, *, actor: str) -> Correction:
    """Let a correction count no longer, for the past either; it stays listed as withdrawn. Safe to do twice.

    Raises:
        NotFoundError: If there is none.
    """
    raise NotImplementedError


def list_corrections(
    session: Session,
    *,
    objective: Objective | None = None,
    interval: Interval | None = None,
    with_withdrawn: bool = False,
) -> Sequence[Correction]:
    """Return corrections, newest start first.

    Args:
        session: The open transaction.
        objective: Only those that concern it, also by its service or as one of all; None for all.
        interval: Only those of which something lies in it; None for all.
        with_withdrawn: Also those that do not count any more.
    """
    raise NotImplementedError


def overlaps(session: Session, new: NewCorrection) -> Sequence[Overlap]:
    """Return which corrections in force *new* meets, longest first, within a year from its start.

    Raises:
        InputError: If its times, rule or zone cannot be used.
    """
    raise NotImplementedError


def occurrences(correction: NewCorrection | Correction, interval: Interval) -> list[Interval]:
    """Return when *correction* takes place within *interval*, oldest first, cut to it.

    Each begins and ends at the same times of the zone's clock. A time that the clock skips counts as the one after
    the change; of one that comes twice, the first counts.

    Raises:
        InputError: If its times, rule or zone cannot be used.
    """
    raise NotImplementedError


def exclusions(
    session: Session, objectives: Sequence[Objective], interval: Interval
) -> Mapping[str, Sequence[Interval]]:
    """Return the time that does not count, by objective, in one query.

    Each list is in order, without overlaps, widened to whole 5-minute buckets and cut to *interval*; an objective
    without corrections has no entry.
    """
    raise NotImplementedError
