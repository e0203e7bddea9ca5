import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, create_engine, text

from analytics.core.errors import ConfigError
from analytics.store.engine import driver_url
from analytics.store.migrate import current_revision, head_revision, migrate, require_current
from analytics.store.tables import Base

pytestmark = pytest.mark.integration


@pytest.fixture
def empty(empty_dsn: str) -> Engine:
    return create_engine(driver_url(empty_dsn))


def test_an_empty_database_gets_every_table_and_the_partitions_ahead(empty):
    assert migrate(empty) == head_revision()
    with empty.connect() as connection:
        tables = {
            row[0] for row in connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname='public'"))
        }
    assert set(Base.metadata.tables) <= tables
    assert sum(name.startswith("run_y") for name in tables) == 4
    empty.dispose()


def test_the_migrations_and_the_mapped_tables_say_the_same(engine):
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "include_object": _ours, "compare_server_default": False}
        )
        assert compare_metadata(context, Base.metadata) == []


def _ours(item, name, kind, _reflected, _other):
    if kind == "table":
        return not name.startswith("alembic") and "_y20" not in name
    # Alembic does not read back indexes on expressions; the tables' own tests use them.
    return not (kind == "index" and any("DESC" in str(part) or "to_tsvector" in str(part) for part in item.expressions))


def test_migrating_twice_changes_nothing(engine):
    before = current_revision(engine)
    assert migrate(engine) == before


def test_an_empty_database_is_refused_with_what_to_run(empty):
    with pytest.raises(ConfigError, match="helmsight migrate"):
        require_current(empty)
    empty.dispose()


def test_a_schema_from_the_future_is_refused_and_left_alone(engine):
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigError, match="newer Helmsight"):
        migrate(engine)
    assert current_revision(engine) == "9999"
