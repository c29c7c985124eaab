"""redis-py written well: what waits to be published shares a pipeline; COUNT 100, and one XACK per batch."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis

from benchmarks.payload import Payload
from benchmarks.side import Handle, Publish, PublishMany, Side, Work, running, serve


async def _add(redis: Redis, stream: str, payloads: list[Payload]) -> None:
    async with redis.pipeline(transaction=False) as pipeline:
        for payload in payloads:
            pipeline.xadd(stream, {"data": json.dumps(payload)})
        await pipeline.execute()


@asynccontextmanager
async def publisher(work: Work) -> AsyncIterator[Publish]:
    """Everything that came while the last pipeline was under way goes into the next."""
    (stream,) = work.streams
    waiting: list[tuple[Payload, asyncio.Future[None]]] = []
    came = asyncio.Event()

    async def flush(redis: Redis) -> None:
        while True:
            await came.wait()
            came.clear()
            batch = waiting.copy()
            waiting.clear()
            try:
                await _add(redis, stream, [payload for payload, _ in batch])
            except Exception as error:  # noqa: BLE001 - whoever waits gets it
                for _, done in batch:
                    done.set_exception(error)
            else:
                for _, done in batch:
                    done.set_result(None)

    async def publish(payload: Payload) -> None:
        done = asyncio.get_running_loop().create_future()
        waiting.append((payload, done))
        came.set()
        await done

    async with Redis.from_url(work.url) as redis, running(flush(redis)):
        yield publish


@asynccontextmanager
async def batcher(work: Work) -> AsyncIterator[PublishMany]:
    """One pipeline per batch."""
    (stream,) = work.streams
    async with Redis.from_url(work.url) as redis:

        async def publish_many(payloads: list[Payload]) -> None:
            await _add(redis, stream, payloads)

        yield publish_many


@asynccontextmanager
async def consumer(work: Work, handle: Handle) -> AsyncIterator[None]:
    """One loop, for one group."""
    (stream,), (group,) = work.streams, work.groups

    async def loop(redis: Redis) -> None:
        while True:
            reply: Any = await redis.xreadgroup(group, "consumer", {stream: ">"}, count=100, block=1000)
            for _, entries in reply:
                for _, fields in entries:
                    handle(json.loads(fields[b"data"]))
                await redis.xack(stream, group, *(entry_id for entry_id, _ in entries))

    async with Redis.from_url(work.url) as redis, running(loop(redis)):
        yield


if __name__ == "__main__":
    serve(Side(publisher, consumer, batcher))
