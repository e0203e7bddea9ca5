"""The ledger: good and total events of every objective, by five minutes and by hour.

Everything shown is computed from it when it is read. Buckets are written again when a source has late data; those
of the demo history are never written over.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from analytics.core.clock import Interval
from analytics.slo.history import History
from analytics.slo.model import BUCKET, WHOLE, Objective
from analytics.store.tables import LIVE

HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Bucket:
    """Events of one objective in one piece of time."""

    slo_id: str
    start: datetime
    good: float
    total: float
    measured_s: float
    """Seconds in which the source was seen."""
    group_key: str = WHOLE
    """Of a group: a JSON object of its labels, sorted by name."""


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """Sums of one objective over one step of a report."""

    slo_id: str
    start: datetime
    good: float
    total: float
    measured_s: float
    demo_total: float


@dataclass(frozen=True, slots=True)
class WindowRow:
    """Sums of one objective over a window that ends now."""

    slo_id: str
    window: timedelta
    good: float
    total: float


def upsert(session: Session, buckets: Sequence[Bucket], *, origin: str = LIVE) -> int:
    """Write *buckets*, over earlier ones of the same origin; return how many were written.

    Safe to run twice: the second run writes the same numbers.
    """
    if not buckets:
        return 0
    written: Any = session.execute(
        _UPSERT,
        {
            "ids": [bucket.slo_id for bucket in buckets],
            "starts": [bucket.start for bucket in buckets],
            "goods": [bucket.good for bucket in buckets],
            "totals": [bucket.total for bucket in buckets],
            "seconds": [bucket.measured_s for bucket in buckets],
            "origin": origin,
        },
    )
    return int(written.rowcount)


def roll_up(session: Session, slo_ids: Sequence[str], *, since: datetime, until: datetime) -> None:
    """Sum the hours that ``[since, until)`` touches again, from the five-minute buckets there are."""
    session.execute(_ROLL_UP, {"ids": list(slo_ids), "since": since, "until": until})


def drop_empty_hours(session: Session, slo_ids: Sequence[str], *, since: datetime, until: datetime) -> None:
    """Delete the hours in ``[since, until)`` that have no five-minute bucket left.

    Not for times before the five-minute buckets were pruned: there the hours are all that is kept.
    """
    session.execute(_DROP_EMPTY, {"ids": list(slo_ids), "since": since, "until": until})


def sums_by_step(
    session: Session, slo_ids: Sequence[str], *, since: datetime, until: datetime, step: timedelta
) -> list[LedgerRow]:
    """Return sums over ``[since, until)`` by objective and by *step* from *since*, in order, from whole hours.

    A step without any bucket has no row.
    """
    rows = session.execute(_BY_STEP, {"ids": list(slo_ids), "since": since, "until": until, "step": step})
    return [LedgerRow(*row) for row in rows]


def sums_by_window(
    session: Session, windows: Sequence[tuple[str, timedelta]], *, until: datetime
) -> dict[tuple[str, timedelta], WindowRow]:
    """Return sums over each (objective, length) of *windows*, ending at *until*, from five-minute buckets.

    A window without any bucket is missing.
    """
    rows = session.execute(
        _BY_WINDOW,
        {
            "ids": [slo_id for slo_id, _ in windows],
            "lengths": [length for _, length in windows],
            "until": until,
        },
    )
    return {(row.slo_id, row.length): WindowRow(row.slo_id, row.length, row.good, row.total) for row in rows}


def histories(
    session: Session,
    objectives: Sequence[Objective],
    interval: Interval,
    *,
    step: timedelta = BUCKET,
    group_key: str = WHOLE,
) -> dict[str, History]:
    """Return what was counted of each of *objectives* over *interval*, corrections taken out, by id.

    Exact to five minutes at both ends: ends that are no bounds of buckets are taken at the bound before. Steps of an
    hour are read from the hours, except where a correction or an end cuts one. Objectives that budget time come as
    slices, composites with the histories of their members as parts.

    Args:
        session: The open transaction.
        objectives: Stored or not; those that are not have no numbers.
        interval: From when to when.
        step: :data:`BUCKET` (for what is at most 90 days old) or :data:`HOUR`.
        group_key: One group of the objectives, instead of the whole.
    """
    raise NotImplementedError


def newest(session: Session, slo_ids: Sequence[str], *, until: datetime) -> dict[str, datetime]:
    """Return the start of the newest five-minute bucket before *until* of each objective that has one."""
    return {row.slo_id: row.start for row in session.execute(_NEWEST, {"ids": list(slo_ids), "until": until})}


def prune(session: Session, slo_ids: Sequence[str], *, before: datetime) -> int:
    """Delete five-minute buckets older than *before*; the hours stay. Returns how many went."""
    deleted: Any = session.execute(_PRUNE, {"ids": list(slo_ids), "before": before})
    return int(deleted.rowcount)


_UPSERT = text("""
    INSERT INTO slo_bucket_5m AS kept (slo_id, bucket_start, good, total, measured_s, origin)
    SELECT b.slo_id, b.start, b.good, b.total, b.measured_s, :origin
    FROM unnest(CAST(:ids AS text[]), CAST(:starts AS timestamptz[]), CAST(:goods AS float8[]),
                CAST(:totals AS float8[]), CAST(:seconds AS float8[])) AS b (slo_id, start, good, total, measured_s)
    ON CONFLICT (slo_id, group_key, bucket_start) DO UPDATE
    SET good = excluded.good, total = excluded.total, measured_s = excluded.measured_s
    WHERE kept.origin = excluded.origin
