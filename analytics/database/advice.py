"""Which index statements would use, as their plans say.

The dearest statements of our own role, and of the one that may only read for ``sql.query``, are planned without their
values (``EXPLAIN (GENERIC_PLAN)``), nothing is run. Statements of other roles are not planned: planning may call
functions that they made, with our rights.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from psycopg import sql
from sqlalchemy import exc, text
from sqlalchemy.orm import Session

from analytics.database.model import AdviceReport, IndexAdvice
from analytics.database.plans import Condition, Scan, scans
from analytics.database.section import Missing, Section, read_only, read_section
from analytics.database.statements import statements_view
from analytics.database.texts import can_be_planned, plannable
from analytics.store.engine import MAY_FAIL

MIN_ROWS = 10_000
"""Smaller tables are read whole faster than anybody notices."""
MIN_GAIN = 2.0
"""How many times cheaper reading has to become."""
MAX_EQUAL = 3
"""Columns of an index that are compared for equality; more narrow little down and cost space."""
_PLAN_TIMEOUT = timedelta(milliseconds=500)
_LONGEST_NAME = 63
_PAGE = 8192


def index_advice(session: Session, *, most: int = 50) -> Section[AdviceReport]:
    """Return indexes that the *most* dearest statements of our role would use, the greatest gain first."""

    def read(session: Session, missing: list[Missing]) -> AdviceReport:
        del missing
        return _read(session, most)

    return read_section(session, read, "index advice")


@dataclass(frozen=True, slots=True)
class Column:
    """What is known of the values of a column."""

    distinct: float
    """How many different ones."""
    null_share: float
    width: float


@dataclass(frozen=True, slots=True)
class Table:
    """A table, or all parts of a partitioned one."""

    schema: str
    name: str
    rows: float
    pages: float
    writes: int
    columns: Mapping[str, Column]
    indexes: Sequence[Sequence[str]]
    """Columns of each valid index on plain columns without a condition, in order."""
    parts: Sequence[str]
    """Names of its partitions, quoted; empty for a plain table."""

    @property
    def title(self) -> str:
        """Return its name, with its schema unless that is ``public``."""
        return self.name if self.schema == "public" else f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Use:
    """A statement that reads one table whole."""

    statement: str
    calls: int
    total_s: float
    scan: Scan
    """Of all parts together."""


def _read(session: Session, most: int) -> AdviceReport:
    schema = statements_view(session)
    rows = session.execute(text(_DEAREST.format(schema=schema)), {"most": most}).all()
    since = session.scalar(text(f"SELECT stats_reset FROM {schema}.pg_stat_statements_info"))  # noqa: S608 - quoted
    whole = float(session.scalar(text(_TOTAL.format(schema=schema))) or 0.0)
    planned, uses = 0, []
    for row in rows:
        plan = _plan(session, row.query) if can_be_planned(row.query) else None
        if plan is not None:
            planned += 1
            uses += [Use(str(row.queryid), row.calls, row.total_s, scan) for scan in scans(plan)]
    tables = _tables(session, {(use.scan.schema, use.scan.table) for use in uses})
    merged = _whole_tables(uses, tables)
    judged = [judge(use, table) for use, table in merged]
    advised = [item for item in judged if isinstance(item, IndexAdvice)]
    return AdviceReport(
        items=[_with_share(item, whole) for item in together(advised)],
        looked_at=len(rows),
        planned=planned,
        scans=len(judged),
        small=judged.count("small"),
        unselective=judged.count("unselective"),
        served=judged.count("served"),
        since=since,
    )


def _plan(session: Session, query: str) -> Mapping[str, Any] | None:
    """Return the plan of *query* without its values, or None when PostgreSQL cannot make one."""
    try:
        with read_only(session, timeout=_PLAN_TIMEOUT):
            found: Any = session.connection().exec_driver_sql(
                f"EXPLAIN (GENERIC_PLAN, VERBOSE, FORMAT JSON) {plannable(query)}",
                execution_options={"no_parameters": True, MAY_FAIL: True},
            )
            plan: Mapping[str, Any] = found.scalar_one()[0]["Plan"]
            return plan
    except exc.DBAPIError as error:
        if error.connection_invalidated:
            raise
        return None


def _whole_tables(uses: Sequence[Use], tables: Mapping[tuple[str, str], Table]) -> list[tuple[Use, Table]]:
    """Return *uses* with their tables, scans of the parts of a table by one statement as one."""
    found: dict[tuple[str, str, str, tuple[Condition, ...]], tuple[Use, Table]] = {}
    for use in uses:
        table = tables.get((use.scan.schema, use.scan.table))
        if table is None:
            continue
        key = (use.statement, table.schema, table.name, tuple(use.scan.conditions))
        if key in found:
            before = found[key][0].scan
            scan = replace(
                before,
                cost=before.cost + use.scan.cost,
                share=min(1.0, before.share + use.scan.share),
                rows=before.rows + use.scan.rows,
            )
            found[key] = replace(use, scan=scan), table
        else:
            found[key] = use, table
    return list(found.values())


def judge(use: Use, table: Table) -> IndexAdvice | str:
    """Return the index that *use* needs, or why none: ``small``, ``unselective`` or ``served``."""
    if table.rows < MIN_ROWS:
        return "small"
    columns = _columns(use.scan.conditions, table)
    if not columns:
        return "unselective"
    if any(_serves(index, columns) for index in table.indexes):
        return "served"
    matched = max(use.scan.rows, table.rows * math.prod(_share(test, table) for test in columns))
    before = max(use.scan.cost / max(use.scan.loops, 1.0), 1e-9)
    after = index_cost(table.rows, table.pages, matched)
    if before < MIN_GAIN * after:
        return "unselective"
    saved = 1 - after / before
    names = [test.column for test in columns]
    return IndexAdvice(
        key=f"{table.title}:{','.join(names)}",
        schema=table.schema,
        table=table.title,
        columns=names,
        sql=_create(table, names),
        reason=(
            f"Reads all {table.rows:,.0f} rows of {table.title} to find about {max(1.0, matched):,.0f};"
            f" by {' and '.join(names)} it would cost {before / after:,.0f} times less."
        ),
        statements=[use.statement],
        calls=use.calls,
        saves_s=use.total_s * use.scan.share * saved,
        share=None,
        cost_before=before,
        cost_after=after,
        size_bytes=_size(table, names),
        writes=table.writes,
    )


def index_cost(rows: float, pages: float, matched: float) -> float:
    """Return what the planner would reckon for reading *matched* of *rows* by a B-tree, in its units.

    Pages are taken to be in no order that helps, each read at random.

    Source:
        PostgreSQL, ``cost_index`` and ``btcostestimate``; pages fetched after Mackert and Lohman.
    """
    random_page, cpu_tuple, cpu_index_tuple, cpu_operator = 1.1, 0.01, 0.005, 0.0025
    fetched = min(2 * pages * matched / (2 * pages + matched), pages) if matched else 0.0
    descent = math.ceil(math.log2(max(rows, 2))) * cpu_operator + 3 * 50 * cpu_operator
    leaves = 1 + matched / 250
    return descent + (fetched + leaves) * random_page + matched * (cpu_tuple + cpu_index_tuple + cpu_operator)


def together(items: Sequence[IndexAdvice]) -> list[IndexAdvice]:
    """Return *items* with those for the same index, or for one that begins another, made one; the most gain first."""
    found: dict[tuple[str, tuple[str, ...]], IndexAdvice] = {}
    for item in sorted(items, key=lambda item: (-len(item.columns), -item.saves_s)):
        columns = tuple(item.columns)
        key = next(
            (key for key in found if key[0] == item.table and key[1][: len(columns)] == columns), (item.table, columns)
        )
        held = found.get(key)
        found[key] = (
            item
            if held is None
            else replace(
                held,
                statements=[*held.statements, *(name for name in item.statements if name not in held.statements)],
                calls=held.calls + item.calls,
                saves_s=held.saves_s + item.saves_s,
            )
        )
    return sorted(found.values(), key=lambda item: -item.saves_s)


def _columns(conditions: Sequence[Condition], table: Table) -> list[Condition]:
    """Return what an index should hold: the most telling columns compared for equality, then one range."""
    by_name: dict[str, list[Condition]] = defaultdict(list)
    for condition in conditions:
        if condition.column in table.columns:
            by_name[condition.column].append(condition)
    equal = [next((test for test in found if test.kind != "range"), None) for found in by_name.values()]
    chosen = sorted((test for test in equal if test is not None), key=lambda test: _share(test, table))[:MAX_EQUAL]
    if chosen and _share(chosen[0], table) * table.rows <= 1:
        return chosen[:1]
    ranges = [found for found in by_name.values() if all(test.kind == "range" for test in found)]
    widest = max(ranges, key=len, default=None)
    return chosen if widest is None else [*chosen, *widest[:1], *widest[1:2]][: len(chosen) + 1]


def _share(condition: Condition, table: Table) -> float:
    """Return the share of rows that meet *condition*, whatever its value; as the planner assumes."""
    column = table.columns[condition.column]
    match condition.kind:
        case "null":
            return column.null_share
        case "range":
            return 1 / 3
        case "any":
            return min(1.0, 10 * (1 - column.null_share) / max(column.distinct, 1.0))
        case "equal":
            return (1 - column.null_share) / max(column.distinct, 1.0)


def _serves(index: Sequence[str], columns: Sequence[Condition]) -> bool:
    """Return whether *index* begins with the columns that are compared for equality, and goes on with the range."""
    equal = {test.column for test in columns if test.kind != "range"}
    rest = [test.column for test in columns if test.kind == "range"]
    return set(index[: len(equal)]) == equal and list(index[len(equal) : len(equal) + len(rest)]) == rest


def _create(table: Table, columns: Sequence[str]) -> str:
    quoted = ", ".join(sql.Identifier(name).as_string() for name in columns)
    on = sql.Identifier(table.schema, table.name).as_string()
    name = _index_name(table.name, columns)
    if not table.parts:
        return f"CREATE INDEX CONCURRENTLY {sql.Identifier(name).as_string()} ON {on} ({quoted});"
    lines = [f"CREATE INDEX {sql.Identifier(name).as_string()} ON ONLY {on} ({quoted});"]
    whole = sql.Identifier(table.schema, name).as_string()
    for part in table.parts:
        own = sql.Identifier(_index_name(part, columns)).as_string()
        lines += [
            f"CREATE INDEX CONCURRENTLY {own} ON {sql.Identifier(table.schema, part).as_string()} ({quoted});",
            f"ALTER INDEX {whole} ATTACH PARTITION {sql.Identifier(table.schema).as_string()}.{own};",
        ]
    return "\n".join(lines)


def _index_name(table: str, columns: Sequence[str]) -> str:
    return f"ix_{table}_{'_'.join(columns)}"[:_LONGEST_NAME]


def _size(table: Table, columns: Sequence[str]) -> int:
    """Return about how large an index would be: an entry of 16 bytes beside its values, pages nine tenths full."""
    width = sum(table.columns[name].width for name in columns)
    return math.ceil(table.rows * (16 + width) / 0.9 / _PAGE) * _PAGE


def _with_share(item: IndexAdvice, whole_s: float) -> IndexAdvice:
    return replace(item, share=item.saves_s / whole_s if whole_s else None)


def _tables(session: Session, names: set[tuple[str, str]]) -> dict[tuple[str, str], Table]:
    """Return what is known of the tables that *names*, or parts of them, are."""
    if not names:
        return {}
    values = {"schemas": [schema for schema, _ in names], "names": [name for _, name in names]}
    rows = session.execute(_TABLES, values).all()
    roots = [row.root for row in rows]
    columns: dict[int, dict[str, Column]] = defaultdict(dict)
    for row in session.execute(_COLUMNS, {"roots": roots}):
        columns[row.root][row.attname] = Column(float(row.n_distinct), float(row.null_frac), float(row.avg_width))
    indexes: dict[int, list[Sequence[str]]] = defaultdict(list)
    for row in session.execute(_INDEXES, {"roots": roots}):
        indexes[row.root].append(row.columns)
    return {
        (row.schema, asked): Table(
            schema=row.schema,
            name=row.name,
            rows=float(row.rows),
            pages=float(row.pages),
            writes=row.writes,
            columns=columns[row.root],
            indexes=indexes[row.root],
            parts=row.parts,
        )
        for row in rows
        for asked in row.asked
    }


_DEAREST = """
    SELECT s.queryid, min(s.query) AS query, CAST(sum(s.calls) AS bigint) AS calls,
           sum(s.total_exec_time) / 1000 AS total_s
    FROM {schema}.pg_stat_statements s
    WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND s.userid IN (SELECT oid FROM pg_roles WHERE rolname IN (current_user, current_user || '_reader'))
          AND s.query ~* '^\\s*\\(*\\s*(SELECT|WITH|INSERT|UPDATE|DELETE|MERGE)'
    GROUP BY 1 ORDER BY sum(s.total_exec_time) DESC LIMIT :most
