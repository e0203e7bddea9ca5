"""The database: its figures, what needs a look, and the columns of its tables; SQL stands ready to be copied."""

from collections.abc import Sequence
from typing import TypeVar

import streamlit as st

from analytics.core.clock import utc_now
from analytics.database.model import (
    Activity,
    AdviceReport,
    Connections,
    Finding,
    IndexAdvice,
    IndexFinding,
    IndexReport,
    IoReport,
    IoRow,
    LongSession,
    MadeIndex,
    Replica,
    ServerState,
    SettingCheck,
    Statement,
    Statements,
    TableState,
    Waiting,
)
from analytics.database.section import Missing, Section
from analytics.store.engine import PoolState
from dashboard import formats
from dashboard.components import database_made, states, tables
from dashboard.components.status import Look
from dashboard.components.tables import Column
from dashboard.reading import Answer
from dashboard.zone import viewer_zone

T = TypeVar("T")

_SEVERITIES = {
    "critical": Look("Critical", ":material/error:", "red"),
    "warning": Look("Warning", ":material/warning:", "orange"),
    "note": Look("Note", ":material/info:", "blue"),
}
_OPEN = 3
"""So many findings are open at first."""
_SHORT = 160
ORDERS = {
    "total": "Total time",
    "mean": "Time of a call",
    "calls": "Calls",
    "rows": "Rows",
    "read": "Read from disk",
    "temp": "Temporary files",
}
WHOSE = {"all": "All roles", "ours": "Helmsight's role", "others": "Other roles"}


def settle(answer: Answer[Section[T]], what: str) -> T | None:
    """Return the value of a section, drawing what is missing from it, or why it is not there."""
    section = states.settle(answer, what)
    if section is None:
        return None
    for item in section.missing:
        draw_missing(item, is_whole=section.value is not None)
    return section.value


def draw_missing(item: Missing, *, is_whole: bool) -> None:
    """Say what is missing, what that costs, and how to get it; folded up where the rest is there."""
    what, costs = formats.escaped(item.what), formats.escaped(item.costs)
    if is_whole:
        with st.expander(f":material/info: {what}"):
            _draw_cure(costs, item.sql)
        return
    with st.container(border=True, gap="small"):
        st.markdown(f"**:material/visibility_off: {what}**")
        _draw_cure(costs, item.sql)


def _draw_cure(costs: str, sql: str | None) -> None:
    st.markdown(costs)
    if sql is not None:
        st.caption("An administrator of PostgreSQL can run, in this database:")
        st.code(sql, language=None, wrap_lines=True)


def draw_figures(state: ServerState, waiting: int | None) -> None:
    """Draw the figures that everybody asks for first."""
    with st.grid(6, min_column_width=130, key="database.figures"):
        st.metric("Size", formats.size_bytes(state.size_bytes), border=True, help="Of this database on disk.")
        st.metric(
            "Connections",
            f"{state.used_connections} of {state.max_connections}",
            border=True,
            help="Of the whole server; those kept for superusers are not counted.",
        )
        st.metric(
            "Waiting for locks", formats.NO_DATA if waiting is None else waiting, border=True, help="Sessions, now."
        )
        st.metric(
            "Found in buffers",
            formats.percent(state.hit_ratio),
            border=True,
            help=f"Blocks that did not have to be read from outside, since {_moment(state.stats_since)}.",
        )
        st.metric(
            "Deadlocks",
            f"{state.deadlocks:,}",
            border=True,
            help=f"In {state.commits + state.rollbacks:,} transactions since {_moment(state.stats_since)}.",
        )
        st.metric(
            "Temporary files",
            formats.size_bytes(state.temp_bytes),
            border=True,
            help="Written because work_mem was too small for a sort or a hash.",
        )
    kind = "replica" if state.is_replica else "primary"
    st.caption(
        f"PostgreSQL {state.version}, {kind}, up since {formats.moment(state.started_at, viewer_zone())}. Database"
        f" {formats.escaped(state.database)}, read as {formats.escaped(state.role)}. Figures count from the times they"
        " say; the time range above does not move them. But for indexes that are made from their advice, this page"
        " changes nothing: SQL is shown to be copied."
    )


