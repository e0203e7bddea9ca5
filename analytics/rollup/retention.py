"""Throw away whole months of facts and cells that are older than what is kept."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, text

from analytics.core.clock import utc_now
from analytics.core.logging import get_logger
from analytics.rollup.cuts import FACTS
from analytics.rollup.upkeep import DROPPING
from analytics.store.engine import translated
from analytics.store.partitions import Partition, drop_partition, next_month, partitions_of
from analytics.store.retention import DropReport

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Keep:
    """How long facts and cells are kept."""

    facts: timedelta
    """Agent runs, model calls, handoffs and events."""
    samples: timedelta
    hours: timedelta
    """Cells by hour."""
    days: timedelta
    """Cells by day."""

    def by_table(self) -> dict[str, timedelta]:
        """Return how long the rows of each table are kept."""
        return {
            **dict.fromkeys(("agent_run", "llm_call", "handoff", "event"), self.facts),
            "metric_sample": self.samples,
            "rollup_hour": self.hours,
            "rollup_day": self.days,
        }


def drop_old_facts(engine: Engine, keep: Keep, *, now: datetime | None = None) -> DropReport:
    """Drop the months of facts and cells that ended longer ago than what is kept of them.

    A month of facts stays as long as some of its hours are not summed, so that no figure is lost. Safe to run twice, at
    once, and after having been killed at any point.

    Raises:
        DependencyError: If PostgreSQL is away, or a transaction is so old that detaching gave up waiting for it; the
            next call goes on.
    """
    now = now or utc_now()
    dropped, held_back = [], set()
    with translated(), engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(_LOCK, {"name": DROPPING})
        try:
            for table, kept in keep.by_table().items():
                for month in partitions_of(connection, table):
                    if next_month(month.month) > now - kept:
                        continue
                    if month.is_attached and not month.is_pending and not _is_summed(connection, month):
                        held_back.add(month.month)
                        continue
                    drop_partition(connection, month)
                    dropped.append(month.name)
        finally:
            connection.execute(_UNLOCK, {"name": DROPPING})
    if dropped or held_back:
        _log.info("old facts dropped", partitions=dropped, held_back=[f"{month:%Y-%m}" for month in sorted(held_back)])
    return DropReport(dropped, sorted(held_back))


def _is_summed(connection: Connection, month: Partition) -> bool:
    """Tell whether all facts of *month* are in cells by day."""
    sources = sorted({fact.source for fact in FACTS.values() if fact.table == month.table})
    until = next_month(month.month)
    values = {"sources": sources, "since": month.month, "until": until}
    return not sources or not connection.scalar(_UNSUMMED, values)


_LOCK = text("SELECT pg_advisory_lock(hashtext(:name))")
_UNLOCK = text("SELECT pg_advisory_unlock(hashtext(:name))")
_UNSUMMED = text("""
    SELECT EXISTS (SELECT FROM rollup_dirty
                   WHERE source = ANY(CAST(:sources AS text[])) AND hour >= :since AND hour < :until)
        OR EXISTS (SELECT FROM unnest(CAST(:sources AS text[])) AS source
                   LEFT JOIN job_cursor ON name = 'rollup.' || source
                   WHERE position IS NULL OR position < :until)
""")
