"""Searching for streams."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import batched, chain
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from abe_redis.client import optional_commands
from abe_redis.streams import names, peek, slots
from abe_redis.streams.patterns import Patterns
from abe_redis.streams.publish import announce

_SCAN_LOCK = "abe:scan"
_SCAN_SECONDS = 50
"""Interval of the slow SCAN, which the consumer with the lock makes."""
_SCAN_STEPS = 30
"""Number of its steps; a consumer makes one about every 1.6 s."""
_SCAN_MOST = 50_000
"""Most keys of a step, which is several calls."""

_PAGE = 1000
"""Most names that one call reads from the index."""


async def announced(redis: Redis, since: float) -> dict[str, float]:
    """Streams with news: an event was published, or a group was paused or resumed.

    Args:
        since: The server's time in seconds up to which the caller knows the index; 0 for all of it.

    Returns:
        The time of the news for each name.
    """
    found: dict[str, float] = {}
    most = _PAGE
    while True:
        page = await _index_page(redis, since, most)
        found |= {name: score for key, score in page if (name := _text(key)) is not None}
        if len(page) < most:
            return found
        if page[-1][1] == since:  # all of one time: the next page must have more
            most *= 2
        since = page[-1][1]


async def _index_page(redis: Redis, since: float, most: int) -> Any:  # noqa: ANN401 - redis-py types it more widely
    return await redis.zrange(  # type: ignore[call-overload, unused-ignore]
        names.INDEX, since, "+inf", byscore=True, withscores=True, offset=0, num=most
    )


def _text(name: Any) -> str | None:  # noqa: ANN401 - bytes, redis-py types them more widely
    """A key as text; None for one that cannot be a stream of ours."""
    try:
        return str(name, "utf-8")
    except UnicodeDecodeError:
        return None


def _matching(keys: Any, patterns: Patterns) -> list[str]:  # noqa: ANN401 - bytes, see above
    return [name for key in keys if (name := _text(key)) is not None and patterns.match(name)]


@dataclass(slots=True)
class Search:
    """A slow SCAN for streams that only others write, made by one consumer at a time.

    It adds the streams to the index, where every consumer finds them within a second.
    """

    patterns: Patterns
    _left: list[Redis] = field(default_factory=list)
    """Servers whose keys are not searched yet, the present one first."""
    _cursor: int = 0
    _count: int = 1000
    _refused: bool = False
    """Whether the server refuses to be searched."""

    async def step(self, redis: Redis) -> None:
        """Take the lock if it is free, or search the next part of the keyspace."""
        if not self.patterns.globs or self._refused:
            return
        try:
            await self._advance(redis)
        except ResponseError as error:
            if not optional_commands.is_refused(error):
                raise
            self._refused = True
            _say_unsearched(redis, error)

    async def _advance(self, redis: Redis) -> None:
        if not (slots.is_here(redis, _SCAN_LOCK) and slots.is_here(redis, names.INDEX)):
            return
        if not self._left:
            if not await redis.set(_SCAN_LOCK, b"1", nx=True, ex=_SCAN_SECONDS):
                return
            self._left = list(slots.servers(redis, here=True))
            keys = sum([await server.dbsize() for server in self._left])
            self._count = min(max(1000, keys // _SCAN_STEPS), _SCAN_MOST)
        server = self._left.pop(0)  # if it fails, this part is skipped until the next search
        cursor, self._cursor = self._cursor, 0
        looked = 0
        while looked < self._count:
            count = min(slots.MOST_KEYS, self._count - looked)
            cursor, found = await server.scan(cursor, match=self.patterns.search, count=count, _type="stream")
            looked += count
            if streams := _matching(found, self.patterns):
                await announce(redis, streams)
            if not cursor:
                return
        self._cursor = cursor
        self._left.insert(0, server)


def _say_unsearched(redis: Redis, error: ResponseError) -> None:
    optional_commands.say_left_out(
        *("SCAN", slots.identity(redis), error),
        without="streams of other programs are read if REDIS_STREAM_PATTERNS names them in full",
    )


_LOOKED_AT = 2_000_000


async def existing(redis: Redis, patterns: Patterns, *, limit: int = 1000, here: bool = False) -> list[str]:
    """The existing streams that match, in order of name, for a person or an agent.

    Foreign ones are searched for among the first two million keys.

    Args:
        redis: The client.
        patterns: What they match.
        limit: Most streams to look at.
        here: Leave out those on servers that are away.
    """
    if here:
        return await slots.without_away(redis, lambda: _existing(redis, patterns, limit, here=True))
    return await _existing(redis, patterns, limit, here=False)


async def _existing(redis: Redis, patterns: Patterns, limit: int, *, here: bool) -> list[str]:
    index = await announced(redis, 0) if not here or slots.is_here(redis, names.INDEX) else {}
    candidates = {name for name in (*index, *patterns.names) if patterns.match(name)}
    if patterns.globs:
        try:
            async for keys in slots.keys(
                redis, most=_LOOKED_AT, match=patterns.search, kind="stream", here=here
            ):
                candidates |= set(_matching(keys, patterns))
        except ResponseError as error:
            if not optional_commands.is_refused(error):
                raise
            _say_unsearched(redis, error)
    some = sorted(name for name in candidates if not here or slots.is_here(redis, name))[:limit]
    kinds = await peek.kinds(redis, some)
    return [name for name, kind in kinds.items() if kind == "stream"]


async def gone(redis: Redis, streams: Iterable[str], patterns: Patterns) -> set[str]:
    """Those streams that do not exist; a topic exists as long as one of its partitions does.

    Raises:
        redis.RedisError: The server refused to tell, or could not be reached.
    """
    parts = range(patterns.partitions if patterns.partitions > 1 else 0)
    keys = {one: [one, *(names.partition(one, at) for at in parts)] for one in streams}
    exist = set[str]()
    for some in batched(chain.from_iterable(keys.values()), _PAGE):
        kinds = await peek.kinds(redis, some)
        exist.update(key for key, kind in kinds.items() if kind != "none")
    return {one for one, its_keys in keys.items() if exist.isdisjoint(its_keys)}
