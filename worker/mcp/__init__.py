"""MCP: servers from a file, sessions that restart, a gateway that checks before it calls, a server of our own."""
