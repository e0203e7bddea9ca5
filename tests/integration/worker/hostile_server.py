"""An MCP server that misbehaves as its argument says; speaks JSON-RPC by hand, so that it can break every rule."""

import json
import sys
import time

SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}}
TOOL = {"name": "echo", "description": "Echo.", "inputSchema": SCHEMA}


def send(message: object) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def answer(mode: str, request: dict) -> None:
    method, key = request.get("method"), request.get("id")
    if key is None:
        return
    if mode == "silent":
        time.sleep(600)
    if method == "initialize":
        info = {"name": "hostile", "version": "1"}
        version = request["params"]["protocolVersion"]
        result = {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}
        send({"jsonrpc": "2.0", "id": key, "result": result})
    elif method == "tools/list":
        send({"jsonrpc": "2.0", "id": key, "result": {"tools": [tool(mode)]}})
    elif method == "tools/call":
        call(mode, key)
    else:
        send({"jsonrpc": "2.0", "id": key, "error": {"code": -32601, "message": "no such method"}})


def tool(mode: str) -> dict:
    if mode == "slow_pattern":
        return TOOL | {"outputSchema": {"type": "object", "properties": {"v": {"pattern": "^(a+)+$"}}}}
    if mode == "wrong_output":
        return TOOL | {"outputSchema": {"type": "object", "required": ["v"]}}
    if mode == "bad_schema":
        return TOOL | {"inputSchema": {"type": "object", "properties": {"text": {"pattern": "(?=x)y"}}}}
    return TOOL


def call(mode: str, key: object) -> None:
    if mode == "hang":
        time.sleep(600)
    if mode == "crash":
        sys.stderr.write("out of memory\n")
        sys.stderr.flush()
        sys.exit(3)
    text = "x" * 6_000_000 if mode == "huge" else "\x1b[31mred\x00\u200b"
    result: dict = {"content": [{"type": "text", "text": text}]}
    if mode == "slow_pattern":
        result["structuredContent"] = {"v": "a" * 40 + "!"}
    if mode == "wrong_output":
        result["structuredContent"] = {"w": 1}
    send({"jsonrpc": "2.0", "id": key, "result": result})


if __name__ == "__main__":
    for line in sys.stdin:
        answer(sys.argv[1], json.loads(line))