""")

_ROLL_UP = text("""
    INSERT INTO slo_bucket_1h (slo_id, bucket_start, good, total, measured_s, demo_total)
    SELECT slo_id, date_bin('1 hour', bucket_start, CAST('epoch' AS timestamptz)), sum(good), sum(total),
           sum(measured_s), coalesce(sum(total) FILTER (WHERE origin = 'demo'), 0)
    FROM slo_bucket_5m
    WHERE slo_id = ANY(:ids)
      AND bucket_start >= date_bin('1 hour', CAST(:since AS timestamptz), CAST('epoch' AS timestamptz))
      AND bucket_start < date_bin('1 hour', CAST(:until AS timestamptz), CAST('epoch' AS timestamptz))
                         + interval '1 hour'
    GROUP BY 1, 2
    ON CONFLICT (slo_id, group_key, bucket_start) DO UPDATE
    SET good = excluded.good, total = excluded.total, measured_s = excluded.measured_s,
        demo_total = excluded.demo_total
""")

_DROP_EMPTY = text("""
    DELETE FROM slo_bucket_1h h
    WHERE h.slo_id = ANY(:ids)
      AND h.bucket_start >= date_bin('1 hour', CAST(:since AS timestamptz), CAST('epoch' AS timestamptz))
      AND h.bucket_start < :until
      AND NOT EXISTS (SELECT FROM slo_bucket_5m b WHERE b.slo_id = h.slo_id
                      AND b.bucket_start >= h.bucket_start AND b.bucket_start < h.bucket_start + interval '1 hour')
""")

_BY_STEP = text("""
    SELECT slo_id, date_bin(CAST(:step AS interval), bucket_start, :since) AS step, sum(good), sum(total),
           sum(measured_s), sum(demo_total)
    FROM slo_bucket_1h
    WHERE slo_id = ANY(:ids) AND bucket_start >= :since AND bucket_start < :until
    GROUP BY 1, 2 ORDER BY 1, 2
""")

# The lateral form makes the planner look up each window in the index; a join would read the whole table.
_BY_WINDOW = text("""
    SELECT w.slo_id, w.length, b.good, b.total
    FROM unnest(CAST(:ids AS text[]), CAST(:lengths AS interval[])) AS w (slo_id, length)
    CROSS JOIN LATERAL (SELECT sum(good) AS good, sum(total) AS total FROM slo_bucket_5m
                        WHERE slo_id = w.slo_id AND bucket_start >= CAST(:until AS timestamptz) - w.length
                          AND bucket_start < :until) b
    WHERE b.total IS NOT NULL
""")

_NEWEST = text("""
    SELECT w.slo_id, b.bucket_start AS start
    FROM unnest(CAST(:ids AS text[])) AS w (slo_id)
    CROSS JOIN LATERAL (SELECT bucket_start FROM slo_bucket_5m
                        WHERE slo_id = w.slo_id AND bucket_start < :until ORDER BY bucket_start DESC LIMIT 1) b
""")

_PRUNE = text("DELETE FROM slo_bucket_5m WHERE slo_id = ANY(:ids) AND bucket_start < :before")
