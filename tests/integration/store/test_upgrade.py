"""An older schema full of rows becomes the present one, and every row is still there."""

import pytest
from sqlalchemy import MetaData, create_engine, text

from analytics.core.clock import utc_now
from analytics.core.ids import new_id
from analytics.store.engine import driver_url
from analytics.store.migrate import head_revision, migrate, require_current
from analytics.store.partitions import ensure_partitions

pytestmark = pytest.mark.integration

ROWS_EACH = 3
MOVED = {("run_active", "idempotency_key"): ("run_key", "key")}
"""Columns whose values went to another table."""


@pytest.fixture
def first_schema(empty_dsn):
    engine = create_engine(driver_url(empty_dsn))
    migrate(engine, to="0001")
    with engine.begin() as connection:
        ensure_partitions(connection)
    yield engine
    engine.dispose()


def parents(connection) -> list[str]:
    """The tables that hold rows: those that are no partition of another."""
    return [
        row[0]
        for row in connection.execute(
            text(
                "SELECT c.relname FROM pg_class c WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition"
                " AND c.relnamespace = 'public'::regnamespace AND c.relname <> 'alembic_version' ORDER BY 1"
            )
        )
    ]


def fill(connection) -> dict[tuple[str, tuple[str, ...]], list[str]]:
    """Put rows into every table of the schema as it is in the database, parents first; return them as text."""
    metadata = MetaData()
    metadata.reflect(connection, only=parents(connection))
    for table in metadata.sorted_tables:
        for number in range(ROWS_EACH):
            connection.execute(table.insert().values(row_of(connection, table, number)))
    return contents(connection, {table.name: list(table.columns.keys()) for table in metadata.sorted_tables})


def contents(connection, tables: dict[str, list[str]]) -> dict[tuple[str, tuple[str, ...]], list[str]]:
    """The rows of *tables* as text, seen through the columns named."""
    return {
        (name, tuple(columns)): sorted(
            row[0]
            for row in connection.execute(
                text(f"SELECT to_jsonb(seen)::text FROM (SELECT {', '.join(columns)} FROM {name}) seen")  # noqa: S608
            )
        )
        for name, columns in tables.items()
    }


def values(connection, table: str, column: str) -> set[str]:
    """The values of *column* that are not null."""
    return set(connection.scalars(text(f"SELECT {column} FROM {table} WHERE {column} IS NOT NULL")))  # noqa: S608


def kept(tables) -> dict[str, list[str]]:
    """The columns that are still where they were."""
    return {name: [column for column in columns if (name, column) not in MOVED] for name, columns in tables}


def row_of(connection, table, number: int) -> dict:
    allowed = first_allowed_values(connection, table.name)
    row = {}
    for column in table.columns:
        if column.identity is not None:
            continue
        if column.foreign_keys:
            target = next(iter(column.foreign_keys)).column
            query = text(f"SELECT {target.name} FROM {target.table.name} ORDER BY 1 OFFSET :n LIMIT 1")  # noqa: S608
            row[column.name] = connection.execute(query, {"n": number}).scalar_one()
        elif column.name in allowed:
            row[column.name] = allowed[column.name]
        else:
            row[column.name] = value_of(column, number)
    return row


def first_allowed_values(connection, table: str) -> dict[str, str]:
    """The first value that each check of the form ``column IN (...)`` allows."""
    found = connection.execute(
        text(
            r"SELECT (regexp_match(d, '\(?\(?(\w+) = ANY'))[1], (regexp_match(d, '''([^'']+)'''))[1]"
            r" FROM (SELECT pg_get_constraintdef(oid) d FROM pg_constraint"
            r" WHERE conrelid = CAST(:table AS regclass) AND contype = 'c') checks WHERE d LIKE '%= ANY%'"
        ),
        {"table": table},
    )
    return {row[0]: row[1] for row in found}


def value_of(column, number: int):
    values = {
        "UUID": new_id(),
        "TIMESTAMP": utc_now(),
        "BYTEA": f"bytes {number}".encode(),
        "JSONB": {"n": number, "text": "Größe"},
        "BOOLEAN": True,
        "ARRAY": ["a", "b"],
        "INET": "192.0.2.1",
        "INTEGER": number + 1,
        "BIGINT": number + 1,
        "SMALLINT": number + 1,
        "NUMERIC": number / 10,
        "REAL": number / 10,
        "DOUBLE_PRECISION": number / 10,
    }
    return values.get(type(column.type).__name__, f"{column.name} {number}")


def test_every_row_of_the_first_schema_survives_the_way_to_the_present_one(first_schema):
    with first_schema.begin() as connection:
        before = fill(connection)
        moved = {place: values(connection, *place) for place in MOVED}
        before = contents(connection, kept(before))
    assert len(before) >= 20
    assert all(len(rows) == ROWS_EACH for rows in before.values())
    assert migrate(first_schema) == head_revision()
    require_current(first_schema)
    with first_schema.begin() as connection:
        assert {place: values(connection, *MOVED[place]) for place in moved} == moved
        after = contents(connection, {name: list(columns) for name, columns in before})
        assert {name for name, _ in before} < set(parents(connection))
    assert after == before


def test_an_upgraded_schema_equals_a_new_one(first_schema, engine):
    def columns(bind) -> list[tuple]:
        with bind.connect() as connection:
            rows = connection.execute(
                text(
                    "SELECT table_name, column_name, data_type, is_nullable, column_default"
                    " FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2"
                )
            )
            return [tuple(row) for row in rows]

    migrate(first_schema)
    assert columns(first_schema) == columns(engine)


def test_a_ledger_of_the_first_schema_goes_on_where_it_was(first_schema):
    """Its days are summed, and its sources are read on from its newest live bucket instead of anew."""
    with first_schema.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO slo_bucket_5m (slo_id, bucket_start, good, total, measured_s, origin)"
                " VALUES ('orders', '2026-03-02 11:55Z', 9, 10, 300, 'live'),"
                " ('orders', '2026-03-02 12:00Z', 5, 5, 300, 'live'),"
                " ('drawn', '2026-03-02 12:00Z', 5, 5, 300, 'demo')"
            )
        )
        connection.execute(
            text(
                "INSERT INTO slo_bucket_1h (slo_id, bucket_start, good, total, measured_s)"
                " VALUES ('orders', '2026-03-02 11:00Z', 9, 10, 300), ('orders', '2026-03-02 12:00Z', 5, 5, 300),"
                " ('orders', '2026-03-03 00:00Z', 1, 2, 300)"
            )
        )
    migrate(first_schema)
    with first_schema.begin() as connection:
        read = connection.execute(text("SELECT slo_id, read_until = '2026-03-02 12:05Z' FROM slo_reading")).all()
        assert [tuple(row) for row in read] == [("orders", True)]
        connection.execute(text("DELETE FROM slo_bucket_1h WHERE bucket_start >= '2026-03-03Z'"))
        connection.execute(text("UPDATE slo_bucket_1h SET total = 6 WHERE bucket_start = '2026-03-02 12:00Z'"))
        days = connection.execute(
            text("SELECT bucket_start = '2026-03-02Z', good, total, measured_s FROM slo_bucket_1d WHERE group_key = ''")
        ).all()
    assert [tuple(row) for row in days] == [(True, 14, 16, 600)]
