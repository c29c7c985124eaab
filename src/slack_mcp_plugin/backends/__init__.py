"""Back ends for Slack MCP Server."""
