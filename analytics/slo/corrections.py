"""Corrections: time that does not count against budgets, such as planned maintenance.

They are applied when numbers are read and never touch the ledger, so they work backwards and can be taken back.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import or_, select, text
from sqlalchemy.orm import Session

from analytics.core.clock import Interval, floor_time, require_aware, utc_now
from analytics.core.errors import InputError, NotFoundError
from analytics.core.ids import new_id
from analytics.slo import catalogue
from analytics.slo.model import BUCKET, Objective
from analytics.slo.recurrence import recurrence
from analytics.store.queries import audit
from analytics.store.tables import LIVE
from analytics.store.tables.slos import SloCorrection

LONGEST_REASON = 500
LONGEST = timedelta(days=400)
LONGEST_RECURRING = timedelta(days=31)
YEARS = Interval(datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
_YEAR = timedelta(days=365)


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

    DAILY; WEEKLY, with BYDAY; MONTHLY, with BYDAY or BYMONTHDAY; YEARLY, with BYMONTH and those. Each may have
    INTERVAL, and COUNT or UNTIL.
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
    checked = _checked(new)
    _require_scope(session, checked)
    meets = overlaps(session, checked)
    row = SloCorrection(
        id=new_id(),
        slo_id=checked.slo_id,
        service=checked.service,
        starts_at=checked.starts_at,
        ends_at=checked.ends_at,
        rrule=checked.rrule,
        zone=checked.zone,
        reason=checked.reason,
        created_at=utc_now(),
        created_by=actor,
        origin=LIVE,
    )
    session.add(row)
    session.flush()
    _record(session, row, "slo.correction_added", actor)
    return Added(_of_row(row), meets)


def withdraw(session: Session, correction_id: uuid.UUID, *, actor: str) -> Correction:
    """Let a correction count no longer, for the past either; it stays listed as withdrawn. Safe to do twice.

    Raises:
        NotFoundError: If there is none.
    """
    row = session.get(SloCorrection, correction_id, with_for_update=True)
    if row is None:
        raise NotFoundError("There is no such correction; nothing was withdrawn.", correction_id=str(correction_id))
    if row.withdrawn_at is None:
        row.withdrawn_at, row.withdrawn_by = utc_now(), actor
        session.flush()
        _record(session, row, "slo.correction_withdrawn", actor)
    return _of_row(row)


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
    found = _candidates(session, objective, interval, with_withdrawn=with_withdrawn)
    return found if interval is None else [item for item in found if occurrences(item, interval)]


def overlaps(session: Session, new: NewCorrection) -> Sequence[Overlap]:
    """Return which corrections in force *new* meets, longest first, within a year from its start.

    Raises:
        InputError: If its times, rule or zone cannot be used.
    """
    checked = _checked(new)
    year = Interval(checked.starts_at, checked.ends_at if checked.rrule is None else checked.starts_at + _YEAR)
    mine = _merged(occurrences(checked, year))
    services = {item.id: item.service for item in catalogue.load(session, with_inactive=True)}
    found = []
    for other in list_corrections(session, interval=year):
        if not _shares_scope(checked, other, services):
            continue
        shared = _shared(mine, _merged(occurrences(other, year)))
        if shared:
            found.append(Overlap(other, sum((item.length for item in shared), timedelta(0)), shared[0]))
    return sorted(found, key=lambda item: item.length, reverse=True)


def occurrences(correction: NewCorrection | Correction, interval: Interval) -> list[Interval]:
    """Return when *correction* takes place within *interval*, oldest first, cut to it.

    Each begins and ends at the same times of the zone's clock. A time that the clock skips counts as the one after
    the change; of one that comes twice, the first counts.

    Raises:
        InputError: If its times, rule or zone cannot be used.
    """
    first = Interval(correction.starts_at, correction.ends_at)
    return recurrence(first, rule=correction.rrule, zone=correction.zone).within(interval)


def exclusions(
    session: Session, objectives: Sequence[Objective], interval: Interval
) -> Mapping[str, Sequence[Interval]]:
    """Return the time that does not count, by objective, in one query.

    Each list is in order, without overlaps, widened to whole 5-minute buckets and cut to *interval*; an objective
    without corrections has no entry.
    """
    widened = Interval(floor_time(interval.since, BUCKET), _ceil(interval.until))
    in_force = [
        (correction, [_whole_buckets(span) for span in occurrences(correction, widened)])
        for correction in _in_force(session, widened)
    ]
    found: dict[str, Sequence[Interval]] = {}
    merged: dict[tuple[uuid.UUID, ...], Sequence[Interval]] = {}
    for objective in objectives:
        mine = [(correction.id, spans) for correction, spans in in_force if spans and _concerns(correction, objective)]
        key = tuple(correction_id for correction_id, _ in mine)
        if key and key not in merged:
            merged[key] = _shared(_merged([span for _, spans in mine for span in spans]), [interval])
        if key:
            found[objective.id] = merged[key]
    return found


def _in_force(session: Session, interval: Interval) -> list[Correction]:
    """Return what may lie in *interval*, as :func:`_candidates` does; every page asks this, so it is kept lean."""
    rows = session.execute(_IN_FORCE, {"since": interval.since, "until": interval.until})
    return [Correction(*row) for row in rows]


def _candidates(
    session: Session, objective: Objective | None, interval: Interval | None, *, with_withdrawn: bool = False
) -> list[Correction]:
    """Return what may lie in *interval*: one that recurs was not looked at closely."""
    query = select(SloCorrection).order_by(SloCorrection.starts_at.desc(), SloCorrection.id)
    if not with_withdrawn:
        query = query.where(SloCorrection.withdrawn_at.is_(None))
    if objective is not None:
        query = query.where(
            or_(SloCorrection.slo_id == objective.id, SloCorrection.slo_id.is_(None)),
            or_(SloCorrection.service == objective.service, SloCorrection.service.is_(None)),
        )
    if interval is not None:
        query = query.where(
            SloCorrection.starts_at < interval.until,
            or_(SloCorrection.rrule.is_not(None), SloCorrection.ends_at > interval.since),
        )
    return [_of_row(row) for row in session.scalars(query)]


def _checked(new: NewCorrection) -> NewCorrection:
    """Return *new* in UTC, without needless spaces."""
    first = Interval(require_aware(new.starts_at), require_aware(new.ends_at))
    reason, rule = new.reason.strip(), (new.rrule or "").strip() or None
    if first.length <= timedelta(0):
        raise InputError("The correction ends when it starts; nothing was stored.")
    if not YEARS.since <= first.since < YEARS.until:
        raise InputError(f"A correction starts between {YEARS.since.year} and {YEARS.until.year}; nothing was stored.")
    longest = LONGEST if rule is None else LONGEST_RECURRING
    if first.length > longest:
        again = "" if rule is None else " that recurs"
        raise InputError(f"A correction{again} lasts at most {longest.days} days; nothing was stored.")
    if not 0 < len(reason) <= LONGEST_REASON:
        raise InputError(f"Say in 1 to {LONGEST_REASON} characters why this time does not count; nothing was stored.")
    if new.slo_id is not None and new.service is not None:
        raise InputError("A correction is for one objective or for a service, not for both; nothing was stored.")
    recurrence(first, rule=rule, zone=new.zone)
    return NewCorrection(first.since, first.until, reason, new.slo_id, new.service, rule, new.zone)


def _require_scope(session: Session, new: NewCorrection) -> None:
    if new.slo_id is not None:
        catalogue.find(session, new.slo_id, with_inactive=True)
    services = {item.service for item in catalogue.load(session, with_inactive=True)}
    if new.service is not None and new.service not in services:
        names = ", ".join(sorted(services))
        raise NotFoundError(f"No objective is of a service {new.service!r}; there are {names}. Nothing was stored.")


def _shares_scope(new: NewCorrection, other: Correction, services: Mapping[str, str]) -> bool:
    """Return whether there can be an objective that both concern; *services* are those of the objectives."""
    first, second = (
        (item.slo_id, item.service if item.slo_id is None else services.get(item.slo_id)) for item in (new, other)
    )
    return all(one is None or two is None or one == two for one, two in zip(first, second, strict=True))


def _concerns(correction: Correction, objective: Objective) -> bool:
    return correction.slo_id in {None, objective.id} and correction.service in {None, objective.service}


def _ceil(moment: datetime) -> datetime:
    floor = floor_time(moment, BUCKET)
    return floor if floor == moment else floor + BUCKET


def _whole_buckets(span: Interval) -> Interval:
    return Interval(floor_time(span.since, BUCKET), _ceil(span.until))


def _merged(spans: Sequence[Interval]) -> list[Interval]:
    """Return *spans* in order, those that meet or touch made one."""
    ends: list[list[datetime]] = []
    for span in sorted(spans, key=lambda item: item.since):
        if ends and span.since <= ends[-1][1]:
            ends[-1][1] = max(ends[-1][1], span.until)
        else:
            ends.append([span.since, span.until])
    return [Interval(since, until) for since, until in ends]


def _shared(first: Sequence[Interval], second: Sequence[Interval]) -> list[Interval]:
    """Return the time that lies in both; each is in order and without overlaps."""
    shared = []
    one, two = 0, 0
    while one < len(first) and two < len(second):
        since, until = max(first[one].since, second[two].since), min(first[one].until, second[two].until)
        if since < until:
            shared.append(Interval(since, until))
        if first[one].until <= second[two].until:
            one += 1
        else:
            two += 1
    return shared


def _record(session: Session, row: SloCorrection, action: str, actor: str) -> None:
    audit.record(
        session,
        actor=actor,
        action=action,
        object_type="slo_correction",
        object_id=str(row.id),
        detail={
            "slo_id": row.slo_id,
            "service": row.service,
            "starts_at": row.starts_at.isoformat(),
            "ends_at": row.ends_at.isoformat(),
            "rrule": row.rrule,
            "reason": row.reason,
        },
    )


def _of_row(row: SloCorrection) -> Correction:
    return Correction(
        id=row.id,
        slo_id=row.slo_id,
        service=row.service,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        rrule=row.rrule,
        zone=row.zone,
        reason=row.reason,
        created_at=row.created_at,
        created_by=row.created_by,
        withdrawn_at=row.withdrawn_at,
        withdrawn_by=row.withdrawn_by,
        origin=row.origin,
    )


_IN_FORCE = text("""
    SELECT id, slo_id, service, starts_at, ends_at, rrule, zone, reason, created_at, created_by, withdrawn_at,
           withdrawn_by, origin
    FROM slo_correction
    WHERE withdrawn_at IS NULL AND starts_at < :until AND (rrule IS NOT NULL OR ends_at > :since)
    ORDER BY starts_at DESC, id
""")
