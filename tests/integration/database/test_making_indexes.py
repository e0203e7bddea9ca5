"""Advised indexes made by the scheduler, through a real PostgreSQL: whatever happens meanwhile, they end well."""

import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from threading import Thread
from types import SimpleNamespace

import psycopg
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from analytics import database
from analytics.core.clock import utc_now
from analytics.core.errors import ConflictError, DependencyError, NotFoundError
from analytics.core.settings import Settings, StoreSettings
from analytics.database import making
from analytics.database.building import Patience
from analytics.database.making import PREFIX, made_name
from analytics.store.engine import session_scope
from analytics.store.partitions import drop_partition, ensure_month, partitions_of
from analytics.store.queries import audit
from worker.pools import scheduler

pytestmark = pytest.mark.integration

HASTY = Patience(alone=timedelta(milliseconds=200), in_the_way=timedelta(milliseconds=200))
COUNT = "SELECT count(*) FROM {table} WHERE tenant = :tenant"


@pytest.fixture
def place(counted: Engine) -> Iterator[Engine]:
    """The database that counts its statements, with a table that lacks an index, one in parts, and nothing made."""
    with session_scope(counted) as session:
        session.execute(text("CREATE TABLE lacking (id int PRIMARY KEY, tenant int)"))
        session.execute(text("INSERT INTO lacking SELECT g, g % 4000 FROM generate_series(1, 40000) g"))
        session.execute(text('CREATE TABLE "In parts" (id int, tenant int) PARTITION BY RANGE (id)'))
        for start in (0, 20000):
            session.execute(
                text(f'CREATE TABLE part{start} PARTITION OF "In parts" FOR VALUES FROM ({start}) TO ({start + 20000})')
            )
        session.execute(text('INSERT INTO "In parts" SELECT g, g % 4000 FROM generate_series(1, 39999) g'))
        session.execute(text("ANALYZE lacking"))
        session.execute(text('ANALYZE "In parts"'))
        for table in ("lacking", '"In parts"'):
            session.execute(text(COUNT.format(table=table)), {"tenant": 7})
    yield counted
    with session_scope(counted) as session:
        session.execute(text('DROP TABLE IF EXISTS lacking, "In parts"'))
        session.execute(text("DELETE FROM advised_index"))
        session.execute(text("DELETE FROM audit_log"))


def ask(engine: Engine, key: str = "lacking:tenant", actor: str = "admin@example.org") -> str:
    with session_scope(engine) as session:
        return database.request_index(session, key, actor=actor).name


def ask_drop(engine: Engine, name: str) -> None:
    with session_scope(engine) as session:
        database.request_drop(session, name, actor="admin@example.org")


def made(engine: Engine) -> dict:
    with session_scope(engine) as session:
        return {item.name: item for item in database.made_indexes(session).value}


def there(engine: Engine) -> dict[str, bool]:
    """Every index of ours by its name, and whether it works."""
    with session_scope(engine) as session:
        rows = session.execute(
            text(
                "SELECT c.relname, i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
                " WHERE c.relname LIKE 'hx\\_%'"
            )
        )
        return dict(tuple(row) for row in rows)


def plan(engine: Engine, table: str) -> str:
    with session_scope(engine) as session:
        return "\n".join(session.scalars(text(f"EXPLAIN SELECT * FROM {table} WHERE tenant = 7")))  # noqa: S608


def due_now(engine: Engine) -> None:
    with session_scope(engine) as session:
        session.execute(text("UPDATE advised_index SET due_at = now() WHERE due_at IS NOT NULL"))


def actions(engine: Engine) -> list[tuple[str, str]]:
    with session_scope(engine) as session:
        return [(row.actor, row.action) for row in reversed(audit.list_audit(session, action="index."))]


# ---- From the advice to the index, and back ----


def test_an_advised_index_is_made_used_and_dropped_again_and_the_audit_log_says_who(place: Engine):
    name = ask(place)
    assert name.startswith(PREFIX)
    assert there(place) == {}
    assert made(place)[name].state == "queued"
    assert database.keep_indexes(place) == 1
    assert there(place) == {name: True}
    assert name in plan(place, "lacking")
    with session_scope(place) as session:
        before = database.made_indexes(session).value[0].scans
        session.execute(text("SET LOCAL enable_seqscan = off"))
        session.execute(text(COUNT.format(table="lacking")), {"tenant": 8})
        session.execute(text("SELECT pg_stat_force_next_flush()"))
    with session_scope(place) as session:
        item = database.made_indexes(session).value[0]
    assert (item.state, item.is_valid, item.table, list(item.columns)) == ("ready", True, "lacking", ["tenant"])
    assert item.ready_at is not None
    assert item.size_bytes > 0
    assert "lacking:tenant" not in {item.key for item in advised(place)}
    ask_drop(place, name)
    assert database.keep_indexes(place) == 1
    assert there(place) == {}
    assert made(place) == {}
    assert (before, item.scans) == (0, 1)
    assert item.last_used_at is not None
    assert actions(place) == [
        ("admin@example.org", "index.requested"),
        ("scheduler", "index.made"),
        ("admin@example.org", "index.drop_requested"),
        ("scheduler", "index.dropped"),
    ]


