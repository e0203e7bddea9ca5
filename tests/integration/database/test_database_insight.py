"""What PostgreSQL says of itself, through a real one."""

import re
from datetime import timedelta
from threading import Thread

import psycopg
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from analytics import database
from analytics.core.clock import utc_now
from analytics.core.errors import DependencyError, InputError
from analytics.database.findings import of_activity, of_indexes, of_tables
from analytics.database.section import read_section
from analytics.sources.system import Measurement, record
from analytics.store.engine import session_scope
from analytics.store.partitions import ensure_partitions

pytestmark = pytest.mark.integration

READERS = {
    "state": database.server_state,
    "settings": database.check_settings,
    "statements": database.statements,
    "advice": database.index_advice,
    "indexes": database.index_findings,
    "tables": lambda session: database.tables(session, now=utc_now()),
    "activity": database.activity,
    "io": database.io_report,
}


@pytest.fixture(scope="module")
def big(counted: Engine) -> str:
    """A table of 40,000 rows without a second index, read by tenant and kind a few times."""
    with session_scope(counted) as session:
        session.execute(text("CREATE TABLE big (id int PRIMARY KEY, tenant int, kind text, at timestamptz, note text)"))
        session.execute(
            text(
                "INSERT INTO big SELECT g, g % 400, 'k' || g % 5, now() - g * interval '1 minute', repeat('x', 200)"
                " FROM generate_series(1, 40000) g"
            )
        )
        session.execute(text("ANALYZE big"))
    with session_scope(counted) as session:
        for tenant in range(5):
            values = {"tenant": tenant, "kind": "k1"}
            session.execute(
                text(
                    "SELECT count(*) FROM big"
                    " WHERE tenant = :tenant AND kind = :kind AND at > now() - interval '9 days' AND note <> 'secret'"
                ),
                values,
            )
    return "big"


# ---- Every part, with and without rights and extensions ----


@pytest.mark.parametrize("name", READERS)
def test_each_part_can_be_read_with_rights_and_extensions(counted_session: Session, name: str):
    section = READERS[name](counted_session)
    assert section.value is not None, section.missing
    assert [item.what for item in section.missing] == []


def test_a_role_without_rights_is_told_what_is_missing_and_how_to_get_it(as_plain, big: str):
    session = as_plain("counted_statements")
    found = {name: read(session) for name, read in READERS.items()}
    assert {name for name, section in found.items() if section.value is None} == set()
    state, settings, statements = found["state"], found["settings"], found["statements"]
    assert not state.value.can_see_all
    assert state.missing[0].sql == 'GRANT pg_monitor TO "plain_reader";'
    assert next(check for check in settings.value if check.name == "shared_preload_libraries").is_ok is None
    assert "shared_preload_libraries" in settings.missing[0].what
    assert "hidden" in statements.missing[0].what
    assert all(item.is_ours for item in statements.value.items)
    assert [item.sql.split(" TO ")[0] for item in found["tables"].missing] == [
        'GRANT SELECT ON "metric_sample"',
        "GRANT pg_stat_scan_tables",
    ]
    assert session.scalar(text("SELECT 1")) == 1


def test_a_refused_extension_is_told_with_the_grant(as_plain, counted: Engine, postgres):
    address = postgres.superuser_dsn.replace("/postgres?", "/counted_statements?")
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("REVOKE SELECT ON pg_stat_statements FROM PUBLIC")
        try:
            session = as_plain("counted_statements")
            [missing] = database.statements(session).missing
            assert "may not read pg_stat_statements" in missing.what
            assert missing.sql.startswith('GRANT SELECT ON "public".pg_stat_statements')
            assert database.index_advice(session).missing == (missing,)
            assert isinstance(database.database_findings(session, now=utc_now()), list)
        finally:
            connection.execute("GRANT SELECT ON pg_stat_statements TO PUBLIC")


def test_without_the_extension_everything_else_is_there(session: Session):
    found = {name: read(session) for name, read in READERS.items()}
    assert {name for name, section in found.items() if section.value is None} == {"statements", "advice"}
    assert found["statements"].missing[0].sql == "CREATE EXTENSION pg_stat_statements;"
    assert "pgstattuple is not installed" in found["tables"].missing[0].what


def test_a_part_that_writes_or_takes_too_long_or_is_refused_harms_nobody(session: Session):
    def reader(statement: str):
        return lambda session, _: session.execute(text(statement)).all()

    session.execute(text("CREATE TABLE kept (a int)"))
    written = read_section(session, reader("INSERT INTO kept VALUES (1) RETURNING a"), "it")
    slow = read_section(session, reader("SELECT pg_sleep(9)"), "it", timeout=timedelta(milliseconds=20))
    refused = read_section(session, reader("SELECT * FROM pg_authid"), "it")
    assert "read-only transaction" in written.missing[0].what
    assert "longer than 0.02 s" in slow.missing[0].what
    assert refused.missing[0].sql.startswith("GRANT pg_monitor TO ")
    assert session.scalar(text("SELECT count(*) FROM kept")) == 0


