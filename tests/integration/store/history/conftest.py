"""One database for the tests of each file here; what a test writes is rolled back after it."""

from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session

from analytics.core.ids import new_id
from analytics.store.engine import driver_url
from dashboard.processes.servers import EmbeddedPostgres


@pytest.fixture(scope="module")
def shared_engine(postgres: EmbeddedPostgres) -> Iterator[Engine]:
    """An engine on a migrated database that the tests of a file share."""
    name = f"history_{new_id().hex}"
    with psycopg.connect(postgres.dsn_of("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template_helmsight")
    engine = create_engine(driver_url(postgres.dsn_of(name)))
    yield engine
    engine.dispose()
    with psycopg.connect(postgres.superuser_dsn, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def session(shared_engine: Engine) -> Iterator[Session]:
    """A session whose transaction is rolled back after the test."""
    with Session(shared_engine, expire_on_commit=False) as session:
        yield session
        session.rollback()
