"""Tables: their size, growth, dead rows and bloat; of partitioned ones all parts together."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Row, exc, text
from sqlalchemy.orm import Session

from analytics.database.model import TableState
from analytics.database.section import Missing, Section, read_only, read_section
from analytics.sources.system import Measurement, record

SAMPLE = "table_bytes"
"""Name of the metric sample; its tag ``table`` names the table."""
GROWTH_OVER = timedelta(days=30)
SAMPLED_FROM = 2**20
MOST_SAMPLED = 50
MEASURED_UP_TO = 2**28
"""Bytes of table that ``pgstattuple`` may have to read for one look."""
_MEASURED_FROM = 2**20
_MEASURE_TIMEOUT = timedelta(seconds=2)


def tables(session: Session, *, now: datetime, limit: int = 50) -> Section[Sequence[TableState]]:
    """Return the *limit* largest tables, the largest first."""

    def read(session: Session, missing: list[Missing]) -> Sequence[TableState]:
        return _read(session, missing, now, limit)

    return read_section(session, read, "the tables")


def sample_sizes(session: Session, *, now: datetime) -> int:
    """Store the sizes of the database and of its larger tables as metric samples; return how many.

    For the scheduler, every hour; growth is read from them. Safe to run twice.
    """
    rows = session.execute(_SIZES, {"least": SAMPLED_FROM, "limit": MOST_SAMPLED}).all()
    found = [Measurement(SAMPLE, float(row.total), "bytes", {"table": _name(row)}) for row in rows]
    whole = session.scalar(text("SELECT pg_database_size(current_database())"))
    found.append(Measurement("database_bytes", float(whole or 0), "bytes", {}))
    record(session, found, now)
    return len(found)


def _read(session: Session, missing: list[Missing], now: datetime, limit: int) -> list[TableState]:
    rows = session.execute(_TABLES, {"limit": limit}).all()
    grown = read_section(session, lambda session, _: _growth(session, now), "growth")
    missing += grown.missing
    growth = grown.value or {}
    estimated = {row.root: int(row.bloat) for row in session.execute(_BLOAT, {"roots": [row.root for row in rows]})}
    measured = _measured(session, missing, rows)
    return [_table(row, growth.get(_name(row)), measured.get(row.root), estimated.get(row.root)) for row in rows]


def _growth(session: Session, now: datetime) -> dict[str, tuple[float, float]]:
    """Return by how many bytes a day each table grows, and over how many days that was sampled, twice at least."""
    return {
        row.name: (float(row.per_day), float(row.days))
        for row in session.execute(_GROWTH, {"name": SAMPLE, "since": now - GROWTH_OVER, "until": now})
        if row.per_day is not None
    }


def _table(
    row: Row[Any], growth: tuple[float, float] | None, measured: int | None, estimated: int | None
) -> TableState:
    touched = row.hit + row.read
    known = row.rows if row.rows >= 0 else None
    counted = row.live + row.dead
    return TableState(
        name=_name(row),
        parts=row.parts,
        total_bytes=row.total,
        table_bytes=row.table_bytes,
        index_bytes=row.index_bytes,
        rows=known,
        dead_rows=row.dead,
        dead_share=row.dead / counted if counted else None,
        bloat_bytes=estimated if measured is None else measured,
        is_bloat_exact=measured is not None,
        seq_scans=row.seq_scans,
        index_scans=row.index_scans,
        hit_ratio=row.hit / touched if touched else None,
        writes=row.writes,
        last_vacuum=row.last_vacuum,
        is_vacuum_due=row.is_vacuum_due,
        growth_bytes_per_day=None if growth is None else growth[0],
        growth_days=None if growth is None else growth[1],
    )


def _name(row: Row[Any]) -> str:
    name: str = row.name if row.schema == "public" else f"{row.schema}.{row.name}"
    return name


def _measured(session: Session, missing: list[Missing], rows: Sequence[Row[Any]]) -> Mapping[int, int]:
    """Return how much of tables holds nothing, by ``pgstattuple``, where it is there and has little to read."""
    schema = session.scalar(_PGSTATTUPLE)
    if schema is None:
        missing.append(
            Missing(
                "The extension pgstattuple is not installed.",
                "Bloat is estimated from statistics, and may be off by a fifth of the table.",
                "CREATE EXTENSION pgstattuple;",
            )
        )
        return {}
    place = sql.Identifier(schema).as_string()
    measure = text(_MEASURE.format(schema=place))
    found: dict[int, int] = defaultdict(int)
    left = MEASURED_UP_TO
    for row in rows:
        if not _MEASURED_FROM <= row.heap_bytes <= left:
            continue
        left -= row.heap_bytes
        try:
            with read_only(session, timeout=_MEASURE_TIMEOUT):
                found[row.root] = int(session.execute(measure, {"root": row.root}).scalar_one())
        except exc.DBAPIError as error:
            if isinstance(error.orig, psycopg.errors.InsufficientPrivilege):
                missing.append(
                    Missing(
                        "This role may not call pgstattuple.",
                        "Bloat is estimated from statistics, and may be off by a fifth of the table.",
                        "GRANT pg_stat_scan_tables TO "
                        f"{sql.Identifier(session.connection().engine.url.username or '').as_string()};",
                    )
                )
                return {}
            if not isinstance(error.orig, psycopg.errors.QueryCanceled | psycopg.errors.LockNotAvailable):
                raise
    return found


_LEAVES = """
    SELECT coalesce(pg_partition_root(c.oid), c.oid) AS root, c.*
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
          AND n.nspname !~ '^pg_(toast|temp)'
