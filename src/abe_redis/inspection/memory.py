"""The memory of each server that has keys."""

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from abe_redis.client.optional_commands import is_refused
from abe_redis.schemas import ServerMemory
from abe_redis.settings import Settings
from abe_redis.streams import slots


async def of_servers(redis: Redis, settings: Settings) -> list[ServerMemory]:
    """How much memory each server uses, and how much it may use.

    Returns:
        None of those that do not tell this user, since INFO is a right that no role needs, or are away.

    Raises:
        redis.RedisError: A server could not be reached.
    """
    found = []
    for server in slots.servers(redis, here=True):
        try:
            info = await server.info("memory")
        except ResponseError as error:
            if not is_refused(error):
                raise
            continue
        if "used_memory" in info:
            most = int(info.get("maxmemory", 0))
            found.append(
                ServerMemory(
                    server=slots.place(server) or settings.redis_url,
                    used_bytes=int(info["used_memory"]),
                    max_bytes=most or None,
                    policy=info.get("maxmemory_policy"),
                )
            )
    return found
