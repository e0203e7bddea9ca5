"""A dashboard, and people and tokens to use it."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import psycopg
import pytest
from served import PASSWORD, Dashboard, dashboard_process
from sqlalchemy import create_engine

from analytics.core.ids import new_id
from analytics.store.engine import driver_url, session_scope
from dashboard.auth.accounts import create_user, new_token
from dashboard.auth.roles import Role
from dashboard.processes.servers import EmbeddedPostgres, EmbeddedValkey


@pytest.fixture(scope="session")
def web_dsn(postgres: EmbeddedPostgres) -> Iterator[str]:
    """The address of a migrated database shared by these tests."""
    name = f"web_{new_id().hex}"
    with psycopg.connect(postgres.dsn_of("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template_helmsight")
    yield postgres.dsn_of(name)
    with psycopg.connect(postgres.superuser_dsn, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def people(web_dsn: str) -> dict[str, str]:
    """One account of each role, all with the same password, and an API token of each; returns the tokens."""
    engine = create_engine(driver_url(web_dsn))
    tokens = {}
    with session_scope(engine) as session:
        for role in Role:
            email = f"{role.label}@example.org"
            create_user(session, email=email, name=role.label.title(), role=role, password=PASSWORD)
            tokens[role.label], _ = new_token(session, user_email=email, name="tests", role=role, expires_at=None)
    engine.dispose()
    return tokens


@pytest.fixture(scope="session")
def web(
    web_dsn: str, people: dict[str, str], valkey: EmbeddedValkey, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Dashboard]:
    """A running dashboard shared by these tests."""
    with dashboard_process(tmp_path_factory.mktemp("web"), dsn=web_dsn, redis_url=valkey.url) as running:
        yield running


@pytest.fixture
def as_role(web: Dashboard, people: dict[str, str]) -> Any:
    """Return a function that gives a client with the API token of a role."""
    clients: list[httpx.Client] = []

    def make(role: str) -> httpx.Client:
        clients.append(web.as_program(people[role]))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def new_person(web_dsn: str) -> Callable[..., str]:
    """Return a function that makes an account and returns its e-mail."""

    def make(role: Role = Role.VIEWER, *, must_change_password: bool = False) -> str:
        email = f"{new_id().hex}@example.org"
        engine = create_engine(driver_url(web_dsn))
        with session_scope(engine) as session:
            create_user(
                session,
                email=email,
                name="Somebody",
                role=role,
                password=PASSWORD,
                must_change_password=must_change_password,
            )
        engine.dispose()
        return email

    return make
