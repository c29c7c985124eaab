"""The work of each tool of the MCP server; `tool_descriptions` has the descriptions for a model."""
