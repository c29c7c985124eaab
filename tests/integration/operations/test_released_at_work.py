"""A handler goes on with an event that a person releases from its worker, and finishes it."""

from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventWorker, Operations, Retry
from abe_redis.streams import given_up, names
from tests.integration.conftest import MakeBackend, pending, until
from tests.integration.consuming.foreign_hands import KINDS, STREAM, Handlers, publish, working

GROUP = "default"


async def release(make_backend: MakeBackend, redis: Redis, delay: float) -> None:
    """Release the one event from the worker that has it, and wait until that has looked."""
    (row,) = list[Any](await redis.xpending_range(STREAM, GROUP, "-", "+", 9))
    released = await Operations(make_backend(), origin="cli").release(
        stream=STREAM,
        group=GROUP,
        ids=[row["message_id"].decode()],
        consumer=row["consumer"].decode(),
        delay_seconds=delay,
    )
    assert len(released.released) == 1

    async def has_looked() -> bool:
        return not await given_up.unconfirmed(redis, STREAM, GROUP)

    await until(has_looked)


@KINDS
@pytest.mark.parametrize("delay", [0, 600])
@pytest.mark.promise("Handlers that work on them go on;")
async def test_its_handler_finishes_it(
    delay: float, make_backend: MakeBackend, redis: Redis, *, ordered: bool
) -> None:
    backend, handlers = make_backend(), Handlers()
    await publish(backend, 1)
    async with working(EventWorker(backend, handlers, ordered=ordered)):

        async def is_at_work() -> bool:
            return handlers.at_work[1] == 1

        await until(is_at_work)
        await release(make_backend, redis, delay)
        handlers.may_end.set()

        async def is_finished() -> bool:
            return await pending(redis, STREAM) == 0

        await until(is_finished)
    assert (handlers.done, handlers.cancelled.total()) == ({1: 1}, 0)
    assert await redis.exists(names.due(STREAM, GROUP)) == 0


@KINDS
@pytest.mark.promise(
    "A release of an event that a handler works on has no effect once its worker has looked:"
)
async def test_a_handler_that_fails_then_says_when_it_comes_again(
    make_backend: MakeBackend, redis: Redis, *, ordered: bool
) -> None:
    backend, may_fail, begun = make_backend(), anyio.Event(), list[int]()

    async def handle(event: Event) -> None:
        begun.append(event["n"])
        if len(begun) == 1:
            await may_fail.wait()
            raise ValueError("not yet")

    async def has_begun() -> bool:
        return bool(begun)

    async def has_begun_again() -> bool:
        return len(begun) == 2 and await pending(redis, STREAM) == 0

    await publish(backend, 1)
    soon = EventWorker(backend, handle, ordered=ordered, policy=lambda *_: Retry(delay=0.1))
    async with working(soon):
        await until(has_begun)
        await release(make_backend, redis, delay=600)
        may_fail.set()
        await until(has_begun_again)
