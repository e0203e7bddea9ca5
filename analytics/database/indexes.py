"""Indexes that cost more than they bring: never used, said twice, or broken."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from psycopg import sql
from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from analytics.database.making import PREFIX
from analytics.database.model import IndexFinding, IndexReport
from analytics.database.section import Missing, Section, read_section

UNUSED_FROM = 2**20
"""Bytes; smaller indexes cost nothing worth an errand."""


def index_findings(session: Session) -> Section[IndexReport]:
    """Return unused, duplicate and invalid indexes, the largest first."""
    return read_section(session, _read, "the indexes")


def _read(session: Session, missing: list[Missing]) -> IndexReport:
    del missing
    rows = session.execute(_INDEXES).all()
    whole = [row for row in rows if not row.is_part]
    doubled = {row.oid: reason for row, reason in _duplicates(whole)}
    items = []
    for row in rows:
        if not row.is_valid:
            if not row.is_being_made:
                items.append(_invalid(row))
        elif row.oid in doubled:
            items.append(_finding(row, "duplicate", doubled[row.oid]))
        elif not row.is_part and row.scans == 0 and row.size >= UNUSED_FROM and not row.is_needed:
            items.append(_finding(row, "unused", "No statement has used it since scans are counted."))
    items.sort(key=lambda item: (item.kind != "invalid", -item.size_bytes))
    since = session.scalar(_SINCE)
    return IndexReport(items, len(whole), sum(row.size for row in whole), since)


def _duplicates(rows: Sequence[Row[Any]]) -> Iterator[tuple[Row[Any], str]]:
    """Return the indexes that another makes superfluous, with which and how."""
    by_table: dict[int, list[Row[Any]]] = defaultdict(list)
    for row in rows:
        if row.is_valid:
            by_table[row.table_oid].append(row)
    for found in by_table.values():
        gone: set[int] = set()
        # Kept are those that something rests on, then the wider, then the older.
        for row in sorted(found, key=lambda row: (row.is_needed, len(row.keys), -row.oid)):
            others = [other for other in found if other.oid != row.oid and other.oid not in gone]
            other = next((other for other in others if not row.is_needed and _is_within(row, other)), None)
            if other is None:
                continue
            gone.add(row.oid)
            how = "holds the same columns" if other.keys == row.keys else "begins with the same columns"
            yield row, f"{other.name} {how} in the same order and serves the same statements."


def _is_within(row: Row[Any], other: Row[Any]) -> bool:
    """Return whether *other* serves whatever *row* serves."""
    if (row.method, row.predicate) != (other.method, other.predicate):
        return False
    if (row.keys, row.included, row.expressions) == (other.keys, other.included, other.expressions):
        return True
    is_prefix = other.keys[: len(row.keys)] == row.keys
    return row.method == "btree" and is_prefix and not row.included and row.expressions is None


def _invalid(row: Row[Any]) -> IndexFinding:
    name = sql.Identifier(row.schema, row.name).as_string()
    if row.name.startswith(PREFIX):
        reason, statement = "Helmsight has not come to the end of making it.", f"-- see the indexes made here: {name}"
    elif row.kind == "I":
        reason, statement = "Not every partition has its part of it.", f"-- attach the missing parts to {name}"
    elif "_ccnew" in row.name or "_ccold" in row.name:
        reason, statement = "Left behind by a REINDEX CONCURRENTLY that failed.", f"DROP INDEX CONCURRENTLY {name};"
    else:
        reason = "Its making failed; it is kept up to date and never used."
        statement = f"REINDEX INDEX CONCURRENTLY {name};"
    return _finding(row, "invalid", reason, statement)


def _finding(row: Row[Any], kind: Any, reason: str, statement: str | None = None) -> IndexFinding:
    how = "" if row.kind == "I" else "CONCURRENTLY "
    drop = f"DROP INDEX {how}{sql.Identifier(row.schema, row.name).as_string()};"
    return IndexFinding(
        kind=kind,
        table=row.table if row.schema == "public" else f"{row.schema}.{row.table}",
        index=row.name,
        definition=row.definition,
        size_bytes=row.size,
        scans=row.scans,
        reason=reason,
        sql=statement or drop,
    )


_SINCE = text("""
    SELECT coalesce(stats_reset, pg_postmaster_start_time()) FROM pg_stat_database WHERE datname = current_database()
""")
_INDEXES = text("""
    SELECT CAST(c.oid AS bigint) AS oid, CAST(t.oid AS bigint) AS table_oid, n.nspname AS schema, t.relname AS table,
           c.relname AS name, c.relkind AS kind, c.relispartition AS is_part, am.amname AS method,
           pg_get_indexdef(c.oid) AS definition, i.indisvalid AND i.indisready AS is_valid,
           EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = c.oid) AS is_being_made,
           i.indisunique OR i.indisexclusion OR i.indisreplident OR i.indisclustered
               OR EXISTS (SELECT FROM pg_constraint o WHERE o.conindid = c.oid)
               OR EXISTS (SELECT FROM pg_constraint o WHERE o.contype = 'f' AND o.conrelid = t.oid
                          AND o.conkey[1] = i.indkey[0]) AS is_needed,
           (SELECT array_agg(concat_ws(' ', i.indkey[key], i.indclass[key], i.indcollation[key], i.indoption[key])
                             ORDER BY key)
            FROM generate_series(0, i.indnkeyatts - 1) AS key) AS keys,
           (SELECT array_agg(i.indkey[key] ORDER BY key)
            FROM generate_series(i.indnkeyatts, i.indnatts - 1) AS key) AS included,
           pg_get_expr(i.indexprs, i.indrelid) AS expressions, pg_get_expr(i.indpred, i.indrelid) AS predicate,
           CAST(coalesce(parts.size, pg_relation_size(c.oid)) AS bigint) AS size,
           CAST(coalesce(parts.scans, pg_stat_get_numscans(c.oid)) AS bigint) AS scans
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
    JOIN pg_namespace n ON n.oid = t.relnamespace JOIN pg_am am ON am.oid = c.relam
    LEFT JOIN LATERAL (
        SELECT sum(pg_relation_size(tree.relid)) AS size, sum(pg_stat_get_numscans(tree.relid)) AS scans
        FROM pg_partition_tree(c.oid) tree WHERE c.relkind = 'I' AND tree.isleaf
    ) parts ON true
    WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
          AND (NOT c.relispartition OR NOT i.indisvalid)
    ORDER BY size DESC
    LIMIT 5000
""")
