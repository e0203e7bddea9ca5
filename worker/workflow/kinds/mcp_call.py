"""The node kind ``mcp.call``: call a tool of an MCP server through the gateway.

A tool may do anything, so a call whose worker died is not repeated by itself.
"""

from typing import Any

from analytics.core.errors import InputError, InvariantError
from worker.workflow.node_kind import Idempotence, NodeCall, NodeKind, Transport

_SHARE_OF_TIME = 0.95
"""The gateway gives up a little before the node's time is over, so that it can say what did not answer."""


async def _run(call: NodeCall) -> dict[str, Any]:
    from worker.mcp.gateway import Caller, Gateway, ToolCall  # noqa: PLC0415 - the SDK loads in run workers only
    from worker.mcp.pool import McpPool  # noqa: PLC0415

    pool, engine = call.resources.mcp, call.resources.async_engine
    if not isinstance(pool, McpPool) or engine is None:
        raise InvariantError("mcp.call was run without a session pool and a database engine; nothing was called.")
    config = call.config
    result = await Gateway(pool, engine).call(
        ToolCall(
            server=config["server"],
            tool=config["tool"],
            arguments=config.get("arguments", {}),
            caller=Caller(run_id=call.run_id, run_created_at=call.run_created_at),
            timeout=call.timeout * _SHARE_OF_TIME,
        )
    )
    took = f"{config['server']}/{config['tool']}: {len(result['content'])} blocks"
    if result["is_error"]:
        took += "; the tool says that it failed"
        call.log.warning(took)
    else:
        call.log.info(took)
    if result["is_error"] and config.get("on_tool_error", "keep") == "fail":
        said = next((block["text"] for block in result["content"] if block.get("type") == "text"), "no reason given")
        raise InputError(
            f"The tool {config['tool']!r} of {config['server']!r} failed: {said[:500]}", reason="tool_error"
        )
    return result


KIND = NodeKind(
    name="mcp.call",
    summary="Calls a tool of an MCP server.",
    config_schema={
        "type": "object",
        "additionalProperties": False,
        "required": ["server", "tool"],
        "properties": {
            "server": {"type": "string", "minLength": 1, "maxLength": 64, "description": "Name in the servers file."},
            "tool": {"type": "string", "minLength": 1, "maxLength": 128},
            "arguments": {"type": "object", "default": {}},
            "on_tool_error": {
                "enum": ["keep", "fail"],
                "default": "keep",
                "description": "Whether the node fails when the tool says that it failed, or hands on what it says.",
            },
        },
    },
    transport=Transport.INLINE,
    idempotence=Idempotence.UNSAFE,
    run=_run,
    docs="""Puts out what the tool answered: `content` (blocks), `structured` (its JSON, or null) and `is_error`. Which
servers there are stands in the servers file; a call waits for the server's own limits. The result is never kept for
another run, since a tool may do anything.

```yaml
- id: words
  kind: mcp.call
  needs: [read]
  config:
    server: helmsight
    tool: text_statistics
    arguments: {text: "{{ nodes.read.output.text }}", top: 5}
    on_tool_error: fail
```
""",
)
