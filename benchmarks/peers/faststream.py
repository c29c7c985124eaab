"""FastStream on Redis Streams: `broker.publish(stream=…)`, and a subscriber with a group."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from faststream.redis import RedisBroker, StreamSub
from redis.asyncio import Redis

from benchmarks.payload import Payload
from benchmarks.side import CONCURRENCY, CONNECTIONS, Handle, Publish, PublishMany, Side, Work, serve


def _broker(work: Work) -> Any:  # noqa: ANN401 - there are no types where this is checked
    # It logs every event unless it is told not to.
    return RedisBroker(work.url, logger=None, max_connections=CONNECTIONS)


@asynccontextmanager
async def publisher(work: Work) -> AsyncIterator[Publish]:
    """One `publish` per event."""
    (stream,) = work.streams
    async with _broker(work) as broker:

        async def publish(payload: Payload) -> None:
            await broker.publish(payload, stream=stream)

        yield publish


@asynccontextmanager
async def batcher(work: Work) -> AsyncIterator[PublishMany]:
    """Its `publish` into a pipeline of redis-py."""
    (stream,) = work.streams
    async with _broker(work) as broker, Redis.from_url(work.url) as redis:

        async def publish_many(payloads: list[Payload]) -> None:
            async with redis.pipeline(transaction=False) as pipeline:
                for payload in payloads:
                    await broker.publish(payload, stream=stream, pipeline=pipeline)
                await pipeline.execute()

        yield publish_many


@asynccontextmanager
async def consumer(work: Work, handle: Handle) -> AsyncIterator[None]:
    """Many workers; it would read all there is at once, if not told otherwise."""
    (stream,), (group,) = work.streams, work.groups
    broker = _broker(work)
    source = StreamSub(stream, group=group, consumer="consumer", max_records=100)

    async def on_event(event: dict[str, Any]) -> None:
        handle(event)

    broker.subscriber(stream=source, max_workers=CONCURRENCY)(on_event)
    async with broker:
        await broker.start()
        yield


if __name__ == "__main__":
    serve(Side(publisher, consumer, batcher, packages=("faststream", "redis", "hiredis")))
