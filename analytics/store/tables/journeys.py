"""Funnels that somebody defined, and the contexts that agents work in."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Float, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from analytics.store.tables.base import Base, Created, Json, Origin, UuidKey


class Funnel(Base):
    """An ordered list of steps that people may take, and how long they have for it."""

    __tablename__ = "funnel"
    __table_args__ = (CheckConstraint("window_s > 0", name="window_s"),)

    id: Mapped[UuidKey]
    name: Mapped[str] = mapped_column(unique=True)
    steps: Mapped[list[Any]]
    window_s: Mapped[float] = mapped_column(Float(53))
    """From the first step to the last, in seconds."""
    created_at: Mapped[Created]
    updated_at: Mapped[Created]
    updated_by: Mapped[str]
    origin: Mapped[Origin]


class Context(Base):
    """What an agent knows while it works: a workspace, a task, a conversation; contexts hold contexts.

    Who read or wrote it stands in ``event``, with the kinds ``context.read`` and ``context.write``, the context as
    subject.
    """

    __tablename__ = "context"
    __table_args__ = (
        Index("ix_context_parent_id", "parent_id"),
        Index("ix_context_created_at", text("created_at DESC")),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    parent_id: Mapped[str | None]
    """A parent that was never told of is possible."""
    kind: Mapped[str]
    name: Mapped[str]
    agent_id: Mapped[str | None]
    project_id: Mapped[uuid.UUID | None]
    created_at: Mapped[Created]
    archived_at: Mapped[datetime | None]
    last_read_at: Mapped[datetime | None]
    """None: nobody ever read it."""
    last_write_at: Mapped[datetime | None]
    props: Mapped[Json]
    origin: Mapped[Origin]
