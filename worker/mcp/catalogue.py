"""Asking every server for its tools and keeping the answer; a server that hangs holds up no other."""

import asyncio
import hashlib
import json
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from analytics.core.errors import HelmsightError
from analytics.core.settings import Settings
from analytics.store.engine import async_session_scope, session_scope
from analytics.store.queries.mcp import ServerListing, ToolListing, save_catalogue
from worker.mcp.config import ServerConfig
from worker.mcp.pool import McpPool, Tool

ANSWER_LIMIT = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class CatalogueReport:
    """What a refresh found."""

    servers: int
    up: int
    tools: int
    errors: dict[str, str]
    """Why a server did not answer, by name."""


async def refresh_catalogue(pool: McpPool, engine: AsyncEngine, *, limit: timedelta = ANSWER_LIMIT) -> CatalogueReport:
    """Ask every server for its tools, all at once, each for at most *limit*, and keep what they say.

    Safe to run twice: the later answer replaces the earlier.

    Raises:
        DependencyError: If PostgreSQL does not answer; nothing was kept.
    """
    listings = await collect(pool, limit=limit)
    async with async_session_scope(engine) as session:
        await session.run_sync(save_catalogue, listings)
    return _report(listings)


def refresh_catalogue_once(settings: Settings, engine: Engine, *, limit: timedelta = ANSWER_LIMIT) -> CatalogueReport:
    """Do the same from a thread without a pool: servers are started for this and ended after it.

    Raises:
        ConfigError: If the servers file cannot be used; nothing was changed.
        DependencyError: If PostgreSQL does not answer; nothing was kept.
    """

    async def ask() -> list[ServerListing]:
        async with McpPool(settings) as pool:
            return await collect(pool, limit=limit)

    listings = asyncio.run(ask())
    with session_scope(engine) as session:
        save_catalogue(session, listings)
    return _report(listings)


async def collect(pool: McpPool, *, limit: timedelta = ANSWER_LIMIT) -> list[ServerListing]:
    """Return what every server of *pool* says now, in the order of the servers file."""
    return list(await asyncio.gather(*(_ask(pool, config, limit) for config in pool.servers.values())))


async def _ask(pool: McpPool, config: ServerConfig, limit: timedelta) -> ServerListing:
    status, error = "down", None
    if not config.enabled:
        return ServerListing(config.name, enabled=False, status="disabled", transport=config.transport)
    if config.problem is not None:
        status, error = "unusable", config.problem
    else:
        try:
            tools = await pool.list_tools(config.name, refresh=True, timeout=limit)
        except HelmsightError as failure:
            error = failure.message
        else:
            return ServerListing(
                config.name,
                enabled=True,
                status="up",
                transport=config.transport,
                protocol=pool.session(config.name).protocol,
                tools=[_listing(tool, config) for tool in tools],
            )
    return ServerListing(config.name, enabled=True, status=status, transport=config.transport, error=error)


def _listing(tool: Tool, config: ServerConfig) -> ToolListing:
    return ToolListing(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=tool.input_schema,
        output_schema=tool.output_schema,
        annotations=tool.annotations,
        allowed=config.allows(tool.name),
        fingerprint=fingerprint(tool),
    )


def fingerprint(tool: Tool) -> str:
    """Return SHA-256 (hex) of all that the server says of *tool*, the same whatever the order of keys."""
    said = [tool.name, tool.title, tool.description, tool.input_schema, tool.output_schema, tool.annotations]
    canonical = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode(errors="surrogatepass")).hexdigest()


def _report(listings: list[ServerListing]) -> CatalogueReport:
    return CatalogueReport(
        servers=len(listings),
        up=sum(listing.status == "up" for listing in listings),
        tools=sum(len(listing.tools or ()) for listing in listings),
        errors={listing.name: listing.error for listing in listings if listing.error is not None},
    )
