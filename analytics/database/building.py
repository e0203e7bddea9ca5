"""Making and dropping the indexes that were asked for, beside everybody who reads and writes.

One process at a time does it, on a connection of its own that holds an advisory lock. A process that is killed leaves
a statement that goes on to its end, with the lock, and then perhaps a broken index: whoever comes next looks at what
is there and goes on from it, so everything here is safe to run twice.

An index of a plain table is made by one statement that waits for nobody in the way of others. A partitioned table
cannot have that: it gets an index of its own that is broken at first, then each part gets one, which is attached; with
the last one it works, and parts that are made later get theirs from it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Connection, Engine, exc, text

from analytics.core.logging import get_logger
from analytics.database.making import PREFIX, made_name
from analytics.store.engine import session_scope, translated
from analytics.store.queries import audit

ATTEMPTS = 3
ACTOR = "scheduler"
_AGAIN_AFTER = (timedelta(minutes=1), timedelta(minutes=10))
_LONGEST = timedelta(hours=6)
"""For one statement; a table that takes longer is a matter for somebody who watches it."""
_NOBODY_WAITS = timedelta(minutes=2)
"""To wait for old transactions, while nobody waits for us."""
_OTHERS_WAIT = timedelta(seconds=1)
"""To wait for a lock that holds up whoever comes after."""

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long statements wait for locks."""

    alone: timedelta = _NOBODY_WAITS
    in_the_way: timedelta = _OTHERS_WAIT


PATIENCE = Patience()


class _HopelessError(Exception):
    """It will not work the next time either."""


@dataclass(frozen=True, slots=True)
class _Order:
    name: str
    schema: str
    table: str
    columns: tuple[str, ...]
    state: str
    attempts: int
    """This one counted."""


def keep_indexes(engine: Engine, *, patience: Patience = PATIENCE) -> int:
    """Make and drop what was asked for and is due; return how many attempts that took.

    Returns 0 at once while another process is at it.

    Raises:
        DependencyError: If PostgreSQL is away; what was begun goes on at the next call.
    """
    if not _is_due(engine):
        return 0
    done = 0
    with _builder(engine) as connection:
        while connection is not None and (order := _take(engine)) is not None:
            _carry_out(engine, connection, order, patience)
            done += 1
    return done


@contextmanager
def _builder(engine: Engine) -> Iterator[Connection | None]:
    """Open the one connection that makes indexes; None while another process has it."""
    with translated(), engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.detach()  # it is closed in the end, with its lock and its limits, and never lent to others
        connection.execute(text("SET application_name = 'helmsight-indexes'"))
        connection.execute(text(f"SET statement_timeout = {_LONGEST // timedelta(milliseconds=1)}"))
        yield connection if connection.scalar(_LOCK) else None


def _carry_out(engine: Engine, connection: Connection, order: _Order, patience: Patience) -> None:
    if order.state == "failed":
        _tidy(engine, connection, order)
        return
    if order.attempts > ATTEMPTS:
        _failed(engine, connection, order, _NEVER_ENDED, is_final=True)
        return
    work = _drop if order.state == "dropping" else _make
    try:
        work(connection, order, patience)
    except _HopelessError as error:
        _failed(engine, connection, order, str(error), is_final=True)
    except exc.DBAPIError as error:
        if error.connection_invalidated:
            raise
        is_final = order.attempts >= ATTEMPTS or isinstance(error.orig, _FINAL)
        _failed(engine, connection, order, _reason(error), is_final=is_final)
    else:
        _settled(engine, order)


def _make(connection: Connection, order: _Order, patience: Patience) -> None:
    table = connection.execute(_TABLE, {"schema": order.schema, "table": order.table}).one_or_none()
    if table is None:
        raise _HopelessError("The table is gone.")
    if not table.is_ours:
        raise _HopelessError("The table belongs to another role, which alone may make indexes on it.")
    if table.relkind == "r":
        _make_one(connection, order, order.table, patience)
        return
    if table.relkind != "p" or table.odd_parts:
        raise _HopelessError("Indexes are made on tables, and on partitioned ones whose parts are tables.")
    _make_whole(connection, order, patience)


def _make_whole(connection: Connection, order: _Order, patience: Patience) -> None:
    """Make the index of a partitioned table, part by part; what an earlier attempt made is kept."""
    whole = sql.Identifier(order.schema, order.name).as_string()
    if _is_valid(connection, order, order.name) is None:
        _limit(connection, patience.in_the_way)
        connection.execute(text(f"CREATE INDEX {_quoted(order.name)} ON ONLY {_on(order, order.table)}"))
    while parts := connection.scalars(_BARE_PARTS, _values(order, order.name)).all():
        for part in parts:
            name = _make_one(connection, order, part, patience)
            _limit(connection, patience.in_the_way)
            own = sql.Identifier(order.schema, name).as_string()
            connection.execute(text(f"ALTER INDEX {whole} ATTACH PARTITION {own}"))
    if not _is_valid(connection, order, order.name):
        raise _HopelessError("PostgreSQL does not take it for whole although each part has its own.")


