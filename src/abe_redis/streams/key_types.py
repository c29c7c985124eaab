"""Keys of a wrong type: another program uses their names."""

from collections.abc import Iterable
from typing import NamedTuple

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from abe_redis.streams import names, peek


class Mistyped(NamedTuple):
    """A key of a wrong type."""

    key: str
    kind: str
    wanted: str

    @property
    def sentence(self) -> str:
        """A sentence that says what is wrong and what to do."""
        holds = "holds events" if self.wanted == "stream" else "is abe-redis's own"
        return (
            f"The key {self.key!r} is a {self.kind}, but it {holds} and must be a {self.wanted}: workers "
            "wait until it is, and what needs it is refused. Rename it, or delete it."
        )


async def mistyped(redis: Redis, streams: Iterable[str], group: str) -> list[Mistyped]:
    """The keys of a wrong type, among those of these streams and those shared by all streams.

    Args:
        redis: The client.
        streams: Streams, whether they exist or not.
        group: A group whose helper keys are looked at, beside those of the groups that exist.

    Raises:
        redis.RedisError: The server refused to tell, or could not be reached.
    """
    wanted = {names.INDEX: "zset", names.AUDIT: "stream"}
    for stream in streams:
        wanted |= {stream: "stream", names.dead_letters(stream): "stream", names.records(stream): "hash"}
        for one in {group, *await _groups(redis, stream)}:
            wanted |= {
                names.due(stream, one): "zset",
                names.reasons(stream, one): "hash",
                names.leases(stream, one): "hash",
                names.held(stream, one): "hash",
                names.pending(stream, one): "hash",
            }
    found = await peek.kinds(redis, wanted)
    return [
        Mistyped(key, kind, wanted[key]) for key, kind in found.items() if kind not in {wanted[key], "none"}
    ]


async def _groups(redis: Redis, stream: str) -> list[str]:
    try:
        return [row["name"].decode(errors="replace") for row in await redis.xinfo_groups(stream)]
    except ResponseError:  # there is no such stream
        return []
