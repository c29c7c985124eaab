"""Keeping leases: renews them, counts begun deliveries, and tells whose an entry is.

An entry that a consumer has in flight and that somebody dropped is put back.
"""

from collections.abc import Awaitable, Callable, Sequence
from enum import IntEnum
from typing import NamedTuple

from redis.asyncio import Redis

from abe_redis.streams import names, slots
from abe_redis.streams.lease import by_stream
from abe_redis.streams.losses import say_gone
from abe_redis.streams.scripts import Argument, Script

type Outcome = str
"""The outcome for an id: `done`, `not_held` (another consumer holds it) or `unknown` (nobody does). A
consumer with the entry in flight may also get: `dropped` (nobody held it, so it was put back), `given_up` (a
person took it from the consumer), `deleted` (neither the group nor the stream has it any more), `lost` (the
same, and no handler has it) and `no_group` (the group does not exist)."""


def outcome(answer: int) -> Outcome:
    """The outcome that a script tells by a number: 1, 0, or less when nobody holds the entry."""
    return "done" if answer > 0 else "not_held" if answer == 0 else "unknown"


type Sure = Callable[[], bool]
"""Tells whether the lease of an entry certainly lasts, so that no other consumer can have had the entry. It
is asked for each command anew: a process may stand still between two of them."""


def never() -> bool:
    """Tells that a lease is not certain."""
    return False


class Stage(IntEnum):
    """How far the handler of an entry has come."""

    WAITING = 0
    OVER = 1
    """It has ended; the entry may be settled already, and is not put back."""
    AT_WORK = 2


class Claim(NamedTuple):
    """A consumer's claim about an entry that it has in flight."""

    stream: str
    id: str
    begun: int
    """Number of its deliveries that handlers have begun."""
    sure: Sure
    stage: Stage = Stage.WAITING

    def words(self) -> tuple[Argument, ...]:
        """What a script is told of it."""
        return self.id, self.begun, int(self.sure()), int(self.stage)


_HOLD = Script.load("hold")
_UNCOUNT = Script.load("uncount")
_RENEW = Script.load("renew")


async def _each_held(
    script: Script,
    redis: Redis,
    group: str,
    consumer: str,
    entries: Sequence[tuple[str, str] | Claim],
    *words: Argument,
    keys: Callable[[Sequence[str]], list[str]],
) -> list[Outcome]:
    outcomes = ["done"] * len(entries)
    places: dict[str, list[int]] = {}
    for at, entry in enumerate(entries):
        places.setdefault(entry[0], []).append(at)

    async def run(streams: Sequence[str]) -> None:
        arguments: list[Argument] = [group, consumer, *words]
        theirs: list[int] = []
        for number, stream in enumerate(streams, 1):
            for at in places[stream]:
                arguments.append(number)
                entry = entries[at]
                arguments += entry.words() if isinstance(entry, Claim) else entry[1:]
            theirs += places[stream]
        for at, outcome in await script(redis, keys(streams), arguments):
            outcomes[theirs[at]] = outcome.decode()

    await slots.each(slots.by_slot(redis, list(places)), run)
    return outcomes


AGAIN = "again"
"""The answer of a script that found an entry in another state than its sender has it, and changed nothing. A
sender that still has the entry repeats the command."""


async def ask_and_confirm[Answer](say: Callable[[str], Awaitable[Answer]]) -> Answer:
    """Send a command, and again when Redis answers that it sees the entry otherwise: see `AGAIN`.

    Args:
        say: Sends it, with the word that it is given; what it tells of a lease is asked each time.
    """
    answer = await say("ask")
    return await say("confirm") if answer == AGAIN.encode() else answer


async def hold(
    redis: Redis,
    group: str,
    consumer: str,
    claims: Sequence[Claim],
    *,
    begins: bool = False,
    still: Callable[[int], bool] = lambda _: True,
) -> list[Outcome]:
    """Renew leases, and count every begun delivery.

    An entry that this consumer lost because somebody removed the consumer from the group is put back.

    Args:
        group: The group.
        consumer: Who holds the entries.
        claims: The entries that it has in flight.
        begins: Whether handlers have them, or get them now: then none is postponed any more.
        still: Whether an entry, by its place, is still in flight; called when Redis sees it otherwise.

    Returns:
        For each: `done`, `dropped` (done, too), `not_held`, `unknown`, `given_up`, `deleted`, `lost` or
        `no_group`.
    """

    async def say(some: Sequence[Claim], how: str) -> list[Outcome]:
        what = "start" if begins else "renew"
        words = (_HOLD, redis, group, consumer, some, what, how)
        return await _each_held(*words, keys=lambda streams: names.with_all(streams, group))

    outcomes = await say(claims, "ask")
    again = [at for at, outcome in enumerate(outcomes) if outcome == AGAIN]
    for at in again:
        outcomes[at] = "done"
    if confirmed := [at for at in again if still(at)]:
        said = await say([claims[at] for at in confirmed], "confirm")
        for at, outcome in zip(confirmed, said, strict=True):
            outcomes[at] = outcome
    if "lost" in outcomes:
        lost = [claim[:2] for claim, outcome in zip(claims, outcomes, strict=True) if outcome == "lost"]
        for stream, ids in by_stream(lost).items():
            say_gone(stream, group, ids)
    return outcomes


async def uncount(redis: Redis, group: str, consumer: str, entries: Sequence[tuple[str, str]]) -> None:
    """Take back the count of entries from a blocking read that no handler has begun."""
    per_stream = by_stream(entries)

    async def run(streams: Sequence[str]) -> None:
        arguments: list[Argument] = [group, consumer]
        for number, stream in enumerate(streams, 1):
            for entry_id in per_stream[stream]:
                arguments += (number, entry_id)
        await _UNCOUNT(redis, names.with_records_and_due(streams, group), arguments)

    await slots.each(slots.by_slot(redis, list(per_stream)), run)


async def renew(
    redis: Redis, group: str, consumer: str, entries: Sequence[tuple[str, str]]
) -> set[tuple[str, str]]:
    """Renew leases.

    Args:
        consumer: The consumer that holds the entries.
        entries: Stream and id of each.

    Returns:
        The entries that this consumer no longer holds.
    """
    outcomes = await _renew(redis, group, consumer, entries, "renew")
    return {entry for entry, outcome in zip(entries, outcomes, strict=True) if outcome != "done"}


async def whose(
    redis: Redis, group: str, consumer: str, entries: Sequence[tuple[str, str]], *, by_name: bool = False
) -> list[Outcome]:
    """Tell for each entry whether this consumer may settle it (`done`); change nothing.

    It may settle what was released of its entries, and nobody has since; with `by_name`, only what is pending
    under its name.
    """
    outcomes = await _renew(redis, group, consumer, entries, "own" if by_name else "settle")
    return [outcome if outcome in {"done", "not_held"} else "unknown" for outcome in outcomes]


async def _renew(
    redis: Redis, group: str, consumer: str, entries: Sequence[tuple[str, str]], how: str
) -> list[Outcome]:
    outcomes = await _each_held(_RENEW, redis, group, consumer, entries, how, keys=names.with_records)
    lost = [entry for entry, outcome in zip(entries, outcomes, strict=True) if outcome == "lost"]
    for stream, ids in by_stream(lost).items():
        say_gone(stream, group, ids)
    return outcomes
