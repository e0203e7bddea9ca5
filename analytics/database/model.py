"""What is known of a PostgreSQL server: rows as pages, the API and the rules for advice read them.

Durations are in seconds, sizes in bytes, shares from 0 to 1, times aware and in UTC. None is not known, never zero.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Severity = Literal["critical", "warning", "note"]
Order = Literal["total", "mean", "calls", "rows", "read", "temp"]
Whose = Literal["all", "ours", "others"]
IndexState = Literal["queued", "building", "ready", "failed", "dropping", "dropped"]


@dataclass(frozen=True, slots=True)
class Connections:
    """Connections of one program, counted by what they do."""

    program: str
    """``application_name``; ``helmsight-dashboard`` and such are ours."""
    is_ours: bool
    active: int
    idle: int
    idle_in_transaction: int
    other: int
    """State not known, because the role may not see it."""
    longest_transaction_s: float | None

    @property
    def total(self) -> int:
        """Return how many there are."""
        return self.active + self.idle + self.idle_in_transaction + self.other


@dataclass(frozen=True, slots=True)
class Replica:
    """A server that follows this one, or a slot that keeps what one has yet to read."""

    name: str
    kind: Literal["stream", "slot"]
    state: str
    is_behind_bytes: int | None
    """Written here and not yet replayed there; kept on disk, for a slot."""
    is_behind_s: float | None


@dataclass(frozen=True, slots=True)
class ServerState:
    """The server and our database, now."""

    version: str
    database: str
    role: str
    can_see_all: bool
    """Whether the role may see statements and sessions of other roles."""
    started_at: datetime
    stats_since: datetime | None
    """Since when the counters of the database count."""
    size_bytes: int
    is_replica: bool
    connections: Sequence[Connections]
    """Of this database, the most first."""
    used_connections: int
    """Of the whole server."""
    max_connections: int
    """Those that are not kept for superusers."""
    hit_ratio: float | None
    """Blocks found in shared buffers, of all that were asked for; None when none was."""
    commits: int
    rollbacks: int
    deadlocks: int
    temp_bytes: int
    """Written to temporary files, because work_mem was too small."""
    xid_age: int
    """Transactions since the oldest row was frozen; at two thousand million PostgreSQL stops writing."""
    replicas: Sequence[Replica]


@dataclass(frozen=True, slots=True)
class SettingCheck:
    """One setting of the server, beside what we advise."""

    name: str
    value: str | None
    """None when the role may not see it."""
    wanted: str
    is_ok: bool | None
    """None when it is not known."""
    why: str
    sql: str | None
    """What changes it; None when nothing needs to be."""
    needs_restart: bool


@dataclass(frozen=True, slots=True)
class Statement:
    """One normalised statement of ``pg_stat_statements``, summed since :attr:`Statements.since`."""

    id: str
    """``queryid`` as text; signed 64 bits."""
    text: str
    """Constants stand as ``$1``; values that remain are taken out."""
    is_ours: bool
    """Whether our role ran it."""
    calls: int
    total_s: float
    mean_s: float
    max_s: float
    rows: int
    share: float | None
    """Of the time of all statements of the database."""
    hit_ratio: float | None
    read_bytes: int
    """From disk, or the cache of the operating system."""
    temp_bytes: int
    wal_bytes: int


@dataclass(frozen=True, slots=True)
class Statements:
    """The statements that cost the most."""

    items: Sequence[Statement]
    order: Order
    whose: Whose
    count: int
    """How many are known of this database."""
    total_s: float
    """Time of all of them."""
    since: datetime | None
    """When the counters were reset last."""
    forgotten: int | None
    """How often entries were thrown away for want of room; from then on sums are too small."""


@dataclass(frozen=True, slots=True)
class IndexAdvice:
    """An index that statements would use, as their plans say."""

    key: str
    """Its table with its columns; the same advice has the same."""
    schema: str
    table: str
    """With its schema unless that is ``public``."""
    columns: Sequence[str]
    sql: str
    reason: str
    """In words, with the numbers it rests on."""
    statements: Sequence[str]
    """Ids of the statements that would use it, the dearest first."""
    calls: int
    saves_s: float
    """Estimated, of the time these statements took since :attr:`Statements.since`."""
    share: float | None
    """The same as a share of the time of all statements of the database."""
    cost_before: float
    """Of reading the whole table once, in units of the planner."""
    cost_after: float
    """The same with the index, estimated by us."""
    size_bytes: int | None
    """Estimated; None when nothing is known of its columns."""
    writes: int
    """Rows of the table that were written since the counters of the database count; each has to be indexed."""


@dataclass(frozen=True, slots=True)
class AdviceReport:
    """Index advice and what was looked at for it."""

    items: Sequence[IndexAdvice]
    """The greatest gain first."""
    looked_at: int
    planned: int
    """Statements that could be planned without their values; the rest is not judged."""
    scans: int
    """Whole tables read with a condition."""
    small: int
    """Of them, tables so small that an index would not help."""
    unselective: int
    """Of them, conditions that most rows meet, or that no index serves."""
    served: int
    """Of them, such an index is there already."""
    since: datetime | None


@dataclass(frozen=True, slots=True)
class MadeIndex:
    """An index that was asked for from its advice, and what it has done since."""

    name: str
    advice: str
    """The :attr:`IndexAdvice.key` it was made from."""
    table: str
    """With its schema unless that is ``public``."""
    columns: Sequence[str]
    reason: str
    """What the advice said."""
    state: IndexState
    is_valid: bool | None
    """False: PostgreSQL keeps it up to date and does not use it; None: it is not there."""
    is_automatic: bool
    requested_at: datetime
    requested_by: str
    ready_at: datetime | None
    due_at: datetime | None
    """When something is to be done for it next; None: nothing is."""
    attempts: int
    error: str | None
    """Why the last attempt failed."""
    size_bytes: int | None
    scans: int | None
    """How often it was used since :attr:`scans_since`."""
    scans_since: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class IndexFinding:
    """An index that costs more than it brings."""

    kind: Literal["unused", "duplicate", "invalid"]
    table: str
    index: str
    definition: str
    size_bytes: int
    scans: int
    reason: str
    sql: str


@dataclass(frozen=True, slots=True)
class IndexReport:
    """Indexes with something wrong, the largest first."""

    items: Sequence[IndexFinding]
    count: int
    """Of all indexes of the database, parts of partitioned ones not counted."""
    size_bytes: int
    since: datetime | None
    """Since when scans are counted; unused means since then."""


@dataclass(frozen=True, slots=True)
class TableState:
    """One table; of one that is partitioned, all its parts together."""

    name: str
    """With its schema unless that is ``public``."""
    parts: int
    """Partitions; 0 for a plain table."""
    total_bytes: int
    table_bytes: int
    index_bytes: int
    rows: int | None
    """Estimated by PostgreSQL; None when it never counted them."""
    dead_rows: int
    dead_share: float | None
    bloat_bytes: int | None
    """Space that holds nothing; None when nothing is known."""
    is_bloat_exact: bool
    """Whether it was measured by ``pgstattuple``, not estimated."""
    seq_scans: int
    index_scans: int
    hit_ratio: float | None
    writes: int
    last_vacuum: datetime | None
    """By hand or by itself."""
    is_vacuum_due: bool
    """Whether more rows are dead than autovacuum waits for."""
    growth_bytes_per_day: float | None
    """Over the time that was sampled, 30 days at most; None before the second sample, which comes after an hour."""
    growth_days: float | None
    """How many days that rests on; of less than one, it says little about a whole day."""

    @property
    def growth_bytes(self) -> float | None:
        """Return by how much it grew in the time that was sampled."""
        if self.growth_bytes_per_day is None or self.growth_days is None:
            return None
        return self.growth_bytes_per_day * self.growth_days


@dataclass(frozen=True, slots=True)
class Waiting:
    """A session that waits for a lock that others hold."""

    pid: int
    program: str
    text: str
    """Of its statement, values taken out."""
    waits_s: float | None
    lock: str
    """What it waits for, for example ``ShareLock on transaction``."""
    relation: str | None
    blockers: Sequence[int]
    """Process ids of those it waits for, directly."""


@dataclass(frozen=True, slots=True)
class LongSession:
    """A session that others wait for, or whose transaction is old."""

    pid: int
    program: str
    state: str
    text: str
    """Its last statement, values taken out."""
    transaction_s: float | None
    blocks: int
    """How many sessions wait for it, directly or through others."""
    is_root: bool
    """Whether it waits for nobody itself."""
    sql: str
    """What ends its statement, or its session when it is idle."""


@dataclass(frozen=True, slots=True)
class Activity:
    """Who waits for whom, now."""

    waiting: Sequence[Waiting]
    """The longest wait first."""
    sessions: Sequence[LongSession]
    """Those that block first, then old transactions."""


@dataclass(frozen=True, slots=True)
class IoRow:
    """Reading and writing by one kind of process, since :attr:`IoReport.since`."""

    backend: str
    object: str
    context: str
    reads: int
    read_bytes: int
    read_s: float | None
    """None while ``track_io_timing`` is off."""
    writes: int
    written_bytes: int
    write_s: float | None
    hits: int
    evictions: int


@dataclass(frozen=True, slots=True)
class IoReport:
    """Input and output of the whole server."""

    items: Sequence[IoRow]
    """The most bytes first; kinds that did nothing are left out."""
    is_timed: bool
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about the database that somebody should look at."""

    id: str
    """The same thing has the same id, for example ``blocked_sessions``."""
    severity: Severity
    title: str
    evidence: str
    """The numbers it rests on."""
    action: str
    """What to do about it."""
    sql: str | None
    """What does it; None when there is no single statement."""
