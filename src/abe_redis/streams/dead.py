"""Dead letters, the entries that a group gave up on: burial, redrive, purge."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from redis.asyncio import Redis

from abe_redis.events.codec import UndecodableError, decode
from abe_redis.runtime import plurals
from abe_redis.streams import names, slots
from abe_redis.streams.lease import Leased
from abe_redis.streams.losses import say_gone
from abe_redis.streams.renewal import Outcome, Sure, ask_and_confirm, never, outcome
from abe_redis.streams.scripts import Argument, Script

ONLY, FIRST = b"abe:only", b"abe:first"
"""Fields of a redriven entry: the group that it is for, and its original id."""


class PoisonEntryError(Exception):
    """The entry must be buried; the first argument says why."""


class ForOthersError(Exception):
    """The entry was redriven to another group: this one acks it without delivering it."""


def is_deliverable(entry: Leased, max_deliveries: int) -> bool:
    """Whether `check_leased` passes, in every group."""
    return ONLY not in entry.fields and entry.deliveries <= max_deliveries


def check_for(entry: Leased, group: str) -> None:
    """Check that a leased entry is for this group.

    Raises:
        ForOthersError: It is for another group.
    """
    only = entry.fields.get(ONLY)
    if only is not None and only != group.encode():
        raise ForOthersError


def check_leased(entry: Leased, group: str, max_deliveries: int) -> None:
    """Check that a leased entry can be delivered in this group.

    Raises:
        ForOthersError: It is for another group.
        PoisonEntryError: No delivery finished it, up to the limit.
    """
    check_for(entry, group)
    if entry.deliveries > max_deliveries:
        raise PoisonEntryError(f"delivered {plurals.count(entry.deliveries - 1, 'time')} without an ack")


def open_leased(entry: Leased) -> dict[str, Any]:
    """The payload of a leased entry.

    Raises:
        PoisonEntryError: It holds none.
    """
    try:
        return decode(entry.fields)
    except UndecodableError as error:
        raise PoisonEntryError(str(error)) from None


_BURY = Script.load("bury")


async def bury(
    redis: Redis,
    stream: str,
    group: str,
    consumer: str,
    entry_id: str,
    reason: str,
    detail: Mapping[str, str] = MappingProxyType({}),
    *,
    begun: int = 0,
    sure: Sure = never,
    in_hand: bool = False,
    by_hand: bool = False,
    hold: str = "",
) -> Outcome:
    """Move an entry that this consumer holds to the dead letters, and ack it, in one step.

    Args:
        stream: Where it is.
        group: The group.
        consumer: The consumer that gives it up.
        entry_id: The entry.
        reason: The reason.
        detail: Further fields to keep beside the reason.
        begun: Least number of its deliveries that handlers have begun.
        sure: Whether its lease certainly lasts; then the first attempt buries it even if somebody dropped it.
        in_hand: Whether this is the first attempt to bury it; then a dropped entry is buried, too, unless
        another consumer may have it.
        by_hand: Whether a person buries it who is not the consumer; it is told, since it may have read it
        ahead.
        hold: The name of the hold that ends with this, the same whenever it is said.

    Returns:
        `done`, also when it was buried before; `not_held` when another consumer holds it, so that nothing was
        changed; `unknown` when nobody holds it, or the stream does not have it any more; then there
        is no dead letter.
    """
    keys = [stream, names.dead_letters(stream), names.due(stream, group), names.records(stream)]
    keys.append(names.pending(stream, group))
    more = [word for name, value in detail.items() for word in (f"abe:{name}", _encoded(value))]
    arguments: list[Argument] = [
        group,
        consumer,
        entry_id,
        _encoded(reason),
        begun,
    ]
    whose = "by hand" if by_hand else int(in_hand)

    async def say(how: str) -> Any:  # noqa: ANN401 - what a script answers
        # Said again, it finds nobody's what it may have buried itself, though the lease lasts.
        is_sure = in_hand and sure()
        return await _BURY(redis, keys, [*arguments, int(is_sure), whose, how, hold, *more])

    answer = await ask_and_confirm(say)
    say_gone(stream, group, [entry_id] if answer == -1 else [])
    return outcome(answer)


def _encoded(said: str) -> bytes:
    """The words in UTF-8, with an escape for each lone surrogate, which people and exceptions may contain."""
    return said.encode(errors="backslashreplace")


_REDRIVE = Script.load("redrive")

AT_ONCE = 20
"""Most dead letters that one step moves, since they may be large."""


async def redrive(redis: Redis, stream: str, ids: Sequence[str], *, hard_maxlen: int) -> list[str]:
    """Move dead letters back into their stream, each for no group but the one that gave up on it.

    At every moment, each is in one of the two places. A deleted group is created again at its floor, so that
    it gets no other entry twice.

    Args:
        stream: The stream that they came from.
        ids: Up to `AT_ONCE` ids of dead letters, in the order in which they are to be delivered.
        hard_maxlen: Most entries of the stream.

    Returns:
        The moved ones; ids without a dead letter are skipped.

    Raises:
        redis.ResponseError: STREAMFULL, when the stream is that long; what came before was moved.
    """
    keys = [stream, names.dead_letters(stream), names.records(stream)]
    return [moved.decode() for moved in await _REDRIVE(redis, keys, [hard_maxlen, *ids])]


async def count(redis: Redis, stream: str) -> int:
    """The number of dead letters of a stream."""
    return await redis.xlen(names.dead_letters(stream))


async def purge(redis: Redis, stream: str, ids: Sequence[str]) -> int:
    """Remove dead letters for good.

    Returns:
        The number of removed dead letters.
    """
    return int(await redis.xdel(names.dead_letters(stream), *ids))


_EXPIRE = Script.load("expire")
_EXPIRED_AT_ONCE = 200
"""Most expired dead letters of a stream that one sweep removes; the next sweep continues."""


async def expire(redis: Redis, streams: Sequence[str], *, days: float) -> dict[str, int]:
    """Remove dead letters older than a number of days, a limited number per call.

    Returns:
        Per stream that they came from, the number of removed dead letters.
    """
    removed = await _EXPIRE.each(
        redis,
        streams,
        [round(days * 86_400_000), _EXPIRED_AT_ONCE],
        keys=lambda some: [names.dead_letters(stream) for stream in some],
        most=slots.MANY_STREAMS,
    )
    return {stream: count for stream, count in zip(streams, removed, strict=True) if count}
