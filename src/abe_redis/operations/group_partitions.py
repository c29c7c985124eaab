"""A change of a group in the stream of a topic's own name: what it leaves to do in the partitions."""

import logging
from dataclasses import dataclass

from redis.asyncio import Redis

from abe_redis.errors import AbeRedisError
from abe_redis.operations import topics
from abe_redis.operations.scope import Scope
from abe_redis.runtime.shell import command
from abe_redis.schemas import GroupChange
from abe_redis.streams import manage

_LOG = logging.getLogger(__name__)

_NOT_DONE = {
    "create": "It was not made in",
    "pause": "It is not paused in",
    "resume": "It is still paused in",
    "remove": "It is still there in",
    "reset": "It stays where it is in",
    "replay": "It gets nothing again from",
}
"""By command, what is said of a group before the partitions in which that was not done."""


@dataclass(frozen=True, slots=True)
class InPartitions:
    """What a command does to a group in one stream, and the same in the partitions of its topic."""

    scope: Scope
    what: str
    """The command's last word."""
    stream: str
    group: str
    options: str = ""
    """The command's options, quoted."""

    def command(self, part: str) -> str:
        """The command for one of the partitions."""
        return f"`{command(f'group {self.what}', part, self.group, options=self.options)}`"

    async def note(self, change: GroupChange) -> GroupChange:
        """Add the partitions in which the same is still to be done."""
        try:
            async with self.scope.redis("looking at the partitions") as redis:
                left = await self._left(redis)
        except AbeRedisError as error:
            _LOG.warning("Whether the group is in partitions of the topic, too, is not known: %s", error)
            return change
        if left:
            each = "" if len(left) == 1 else ", and so for each"
            said = f"{_NOT_DONE[self.what]} {topics.listed(left)}"
            change.note += f" {said}: {self.command(next(iter(left)))}{each}."
        return change

    async def _left(self, redis: Redis) -> dict[str, str]:
        """The partitions in which the same is still to be done, each with what it holds."""
        parts = await topics.partitions(redis, self.scope.patterns, self.stream)
        if self.what == "create":
            having = await topics.with_unfinished(redis, parts, self.group)
            every = await topics.with_unfinished(redis, parts, None)
            return {part: holds for part, holds in every.items() if part not in having}
        found = await topics.with_unfinished(redis, parts, self.group, lacking_too=self.what == "pause")
        return {part: holds for part, holds in found.items() if await self._concerns(redis, part)}

    async def _concerns(self, redis: Redis, part: str) -> bool:
        if self.what not in {"pause", "resume"}:
            return True
        return await manage.is_paused(redis, part, self.group) == (self.what == "resume")
