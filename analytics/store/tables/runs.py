"""Runs and their nodes: state, history, logs, waits, results.

``run`` and what hangs on it are partitioned by month of the run's creation and keep history. ``run_active`` is the
small hot table: one row for each run that has not ended, on which workers claim, lease and fence.
"""

import uuid
from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Computed,
    Date,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from analytics.store.tables.base import Base, Created, Json, Origin, UuidKey

OPEN_STATUSES = "('queued', 'running', 'waiting', 'paused', 'needs_attention')"
RUN_STATUSES = "('queued', 'running', 'waiting', 'paused', 'needs_attention', 'completed', 'failed', 'cancelled')"
NODE_STATUSES = "('pending', 'running', 'waiting', 'needs_attention', 'completed', 'failed', 'skipped', 'cancelled')"


class Run(Base):
    """One execution of a workflow version; history, partitioned by month of ``created_at``."""

    __tablename__ = "run"
    __table_args__ = (
        CheckConstraint(f"status IN {RUN_STATUSES}", name="status"),
        Index(
            "ix_run_workflow_id_created_at",
            "workflow_id",
            text("created_at DESC"),
            text("id DESC"),
            postgresql_include=["status", "took_s"],
        ),
        Index("ix_run_status_created_at", "status", text("created_at DESC"), text("id DESC")),
        Index("ix_run_created_at_id", text("created_at DESC"), text("id DESC"), postgresql_include=["took_s"]),
        Index("ix_run_tags", "tags", postgresql_using="gin", postgresql_where=text("tags <> '{}'")),
        Index("ix_run_parent_run_id", "parent_run_id", postgresql_where=text("parent_run_id IS NOT NULL")),
        Index("ix_run_source_run_id", "source_run_id", postgresql_where=text("source_run_id IS NOT NULL")),
        Index(
            "ix_run_schedule_id_created_at",
            "schedule_id",
            text("created_at DESC"),
            text("id DESC"),
            postgresql_include=["status"],
            postgresql_where=text("schedule_id IS NOT NULL"),
        ),
        Index(
            "ix_run_requested_by_created_at",
            "requested_by",
            text("created_at DESC"),
            text("id DESC"),
            postgresql_include=["status"],
            postgresql_where=text("requested_by IS NOT NULL"),
        ),
        Index(
            "ix_run_trigger_created_at",
            "trigger",
            text("created_at DESC"),
            text("id DESC"),
            postgresql_include=["status"],
        ),
        Index("ix_run_took_s", "took_s"),
        Index(
            "ix_run_dead_letter",
            text("created_at DESC"),
            text("id DESC"),
            postgresql_where=text("error ->> 'code' = 'dead_letter'"),
        ),
        {"postgresql_partition_by": "RANGE (created_at)"},
    )

    id: Mapped[UuidKey]
    created_at: Mapped[datetime] = mapped_column(primary_key=True, server_default=text("now()"))
    workflow_id: Mapped[uuid.UUID]
    version: Mapped[int] = mapped_column(Integer)
    status: Mapped[str] = mapped_column(server_default=text("'queued'"))
    priority: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    """Each step lets it overtake what was queued up to ``HELMSIGHT_WORKER__PRIORITY_STEP`` earlier."""
    requested_by: Mapped[str | None]
    trigger: Mapped[str] = mapped_column(server_default=text("'page'"))
    """``page``, ``api``, ``cli``, ``schedule``, ``webhook``, ``event``, ``alert``, ``run`` or ``demo``."""
    correlation_id: Mapped[str | None]
    parent_run_id: Mapped[uuid.UUID | None]
    """The run whose node ``parent_node`` started this one as a sub-workflow."""
    parent_node: Mapped[str | None]
    source_run_id: Mapped[uuid.UUID | None]
    """The run of which this is a retry or a rerun."""
    schedule_id: Mapped[uuid.UUID | None]
    scheduled_for: Mapped[datetime | None]
    tags: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    concurrency_key: Mapped[str | None]
    """Runs of one key are executed no more than so many at once."""
    idempotency_key: Mapped[str | None]
    use_cache: Mapped[bool] = mapped_column(server_default=text("true"))
    """False: every node is executed even if its result is known; results are still kept."""
    nodes_total: Mapped[int | None] = mapped_column(Integer)
    """How many nodes the definition has, without those inside loops."""
    node_counts: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    """How many nodes ended in each status; None until the run ends."""
    input: Mapped[Json]
    output: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    error: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    """``code``, ``message``, ``node_id``."""
    attempt: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    """How often a worker has claimed the run; above 1 it was recovered."""
    queued_at: Mapped[Created]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    took_s: Mapped[float | None] = mapped_column(
        Computed("EXTRACT(epoch FROM finished_at - started_at)::double precision", persisted=True)
    )
    """Seconds from start to end, so that lists can be narrowed by it; None until both are there."""
    origin: Mapped[Origin]


