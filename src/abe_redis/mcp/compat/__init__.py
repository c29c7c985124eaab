"""Bridges the two lines of the MCP SDK: the only place that knows in which way they differ."""
