"""What somebody should look at: rules over what the sections say, each with the numbers it rests on."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy.orm import Session

from analytics.core.words import duration, percent, plural, size_bytes
from analytics.database.activity import activity
from analytics.database.advice import index_advice
from analytics.database.indexes import index_findings
from analytics.database.model import (
    Activity,
    AdviceReport,
    Finding,
    IndexReport,
    ServerState,
    SettingCheck,
    Severity,
    Statements,
    TableState,
)
from analytics.database.relations import tables
from analytics.database.section import Section
from analytics.database.server import check_settings, server_state
from analytics.database.statements import statements

T = TypeVar("T")

CONNECTIONS_WARNING, CONNECTIONS_CRITICAL = 0.8, 0.95
HIT_RATIO = 0.9
BLOCKED_S, BLOCKED_CRITICAL_S = 5.0, 60.0
IDLE_S = 600.0
XID_WARNING, XID_CRITICAL = 1_000_000_000, 1_800_000_000
SLOT_BYTES = 2**30
DEAD_SHARE, DEAD_ROWS = 0.2, 100_000
BLOAT_SHARE, BLOAT_BYTES = 0.4, 100 * 2**20
STATEMENT_SHARE, STATEMENT_S = 0.5, 60.0
ADVICE_SHARE, ADVICE_S = 0.05, 10.0
UNUSED_BYTES = 100 * 2**20
UNUSED_AFTER = timedelta(days=7)
"""Scans have to be counted for so long before an index may be called unused: some are for the end of a week."""
_RANK: dict[Severity, int] = {"critical": 0, "warning": 1, "note": 2}
_DATA_SAFETY = frozenset({"fsync", "full_page_writes"})


def database_findings(session: Session, *, now: datetime) -> Sequence[Finding]:
    """Return what is wrong with the database, the worst first; empty when nothing was found.

    What could not be read is judged by nobody, and has no finding.
    """
    found = [
        *_of(server_state(session), of_server),
        *_of(activity(session), of_activity),
        *_of(check_settings(session), of_settings),
        *_of(tables(session, now=now), of_tables),
        *_of(index_findings(session), lambda report: of_indexes(report, now=now)),
        *_of(statements(session, limit=1), of_statements),
        *_of(index_advice(session), of_advice),
    ]
    return sorted(found, key=lambda item: _RANK[item.severity])


def _of(section: Section[T], rule: Callable[[T], Iterator[Finding]]) -> list[Finding]:
    return [] if section.value is None else list(rule(section.value))


def of_server(state: ServerState) -> Iterator[Finding]:
    """Return what the server itself says."""
    used = state.used_connections / max(state.max_connections, 1)
    if used >= CONNECTIONS_WARNING:
        yield Finding(
            "connections",
            "critical" if used >= CONNECTIONS_CRITICAL else "warning",
            "Connections run out",
            f"{state.used_connections} of {state.max_connections} are in use ({percent(used)}).",
            "End programs that are not needed, make pools smaller, or raise max_connections and restart.",
            None,
        )
    idle = max((item.longest_transaction_s or 0.0 for item in state.connections if item.idle_in_transaction), default=0)
    if idle >= IDLE_S:
        yield Finding(
            "idle_in_transaction",
            "warning",
            "A transaction is left open",
            f"Sessions are idle in a transaction; the oldest began {duration(idle)} ago.",
            "Find the program in the section Locks and end its session; give it a timeout.",
            "ALTER SYSTEM SET idle_in_transaction_session_timeout = '10min';\nSELECT pg_reload_conf();",
        )
    if state.xid_age >= XID_WARNING:
        yield Finding(
            "xid_age",
            "critical" if state.xid_age >= XID_CRITICAL else "warning",
            "Old rows have to be frozen",
            f"The oldest is {state.xid_age:,} transactions old; at 2,000 million PostgreSQL stops writing.",
            "End old transactions and unused slots, then freeze.",
            "VACUUM (FREEZE, VERBOSE);",
        )
    if state.hit_ratio is not None and state.hit_ratio < HIT_RATIO:
        yield Finding(
            "hit_ratio",
            "note",
            "Much is read from outside of shared buffers",
            f"{percent(state.hit_ratio)} of blocks were found there, less than {percent(HIT_RATIO)}.",
            "Look at the statements by what they read first; then consider more shared_buffers.",
            None,
        )
    for item in state.replicas:
        if item.kind == "slot" and item.state == "not in use" and (item.is_behind_bytes or 0) >= SLOT_BYTES:
            yield Finding(
                f"slot:{item.name}",
                "warning",
                f"The replication slot {item.name} fills the disk",
                f"Nobody reads it, and {size_bytes(item.is_behind_bytes)} of log are kept for it.",
                "Start its replica, or drop the slot.",
                "SELECT pg_drop_replication_slot('{}');".format(item.name.replace("'", "''")),
            )


def of_activity(found: Activity) -> Iterator[Finding]:
    """Return what is held up now."""
    waits = [item.waits_s or 0.0 for item in found.waiting]
    if waits and max(waits) >= BLOCKED_S:
        root = next((item for item in found.sessions if item.is_root and item.blocks), None)
        by = f" The first in their way is {root.program}, process {root.pid}." if root is not None else ""
        yield Finding(
            "blocked_sessions",
            "critical" if max(waits) >= BLOCKED_CRITICAL_S else "warning",
            "Sessions wait for locks",
            f"{plural(len(waits), 'session')}, the longest for {duration(max(waits))}.{by}",
            "Look at what the first one does in the section Locks; end it when nobody needs it.",
            root.sql if root is not None else None,
        )


def of_settings(checks: Sequence[SettingCheck]) -> Iterator[Finding]:
    """Return settings that are not as advised."""
    for check in checks:
        if check.is_ok is False:
            yield Finding(
                f"setting:{check.name}",
                "critical" if check.name in _DATA_SAFETY else "note",
                f"{check.name} is {check.value or 'empty'}",
                f"Advised: {check.wanted}. {check.why}",
                "Change it; the server has to be restarted." if check.needs_restart else "Change it.",
                check.sql,
            )


def of_tables(found: Sequence[TableState]) -> Iterator[Finding]:
    """Return tables that vacuum does not keep up with, or that hold much of nothing."""
    for table in found:
        if table.is_vacuum_due and table.dead_rows >= DEAD_ROWS and (table.dead_share or 0.0) >= DEAD_SHARE:
            yield Finding(
                f"dead_rows:{table.name}",
                "warning",
                f"{table.name} has many dead rows",
                f"{table.dead_rows:,} rows are dead, {percent(table.dead_share)} of all.",
                "Look for old transactions in the section Locks, then vacuum.",
                f"VACUUM (VERBOSE, ANALYZE) {table.name};",
            )
        bloat = table.bloat_bytes or 0
        if bloat >= BLOAT_BYTES and bloat >= BLOAT_SHARE * table.table_bytes:
            how = "measured" if table.is_bloat_exact else "estimated"
            yield Finding(
                f"bloat:{table.name}",
                "note",
                f"{table.name} holds much empty space",
                f"{size_bytes(bloat)} of {size_bytes(table.table_bytes)} ({how}).",
                "New rows use it up by themselves. VACUUM FULL gives it back, but locks the table all the while.",
                None,
            )


def of_indexes(report: IndexReport, *, now: datetime) -> Iterator[Finding]:
    """Return indexes that are broken, and unused ones once they were counted for long enough."""
    for item in report.items:
        if item.kind == "invalid":
            yield Finding(
                f"index:{item.index}", "warning", f"The index {item.index} is broken", item.reason, "Mend it.", item.sql
            )
    idle = [item for item in report.items if item.kind != "invalid"]
    size = sum(item.size_bytes for item in idle)
    if size >= UNUSED_BYTES and report.since is not None and now - report.since >= UNUSED_AFTER:
        yield Finding(
            "spare_indexes",
            "note",
            "Indexes bring nothing",
            f"{plural(len(idle), 'index', 'indexes')} with {size_bytes(size)} are unused or doubled.",
            "Look through them in the section Indexes, and drop what no yearly report needs.",
            None,
        )


def of_statements(found: Statements) -> Iterator[Finding]:
    """Return a statement that takes most of the time."""
    for item in found.items[:1]:
        if (item.share or 0.0) >= STATEMENT_SHARE and item.total_s >= STATEMENT_S:
            yield Finding(
                f"statement:{item.id}",
                "note",
                "One statement takes most of the time",
                f"{percent(item.share)} of all: {item.calls:,} calls, {duration(item.mean_s)} each.",
                "Look at it in the section Statements, and whether an index is advised for it.",
                None,
            )


def of_advice(report: AdviceReport) -> Iterator[Finding]:
    """Return indexes that would save a good part of the time."""
    for item in report.items:
        if (item.share or 0.0) >= ADVICE_SHARE and item.saves_s >= ADVICE_S:
            yield Finding(
                f"advice:{item.table}:{','.join(item.columns)}",
                "warning",
                f"{item.table} lacks an index on {', '.join(item.columns)}",
                f"{item.reason} About {percent(item.share)} of the time of all statements would be saved (estimated).",
                "Try it beside the statements it is for, then create it.",
                item.sql,
            )
