"""Indexes that people ask for from the advice, and which of them there are; :mod:`building` makes and drops them.

Nobody sends SQL: a request names an advice by its key, and its table and columns are those of the advice that is made
from the plans there and then.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from analytics.core.errors import ConflictError, InputError, NotFoundError
from analytics.database.advice import index_advice
from analytics.database.model import AdviceReport, IndexAdvice, MadeIndex
from analytics.database.section import Missing, Section, read_section
from analytics.store.queries import audit

PREFIX = "hx_"
"""Names of indexes that Helmsight made begin with it; none of the schema's own do."""
AUTOMATIC = "auto-index"
"""Who asked, in the audit log, when nobody did."""
SHORTEST_WATCH = timedelta(days=1)
"""Statements have to be counted for so long before an index is made by itself: a night's load is not a pattern."""
LEAST_SHARE, LEAST_SAVED_S, LEAST_GAIN = 0.05, 60.0, 10.0
"""Of the time of all statements, of seconds, and how many times cheaper reading becomes; it takes all three."""
LARGEST_BYTES = 256 * 2**20
"""Of an index that is made by itself, estimated; a larger one takes its time, and somebody's decision."""
MOST_AUTOMATIC = 10
BETWEEN_AUTOMATIC = timedelta(days=1)
_LONGEST_NAME = 63


def made_name(schema: str, table: str, columns: Sequence[str]) -> str:
    """Return the name of the index on *columns* of a table: the same for the same, and another for others."""
    told = hashlib.sha256("\0".join((schema, table, *columns)).encode()).hexdigest()[:8]
    readable = f"{PREFIX}{table}_{'_'.join(columns)}".encode()[: _LONGEST_NAME - 9].decode(errors="ignore")
    return f"{readable}_{told}"


def made_indexes(session: Session) -> Section[Sequence[MadeIndex]]:
    """Return the indexes that were asked for and not dropped again, the newest first, with their use since then."""

    def read(session: Session, missing: list[Missing]) -> Sequence[MadeIndex]:
        del missing
        return [_made(row) for row in session.execute(_MADE, {"name": None})]

    return read_section(session, read, "the indexes made here")


def request_index(session: Session, key: str, *, actor: str) -> MadeIndex:
    """Ask for the index that is advised as *key*; asked for twice, it is made once.

    One that failed is tried again.

    Raises:
        NotFoundError: If no such index is advised; nothing was asked for.
        ConflictError: If it is being dropped.
    """
    known = _of_advice(session, key)
    if known is not None and known.state == "dropping":
        raise ConflictError("This index is being dropped; nothing was asked for. Try again when it is gone.")
    if known is not None and known.state in {"queued", "building"}:
        return known
    report = index_advice(session)
    advice = next((item for item in report.value.items if item.key == key), None) if report.value else None
    if advice is not None:
        return _request(session, advice, actor=actor, is_automatic=False)
    if known is not None and known.state == "ready" and known.is_valid:
        return known
    if not report.value and report.missing:
        raise InputError(f"{report.missing[0].what} No index can be advised, so none was asked for.")
    raise NotFoundError("No such index is advised, or no longer; nothing was asked for. Look at the advice again.")


def request_drop(session: Session, name: str, *, actor: str) -> MadeIndex:
    """Ask for an index that was made from its advice to be dropped; asked for twice, it is dropped once.

    Raises:
        NotFoundError: If no such index was made from its advice; nothing was asked for.
    """
    changed = session.execute(_DROP, {"name": name}).one_or_none()
    found = _named(session, name)
    if found is None:
        raise NotFoundError("Helmsight made no such index from its advice; nothing was dropped.")
    if changed is not None:
        audit.record(
            session, actor=actor, action="index.drop_requested", object_type="index", object_id=name,
            detail={"table": found.table, "columns": list(found.columns)},
        )  # fmt: skip
    return found


def request_best(session: Session, *, now: datetime) -> MadeIndex | None:
    """Ask for the best index that is advised beyond doubt; return it, or None when there is none.

    At most one a day, and never one that was made before, even if it was dropped since. For the scheduler; safe to
    run twice.
    """
    row = session.execute(_AUTOMATIC).one()
    if row.present >= MOST_AUTOMATIC or (row.newest is not None and now - row.newest < BETWEEN_AUTOMATIC):
        return None
    report = index_advice(session).value
    if report is None:
        return None
    known = set(session.scalars(text("SELECT advice FROM advised_index")))
    best = next((item for item in beyond_doubt(report, now=now) if item.key not in known), None)
    return None if best is None else _request(session, best, actor=AUTOMATIC, is_automatic=True)


