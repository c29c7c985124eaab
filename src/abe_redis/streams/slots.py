"""Streams of several cluster slots: a command may name keys of one slot only."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from redis.asyncio import Redis

from abe_redis.client import Client


def by_slot(redis: Redis, streams: Sequence[str]) -> list[list[str]]:
    """The streams in groups of which a command may name several; all in one where there is no cluster."""
    if isinstance(redis, Client):
        return redis.by_slot(streams)
    return [list(streams)] if streams else []


def servers(redis: Redis) -> Sequence[Redis]:
    """A client of each server that has keys."""
    return redis.servers() if isinstance(redis, Client) else [redis]


async def each(redis: Redis, streams: Sequence[str], run: Callable[[Sequence[str]], Awaitable[None]]) -> None:
    """Do something for each group of streams, at a time; then the first failure is raised."""
    groups = by_slot(redis, streams)
    if len(groups) == 1:
        await run(groups[0])
        return
    for outcome in await asyncio.gather(*map(run, groups), return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
