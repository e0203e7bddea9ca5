"""Buckets counted exactly, by rows of PostgreSQL."""

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session

from analytics.core.clock import Interval
from analytics.slo.ledger import Bucket
from analytics.slo.model import BUCKET, Objective, SqlEvents


def postgres_buckets(session: Session, objectives: Sequence[Objective], interval: Interval) -> list[Bucket]:
    """Return every bucket in *interval*, whose ends are bounds of buckets.

    A bucket without rows is one without events: PostgreSQL answered, so the time was measured.
    """
    buckets = []
    for item in objectives:
        if not isinstance(item.events, SqlEvents):
            continue
        counts = {row[0]: (row[1], row[2]) for row in _rows(session, item.events, interval)}
        for place in range(interval.length // BUCKET):
            start = interval.since + place * BUCKET
            good, total = counts.get(start, (0, 0))
            buckets.append(Bucket(item.id, start, float(good), float(total), BUCKET.total_seconds()))
    return buckets


def measure(session: Session, events: SqlEvents, interval: Interval) -> tuple[float, float]:
    """Return good and total events of *interval*, of any length."""
    rows = _rows(session, events, interval)
    return float(sum(row[1] for row in rows)), float(sum(row[2] for row in rows))


def _rows(session: Session, events: SqlEvents, interval: Interval) -> Sequence[tuple[object, int, int]]:
    parameters = {"since": interval.since, "until": interval.until, "bucket": BUCKET}
    return [(row[0], row[1], row[2]) for row in session.execute(text(events.statement), parameters)]