def test_statements_of_the_role_that_only_reads_are_advised_for_and_those_of_others_not(
    place: Engine, postgres, as_plain
):
    name = str(place.url.database)
    with session_scope(place) as session:
        session.execute(
            text("CREATE TABLE read_only AS SELECT g % 4000 AS a, g % 4000 AS b FROM generate_series(1, 40000) g")
        )
        session.execute(text("ANALYZE read_only"))
        session.execute(text("GRANT SELECT ON read_only TO PUBLIC"))
    try:
        with psycopg.connect(postgres.reader_dsn_of(name)) as connection:
            connection.execute("SELECT count(*) FROM read_only WHERE a = 7")
        with as_plain(name) as session:
            session.execute(text("SELECT count(*) FROM read_only WHERE b = 7"))
        assert [item.key for item in advised(place) if item.table == "read_only"] == ["read_only:a"]
    finally:
        with session_scope(place) as session:
            session.execute(text("DROP TABLE read_only"))


def test_what_is_asked_for_twice_is_made_once(place: Engine):
    name = ask(place)
    assert ask(place, actor="second@example.org") == name
    database.keep_indexes(place)
    assert ask(place) == name
    assert database.keep_indexes(place) == 0
    assert made(place)[name].requested_by == "admin@example.org"
    ask_drop(place, name)
    ask_drop(place, name)
    with pytest.raises(ConflictError, match="being dropped"):
        ask(place)
    database.keep_indexes(place)
    assert ask(place) == name
    assert database.keep_indexes(place) == 1
    assert there(place) == {name: True}
    requested = [action for _, action in actions(place) if action == "index.requested"]
    assert len(requested) == 2


def test_nobody_can_name_a_table_a_statement_or_an_index_of_the_schema(place: Engine):
    for key in ("lacking:id", "app_user:email", "lacking; DROP TABLE lacking", ""):
        with pytest.raises(NotFoundError, match="nothing was asked for"):
            ask(place, key)
    for name in ("lacking_pkey", "pk_app_user", "hx_unknown"):
        with pytest.raises(NotFoundError, match="nothing was dropped"):
            ask_drop(place, name)
    assert database.keep_indexes(place) == 0
    assert actions(place) == []


def test_an_index_that_somebody_dropped_by_hand_is_shown_as_gone_and_can_be_made_again(place: Engine):
    name = ask(place)
    database.keep_indexes(place)
    with session_scope(place) as session:
        session.execute(text(f"DROP INDEX {name}"))
    assert (made(place)[name].state, made(place)[name].is_valid) == ("ready", None)
    assert ask(place) == name
    assert database.keep_indexes(place) == 1
    assert there(place) == {name: True}


# ---- Tables in parts ----


def test_a_table_in_parts_gets_its_index_part_by_part_and_later_parts_have_it_too(place: Engine):
    name = ask(place, "In parts:tenant")
    database.keep_indexes(place)
    parts = {made_name("public", part, ["tenant"]) for part in ("part0", "part20000")}
    assert there(place) == dict.fromkeys({name, *parts}, True)
    assert plan(place, '"In parts"').count("Index Scan on hx_part") == 2
    with session_scope(place) as session:
        session.execute(text('CREATE TABLE part40000 (LIKE "In parts" INCLUDING DEFAULTS)'))
        session.execute(text('ALTER TABLE "In parts" ATTACH PARTITION part40000 FOR VALUES FROM (40000) TO (60000)'))
        assert session.scalar(text("SELECT indisvalid FROM pg_index WHERE indrelid = 'part40000'::regclass"))
    assert made(place)[name].is_valid
    ask_drop(place, name)
    database.keep_indexes(place)
    assert there(place) == {}


