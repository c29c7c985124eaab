"""Bridges the two lines of the MCP SDK: the only place that knows how they differ."""
