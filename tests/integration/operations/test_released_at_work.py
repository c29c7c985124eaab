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


@KINDS
@pytest.mark.parametrize("delay", [0, 0.01])
@pytest.mark.parametrize("names_its_worker", [True, False])
async def test_a_handler_that_always_fails_runs_no_more_often_if_its_retries_are_hastened(
    delay: float, make_backend: MakeBackend, redis: Redis, *, names_its_worker: bool, ordered: bool
) -> None:
    backend, begun = make_backend(redis_stream_max_deliveries=3), list[int]()

    async def handle(event: Event) -> None:
        begun.append(event.deliveries)
        raise ValueError("never")

    async def waits_or_is_buried() -> bool:
        return (
            await redis.zcard(names.due(STREAM, GROUP)) == 1
            or await redis.xlen(names.dead_letters(STREAM)) == 1
        )

    await publish(backend, 1)
    person = Operations(make_backend(), origin="cli")
    async with working(EventWorker(backend, handle, ordered=ordered, policy=lambda *_: Retry(3600))):
        for number in range(1, 10):

            async def has_begun(number: int = number) -> bool:
                return len(begun) == number and await waits_or_is_buried()

            await until(has_begun)
            (row,) = list[Any](await redis.xpending_range(STREAM, GROUP, "-", "+", 9)) or [None]
            if row is None:
                break
            holder = row["consumer"].decode() if names_its_worker else None
            ids = [row["message_id"].decode()]
            await person.release(stream=STREAM, group=GROUP, ids=ids, consumer=holder, delay_seconds=delay)
    assert begun == [1, 2, 3]
    assert await redis.xlen(names.dead_letters(STREAM)) == 1