def test_a_month_of_events_gets_the_index_and_takes_it_along_when_it_is_dropped(place: Engine):
    last_year = utc_now() - timedelta(days=400)
    with session_scope(place) as session:
        ensure_month(session.connection(), ["event"], utc_now())
        session.execute(
            text(
                "INSERT INTO event (id, at, kind, source, service) SELECT gen_random_uuid(), now(), 'web.view', 'web',"
                " 's' || g % 3000 FROM generate_series(1, 15000) g"
            )
        )
        session.execute(text("ANALYZE event"))
        session.execute(text("SELECT count(*) FROM event WHERE service = :service"), {"service": "s7"})
    name = ask(place, "event:service")
    database.keep_indexes(place)
    with session_scope(place) as session:
        [month] = ensure_month(session.connection(), ["event"], last_year)
        columns = session.scalars(
            text("SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = to_regclass(:month)"),
            {"month": month},
        )
        assert any("(service)" in column for column in columns)
    with place.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        drop_partition(connection, next(item for item in partitions_of(connection, "event") if item.name == month))
    assert made(place)[name].is_valid
    ask_drop(place, name)
    database.keep_indexes(place)
    assert there(place) == {}
    with session_scope(place) as session:
        session.execute(text("DELETE FROM event"))


# ---- Whatever happens meanwhile ----


def test_a_transaction_in_the_way_is_waited_for_so_long_then_cleared_up_after_and_tried_again(place: Engine):
    name = ask(place)
    with Session(place) as busy:
        busy.execute(text("UPDATE lacking SET tenant = 1 WHERE id = 1"))
        for attempt in (1, 2):
            assert database.keep_indexes(place, patience=HASTY) == 1
            item = made(place)[name]
            assert (item.state, item.attempts) == ("queued", attempt)
            assert "held the table for too long" in item.error
            assert item.due_at > utc_now()
            assert there(place) == {name: False}, "what it left waits for the same transaction"
            assert database.keep_indexes(place) == 0
            due_now(place)
        database.keep_indexes(place, patience=HASTY)
        assert made(place)[name].state == "failed"
        assert actions(place)[-1] == ("scheduler", "index.failed")
        busy.rollback()
    due_now(place)
    database.keep_indexes(place)
    assert there(place) == {}
    assert (made(place)[name].state, made(place)[name].due_at) == ("failed", None)
    assert ask(place) == name
    assert (made(place)[name].state, made(place)[name].error) == ("queued", None)
    database.keep_indexes(place)
    assert there(place) == {name: True}


def test_a_table_in_parts_goes_on_with_the_part_that_failed_and_can_be_dropped_half_made(place: Engine):
    name = ask(place, "In parts:tenant")
    first, second = (made_name("public", part, ["tenant"]) for part in ("part0", "part20000"))
    with Session(place) as busy:
        busy.execute(text("UPDATE part20000 SET tenant = 1 WHERE id = 20001"))
        database.keep_indexes(place, patience=HASTY)
        assert there(place) == {name: False, first: True, second: False}
        with session_scope(place) as session:
            report = database.index_findings(session).value
        assert {item.index: item.kind for item in report.items if item.index == name} == {name: "invalid"}
        busy.rollback()
    due_now(place)
    database.keep_indexes(place)
    assert there(place) == {name: True, first: True, second: True}
    ask_drop(place, name)
    database.keep_indexes(place)
    assert ask(place, "In parts:tenant") == name
    with Session(place) as busy:
        busy.execute(text("UPDATE part20000 SET tenant = 1 WHERE id = 20001"))
        database.keep_indexes(place, patience=HASTY)
        busy.rollback()
    ask_drop(place, name)
    database.keep_indexes(place)
    assert there(place) == {}


def test_two_at_once_make_it_once(place: Engine):
    name = ask(place)
    found: list[int] = []
    with Session(place) as busy:
        busy.execute(text("UPDATE lacking SET tenant = 1 WHERE id = 1"))
        first = Thread(target=lambda: found.append(database.keep_indexes(place)))
        first.start()
        until_waiting(place)
        assert database.keep_indexes(place) == 0
        busy.rollback()
    first.join()
    assert found == [1]
    assert there(place) == {name: True}


def test_a_killed_scheduler_leaves_a_statement_that_ends_and_the_next_finds_it_made(place: Engine):
    name = ask(place)
    with Session(place) as busy:
        busy.execute(text("UPDATE lacking SET tenant = 1 WHERE id = 1"))
        process = subprocess.Popen([sys.executable, "-c", ALONE, place.url.render_as_string(hide_password=False)])
        until_waiting(place)
        process.kill()
        process.wait()
        assert database.keep_indexes(place) == 0, "the statement that was begun still holds the lock"
        assert made(place)[name].state == "building"
        busy.rollback()
    until_free(place)
    assert there(place) == {name: True}
    assert database.keep_indexes(place) == 1
    assert made(place)[name].state == "ready"


