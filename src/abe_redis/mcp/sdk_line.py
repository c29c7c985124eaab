"""Which line of the MCP SDK is installed."""

from importlib.util import find_spec

SDK_2 = find_spec("mcp.server.mcpserver") is not None
"""Whether it is 2.x; otherwise it is 1.x."""
