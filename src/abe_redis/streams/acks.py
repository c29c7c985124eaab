"""Acks: a consumer has finished entries that it holds."""

from collections.abc import Sequence
from itertools import batched

from redis.asyncio import Redis

from abe_redis.streams import names, slots
from abe_redis.streams.renewal import Outcome
from abe_redis.streams.scripts import Argument, Script

ACKED_AT_ONCE = 500
"""Most entries, and most streams, that one command acks, so that it does not block the server."""

_ACK = Script.load("ack")


async def ack(
    redis: Redis,
    group: str,
    consumer: str,
    entries: Sequence[tuple[str, str]],
    *,
    exact: bool = True,
    own: bool = False,
    by_hand: bool = False,
) -> list[Outcome]:
    """Ack entries that this consumer holds.

    Args:
        consumer: The consumer that holds the entries.
        entries: Stream and id of each.
        exact: Whether each outcome has to be right. Otherwise it costs less: when one entry of a stream is no
        longer pending, other entries of the stream are acked but may be reported as `unknown`, too.
        own: Whether what somebody has given back is not its own.
        by_hand: The same, where a person acks them who is not the consumer; it is told, since it may have
            read them ahead.

    Returns:
        Per entry: `done`, `not_held`, `unknown` or `no_group`.
    """
    outcomes = ["done"] * len(entries)
    places: dict[str, list[int]] = {}
    for at, (stream, _) in enumerate(entries):
        places.setdefault(stream, []).append(at)

    async def run(some: Sequence[tuple[str, Sequence[int]]]) -> None:
        how = "by hand" if by_hand else "own" if own else "exact" if exact else "quick"
        arguments: list[Argument] = [group, consumer, how]
        theirs: list[int] = []
        for _, at_once in some:
            arguments += (len(at_once), *(entries[at][1] for at in at_once))
            theirs += at_once
        keys = [
            key
            for stream, _ in some
            for key in (stream, names.due(stream, group), names.pending(stream, group))
        ]
        for at, outcome in await _ACK(redis, keys, arguments):
            told = outcome.decode()
            outcomes[theirs[at]] = told if told in {"not_held", "no_group"} else "unknown"

    async def steps(streams: Sequence[str]) -> None:
        some: list[tuple[str, Sequence[int]]] = []
        size = 0
        for stream in streams:
            for at_once in batched(places[stream], ACKED_AT_ONCE):
                if size + len(at_once) > ACKED_AT_ONCE:
                    await run(some)
                    some, size = [], 0
                some.append((stream, at_once))
                size += len(at_once) + 1
        await run(some)

    await slots.each(slots.by_slot(redis, list(places)), steps)
    return outcomes
