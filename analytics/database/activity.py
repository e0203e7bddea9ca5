"""Who waits for whom: sessions that wait for locks, those that hold them, and transactions that are old."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from analytics.database.model import Activity, LongSession, Waiting
from analytics.database.section import Missing, Section, grant_sql, read_section, role_of
from analytics.database.texts import without_values

LONG = timedelta(minutes=5)
"""From when a transaction is worth a look: it keeps dead rows of all tables from being taken away."""


def activity(session: Session) -> Section[Activity]:
    """Return sessions that wait for locks, those that hold them, and transactions older than five minutes."""
    return read_section(session, _read, "sessions and locks")


def _read(session: Session, missing: list[Missing]) -> Activity:
    rows = {row.pid: row for row in session.execute(_SESSIONS, {"long_s": LONG.total_seconds()})}
    blockers = {row.pid: [pid for pid in row.blockers if pid != row.pid] for row in rows.values() if row.lock}
    waiting = [_waiting(row, blockers[row.pid]) for row in rows.values() if row.lock]
    behind = blocked_by(blockers)
    long_s = LONG.total_seconds()
    sessions = [
        _session(row, len(behind.get(row.pid, ())), is_root=not row.lock)
        for row in rows.values()
        if behind.get(row.pid) or (row.transaction_s or 0) >= long_s
    ]
    if any(row.is_hidden for row in rows.values()):
        missing.append(
            Missing(
                f"The role {role_of(session)} may not see what sessions of other roles do.",
                "That they wait or block is shown; their statements, and old transactions of theirs, are not.",
                grant_sql(role_of(session)),
            )
        )
    waiting.sort(key=lambda row: -(row.waits_s or 0.0))
    sessions.sort(key=lambda row: (-row.blocks, -(row.transaction_s or 0.0)))
    return Activity(waiting, sessions)


def blocked_by(blockers: Mapping[int, Sequence[int]]) -> dict[int, set[int]]:
    """Return who waits for each blocker, directly or through others.

    Args:
        blockers: Whom each waiting session waits for; they may wait for each other in a ring for a moment, before
            PostgreSQL notices.
    """
    found: dict[int, set[int]] = {}
    for pid in blockers:
        seen: set[int] = set()
        ahead = list(blockers[pid])
        while ahead:
            blocker = ahead.pop()
            if blocker in seen or blocker == pid:
                continue
            seen.add(blocker)
            found.setdefault(blocker, set()).add(pid)
            ahead += blockers.get(blocker, ())
    return found


def _waiting(row: Row[Any], blockers: Sequence[int]) -> Waiting:
    waits_s = None if row.waits_s is None else float(row.waits_s)
    return Waiting(row.pid, _program(row), _text(row), waits_s, row.lock, row.relation, blockers)


def _session(row: Row[Any], blocks: int, *, is_root: bool) -> LongSession:
    is_active = row.state in {"active", "fastpath function call"}
    return LongSession(
        pid=row.pid,
        program=_program(row),
        state=row.state or "not known",
        text=_text(row),
        transaction_s=None if row.transaction_s is None else float(row.transaction_s),
        blocks=blocks,
        is_root=is_root,
        sql=f"SELECT {'pg_cancel_backend' if is_active else 'pg_terminate_backend'}({row.pid});",
    )


def _program(row: Row[Any]) -> str:
    return row.program or row.backend or "(no name)"


def _text(row: Row[Any]) -> str:
    return "" if row.is_hidden else without_values(row.query or "")


_SESSIONS = text("""
    WITH wait AS (
        SELECT DISTINCT ON (pid) pid, waitstart, mode || ' on ' || locktype AS lock, relation, database
        FROM pg_locks WHERE NOT granted ORDER BY pid, waitstart
    ), waiting AS (
        SELECT wait.*, pg_blocking_pids(pid) AS blockers FROM wait
    )
    SELECT a.pid, a.application_name AS program, a.backend_type AS backend, a.state, a.query,
           a.query = '<insufficient privilege>' AS is_hidden,
           extract(epoch FROM clock_timestamp() - a.xact_start) AS transaction_s, w.lock, w.blockers,
           extract(epoch FROM clock_timestamp() - w.waitstart) AS waits_s,
           CASE WHEN w.database = a.datid THEN (SELECT relname FROM pg_class WHERE oid = w.relation) END AS relation
    FROM pg_stat_activity a LEFT JOIN waiting w USING (pid)
    WHERE a.datid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND a.pid <> pg_backend_pid()
          AND (w.pid IS NOT NULL OR a.pid IN (SELECT unnest(blockers) FROM waiting)
               OR a.query = '<insufficient privilege>'
               OR a.xact_start < clock_timestamp() - make_interval(secs => :long_s))
    ORDER BY a.xact_start
    LIMIT 500
""")
