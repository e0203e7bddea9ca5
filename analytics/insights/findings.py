"""Findings as they are stored: found again they are the same row; people say whether they were of use.

A subject (kind, key figure and part) that was called useless twice, and more often than useful, is muted: what is found
about it is stored, and shown only to those who ask for it.
"""

import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, Subquery, delete, func, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from analytics.core.clock import utc_now
from analytics.core.errors import InputError, NotFoundError
from analytics.core.ids import new_id
from analytics.insights.model import Evidence, Finding, InsightKind
from analytics.store.paging import DEFAULT_LIMIT, check_paging
from analytics.store.queries import audit
from analytics.store.tables import Insight, InsightFeedback
from analytics.store.tables.base import DEMO, LIVE

MUTED_FROM = 2
"""So many times useless, and more often than useful, mutes a subject."""
KEPT = timedelta(days=90)
"""Findings not seen for so long are deleted, with what people thought of them."""
LONGEST_NOTE = 1_000
"""Characters."""
NEAR = timedelta(hours=6)
"""Findings of one subject that begin no further apart are the same."""
LASTS = timedelta(days=1)
"""What was not found for so long is over; a standing finding that returns later is a new one."""

_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('helmsight.insights', 0))")
_POINTS = {InsightKind.ANOMALY, InsightKind.REGRESSION}
"""Kinds with a place in time; others stand for as long as they hold."""
_SUBJECT: ColumnElement[str] = func.split_part(Insight.fingerprint, ":", 1)


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


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of findings."""

    new: int
    known: int
    ended: int
    """How many were not found for a day, and are over."""


@dataclass(slots=True)
class _Known:
    fingerprint: str
    since: datetime
    until: datetime | None
    seen_at: datetime
    is_taken: bool = field(default=False)


def store(session: Session, found: Sequence[Finding], *, now: datetime) -> Stored:
    """Store *found*; what was known is brought up to date. Safe to repeat, and for two at once: the second waits."""
    session.execute(_LOCK)
    known = _known(session, {subject for one in found for subject in (one.subject, *one.aliases)})
    new = 0
    # Oldest first, so that the ids, which grow, tell the newest.
    for one in sorted(found, key=lambda one: one.since):
        rows = (row for subject in (one.subject, *one.aliases) for row in known[subject])
        same = next((row for row in rows if not row.is_taken and _is_same(row, one, now)), None)
        if same is None:
            same = _Known(f"{one.subject}:{one.since.isoformat()}", one.since, one.until, now)
            known[one.subject].append(same)
            new += 1
        same.is_taken = True
        _write(session, one, same, now)
    ended = session.execute(
        update(Insight)
        .where(Insight.until.is_(None), Insight.seen_at < now - LASTS)
        .values(until=Insight.seen_at)
        .returning(Insight.id)
    ).all()
    session.execute(delete(Insight).where(Insight.seen_at < now - KEPT))
    return Stored(new, len(found) - new, len(ended))


def _known(session: Session, subjects: set[str]) -> defaultdict[str, list[_Known]]:
    rows = session.execute(
        select(Insight.fingerprint, Insight.since, Insight.until, Insight.seen_at)
        .where(_SUBJECT.in_(subjects))
        .order_by(Insight.id.desc())
    )
    known: defaultdict[str, list[_Known]] = defaultdict(list)
    for row in rows:
        known[row.fingerprint.partition(":")[0]].append(_Known(row.fingerprint, row.since, row.until, row.seen_at))
    return known


def _is_same(row: _Known, one: Finding, now: datetime) -> bool:
    if one.kind in _POINTS:
        return row.since - NEAR <= one.since <= max(row.since, row.until or row.since) + NEAR
    return row.seen_at >= now - LASTS


def _write(session: Session, one: Finding, same: _Known, now: datetime) -> None:
    values: dict[str, Any] = {
        "kpi_id": one.kpi_id,
        "dim": one.dim,
        "key": one.key,
        "title": one.title,
        "confidence": one.confidence,
        "is_good": one.is_good,
        "until": one.until,
        "seen_at": now,
        "evidence": one.evidence.to_json(),
        "origin": DEMO if one.evidence.includes_demo else LIVE,
        **({} if one.kind in _POINTS else {"since": one.since}),
    }
    new = {
        "id": new_id(),
        "kind": one.kind,
        "fingerprint": same.fingerprint,
        "since": one.since,
        "found_at": now,
    }
    statement = insert(Insight).values(**(new | values))
    session.execute(statement.on_conflict_do_update(index_elements=[Insight.fingerprint], set_=values))


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
    """Return findings, found last first; of those found together, the latest first.

    Args:
        session: The caller's transaction.
        kinds: Only these.
        kpi_id: Only about this key figure.
        since: Only those seen at or after it.
        with_muted: Whether muted subjects are told as well.
        before: ``found_at`` and id of the last one of the page before.
        limit: How many at most, 1 to 100.
    """
    check_paging(limit=limit)
    votes = _votes()
    query = _rows(votes).order_by(Insight.found_at.desc(), Insight.id.desc()).limit(limit)
    if kinds is not None:
        query = query.where(Insight.kind.in_(kinds))
    if kpi_id is not None:
        query = query.where(Insight.kpi_id == kpi_id)
    if since is not None:
        query = query.where(Insight.seen_at >= since)
    if not with_muted:
        query = query.where(~_muted(votes))
    if before is not None:
        query = query.where(tuple_(Insight.found_at, Insight.id) < tuple_(*before))
    return [_row(row) for row in session.execute(query)]


def get_insight(session: Session, insight_id: uuid.UUID) -> InsightDetail:
    """Return one finding with its evidence.

    Raises:
        NotFoundError: If there is none.
    """
    query = _rows(_votes()).add_columns(Insight.evidence).where(Insight.id == insight_id)
    found = session.execute(query).one_or_none()
    if found is None:
        raise NotFoundError("There is no such finding; it may have been forgotten.", insight_id=str(insight_id))
    feedback = session.scalars(
        select(InsightFeedback)
        .where(InsightFeedback.insight_id == insight_id)
        .order_by(InsightFeedback.created_at.desc(), InsightFeedback.actor)
    )
    return InsightDetail(
        _row(found),
        Evidence.from_json(found.evidence),
        [Feedback(one.actor, one.is_useful, one.note, one.created_at) for one in feedback],
    )


def give_feedback(session: Session, insight_id: uuid.UUID, *, actor: str, is_useful: bool, note: str = "") -> None:
    """Note what *actor* thinks of a finding, in place of what they thought before; the audit log says so.

    Raises:
        NotFoundError: If there is none.
        InputError: If the note is longer than 1000 characters.
    """
    if len(note) > LONGEST_NOTE:
        raise InputError(f"A note has at most {LONGEST_NOTE} characters; nothing was stored.")
    if session.get(Insight, insight_id, with_for_update={"key_share": True}) is None:
        raise NotFoundError("There is no such finding; nothing was stored.", insight_id=str(insight_id))
    values = {"is_useful": is_useful, "note": note.strip(), "created_at": utc_now()}
    statement = insert(InsightFeedback).values(insight_id=insight_id, actor=actor, **values)
    session.execute(
        statement.on_conflict_do_update(index_elements=[InsightFeedback.insight_id, InsightFeedback.actor], set_=values)
    )
    audit.record(
        session,
        actor=actor,
        action="insight.rated",
        object_type="insight",
        object_id=str(insight_id),
        detail={"is_useful": is_useful},
    )


def _votes() -> Subquery:
    """Return how often each subject was found useful and useless."""
    return (
        select(
            _SUBJECT.label("subject"),
            func.count().filter(InsightFeedback.is_useful).label("useful"),
            func.count().filter(~InsightFeedback.is_useful).label("useless"),
        )
        .join(InsightFeedback, InsightFeedback.insight_id == Insight.id)
        .group_by(_SUBJECT)
        .subquery("votes")
    )


def _muted(votes: Subquery) -> ColumnElement[bool]:
    useless = func.coalesce(votes.c.useless, 0)
    return (useless >= MUTED_FROM) & (useless > func.coalesce(votes.c.useful, 0))


def _rows(votes: Subquery) -> Any:
    own = (
        select(
            InsightFeedback.insight_id,
            func.count().filter(InsightFeedback.is_useful).label("useful"),
            func.count().filter(~InsightFeedback.is_useful).label("useless"),
        )
        .group_by(InsightFeedback.insight_id)
        .subquery("own")
    )
    return (
        select(
            *(getattr(Insight, name) for name in _COLUMNS),
            func.coalesce(own.c.useful, 0).label("useful"),
            func.coalesce(own.c.useless, 0).label("useless"),
            _muted(votes).label("is_muted"),
        )
        .outerjoin(own, own.c.insight_id == Insight.id)
        .outerjoin(votes, votes.c.subject == _SUBJECT)
    )


_COLUMNS = (
    *("id", "kind", "kpi_id", "dim", "key", "title", "confidence", "is_good"),
    *("since", "until", "found_at", "seen_at", "origin"),
)


def _row(row: Row[Any]) -> InsightRow:
    values = {name: getattr(row, name) for name in (*_COLUMNS, "useful", "useless", "is_muted")}
    return InsightRow(**(values | {"kind": InsightKind(row.kind)}))
