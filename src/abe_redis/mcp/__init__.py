"""The MCP server: `abe-redis mcp`, over stdio or HTTP."""
