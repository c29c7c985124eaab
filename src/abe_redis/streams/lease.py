"""Leases on entries: take, renew, ack.

A lease is a row of the group's pending entries list: the entry belongs to a consumer until it has
been idle for the lease time. Every change checks in the same atomic step that the caller still
is that consumer.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from abe_redis.client.failures import stream_is_gone
from abe_redis.events.codec import Fields
from abe_redis.runtime import clock
from abe_redis.streams import names, slots
from abe_redis.streams.scripts import Argument, Script


def by_stream(entries: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Pairs of stream and id as lists of ids per stream."""
    ids: dict[str, list[str]] = {}
    for stream, entry_id in entries:
        ids.setdefault(stream, []).append(entry_id)
    return ids


type Outcome = str
"""What became of an id: `done`, `not_held` (someone else holds it) or `unknown` (nobody does)."""


class Leased(NamedTuple):
    """An entry that a consumer holds."""

    stream: str
    id: str
    fields: Fields
    deliveries: int
    """How often it has been delivered in this group, this time included."""
    asked_at: float = 0.0
    """When, by `clock.now`, it was asked for: its lease began then or later."""


async def take_new(
    redis: Redis, group: str, consumer: str, streams: Sequence[str], *, count: int, block_ms: int | None
) -> list[Leased]:
    """Lease entries that nobody in the group has been given yet.

    Args:
        redis: The client; one for blocking reads when `block_ms` is given.
        consumer: Who takes them.
        streams: Streams that all have the group.
        count: How many per stream at most; in publish order, and from the streams by turns.
        block_ms: For how many milliseconds to wait when there are none; None: not at all.

    Raises:
        redis.ResponseError: NOGROUP or WRONGTYPE, when one of the streams is not what it was.
    """
    blocking: list[Argument] = [] if block_ms is None else ["BLOCK", block_ms]
    send: Any = redis.execute_command
    asked_at = clock.now()
    # In bytes, redis-py does not know the name, and leaves the answer as Redis gave it.
    reply: Any = await send(
        *(b"XREADGROUP", "GROUP", group, consumer, "COUNT", count, *blocking),
        *("STREAMS", *streams, *[">"] * len(streams)),
    )
    return _by_turns(reply or (), asked_at)


def fields_of(flat: Sequence[bytes]) -> Fields:
    """A flat reply as fields."""
    if len(flat) == 2:  # noqa: PLR2004 - one field, as nearly always
        return {flat[0]: flat[1]}
    return dict(zip(flat[::2], flat[1::2], strict=True))


class Portion(NamedTuple):
    """How much to take of a stream."""

    stream: str
    most: int
    """So many entries at most."""
    last: str
    """The last id read of it; empty when it was empty then, so that nothing can have been removed unread."""


_TAKE_MORE = Script.load("take_more")


@dataclass(slots=True)
class Taken:
    """What a read that does not wait found."""

    leased: list[Leased] = field(default_factory=list)
    """Of each stream in publish order, and from the streams by turns."""
    lost: dict[str, int] = field(default_factory=dict)
    """Per stream, how many entries somebody removed unread, as far as is news."""
    looked_at: list[str] = field(default_factory=list)
    """Streams that were read; the others were not, since it was enough."""
    more: set[str] = field(default_factory=set)
    """Those of them that may have more."""
    failure: ResponseError | None = None
    """NOGROUP or WRONGTYPE, when a stream was not what it was."""


async def take_more(
    redis: Redis, group: str, consumer: str, portions: Sequence[Portion], *, most: int
) -> Taken:
    """Lease entries that nobody in the group has been given yet, without waiting for any.

    Args:
        consumer: Who takes them.
        portions: How much of which streams, all of which have the group; the first come first.
        most: How many at most; in a cluster, per slot at least one.
    """

    async def run(some: Sequence[Portion], share: int) -> Any:  # noqa: ANN401
        keys = names.with_records(portion.stream for portion in some)
        arguments: list[Argument] = [group, consumer, share]
        for portion in some:
            arguments += (portion.most, portion.last)
        return await _TAKE_MORE(redis, keys, arguments)

    taken, _ = await take(redis, portions, most=most, run=run)
    return taken


