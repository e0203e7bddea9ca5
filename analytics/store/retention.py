"""What is thrown away, and when: whole months of history, and what has expired beside it.

History is in monthly partitions. A month older than what is kept is detached and dropped, table by table; nobody who
writes waits for that. The few tables that are not partitioned are small, and are cleaned by index, some rows at a time.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, text

from analytics.core.clock import utc_now
from analytics.core.errors import InputError
from analytics.core.logging import get_logger
from analytics.store.engine import session_scope, translated
from analytics.store.partitions import OF_RUNS, Partition, drop_partition, next_month, partitions_of

SHORTEST = timedelta(days=1)
BATCH = 5_000
_MOST_BATCHES = 200
_FORGOTTEN_AFTER = timedelta(days=1)
"""A promise of a result that nobody has kept for so long is not waited for any more."""


@dataclass(frozen=True, slots=True)
class DropReport:
    """What dropping old months did."""

    dropped: Sequence[str] = ()
    """Names of the partitions that are gone."""
    held_back: Sequence[datetime] = ()
    """Months that stay although they are old: a run of theirs has not ended, or is not counted yet."""


@dataclass(frozen=True, slots=True)
class CleanReport:
    """What was cleaned beside the months."""

    rows: Mapping[str, int] = field(default_factory=dict)
    """Rows by table; a table of which nothing had expired is missing."""


def drop_old_months(engine: Engine, *, keep: timedelta) -> DropReport:
    """Drop the months of runs, nodes, logs, events and artifacts that ended longer than *keep* ago.

    Safe to run twice, at once, and after having been killed at any point. Runs go first, so that none is ever seen
    without its nodes. A month is kept as long as one of its runs has not ended.

    Raises:
        InputError: If *keep* is less than a day; nothing was dropped.
        DependencyError: If PostgreSQL is away, or a transaction is so old that detaching gave up waiting for it; the
            next call goes on.
    """
    if keep < SHORTEST:
        raise InputError(f"History is kept for a day at least, not {keep}; nothing was dropped.")
    horizon = utc_now() - keep
    with translated(), engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if not connection.scalar(text("SELECT pg_try_advisory_lock(hashtext('helmsight.retention'))")):
            return DropReport()
        try:
            return _drop(connection, horizon)
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(hashtext('helmsight.retention'))"))


def clean_expired(engine: Engine, *, keep: timedelta, keep_keys: timedelta) -> CleanReport:
    """Delete what has expired beside the months, some rows at a time.

    That is: results of the cache past their time, idempotency keys older than *keep_keys*, waits and signals of runs
    that are over, and times of schedules older than *keep*. Safe to run twice and at once.

    Raises:
        DependencyError: If PostgreSQL is away; what was deleted before stays deleted.
    """
    now = utc_now()
    values = {
        "now": now,
        "batch": BATCH,
        "forgotten": now - _FORGOTTEN_AFTER,
        "keys": now - keep_keys,
        "horizon": now - keep,
    }
    rows: dict[str, int] = {}
    for table, statement in _EXPIRED:
        count = _in_batches(functools.partial(_execute, engine, statement, values))
        if count:
            rows[table] = rows.get(table, 0) + count
    if rows:
        get_logger(__name__).info("expired rows deleted", **rows)
    return CleanReport(rows)


def _drop(connection: Connection, horizon: datetime) -> DropReport:
    old = [item for table in OF_RUNS for item in partitions_of(connection, table) if next_month(item.month) <= horizon]
    held_back = {month for month in {item.month for item in old} if _is_needed(connection, month)}
    dropped = []
    for partition in old:
        if _may_go(partition, held_back):
            drop_partition(connection, partition)
            dropped.append(partition.name)
    if dropped:
        get_logger(__name__).info("old months dropped", partitions=dropped)
    return DropReport(dropped, sorted(held_back))


def _may_go(partition: Partition, held_back: set[datetime]) -> bool:
    """Return whether to drop it; one whose dropping was begun goes in any case, because nobody can see it any more."""
    return partition.month not in held_back or partition.is_pending or not partition.is_attached


def _is_needed(connection: Connection, month: datetime) -> bool:
    return bool(
        connection.scalar(
            text(
                "SELECT EXISTS (SELECT FROM run_active WHERE run_created_at >= :month AND run_created_at < :until)"
                " OR EXISTS (SELECT FROM run_ended WHERE run_created_at >= :month AND run_created_at < :until)"
            ),
            {"month": month, "until": next_month(month)},
        )
    )


def _in_batches(delete: Callable[[], int]) -> int:
    total = 0
    for _ in range(_MOST_BATCHES):
        count = delete()
        total += count
        if count < BATCH:
            break
    return total


def _execute(engine: Engine, statement: str, values: Mapping[str, Any]) -> int:
    with session_scope(engine) as session:
        done: Any = session.execute(text(statement), values)
        return int(done.rowcount)


_OLDEST_MONTH = """
    SELECT min(to_date(right(c.relname, 7), 'YYYY"m"MM')) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'run'::regclass
"""
_EXPIRED: Sequence[tuple[str, str]] = (
    (
        "node_cache",
        """
        DELETE FROM node_cache WHERE key IN (
            SELECT key FROM node_cache WHERE expires_at < :now AND (held_until IS NULL OR held_until < :now)
            ORDER BY expires_at LIMIT :batch FOR UPDATE SKIP LOCKED)
        """,
    ),
    (
        "node_cache",
        """
        DELETE FROM node_cache WHERE key IN (
            SELECT key FROM node_cache WHERE status = 'computing' AND held_until < :forgotten
            LIMIT :batch FOR UPDATE SKIP LOCKED)
        """,
    ),
    (
        "run_key",
        """
        DELETE FROM run_key WHERE (workflow_id, key) IN (
            SELECT k.workflow_id, k.key FROM run_key k
            WHERE k.created_at < :keys AND NOT EXISTS (SELECT FROM run_active a WHERE a.run_id = k.run_id)
            ORDER BY k.created_at LIMIT :batch FOR UPDATE OF k SKIP LOCKED)
        """,
    ),
    (
        "node_wait",
        f"""
        DELETE FROM node_wait WHERE (run_id, node_id, map_index) IN (
            SELECT x.run_id, x.node_id, x.map_index FROM node_wait x WHERE x.run_created_at < ({_OLDEST_MONTH})
                AND NOT EXISTS (SELECT FROM run_active a WHERE a.run_id = x.run_id)
            ORDER BY x.run_created_at LIMIT :batch FOR UPDATE OF x SKIP LOCKED)
        """,  # noqa: S608 - constants
    ),
    (
        "run_signal",
        """
        DELETE FROM run_signal WHERE id IN (
            SELECT s.id FROM run_signal s WHERE NOT EXISTS (SELECT FROM run_active a WHERE a.run_id = s.run_id)
            LIMIT :batch FOR UPDATE OF s SKIP LOCKED)
        """,
    ),
    (
        "schedule_run",
        """
        DELETE FROM schedule_run WHERE (schedule_id, scheduled_for) IN (
            SELECT schedule_id, scheduled_for FROM schedule_run WHERE scheduled_for < :horizon
            ORDER BY scheduled_for LIMIT :batch FOR UPDATE SKIP LOCKED)
        """,
    ),
)
"""Deletes at most one batch each, by table."""
