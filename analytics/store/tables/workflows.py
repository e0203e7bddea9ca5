"""Workflow definitions, the processes that carry their runs, and the documents that runs read."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, Integer, LargeBinary, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from analytics.store.tables.base import Base, Created, Json, Origin, UuidKey


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