def test_an_outage_is_no_missing_part(engine: Engine, postgres):
    def cut(session: Session, _: list) -> None:
        pid = session.scalar(text("SELECT pg_backend_pid()"))
        with psycopg.connect(postgres.superuser_dsn, autocommit=True) as connection:
            connection.execute("SELECT pg_terminate_backend(%s)", [pid])
        session.execute(text("SELECT 1"))

    with pytest.raises(DependencyError), session_scope(engine) as session:
        read_section(session, cut, "it")


# ---- Statements and index advice ----


def test_statements_are_listed_by_what_they_cost_without_values(counted_session: Session, big: str):
    found = database.statements(counted_session, order="read", limit=100).value
    assert found.count > 0
    [ours] = [item for item in found.items if "FROM big" in item.text]
    assert ours.is_ours
    assert ours.calls == 5
    assert "secret" not in ours.text
    by_time = database.statements(counted_session, limit=5).value.items
    assert [item.total_s for item in by_time] == sorted((item.total_s for item in by_time), reverse=True)
    database.index_advice(counted_session)
    assert not any("GENERIC_PLAN" in item.text for item in database.statements(counted_session, limit=100).value.items)
    others = database.statements(counted_session, whose="others").value.items
    assert others
    assert not any(item.is_ours for item in others)
    with pytest.raises(InputError, match="nothing was read"):
        database.statements(counted_session, order="magic")


def test_the_advised_index_is_used_and_then_not_advised_again(counted: Engine, big: str):
    with session_scope(counted) as session:
        before = database.index_advice(session).value
        [advice] = [item for item in before.items if item.table == big]
    assert list(advice.columns) == ["tenant", "kind", "at"]
    with counted.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(advice.sql))
    try:
        with session_scope(counted) as session:
            [[plan]] = (
                session.execute(
                    text(
                        "EXPLAIN (FORMAT JSON) SELECT * FROM big"
                        " WHERE tenant = 7 AND kind = 'k1' AND at > now() - interval '9 days'"
                    )
                ).scalar_one(),
            )
            real = plan["Plan"]["Total Cost"]
            size = session.scalar(text("SELECT pg_relation_size('ix_big_tenant_kind_at')"))
            after = database.index_advice(session).value
    finally:
        with session_scope(counted) as session:
            session.execute(text("DROP INDEX ix_big_tenant_kind_at"))
    assert real < advice.cost_before / 5
    assert advice.cost_after / 5 < real < 5 * advice.cost_after
    assert advice.size_bytes / 2 < size < 2 * advice.size_bytes
    assert [item for item in after.items if item.table == big] == []


def test_advice_for_a_partitioned_table_can_be_run_as_it_stands(counted: Engine):
    with session_scope(counted) as session:
        ensure_partitions(session.connection(), since=utc_now())
        session.execute(
            text(
                "INSERT INTO event (id, at, kind, source, service) SELECT gen_random_uuid(), now(), 'web.view', 'web',"
                " 's' || g % 3000 FROM generate_series(1, 15000) g"
            )
        )
        session.execute(text("ANALYZE event"))
        session.execute(text("SELECT count(*) FROM event WHERE service = :service"), {"service": "s7"})
        report = database.index_advice(session).value
    [advice] = [item for item in report.items if item.table == "event"]
    assert list(advice.columns) == ["service"]
    with counted.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for line in advice.sql.splitlines():
            connection.execute(text(line))
        assert connection.scalar(
            text("SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix_event_service'::regclass")
        )
        connection.execute(text("DROP INDEX ix_event_service"))


# ---- Indexes and tables ----


def test_unused_doubled_and_broken_indexes_are_told_apart(counted: Engine):
    with session_scope(counted) as session:
        session.execute(text("CREATE TABLE spare (a int, b int, c text, UNIQUE (a))"))
        session.execute(text("INSERT INTO spare SELECT g, g, 'x' FROM generate_series(1, 60000) g"))
        session.execute(text("INSERT INTO spare VALUES (-1, 1, 'x')"))
        for columns in ("a", "b", "b, c", "c, b"):
            name = "spare_" + columns.replace(", ", "_")
            session.execute(text(f"CREATE INDEX {name} ON spare ({columns})"))
    with (
        counted.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
        pytest.raises(Exception, match="could not create unique index"),
    ):
        connection.execute(text("CREATE UNIQUE INDEX CONCURRENTLY spare_broken ON spare (b)"))
    with session_scope(counted) as session:
        report = database.index_findings(session).value
        found = {item.index: item for item in report.items if item.table == "spare"}
    kinds = {name: item.kind for name, item in found.items()}
    assert kinds == {
        "spare_a": "duplicate",
        "spare_b": "duplicate",
        "spare_b_c": "unused",
        "spare_c_b": "unused",
        "spare_broken": "invalid",
    }
    assert "spare_a_key holds the same columns" in found["spare_a"].reason
    assert "spare_b_c begins with the same columns" in found["spare_b"].reason
    assert found["spare_b"].sql == 'DROP INDEX CONCURRENTLY "public"."spare_b";'
    assert found["spare_broken"].sql == 'REINDEX INDEX CONCURRENTLY "public"."spare_broken";'
    assert "index:spare_broken" in {item.id for item in of_indexes(report, now=utc_now())}


