"""arq: a job per event, under the event's id."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from arq import create_pool, func
from arq.connections import RedisSettings
from arq.worker import Worker

from benchmarks.payload import Payload
from benchmarks.side import CONCURRENCY, Handle, Publish, Side, Work, running, serve


@asynccontextmanager
async def publisher(work: Work) -> AsyncIterator[Publish]:
    """One `enqueue_job` per event."""
    (queue,) = work.streams
    pool = await create_pool(RedisSettings.from_dsn(work.url), default_queue_name=queue)
    async with pool:

        async def publish(payload: Payload) -> None:
            await pool.enqueue_job("on_event", payload, _job_id=payload["event_id"])

        yield publish


@asynccontextmanager
async def consumer(work: Work, handle: Handle) -> AsyncIterator[None]:
    """One worker."""
    (queue,) = work.streams

    async def on_event(_context: Any, event: dict[str, Any]) -> None:  # noqa: ANN401 - what arq gives
        handle(event)

    worker = Worker(
        functions=[func(on_event, name="on_event")],
        queue_name=queue,
        redis_settings=RedisSettings.from_dsn(work.url),
        max_jobs=CONCURRENCY,
        handle_signals=False,
    )
    async with running(worker.async_run()):
        yield
    await worker.close()


if __name__ == "__main__":
    serve(Side(publisher, consumer, packages=("arq", "redis", "hiredis")))
