"""``sql.query`` as a role that may only read: whatever a statement calls, it reaches no secret and nobody's session."""

from collections.abc import Iterator

import pytest
from pydantic import SecretStr
from runs_kit import ended, hosting, node, store
from sqlalchemy import Engine, text

from analytics.core.errors import ConfigError
from analytics.core.settings import Settings
from analytics.store.engine import session_scope
from analytics.store.reading import let_read
from dashboard.processes.servers import EmbeddedPostgres

pytestmark = pytest.mark.integration

HIDDEN = "SELECT * FROM ts_stat('SELECT to_tsvector(''simple'', password_hash) FROM app_user')"
"""Reads a table that its own plan does not name."""


@pytest.fixture
def reading(quick: Settings, engine: Engine, postgres: EmbeddedPostgres) -> Settings:
    """Settings with a role that may only read, which was let read."""
    dsn = postgres.reader_dsn_of(str(engine.url.database))
    settings = named(quick, dsn)
    assert let_read(engine, settings) == "helmsight_reader"
    with session_scope(engine) as session:
        session.execute(
            text(
                "INSERT INTO app_user (id, email, name, role, password_hash)"
                " VALUES (gen_random_uuid(), 'ada@example.org', 'Ada', 'viewer', 'hashofada')"
            )
        )
        session.execute(text("ANALYZE app_user"))
    return settings


def named(settings: Settings, dsn: str) -> Settings:
    changed = settings.store.model_copy(update={"reader_dsn": SecretStr(dsn)})
    return settings.model_copy(update={"store": changed})


@pytest.fixture
def reader(reading: Settings) -> Iterator[None]:
    with hosting(reading):
        yield


def asked(engine: Engine, door, name: str, statement: str):
    store(engine, name, node("q", kind="sql.query", sql=statement, retries=0))
    return ended(engine, door.queue_run(workflow=name, params={}, requested_by=None).run_id)


def test_questions_are_answered_as_before_and_as_the_role_that_reads(engine, door, reader):
    found = asked(
        engine,
        door,
        "ask",
        "SELECT current_user::text AS who, current_setting('application_name') AS program,"
        " current_setting('transaction_read_only') AS read_only, (SELECT count(*) FROM run) AS runs,"
        " (SELECT count(*) FROM event) AS events, (SELECT count(*) FROM kpi_threshold) AS bounds",
    )
    expected = {"who": "helmsight_reader", "program": "helmsight-reader", "read_only": "on"}
    assert found.output["q"]["rows"] == [{**expected, "runs": 1, "events": 0, "bounds": 0}]


REFUSED = [
    HIDDEN,
    "SELECT query_to_xml('SELECT * FROM app_user', true, true, '')::text AS x",
    "SELECT password_hash FROM app_user",
    f"SELECT set_config('role', 'helmsight', true) AS r, word FROM ({HIDDEN}) hidden",  # noqa: S608
    "SELECT lo_import('/etc/passwd') AS x",
    "SELECT pg_terminate_backend(pid) AS x FROM pg_stat_get_activity(NULL) WHERE pid <> pg_backend_pid()",
]


@pytest.mark.parametrize("statement", REFUSED)
def test_what_a_statement_hides_in_a_text_or_calls_is_refused(engine, door, reader, statement):
    found = asked(engine, door, "refused", statement)
    assert found.row.status == "failed"
    assert "permission denied" in found.error["message"]


def test_values_of_secrets_are_not_in_statistics_either(engine, door, reader):
    found = asked(engine, door, "statistics", "SELECT * FROM pg_stats WHERE tablename = 'app_user'")
    assert found.output["q"]["rows"] == []


def test_a_lock_that_a_statement_takes_ends_with_it(engine, door, reader):
    found = asked(engine, door, "lock", "SELECT pg_advisory_lock(4711)::text AS x")
    assert found.row.status == "completed"
    with session_scope(engine) as session:
        held = session.scalar(text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711"))
    assert held == 0


def test_granting_twice_is_granting_once_and_new_tables_are_read_from_then_on(engine, door, reader, reading):
    with session_scope(engine) as session:
        session.execute(text('CREATE TABLE "Later" (id int)'))
    assert "permission denied" in asked(engine, door, "early", 'SELECT * FROM "Later"').error["message"]
    let_read(engine, reading)
    assert asked(engine, door, "late", 'SELECT * FROM "Later"').output["q"]["row_count"] == 0


def test_a_role_that_is_not_there_or_may_do_more_is_not_taken(engine, quick, postgres):
    with pytest.raises(ConfigError, match="does not have"):
        let_read(engine, named(quick, "postgresql://nobody_known@127.0.0.1/x"))
    for mighty in (quick.dsn, postgres.superuser_dsn):
        with pytest.raises(ConfigError, match="may do more than read"):
            let_read(engine, named(quick, mighty))
    assert let_read(engine, quick) is None
