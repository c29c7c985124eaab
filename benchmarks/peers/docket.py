"""docket (pydocket): a task per event, under the event's id."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from docket import Docket, Worker

from benchmarks.payload import Payload
from benchmarks.side import CONCURRENCY, CONNECTIONS, Handle, Publish, PublishMany, Side, Work, running, serve


def _docket(work: Work) -> Any:  # noqa: ANN401 - there are no types where this is checked
    (stream,) = work.streams
    # With redis-py's own 100 connections, the 101st task added at once fails.
    return Docket(stream.removesuffix(":stream"), f"{work.url}?max_connections={CONNECTIONS}")


async def on_event(event: dict[str, Any]) -> None:
    """Runs in the consumer."""


@asynccontextmanager
async def publisher(work: Work) -> AsyncIterator[Publish]:
    """One `add` per event."""
    async with _docket(work) as docket:

        async def publish(payload: Payload) -> None:
            await docket.add(on_event, key=payload["event_id"])(payload)

        yield publish


@asynccontextmanager
async def batcher(work: Work) -> AsyncIterator[PublishMany]:
    """One `add_many` per batch."""
    async with _docket(work) as docket:

        async def publish_many(payloads: list[Payload]) -> None:
            await docket.add_many(docket.call(on_event, key=one["event_id"])(one) for one in payloads)

        yield publish_many


@asynccontextmanager
async def consumer(work: Work, handle: Handle) -> AsyncIterator[None]:
    """One worker."""

    async def on_event(event: dict[str, Any]) -> None:
        handle(event)

    async with _docket(work) as docket:
        docket.register(on_event)
        # The interval is that of `docket worker`; the class has a longer one.
        interval = timedelta(milliseconds=100)
        worker = Worker(docket, concurrency=CONCURRENCY, minimum_check_interval=interval)
        async with worker, running(worker.run_forever()):
            yield


if __name__ == "__main__":
    serve(Side(publisher, consumer, batcher, packages=("pydocket", "redis", "hiredis")))