async def take(
    redis: Redis,
    portions: Sequence[Portion],
    *,
    most: int,
    run: Callable[[Sequence[Portion], int], Awaitable[Any]],
) -> tuple[Taken, list[dict[bytes, Any]]]:
    """Run a script that takes portions of streams, once per cluster slot.

    Args:
        portions: How much of which streams.
        most: How many at most; in a cluster, per slot at least one.
        run: Runs it for some of the portions, to take so many at most.

    Returns:
        What it took, and each of its answers by name.
    """
    wanted = {portion.stream: portion for portion in portions}
    groups = slots.by_slot(redis, list(wanted))
    share = max(1, most // max(1, len(groups)))
    taken, found, asked_at = Taken(), list[Any](), clock.now()

    async def run_for(streams: Sequence[str]) -> dict[bytes, Any]:
        reply = await run([wanted[stream] for stream in streams], share)
        answer = dict(zip(reply[::2], reply[1::2], strict=True))
        rows, losses, looked = answer[b"found"], answer[b"losses"], answer[b"looked"]
        found.extend(rows)
        taken.lost |= {name.decode(): lost for name, lost in zip(losses[::2], losses[1::2], strict=True)}
        taken.looked_at += streams[:looked]
        counts = {stream.decode(): len(entries) for stream, entries in rows}
        taken.more |= {stream for stream, count in counts.items() if count >= wanted[stream].most}
        if sum(counts.values()) >= share:
            taken.more.add(streams[looked - 1])  # which was cut short
        if (failure := answer[b"failure"]) is not None:
            if not stream_is_gone(failure):
                raise failure  # the server refuses everybody at present
            taken.failure = failure
        return answer

    answers = await slots.each(groups, run_for)
    taken.leased = _by_turns(found, asked_at)
    return taken, answers


def _by_turns(found: Any, asked_at: float) -> list[Leased]:  # noqa: ANN401 - as Redis gave it
    """Of each stream in its order; by turns, so that no stream waits for all that was read of another."""
    per_stream = [
        [Leased(name, entry_id.decode(), fields_of(flat), 1, asked_at) for entry_id, flat in entries]
        for name, entries in ((stream.decode(), entries) for stream, entries in found)
    ]
    if len(per_stream) == 1:
        return per_stream[0]
    return [entry for turn in zip_longest(*per_stream) for entry in turn if entry is not None]


_TAKE_ABANDONED = Script.load("reclaim")


async def take_abandoned(
    redis: Redis,
    group: str,
    consumer: str,
    streams: Sequence[str],
    *,
    lease_seconds: float,
    count: int,
    fresh: int | None = None,
) -> tuple[list[Leased], Counter[str]]:
    """Lease entries whose lease is over, that were given back, or whose time has come.

    Args:
        consumer: Who takes them.
        streams: Where to look.
        lease_seconds: For how long a lease is not over.
        count: How many at most when one of them was in a handler's hand before.
        fresh: How many at most when none was; by default `count`.

    Returns:
        The entries; and per stream, how many should have been among them but had been removed.
    """
    leased: list[Leased] = []
    lost: Counter[str] = Counter()
    arguments: list[Argument] = [group, consumer, round(lease_seconds * 1000), count, fresh or count]
    for some in slots.by_slot(redis, streams):
        keys = [key for stream in some for key in (stream, names.due(stream, group), names.records(stream))]
        asked_at = clock.now()
        taken, gone = await _TAKE_ABANDONED(redis, keys, arguments)
        lost.update(stream.decode() for stream in gone)
        leased = [
            Leased(stream.decode(), entry_id.decode(), fields_of(fields), int(deliveries), asked_at)
            for stream, entry_id, fields, deliveries in taken
        ]
        if leased:
            break
    return leased, lost


_RENEW = Script.load("renew")
_ACK = Script.load("ack")


async def _each_held(
    script: Script, redis: Redis, group: str, consumer: str, entries: Sequence[tuple[str, str]]
) -> list[Outcome]:
    outcomes = ["done"] * len(entries)
    places: dict[str, list[int]] = {}
    for at, (stream, _) in enumerate(entries):
        places.setdefault(stream, []).append(at)

    async def run(streams: Sequence[str]) -> None:
        arguments: list[Argument] = [group, consumer]
        theirs: list[int] = []
        for number, stream in enumerate(streams, 1):
            for at in places[stream]:
                arguments += (number, entries[at][1])
            theirs += places[stream]
        for at, outcome in await script(redis, streams, arguments):
            outcomes[theirs[at]] = outcome.decode()

    await slots.each(slots.by_slot(redis, list(places)), run)
    return outcomes


async def renew(
    redis: Redis, group: str, consumer: str, entries: Sequence[tuple[str, str]]
) -> set[tuple[str, str]]:
    """Begin leases anew.

    Args:
        consumer: Who holds the entries.
        entries: Stream and id of each.

    Returns:
        Those that this consumer holds no longer.
    """
    outcomes = await whose(redis, group, consumer, entries)
    return {entry for entry, outcome in zip(entries, outcomes, strict=True) if outcome != "done"}


async def whose(redis: Redis, group: str, consumer: str, entries: Sequence[tuple[str, str]]) -> list[Outcome]:
    """As `renew`, but with the outcome for each entry; `done` for those that this consumer holds."""
    return await _each_held(_RENEW, redis, group, consumer, entries)


async def ack(redis: Redis, group: str, consumer: str, entries: Sequence[tuple[str, str]]) -> list[Outcome]:
    """Finish entries that this consumer holds.

    Args:
        consumer: Who holds the entries.
        entries: Stream and id of each.

    Returns:
        Per entry: `done`, `not_held` or `unknown`.
    """
    return await _each_held(_ACK, redis, group, consumer, entries)