def _moment(value: object) -> str:
    return "the database was made" if value is None else formats.moment(value, viewer_zone())  # type: ignore[arg-type]


def draw_findings(found: Sequence[Finding]) -> None:
    """Draw what somebody should look at, the worst first."""
    if not found:
        st.caption(":material/check_circle: Nothing of what is checked needs a look.")
        return
    for place, item in enumerate(found):
        look = _SEVERITIES[item.severity]
        title = f"{look.icon} {look.text} · {formats.escaped(item.title)}"
        is_open = item.severity != "note" and place < _OPEN
        with st.expander(title, expanded=is_open, key=f"database.finding.{item.id}"):
            st.markdown(f"{formats.escaped(item.evidence)}  \n{formats.escaped(item.action)}")
            if item.sql is not None:
                st.code(item.sql, language=None, wrap_lines=True)


# ---- Statements ----


def _line(text: str) -> str:
    short = " ".join(text.split())
    return short if len(short) <= _SHORT else f"{short[: _SHORT - 1]}…"


STATEMENT_COLUMNS: list[Column[Statement]] = [
    Column("Statement", lambda row: _line(row.text), width="large"),
    Column("Share of time", lambda row: row.share, "progress", help="Of the time of all statements of this database."),
    Column("Total (s)", lambda row: round(row.total_s, 3), "number", width="small"),
    Column("Calls", lambda row: row.calls, "number", width="small"),
    Column("Mean (ms)", lambda row: round(1000 * row.mean_s, 3), "number", width="small"),
    Column("Longest (ms)", lambda row: round(1000 * row.max_s, 1), "number", width="small"),
    Column("Rows", lambda row: row.rows, "number", width="small"),
    Column(
        "In buffers", lambda row: row.hit_ratio, "ratio", width="small", help="Blocks that were not read from disk."
    ),
    Column("Read", lambda row: row.read_bytes, "bytes", width="small"),
    Column("Temporary", lambda row: row.temp_bytes, "bytes", width="small"),
    Column("By", lambda row: "Helmsight's role" if row.is_ours else "Another role", width="small"),
]


def draw_statements(found: Statements) -> None:
    """Draw statements, and the whole text of the one that is marked."""
    if not found.items:
        states.empty("No statement was counted", "They are counted from the first one that runs.")
        return
    since = f" since {formats.moment(found.since, viewer_zone())}" if found.since is not None else ""
    lost = f" {found.forgotten:,} times the rarest were forgotten for want of room." if found.forgotten else ""
    st.caption(
        f"{len(found.items)} of {formats.plural(found.count, 'statement')}, {formats.duration(found.total_s)} in"
        f" all{since}.{lost} Values are taken out. Mark one to read all of it."
    )
    chosen = tables.table(
        found.items,
        STATEMENT_COLUMNS,
        alt=f"Statements by {ORDERS[found.order].lower()}, the greatest first",
        key=f"database.statements.{found.order}.{found.whose}",
        can_select=True,
        selected=0,
    )
    if chosen is not None:
        st.code(found.items[chosen].text, language=None, wrap_lines=True)


# ---- Indexes ----


def draw_advice(report: AdviceReport, made: Sequence[MadeIndex], *, can_change: bool) -> IndexAdvice | None:
    """Draw indexes that statements would use; return the one that the reader wants to be made."""
    judged = (
        f"{report.planned} of the {report.looked_at} dearest statements of Helmsight's role could be planned. They read"
        f" {formats.plural(report.scans, 'whole table')} with a condition: {report.small} too small to matter,"
        f" {report.unselective} with a condition that an index would not narrow, {report.served} with such an index"
        " already."
    )
    if not report.items:
        states.empty("No index is advised", judged, icon=":material/check_circle:")
        return None
    st.caption(judged)
    by_advice = {item.advice: item for item in made}
    wanted = None
    for place, item in enumerate(report.items):
        if _draw_advice(item, place, by_advice.get(item.key), can_change=can_change):
            wanted = item
    return wanted


