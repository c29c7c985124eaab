"""`abe-redis mcp install`: adds our entry to the configuration files of MCP clients."""