def _make_one(connection: Connection, order: _Order, table: str, patience: Patience) -> str:
    """Make the index of one table that is not partitioned, unless it is there; return its name."""
    name = made_name(order.schema, table, order.columns)
    is_valid = _is_valid(connection, order, name)
    _limit(connection, patience.alone)
    if is_valid is False:
        connection.execute(text(f"DROP INDEX CONCURRENTLY {sql.Identifier(order.schema, name).as_string()}"))
    if not is_valid:
        connection.execute(text(f"CREATE INDEX CONCURRENTLY {_quoted(name)} ON {_on(order, table)}"))
    return name


def _drop(connection: Connection, order: _Order, patience: Patience) -> None:
    """Drop the index, and what attempts left behind on the parts of its table."""
    if not order.name.startswith(PREFIX):
        raise _HopelessError("Its name is not one that Helmsight gives.")
    if connection.scalar(_IS_WHOLE, _values(order, order.name)):
        _limit(connection, patience.in_the_way)
        connection.execute(text(f"DROP INDEX {sql.Identifier(order.schema, order.name).as_string()}"))
    _limit(connection, patience.alone)
    _drop_each(connection, order, _names(connection, order))


def _drop_each(connection: Connection, order: _Order, names: list[str]) -> None:
    for name in connection.scalars(_FREE, {"schema": order.schema, "names": names}).all():
        connection.execute(text(f"DROP INDEX CONCURRENTLY {sql.Identifier(order.schema, name).as_string()}"))


def _failed(engine: Engine, connection: Connection, order: _Order, reason: str, *, is_final: bool) -> None:
    """Note why, clear away what broke, and say when it is tried again."""
    _log.warning("index not made", index=order.name, attempt=order.attempts, error=reason, is_final=is_final)
    is_clear = _is_cleared(connection, order)
    wait = _AGAIN_AFTER[min(order.attempts, len(_AGAIN_AFTER)) - 1]
    with session_scope(engine) as session:
        values = {
            "name": order.name,
            "was": order.state,
            "error": reason,
            "is_final": is_final,
            "wait": None if is_final and is_clear else wait,
        }
        if session.execute(_FAILED, values).one_or_none() is not None and is_final:
            audit.record(
                session, actor=ACTOR, action="index.failed", object_type="index", object_id=order.name,
                detail={"table": order.table, "columns": list(order.columns), "error": reason},
            )  # fmt: skip


def _tidy(engine: Engine, connection: Connection, order: _Order) -> None:
    """Clear away what was left of an index that is not tried again, or say when to look again."""
    wait = None if _is_cleared(connection, order) else _AGAIN_AFTER[-1]
    with session_scope(engine) as session:
        session.execute(_TIDIED, {"name": order.name, "wait": wait})


def _is_cleared(connection: Connection, order: _Order) -> bool:
    """Drop broken indexes that attempts left, which cost each write and serve nobody; tell whether none is left.

    What an attempt waited for in vain is in the way of this, too.
    """
    try:
        _limit(connection, _OTHERS_WAIT)
        names = _names(connection, order)
        _drop_each(connection, order, [name for name in names if _is_valid(connection, order, name) is False])
    except exc.DBAPIError as error:
        if error.connection_invalidated:
            raise
        return False
    return True


def _names(connection: Connection, order: _Order) -> list[str]:
    """Return the names that the index and those of the parts of its table have, or would have."""
    parts = connection.scalars(_PARTS, {"schema": order.schema, "table": order.table})
    return [made_name(order.schema, table, order.columns) for table in (order.table, *parts)]


def _settled(engine: Engine, order: _Order) -> None:
    """Note that it is done, unless somebody asked for something else meanwhile."""
    is_dropped = order.state == "dropping"
    with session_scope(engine) as session:
        values = {"name": order.name, "was": order.state, "state": "dropped" if is_dropped else "ready"}
        if session.execute(_SETTLED, values).one_or_none() is not None:
            audit.record(
                session, actor=ACTOR, action="index.dropped" if is_dropped else "index.made", object_type="index",
                object_id=order.name, detail={"table": order.table, "columns": list(order.columns)},
            )  # fmt: skip


def _is_due(engine: Engine) -> bool:
    with session_scope(engine) as session:
        return bool(session.scalar(_DUE))


