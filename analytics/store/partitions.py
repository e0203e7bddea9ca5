"""Monthly partitions: made ahead, so that no insert waits for one, and dropped whole when they are old.

Nothing here holds up readers or writers: a partition is attached and detached beside them.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, text

from analytics.core.clock import require_aware, utc_now
from analytics.core.errors import InputError

OF_RUNS = ("run", "node_run", "node_attempt", "node_log", "run_event", "artifact")
"""Tables whose partitions follow the month in which a run was created."""
PARTITIONED = (
    "audit_log",
    *OF_RUNS,
    "agent_run",
    "llm_call",
    "handoff",
    "event",
    "metric_sample",
    "rollup_hour",
    "rollup_day",
)
MONTHS_AHEAD = 3

_LIKE = "INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING CONSTRAINTS"

_NAME = re.compile(r"^(?P<table>\w+)_y(?P<year>\d{4})m(?P<month>\d{2})$")


@dataclass(frozen=True, slots=True)
class Partition:
    """One month of one table."""

    name: str
    table: str
    month: datetime
    """Its first moment (UTC)."""
    is_attached: bool
    """False: it was detached, but whoever did so was killed before it was dropped."""
    is_pending: bool
    """True: its detaching was begun and not ended."""


def months_between(since: datetime, until: datetime) -> Iterator[datetime]:
    """Yield the first moment (UTC) of every month that ``[since, until]`` touches, in order."""
    since, until = require_aware(since), require_aware(until)
    month = datetime(since.year, since.month, 1, tzinfo=UTC)
    while month <= until:
        yield month
        month = next_month(month)


def next_month(month: datetime) -> datetime:
    """Return the first moment of the month after the one *month* is in."""
    year, number = divmod(month.year * 12 + month.month, 12)
    return datetime(year, number + 1, 1, tzinfo=UTC)


def ensure_partitions(
    connection: Connection, *, since: datetime | None = None, months_ahead: int = MONTHS_AHEAD
) -> list[str]:
    """Make every missing partition from the month of *since* (default: now) to *months_ahead* months from now.

    Safe to run twice and from several processes at once. Returns the names of those made.
    """
    now = utc_now()
    until = now
    for _ in range(months_ahead):
        until = next_month(until)
    wanted = [
        (_name(table, month), table, month)
        for month in months_between(since or now, until)
        for table in _tables(connection)
    ]
    return _make_missing(connection, wanted)


def ensure_month(connection: Connection, tables: Sequence[str], month: datetime) -> list[str]:
    """Make the partitions of *tables* for the month that *month* is in, where they are missing; return their names.

    Safe to run twice and from several processes at once.
    """
    first = next(months_between(month, month))
    return _make_missing(connection, [(_name(table, first), table, first) for table in tables])


def _name(table: str, month: datetime) -> str:
    return f"{table}_y{month.year:04d}m{month.month:02d}"


def _make_missing(connection: Connection, wanted: Sequence[tuple[str, str, datetime]]) -> list[str]:
    if not {name for name, _, _ in wanted} - set(partition_names(connection)):
        return []
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('helmsight.partitions'))"))
    present = set(partition_names(connection))  # whoever held the lock before may have made them
    missing = [item for item in wanted if item[0] not in present]
    for name, table, month in missing:
        # Attached, not created as a partition, because that would lock the whole table against everybody.
        connection.execute(text(f"CREATE TABLE IF NOT EXISTS {name} (LIKE {table} {_LIKE})"))
        connection.execute(
            text(
                f"ALTER TABLE {table} ATTACH PARTITION {name}"
                f" FOR VALUES FROM ('{month.isoformat()}') TO ('{next_month(month).isoformat()}')"
            )
        )
    return [name for name, _, _ in missing]


def drop_partition(connection: Connection, partition: Partition) -> None:
    """Detach and drop *partition* while others read and write its table; go on where a killed attempt stopped.

    Detaching waits for transactions that have read the table, without holding up new ones.

    Args:
        connection: One that commits each statement by itself: detaching beside others needs two transactions.
        partition: Which.
    """
    if partition.is_pending:
        connection.execute(text(f"ALTER TABLE {partition.table} DETACH PARTITION {partition.name} FINALIZE"))
    elif partition.is_attached:
        connection.execute(text(f"ALTER TABLE {partition.table} DETACH PARTITION {partition.name} CONCURRENTLY"))
    connection.execute(text(f"DROP TABLE IF EXISTS {partition.name}"))


def partitions_of(connection: Connection, table: str) -> list[Partition]:
    """Return the months of *table*, oldest first, those that were detached and not dropped too.

    Raises:
        InputError: If *table* is not partitioned.
    """
    if table not in PARTITIONED:
        raise InputError(f"The table {table!r} is not kept in monthly partitions; nothing was read.")
    rows = connection.execute(
        text(
            "SELECT c.relname, i.inhrelid IS NOT NULL AS is_attached, coalesce(i.inhdetachpending, false) AS is_pending"
            " FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid"
            " WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND c.relname ~ :pattern"
            " ORDER BY c.relname"
        ),
        {"pattern": f"^{table}_y[0-9]{{4}}m[0-9]{{2}}$"},
    )
    found = []
    for row in rows:
        match = _NAME.match(row.relname)
        if match is not None:
            month = datetime(int(match["year"]), int(match["month"]), 1, tzinfo=UTC)
            found.append(Partition(row.relname, table, month, row.is_attached, row.is_pending))
    return found


def _tables(connection: Connection) -> list[str]:
    """Return those of our partitioned tables that the schema has; an older one lacks some."""
    rows = connection.execute(
        text("SELECT name FROM unnest(CAST(:names AS text[])) AS name WHERE to_regclass(name) IS NOT NULL"),
        {"names": list(PARTITIONED)},
    )
    return [row[0] for row in rows]


def partition_names(connection: Connection, table: str | None = None) -> list[str]:
    """Return the names of the partitions of *table*, or of all our tables."""
    rows = connection.execute(
        text(
            "SELECT child.relname FROM pg_inherits i JOIN pg_class child ON child.oid = i.inhrelid"
            " JOIN pg_class parent ON parent.oid = i.inhparent"
            " WHERE parent.relnamespace = current_schema()::regnamespace AND parent.relname = ANY(:tables)"
        ),
        {"tables": [table] if table else list(PARTITIONED)},
    )
    return [row[0] for row in rows]
