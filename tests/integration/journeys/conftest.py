"""One database for all tests of journeys; what a test writes is taken back."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session

from analytics.core.ids import new_id
from analytics.journeys.events import NewEvent, event_id
from analytics.journeys.ingest import store
from analytics.store.engine import driver_url
from dashboard.processes.servers import EmbeddedPostgres

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
Tell = Callable[..., list[NewEvent]]


@pytest.fixture(scope="session")
def journeys_engine(postgres: EmbeddedPostgres) -> Iterator[Engine]:
    """An engine on a database that these tests share."""
    name = f"journeys_{new_id().hex}"
    with psycopg.connect(postgres.dsn_of("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template_helmsight")
    engine = create_engine(driver_url(postgres.dsn_of(name)))
    yield engine
    engine.dispose()


@pytest.fixture
def committing_engine(journeys_engine: Engine) -> Iterator[Engine]:
    """An engine for what has to be committed; it is removed at the end of the test."""
    yield journeys_engine
    with journeys_engine.begin() as connection:
        connection.execute(text("TRUNCATE event, lead, context, rollup_dirty"))


@pytest.fixture
def session(journeys_engine: Engine) -> Iterator[Session]:
    """A session whose changes are taken back at the end of the test."""
    with journeys_engine.connect() as connection, connection.begin() as transaction:
        with Session(connection, expire_on_commit=False, join_transaction_mode="create_savepoint") as session:
            yield session
        transaction.rollback()


@pytest.fixture
def tell(session: Session) -> Tell:
    """A function that stores what a person does: (minutes after noon, kind), … with what all of it has."""

    def store_all(person: str, *acts: tuple[float, str], **more: object) -> list[NewEvent]:
        events = []
        for minutes, kind in acts:
            told = new_id().hex
            own = {"source": "test", **more, "subject": person}
            events.append(NewEvent(event_id("test", told), told, NOON + timedelta(minutes=minutes), kind, **own))
        store(session, events)
        return events

    return store_all
