"""Ownership of streams by ordered consumers: a lease on a stream, and the commands of its owner.

An owner is one consumer of a group. Its key expires without renewal, so that the streams of a dead one go to
the others. Every command of the owner checks the key in the same atomic step: a late command from a dead
connection, or from a process that was frozen, changes nothing.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Self

from redis.asyncio import Redis

from abe_redis.runtime import clock
from abe_redis.streams import ids, names, slots
from abe_redis.streams.beyond_end import say_set_back
from abe_redis.streams.lease import Leased, Portion, Taken, fields_of, take
from abe_redis.streams.losses import say_gone, say_put_back, say_unlisted
from abe_redis.streams.patterns import Patterns
from abe_redis.streams.renewal import Sure, ask_and_confirm, never
from abe_redis.streams.scripts import Argument, Script


@dataclass(frozen=True, slots=True)
class Owner:
    """An ordered consumer, as the scripts identify it."""

    group: str
    consumer: str
    """The name under which it leases."""
    token: str
    """Unique to this owner, even among consumers of the same name."""
    lease_seconds: float
    """Duration of its ownership without renewal."""

    @classmethod
    def make(cls, group: str, consumer: str, lease_seconds: float) -> Self:
        """An owner whose token tells every reader how long it owns without renewal."""
        token = f"{consumer} {os.urandom(6).hex()} lease={round(lease_seconds * 1000)}"
        return cls(group, consumer, token, lease_seconds)

    @staticmethod
    def consumer_of(token: str) -> str:
        """The name of the consumer that has a token."""
        return token.rsplit(" ", 2)[0]

    @property
    def lease_ms(self) -> int:
        """The same in milliseconds."""
        return round(self.lease_seconds * 1000)


_MEET = Script.load("meet")


async def meet(redis: Redis, owner: Owner, patterns: Patterns, *, stay: bool) -> list[str]:
    """Announce that a consumer is alive, or that it leaves.

    Returns:
        The tokens of the consumers that share the streams of these patterns.
    """
    arguments: list[Argument] = [owner.token, owner.lease_ms, "stay" if stay else "go"]
    return [token.decode() for token in await _MEET(redis, [names.members(owner.group, patterns)], arguments)]


_OWNERS = Script.load("owners")
_OWN = Script.load("own")
_DISOWN = Script.load("disown")


async def _each(script: Script, redis: Redis, group: str, streams: Sequence[str], *words: Argument) -> Any:  # noqa: ANN401
    return await script.each(
        redis,
        streams,
        words,
        keys=lambda some: [names.owner(stream, group) for stream in some],
        most=slots.MANY_STREAMS,
    )


async def owners(redis: Redis, group: str, streams: Sequence[str]) -> dict[str, str]:
    """The token of each stream's owner in a group; empty without an owner."""
    found = await _each(_OWNERS, redis, group, streams)
    return {stream: token.decode() for stream, token in zip(streams, found, strict=True)}


async def own(redis: Redis, owner: Owner, streams: Sequence[str]) -> list[str]:
    """Claim streams that have no owner.

    Returns:
        The streams that it owns now.
    """
    return await _own(redis, owner, streams, "take")


async def renew(redis: Redis, owner: Owner, streams: Sequence[str]) -> list[str]:
    """Renew ownership for another lease.

    Returns:
        The streams that it still owned.
    """
    return await _own(redis, owner, streams, "keep")


async def _own(redis: Redis, owner: Owner, streams: Sequence[str], how: str) -> list[str]:
    answers = await _each(_OWN, redis, owner.group, streams, owner.token, owner.lease_ms, how)
    return [stream for stream, ours in zip(streams, answers, strict=True) if ours]


async def disown(redis: Redis, owner: Owner, streams: Sequence[str]) -> None:
    """Give up these streams at once."""
    await _each(_DISOWN, redis, owner.group, streams, owner.token)


_TAKE_OWNED = Script.load("take_owned")


@dataclass(frozen=True, slots=True)
class OwnedTaken:
    """The result of `take_owned`."""

    taken: Taken
    behind: set[str]
    """Streams of which the group was given entries that the owner does not know."""
    disowned: set[str]
    """Streams that belong to another owner."""


async def take_owned(redis: Redis, owner: Owner, portions: Sequence[Portion], *, most: int) -> OwnedTaken:
    """Lease entries that the group was not given yet, without waiting for any.

    Args:
        owner: Read only streams that it owns, and of which it has every entry that the group was given, up to
            the portion's `last`.
        portions: The portions of streams, in order of precedence.
        most: Most entries in total; in a cluster, at least one per slot.
    """

    async def run(some: Sequence[Portion], share: int) -> Any:  # noqa: ANN401
        keys: list[str] = []
        arguments: list[Argument] = [owner.group, owner.consumer, share, owner.token]
        for stream, count, last in some:
            keys += (*names.with_records_and_due([stream], owner.group), names.owner(stream, owner.group))
            arguments += (count, last)
        return await _TAKE_OWNED(redis, keys, arguments)

    taken, answers = await take(redis, portions, most=most, run=run)
    return OwnedTaken(
        taken,
        behind={stream.decode() for answer in answers for stream in answer[b"behind"]},
        disowned={stream.decode() for answer in answers for stream in answer[b"disowned"]},
    )


