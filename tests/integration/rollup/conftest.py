"""A store with the months around a fixed present, and facts to put into it."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, insert, text

from analytics.core.ids import new_id
from analytics.core.settings import Settings, StoreSettings
from analytics.rollup.cuts import FACTS
from analytics.store.engine import make_engine, session_scope
from analytics.store.partitions import PARTITIONED, ensure_month
from analytics.store.tables import AgentRun
from dashboard.processes.servers import EmbeddedPostgres

NOW = datetime(2026, 3, 18, 10, 30, tzinfo=UTC)
PROJECT = uuid.UUID(int=7)
TABLES = sorted({"rollup_hour", "rollup_day", "rollup_dirty", "job_cursor", *(fact.table for fact in FACTS.values())})


@pytest.fixture(scope="session")
def rollup_database(postgres: EmbeddedPostgres) -> Iterator[Engine]:
    """A database that all tests of the rollup share, because making one takes longer than they do."""
    name = f"test_{new_id().hex}"
    with psycopg.connect(postgres.dsn_of("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template_helmsight")
    dsn = postgres.dsn_of(name)
    engine = make_engine(Settings(store=StoreSettings(dsn=SecretStr(dsn))), role="test")
    yield engine
    engine.dispose()
    with psycopg.connect(postgres.superuser_dsn, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@contextmanager
def cleared(engine: Engine) -> Iterator[Engine]:
    """Let a test or an example start from a store without facts that can take those of January to March."""
    with session_scope(engine) as session:
        for month in (1, 2, 3):
            ensure_month(session.connection(), PARTITIONED, datetime(2026, month, 1, tzinfo=UTC))
        session.execute(text("TRUNCATE " + ", ".join(TABLES)))
    yield engine


@pytest.fixture
def store(rollup_database: Engine) -> Iterator[Engine]:
    """A store without facts."""
    with cleared(rollup_database) as engine:
        yield engine


def add_runs(engine: Engine, *ago: timedelta, **values: Any) -> list[uuid.UUID]:
    """Add agent runs, each started the given time before now; return their ids."""
    rows = []
    for since in ago:
        start = NOW - since
        row = {"id": new_id(), "started_at": start, "agent_id": "planner", "task_kind": "plan", "cost_usd": None}
        rows.append(row | {"status": "completed", "finished_at": start + timedelta(seconds=8)} | values)
    with session_scope(engine) as session:
        session.execute(insert(AgentRun), rows)
    return [row["id"] for row in rows]
