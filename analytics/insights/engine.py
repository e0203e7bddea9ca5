"""Finding everything: courses are read, looked at, and what is found is stored."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from analytics.core.logging import get_logger
from analytics.insights import finders
from analytics.insights.correlation import correlations
from analytics.insights.finders import AROUND, Note
from analytics.insights.findings import Stored, store
from analytics.insights.lines import WHOLE, Line, lines
from analytics.insights.model import Finding
from analytics.insights.outlook import advice_for, capacity, outlook_of
from analytics.sources.prometheus import PromClient
from analytics.store.engine import session_scope
from analytics.store.tables import Annotation

MOST_FINDINGS = 200
"""Of one look; the surest are kept."""
MOST_PAIRS = 12
"""Of correlations, the strongest are told."""
_MOST_NOTES = 1_000

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Look:
    """What one look brought."""

    courses: int
    found: int
    stored: Stored
    took_s: float


def find_insights(engine: Engine, prom: PromClient | None, *, now: datetime) -> Look:
    """Look at every course and store what is found. Safe to run twice: what is known is brought up to date.

    Reading, looking and storing are apart, so that no transaction is open while numbers are worked through.

    Raises:
        DependencyError: If PostgreSQL is away.
    """
    began = time.perf_counter()
    with session_scope(engine) as session:
        found = lines(session, prom, now=now)
        notes = _notes(session, now)
        resources = capacity(session, prom, now=now).resources
    findings = look_at(found, notes, now=now)
    findings += [one for resource in resources if (one := finders.shortage_of(resource, now=now)) is not None]
    kept = sorted(findings, key=lambda one: -one.confidence)[:MOST_FINDINGS]
    with session_scope(engine) as session:
        stored = store(session, kept, now=now)
    look = Look(len(found), len(kept), stored, time.perf_counter() - began)
    if stored.new:
        _log.info("insights found", new=stored.new, known=stored.known, courses=look.courses)
    return look


def look_at(found: Sequence[Line], notes: Sequence[Note], *, now: datetime) -> list[Finding]:
    """Return what is found in courses, without reading anything."""
    by_name = {(line.kpi.id, line.dim, line.key): line for line in found}
    unlike = [one for line in found for one in finders.anomalies_of(line, notes, now=now)]
    moved = [one for line in found for one in finders.shifts_of(line, notes, now=now)]
    findings = [*finders.gathered(unlike, by_name), *finders.gathered(moved, by_name)]
    whole = [line for line in found if line.is_whole]
    for line in whole:
        if line.kpi.warning is not None:
            outlook = outlook_of(line, now=now)
            crossing = finders.crossing_of(outlook) if outlook is not None else None
            noise = finders.noise_of(advice_for(line), now=now)
            findings += [one for one in (crossing, noise) if one is not None]
    return findings + _together(whole)


def _together(whole: Sequence[Line]) -> list[Finding]:
    """Return which figures change together, but for those that measure the same thing in two ways."""
    by_id = {line.kpi.id: line for line in whole}
    found = correlations({name: line.values for name, line in by_id.items()})
    told = [one for one in found if not _is_same_thing(by_id[one.first], by_id[one.second])]
    return [finders.correlation_of(one, by_id[one.first], by_id[one.second]) for one in told[:MOST_PAIRS]]


def _is_same_thing(first: Line, second: Line) -> bool:
    """Tell whether two figures are bound to go together: of one group, or both of them amounts."""
    amounts = {"count", "tokens", "usd", "bytes"}
    return first.kpi.group == second.kpi.group or {first.kpi.unit, second.kpi.unit} <= amounts


def _notes(session: Session, now: datetime) -> list[Note]:
    rows = session.execute(
        select(Annotation.at, Annotation.title, Annotation.kind, Annotation.service)
        .where(Annotation.at >= now - WHOLE - AROUND, Annotation.at <= now)
        .order_by(Annotation.at.desc())
        .limit(_MOST_NOTES)
    )
    return [Note(row.at, row.title, row.kind, row.service) for row in rows]