_LOAD = Script.load("load")

_PAGE = 100
_MOST_LOADED = 1000
"""Entries after which a call of `load` leaves the rest to the next one: an owner has to renew meanwhile. It
does so after the pages that they would fill, however few it finds."""


class Rest(NamedTuple):
    """What a call of `load` leaves to the next one."""

    start: str
    """The id from which the next page is read, or the place among what is postponed."""
    put_backs: int | None
    """How often vanished entries of the group had been put back when the first page was read; None: the next
    page is the first."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The result of `load`."""

    entries: list[tuple[Leased, float]]
    """The entries, each with the seconds for which it is still postponed, in publish order."""
    last: str
    """The last id that was delivered in the group."""
    lost: int
    """Number of unfinished entries that had been removed."""
    rest: Rest | None
    """Where the next call goes on; None when there is no more."""


async def load(
    redis: Redis,
    owner: Owner,
    stream: str,
    *,
    after: str = "",
    idle_seconds: float = 0,
    everybody: bool = False,
    rest: Rest | None = None,
) -> Loaded | None:
    """Lease the group's unfinished entries, some thousand at most.

    If vanished entries are put back between two pages, they may be behind the place from which the next page
    is read. Then it begins again.

    Args:
        owner: Of the stream.
        after: Only entries behind this id, the last one that the owner has seen.
        idle_seconds: Only entries that nobody has renewed for this time.
        everybody: Also entries on which another consumer still has a lease.
        rest: Where the call before this one ended; None for the first.

    Returns:
        None when the stream has another owner.

    Raises:
        redis.ResponseError: NOGROUP or WRONGTYPE, when the stream was deleted or replaced.
    """
    keys = [
        stream,
        names.owner(stream, owner.group),
        names.records(stream),
        names.due(stream, owner.group),
        names.leases(stream, owner.group),
        names.pending(stream, owner.group),
    ]
    entries: list[tuple[Leased, float]] = []
    # Redis refuses a range that begins behind the last id of all; an owner knows the entry that has it.
    first = after if after == ids.LAST else f"({after}" if after else "-"
    lost = 0
    start, put_backs = rest or Rest(first, None)
    whose = "all" if everybody else "unseen" if after else "free"
    for _ in range(_MOST_LOADED // _PAGE):
        arguments: list[Argument] = [owner.group, owner.consumer, owner.token, owner.lease_ms, start]
        arguments += (round(idle_seconds * 1000), whose, _PAGE)
        arguments.append(after if start == first else "")
        asked_at = clock.now()
        ours, *answer = await _LOAD(redis, keys, arguments)
        if not ours:
            return None
        last, found, gone, start = answer[0].decode(), answer[1], answer[2], answer[3].decode()
        lost += gone
        say_put_back(stream, owner.group, answer[4])
        say_set_back(stream, owner.group, answer[5])
        say_unlisted(stream, owner.group, answer[6])
        entries += [
            (
                Leased(stream, entry_id.decode(), fields_of(flat), deliveries, asked_at, again=bool(again)),
                wait_ms / 1000,
            )
            for entry_id, flat, deliveries, wait_ms, again in found
        ]
        put_backs = answer[7] if put_backs is None else put_backs
        if not start:
            is_whole = whose == "free" or put_backs == answer[7]
            return Loaded(entries, last, lost, None if is_whole else Rest(first, None))
    return Loaded(entries, last, lost, Rest(start, put_backs))


_START = Script.load("start")

type Start = Literal["started", "disowned", "gone", "lost", "no_group"]
"""The outcome of `start`: the delivery may begin; the stream belongs to another consumer; the entry does, or
is finished; or the group does not exist."""


async def start(redis: Redis, owner: Owner, entry: Leased, *, sure: Sure = never) -> Start:
    """Count a delivery that is about to begin.

    Args:
        owner: Of the stream.
        entry: The entry about to be delivered.
        sure: Whether its lease certainly lasts; then it is put back if somebody dropped it.
    """
    stream, group = entry.stream, owner.group
    keys = [stream, names.owner(stream, group), names.due(stream, group), names.records(stream)]
    keys.append(names.pending(stream, group))
    arguments: list[Argument] = [owner.group, owner.consumer, owner.token, entry.id, entry.deliveries]

    async def say(how: str) -> Any:  # noqa: ANN401 - what a script answers
        return await _START(redis, keys, [*arguments, int(sure()), how])

    state: Start = (await ask_and_confirm(say)).decode()
    say_gone(stream, owner.group, [entry.id] if state == "lost" else [])
    return state


async def wait(redis: Redis, after: Mapping[str, str], *, seconds: float) -> list[str]:
    """Wait until one of some streams has more entries than its owner was given; take none.

    It is no blocking read of the group, which could take entries long after the stream went to another owner.

    Args:
        after: Streams of one slot, each with its last delivered id.
        seconds: The longest time to wait.

    Returns:
        The streams that have more.
    """
    send: Any = redis.execute_command
    # redis-py does not recognize a command in bytes, so it leaves the answer as Redis gave it.
    words = (b"XREAD", "COUNT", 1, "BLOCK", max(1, round(seconds * 1000)), "STREAMS")
    reply: Any = await send(*words, *after, *after.values())
    return [stream.decode() for stream, _ in reply or ()]
