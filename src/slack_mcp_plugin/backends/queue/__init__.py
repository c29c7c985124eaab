"""Queue back ends for Slack MCP Server."""

from abe_redis import RedisMessageQueueBackend

__all__ = ["RedisMessageQueueBackend"]
