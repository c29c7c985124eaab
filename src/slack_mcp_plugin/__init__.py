"""The door that Slack MCP Server knocks on; the house is `abe_redis`."""
