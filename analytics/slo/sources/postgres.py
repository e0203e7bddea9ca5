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
        if not isinstance(item.indicator, SqlEvents):
            continue
        counts = {row[0]: (row[1], row[2]) for row in _rows(session, item.indicator, interval)}
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
    statement = text(_COUNT.format(rows=events.rows.replace(":", "\\:")))
    return [(row[0], row[1], row[2]) for row in session.execute(statement, parameters)]


_COUNT = """
    SELECT date_bin(CAST(:bucket AS interval), at, CAST('epoch' AS timestamptz)) AS bucket_start,
           count(*) FILTER (WHERE good) AS good, count(*) AS total
    FROM ({rows}) AS slo_event
    WHERE at >= :since AND at < :until
    GROUP BY 1
"""