def _take(engine: Engine) -> _Order | None:
    """Return what is to be done next, with one more attempt counted."""
    with session_scope(engine) as session:
        row: Any = session.execute(_TAKE).one_or_none()
        return None if row is None else _Order(row[0], row[1], row[2], tuple(row[3]), row[4], row[5])


def _limit(connection: Connection, wait: timedelta) -> None:
    connection.execute(text(f"SET lock_timeout = {max(1, wait // timedelta(milliseconds=1))}"))


def _is_valid(connection: Connection, order: _Order, name: str) -> bool | None:
    """Return whether the index *name* works; None when it is not there."""
    found = connection.scalar(_VALID, _values(order, name))
    return None if found is None else bool(found)


def _values(order: _Order, name: str) -> dict[str, str]:
    return {"schema": order.schema, "name": name}


def _on(order: _Order, table: str) -> str:
    columns = ", ".join(_quoted(column) for column in order.columns)
    return f"{sql.Identifier(order.schema, table).as_string()} ({columns})"


def _quoted(name: str) -> str:
    return sql.Identifier(name).as_string()


def _reason(error: exc.DBAPIError) -> str:
    if isinstance(error.orig, psycopg.errors.LockNotAvailable):
        return "A transaction held the table for too long, so PostgreSQL gave up waiting for it."
    return f"PostgreSQL: {str(error.orig).strip().splitlines()[0][:300]}."


_NEVER_ENDED = "It was begun several times and never came to its end; PostgreSQL's log says why."
_FINAL = (
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.UndefinedObject,
    psycopg.errors.DuplicateTable,
    psycopg.errors.FeatureNotSupported,
    psycopg.errors.ProgramLimitExceeded,
)
_LOCK = text("SELECT pg_try_advisory_lock(hashtext('helmsight.indexes'))")
_DUE = text("SELECT EXISTS (SELECT FROM advised_index WHERE due_at <= now())")
_TAKE = text("""
    UPDATE advised_index SET attempts = attempts + 1,
        state = CASE state WHEN 'queued' THEN 'building' ELSE state END
    WHERE name = (SELECT name FROM advised_index WHERE due_at <= now() ORDER BY requested_at, name LIMIT 1)
    RETURNING name, schema_name, table_name, columns, state, attempts
""")
_TIDIED = text("UPDATE advised_index SET due_at = now() + :wait WHERE name = :name AND state = 'failed'")
_SETTLED = text("""
    UPDATE advised_index SET state = :state, error = NULL, due_at = NULL,
        ready_at = CASE WHEN :state = 'ready' THEN now() END
    WHERE name = :name AND state = :was RETURNING name
""")
_FAILED = text("""
    UPDATE advised_index SET error = :error, due_at = now() + :wait,
        state = CASE WHEN :is_final THEN 'failed' WHEN state = 'building' THEN 'queued' ELSE state END
    WHERE name = :name AND state = :was RETURNING name
""")
_TABLE = text("""
    SELECT c.relkind, pg_has_role(c.relowner, 'USAGE') AS is_ours,
           EXISTS (SELECT FROM pg_inherits h JOIN pg_class part ON part.oid = h.inhrelid
                   WHERE h.inhparent = c.oid AND part.relkind <> 'r') AS odd_parts
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = :schema AND c.relname = :table AND n.nspname NOT IN ('pg_catalog', 'information_schema')
""")
_PARTS = text("""
    SELECT part.relname
    FROM pg_inherits h JOIN pg_class part ON part.oid = h.inhrelid JOIN pg_class c ON c.oid = h.inhparent
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = :schema AND c.relname = :table AND part.relnamespace = c.relnamespace
""")
_VALID = text("""
    SELECT i.indisvalid AND i.indisready
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = :schema AND c.relname = :name
""")
_IS_WHOLE = text("""
    SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                   WHERE n.nspname = :schema AND c.relname = :name AND c.relkind = 'I')
""")
_FREE = text("""
    SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = :schema AND c.relname = ANY(:names) AND c.relkind = 'i' AND NOT c.relispartition
""")
# A part whose detaching was begun does not get one; it is as good as gone.
_BARE_PARTS = text("""
    SELECT part.relname
    FROM pg_index whole JOIN pg_class name ON name.oid = whole.indexrelid
    JOIN pg_namespace n ON n.oid = name.relnamespace
    JOIN pg_inherits h ON h.inhparent = whole.indrelid AND NOT h.inhdetachpending
    JOIN pg_class part ON part.oid = h.inhrelid
    WHERE n.nspname = :schema AND name.relname = :name
          AND NOT EXISTS (SELECT FROM pg_index own JOIN pg_inherits a ON a.inhrelid = own.indexrelid
                          WHERE own.indrelid = h.inhrelid AND a.inhparent = whole.indexrelid)
    ORDER BY part.relname
""")
