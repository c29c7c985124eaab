"""What others' checkers say of the MCP server: the official conformance suite, and the inspector."""
