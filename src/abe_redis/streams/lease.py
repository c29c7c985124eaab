"""Leases on entries: how a consumer takes them; `renewal` says how it keeps them.

A lease is a row of the group's pending entries list: the entry belongs to a consumer until it has
been idle for the lease time. Every change checks in the same atomic step that the caller still
is that consumer.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
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


class Leased(NamedTuple):
    """An entry that a consumer holds."""

    stream: str
    id: str
    fields: Fields
    deliveries: int
    """Number of its deliveries in this group that handlers have begun, including the next one."""
    asked_at: float = 0.0
    """Time, by `clock.now`, of the request for it: its lease began then or later."""
    again: bool = False
    """Whether a handler may have begun it before: then a delivery is counted before it begins. A first
    delivery is counted soon after, together with others, unless it ends before."""
    rest_seconds: float = 0.0
    """The rest of the delay that a chosen entry was leased out of."""
    postponed_because: str = ""
    """Why it was postponed, if that is known."""


async def take_new(
    redis: Redis, group: str, consumer: str, streams: Sequence[str], *, count: int, block_ms: int | None
) -> list[Leased]:
    """Lease entries that are not delivered in the group yet.

    Args:
        redis: The client; with `block_ms`, one for blocking reads.
        consumer: The consumer that leases them.
        streams: Streams that all have the group.
        count: Most entries per stream; one stream after the other, each in publish order.
        block_ms: Milliseconds to wait when there are none; None: do not wait.

    Raises:
        redis.ResponseError: NOGROUP or WRONGTYPE, when one of the streams was deleted or replaced.
    """
    blocking: list[Argument] = [] if block_ms is None else ["BLOCK", block_ms]
    send: Any = redis.execute_command
    asked_at = clock.now()
    # redis-py does not recognize a command in bytes, so it leaves the answer as Redis gave it.
    reply: Any = await send(
        *(b"XREADGROUP", "GROUP", group, consumer, "COUNT", count, *blocking),
        *("STREAMS", *streams, *[">"] * len(streams)),
    )
    return [
        Leased(name, entry_id.decode(), fields_of(flat), 1, asked_at)
        for name, entries in ((stream.decode(), entries) for stream, entries in reply or ())
        for entry_id, flat in entries
    ]


def fields_of(flat: Sequence[bytes]) -> Fields:
    """A flat reply as fields."""
    if len(flat) == 2:  # noqa: PLR2004 - one field, as nearly always
        return {flat[0]: flat[1]}
    return dict(zip(flat[::2], flat[1::2], strict=True))


class Portion(NamedTuple):
    """The portion of a stream to read."""

    stream: str
    most: int
    """Most entries."""
    last: str
    """The last id read; empty when the stream was empty, so nothing can have been removed unread."""


_TAKE_MORE = Script.load("take_more")


@dataclass(slots=True)
class Taken:
    """The result of a read that does not wait."""

    leased: list[Leased] = field(default_factory=list)
    """The entries of one stream after the other, each in publish order."""
    lost: dict[str, int] = field(default_factory=dict)
    """Per stream, the number of entries newly found to be removed unread."""
    looked_at: list[str] = field(default_factory=list)
    """The streams that were read before there were enough entries."""
    more: set[str] = field(default_factory=set)
    """Those of them that may have more entries."""
    positions: dict[str, str] = field(default_factory=dict)
    """The last id that the group was given of each stream that was read, if that was asked for."""
    failure: ResponseError | None = None
    """NOGROUP or WRONGTYPE, when a stream was deleted or replaced."""


async def take_more(
    redis: Redis,
    group: str,
    consumer: str,
    portions: Sequence[Portion],
    *,
    most: int,
    begun: bool = False,
    positions: bool = False,
) -> Taken:
    """Lease entries that are not delivered in the group yet, without waiting for any.

    Args:
        consumer: The consumer that leases them.
        portions: The portions of streams in order of precedence; every stream has the group.
        most: Most entries in total; in a cluster, at least one per slot.
        begun: Whether these deliveries count from now on; otherwise `hold` counts them when they begin.
        positions: Whether to answer the positions of the group.
    """

    async def run(some: Sequence[Portion], share: int) -> Any:  # noqa: ANN401
        keys = names.with_records_and_due((portion.stream for portion in some), group)
        arguments: list[Argument] = [group, consumer, share, int(begun), int(positions)]
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
        portions: The portions of streams.
        most: Most entries in total; in a cluster at least one per slot.
        run: Runs it for some of the portions, with the most entries to take.

    Returns:
        The leased entries, and each of its answers by name.
    """
    wanted = {portion.stream: portion for portion in portions}
    groups = slots.by_slot(redis, list(wanted))
    share = max(1, most // max(1, len(groups)))
    taken, per_stream, asked_at = Taken(), list[list[Leased]](), clock.now()

    async def run_for(streams: Sequence[str]) -> dict[bytes, Any]:
        reply = await run([wanted[stream] for stream in streams], share)
        answer = dict(zip(reply[::2], reply[1::2], strict=True))
        rows, losses, looked = answer[b"found"], answer[b"losses"], answer[b"looked"]
        found = {
            stream: _leased_from(stream, flat, asked_at)
            for stream, flat in zip(map(bytes.decode, rows[::2]), rows[1::2], strict=True)
        }
        per_stream.extend(found.values())
        taken.lost |= {name.decode(): lost for name, lost in zip(losses[::2], losses[1::2], strict=True)}
        taken.looked_at += streams[:looked]
        at = answer.get(b"positions", ())
        taken.positions |= {
            name.decode(): last.decode() for name, last in zip(at[::2], at[1::2], strict=True)
        }
        taken.more |= {stream for stream, leased in found.items() if len(leased) >= wanted[stream].most}
        if sum(map(len, found.values())) >= share:
            taken.more.add(streams[looked - 1])  # which was cut short
        if (failure := answer[b"failure"]) is not None:
            if not stream_is_gone(failure):
                raise failure  # the server refuses everybody at present
            taken.failure = failure
        return answer

    answers = await slots.each(groups, run_for)
    taken.leased = list(chain.from_iterable(per_stream))
    return taken, answers


def _leased_from(stream: str, flat: Sequence[Any], asked_at: float) -> list[Leased]:
    """The entries of a stream: of each its id, how many words follow, its fields and values."""
    if 4 * flat[1::4].count(2) == len(flat):  # one field each, as nearly always
        return [
            Leased(stream, entry_id.decode(), {name: value}, 1, asked_at)
            for entry_id, name, value in zip(flat[::4], flat[2::4], flat[3::4], strict=True)
        ]
    leased, begin = list[Leased](), 0
    while begin < len(flat):
        end = begin + 2 + flat[begin + 1]
        fields = fields_of(flat[begin + 2 : end])
        leased.append(Leased(stream, flat[begin].decode(), fields, 1, asked_at))
        begin = end
    return leased
