"""Giving up on one event by its id, for a person."""

import contextlib
from functools import partial

from redis.asyncio import Redis

from abe_redis.client import failures
from abe_redis.errors import RequestError
from abe_redis.operations import topics
from abe_redis.operations.changing import changing
from abe_redis.operations.checks import check_id
from abe_redis.operations.dead_letter_choice import Choice
from abe_redis.operations.dead_letter_search import DeadLetterSearch
from abe_redis.operations.scope import Scope
from abe_redis.runtime.arguments import check_text
from abe_redis.runtime.shell import command, option
from abe_redis.schemas import BuryResult
from abe_redis.streams import acks, dead, names, renewal
from abe_redis.streams.choose import MOST_PASSED, Chosen, Why, take_these
from abe_redis.streams.release import postpone


async def bury(
    scope: Scope, consumer: str, entry_id: str, *, stream: str, group: str, reason: str
) -> BuryResult:
    """Move an event to the dead letters; the caller holds it, or takes it because nobody does.

    Taking it is no delivery. The group must exist: a new one would get every event of the stream. If this
    process dies after it took the event, the lease expires and the event is delivered as before.

    Args:
        scope: The caller's.
        consumer: The name under which the caller holds events.
        entry_id: The event.
        stream: Where it is.
        group: The group that gives up on it.
        reason: Why.

    Raises:
        RequestError: It is not there, the group has finished it, or somebody else holds it.
    """
    name = scope.consumable(stream)
    entry_id = check_id("An id", entry_id)
    names.check_group(group)
    check_text("The reason", reason)
    result = BuryResult(stream=name, group=group, released=[], buried=[], not_held=[], unknown=[])
    look = command("dead list", name)
    facts = {"stream": name, "group": group, "buried": result.buried, "reason": reason}
    async with changing(scope, "bury", doing=f"burying an event of {name!r}", look=look, **facts) as change:
        redis = change.redis
        await scope.check_exists(redis, name, do=topics.of_event(entry_id, scope.is_agents))
        await scope.find_group(redis, name, group, create=None)
        (held,) = await renewal.whose(redis, group, consumer, [(name, entry_id)], by_name=True)
        taken: Chosen | None = None
        if held != "done":
            taken = await _take(scope, redis, name, group, consumer, entry_id)
            result.passed_over = taken.passed

        def note(outcome: renewal.Outcome, was_lost: bool) -> None:  # noqa: FBT001 - of a step
            if outcome == "done":
                result.buried.append(entry_id)
            elif was_lost:  # buried by the first try, its dead letter may be gone by now
                change.doubt(entry_id)

        burying = partial(dead.bury, redis, name, group, consumer, entry_id, reason)
        try:
            await change.step(burying, [entry_id], note)
        except failures.FAILURES:
            if taken is not None and not change.perhaps:
                await _give_back(redis, group, consumer, taken)
            raise
    if not result.buried:
        raise _refused(name, group, entry_id, "held", "another consumer")
    return result


async def _give_back(redis: Redis, group: str, consumer: str, taken: Chosen) -> None:
    """Leave as it was what could not be buried, as in a full server, which takes this."""
    for one in taken.leased:
        with contextlib.suppress(*failures.FAILURES):  # then it is free at the end of its lease
            await postpone(
                *(redis, one.stream, group, consumer, one.id),
                delay_seconds=one.rest_seconds,
                reason=one.postponed_because,
            )


async def _take(scope: Scope, redis: Redis, stream: str, group: str, consumer: str, entry_id: str) -> Chosen:
    """Take an event that nobody holds.

    Raises:
        RequestError: It cannot be taken.
    """
    taken = await take_these(
        *(redis, group, consumer, stream, [entry_id]),
        lease_seconds=scope.settings.redis_stream_lease_seconds,
        postponed=True,
        counted=False,
    )
    for _, why, holder in taken.others:
        if why not in {"held", "far"}:
            await _check_not_buried(scope, redis, stream, group, entry_id)
        raise _refused(stream, group, entry_id, why, repr(holder))
    for entry in taken.leased:
        try:
            dead.check_for(entry, group)
        except dead.ForOthersError:
            await acks.ack(redis, group, consumer, [(stream, entry_id)])
            raise RequestError(
                f"The event {entry_id!r} was not buried: it was redriven for another group than {group!r}, "
                "which has nothing to do with it."
            ) from None
    return taken


async def _check_not_buried(scope: Scope, redis: Redis, stream: str, group: str, entry_id: str) -> None:
    """Name the dead letter of an event on which the group has given up.

    Raises:
        RequestError: There is one.
    """
    search = DeadLetterSearch(scope)
    async for found in search.matching(redis, stream, Choice(ids=(entry_id,), group=group)):
        raise RequestError(
            f"The event {entry_id!r} was not buried: group {group!r} has given up on it already. Its dead "
            f"letter is {found.letter.id}: `{command('dead show', found.letter.id)}` shows it."
        )


def _refused(stream: str, group: str, entry_id: str, why: Why, holder: str) -> RequestError:
    look = command("read", stream, options=f"{option('--group', group)} --waiting")
    find = command("read", options=option("--event-id", entry_id))
    said = {
        "held": f"{holder} holds it. It can be buried when that one has given it back, or when its lease is "
        f"over: `{look}` shows who holds what.",
        "far": f"more than {MOST_PASSED} undelivered events of group {group!r} stand before it: `{look}` "
        "shows them.",
    }
    done = f"group {group!r} has finished it, or it does not exist: `{find}` shows which."
    return RequestError(f"The event {entry_id!r} was not buried: {said.get(why, done)}")
