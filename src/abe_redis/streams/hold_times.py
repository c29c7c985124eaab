"""Since when consumers hold events: the records of consumers, matched with the pending entries.

A pending entry shows only how long ago its lease was renewed. So a consumer that renews leases also records,
in one more command, since when it holds those events.
"""

import time
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from itertools import batched
from typing import Any, NamedTuple

from redis.asyncio import Redis

from abe_redis.streams import names, slots
from abe_redis.streams.scripts import Argument, Script

MOST_NOTED = 20
"""Most events of a stream that a consumer records: those that it has held longest."""

GIVEN_BACK_MS = 10 * 365 * 86_400_000
"""An entry that is idle for longer was dated to the epoch by `release`."""

type Row = Mapping[str, Any]
"""A pending entry, as XPENDING shows it."""

_LEFT = b"left"
"""Stands in place of a record for a consumer that has ended in order; see `withdraw.lua`."""

_FULL = b"full"
"""Stands before the record of a consumer that takes no events."""

_PERSON = b"abe:person "
"""Stands before the name of a consumer for which a person leases, in a field of its own without a value.

A sign of life of a worker deletes it; see `note_alive.lua`.
"""

_KEPT_MS = 7 * 86_400_000

_NOTE = Script.load("note_held")


class Held(NamedTuple):
    """An event that a consumer holds, by its own record."""

    stream: str
    id: str
    begun: int
    """Number of its deliveries that handlers have begun."""
    seconds: float
    """How long it has been held."""


async def note(
    redis: Redis,
    group: str,
    consumer: str,
    streams: Sequence[str],
    held: Iterable[Held],
    *,
    full: bool = False,
) -> None:
    """Record what a consumer holds, in place of its earlier record.

    Args:
        redis: The client.
        group: The group.
        consumer: The consumer.
        streams: Every stream for which it has a record, new or old.
        held: The events; of each stream, those held longest are recorded.
        full: Whether functions beyond their limit hold all places of the worker, so that it takes no more.

    Raises:
        redis.RedisError: The server refused it or could not be reached.
    """
    per_stream: dict[str, list[Held]] = {}
    for one in sorted(held, key=lambda one: -one.seconds):
        per_stream.setdefault(one.stream, []).append(one)

    async def run(some: Sequence[str]) -> None:
        arguments: list[Argument] = [consumer, _FULL.decode() if full else ""]
        for number, stream in enumerate(some, 1):
            for one in per_stream.get(stream, ())[:MOST_NOTED]:
                arguments += (number, one.id, one.begun, max(0, round(one.seconds * 1000)))
        await _NOTE(redis, [names.held(stream, group) for stream in some], arguments)

    await slots.in_steps(redis, streams, run)


async def note_person(redis: Redis, stream: str, group: str, consumer: str) -> None:
    """Record that a person leases for a consumer whose name looks like a worker's.

    Raises:
        redis.RedisError: The server refused it or could not be reached.
    """
    pipeline = redis.pipeline(transaction=False)
    pipeline.hset(names.held(stream, group), _PERSON + consumer.encode(), b"")
    pipeline.pexpire(names.held(stream, group), _KEPT_MS)
    await pipeline.execute()


class Since(NamedTuple):
    """A consumer's record of an event."""

    begun: int
    at_ms: int
    """Since when it holds it, by the server's clock."""


class Records(NamedTuple):
    """What the consumers of a group have recorded."""

    since: Mapping[tuple[bytes, bytes], Since]
    """By consumer and id."""
    full: frozenset[bytes]
    """The consumers of workers of which functions beyond their limit hold all places."""
    ended: frozenset[bytes]
    """The consumers that have ended in order, and hold nothing, whatever is pending under their names."""
    people: frozenset[bytes]
    """The consumers for which people lease at the command line, though their names look like workers'."""


def records_from(said: Mapping[bytes, bytes]) -> Records:
    """The records of consumers, from the hash that holds them."""
    since = {
        (consumer, entry_id): Since(int(begun), int(at_ms))
        for consumer, words in said.items()
        if words != _LEFT
        for entry_id, begun, at_ms in batched(words.removeprefix(_FULL).split(), 3)
    }
    people = frozenset(field.removeprefix(_PERSON) for field in said if field.startswith(_PERSON))
    return Records(
        since,
        frozenset(consumer for consumer, words in said.items() if words.startswith(_FULL)),
        frozenset(consumer for consumer, words in said.items() if words == _LEFT),
        people - {consumer for consumer, _ in since},  # a person notes nothing: that is a worker's
    )


def seconds(answer: Any) -> float:  # noqa: ANN401 - what TIME answered
    """The server's time in seconds, or this machine's where TIME is refused."""
    return time.time() if isinstance(answer, Exception) else answer[0] + answer[1] / 1e6


def is_given_back(row: Row) -> bool:
    """Whether a pending entry was given back, or postponed, so that it is nobody's."""
    return int(row["time_since_delivered"]) > GIVEN_BACK_MS or row["consumer"] in names.NOBODYS


def is_left(row: Row, records: Records) -> bool:
    """Whether the consumer of a pending entry has ended in order without giving it back."""
    return row["consumer"] in records.ended and not is_given_back(row)


def is_lease_over(row: Row, lease_seconds: float) -> bool:
    """Whether the lease of a pending entry is over, if it has one; in seconds how long such a lease lasts."""
    return int(row["time_since_delivered"]) / 1000 >= lease_seconds


def seconds_of(row: Row, records: Records, now: float) -> float | None:
    """How long the consumer of a pending entry has held it; None when nobody holds it.

    Args:
        row: The entry, as XPENDING shows it.
        records: Those of its group's consumers.
        now: The server's time in seconds.
    """
    if is_given_back(row) or is_left(row, records):
        return None
    idle_ms = int(row["time_since_delivered"])
    since = records.since.get((row["consumer"], row["message_id"]))
    # An entry that the consumer leased again later has a new start.
    if since is None or since.begun < row["times_delivered"]:
        return idle_ms / 1000
    return max(idle_ms / 1000, now - since.at_ms / 1000)


class Holding(NamedTuple):
    """The event that a consumer has held longest."""

    has_begun: bool
    """Whether a handler has begun it, as far as Redis knows."""
    seconds: float
    id: str
    is_over: bool = False
    """Whether the lease is over, so that the next consumer gets it."""


def longest(
    rows: Iterable[Row],
    postponed: Container[bytes],
    records: Records,
    now: float,
    lease: Callable[[bytes], float],
) -> dict[bytes, Holding]:
    """Per consumer, the event that it has held longest; events with a handler come before others.

    Args:
        rows: Pending entries, as XPENDING shows them.
        postponed: Ids of those that wait for their time; nobody holds them.
        records: Those of the group's consumers.
        now: The server's time in seconds.
        lease: How many seconds a lease of a consumer lasts.
    """
    found: dict[bytes, Holding] = {}
    for row in rows:
        seconds = None if row["message_id"] in postponed else seconds_of(row, records, now)
        if seconds is not None:
            has_begun, is_over = row["times_delivered"] > 0, is_lease_over(row, lease(row["consumer"]))
            one = Holding(has_begun, round(seconds, 3), row["message_id"].decode(), is_over)
            best = found.get(row["consumer"])
            if best is None or one[:2] > best[:2]:  # of equals, the oldest
                found[row["consumer"]] = one
    return found
