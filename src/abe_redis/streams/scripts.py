"""How a Lua script is sent: by its digest, and in full when the server does not know it.

A script is the only way to decide and act in one step, on every server alike. Each stands beside
the function whose signature is its contract.
"""

import hashlib
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from abe_redis.client.transport import Word, Words
from abe_redis.streams import slots

type Argument = Word


class Script:
    """A Lua script. All its keys must lie in one cluster slot."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._digest = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()

    async def __call__(self, redis: Redis, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:  # noqa: ANN401
        """Run it.

        Returns:
            What the script returns, with strings as bytes.

        Raises:
            redis.RedisError: The server refused it or could not be reached.
        """
        send: Any = redis.execute_command  # which redis-py leaves untyped
        try:
            return await send(*self.command(keys, arguments))
        except NoScriptError:
            return await send(*self.command(keys, arguments, in_full=True))

    async def each(
        self,
        redis: Redis,
        streams: Sequence[str],
        arguments: Sequence[Argument],
        *,
        keys: Callable[[Sequence[str]], Sequence[str]],
    ) -> list[Any]:
        """Run it for streams of any slots; its answer is a list with something for each.

        Args:
            redis: The client.
            streams: For which.
            arguments: The same for all.
            keys: The keys that belong to some of the streams.

        Returns:
            What it answers for each stream, in order.

        Raises:
            redis.RedisError: As for a call.
        """

        async def run(some: Sequence[str]) -> list[tuple[str, Any]]:
            return list(zip(some, await self(redis, keys(some), arguments), strict=True))

        groups = slots.by_slot(redis, streams)
        answers = dict(chain.from_iterable(await slots.each(groups, run)))
        return [answers[stream] for stream in streams]

    def command(self, keys: Sequence[str], arguments: Sequence[Argument], *, in_full: bool = False) -> Words:
        """What is sent to run it: by its digest, or in full."""
        if in_full:
            return "EVAL", self._source, len(keys), *keys, *arguments
        return "EVALSHA", self._digest, len(keys), *keys, *arguments
