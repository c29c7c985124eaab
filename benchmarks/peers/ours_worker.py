"""abe-redis, this checkout: an `EventWorker` with many handlers at once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from abe_redis import Event, EventWorker, RedisMessageQueueBackend, Settings
from benchmarks.peers.ours import PACKAGES, publisher
from benchmarks.side import CONCURRENCY, Handle, Side, Work, running, serve


@asynccontextmanager
async def consumer(work: Work, handle: Handle) -> AsyncIterator[None]:
    """One worker per group."""

    async def on_event(event: Event) -> None:
        handle(event)

    async with RedisMessageQueueBackend(Settings(redis_url=work.url)) as backend:
        workers = [
            EventWorker(backend, on_event, group=group, concurrency=CONCURRENCY) for group in work.groups
        ]
        async with running(*(worker.run() for worker in workers)):
            yield


if __name__ == "__main__":
    serve(Side(publisher, consumer, packages=PACKAGES))