def _draw_advice(item: IndexAdvice, place: int, made: MadeIndex | None, *, can_change: bool) -> bool:
    with st.container(border=True, gap="small", key=f"database.advice.{place}"):
        st.markdown(f"**{formats.escaped(item.table)}** ({formats.escaped(', '.join(item.columns))})")
        st.markdown(formats.escaped(item.reason))
        with st.grid(4, min_column_width=130):
            st.metric("Saves", formats.percent(item.share), help="Of the time of all statements; estimated.")
            st.metric("In all", formats.duration(item.saves_s), help="Of the time they took so far; estimated.")
            st.metric("Index size", formats.size_bytes(item.size_bytes), help="Estimated.")
            st.metric("Rows written", formats.number(item.writes), help="Each of them has to be put into the index.")
        st.code(item.sql, language=None, wrap_lines=True)
        used_by = f"{formats.plural(item.calls, 'call')} of {formats.plural(len(item.statements), 'statement')}"
        st.caption(
            f"For {used_by}. Cost by the planner's units: {formats.number(item.cost_before)} now,"
            f" about {formats.number(item.cost_after)} with it."
        )
        return database_made.draw_offer(item, made, can_change=can_change)


_KINDS = {
    "unused": Look("Unused", ":material/bedtime:", "gray"),
    "duplicate": Look("Duplicate", ":material/content_copy:", "orange"),
    "invalid": Look("Broken", ":material/error:", "red"),
}
INDEX_COLUMNS: list[Column[IndexFinding]] = [
    Column("Index", lambda row: row.index),
    Column("What", lambda row: _KINDS[row.kind], "state", width="small"),
    Column("Table", lambda row: row.table),
    Column("Size", lambda row: row.size_bytes, "bytes", width="small"),
    Column("Scans", lambda row: row.scans, "number", width="small"),
    Column("Why", lambda row: row.reason, width="large"),
]


def draw_indexes(report: IndexReport) -> None:
    """Draw indexes with something wrong, and what mends the one that is marked."""
    whole = f"{formats.plural(report.count, 'index', 'indexes')} with {formats.size_bytes(report.size_bytes)}"
    since = f"Scans are counted since {formats.moment(report.since, viewer_zone())}" if report.since else ""
    age = f" ({formats.age(report.since, now=utc_now())})" if report.since else ""
    if not report.items:
        states.empty(
            "No index is unused, doubled or broken", f"Of {whole}. {since}{age}.", icon=":material/check_circle:"
        )
        return
    st.caption(
        f"Of {whole}. {since}{age}; wait for a whole week, or for the end of a month, before you drop one. An index"
        " that only a replica uses looks unused here."
    )
    chosen = tables.choose(
        report.items, INDEX_COLUMNS, alt="Indexes that cost more than they bring", key="database.indexes"
    )
    if chosen is not None:
        st.code(f"-- {chosen.definition}\n{chosen.sql}", language=None, wrap_lines=True)


# ---- Tables ----


def _sampled(row: TableState) -> str | None:
    return None if row.growth_days is None else formats.duration(row.growth_days * 86_400)


TABLE_COLUMNS: list[Column[TableState]] = [
    Column("Table", lambda row: row.name),
    Column("Size", lambda row: row.total_bytes, "bytes", width="small"),
    Column("Indexes", lambda row: row.index_bytes, "bytes", width="small", help="Part of the size."),
    Column(
        "Growth",
        lambda row: row.growth_bytes,
        "bytes",
        width="small",
        help="In the time beside it: since the first sample of the last 30 days; sizes are sampled every hour.",
    ),
    Column("In", _sampled, width="small", help="The time that growth was seen over."),
    Column(
        "Rows", lambda row: row.rows, "number", width="small", help="As PostgreSQL estimates; empty: never counted."
    ),
    Column("Dead rows", lambda row: row.dead_share, "ratio", width="small", help="Share of rows that are dead."),
    Column(
        "Empty space", lambda row: row.bloat_bytes, "bytes", width="small", help="Bloat; estimated unless measured."
    ),
    Column("Read whole", lambda row: row.seq_scans, "number", width="small", help="Sequential scans."),
    Column("By index", lambda row: row.index_scans, "number", width="small"),
    Column("In buffers", lambda row: row.hit_ratio, "ratio", width="small"),
    Column("Rows written", lambda row: row.writes, "number", width="small"),
    Column("Parts", lambda row: row.parts or None, "number", width="small", help="Partitions."),
    Column("Vacuumed", lambda row: row.last_vacuum, "moment"),
]


