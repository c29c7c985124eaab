"""redis-py as everyone uses it: an XADD per event; COUNT 10, and an XACK per event."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import cycle
from typing import Any

from redis.asyncio import Redis

from benchmarks.payload import Payload
from benchmarks.side import CONNECTIONS, Handle, Publish, Side, Work, running, serve


@asynccontextmanager
async def publisher(work: Work) -> AsyncIterator[Publish]:
    """One XADD per event; with redis-py's own 100 connections, the 101st publish at once fails."""
    streams = cycle(work.streams)
    async with Redis.from_url(work.url, max_connections=CONNECTIONS) as redis:

        async def publish(payload: Payload) -> None:
            await redis.xadd(next(streams), {"data": json.dumps(payload)})

        yield publish


@asynccontextmanager
async def consumer(work: Work, handle: Handle) -> AsyncIterator[None]:
    """One loop per group."""
    async with Redis.from_url(work.url) as redis:

        async def loop(group: str) -> None:
            wanted: dict[Any, Any] = dict.fromkeys(work.streams, ">")
            while True:
                reply: Any = await redis.xreadgroup(group, "consumer", wanted, count=10, block=1000)
                for stream, entries in reply:
                    for entry_id, fields in entries:
                        handle(json.loads(fields[b"data"]))
                        await redis.xack(stream, group, entry_id)

        async with running(*(loop(group) for group in work.groups)):
            yield


if __name__ == "__main__":
    serve(Side(publisher, consumer))
