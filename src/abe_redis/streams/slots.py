"""Streams of several cluster slots: a command may name keys of one slot only."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from itertools import batched
from typing import Any

from redis.asyncio import Redis

from abe_redis.client.commands import Client
from abe_redis.client.failures import FAILURES, passes
from abe_redis.client.topology import Outage

MOST_KEYS = 2000
"""Most keys that one SCAN examines."""

MOST_STREAMS = 50
"""Most streams that one call of a script names, so that it does not block the server."""
MANY_STREAMS = 250
"""The same, for a script that does little for each stream."""


def by_slot(redis: Redis, streams: Sequence[str]) -> list[list[str]]:
    """The streams in groups that one command may name together; a single group without a cluster."""
    if isinstance(redis, Client):
        return redis.by_slot(streams)
    return [list(streams)] if streams else []


def place(redis: Redis) -> str:
    """Where its server is, when it is one of several."""
    return redis.place if isinstance(redis, Client) else ""


def identity(redis: Redis) -> str:
    """A text that identifies the servers and our user."""
    return redis.identity if isinstance(redis, Client) else ""


def servers(redis: Redis, *, here: bool = False) -> Sequence[Redis]:
    """A client of each server that has keys; with `here`, without those that are away."""
    return redis.servers(here=here) if isinstance(redis, Client) else [redis]


def outage(redis: Redis) -> Outage | None:
    """Which servers are away; None if none is known to be."""
    return redis.outage() if isinstance(redis, Client) else None


def is_here(redis: Redis, key: str) -> bool:
    """Whether nothing is known to be wrong with the server of a key, or all are away."""
    known = outage(redis)
    return known is None or known.is_whole or known.node_of(key) is None


async def judge(redis: Redis) -> None:
    """Find out of every server whether it is away."""
    if isinstance(redis, Client):
        await redis.judge()


async def without_away[T](redis: Redis, run: Callable[[], Awaitable[T]]) -> T:
    """Call a function that leaves out what is away; call it again if a failure shows that more is."""
    while True:
        known = _away(redis)
        try:
            return await run()
        except FAILURES as error:
            if not passes(error):
                raise
            await judge(redis)
            if _away(redis) <= known or not any(servers(redis, here=True)):
                raise


def _away(redis: Redis) -> set[str]:
    found = outage(redis)
    return set() if found is None else set(found.reasons)


async def keys(
    redis: Redis, *, most: int, match: str | None = None, kind: str | None = None, here: bool = False
) -> AsyncIterator[Any]:
    """Keys of all servers, in batches, up to a limit.

    Args:
        most: Number of keys to examine.
        match: Only keys that match this pattern.
        kind: Only keys of this type.
        here: Leave out the servers that are away.
    """
    looked = 0
    for server in servers(redis, here=here):
        cursor: int | None = None
        while cursor != 0 and looked < most:
            cursor, found = await server.scan(cursor or 0, match=match, count=MOST_KEYS, _type=kind)
            looked += MOST_KEYS
            yield found


async def in_steps[T](
    redis: Redis,
    streams: Sequence[str],
    run: Callable[[Sequence[str]], Awaitable[T]],
    *,
    most: int = MOST_STREAMS,
) -> list[T]:
    """Call a function for some streams of one slot at a time: slots concurrently, steps of a slot in turn.

    The server answers others between two steps, so they are not sent together.

    Args:
        redis: The client.
        streams: The streams, of any slots.
        run: The function.
        most: How many of them a step has.

    Returns:
        The result for each step.
    """

    async def steps(some: Sequence[str]) -> list[T]:
        return [await run(step) for step in batched(some, most)]

    return [found for one in await each(by_slot(redis, streams), steps) for found in one]


async def each[T](groups: Sequence[Sequence[str]], run: Callable[[Sequence[str]], Awaitable[T]]) -> list[T]:
    """Call a function for each group of streams concurrently. Let all finish, then raise the first failure.

    Returns:
        The result for each group.
    """
    if len(groups) == 1:
        return [await run(groups[0])]
    outcomes = await asyncio.gather(*map(run, groups), return_exceptions=True)
    done: list[T] = []
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
        done.append(outcome)
    return done
