"""MCP servers and their tools, as they were last seen; what may be called is in the servers file, not here."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Integer, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from analytics.store.tables.base import Base, Created, Json


class McpServer(Base):
    """A server of the servers file, or the one Helmsight ships."""

    __tablename__ = "mcp_server"
    __table_args__ = (CheckConstraint("status IN ('up', 'down', 'disabled', 'unusable')", name="status"),)

    name: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(Integer)
    """Its place in the file, from 0."""
    enabled: Mapped[bool]
    status: Mapped[str]
    transport: Mapped[str]
    """``stdio`` or ``http``."""
    protocol: Mapped[str | None]
    """The protocol version last agreed on."""
    error: Mapped[str | None]
    """Why it is not up."""
    checked_at: Mapped[Created]
    seen_at: Mapped[datetime | None]
    """When it last answered; None when it never did."""


class McpTool(Base):
    """A tool that a server offered when it last answered."""

    __tablename__ = "mcp_tool"

    server: Mapped[str] = mapped_column(ForeignKey("mcp_server.name", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    title: Mapped[str | None]
    description: Mapped[str] = mapped_column(server_default=text("''"))
    """The server's words."""
    input_schema: Mapped[dict[str, Any]] = mapped_column(JSONB)
    output_schema: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    annotations: Mapped[Json]
    allowed: Mapped[bool]
    """Whether the servers file lets it be called."""
    fingerprint: Mapped[str]
    """SHA-256 of what the server says of it; another one means that the definition changed."""
    first_seen_at: Mapped[Created]
    changed_at: Mapped[datetime | None]
    """When the definition last changed; None when it never did."""
    seen_at: Mapped[Created]
