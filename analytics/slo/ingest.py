"""From the sources into the ledger: every closed bucket once, the last two again for what came late."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Engine, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from analytics.core.clock import Interval, floor_time, utc_now
from analytics.core.errors import DependencyError, InputError
from analytics.core.logging import get_logger
from analytics.slo import ledger
from analytics.slo.defaults import objectives
from analytics.slo.model import BUCKET, Objective, PromEvents, SourceKind, SqlEvents
from analytics.slo.sources import postgres, prometheus
from analytics.sources.prometheus import PromClient
from analytics.store.engine import session_scope
from analytics.store.tables import Cursor

CLOSED_AFTER = timedelta(seconds=60)
"""A bucket is read when it has been over for this long: scrapes of its last seconds are in by then."""

READ_AGAIN = 2 * BUCKET
LOOK_BACK = timedelta(days=30)
"""How far the first reading of a Prometheus goes back."""

_AT_ONCE = timedelta(days=1)
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What one reading did."""

    written: int
    """Buckets written, counting those read again."""
    until: Mapping[SourceKind, datetime] = field(default_factory=dict)
    """How far each source has been read."""
    failed: Mapping[SourceKind, str] = field(default_factory=dict)
    """Why a source could not be read; it is read on from where it was next time."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Good and total events of one objective over one interval, straight from the source."""

    slo_id: str
    interval: Interval
    good: float
    total: float


def ingest(engine: Engine, prom: PromClient | None, *, now: datetime) -> IngestReport:
    """Read every bucket that has closed since the last time, sum the hours they are in, and drop old buckets.

    Safe to run twice and from several processes at once: buckets are written over with the same numbers. A source
    that is away does not keep the other from being read. Without Prometheus (None) only PostgreSQL is read.

    Raises:
        DependencyError: If PostgreSQL is away.
    """
    closed = floor_time(now - CLOSED_AFTER, BUCKET)
    written = 0
    until: dict[SourceKind, datetime] = {}
    failed: dict[SourceKind, str] = {}
    for source in SourceKind:
        if source is SourceKind.PROMETHEUS and prom is None:
            continue
        try:
            written += _read_on(engine, prom, source, closed)
        except (DependencyError, InputError) as error:
            if source is SourceKind.POSTGRES:
                raise
            failed[source] = error.message
            _log.warning("slo source not read", source=source, reason=error.message)
        else:
            until[source] = closed
    with session_scope(engine) as session:
        ledger.prune(session, objectives(), now=closed)
    return IngestReport(written, until, failed)


def measure(objective: Objective, interval: Interval, *, session: Session, prom: PromClient | None) -> Measured | None:
    """Count the events of *objective* in *interval* now, without the ledger; None when its source is not there.

    Raises:
        DependencyError: If the source is away.
    """
    events = objective.indicator
    if isinstance(events, SqlEvents):
        return Measured(objective.id, interval, *postgres.measure(session, events, interval))
    found = None if prom is None or not isinstance(events, PromEvents) else prometheus.measure(prom, events, interval)
    return None if found is None else Measured(objective.id, interval, *found)


def _read_on(engine: Engine, prom: PromClient | None, source: SourceKind, closed: datetime) -> int:
    """Read *source* up to *closed*, a day a transaction; return how many buckets were written."""
    wanted = [item for item in objectives() if item.indicator.kind is source]
    name = f"slo.{source}"
    with session_scope(engine) as session:
        position = session.scalar(select(Cursor.position).where(Cursor.name == name))
    if position is None:
        since = closed - (LOOK_BACK if source is SourceKind.PROMETHEUS else READ_AGAIN)
    else:
        since = max(floor_time(position, BUCKET) - READ_AGAIN, closed - LOOK_BACK)
    written = 0
    while since < closed:
        until = min(closed, since + _AT_ONCE)
        written += _read_part(engine, prom, wanted, Interval(since, until), name)
        since = until
    return written


def _read_part(
    engine: Engine, prom: PromClient | None, wanted: Sequence[Objective], interval: Interval, cursor: str
) -> int:
    """Read the buckets of *interval* and note in the same transaction that they were read."""
    buckets: list[ledger.Bucket] = []
    if prom is not None and any(isinstance(item.indicator, PromEvents) for item in wanted):
        buckets = prometheus.prometheus_buckets(prom, wanted, interval)
    with session_scope(engine) as session:
        if any(isinstance(item.indicator, SqlEvents) for item in wanted):
            buckets = postgres.postgres_buckets(session, wanted, interval)
        written = ledger.upsert(session, buckets)
        ledger.roll_up(session, [item.id for item in wanted], since=interval.since, until=interval.until)
        _note(session, cursor, interval.until)
    return written


def _note(session: Session, name: str, position: datetime) -> None:
    statement = insert(Cursor).values(name=name, position=position, updated_at=utc_now())
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[Cursor.name],
            set_={"position": statement.excluded.position, "updated_at": statement.excluded.updated_at},
            where=Cursor.position < statement.excluded.position,
        )
    )