def draw_tables(found: Sequence[TableState]) -> None:
    """Draw tables, the largest first."""
    due = [row.name for row in found if row.is_vacuum_due]
    if due:
        st.caption(f":material/cleaning_services: Due for vacuum: {formats.escaped(', '.join(due))}.")
    tables.table(found, TABLE_COLUMNS, alt="The largest tables", key="database.tables")


# ---- Locks ----

WAITING_COLUMNS: list[Column[Waiting]] = [
    Column("Process", lambda row: str(row.pid), width="small"),
    Column("Program", lambda row: row.program),
    Column("Waits", lambda row: formats.duration(row.waits_s), width="small"),
    Column("For", lambda row: f"{row.lock} {row.relation or ''}".strip()),
    Column("Held by", lambda row: ", ".join(map(str, row.blockers)) or None, width="small"),
    Column("Statement", lambda row: _line(row.text) or None, width="large"),
]
SESSION_COLUMNS: list[Column[LongSession]] = [
    Column("Process", lambda row: str(row.pid), width="small"),
    Column("Program", lambda row: row.program),
    Column("State", lambda row: row.state),
    Column("Open for", lambda row: formats.duration(row.transaction_s), width="small"),
    Column("Blocks", lambda row: row.blocks, "number", width="small", help="Sessions that wait for it in the end."),
    Column("Waits itself", lambda row: "No" if row.is_root else "Yes", width="small"),
    Column("Last statement", lambda row: _line(row.text) or None, width="large"),
]


def draw_locks(found: Activity) -> None:
    """Draw who waits for whom, and what ends the session that is marked."""
    if not found.waiting:
        st.caption(":material/check_circle: No session waits for a lock.")
    else:
        tables.table(found.waiting, WAITING_COLUMNS, alt="Sessions that wait for locks", key="database.waiting")
    st.subheader("In the way, or open for long", anchor=False)
    if not found.sessions:
        st.caption(":material/check_circle: No session blocks another, and no transaction is older than five minutes.")
        return
    chosen = tables.choose(
        found.sessions, SESSION_COLUMNS, alt="Sessions that block others or are old", key="database.sessions"
    )
    if chosen is not None:
        st.caption("What it did is rolled back:")
        st.code(chosen.sql, language=None)


# ---- Input and output ----

IO_COLUMNS: list[Column[IoRow]] = [
    Column("Process", lambda row: row.backend),
    Column("What", lambda row: f"{row.object}, {row.context}"),
    Column("Read", lambda row: row.read_bytes, "bytes", width="small"),
    Column("Reads", lambda row: row.reads, "number", width="small"),
    Column("Time of a read (ms)", lambda row: _each_ms(row.read_s, row.reads), "number"),
    Column("Written", lambda row: row.written_bytes, "bytes", width="small"),
    Column("Writes", lambda row: row.writes, "number", width="small"),
    Column("Found in buffers", lambda row: row.hits, "number", width="small"),
    Column("Evicted", lambda row: row.evictions, "number", width="small", help="Blocks that gave way to others."),
]


def _each_ms(took_s: float | None, count: int) -> float | None:
    return None if took_s is None or not count else round(1000 * took_s / count, 4)


def draw_io(report: IoReport) -> None:
    """Draw input and output."""
    if report.since is not None:
        st.caption(f"Of the whole server, since {formats.moment(report.since, viewer_zone())}.")
    tables.table(report.items, IO_COLUMNS, alt="Input and output by kind of process", key="database.io")


