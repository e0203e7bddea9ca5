"""The server and our database now, and its settings beside what we advise."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from analytics.database.model import Connections, Replica, ServerState, SettingCheck
from analytics.database.section import Missing, Section, grant_sql, read_section, role_of

OURS = "helmsight-"
"""How the names of our programs begin."""


def server_state(session: Session) -> Section[ServerState]:
    """Return how the server and our database are."""
    return read_section(session, _state, "the state of the server")


def check_settings(session: Session) -> Section[Sequence[SettingCheck]]:
    """Return settings beside what we advise, those that are wrong first."""
    return read_section(session, _settings, "the settings")


def _state(session: Session, missing: list[Missing]) -> ServerState:
    row = session.execute(_STATE).one()
    if not row.can_see_all:
        missing.append(
            Missing(
                f"The role {row.role} may not see what other roles do.",
                "Sessions and statements of other roles are counted, but what they do is not shown.",
                grant_sql(row.role),
            )
        )
    touched = row.blks_hit + row.blks_read
    return ServerState(
        version=row.version,
        database=row.database,
        role=row.role,
        can_see_all=row.can_see_all,
        started_at=row.started_at,
        stats_since=row.stats_reset,
        size_bytes=row.size_bytes,
        is_replica=row.is_replica,
        connections=[_connections(found) for found in session.execute(_CONNECTIONS)],
        used_connections=row.used_connections,
        max_connections=row.max_connections,
        hit_ratio=row.blks_hit / touched if touched else None,
        commits=row.xact_commit,
        rollbacks=row.xact_rollback,
        deadlocks=row.deadlocks,
        temp_bytes=row.temp_bytes,
        xid_age=row.xid_age,
        replicas=[Replica(*found) for found in session.execute(_REPLICAS)],
    )


def _connections(row: Row[tuple[object, ...]]) -> Connections:
    longest = None if row.longest is None else float(row.longest)
    program = row.program or "(no name)"
    return Connections(program, program.startswith(OURS), row.active, row.idle, row.in_transaction, row.other, longest)


@dataclass(frozen=True, slots=True)
class _Wish:
    """What we advise for one setting."""

    name: str
    wanted: str
    is_met: Callable[[str], bool]
    why: str
    put: str
    """The value for ALTER SYSTEM; ``{value}`` is the present one."""
    needs_restart: bool = False


def _on(value: str) -> bool:
    return value == "on"


_WISHES = (
    _Wish(
        "shared_preload_libraries",
        "with pg_stat_statements",
        lambda value: "pg_stat_statements" in value,
        "Without it nobody knows which statements cost the time.",
        "{value}",
        needs_restart=True,
    ),
    _Wish(
        "max_connections",
        "100 or more",
        lambda value: int(value) >= 100,  # noqa: PLR2004 - the advice itself
        "Each process of ours keeps a pool of connections.",
        "100",
        needs_restart=True,
    ),
    _Wish(
        "track_activity_query_size",
        "2048 or more",
        lambda value: int(value) >= 2048,  # noqa: PLR2004
        "Longer statements are cut where sessions and locks are shown.",
        "2048",
        needs_restart=True,
    ),
    _Wish(
        "log_min_duration_statement",
        "0 to 1000 ms",
        lambda value: 0 <= int(value) <= 1000,  # noqa: PLR2004
        "A slow statement leaves a line in the log, with its values.",
        "1000",
    ),
    _Wish("track_io_timing", "on", _on, "Tells how long reading and writing takes; costs next to nothing.", "on"),
    _Wish("track_counts", "on", _on, "Autovacuum and the figures of tables and indexes rest on it.", "on"),
    _Wish("autovacuum", "on", _on, "Without it tables grow and plans go wrong.", "on"),
    _Wish("log_lock_waits", "on", _on, "A wait for a lock of more than a second leaves a line in the log.", "on"),
    _Wish("fsync", "on", _on, "Without it a crash of the machine may lose the database.", "on"),
    _Wish("full_page_writes", "on", _on, "Without it a crash of the machine may tear pages.", "on"),
)


def _settings(session: Session, missing: list[Missing]) -> list[SettingCheck]:
    found = {row.name: row.setting for row in session.execute(_SETTINGS, {"names": [wish.name for wish in _WISHES]})}
    checks = [_check(wish, found) for wish in _WISHES]
    hidden = [check.name for check in checks if check.value is None]
    if hidden:
        missing.append(
            Missing(
                f"The role {role_of(session)} may not see {', '.join(hidden)}.",
                "Whether they are as advised is not known.",
                grant_sql(role_of(session)),
            )
        )
    return sorted(checks, key=lambda check: (check.is_ok is not False, check.is_ok is not None))


def _check(wish: _Wish, found: Mapping[str, str]) -> SettingCheck:
    value = found.get(wish.name)
    is_ok = None if value is None else wish.is_met(value)
    statement = None
    if value is not None and not is_ok:
        put = ", ".join(filter(None, (value, "pg_stat_statements"))) if wish.put == "{value}" else f"'{wish.put}'"
        then = "-- then restart PostgreSQL" if wish.needs_restart else "SELECT pg_reload_conf();"
        statement = f"ALTER SYSTEM SET {wish.name} = {put};\n{then}"
    return SettingCheck(wish.name, value, wish.wanted, is_ok, wish.why, statement, wish.needs_restart)


_STATE = text("""
    SELECT current_setting('server_version') AS version, current_database() AS database, current_user AS role,
           pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS can_see_all,
           pg_postmaster_start_time() AS started_at, d.stats_reset,
           pg_database_size(current_database()) AS size_bytes, pg_is_in_recovery() AS is_replica,
           (SELECT CAST(sum(numbackends) AS int) FROM pg_stat_database) AS used_connections,
           CAST(current_setting('max_connections') AS int)
               - CAST(current_setting('superuser_reserved_connections') AS int)
               - CAST(current_setting('reserved_connections') AS int) AS max_connections,
           d.blks_hit, d.blks_read, d.xact_commit, d.xact_rollback, d.deadlocks, d.temp_bytes,
           (SELECT age(datfrozenxid) FROM pg_database WHERE datname = current_database()) AS xid_age
    FROM pg_stat_database d WHERE d.datname = current_database()
""")
_CONNECTIONS = text("""
    SELECT application_name AS program, count(*) FILTER (WHERE state = 'active') AS active,
           count(*) FILTER (WHERE state = 'idle') AS idle,
           count(*) FILTER (WHERE state LIKE 'idle in transaction%') AS in_transaction,
           count(*) FILTER (WHERE state IS NULL
                            OR state NOT IN ('active', 'idle') AND state NOT LIKE 'idle in transaction%') AS other,
           extract(epoch FROM clock_timestamp() - min(xact_start)) AS longest
    FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
    GROUP BY application_name ORDER BY count(*) DESC, application_name LIMIT 50
""")
_REPLICAS = text("""
    WITH written AS (
        SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END AS lsn
    )
    SELECT coalesce(nullif(application_name, ''), CAST(pid AS text)), 'stream', coalesce(state, 'not known'),
           CAST(pg_wal_lsn_diff(lsn, replay_lsn) AS bigint), CAST(extract(epoch FROM replay_lag) AS float8)
    FROM pg_stat_replication, written
    UNION ALL
    SELECT slot_name, 'slot', CASE WHEN active THEN 'in use' ELSE 'not in use' END,
           CAST(pg_wal_lsn_diff(lsn, restart_lsn) AS bigint), NULL
    FROM pg_replication_slots, written
    ORDER BY 2, 1
""")
_SETTINGS = text("SELECT name, setting FROM pg_settings WHERE name = ANY(:names)")
