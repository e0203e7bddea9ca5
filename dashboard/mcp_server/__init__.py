"""Our own MCP server: what the objectives say, as tools for agents. Nothing here changes anything."""
