"""Releasing unfinished entries: at once, or postponed.

TIME 0 is the epoch, a lease that expired before any other, so the next consumer takes the entry at once,
whatever its own lease time is. RETRYCOUNT sets the count that XREADGROUP and XCLAIM had raised.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import batched
from types import MappingProxyType
from typing import Any

from redis.asyncio import Redis

from abe_redis.sanitize.secrets import cut, mask
from abe_redis.schemas import MAX_DELAY_SECONDS
from abe_redis.streams import names, slots
from abe_redis.streams.lease import by_stream
from abe_redis.streams.losses import say_gone
from abe_redis.streams.renewal import Outcome, Sure, ask_and_confirm, never, outcome
from abe_redis.streams.scripts import Argument, Script

_POSTPONE = Script.load("postpone")

_MOST_OF_A_REASON = 200
_MOST_READ = 20_000
"""Characters of a reason that are searched for secrets."""


async def postpone(
    redis: Redis,
    stream: str,
    group: str,
    consumer: str,
    entry_id: str,
    *,
    delay_seconds: float,
    counted: bool = True,
    begun: int = 0,
    sure: Sure = never,
    in_hand: bool = False,
    by_hand: bool = False,
    postponed: bool = False,
    own: bool = False,
    hold: str = "",
    reason: str = "",
) -> Outcome:
    """Release an entry, to be delivered again after a delay.

    Args:
        stream: Where it is.
        consumer: The consumer that releases it.
        entry_id: The entry.
        delay_seconds: Time before the next delivery.
        counted: Whether the present delivery counts; that of what is postponed already does.
        begun: Least number of its deliveries that handlers have begun.
        sure: Whether its lease certainly lasts; then it is put back if somebody dropped it.
        in_hand: Whether this is its first release; then it is put back, too, unless another consumer may have
            it.
        by_hand: Whether a person releases it who is not the consumer; it is told, since it may have read it
            ahead.
        postponed: Whether a person releases it who is not its holder, provided that it is postponed; the
            holder is told.
        own: Whether to postpone it only if nobody has released it since, as it is not the consumer's then.
        hold: The name of the hold that ends with this, the same whenever it is said.
        reason: Why it is postponed; its beginning is kept until it is due, with secrets masked.

    Returns:
        `done`; `not_held` when another consumer holds it, so that nothing was changed; `unknown` when nobody
        does, or the stream does not have it any more.

    Raises:
        redis.ResponseError: NOGROUP, when the group does not exist.
    """
    why = cut(mask(" ".join(reason[:_MOST_READ].split())), _MOST_OF_A_REASON)
    delay_ms = round(min(max(delay_seconds, 0), MAX_DELAY_SECONDS) * 1000)
    arguments: list[Argument] = [group, consumer, entry_id, delay_ms, 2 * MAX_DELAY_SECONDS * 1000]
    arguments += (0 if counted else 1, begun)
    keys = [stream, names.due(stream, group), names.records(stream)]
    whose = "postponed" if postponed else "by hand" if by_hand else "own" if own else int(in_hand)

    async def say(how: str) -> Any:  # noqa: ANN401 - what a script answers
        return await _POSTPONE(redis, keys, [*arguments, int(sure()), whose, how, hold, why])

    answer = await ask_and_confirm(say)
    say_gone(stream, group, [entry_id] if answer == -1 else [])
    return outcome(answer)


_RELEASE = Script.load("release")

KEEP = -1
"""Instead of a number of deliveries: `release` leaves this entry with its consumer."""


async def release(
    redis: Redis,
    group: str,
    consumer: str,
    streams: Sequence[str],
    known: Mapping[tuple[str, str], int],
    *,
    everything: bool,
    counted: bool = True,
    leaves: bool = False,
    stays: bool = False,
    in_hand: Mapping[tuple[str, str], Sure] = MappingProxyType({}),
    still: Callable[[tuple[str, str]], bool] = lambda _: True,
) -> int:
    """Release entries, so that the next consumer takes them.

    A consumer that holds nothing afterwards is removed from the group, unless it stays. Deleted streams and
    groups are skipped.

    Args:
        consumer: The consumer that holds them.
        streams: Where to look.
        known: Stream and id of entries, each with the number of deliveries it shall have from
            now on, or `KEEP`.
        everything: Also release unknown entries of the consumer, as not delivered: a cancelled or failed read
            may have left some. Postponed and released entries are left alone.
        counted: Whether Redis counted such a read as a delivery.
        leaves: Whether the consumer ends: it has nothing in flight afterwards, and takes nothing more.
        stays: Whether the consumer remains in the groups, because it reads on, or has more to say of what it
            held: an entry of a consumer that is not there counts as dropped with it.
        in_hand: Known entries in flight, each with whether its lease certainly lasts. An entry that somebody
            dropped is put back, unless another consumer may have it.
        still: Whether an entry is still to be released; called before it is put back.

    Returns:
        The number of released entries.
    """

    async def say(
        some: Sequence[str], those: Mapping[tuple[str, str], int], *words: Argument
    ) -> tuple[int, dict[tuple[str, str], int]]:
        arguments: list[Argument] = [group, consumer, *words]
        for key, count in those.items():
            arguments += (*key, count, int(in_hand[key]()) if key in in_hand else -1)
        released, again, lost = await _RELEASE(redis, names.with_all(some, group), arguments)
        for stream, ids in by_stream((one.decode(), gone.decode()) for one, gone in batched(lost, 2)).items():
            say_gone(stream, group, ids)
        asked = {(stream.decode(), entry_id.decode()): count for stream, entry_id, count in batched(again, 3)}
        return released, {key: count for key, count in asked.items() if still(key)}

    async def give(some: Sequence[str]) -> int:
        theirs, what = set(some), "all" if everything else "these"
        those = {key: count for key, count in known.items() if key[0] in theirs}
        words = int(counted), "stays" if stays else "leaves" if leaves else "drains"
        released, again = await say(some, those, what, *words, "ask")
        if again:
            more, _ = await say(list(by_stream(again)), again, "these", *words, "confirm")
            released += more
        return released

    return sum(await slots.in_steps(redis, streams, give))