def test_an_index_that_broke_with_its_connection_is_shown_and_made_anew(place: Engine):
    name = ask(place)
    failed: list[DependencyError] = []

    def make() -> None:
        try:
            database.keep_indexes(place)
        except DependencyError as error:
            failed.append(error)

    with Session(place) as busy:
        busy.execute(text("UPDATE lacking SET tenant = 1 WHERE id = 1"))
        first = Thread(target=make)
        first.start()
        busy.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": until_waiting(place)})
        first.join()
        busy.rollback()
    assert len(failed) == 1
    assert (made(place)[name].state, made(place)[name].is_valid) == ("building", False)
    with session_scope(place) as session:
        report = database.index_findings(session).value
    [shown] = [item for item in report.items if item.index == name]
    assert (shown.kind, shown.reason) == ("invalid", "Helmsight has not come to the end of making it.")
    assert database.keep_indexes(place) == 1
    assert there(place) == {name: True}
    assert made(place)[name].attempts == 2


def test_what_never_comes_to_its_end_is_given_up_and_cleared_away(place: Engine, superuser):
    name = ask(place)
    with place.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("UPDATE advised_index SET state = 'building', attempts = 3"))
        connection.execute(text(f"CREATE INDEX {name} ON lacking (tenant)"))
    superuser.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass(%s)", [name])
    assert there(place) == {name: False}
    database.keep_indexes(place)
    assert there(place) == {}
    assert "never came to its end" in made(place)[name].error


def test_a_table_of_another_role_is_left_alone(place: Engine, superuser):
    name = ask(place)
    superuser.execute("ALTER TABLE lacking OWNER TO CURRENT_USER")
    database.keep_indexes(place)
    superuser.execute("ALTER TABLE lacking OWNER TO helmsight")
    assert made(place)[name].state == "failed"
    assert "belongs to another role" in made(place)[name].error
    assert there(place) == {}


# ---- By itself ----


def test_by_itself_one_index_a_day_is_made_and_never_one_that_was_dropped(place: Engine, monkeypatch):
    monkeypatch.setattr(making, "LEAST_SAVED_S", 0.0)
    monkeypatch.setattr(making, "LEAST_SHARE", 0.0)
    monkeypatch.setattr(making, "SHORTEST_WATCH", timedelta(0))
    now = utc_now()

    def best(now: datetime) -> str | None:
        with session_scope(place) as session:
            found = database.request_best(session, now=now)
        return None if found is None else found.advice

    first = best(now)
    assert first in {"lacking:tenant", "In parts:tenant"}
    assert best(now + timedelta(hours=23)) is None, "one was made within a day"
    [item] = made(place).values()
    assert item.is_automatic
    assert actions(place) == [("auto-index", "index.requested")]
    database.keep_indexes(place)
    ask_drop(place, item.name)
    database.keep_indexes(place)
    second = best(now + timedelta(hours=25))
    assert second in {"lacking:tenant", "In parts:tenant"} - {first}
    assert best(now + timedelta(days=4)) not in {first, second}


@pytest.mark.parametrize("is_on", [False, True])
def test_the_scheduler_advises_itself_only_where_that_is_set(place: Engine, monkeypatch, is_on: bool):
    asked: list[object] = []
    monkeypatch.setattr(scheduler, "request_best", lambda *_, **__: asked.append(1))
    settings = Settings(store=StoreSettings(auto_index=is_on))
    process = SimpleNamespace(settings=settings, engine=place, redis=None)
    next(tick for tick in scheduler.ticks(process) if tick.name == "advise_index").work()
    assert len(asked) == is_on


ALONE = """
import sys
from sqlalchemy import create_engine
from analytics.database import keep_indexes
keep_indexes(create_engine(sys.argv[1]))
"""


def advised(engine: Engine):
    with session_scope(engine) as session:
        return database.index_advice(session).value.items


def until_waiting(engine: Engine) -> int:
    """Wait until whoever makes indexes waits for a lock; return its process id."""
    return until(
        engine,
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name = 'helmsight-indexes' AND wait_event_type = 'Lock'",
    )


def until_free(engine: Engine) -> None:
    """Wait until nobody makes indexes any more."""
    until(
        engine,
        "SELECT 1 WHERE NOT EXISTS (SELECT FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'helmsight-indexes')",
    )


def until(engine: Engine, question: str) -> int:
    deadline = time.monotonic() + 30
    while True:
        with session_scope(engine) as session:
            found = session.scalar(text(question))
        if found is not None:
            return found
        assert time.monotonic() < deadline, question
        time.sleep(0.02)