# ---- The server ----


def _took(seconds: float | None) -> str | None:
    return None if seconds is None else formats.duration(seconds)


CONNECTION_COLUMNS: list[Column[Connections]] = [
    Column("Program", lambda row: row.program),
    Column("Connections", lambda row: row.total, "number", width="small"),
    Column("Active", lambda row: row.active, "number", width="small"),
    Column("Idle", lambda row: row.idle, "number", width="small"),
    Column("Idle in transaction", lambda row: row.idle_in_transaction, "number"),
    Column("Not known", lambda row: row.other, "number", width="small"),
    Column("Oldest transaction", lambda row: _took(row.longest_transaction_s), width="small"),
]
POOL_COLUMNS: list[Column[PoolState]] = [
    Column("Pool", lambda row: "For threads" if row.name == "sync" else "For asyncio"),
    Column("In use", lambda row: f"{row.checked_out} of {row.most}", width="small"),
    Column("Kept", lambda row: row.checked_in, "number", width="small"),
    Column("Beyond its size", lambda row: row.overflow, "number", width="small"),
    Column("Mean wait (ms)", lambda row: None if row.mean_wait_s is None else 1000 * row.mean_wait_s, "number"),
    Column("Taken", lambda row: row.checkouts, "number", width="small"),
    Column("Opened", lambda row: row.opened, "number", width="small"),
    Column("Found dead", lambda row: row.invalid, "number", width="small"),
    Column("Ran out", lambda row: row.exhausted, "number", width="small", help="Callers that got none in time."),
]
REPLICA_COLUMNS: list[Column[Replica]] = [
    Column("Name", lambda row: row.name),
    Column("What", lambda row: "Replica" if row.kind == "stream" else "Slot", width="small"),
    Column("State", lambda row: row.state),
    Column("Behind", lambda row: row.is_behind_bytes, "bytes", width="small"),
    Column("Behind by", lambda row: _took(row.is_behind_s), width="small"),
]


def _look_of(check: SettingCheck) -> Look:
    if check.is_ok is None:
        return Look("Not known", ":material/help:", "gray")
    return (
        Look("As advised", ":material/check_circle:", "green")
        if check.is_ok
        else Look("Differs", ":material/warning:", "orange")
    )


SETTING_COLUMNS: list[Column[SettingCheck]] = [
    Column("Setting", lambda row: row.name),
    Column("State", _look_of, "state", width="small"),
    Column("Value", lambda row: row.value, width="small"),
    Column("Advised", lambda row: row.wanted, width="small"),
    Column("Why", lambda row: row.why, width="large"),
]


def draw_connections(state: ServerState, pools: Sequence[PoolState]) -> None:
    """Draw who is connected, the pools of this process, and replicas."""
    st.subheader("Connections to this database", anchor=False)
    tables.table(
        state.connections,
        CONNECTION_COLUMNS,
        alt="Connections by program",
        key="database.connections",
        height="content",
    )
    st.subheader("Pools of this process", anchor=False)
    tables.table(pools, POOL_COLUMNS, alt="Connection pools of this process", key="database.pools", height="content")
    st.subheader("Replication", anchor=False)
    if state.replicas:
        tables.table(
            state.replicas, REPLICA_COLUMNS, alt="Replicas and slots", key="database.replicas", height="content"
        )
    else:
        st.caption("No replica reads from this server, and no slot keeps its log.")


def draw_settings(checks: Sequence[SettingCheck]) -> None:
    """Draw settings beside what is advised, and what changes the one that is marked."""
    st.subheader("Settings", anchor=False)
    first = 0 if checks and checks[0].sql is not None else None
    chosen = tables.table(
        checks,
        SETTING_COLUMNS,
        alt="Settings beside what is advised",
        key="database.settings",
        can_select=True,
        selected=first,
        height="content",
    )
    if chosen is not None and checks[chosen].sql is not None:
        st.code(checks[chosen].sql or "", language=None)
