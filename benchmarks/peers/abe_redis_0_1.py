"""abe-redis 0.1.0, as PyPI has it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from abe_plugin.backends.message_queue.service.redis import RedisMessageQueueBackend

from benchmarks.payload import Payload
from benchmarks.side import CONNECTIONS, Handle, Publish, Side, Work, running, serve

ENOUGH = 10_000_000
"""Its own REDIS_STREAM_MAXLEN, 10,000, cuts off events that nobody has read yet."""


@asynccontextmanager
async def publisher(work: Work) -> AsyncIterator[Publish]:
    """One `publish` per event; with its own 10 connections, the 11th publish at once fails."""
    (stream,) = work.streams
    backend = RedisMessageQueueBackend(work.url, max_connections=CONNECTIONS, stream_maxlen=ENOUGH)
    try:

        async def publish(payload: Payload) -> None:
            await backend.publish(stream, payload)

        await backend._ensure_connected()  # noqa: SLF001 - many first publishes at once open a client each
        yield publish
    finally:
        await backend.close()


@asynccontextmanager
async def consumer(work: Work, handle: Handle) -> AsyncIterator[None]:
    """Its loop, with a group: without one, two of them would both get everything."""
    (group,) = work.groups
    backend = RedisMessageQueueBackend(work.url)

    async def loop() -> None:
        async for event in backend.consume(group=group):
            handle(event)

    try:
        async with running(loop()):
            yield
    finally:
        await backend.close()


if __name__ == "__main__":
    serve(Side(publisher, consumer, packages=("abe-redis", "redis", "hiredis")))
