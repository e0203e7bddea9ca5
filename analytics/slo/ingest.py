"""From the sources into the ledger: every closed bucket once, the last two again for what came late.

Each objective is read for itself: one that cannot be read keeps none of the others from being read, and one that is
new or whose indicator changed is read back into the past.
"""

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from analytics.core.clock import Interval, floor_time
from analytics.core.logging import get_logger
from analytics.slo import catalogue, ledger, posting
from analytics.slo.ledger import HOUR, KEEP_BUCKETS
from analytics.slo.model import BUCKET, CompositeEvents, Objective, SqlEvents
from analytics.slo.sources import postgres, prometheus
from analytics.slo.sources.compile import compiled
from analytics.slo.sources.reading import Reading
from analytics.sources.prometheus import PromClient
from analytics.store.engine import session_scope
from analytics.store.tables.slos import SloReading

CLOSED_AFTER = timedelta(seconds=60)
"""A bucket is read when it has been over for this long: scrapes of its last seconds are in by then."""

READ_AGAIN = 2 * BUCKET
READ_AGAIN_WARNED = timedelta(hours=1)
"""How far back buckets are read again after a warning: the part that was missing may come back."""

LOOK_BACK = timedelta(days=30)
"""How far the first reading of a Prometheus goes back at least; for longer periods, the period."""

_SHORT = READ_AGAIN_WARNED + READ_AGAIN + BUCKET
_AT_ONCE = 2
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What one reading did."""

    written: int
    """Buckets written, counting those read again."""
    until: Mapping[str, datetime] = field(default_factory=dict)
    """How far each objective has been read, by id."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """Why an objective could not be read; it is read on from where it was next time."""
    warnings: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """What sources warned of."""


@dataclass(frozen=True, slots=True)
class BackfillReport:
    """What reading back into the past did."""

    written: Mapping[str, int]
    """Buckets by objective, those of groups included."""
    since: Mapping[str, datetime]
    """Start of the oldest bucket that its source still has; objectives of which it has none are missing."""
    failed: Mapping[str, str]
    """Why an objective could not be read; what was known of it stays."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Good and total events of one objective over one interval, straight from the source."""

    slo_id: str
    interval: Interval
    good: float
    total: float


@dataclass(frozen=True, slots=True)
class _Plan:
    """What to read of one objective."""

    objective: Objective
    interval: Interval
    is_anew: bool = False
    """Whether what is read takes the place of all that was known of that time."""
    is_doubtful: bool = False
    """Whether it failed or was warned of last time, so that it had better be read for itself."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How that went."""

    slo_id: str
    reading: Reading
    written: int = 0


def ingest(engine: Engine, prom: PromClient | None, *, now: datetime) -> IngestReport:
    """Drop old buckets, read every bucket that has closed since the last time, and sum the hours they are in.

    Safe to run twice and from several processes at once: buckets are written over with the same numbers. Without
    Prometheus (None) only PostgreSQL is read. Composites are not read: they are computed from their members.

    Raises:
        DependencyError: If PostgreSQL is away.
    """
    closed = floor_time(now - CLOSED_AFTER, BUCKET)
    with session_scope(engine) as session:
        objectives = catalogue.load(session)
        plans = _plans(session, [item for item in objectives if _is_read(item, prom)], closed)
        ledger.prune(session, objectives, now=closed)
    outcomes = _take_in(engine, prom, plans, now)
    return IngestReport(
        sum(item.written for item in outcomes),
        {item.slo_id: closed for item in outcomes if item.reading.error is None},
        _failed(outcomes),
        {item.slo_id: item.reading.warnings for item in outcomes if item.reading.warnings},
    )


def backfill(
    engine: Engine, prom: PromClient | None, objectives: Sequence[Objective], *, days: int, now: datetime
) -> BackfillReport:
    """Read the last *days* of *objectives* anew; of the time that a source still has, nothing older is left.

    Args:
        engine: Where the ledger is.
        prom: None to read PostgreSQL only.
        objectives: Stored ones; composites are passed over.
        days: 1 to 90.
        now: The present.

    Raises:
        DependencyError: If PostgreSQL is away.
    """
    closed = floor_time(now - CLOSED_AFTER, BUCKET)
    span = Interval(floor_time(closed - min(timedelta(days=days), KEEP_BUCKETS), HOUR), closed)
    plans = [_Plan(item, span, is_anew=True) for item in objectives if _is_read(item, prom)]
    outcomes = _take_in(engine, prom, plans, now)
    return BackfillReport(
        {item.slo_id: item.written for item in outcomes if item.reading.error is None},
        {
            item.slo_id: datetime.fromtimestamp(int(item.reading.whole.starts[0]), UTC)
            for item in outcomes
            if len(item.reading.whole.starts)
        },
        _failed(outcomes),
    )


def measure(objective: Objective, interval: Interval, *, session: Session, prom: PromClient | None) -> Measured | None:
    """Count the events of *objective* in *interval* now, without the ledger; None when its source is not there.

    Raises:
        DependencyError: If the source is away.
        InputError: If it refuses what the objective asks.
    """
    events = objective.indicator
    if isinstance(events, SqlEvents):
        return Measured(objective.id, interval, *postgres.measure(session, events, interval))
    if prom is None or isinstance(events, CompositeEvents):
        return None
    found = prometheus.measure(prom, events, interval)
    return None if found is None else Measured(objective.id, interval, *found)