def beyond_doubt(report: AdviceReport, *, now: datetime) -> list[IndexAdvice]:
    """Return what of *report* is worth an index without anybody's decision, the greatest gain first."""
    if report.since is None or now - report.since < SHORTEST_WATCH:
        return []
    return [
        item
        for item in report.items
        if (item.share or 0.0) >= LEAST_SHARE
        and item.saves_s >= LEAST_SAVED_S
        and item.cost_before >= LEAST_GAIN * item.cost_after
        and item.size_bytes is not None
        and item.size_bytes <= LARGEST_BYTES
    ]


def _request(session: Session, advice: IndexAdvice, *, actor: str, is_automatic: bool) -> MadeIndex:
    table = advice.table.removeprefix(f"{advice.schema}.") if advice.schema != "public" else advice.table
    name = made_name(advice.schema, table, advice.columns)
    values = {
        "name": name,
        "advice": advice.key,
        "schema": advice.schema,
        "table": table,
        "columns": list(advice.columns),
        "reason": advice.reason,
        "is_automatic": is_automatic,
        "actor": actor,
    }
    if session.execute(_REQUEST, values).one_or_none() is not None:
        audit.record(
            session, actor=actor, action="index.requested", object_type="index", object_id=name,
            detail={"table": advice.table, "columns": list(advice.columns), "reason": advice.reason},
        )  # fmt: skip
    found = _named(session, name)
    if found is None:
        raise ConflictError("This index was dropped at the same moment; nothing was asked for.")
    return found


def _named(session: Session, name: str) -> MadeIndex | None:
    row = session.execute(_MADE, {"name": name}).one_or_none()
    return None if row is None else _made(row)


def _of_advice(session: Session, key: str) -> MadeIndex | None:
    name = session.scalar(text("SELECT name FROM advised_index WHERE advice = :key"), {"key": key})
    return None if name is None else _named(session, name)


def _made(row: Row[Any]) -> MadeIndex:
    return MadeIndex(**row._asdict())


_PLACE = "to_regclass(quote_ident(a.schema_name) || '.' || quote_ident(a.name))"
_REQUEST = text("""
    INSERT INTO advised_index AS a
        (name, advice, schema_name, table_name, columns, reason, state, is_automatic, requested_by, due_at)
    VALUES (:name, :advice, :schema, :table, :columns, :reason, 'queued', :is_automatic, :actor, now())
    ON CONFLICT (name) DO UPDATE
        SET state = 'queued', reason = excluded.reason, is_automatic = excluded.is_automatic, requested_at = now(),
            requested_by = excluded.requested_by, due_at = now(), attempts = 0, error = NULL, ready_at = NULL
        -- One that is advised although it is in place is not there any more, or broken.
        WHERE a.state IN ('ready', 'failed', 'dropped')
    RETURNING a.name
""")
_DROP = text("""
    UPDATE advised_index SET state = 'dropping', due_at = now(), attempts = 0, error = NULL
    WHERE name = :name AND state IN ('queued', 'building', 'ready', 'failed')
    RETURNING name
""")
_AUTOMATIC = text("""
    SELECT count(*) FILTER (WHERE state <> 'dropped') AS present, max(requested_at) AS newest
    FROM advised_index WHERE is_automatic
""")
_MADE = text(f"""
    SELECT a.name, a.advice,
           CASE a.schema_name WHEN 'public' THEN a.table_name ELSE a.schema_name || '.' || a.table_name END AS table,
           a.columns, a.reason, a.state, i.indisvalid AND i.indisready AS is_valid, a.is_automatic, a.requested_at,
           a.requested_by, a.ready_at, a.due_at, a.attempts, a.error, used.size_bytes, used.scans,
           CASE WHEN used.scans IS NOT NULL THEN greatest(a.ready_at, d.stats_reset) END AS scans_since,
           used.last_used_at
    FROM advised_index a
    LEFT JOIN pg_index i ON i.indexrelid = {_PLACE}
    LEFT JOIN pg_stat_database d ON d.datname = current_database()
    LEFT JOIN LATERAL (
        SELECT CAST(sum(pg_relation_size(relid)) AS bigint) AS size_bytes,
               CAST(sum(pg_stat_get_numscans(relid)) AS bigint) AS scans,
               max(pg_stat_get_lastscan(relid)) AS last_used_at
        FROM (SELECT i.indexrelid UNION SELECT relid FROM pg_partition_tree(i.indexrelid)) own (relid)
    ) used ON i.indexrelid IS NOT NULL
    WHERE CASE WHEN CAST(:name AS text) IS NULL THEN a.state <> 'dropped' ELSE a.name = :name END
    ORDER BY a.requested_at DESC, a.name
    LIMIT 500
""")  # noqa: S608 - our own text
