"""A database that counts its statements, one that does not, and a role without rights."""

from collections.abc import Callable, Iterator

import psycopg
import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session

from analytics.store.engine import driver_url
from dashboard.processes.servers import EmbeddedPostgres

PLAIN = "plain_reader"


@pytest.fixture(scope="module")
def counted(postgres: EmbeddedPostgres) -> Iterator[Engine]:
    """A database of these tests that counts its statements, with a table large enough for advice."""
    name = "counted_statements"
    with psycopg.connect(postgres.dsn_of("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template_helmsight")
    with psycopg.connect(as_superuser(postgres, name), autocommit=True) as connection:
        connection.execute("CREATE EXTENSION pg_stat_statements")
        connection.execute("CREATE EXTENSION pgstattuple")
    engine = create_engine(driver_url(postgres.dsn_of(name)))
    yield engine
    engine.dispose()
    with psycopg.connect(postgres.superuser_dsn, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def counted_session(counted: Engine) -> Iterator[Session]:
    """A session there."""
    with Session(counted) as session:
        yield session


@pytest.fixture
def superuser(postgres: EmbeddedPostgres, counted: Engine) -> Iterator[psycopg.Connection]:
    """Somebody there who may do everything."""
    with psycopg.connect(as_superuser(postgres, str(counted.url.database)), autocommit=True) as connection:
        yield connection


@pytest.fixture
def as_plain(postgres: EmbeddedPostgres) -> Iterator[Callable[[str], Session]]:
    """Return a function that opens a session in a database as a role that has no rights."""
    with psycopg.connect(postgres.superuser_dsn, autocommit=True) as connection:
        if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [PLAIN]).fetchone() is None:
            connection.execute(f"CREATE ROLE {PLAIN} LOGIN PASSWORD 'plain'")
    engines: list[Engine] = []
    sessions: list[Session] = []

    def open_in(database: str) -> Session:
        url = f"postgresql://{PLAIN}:plain@127.0.0.1:{postgres.port}/{database}"
        engines.append(create_engine(driver_url(url)))
        sessions.append(Session(engines[-1]))
        return sessions[-1]

    yield open_in
    for session in sessions:
        session.close()
    for engine in engines:
        engine.dispose()


def as_superuser(postgres: EmbeddedPostgres, database: str) -> str:
    """Return the address of *database* for the superuser."""
    return postgres.superuser_dsn.replace("/postgres?", f"/{database}?")
