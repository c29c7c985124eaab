"""A worker that ends in order records what it has finished, however short its life was."""

from collections import Counter

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventWorker, Retry
from tests.integration.conftest import MakeBackend, until
from tests.integration.consuming.foreign_hands import KINDS, STREAM, publish, working


@KINDS
@pytest.mark.parametrize("delay", [0.0, 3.0], ids=["finished", "postponed"])
async def test_what_the_first_worker_finished_in_its_first_second_stays_so_in_a_destroyed_group(
    make_backend: MakeBackend, redis: Redis, ordered: bool, delay: float
) -> None:
    ran, first_ran_at = Counter[int](), list[float]()

    async def handle(event: Event) -> None:
        ran[event["n"]] += 1
        if event["n"] == 0:
            first_ran_at.append(anyio.current_time())
        if event["n"] == 0 and delay:
            raise RuntimeError("not yet")

    def worker() -> EventWorker:
        backend = make_backend(redis_stream_lease_seconds=1)
        return EventWorker(backend, handle, concurrency=4, ordered=ordered, policy=lambda *_: Retry(delay))

    await publish(make_backend(), *range(5))

    async def each_ran() -> bool:
        return len(ran) == 5

    async with working(worker()):
        await until(each_ran)
    await redis.xgroup_destroy(STREAM, "default")
    await publish(make_backend(), 5)

    async def the_next_ran() -> bool:
        return ran[5] == 1

    async def the_first_ran_again() -> bool:
        return ran[0] == 2

    async with working(worker()):
        await until(the_next_ran)
        if delay:
            await until(the_first_ran_again)
            assert first_ran_at[1] - first_ran_at[0] > delay - 1
        else:
            await anyio.sleep(1.5)  # longer than a lease
    assert [ran[n] for n in range(1, 6)] == [1] * 5
    assert ran[0] <= 1 + bool(delay) * 5
