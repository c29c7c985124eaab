"""The path that the entry points name."""

from abe_redis import RedisMessageQueueBackend

__all__ = ["RedisMessageQueueBackend"]