class ActiveRun(Base):
    """A run that has not ended: claimed in order of priority, leased, fenced by epoch."""

    __tablename__ = "run_active"
    __table_args__ = (
        CheckConstraint(f"status IN {OPEN_STATUSES}", name="status"),
        Index("ix_run_active_claim", "rank", "run_id", postgresql_where=text("status = 'queued'")),
        Index("ix_run_active_lease", "lease_until", postgresql_where=text("status = 'running'")),
        Index("ix_run_active_wake", "wake_at", postgresql_where=text("status = 'waiting' AND wake_at IS NOT NULL")),
        Index(
            "ix_run_active_concurrency",
            "concurrency_key",
            postgresql_where=text("status = 'running' AND concurrency_key IS NOT NULL"),
        ),
        Index("ix_run_active_parent_run_id", "parent_run_id", postgresql_where=text("parent_run_id IS NOT NULL")),
    )

    run_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    run_created_at: Mapped[datetime]
    workflow_id: Mapped[uuid.UUID]
    status: Mapped[str] = mapped_column(server_default=text("'queued'"))
    priority: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    rank: Mapped[Created]
    """Place in the queue, the earliest first: ``queued_at`` less one step of time for each step of priority."""
    concurrency_key: Mapped[str | None]
    concurrency_limit: Mapped[int | None] = mapped_column(Integer)
    wake_at: Mapped[datetime | None]
    """When a waiting run has something to do again; None: when somebody resolves what it waits for."""
    pause_requested: Mapped[bool] = mapped_column(server_default=text("false"))
    parent_run_id: Mapped[uuid.UUID | None]
    owner: Mapped[str | None]
    """The worker process that holds the lease."""
    epoch: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    """Grows with each claim; a checkpoint of an older epoch is refused."""
    lease_until: Mapped[datetime | None]
    queued_at: Mapped[Created]
    token_at: Mapped[datetime | None]
    """When a wake token was last sent to Redis; the reconciler sends another when it got lost."""
    cancel_requested: Mapped[bool] = mapped_column(server_default=text("false"))


