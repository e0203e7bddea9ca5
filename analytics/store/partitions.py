"""Monthly partitions: made ahead, so that no insert waits for one, and dropped whole when they are old."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from sqlalchemy import Connection, text

from analytics.core.clock import require_aware, utc_now
from analytics.core.errors import InputError

OF_RUNS = ("run", "node_run", "node_attempt", "node_log", "run_event", "artifact")
"""Tables whose partitions follow the month in which a run was created."""
PARTITIONED = ("audit_log", *OF_RUNS, "agent_run", "llm_call", "handoff", "event", "metric_sample")
MONTHS_AHEAD = 3

_NAME = re.compile(r"^(?P<table>\w+)_y(?P<year>\d{4})m(?P<month>\d{2})$")


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
        (f"{table}_y{month.year:04d}m{month.month:02d}", table, month)
        for month in months_between(since or now, until)
        for table in _tables(connection)
    ]
    present = set(partition_names(connection))
    missing = [item for item in wanted if item[0] not in present]
    if not missing:
        return []
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('helmsight.partitions'))"))
    for name, table, month in missing:
        connection.execute(
            text(
                f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF {table}"
                f" FOR VALUES FROM ('{month.isoformat()}') TO ('{next_month(month).isoformat()}')"
            )
        )
    return [name for name, _, _ in missing]


def drop_partitions(connection: Connection, table: str, *, before: datetime) -> list[str]:
    """Drop the partitions of *table* that end at or before *before*; return their names, oldest first.

    Raises:
        InputError: If *table* is not partitioned.
    """
    if table not in PARTITIONED:
        raise InputError(f"The table {table!r} is not kept in monthly partitions; nothing was dropped.")
    dropped = []
    for name in sorted(partition_names(connection, table)):
        match = _NAME.match(name)
        if match is None:
            continue
        month = datetime(int(match["year"]), int(match["month"]), 1, tzinfo=UTC)
        if next_month(month) <= before:
            connection.execute(text(f"DROP TABLE {name}"))
            dropped.append(name)
    return dropped


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
