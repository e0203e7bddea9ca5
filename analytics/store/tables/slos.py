"""Objectives with their revisions, the ledger of their events, corrections of it, and alerts."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Float, ForeignKey, Index, SmallInteger, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from analytics.store.tables.base import Base, Created, Json, Origin, UuidKey


class SloDefinition(Base):
    """An objective that somebody defined, or a standard one that somebody changed."""

    __tablename__ = "slo_definition"

    slo_id: Mapped[str] = mapped_column(primary_key=True)
    revision: Mapped[int]
    """The one that counts now, from 1."""
    document: Mapped[Json]
    """The native form of that revision."""
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    """False when it was taken out of use; its ledger stays."""
    created_at: Mapped[Created]
    updated_at: Mapped[Created]
    updated_by: Mapped[str]
    origin: Mapped[Origin]


class SloRevision(Base):
    """One state of a definition; rows are added, never changed."""

    __tablename__ = "slo_revision"

    slo_id: Mapped[str] = mapped_column(
        ForeignKey("slo_definition.slo_id", ondelete="CASCADE", deferrable=True, initially="DEFERRED"), primary_key=True
    )
    revision: Mapped[int] = mapped_column(primary_key=True)
    document: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    """None when this revision takes the objective out of use."""
    note: Mapped[str] = mapped_column(server_default=text("''"))
    created_at: Mapped[Created]
    created_by: Mapped[str]


class SloReading(Base):
    """How far the source of one objective was read, and what went wrong last."""

    __tablename__ = "slo_reading"

    slo_id: Mapped[str] = mapped_column(primary_key=True)
    read_until: Mapped[datetime | None]
    """End of the newest bucket read; None when nothing was read yet."""
    read_at: Mapped[datetime | None]
    """When that was."""
    failed_at: Mapped[datetime | None]
    """When reading failed last, if it failed since it last went well."""
    error: Mapped[str | None]
    warnings: Mapped[list[Any]] = mapped_column(JSONB, server_default=text("'[]'::jsonb"))
    """What the source warned of at the last reading, such as a partial answer."""
    fingerprint: Mapped[str] = mapped_column(server_default=text("''"))
    """Of the indicator that was read; another one makes the history be read anew."""


class SloBucket5m(Base):
    """Good and total events of one objective, or one group of it, in ``[bucket_start, +5 min)``."""

    __tablename__ = "slo_bucket_5m"
    __table_args__ = (CheckConstraint("good >= 0 AND good <= total", name="good"),)

    slo_id: Mapped[str] = mapped_column(primary_key=True)
    group_key: Mapped[str] = mapped_column(primary_key=True, server_default=text("''"))
    """Empty for the whole; otherwise a JSON object of labels, sorted by name."""
    bucket_start: Mapped[datetime] = mapped_column(primary_key=True)
    good: Mapped[float] = mapped_column(Float(53))
    total: Mapped[float] = mapped_column(Float(53))
    measured_s: Mapped[float] = mapped_column(Float(53))
    """Seconds of the bucket in which the source was seen, 0 to 300; 0 events and 300 s is a quiet service."""
    origin: Mapped[Origin]


class _Sums:
    """Good and total events of one objective, or one group of it, summed over a longer span."""

    slo_id: Mapped[str] = mapped_column(primary_key=True)
    group_key: Mapped[str] = mapped_column(primary_key=True, server_default=text("''"))
    bucket_start: Mapped[datetime] = mapped_column(primary_key=True)
    good: Mapped[float] = mapped_column(Float(53))
    total: Mapped[float] = mapped_column(Float(53))
    measured_s: Mapped[float] = mapped_column(Float(53))
    demo_total: Mapped[float] = mapped_column(Float(53), server_default=text("0"))
    """How much of ``total`` is demo history."""


class SloBucket1h(_Sums, Base):
    """Sums of the 5-minute buckets in ``[bucket_start, +1 h)``."""

    __tablename__ = "slo_bucket_1h"


class SloBucket1d(_Sums, Base):
    """Sums of the hours in ``[bucket_start, +24 h)`` of UTC; a trigger keeps them, nobody writes them."""

    __tablename__ = "slo_bucket_1d"


class SloCorrection(Base):
    """Time that does not count against budgets; taken out when numbers are read, so that it can be taken back."""

    __tablename__ = "slo_correction"
    __table_args__ = (
        CheckConstraint("starts_at < ends_at", name="ends"),
        CheckConstraint("slo_id IS NULL OR service IS NULL", name="scope"),
        Index("ix_slo_correction_starts_at", "starts_at"),
    )

    id: Mapped[UuidKey]
    slo_id: Mapped[str | None]
    """Which objective it is for; None for all of *service*, or for all."""
    service: Mapped[str | None]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    """End of the first occurrence."""
    rrule: Mapped[str | None]
    """How it recurs, as in RFC 5545, for example ``FREQ=WEEKLY;BYDAY=SU``; None for once."""
    zone: Mapped[str] = mapped_column(server_default=text("'UTC'"))
    """Time zone in which it recurs."""
    reason: Mapped[str]
    created_at: Mapped[Created]
    created_by: Mapped[str]
    withdrawn_at: Mapped[datetime | None]
    withdrawn_by: Mapped[str | None]
    origin: Mapped[Origin]


class SloAlert(Base):
    """One time that an objective alerted, from when it began to fire until it was resolved."""

    __tablename__ = "slo_alert"
    __table_args__ = (
        CheckConstraint("kind IN ('burn', 'exhausted', 'violated', 'no_data')", name="kind"),
        CheckConstraint("severity IN ('page', 'ticket')", name="severity"),
        Index(
            "uq_slo_alert_open",
            "slo_id",
            "group_key",
            "kind",
            "tier",
            unique=True,
            postgresql_where=text("ended_at IS NULL"),
        ),
        Index("ix_slo_alert_slo_id_started_at", "slo_id", text("started_at DESC")),
        Index("ix_slo_alert_started_at", text("started_at DESC")),
    )

    id: Mapped[UuidKey]
    slo_id: Mapped[str]
    group_key: Mapped[str] = mapped_column(server_default=text("''"))
    kind: Mapped[str]
    severity: Mapped[str]
    tier: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    """Of a pair of burn windows, from 1 for the fastest; 0 for other kinds."""
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    frozen_at: Mapped[datetime | None]
    """Since when its data have stopped, so that it is neither confirmed nor resolved; None while they come."""
    is_inhibited: Mapped[bool] = mapped_column(server_default=text("false"))
    """Whether a faster pair of the same objective fires too, so that nobody needs to be told twice."""
    detail: Mapped[Json]
    """Burn rates, factor, windows, bad events and budget spent when it began, and the worst of it."""
    origin: Mapped[Origin]
