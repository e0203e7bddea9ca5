"""MCP servers and their tools, as the catalogue last saw them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import case, delete, func, null, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from analytics.core.clock import utc_now
from analytics.store.tables import McpServer, McpTool


@dataclass(frozen=True, slots=True)
class McpServerRow:
    """A server, and whether it answered when it was last asked."""

    name: str
    enabled: bool
    status: str
    """``up``, ``down``, ``disabled``, or ``unusable``: its entry in the servers file cannot be used."""
    transport: str
    protocol: str | None
    error: str | None
    tools: int
    """How many it offered when it last answered."""
    checked_at: datetime
    seen_at: datetime | None
    """When it last answered; None when it never did."""


@dataclass(frozen=True, slots=True)
class McpToolRow:
    """A tool; title, description, schemas and annotations are what its server says."""

    server: str
    name: str
    title: str | None
    description: str
    input_schema: Mapping[str, Any]
    output_schema: Mapping[str, Any] | None
    annotations: Mapping[str, Any]
    allowed: bool
    """Whether the servers file lets it be called."""
    fingerprint: str
    first_seen_at: datetime
    changed_at: datetime | None
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class ToolListing:
    """A tool to be kept."""

    name: str
    title: str | None
    description: str
    input_schema: Mapping[str, Any]
    output_schema: Mapping[str, Any] | None
    annotations: Mapping[str, Any]
    allowed: bool
    fingerprint: str


@dataclass(frozen=True, slots=True)
class ServerListing:
    """A server to be kept."""

    name: str
    enabled: bool
    status: str
    transport: str
    protocol: str | None = None
    error: str | None = None
    tools: Sequence[ToolListing] | None = None
    """None: it did not answer, so what was known of its tools stays."""


def list_servers(session: Session) -> list[McpServerRow]:
    """Return the servers in the order of the servers file."""
    tools = select(func.count()).select_from(McpTool).where(McpTool.server == McpServer.name).scalar_subquery()
    rows = session.execute(
        select(
            McpServer.name,
            McpServer.enabled,
            McpServer.status,
            McpServer.transport,
            McpServer.protocol,
            McpServer.error,
            tools,
            McpServer.checked_at,
            McpServer.seen_at,
        ).order_by(McpServer.position, McpServer.name)
    )
    return [McpServerRow(*row) for row in rows]


def list_tools(session: Session, server: str) -> list[McpToolRow]:
    """Return the tools that *server* last offered, by name; none when it is not known."""
    tools = session.scalars(select(McpTool).where(McpTool.server == server).order_by(McpTool.name))
    return [
        McpToolRow(
            server=tool.server,
            name=tool.name,
            title=tool.title,
            description=tool.description,
            input_schema=tool.input_schema,
            output_schema=tool.output_schema,
            annotations=tool.annotations,
            allowed=tool.allowed,
            fingerprint=tool.fingerprint,
            first_seen_at=tool.first_seen_at,
            changed_at=tool.changed_at,
            seen_at=tool.seen_at,
        )
        for tool in tools
    ]


def save_catalogue(session: Session, servers: Sequence[ServerListing]) -> None:
    """Keep *servers* as all there are, in this order; safe to run twice.

    Servers that are not among them go. The tools of a server that did not answer stay as they were.
    """
    now = utc_now()
    session.execute(delete(McpServer).where(McpServer.name.not_in([server.name for server in servers])))
    for position, server in enumerate(servers):
        values: dict[str, Any] = {
            "position": position,
            "enabled": server.enabled,
            "status": server.status,
            "transport": server.transport,
            "error": server.error,
            "checked_at": now,
        }
        if server.tools is not None:
            values |= {"seen_at": now, "protocol": server.protocol}
        session.execute(
            insert(McpServer)
            .values(name=server.name, **values)
            .on_conflict_do_update(index_elements=[McpServer.name], set_=values)
        )
        if server.tools is not None:
            _save_tools(session, server.name, server.tools, now)


def _save_tools(session: Session, server: str, tools: Sequence[ToolListing], now: datetime) -> None:
    session.execute(delete(McpTool).where(McpTool.server == server, McpTool.name.not_in([tool.name for tool in tools])))
    for tool in tools:
        values = {
            "title": tool.title,
            "description": tool.description,
            "input_schema": dict(tool.input_schema),
            "output_schema": null() if tool.output_schema is None else dict(tool.output_schema),
            "annotations": dict(tool.annotations),
            "allowed": tool.allowed,
            "fingerprint": tool.fingerprint,
            "seen_at": now,
        }
        new = insert(McpTool).values(server=server, name=tool.name, first_seen_at=now, **values)
        changed = new.excluded.fingerprint.is_distinct_from(McpTool.fingerprint)
        session.execute(
            new.on_conflict_do_update(
                index_elements=[McpTool.server, McpTool.name],
                set_={**values, "changed_at": case((changed, now), else_=McpTool.changed_at)},
            )
        )
