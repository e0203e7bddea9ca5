"""The statements that cost the most, from ``pg_stat_statements``."""

from typing import Any, get_args

import psycopg
from psycopg import sql
from sqlalchemy import Row, exc, text
from sqlalchemy.orm import Session

from analytics.core.errors import InputError
from analytics.database.model import Order, Statement, Statements, Whose
from analytics.database.section import LackingError, Missing, Section, grant_sql, read_section, role_of
from analytics.database.texts import without_values

MOST = 100
_BLOCK = 8192
_COSTS = "Which statements cost the time, and which indexes they lack, cannot be told."
_PRELOAD = (
    "ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements';  -- beside what is loaded already\n"
    "-- then restart PostgreSQL\nCREATE EXTENSION IF NOT EXISTS pg_stat_statements;"
)


def statements(
    session: Session, *, order: Order = "total", whose: Whose = "all", limit: int = 20
) -> Section[Statements]:
    """Return statements of this database, the dearest first.

    Args:
        session: The open transaction.
        order: What makes one dear: its ``total`` or ``mean`` time, its ``calls``, the ``rows`` it gives, what it
            ``read`` from disk or wrote to ``temp`` files.
        whose: Those that our role ran, those of others, or all.
        limit: How many at most, 1 to 100.

    Raises:
        InputError: If *order*, *whose* or *limit* is none of these.
    """
    if order not in get_args(Order) or whose not in get_args(Whose) or not 1 <= limit <= MOST:
        raise InputError(
            f"Statements are ordered by {', '.join(get_args(Order))}, of {', '.join(get_args(Whose))}, 1 to {MOST};"
            " nothing was read."
        )

    def read(session: Session, missing: list[Missing]) -> Statements:
        return _read(session, missing, order, whose, limit)

    return read_section(session, read, "the statements")


def statements_view(session: Session) -> str:
    """Return the schema, quoted, that ``pg_stat_statements`` is in.

    Raises:
        LackingError: If it is not installed, not loaded, or may not be read.
    """
    row = session.execute(_PLACE).one()
    if row.schema is None:
        if not row.is_available:
            what = "The server does not have pg_stat_statements; it comes with the package postgresql-contrib."
            raise LackingError(Missing(what, _COSTS, None))
        if row.preloaded is not None and "pg_stat_statements" not in row.preloaded:
            raise LackingError(Missing("pg_stat_statements is not loaded by the server.", _COSTS, _PRELOAD))
        what = f"The extension pg_stat_statements is not installed in the database {row.database}."
        raise LackingError(Missing(what, _COSTS, "CREATE EXTENSION pg_stat_statements;"))
    schema = sql.Identifier(row.schema).as_string()
    if not row.may_read:
        raise LackingError(
            Missing(
                f"The role {role_of(session)} may not read pg_stat_statements.",
                _COSTS,
                f"GRANT SELECT ON {schema}.pg_stat_statements, {schema}.pg_stat_statements_info TO "
                f"{sql.Identifier(role_of(session)).as_string()};\n{grant_sql(role_of(session))}",
            )
        )
    return schema


def _read(session: Session, missing: list[Missing], order: Order, whose: Whose, limit: int) -> Statements:
    schema = statements_view(session)
    values = {"order": order, "whose": whose, "limit": limit}
    try:
        rows = session.execute(text(_STATEMENTS.format(schema=schema)), values).all()
        info = session.execute(text(f"SELECT dealloc, stats_reset FROM {schema}.pg_stat_statements_info")).one()  # noqa: S608 - a quoted name
    except exc.OperationalError as error:
        if isinstance(error.orig, psycopg.errors.ObjectNotInPrerequisiteState):
            what = "pg_stat_statements is installed, but not loaded by the server."
            raise LackingError(Missing(what, _COSTS, _PRELOAD)) from error
        raise
    whole = session.execute(text(_SUMS.format(schema=schema))).one()
    if whole.hidden:
        missing.append(
            Missing(
                f"{whole.hidden:,} statements of other roles are hidden from the role {role_of(session)}.",
                "They are counted in the total time, but not listed.",
                grant_sql(role_of(session)),
            )
        )
    total_s = float(whole.total_s or 0.0)
    items = [_statement(row, total_s) for row in rows]
    return Statements(items, order, whose, whole.known, total_s, info.stats_reset, info.dealloc)


def _statement(row: Row[Any], total_s: float) -> Statement:
    touched = row.hit + row.read
    return Statement(
        id=str(row.queryid),
        text=without_values(row.query, numbers=False),
        is_ours=row.is_ours,
        calls=row.calls,
        total_s=row.total_s,
        mean_s=row.mean_s,
        max_s=row.max_s,
        rows=row.rows,
        share=row.total_s / total_s if total_s else None,
        hit_ratio=row.hit / touched if touched else None,
        read_bytes=row.read * _BLOCK,
        temp_bytes=row.temp * _BLOCK,
        wal_bytes=row.wal_bytes,
    )


_PLACE = text("""
    WITH place AS (
        SELECT (SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
                WHERE e.extname = 'pg_stat_statements') AS schema
    )
    SELECT schema, current_database() AS database,
           schema IS NOT NULL
               OR EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_stat_statements') AS is_available,
           (SELECT setting FROM pg_settings WHERE name = 'shared_preload_libraries') AS preloaded,
           CASE WHEN schema IS NOT NULL THEN
               has_schema_privilege(schema, 'USAGE')
               AND has_table_privilege(format('%I.pg_stat_statements', schema), 'SELECT')
               AND has_table_privilege(format('%I.pg_stat_statements_info', schema), 'SELECT') END AS may_read
    FROM place
""")
# What is planned for index advice is counted, too; it is no work of the product.
_STATEMENTS = """
    SELECT s.queryid, s.userid = me.oid AS is_ours, min(s.query) AS query, CAST(sum(s.calls) AS bigint) AS calls,
           sum(s.total_exec_time) / 1000 AS total_s,
           sum(s.total_exec_time) / greatest(sum(s.calls), 1) / 1000 AS mean_s, max(s.max_exec_time) / 1000 AS max_s,
           CAST(sum(s.rows) AS bigint) AS rows, CAST(sum(s.shared_blks_hit) AS bigint) AS hit,
           CAST(sum(s.shared_blks_read) AS bigint) AS read,
           CAST(sum(s.temp_blks_written) AS bigint) AS temp, CAST(sum(s.wal_bytes) AS bigint) AS wal_bytes
    FROM {schema}.pg_stat_statements s, (SELECT oid FROM pg_roles WHERE rolname = current_user) me
    WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND s.queryid IS NOT NULL
          AND (:whose = 'all' OR (:whose = 'ours') = (s.userid = me.oid))
          AND s.query NOT LIKE 'EXPLAIN (GENERIC_PLAN, VERBOSE, FORMAT JSON) %'
    GROUP BY 1, 2
    ORDER BY CASE :order
        WHEN 'total' THEN sum(s.total_exec_time)
        WHEN 'mean' THEN sum(s.total_exec_time) / greatest(sum(s.calls), 1)
        WHEN 'calls' THEN sum(s.calls)
        WHEN 'rows' THEN sum(s.rows)
        WHEN 'read' THEN sum(s.shared_blks_read)
        ELSE sum(s.temp_blks_written) END DESC, 1
    LIMIT :limit
"""
_SUMS = """
    SELECT count(*) AS known, sum(total_exec_time) / 1000 AS total_s, count(*) FILTER (WHERE queryid IS NULL) AS hidden
    FROM {schema}.pg_stat_statements
    WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
