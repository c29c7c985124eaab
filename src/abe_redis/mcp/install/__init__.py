"""`abe-redis mcp install`: an entry of ours in files that belong to programs which run agents."""
