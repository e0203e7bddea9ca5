"""What starts runs by itself, schedules and triggers; and the views that people saved."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, Integer, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from analytics.store.tables.base import Base, Created, Json, Origin, UuidKey


class Schedule(Base):
    """When a workflow is to run by itself."""

    __tablename__ = "schedule"
    __table_args__ = (
        CheckConstraint("(cron IS NULL) <> (every_s IS NULL)", name="rhythm"),
        CheckConstraint("catchup IN ('none', 'last', 'all')", name="catchup"),
        CheckConstraint("overlap IN ('queue', 'skip')", name="overlap"),
        Index("ix_schedule_next_at", "next_at", postgresql_where=text("paused_at IS NULL AND next_at IS NOT NULL")),
        Index("ix_schedule_workflow_id", "workflow_id"),
    )

    id: Mapped[UuidKey]
    workflow_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("workflow.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(unique=True)
    version: Mapped[int | None] = mapped_column(Integer)
    """None: the current one at each start."""
    params: Mapped[Json]
    cron: Mapped[str | None]
    every_s: Mapped[float | None]
    zone: Mapped[str] = mapped_column(server_default=text("'UTC'"))
    """IANA name; ``cron`` is read in it."""
    catchup: Mapped[str] = mapped_column(server_default=text("'last'"))
    """Of the times missed while nothing ticked: start none, the last, or all of them."""
    jitter_s: Mapped[float] = mapped_column(server_default=text("0"))
    priority: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    tags: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    overlap: Mapped[str] = mapped_column(server_default=text("'queue'"))
    """``skip``: no new run while one of this schedule has not ended."""
    starts_at: Mapped[datetime | None]
    ends_at: Mapped[datetime | None]
    paused_at: Mapped[datetime | None]
    next_at: Mapped[datetime | None]
    last_at: Mapped[datetime | None]
    last_run_id: Mapped[uuid.UUID | None]
    error: Mapped[str | None]
    """Why the last time started no run."""
    created_by: Mapped[str | None]
    created_at: Mapped[Created]
    updated_at: Mapped[Created]
    origin: Mapped[Origin]


class ScheduleRun(Base):
    """One time of a schedule, taken once however many tickers there are."""

    __tablename__ = "schedule_run"

    schedule_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("schedule.id", ondelete="CASCADE"), primary_key=True)
    scheduled_for: Mapped[datetime] = mapped_column(primary_key=True)
    run_id: Mapped[uuid.UUID | None]
    skipped: Mapped[str | None]
    """Why no run was started."""
    created_at: Mapped[Created]


class RunTrigger(Base):
    """What from outside starts a workflow: a signed webhook, an event, an alert."""

    __tablename__ = "run_trigger"
    __table_args__ = (
        CheckConstraint("kind IN ('webhook', 'event', 'alert')", name="kind"),
        Index("ix_run_trigger_event_kind", "event_kind", postgresql_where=text("paused_at IS NULL")),
    )

    id: Mapped[UuidKey]
    workflow_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("workflow.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str]
    event_kind: Mapped[str | None]
    filter: Mapped[Json]
    """Values that the event has to hold, by dotted path."""
    params: Mapped[Json]
    """The run's parameters, with templates over ``event``."""
    priority: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    tags: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    secret_generation: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    """The webhook's secret is derived from the installation's secret, the id and this number; it is stored nowhere."""
    paused_at: Mapped[datetime | None]
    last_at: Mapped[datetime | None]
    last_run_id: Mapped[uuid.UUID | None]
    error: Mapped[str | None]
    created_by: Mapped[str | None]
    created_at: Mapped[Created]
    origin: Mapped[Origin]


class SavedView(Base):
    """Filters of a page that somebody wants to find again."""

    __tablename__ = "saved_view"
    __table_args__ = (UniqueConstraint("owner", "page", "name"),)

    id: Mapped[UuidKey]
    owner: Mapped[str]
    page: Mapped[str]
    name: Mapped[str]
    query: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'::jsonb"))
    shared: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[Created]