# ---- What to read ----


def _is_read(objective: Objective, prom: PromClient | None) -> bool:
    if isinstance(objective.indicator, CompositeEvents):
        return False
    return prom is not None or isinstance(objective.indicator, SqlEvents)


def _plans(session: Session, objectives: Sequence[Objective], closed: datetime) -> list[_Plan]:
    """Return from where on each of *objectives* is to be read."""
    wanted = select(SloReading).where(SloReading.slo_id.in_([item.id for item in objectives]))
    read = {row.slo_id: row for row in session.scalars(wanted)}
    plans = []
    for item in objectives:
        row = read.get(item.id)
        # Hours are summed from their buckets, so none is read in part.
        since, is_anew = floor_time(closed - _look_back(item), HOUR), True
        if row is not None and row.read_until is not None and row.fingerprint in {"", _fingerprint(item)}:
            since, is_anew = max(since, floor_time(row.read_until, BUCKET) - READ_AGAIN), False
        is_doubtful = row is not None and bool(row.error or row.warnings)
        plans.append(_Plan(item, Interval(min(since, closed), closed), is_anew, is_doubtful))
    return plans


def _look_back(objective: Objective) -> timedelta:
    if isinstance(objective.indicator, SqlEvents):
        return KEEP_BUCKETS
    return min(KEEP_BUCKETS, max(LOOK_BACK, objective.period))


def _fingerprint(objective: Objective) -> str:
    """Return what tells one way of counting from another."""
    events = objective.indicator
    asked = events if isinstance(events, SqlEvents | CompositeEvents) else compiled(events)
    return hashlib.sha256(repr((asked, objective.group_by)).encode()).hexdigest()[:16]


# ---- Reading and writing ----


def _take_in(engine: Engine, prom: PromClient | None, plans: Sequence[_Plan], now: datetime) -> list[_Outcome]:
    """Read and write: first what is short, and of that first what will go well, then what is long, each for itself."""
    short = [plan for plan in plans if plan.interval.length <= _SHORT]
    outcomes: list[_Outcome] = []
    for is_doubtful in (False, True):
        group = [plan for plan in short if plan.is_doubtful is is_doubtful]
        if group:
            outcomes += _take_in_at_once(engine, prom, group, now)
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="ingest") as pool:
        long = [plan for plan in plans if plan not in short]
        for found in pool.map(lambda plan: _take_in_at_once(engine, prom, [plan], now), long):
            outcomes += found
    return outcomes


def _take_in_at_once(engine: Engine, prom: PromClient | None, plans: Sequence[_Plan], now: datetime) -> list[_Outcome]:
    """Read *plans*; write what was found, and how far that is, in one transaction."""
    since = min(plan.interval.since for plan in plans)
    until = plans[0].interval.until
    readings = {}
    if prom is not None:
        readings = prometheus.read(
            prom, [plan.objective for plan in plans], Interval(since, until), one_by_one=plans[0].is_doubtful
        )
    with session_scope(engine) as session:
        for plan in plans:
            if isinstance(plan.objective.indicator, SqlEvents):
                readings[plan.objective.id] = _rows(session, plan)
        for plan in plans:
            counted = readings[plan.objective.id].whole.starts
            if plan.is_anew and len(counted):
                first = datetime.fromtimestamp(int(counted[0]), UTC)
                posting.forget(session, plan.objective.id, since=first, until=until)
        written = posting.post(session, {slo_id: reading.counts for slo_id, reading in readings.items()})
        posting.note(session, [_note(plan, readings[plan.objective.id]) for plan in plans], now=now)
    return [_Outcome(slo_id, reading, written.get(slo_id, 0)) for slo_id, reading in readings.items()]


def _rows(session: Session, plan: _Plan) -> Reading:
    known: Sequence[str] = ()
    if plan.objective.group_by:
        since = plan.interval.until - KEEP_BUCKETS
        known = ledger.groups(session, [plan.objective.id], since=since).get(plan.objective.id, ())
    return postgres.read(session, plan.objective, plan.interval, is_first=plan.is_anew, groups=known)


def _note(plan: _Plan, reading: Reading) -> posting.Note:
    """Return how the reading ended; what was warned of is read again for a while, as what was missing may come back."""
    until = plan.interval.until
    if reading.error is not None:
        _log.warning("objective not read", slo_id=plan.objective.id, reason=reading.error.message)
        return posting.Note(plan.objective.id, "", None, reading.error.message)
    if reading.warnings:
        until = min(until, max(plan.interval.since + READ_AGAIN, until - READ_AGAIN_WARNED))
    return posting.Note(plan.objective.id, _fingerprint(plan.objective), until, None, reading.warnings)


def _failed(outcomes: Sequence[_Outcome]) -> dict[str, str]:
    return {item.slo_id: item.reading.error.message for item in outcomes if item.reading.error is not None}
