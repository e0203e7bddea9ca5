"""Projects, their tasks, and pieces of work such as assessments."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from analytics.store.tables.base import Base, Created, Json, Origin, UuidKey


class Project(Base):
    """Something a team works on, with a configuration of its own."""

    __tablename__ = "project"

    id: Mapped[UuidKey]
    name: Mapped[str] = mapped_column(unique=True)
    config: Mapped[Json]
    created_at: Mapped[Created]
    updated_at: Mapped[Created]
    origin: Mapped[Origin]
    tasks: Mapped[list["Task"]] = relationship(back_populates="project", passive_deletes=True)


class Task(Base):
    """A task of a project."""

    __tablename__ = "task"
    __table_args__ = (
        CheckConstraint("status IN ('open', 'active', 'completed', 'failed', 'cancelled')", name="status"),
        Index("ix_task_project_id_created_at", "project_id", text("created_at DESC")),
        Index("ix_task_status", "status"),
    )

    id: Mapped[UuidKey]
    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    title: Mapped[str]
    status: Mapped[str] = mapped_column(server_default=text("'open'"))
    created_at: Mapped[Created]
    finished_at: Mapped[datetime | None]
    origin: Mapped[Origin]
    project: Mapped[Project] = relationship(back_populates="tasks")


class WorkItem(Base):
    """An assessment, a recommendation or a report that is worked on and completed."""

    __tablename__ = "work_item"
    __table_args__ = (
        CheckConstraint("kind IN ('assessment', 'recommendation', 'report')", name="kind"),
        CheckConstraint("status IN ('open', 'active', 'completed', 'failed')", name="status"),
        CheckConstraint("completion_ratio BETWEEN 0 AND 1", name="completion_ratio"),
        Index("ix_work_item_kind_created_at", "kind", text("created_at DESC")),
        Index("ix_work_item_kind_finished_at", "kind", "finished_at"),
        Index("ix_work_item_owner_created_at", "owner", text("created_at DESC")),
    )

    id: Mapped[UuidKey]
    project_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("project.id", ondelete="SET NULL"))
    kind: Mapped[str]
    title: Mapped[str]
    owner: Mapped[str | None]
    status: Mapped[str] = mapped_column(server_default=text("'open'"))
    completion_ratio: Mapped[float] = mapped_column(server_default=text("0"))
    created_at: Mapped[Created]
    finished_at: Mapped[datetime | None]
    origin: Mapped[Origin]