"""
_TOTAL = """
    SELECT sum(total_exec_time) / 1000 FROM {schema}.pg_stat_statements
    WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_TABLES = text("""
    WITH asked AS (
        SELECT coalesce(pg_partition_root(c.oid), c.oid) AS root, array_agg(DISTINCT c.relname) AS asked
        FROM unnest(CAST(:schemas AS text[]), CAST(:names AS text[])) AS wanted (schema, name)
        JOIN pg_namespace n ON n.nspname = wanted.schema
        JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = wanted.name
        GROUP BY 1
    )
    SELECT CAST(root AS bigint) AS root, CAST(asked AS text[]) AS asked, n.nspname AS schema, r.relname AS name,
           sum(greatest(leaf.reltuples, 0)) AS rows, sum(leaf.relpages) AS pages,
           CAST(sum(coalesce(pg_stat_get_tuples_inserted(leaf.oid) + pg_stat_get_tuples_updated(leaf.oid)
                             + pg_stat_get_tuples_deleted(leaf.oid), 0)) AS bigint) AS writes,
           CAST(coalesce(array_agg(leaf.relname ORDER BY leaf.relname) FILTER (WHERE leaf.oid <> root), '{}')
                AS text[]) AS parts
    FROM asked JOIN pg_class r ON r.oid = root JOIN pg_namespace n ON n.oid = r.relnamespace
    CROSS JOIN LATERAL (SELECT root AS relid WHERE r.relkind <> 'p'
                        UNION ALL SELECT relid FROM pg_partition_tree(root) WHERE isleaf) tree
    JOIN pg_class leaf ON leaf.oid = tree.relid
    WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')
    GROUP BY root, asked, n.nspname, r.relname
""")
_COLUMNS = text("""
    SELECT CAST(root AS bigint) AS root, s.attname,
           max(CASE WHEN s.n_distinct < 0 THEN -s.n_distinct * greatest(leaf.reltuples, 0) ELSE s.n_distinct END)
               AS n_distinct,
           avg(s.null_frac) AS null_frac, avg(s.avg_width) AS avg_width
    FROM unnest(CAST(:roots AS oid[])) AS root
    CROSS JOIN LATERAL (SELECT root AS relid UNION SELECT relid FROM pg_partition_tree(root)) tree
    JOIN pg_class leaf ON leaf.oid = tree.relid JOIN pg_namespace n ON n.oid = leaf.relnamespace
    JOIN pg_stats s ON s.schemaname = n.nspname AND s.tablename = leaf.relname
    GROUP BY 1, 2
""")
_INDEXES = text("""
    SELECT CAST(i.indrelid AS bigint) AS root,
           (SELECT array_agg(CAST(a.attname AS text) ORDER BY key.place)
            FROM unnest(i.indkey) WITH ORDINALITY AS key (number, place)
            JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = key.number
            WHERE key.place <= i.indnkeyatts) AS columns
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am am ON am.oid = c.relam
    WHERE i.indrelid = ANY(CAST(:roots AS oid[])) AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
          AND am.amname = 'btree'
""")
