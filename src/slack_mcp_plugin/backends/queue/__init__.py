"""Queue backends for Slack MCP Server."""

from abe_redis import RedisMessageQueueBackend

__all__ = ["RedisMessageQueueBackend"]
