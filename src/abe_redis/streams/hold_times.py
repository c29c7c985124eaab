"""Since when consumers hold events: what each says of its own, and what that makes of the pending entries.

A pending entry shows how long ago its lease was renewed. A renewal costs nothing else, so who renews leases
says at that time, in one command, since when it holds the events that have lasted until then.
"""

import time
from collections.abc import Container, Iterable, Mapping, Sequence
from itertools import batched
from typing import Any, NamedTuple

from redis.asyncio import Redis

from abe_redis.streams import names, slots
from abe_redis.streams.scripts import Argument, Script

MOST_NOTED = 20
"""Events of a stream that a consumer speaks of: those that it has held longest."""

GIVEN_BACK_MS = 10 * 365 * 86_400_000
"""An entry that is idle for longer was dated to the epoch by `release`."""

type Row = Mapping[str, Any]
"""A pending entry, as XPENDING shows it."""

_NOTE = Script.load("note_held")


class Held(NamedTuple):
    """An event that a consumer holds, as it says itself."""

    stream: str
    id: str
    begun: int
    """How many of its deliveries handlers began."""
    seconds: float
    """How long it has been held."""


async def note(redis: Redis, group: str, consumer: str, streams: Sequence[str], held: Iterable[Held]) -> None:
    """Note what a consumer holds, in place of what it said before.

    Args:
        redis: The client.
        group: The group.
        consumer: Who holds it.
        streams: Every stream of which it says something, or did so before.
        held: The events; of each stream, those held longest are noted.

    Raises:
        redis.RedisError: The server refused it or could not be reached.
    """
    per_stream: dict[str, list[Held]] = {}
    for one in sorted(held, key=lambda one: -one.seconds):
        per_stream.setdefault(one.stream, []).append(one)

    async def run(some: Sequence[str]) -> None:
        arguments: list[Argument] = [consumer]
        for number, stream in enumerate(some, 1):
            for one in per_stream.get(stream, ())[:MOST_NOTED]:
                arguments += (number, one.id, one.begun, max(0, round(one.seconds * 1000)))
        await _NOTE(redis, [names.held(stream, group) for stream in some], arguments)

    await slots.in_steps(redis, streams, run)


class Since(NamedTuple):
    """What a consumer said of an event."""

    begun: int
    at_ms: int
    """Since when it holds it, by the server's clock."""


type Notes = Mapping[tuple[bytes, bytes], Since]
"""By consumer and id."""


def notes_from(said: Mapping[bytes, bytes]) -> Notes:
    """What consumers said, from the hash in which it stands."""
    return {
        (consumer, entry_id): Since(int(begun), int(at_ms))
        for consumer, words in said.items()
        for entry_id, begun, at_ms in batched(words.split(), 3)
    }


def seconds(answer: Any) -> float:  # noqa: ANN401 - what TIME answered
    """The server's time in seconds, or this machine's where TIME is refused."""
    return time.time() if isinstance(answer, Exception) else answer[0] + answer[1] / 1e6


def seconds_of(row: Row, notes: Notes, now: float) -> float | None:
    """For how long the consumer of a pending entry has held it; None when nobody holds it.

    Args:
        row: The entry, as XPENDING shows it.
        notes: What the consumers of its group said.
        now: The server's time in seconds.
    """
    idle_ms = int(row["time_since_delivered"])
    if idle_ms > GIVEN_BACK_MS or row["consumer"] == names.NOBODY:
        return None
    since = notes.get((row["consumer"], row["message_id"]))
    # One that the consumer was given again since then begins anew.
    if since is None or since.begun < row["times_delivered"]:
        return idle_ms / 1000
    return max(idle_ms / 1000, now - since.at_ms / 1000)


class Holding(NamedTuple):
    """The event that a consumer has held longest."""

    has_begun: bool
    """Whether a handler has begun with it, as far as Redis knows."""
    seconds: float
    id: str


def longest(
    rows: Iterable[Row], postponed: Container[bytes], notes: Notes, now: float
) -> dict[bytes, Holding]:
    """Per consumer the event that it has held longest, of those that a handler has if there are any.

    Args:
        rows: Pending entries, as XPENDING shows them.
        postponed: Ids of those that wait for their time; nobody holds them.
        notes: What the consumers of the group said.
        now: The server's time in seconds.
    """
    found: dict[bytes, Holding] = {}
    for row in rows:
        seconds = None if row["message_id"] in postponed else seconds_of(row, notes, now)
        if seconds is not None:
            one = Holding(row["times_delivered"] > 0, round(seconds, 3), row["message_id"].decode())
            best = found.get(row["consumer"])
            if best is None or one[:2] > best[:2]:  # of several alike, the oldest
                found[row["consumer"]] = one
    return found
