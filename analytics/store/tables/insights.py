"""Thresholds of key figures, and what was found in their course."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, Float, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from analytics.store.tables.base import Base, Created, Json, Origin, UuidKey


class KpiThreshold(Base):
    """Thresholds of a key figure that somebody set in place of the standard ones; None: it has none."""

    __tablename__ = "kpi_threshold"

    kpi_id: Mapped[str] = mapped_column(primary_key=True)
    revision: Mapped[int]
    target: Mapped[float | None] = mapped_column(Float(53))
    good: Mapped[float | None] = mapped_column(Float(53))
    warning: Mapped[float | None] = mapped_column(Float(53))
    """Beyond it a value is critical."""
    updated_at: Mapped[Created]
    updated_by: Mapped[str]


class KpiThresholdRevision(Base):
    """One state of these thresholds; rows are added, never changed."""

    __tablename__ = "kpi_threshold_revision"

    kpi_id: Mapped[str] = mapped_column(primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True)
    target: Mapped[float | None] = mapped_column(Float(53))
    good: Mapped[float | None] = mapped_column(Float(53))
    warning: Mapped[float | None] = mapped_column(Float(53))
    note: Mapped[str] = mapped_column(server_default=text("''"))
    created_at: Mapped[Created]
    created_by: Mapped[str]


class Insight(Base):
    """Something found in the course of a key figure."""

    __tablename__ = "insight"
    __table_args__ = (
        CheckConstraint(
            "kind IN ('anomaly', 'regression', 'forecast', 'correlation', 'capacity', 'threshold')", name="kind"
        ),
        CheckConstraint("confidence BETWEEN 0 AND 1", name="confidence"),
        UniqueConstraint("fingerprint"),
        Index("ix_insight_seen_at", text("seen_at DESC"), text("id DESC")),
    )

    id: Mapped[UuidKey]
    kind: Mapped[str]
    fingerprint: Mapped[str]
    """The same finding seen again has the same."""
    kpi_id: Mapped[str]
    dim: Mapped[str] = mapped_column(server_default=text("''"))
    key: Mapped[str] = mapped_column(server_default=text("''"))
    title: Mapped[str]
    confidence: Mapped[float] = mapped_column(Float(53))
    """0 to 1: how sure it is; the evidence says by what."""
    is_good: Mapped[bool | None]
    """Whether it is for the better; None where that makes no sense."""
    since: Mapped[datetime]
    until: Mapped[datetime | None]
    """None while it lasts."""
    found_at: Mapped[Created]
    seen_at: Mapped[Created]
    """When it was found last."""
    evidence: Mapped[Json]
    origin: Mapped[Origin]


class InsightFeedback(Base):
    """What one person thinks of a finding."""

    __tablename__ = "insight_feedback"

    insight_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("insight.id", ondelete="CASCADE"), primary_key=True)
    actor: Mapped[str] = mapped_column(primary_key=True)
    is_useful: Mapped[bool]
    note: Mapped[str] = mapped_column(server_default=text("''"))
    created_at: Mapped[Created]
