"""Countable facts: events, leads, metric samples, annotations."""

import uuid
from datetime import datetime
from decimal import Decimal

from sqlalchemy import CheckConstraint, Float, Index, Numeric, text
from sqlalchemy.orm import Mapped, mapped_column

from analytics.store.tables.base import Base, Created, Json, Origin, UuidKey


class Event(Base):
    """Something a person or system did, from web, social, messages or other sources; by month of ``at``."""

    __tablename__ = "event"
    __table_args__ = (
        Index("ix_event_at", "at", postgresql_using="brin"),
        Index("ix_event_kind_at", "kind", text("at DESC")),
        Index("ix_event_subject_at", "subject", text("at DESC")),
        Index(
            "ix_event_share",
            text("(CAST(abs(hashtextextended(subject, 11) % 4096) AS smallint))"),
            "at",
            postgresql_where=text("subject IS NOT NULL"),
        ),
        CheckConstraint("duration_ms >= 0", name="duration_ms"),
        {"postgresql_partition_by": "RANGE (at)"},
    )

    id: Mapped[UuidKey]
    at: Mapped[datetime] = mapped_column(primary_key=True)
    kind: Mapped[str]
    source: Mapped[str]
    subject: Mapped[str | None]
    """The person or thing it is about."""
    project_id: Mapped[uuid.UUID | None]
    props: Mapped[Json]
    origin: Mapped[Origin]
    service: Mapped[str | None]
    """Which service it used, for what it cost."""
    duration_ms: Mapped[float | None] = mapped_column(Float(53))
    cost_usd: Mapped[Decimal | None] = mapped_column(Numeric(14, 6))
    """None when it is not known; never 0 for that."""
    received_at: Mapped[Created]
    """When Helmsight was told of it."""


class Lead(Base):
    """Somebody who may become a customer."""

    __tablename__ = "lead"
    __table_args__ = (
        CheckConstraint("p_score BETWEEN 0 AND 1", name="p_score"),
        CheckConstraint("status IN ('new', 'contacted', 'qualified', 'won', 'lost')", name="status"),
        Index("ix_lead_owner_status", "owner", "status"),
        Index("ix_lead_created_at_p_score", text("created_at DESC"), text("p_score DESC")),
        Index("ix_lead_email", "email", postgresql_where=text("email IS NOT NULL")),
        Index(
            "uq_lead_source_external_id",
            "source",
            "external_id",
            unique=True,
            postgresql_where=text("external_id IS NOT NULL"),
        ),
    )

    id: Mapped[UuidKey]
    email: Mapped[str | None]
    owner: Mapped[str | None]
    source: Mapped[str]
    status: Mapped[str] = mapped_column(server_default=text("'new'"))
    p_score: Mapped[float | None]
    """Chance to become a customer, 0 to 1; None when not scored."""
    created_at: Mapped[Created]
    converted_at: Mapped[datetime | None]
    origin: Mapped[Origin]
    external_id: Mapped[str | None]
    """What its source calls it; one source uses it once."""
    updated_at: Mapped[Created]


class MetricSample(Base):
    """One measured value, such as processor use of a host; partitioned by month of ``at``."""

    __tablename__ = "metric_sample"
    __table_args__ = (
        Index("ix_metric_sample_at", "at", postgresql_using="brin"),
        Index("ix_metric_sample_name_at", "name", text("at DESC")),
        {"postgresql_partition_by": "RANGE (at)"},
    )

    id: Mapped[UuidKey]
    at: Mapped[datetime] = mapped_column(primary_key=True)
    name: Mapped[str]
    value: Mapped[float] = mapped_column(Float(53))
    unit: Mapped[str]
    tags: Mapped[Json]
    origin: Mapped[Origin]
    warning: Mapped[float | None] = mapped_column(Float(53))
    """From where its sender warns, if it said so."""
    critical: Mapped[float | None] = mapped_column(Float(53))


class Annotation(Base):
    """A deployment, an incident or a note on the time axis."""

    __tablename__ = "annotation"
    __table_args__ = (
        CheckConstraint("kind IN ('deploy', 'incident', 'note')", name="kind"),
        Index("ix_annotation_at", text("at DESC")),
    )

    id: Mapped[UuidKey]
    at: Mapped[datetime]
    until: Mapped[datetime | None]
    kind: Mapped[str]
    title: Mapped[str]
    service: Mapped[str | None]
    origin: Mapped[Origin]
    created_by: Mapped[str | None]
    """Who noted it; None for a program that did not say."""


class Cursor(Base):
    """How far an incremental job has read."""

    __tablename__ = "job_cursor"

    name: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[datetime]
    updated_at: Mapped[Created]
