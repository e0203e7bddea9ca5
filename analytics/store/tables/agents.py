"""What agents did: runs, model calls, handoffs. Live state is in Redis (``analytics.live.agents``)."""

import uuid
from datetime import datetime
from decimal import Decimal

from sqlalchemy import CheckConstraint, Index, Integer, Numeric, text
from sqlalchemy.orm import Mapped, mapped_column

from analytics.store.tables.base import Base, Created, Json, Origin, UuidKey


class Agent(Base):
    """An agent that has been seen or configured."""

    __tablename__ = "agent"

    id: Mapped[str] = mapped_column(primary_key=True)
    """A short name such as ``planner``."""
    name: Mapped[str]
    icon: Mapped[str] = mapped_column(server_default=text("'smart_toy'"))
    """A Material Symbols name."""
    team: Mapped[str | None]
    config: Mapped[Json]
    created_at: Mapped[Created]
    origin: Mapped[Origin]


class AgentRun(Base):
    """One piece of work by one agent; partitioned by month of ``started_at``."""

    __tablename__ = "agent_run"
    __table_args__ = (
        CheckConstraint("status IN ('running', 'completed', 'failed', 'cancelled')", name="status"),
        Index("ix_agent_run_started_at", "started_at", postgresql_using="brin"),
        Index("ix_agent_run_finished_at", "finished_at", postgresql_using="brin"),
        Index("ix_agent_run_agent_id_started_at", "agent_id", text("started_at DESC")),
        {"postgresql_partition_by": "RANGE (started_at)"},
    )

    id: Mapped[UuidKey]
    started_at: Mapped[datetime] = mapped_column(primary_key=True)
    finished_at: Mapped[datetime | None]
    agent_id: Mapped[str]
    project_id: Mapped[uuid.UUID | None]
    parent_id: Mapped[uuid.UUID | None]
    task_kind: Mapped[str]
    status: Mapped[str]
    confidence: Mapped[float | None]
    """0 to 1, as the agent states it."""
    input_tokens: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    output_tokens: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    cost_usd: Mapped[Decimal | None] = mapped_column(Numeric(14, 6))
    """None when the price of a model is not known; never 0 for that."""
    error: Mapped[str | None]
    origin: Mapped[Origin]


class LlmCall(Base):
    """One call of a language model; partitioned by month of ``at``."""

    __tablename__ = "llm_call"
    __table_args__ = (
        Index("ix_llm_call_at", "at", postgresql_using="brin"),
        {"postgresql_partition_by": "RANGE (at)"},
    )

    id: Mapped[UuidKey]
    at: Mapped[datetime] = mapped_column(primary_key=True)
    agent_run_id: Mapped[uuid.UUID | None]
    provider: Mapped[str]
    model: Mapped[str]
    ok: Mapped[bool]
    duration_ms: Mapped[float]
    input_tokens: Mapped[int] = mapped_column(Integer)
    output_tokens: Mapped[int] = mapped_column(Integer)
    cost_usd: Mapped[Decimal | None] = mapped_column(Numeric(14, 6))
    origin: Mapped[Origin]


class Handoff(Base):
    """Work given by one agent to another; partitioned by month of ``at``."""

    __tablename__ = "handoff"
    __table_args__ = (
        Index("ix_handoff_at", "at", postgresql_using="brin"),
        {"postgresql_partition_by": "RANGE (at)"},
    )

    id: Mapped[UuidKey]
    at: Mapped[datetime] = mapped_column(primary_key=True)
    source_agent_id: Mapped[str]
    target_agent_id: Mapped[str]
    run_id: Mapped[uuid.UUID | None]
    """The agent run that gave the work."""
    ok: Mapped[bool] = mapped_column(server_default=text("true"))
    origin: Mapped[Origin]
