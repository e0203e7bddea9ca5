"""MCP servers, their tools, and calls of them through the queue."""

from typing import Any

from pydantic import Field

from analytics.store.queries import mcp
from analytics.store.queries.mcp import McpServerRow, McpToolRow
from dashboard.api.operations import Asked, Call, Operation, found
from dashboard.auth.roles import Role
from worker.enqueue import QueuedRun


class NewCall(Asked):
    """A call of a tool."""

    arguments: dict[str, Any] = Field(default_factory=dict, description="What the tool's `input_schema` asks for.")


class Refreshed(Asked):
    """Whether the lists of tools are being read again."""

    taken: bool


async def list_servers(call: Call) -> list[McpServerRow]:
    """Return the servers of the catalogue."""
    return await call.ask(mcp.list_servers)


async def list_tools(call: Call) -> list[McpToolRow]:
    """Return the tools of one server."""
    name: str = call.path("server")
    servers = await call.ask(mcp.list_servers)
    found(next((server for server in servers if server.name == name), None), "MCP server")
    return await call.ask(mcp.list_tools, name)


async def call_tool(call: Call) -> QueuedRun:
    """Queue a run that calls a tool."""
    return await call.in_thread(
        call.context.door.queue_mcp_call,
        server=call.path("server"),
        tool=call.path("tool"),
        arguments=call.body(NewCall).arguments,
        requested_by=call.viewer.email,
        trigger="api",
    )


async def refresh(call: Call) -> Refreshed:
    """Have the lists of tools read again."""
    return Refreshed(taken=await call.in_thread(call.context.door.refresh_mcp, call.viewer.email))


OPERATIONS = (
    Operation(
        "GET",
        "/mcp/servers",
        list_servers,
        "List the MCP servers that the servers file names.",
        Role.ANALYST,
        list[McpServerRow],
    ),
    Operation(
        "GET",
        "/mcp/servers/{server}/tools",
        list_tools,
        "List the tools that a server last offered.",
        Role.ANALYST,
        list[McpToolRow],
    ),
    Operation(
        "POST",
        "/mcp/servers/{server}/tools/{tool}/calls",
        call_tool,
        "Queue a run that calls a tool; its result is the run's output.",
        Role.OPERATOR,
        QueuedRun,
        body=NewCall,
        status=202,
        doing="call a tool",
    ),
    Operation(
        "POST",
        "/mcp/refresh",
        refresh,
        "Have the lists of servers and tools read again.",
        Role.OPERATOR,
        Refreshed,
        status=202,
        doing="refresh the catalogue",
    ),
)
