"""taskiq with the stream broker of taskiq-redis."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from taskiq.api import run_receiver_task
from taskiq_redis import RedisStreamBroker

from benchmarks.payload import Payload
from benchmarks.side import CONCURRENCY, CONNECTIONS, Handle, Publish, Side, Work, serve


def _broker(work: Work) -> Any:  # noqa: ANN401 - there are no types where this is checked
    (stream,), (group,) = work.streams, work.groups
    return RedisStreamBroker(
        work.url,
        queue_name=stream,
        consumer_group_name=group,
        max_connection_pool_size=CONNECTIONS,
    )


@asynccontextmanager
async def publisher(work: Work) -> AsyncIterator[Publish]:
    """One task per event."""

    async def on_event(event: dict[str, Any]) -> None:
        """Runs in the consumer."""

    broker = _broker(work)
    task = broker.register_task(on_event, task_name="on_event")
    await broker.startup()

    async def publish(payload: Payload) -> None:
        await task.kiq(payload)

    yield publish
    await broker.shutdown()


@asynccontextmanager
async def consumer(work: Work, handle: Handle) -> AsyncIterator[None]:
    """Its receiver, as `taskiq worker` runs it."""

    async def on_event(event: dict[str, Any]) -> None:
        handle(event)

    broker = _broker(work)
    broker.register_task(on_event, task_name="on_event")
    receiver = asyncio.create_task(run_receiver_task(broker, run_startup=True, max_async_tasks=CONCURRENCY))
    yield
    receiver.cancel()
    with suppress(asyncio.CancelledError):
        await receiver
    await broker.shutdown()


if __name__ == "__main__":
    serve(Side(publisher, consumer, packages=("taskiq", "taskiq-redis", "redis", "hiredis")))
