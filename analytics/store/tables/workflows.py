"""Workflow definitions, their runs, and the documents that runs read.

``run`` and ``node_run`` are partitioned by month of the run's creation and keep history. ``run_active`` is the
small hot table: one row for each run that has not ended, on which workers claim, lease and fence.
"""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, Integer, LargeBinary, SmallInteger, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from analytics.store.tables.base import Base, Created, Json, Origin, UuidKey

RUN_STATUSES = "('queued', 'running', 'waiting', 'completed', 'failed', 'cancelled')"
NODE_STATUSES = "('pending', 'running', 'completed', 'failed', 'skipped', 'cancelled')"


class Workflow(Base):
    """A named workflow; what it does is in its versions."""

    __tablename__ = "workflow"
    __table_args__ = (
        CheckConstraint("status IN ('active', 'archived')", name="status"),
        Index("ix_workflow_owner_status", "owner", "status", postgresql_where=text("status = 'active'")),
        Index("ix_workflow_name_search", text("to_tsvector('simple', name)"), postgresql_using="gin"),
    )

    id: Mapped[UuidKey]
    name: Mapped[str] = mapped_column(unique=True)
    description: Mapped[str] = mapped_column(server_default=text("''"))
    owner: Mapped[str | None]
    status: Mapped[str] = mapped_column(server_default=text("'active'"))
    current_version: Mapped[int] = mapped_column(Integer)
    tags: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    builtin: Mapped[bool] = mapped_column(server_default=text("false"))
    """Shipped with Helmsight: carries OCR uploads and MCP calls."""
    created_at: Mapped[Created]
    origin: Mapped[Origin]


class WorkflowVersion(Base):
    """One immutable definition of a workflow."""

    __tablename__ = "workflow_version"

    workflow_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("workflow.id", ondelete="CASCADE"), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True)
    spec: Mapped[dict[str, Any]] = mapped_column(JSONB)
    params_schema: Mapped[Json]
    spec_hash: Mapped[str]
    created_by: Mapped[str | None]
    created_at: Mapped[Created]


class Run(Base):
    """One execution of a workflow version; history, partitioned by month of ``created_at``."""

    __tablename__ = "run"
    __table_args__ = (
        CheckConstraint(f"status IN {RUN_STATUSES}", name="status"),
        Index("ix_run_workflow_id_created_at", "workflow_id", text("created_at DESC")),
        Index("ix_run_status_created_at", "status", text("created_at DESC")),
        Index("ix_run_created_at_id", text("created_at DESC"), text("id DESC")),
        {"postgresql_partition_by": "RANGE (created_at)"},
    )

    id: Mapped[UuidKey]
    created_at: Mapped[datetime] = mapped_column(primary_key=True, server_default=text("now()"))
    workflow_id: Mapped[uuid.UUID]
    version: Mapped[int] = mapped_column(Integer)
    status: Mapped[str] = mapped_column(server_default=text("'queued'"))
    priority: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    """Higher runs first."""
    requested_by: Mapped[str | None]
    trigger: Mapped[str] = mapped_column(server_default=text("'page'"))
    """``page``, ``api``, ``cli``, ``schedule`` or ``demo``."""
    correlation_id: Mapped[str | None]
    parent_run_id: Mapped[uuid.UUID | None]
    input: Mapped[Json]
    output: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    error: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    """``code``, ``message``, ``node_id``."""
    attempt: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    """How often a worker has claimed the run; above 1 it was recovered."""
    queued_at: Mapped[Created]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    origin: Mapped[Origin]


class ActiveRun(Base):
    """A run that has not ended: claimed in order of priority, leased, fenced by epoch."""

    __tablename__ = "run_active"
    __table_args__ = (
        CheckConstraint("status IN ('queued', 'running', 'waiting')", name="status"),
        Index(
            "ix_run_active_claim",
            text("priority DESC"),
            "queued_at",
            "run_id",
            postgresql_where=text("status = 'queued'"),
        ),
        Index("ix_run_active_lease", "lease_until", postgresql_where=text("status = 'running'")),
        Index(
            "uq_run_active_idempotency",
            "workflow_id",
            "idempotency_key",
            unique=True,
            postgresql_where=text("idempotency_key IS NOT NULL"),
        ),
    )

    run_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    run_created_at: Mapped[datetime]
    workflow_id: Mapped[uuid.UUID]
    status: Mapped[str] = mapped_column(server_default=text("'queued'"))
    priority: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    idempotency_key: Mapped[str | None]
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
    output: Mapped[Any | None] = mapped_column(JSONB)
    error: Mapped[dict[str, Any] | None] = mapped_column(JSONB)


class WorkerProcess(Base):
    """A worker process that is, or was, alive."""

    __tablename__ = "worker_process"

    name: Mapped[str] = mapped_column(primary_key=True)
    """``host.pid.kind``; unique for the life of the process."""
    kind: Mapped[str]
    """``run``, ``model``, ``scheduler``."""
    host: Mapped[str]
    pid: Mapped[int] = mapped_column(Integer)
    slots: Mapped[int] = mapped_column(Integer)
    slots_used: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    started_at: Mapped[Created]
    seen_at: Mapped[Created]
    stopped_at: Mapped[datetime | None]


class Blob(Base):
    """Bytes by content, so that workers on any host can read what a page took in."""

    __tablename__ = "blob"

    sha256: Mapped[bytes] = mapped_column(primary_key=True)
    size_bytes: Mapped[int] = mapped_column(Integer)
    content: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[Created]


class Document(Base):
    """An uploaded image or PDF, and where its text comes from."""

    __tablename__ = "document"
    __table_args__ = (Index("ix_document_created_at", text("created_at DESC")),)

    id: Mapped[UuidKey]
    name: Mapped[str]
    media_type: Mapped[str]
    sha256: Mapped[bytes] = mapped_column(ForeignKey("blob.sha256"))
    run_id: Mapped[uuid.UUID | None]
    """The run that reads it, or None when it was not queued."""
    uploaded_by: Mapped[str | None]
    created_at: Mapped[Created]
    origin: Mapped[Origin]


class DocumentPage(Base):
    """The words of one page, with boxes in pixels of the page as uploaded, origin top left."""

    __tablename__ = "document_page"

    document_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("document.id", ondelete="CASCADE"), primary_key=True)
    page: Mapped[int] = mapped_column(Integer, primary_key=True)
    """From 1."""
    width: Mapped[int] = mapped_column(Integer)
    height: Mapped[int] = mapped_column(Integer)
    text: Mapped[str]
    filtered_text: Mapped[str]
    """Only words at or above the confidence threshold."""
    confidence: Mapped[float | None]
    """0 to 100, weighted by characters; None when no word was found."""
    words: Mapped[list[Any]] = mapped_column(JSONB)
    """``text, confidence, x, y, w, h, line, block`` of each word, in reading order."""
    engine: Mapped[str]
    settings: Mapped[Json]
    duration_s: Mapped[float]
    created_at: Mapped[Created]
