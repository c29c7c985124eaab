"""Searching for streams."""

from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from abe_redis.client import optional_commands
from abe_redis.streams import names, slots
from abe_redis.streams.patterns import Patterns
from abe_redis.streams.publish import announce

_SCAN_LOCK = "abe:scan"
_SCAN_SECONDS = 50
"""Interval of the slow SCAN, which the consumer with the lock makes."""
_SCAN_STEPS = 30
"""Number of its steps; a consumer makes one about every 1.6 s. A step over 30,000 keys takes the server some
milliseconds (KEYS over a million keys takes 180)."""
_SCAN_MOST = 50_000


async def announced(redis: Redis, since: float) -> dict[str, float]:
    """Streams with news: an event was published, or a group was paused or resumed.

    Args:
        since: The server's time in seconds up to which the caller knows the index; 0 for all of it.

    Returns:
        The time of the news for each name.
    """
    rows: Any = await redis.zrange(names.INDEX, since, "+inf", byscore=True, withscores=True)  # type: ignore[call-overload, unused-ignore]
    return {name: score for key, score in rows if (name := _text(key)) is not None}


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
        if not self._left:
            if not await redis.set(_SCAN_LOCK, b"1", nx=True, ex=_SCAN_SECONDS):
                return
            self._left = list(slots.servers(redis))
            keys = sum([await server.dbsize() for server in self._left])
            self._count = min(max(1000, keys // _SCAN_STEPS), _SCAN_MOST)
        server = self._left.pop(0)  # if it fails, this part is skipped until the next search
        self._cursor, found = await server.scan(
            self._cursor, match=self.patterns.search, count=self._count, _type="stream"
        )
        if streams := _matching(found, self.patterns):
            await announce(redis, streams)
        if self._cursor:
            self._left.insert(0, server)


def _say_unsearched(redis: Redis, error: ResponseError) -> None:
    optional_commands.say_left_out(
        *("SCAN", slots.identity(redis), error),
        without="streams of other programs are read if REDIS_STREAM_PATTERNS names them in full",
    )


_LOOKED_AT = 2_000_000


async def existing(redis: Redis, patterns: Patterns, *, limit: int = 1000) -> list[str]:
    """The existing streams that match, in order of name, for a person or an agent.

    Foreign ones are searched for among the first two million keys.
    """
    candidates = {name for name in (*await announced(redis, 0), *patterns.names) if patterns.match(name)}
    if patterns.globs:
        try:
            async for keys in slots.keys(redis, most=_LOOKED_AT, match=patterns.search, kind="stream"):
                candidates |= set(_matching(keys, patterns))
        except ResponseError as error:
            if not optional_commands.is_refused(error):
                raise
            _say_unsearched(redis, error)
    chosen = sorted(candidates)[:limit]
    pipeline = redis.pipeline(transaction=False)
    for name in chosen:
        pipeline.type(name)
    kinds = await pipeline.execute() if chosen else []
    return [name for name, kind in zip(chosen, kinds, strict=True) if kind == b"stream"]