class NodeRun(Base):
    """One node of one run; partitioned like ``run``."""

    __tablename__ = "node_run"
    __table_args__ = (
        CheckConstraint(f"status IN {NODE_STATUSES}", name="status"),
        Index("ix_node_run_created_at", "run_created_at", postgresql_using="brin"),
        {"postgresql_partition_by": "RANGE (run_created_at)"},
    )

    run_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    run_created_at: Mapped[datetime] = mapped_column(primary_key=True)
    node_id: Mapped[str] = mapped_column(primary_key=True)
    map_index: Mapped[int] = mapped_column(Integer, primary_key=True, server_default=text("-1"))
    """Place in a fan-out, from 0; -1 for a node that runs once."""
    kind: Mapped[str]
    status: Mapped[str]
    attempt: Mapped[int] = mapped_column(SmallInteger, server_default=text("1"))
    executor: Mapped[str | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    ready_at: Mapped[datetime | None]
    """When everything it needs had ended; from then to ``started_at`` it waited for a slot."""
    output: Mapped[Any | None] = mapped_column(JSONB)
    """None also when it is too large for the row: then it is the artifact ``output_ref``."""
    output_ref: Mapped[uuid.UUID | None]
    cpu_ms: Mapped[float | None]
    """Processor time of the attempt, where it can be told apart: in child processes."""
    cache_hit: Mapped[bool] = mapped_column(server_default=text("false"))
    cache_key: Mapped[bytes | None] = mapped_column(LargeBinary)
    log_lines: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    changed_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    error: Mapped[dict[str, Any] | None] = mapped_column(JSONB)


class RunKey(Base):
    """An idempotency key and the run it stands for; kept longer than the run is active."""

    __tablename__ = "run_key"
    __table_args__ = (Index("ix_run_key_created_at", "created_at"),)

    workflow_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    run_id: Mapped[uuid.UUID]
    run_created_at: Mapped[datetime]
    input_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    """SHA-256 of the parameters, so that one key with other parameters is noticed; None: not known."""
    created_at: Mapped[Created]


class RunEnded(Base):
    """Outbox: a run that ended and is not counted yet; written with its end, taken away when counted."""

    __tablename__ = "run_ended"

    run_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    run_created_at: Mapped[datetime]
    ended_at: Mapped[Created]


class WorkflowDay(Base):
    """Runs of a workflow that ended, by UTC day of their creation; the sums behind every statistic of a workflow."""

    __tablename__ = "workflow_day"

    workflow_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    origin: Mapped[str] = mapped_column(primary_key=True, server_default=text("'live'"))
    completed: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    failed: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    cancelled: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    started: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    """Runs that a worker began; one cancelled in the queue is not among them."""
    duration_s: Mapped[float] = mapped_column(server_default=text("0"))
    """Seconds from start to end, summed over completed runs."""
    wait_s: Mapped[float] = mapped_column(server_default=text("0"))
    """Seconds from queued to start, summed over runs that started."""
    last_run_at: Mapped[datetime | None]


class NodeAttempt(Base):
    """An attempt at a node that failed and was followed by another; the last attempt is in ``node_run``."""

    __tablename__ = "node_attempt"
    __table_args__ = ({"postgresql_partition_by": "RANGE (run_created_at)"},)

    run_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    run_created_at: Mapped[datetime] = mapped_column(primary_key=True)
    node_id: Mapped[str] = mapped_column(primary_key=True)
    map_index: Mapped[int] = mapped_column(Integer, primary_key=True, server_default=text("-1"))
    attempt: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    executor: Mapped[str | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    error: Mapped[dict[str, Any] | None] = mapped_column(JSONB)


class NodeLog(Base):
    """A line a node wrote."""

    __tablename__ = "node_log"
    __table_args__ = (
        CheckConstraint("level IN ('debug', 'info', 'warning', 'error')", name="level"),
        {"postgresql_partition_by": "RANGE (run_created_at)"},
    )

    run_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    run_created_at: Mapped[datetime] = mapped_column(primary_key=True)
    node_id: Mapped[str] = mapped_column(primary_key=True)
    map_index: Mapped[int] = mapped_column(Integer, primary_key=True, server_default=text("-1"))
    attempt: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    seq: Mapped[int] = mapped_column(Integer, primary_key=True)
    at: Mapped[datetime]
    level: Mapped[str]
    message: Mapped[str]


class RunEvent(Base):
    """Something that happened to a run: paused, resumed, recovered, signalled, decided."""

    __tablename__ = "run_event"
    __table_args__ = ({"postgresql_partition_by": "RANGE (run_created_at)"},)

    id: Mapped[UuidKey]
    run_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    run_created_at: Mapped[datetime] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    kind: Mapped[str]
    node_id: Mapped[str | None]
    map_index: Mapped[int | None] = mapped_column(Integer)
    actor: Mapped[str | None]
    data: Mapped[Json]


class Artifact(Base):
    """Bytes that a node made, or an output too large for its row."""

    __tablename__ = "artifact"
    __table_args__ = (
        Index("ix_artifact_run_id", "run_id", "node_id"),
        {"postgresql_partition_by": "RANGE (run_created_at)"},
    )

    id: Mapped[UuidKey]
    run_created_at: Mapped[datetime] = mapped_column(primary_key=True)
    run_id: Mapped[uuid.UUID]
    node_id: Mapped[str]
    map_index: Mapped[int] = mapped_column(Integer, server_default=text("-1"))
    name: Mapped[str]
    media_type: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[bytes] = mapped_column(LargeBinary)
    content: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[Created]


class NodeWait(Base):
    """What a parked node waits for, and how it was resolved."""

    __tablename__ = "node_wait"
    __table_args__ = (
        CheckConstraint("kind IN ('time', 'signal', 'approval', 'run', 'attention')", name="kind"),
        Index("ix_node_wait_open", "kind", text("created_at DESC"), postgresql_where=text("resolved_at IS NULL")),
        Index("ix_node_wait_run_created_at", "run_created_at"),
        Index("ix_node_wait_child_run_id", "child_run_id", postgresql_where=text("child_run_id IS NOT NULL")),
    )

    run_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    run_created_at: Mapped[datetime]
    node_id: Mapped[str] = mapped_column(primary_key=True)
    map_index: Mapped[int] = mapped_column(Integer, primary_key=True, server_default=text("-1"))
    kind: Mapped[str]
    name: Mapped[str | None]
    """The signal's name."""
    title: Mapped[str | None]
    message: Mapped[str | None]
    form: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    """JSON Schema of what whoever decides fills in."""
    role: Mapped[str | None]
    """The least role that may decide; None: operator."""
    child_run_id: Mapped[uuid.UUID | None]
    until: Mapped[datetime | None]
    """The end of a time, or the deadline of the others."""
    created_at: Mapped[Created]
    resolved_at: Mapped[datetime | None]
    resolved_by: Mapped[str | None]
    outcome: Mapped[str | None]
    """``elapsed``, ``received``, ``approved``, ``rejected``, ``ended``, ``expired``, ``repeat``, ``completed``,
    ``failed``: what the engine continues with."""
    data: Mapped[Any | None] = mapped_column(JSONB)


class RunSignal(Base):
    """A signal that no wait has taken yet."""

    __tablename__ = "run_signal"
    __table_args__ = (Index("ix_run_signal_run_id_name", "run_id", "name", "at"),)

    id: Mapped[UuidKey]
    run_id: Mapped[uuid.UUID]
    name: Mapped[str]
    data: Mapped[Any | None] = mapped_column(JSONB)
    sent_by: Mapped[str | None]
    at: Mapped[Created]


class NodeCache(Base):
    """A node's result by everything that can change it, or the promise of one; not logged, so a crash empties it."""

    __tablename__ = "node_cache"
    __table_args__ = (
        CheckConstraint("status IN ('computing', 'ready')", name="status"),
        Index("ix_node_cache_expires_at", "expires_at", postgresql_where=text("expires_at IS NOT NULL")),
        {"prefixes": ["UNLOGGED"]},
    )

    key: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    kind: Mapped[str]
    status: Mapped[str]
    holder: Mapped[str | None]
    """The worker process that computes it."""
    held_until: Mapped[datetime | None]
    awaited: Mapped[bool] = mapped_column(server_default=text("false"))
    """Another process waits for it, so its holder tells when it is there."""
    output: Mapped[Any | None] = mapped_column(JSONB)
    run_id: Mapped[uuid.UUID | None]
    node_id: Mapped[str | None]
    created_at: Mapped[Created]
    expires_at: Mapped[datetime | None]