def test_dead_rows_and_empty_space_are_measured_or_estimated(counted: Engine, postgres):
    with session_scope(counted) as session:
        session.execute(text("CREATE TABLE holed (a int, b text) WITH (autovacuum_enabled = false)"))
        session.execute(text("INSERT INTO holed SELECT g, repeat('x', 100) FROM generate_series(1, 30000) g"))
    with session_scope(counted) as session:
        session.execute(text("DELETE FROM holed WHERE a % 3 > 0"))
    with session_scope(counted) as session:
        session.execute(text("ANALYZE holed"))
        session.execute(text("SELECT pg_stat_force_next_flush()"))
    with session_scope(counted) as session:
        [measured] = [row for row in database.tables(session, now=utc_now()).value if row.name == "holed"]
        session.execute(text("SAVEPOINT here"))
    assert measured.is_bloat_exact
    assert measured.dead_rows == 20_000
    assert measured.is_vacuum_due
    assert measured.bloat_bytes == pytest.approx(measured.table_bytes * 0.66, rel=0.15)
    address = postgres.superuser_dsn.replace("/postgres?", "/counted_statements?")
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("DROP EXTENSION pgstattuple")
        with session_scope(counted) as session:
            [estimated] = [row for row in database.tables(session, now=utc_now()).value if row.name == "holed"]
        connection.execute("CREATE EXTENSION pgstattuple")
    assert not estimated.is_bloat_exact
    assert estimated.bloat_bytes == pytest.approx(measured.bloat_bytes, rel=0.2)
    assert list(of_tables([measured])) == []


def test_growth_is_the_slope_of_the_sizes_that_were_sampled(session: Session):
    now = utc_now()
    for day in range(4):
        record(
            session, [Measurement("table_bytes", 1e6 * day, "bytes", {"table": "run"})], now - timedelta(days=3 - day)
        )
    for hours, size in ((2, 5e6), (0, 5.5e6)):
        record(session, [Measurement("table_bytes", size, "bytes", {"table": "event"})], now - timedelta(hours=hours))
    record(session, [Measurement("table_bytes", 5e6, "bytes", {"table": "agent_run"})], now)
    assert database.sample_sizes(session, now=now) >= 1
    found = {row.name: row for row in database.tables(session, now=now + timedelta(seconds=1), limit=200).value}
    assert found["run"].growth_bytes_per_day == pytest.approx(1e6)
    assert found["run"].growth_days == pytest.approx(3)
    assert found["run"].growth_bytes == pytest.approx(3e6)
    assert found["event"].growth_days == pytest.approx(2 / 24)
    assert found["event"].growth_bytes == pytest.approx(5e5), "what was seen, not what a day of it would be"
    once = found["agent_run"]
    assert (once.growth_bytes_per_day, once.growth_days, once.growth_bytes) == (None, None, None)


# ---- Locks ----


def test_who_waits_for_whom_is_shown_with_what_ends_it(counted: Engine):
    with session_scope(counted) as session:
        session.execute(text("CREATE TABLE fought (a int)"))
    with counted.connect() as holder, counted.connect() as second:
        holder.execute(text("LOCK TABLE fought"))
        holder_pid = holder.scalar(text("SELECT pg_backend_pid()"))
        second_pid = second.scalar(text("SELECT pg_backend_pid()"))
        waiter = Thread(target=lambda: second.execute(text("DELETE FROM fought WHERE 'secret' = 'x'")))
        waiter.start()
        with Session(counted) as session:
            found = _until_waiting(session, second_pid)
            plain_rules = list(of_activity(found))
        holder.rollback()
        waiter.join()
        second.rollback()
    [waiting] = found.waiting
    assert (waiting.pid, list(waiting.blockers), waiting.relation) == (second_pid, [holder_pid], "fought")
    assert waiting.waits_s >= 0
    assert "secret" not in waiting.text
    [root] = [item for item in found.sessions if item.is_root]
    assert (root.pid, root.blocks, root.state) == (holder_pid, 1, "idle in transaction")
    assert re.fullmatch(rf"SELECT pg_terminate_backend\({holder_pid}\);", root.sql)
    assert plain_rules == []  # a wait of an instant is nobody's business


def _until_waiting(session: Session, pid: int):
    for _ in range(2000):
        section = database.activity(session)
        session.rollback()
        if pid in {item.pid for item in section.value.waiting}:
            return section.value
    raise AssertionError("nobody waits")
