"""Leads: somebody who may become a customer, with the chance that they do."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, and_, delete, or_, select, text, tuple_, update
from sqlalchemy.orm import Session

from analytics.core.clock import Interval, utc_now
from analytics.core.errors import InputError, NotFoundError
from analytics.journeys.events import LEAD_STATUSES, looks_like_email
from analytics.store.queries import audit
from analytics.store.tables import Lead

_BOUNDS: tuple[tuple[str, float | None, float | None], ...] = (
    ("0.75 to 1", 0.75, None),
    ("0.5 to 0.75", 0.5, 0.75),
    ("0.25 to 0.5", 0.25, 0.5),
    ("0 to 0.25", None, 0.25),
)
NOT_SCORED = "not scored"
BANDS = (*(name for name, _, _ in _BOUNDS), NOT_SCORED)
"""Of scores, the best first; a bound belongs to the band above it."""
_LENGTHS = {"email": 254, "owner": 200}


@dataclass(frozen=True, slots=True)
class LeadRow:
    """One lead."""

    id: uuid.UUID
    email: str | None
    owner: str | None
    source: str
    external_id: str | None
    """What its source calls it."""
    status: str
    p_score: float | None
    """Chance to become a customer, 0 to 1; None when not scored."""
    created_at: datetime
    converted_at: datetime | None
    updated_at: datetime
    """As of when it is known."""
    origin: str


@dataclass(frozen=True, slots=True)
class LeadFilter:
    """Which leads; what is None does not matter."""

    status: str | None = None
    owner: str | None = None
    source: str | None = None
    band: str | None = None
    """One of :data:`BANDS`."""
    search: str | None = None
    """Part of the e-mail or of the external id."""


EVERY = LeadFilter()


@dataclass(frozen=True, slots=True)
class Band:
    """How leads with a score in one band went on."""

    band: str
    leads: int
    contacted: int
    """Contacted, qualified or won now; a lead that was lost does not count, as nobody knows how far it came."""
    qualified: int
    """Qualified or won."""
    won: int
    lost: int
    took_s: float | None
    """Median from the first contact to the sale, seconds; None when nobody was won."""
    mean_score: float | None
    demo: int
    """How many are of the demo history."""

    @property
    def conversion(self) -> float | None:
        """Return the share that was won of those decided; None when none is."""
        return self.won / (self.won + self.lost) if self.won + self.lost else None


def list_leads(
    session: Session,
    wanted: LeadFilter = EVERY,
    *,
    interval: Interval | None = None,
    before: tuple[datetime, uuid.UUID] | None = None,
    limit: int = 50,
) -> list[LeadRow]:
    """Return leads, those that came last first, after the cursor *before*.

    Raises:
        InputError: If there is no such status or band.
    """
    statement = select(*_COLUMNS).where(*_conditions(wanted))
    if interval is not None:
        statement = statement.where(Lead.created_at >= interval.since, Lead.created_at < interval.until)
    if before is not None:
        statement = statement.where(tuple_(Lead.created_at, Lead.id) < tuple_(*before))
    rows = session.execute(statement.order_by(Lead.created_at.desc(), Lead.id.desc()).limit(limit)).mappings()
    return [_row(row) for row in rows]


def get_lead(session: Session, lead_id: uuid.UUID) -> LeadRow | None:
    """Return one lead, or None."""
    row = session.execute(select(*_COLUMNS).where(Lead.id == lead_id)).mappings().one_or_none()
    return None if row is None else _row(row)


def change_lead(session: Session, lead_id: uuid.UUID, changes: Mapping[str, Any], *, actor: str) -> LeadRow:
    """Change ``email``, ``owner``, ``status`` or ``p_score`` of a lead; what is not named stays.

    Raises:
        InputError: If a value cannot be; nothing was changed.
        NotFoundError: If there is no such lead.
    """
    _check(changes)
    held = session.execute(select(*_COLUMNS).where(Lead.id == lead_id).with_for_update()).mappings().one_or_none()
    if held is None:
        raise NotFoundError("There is no such lead; nothing was changed.")
    now = utc_now()
    values = dict(changes)
    if "status" in values:
        was_won = held["converted_at"] or now
        values["converted_at"] = was_won if values["status"] == "won" else None
    session.execute(update(Lead).where(Lead.id == lead_id).values(**values, updated_at=now))
    _record(session, actor, "lead.changed", lead_id, fields=sorted(changes))
    return _row({**held, **values, "updated_at": now})


def delete_lead(session: Session, lead_id: uuid.UUID, *, actor: str) -> None:
    """Remove a lead; what it did stays among the events.

    Raises:
        NotFoundError: If there is no such lead.
    """
    gone: Any = session.execute(delete(Lead).where(Lead.id == lead_id))
    if not gone.rowcount:
        raise NotFoundError("There is no such lead; nothing was changed.")
    _record(session, actor, "lead.deleted", lead_id)


def by_band(session: Session, interval: Interval) -> Sequence[Band]:
    """Return how the leads that came in *interval* stand now, by band of their score, the best band first.

    A band without leads is not in it.
    """
    rows = session.execute(_BY_BAND, {"since": interval.since, "until": interval.until}).mappings()
    found = {row["band"]: Band(**row) for row in rows}
    return [found[name] for name in BANDS if name in found]


def _check(changes: Mapping[str, Any]) -> None:
    status, score, email = changes.get("status"), changes.get("p_score"), changes.get("email")
    if "status" in changes and status not in LEAD_STATUSES:
        raise InputError(f"A lead's status is one of {', '.join(LEAD_STATUSES)}; nothing was changed.")
    if score is not None and not 0 <= float(score) <= 1:
        raise InputError("A lead's score is a chance from 0 to 1; nothing was changed.")
    for name, most in _LENGTHS.items():
        value = changes.get(name)
        if value is not None and (len(value) > most or not value.isprintable()):
            raise InputError(f"{name} has at most {most} characters and no control characters; nothing was changed.")
    if email is not None and not looks_like_email(email):
        raise InputError(f"{email[:60]!r} is no e-mail address; nothing was changed.")


def _conditions(wanted: LeadFilter) -> list[ColumnElement[bool]]:
    if wanted.status is not None and wanted.status not in LEAD_STATUSES:
        raise InputError(f"A lead's status is one of {', '.join(LEAD_STATUSES)}; nothing was read.")
    found: list[ColumnElement[bool]] = [
        column == value
        for column, value in ((Lead.status, wanted.status), (Lead.owner, wanted.owner), (Lead.source, wanted.source))
        if value is not None
    ]
    if wanted.band is not None:
        found.append(_band_condition(wanted.band))
    if wanted.search:
        found.append(
            or_(
                Lead.email.icontains(wanted.search, autoescape=True),
                Lead.external_id.icontains(wanted.search, autoescape=True),
            )
        )
    return found


def _band_condition(band: str) -> ColumnElement[bool]:
    if band == NOT_SCORED:
        return Lead.p_score.is_(None)
    for name, least, most in _BOUNDS:
        if name == band:
            return and_(
                Lead.p_score.is_not(None),
                *([] if least is None else [Lead.p_score >= least]),
                *([] if most is None else [Lead.p_score < most]),
            )
    raise InputError(f"A band of scores is one of {', '.join(BANDS)}; nothing was read.")


def _record(session: Session, actor: str, action: str, lead_id: uuid.UUID, **detail: Any) -> None:
    audit.record(session, actor=actor, action=action, object_type="lead", object_id=str(lead_id), detail=detail)


_COLUMNS = (
    Lead.id,
    Lead.email,
    Lead.owner,
    Lead.source,
    Lead.external_id,
    Lead.status,
    Lead.p_score,
    Lead.created_at,
    Lead.converted_at,
    Lead.updated_at,
    Lead.origin,
)


def _row(row: RowMapping | Mapping[str, Any]) -> LeadRow:
    return LeadRow(**row)


def band_sql(score: str) -> str:
    """Return the SQL that tells the band of the score that *score*, an expression of ours, gives."""
    whens = " ".join(f"WHEN {score} >= {least} THEN '{name}'" for name, least, _ in _BOUNDS if least is not None)
    return f"CASE WHEN {score} IS NULL THEN '{NOT_SCORED}' {whens} ELSE '{_BOUNDS[-1][0]}' END"


_BY_BAND = text(f"""
    SELECT {band_sql("p_score")} AS band, count(*) AS leads,
           count(*) FILTER (WHERE status IN ('contacted', 'qualified', 'won')) AS contacted,
           count(*) FILTER (WHERE status IN ('qualified', 'won')) AS qualified,
           count(*) FILTER (WHERE status = 'won') AS won, count(*) FILTER (WHERE status = 'lost') AS lost,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM converted_at - created_at))
               FILTER (WHERE status = 'won') AS took_s,
           avg(p_score) AS mean_score, count(*) FILTER (WHERE origin = 'demo') AS demo
    FROM lead WHERE created_at >= :since AND created_at < :until
    GROUP BY band
""")  # noqa: S608 - no values in it