"""
_SIZES = text(f"""
    WITH leaf AS ({_LEAVES})
    SELECT n.nspname AS schema, r.relname AS name, CAST(sum(pg_total_relation_size(leaf.oid)) AS bigint) AS total
    FROM leaf JOIN pg_class r ON r.oid = leaf.root JOIN pg_namespace n ON n.oid = r.relnamespace
    GROUP BY 1, 2 HAVING sum(pg_total_relation_size(leaf.oid)) >= :least
    ORDER BY 3 DESC LIMIT :limit
""")  # noqa: S608 - our own text
_TABLES = text(f"""
    WITH leaf AS ({_LEAVES}), wait AS (
        SELECT CAST(current_setting('autovacuum_vacuum_threshold') AS float8) AS base,
               CAST(current_setting('autovacuum_vacuum_scale_factor') AS float8) AS share
    )
    SELECT CAST(leaf.root AS bigint) AS root, n.nspname AS schema, r.relname AS name,
           CAST(count(*) FILTER (WHERE leaf.relispartition) AS int) AS parts,
           CAST(sum(pg_total_relation_size(leaf.oid)) AS bigint) AS total,
           CAST(sum(pg_table_size(leaf.oid)) AS bigint) AS table_bytes,
           CAST(sum(pg_indexes_size(leaf.oid)) AS bigint) AS index_bytes,
           CAST(sum(pg_relation_size(leaf.oid)) AS bigint) AS heap_bytes,
           CAST(CASE WHEN bool_or(leaf.reltuples >= 0) THEN sum(greatest(leaf.reltuples, 0)) ELSE -1 END AS bigint)
               AS rows,
           CAST(sum(s.n_live_tup) AS bigint) AS live, CAST(sum(s.n_dead_tup) AS bigint) AS dead,
           CAST(sum(s.seq_scan) AS bigint) AS seq_scans,
           CAST(sum(coalesce(s.idx_scan, 0)) AS bigint) AS index_scans,
           CAST(sum(s.n_tup_ins + s.n_tup_upd + s.n_tup_del) AS bigint) AS writes,
           CAST(sum(io.heap_blks_hit + coalesce(io.idx_blks_hit, 0)) AS bigint) AS hit,
           CAST(sum(io.heap_blks_read + coalesce(io.idx_blks_read, 0)) AS bigint) AS read,
           max(greatest(s.last_vacuum, s.last_autovacuum)) AS last_vacuum,
           bool_or(s.n_dead_tup > wait.base + wait.share * greatest(leaf.reltuples, 0)) AS is_vacuum_due
    FROM leaf CROSS JOIN wait JOIN pg_class r ON r.oid = leaf.root JOIN pg_namespace n ON n.oid = r.relnamespace
    JOIN pg_stat_all_tables s ON s.relid = leaf.oid JOIN pg_statio_all_tables io ON io.relid = leaf.oid
    GROUP BY 1, 2, 3 ORDER BY total DESC, 3 LIMIT :limit
""")  # noqa: S608 - our own text
_GROWTH = text("""
    SELECT tags ->> 'table' AS name, regr_slope(value, extract(epoch FROM at)) * 86400 AS per_day,
           extract(epoch FROM max(at) - min(at)) / 86400 AS days
    FROM metric_sample
    WHERE name = :name AND at >= :since AND at < :until
    GROUP BY 1
""")
# A row takes its header of 24 bytes, its values, and a pointer of 4; pages have a header of 24.
_BLOAT = text("""
    WITH leaf AS (
        SELECT root, tree.relid
        FROM unnest(CAST(:roots AS oid[])) AS root JOIN pg_class c ON c.oid = root
        CROSS JOIN LATERAL (SELECT root AS relid WHERE c.relkind <> 'p'
                            UNION ALL SELECT relid FROM pg_partition_tree(root) WHERE isleaf) tree
    ), width AS (
        SELECT leaf.root, c.oid, c.reltuples, c.relpages, 24 + ceil(sum((1 - s.null_frac) * s.avg_width) / 8) * 8 + 4
               AS bytes
        FROM leaf JOIN pg_class c ON c.oid = leaf.relid JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_stats s ON s.schemaname = n.nspname AND s.tablename = c.relname AND NOT s.inherited
        WHERE c.reltuples > 0 AND c.relpages >= 128
        GROUP BY 1, 2, 3, 4
    )
    SELECT CAST(root AS bigint) AS root,
           CAST(sum(greatest(0, relpages - ceil(reltuples * bytes / (8192 - 24)))) * 8192 AS bigint) AS bloat
    FROM width GROUP BY 1
""")
_PGSTATTUPLE = text("""
    SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pgstattuple'
""")
_MEASURE = """
    SELECT CAST(coalesce(sum(a.dead_tuple_len + a.approx_free_space), 0) AS bigint)
    FROM pg_class c
    CROSS JOIN LATERAL (SELECT c.oid AS relid WHERE c.relkind <> 'p'
                        UNION ALL SELECT relid FROM pg_partition_tree(c.oid) WHERE isleaf) tree
    CROSS JOIN LATERAL {schema}.pgstattuple_approx(tree.relid) a
    WHERE c.oid = :root
"""
