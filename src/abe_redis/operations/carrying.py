"""Carrying events away to be published elsewhere: their payloads, where to begin, and where to end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from redis.asyncio import Redis

from abe_redis.errors import InvalidArgumentError, PayloadError
from abe_redis.events import codec
from abe_redis.operations.checks import check_id
from abe_redis.runtime.plurals import first_of
from abe_redis.streams import peek

type Entry = tuple[str, codec.Fields | None]
"""The id of an entry, and its fields; None when it was trimmed."""


@dataclass(frozen=True, slots=True)
class Carried:
    """An event that is carried away."""

    id: str
    stream: str
    """The stream that it is in, or for a dead letter came from."""
    payload: dict[str, Any] | None
    """None when it has none that can be published."""
    flaw: str = ""
    """Why it has none, as the end of a sentence."""
    origin: str = ""
    """Who published it, if that was not Slack's host."""

    @property
    def place(self) -> str:
        """Where to go on behind it."""
        return f"{self.id}@{self.stream}"


def carried(stream: str, entry_id: str, fields: codec.Fields | None) -> Carried:
    """An event with its payload as it was published, if that can be published again."""
    if fields is None:
        return Carried(entry_id, stream, None, "it is no longer in the stream")
    try:
        payload = codec.without_token(codec.decode(fields))
        codec.encode(payload)
    except codec.UndecodableError as error:
        return Carried(entry_id, stream, None, str(error))
    except PayloadError as error:
        why = str(error).partition(";")[0]
        return Carried(entry_id, stream, None, why[:1].lower() + why[1:])
    origin = fields.get(codec.ORIGIN, b"").decode(errors="replace")
    return Carried(entry_id, stream, payload, origin=origin)


@dataclass(frozen=True, slots=True)
class Start:
    """Where to begin among several streams."""

    id: str | None
    """Behind which id; None: at the oldest."""
    stream: str = ""
    """In which stream the id is; empty: in any, so that each begins behind it."""

    @classmethod
    def of(cls, start: str | None) -> Self:
        """Read an id or `ID@STREAM`.

        Raises:
            InvalidArgumentError: It is neither.
        """
        after, _, stream = (start or "").partition("@")
        return cls(check_id("start", after) if after or stream else None, stream)

    def streams(self, streams: Sequence[str]) -> list[str]:
        """The streams that are left, of those that are read one after the other.

        Raises:
            InvalidArgumentError: None of them is that in which to begin.
        """
        if not self.stream:
            return list(streams)
        if self.stream not in streams:
            raise InvalidArgumentError(
                f"start names the stream {self.stream!r}, which is none of those that are read: "
                f"{first_of(streams, 20)}."
            )
        return list(streams[streams.index(self.stream) :])

    def after(self, stream: str) -> str | None:
        """The id behind which to begin in a stream."""
        return self.id if self.stream in {"", stream} else None


async def ends(redis: Redis, places: Mapping[str, str]) -> dict[str, str]:
    """Per stream that has entries, its newest: what comes later is not carried, or it might never end.

    Args:
        redis: The client.
        places: Per stream, the one that is read: the stream itself, or its dead letters.
    """
    newest = {
        one: await peek.entries(redis, place, after=None, count=1, order="newest")
        for one, place in places.items()
    }
    return {one: entries[0].id for one, entries in newest.items() if entries}
