"""What each tool of the MCP server does; `tool_descriptions` says what a model is told of it."""
