"""abe-redis, this checkout: `publish`, and `async for event in backend.consume()`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import cycle

from abe_redis import RedisMessageQueueBackend, Settings
from benchmarks.payload import Payload
from benchmarks.side import Handle, Publish, PublishMany, Side, Work, running, serve

PACKAGES = ("abe-redis", "redis", "hiredis")


@asynccontextmanager
async def publisher(work: Work) -> AsyncIterator[Publish]:
    """One `publish` per event."""
    streams = cycle(work.streams)
    async with RedisMessageQueueBackend(Settings(redis_url=work.url)) as backend:

        async def publish(payload: Payload) -> None:
            await backend.publish(next(streams), payload)

        yield publish


@asynccontextmanager
async def batcher(work: Work) -> AsyncIterator[PublishMany]:
    """One `publish_many` per batch."""
    (stream,) = work.streams
    async with RedisMessageQueueBackend(Settings(redis_url=work.url)) as backend:

        async def publish_many(payloads: list[Payload]) -> None:
            await backend.publish_many(stream, payloads)

        yield publish_many


@asynccontextmanager
async def consumer(work: Work, handle: Handle) -> AsyncIterator[None]:
    """One loop per group; asking for the next event acks the last."""
    async with RedisMessageQueueBackend(Settings(redis_url=work.url)) as backend:

        async def loop(group: str) -> None:
            async for event in backend.consume(group=group):
                handle(event)

        async with running(*(loop(group) for group in work.groups)):
            yield


if __name__ == "__main__":
    can_batch = hasattr(RedisMessageQueueBackend, "publish_many")
    serve(Side(publisher, consumer, batcher if can_batch else None, packages=PACKAGES))
