"""Leases of different lengths in one group: each lasts as long as its holder said, whoever looks."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventWorker
from abe_redis.streams import names
from tests.integration.agents import GROUP, TOPIC, asking, server
from tests.integration.conftest import MakeBackend, take_one, until
from tests.integration.consuming.holders import Holders, an_id

LONG, SHORT = 3600.0, 0.5


@pytest.fixture
async def holders(redis_url: str) -> AsyncIterator[Holders]:
    async with AsyncExitStack() as stack:
        yield Holders(redis_url, stack)


async def holding(redis: Redis) -> dict[str, str]:
    """Who holds what is pending."""
    rows: Any = await redis.xpending_range(TOPIC, GROUP, "-", "+", 5000)
    return {row["message_id"].decode(): row["consumer"].decode() for row in rows}


@pytest.mark.promise("A lease lasts as long as its holder's own setting says, also for workers")
@pytest.mark.promise("While you change the setting from worker to worker, nobody loses an event early")
@pytest.mark.parametrize("looks", ["consumer", "agent"])
@pytest.mark.parametrize("holds", ["consumer", "agent"])
async def test_a_short_lease_does_not_rob_a_long_one(
    make_backend: MakeBackend, holders: Holders, redis: Redis, holds: str, looks: str
) -> None:
    backend = make_backend(redis_stream_lease_seconds=SHORT)
    await backend.publish(TOPIC, {"n": "held"})
    held = await (await holders(LONG, agent=holds == "agent")).take()
    by = (await holding(redis))[held]
    await backend.publish(TOPIC, {"n": "left"})
    dead = await holders(SHORT)
    left = await dead.take()
    await dead.freeze()
    # What was left stands behind what is held, and is idle for less long: who takes it has passed that over.
    if looks == "agent":
        assert await an_id(asking(server(backend))) == left
    else:
        assert (await take_one(backend.consume(group=GROUP))).id == left
    assert (await holding(redis))[held] == by


@pytest.mark.promise("the events of a dead worker wait for its lease and not for a longer one")
@pytest.mark.parametrize("looks", ["consumer", "agent"])
@pytest.mark.parametrize("holds", ["consumer", "agent"])
async def test_events_of_a_dead_holder_of_a_short_lease_do_not_wait_for_a_long_one(
    make_backend: MakeBackend, holders: Holders, holds: str, looks: str
) -> None:
    backend = make_backend(redis_stream_lease_seconds=LONG)
    await backend.publish(TOPIC, {"n": "left"})
    dead = await holders(SHORT, agent=holds == "agent")
    left = await dead.take()
    await dead.freeze()
    if looks == "agent":
        assert await an_id(asking(server(backend))) == left
    else:
        assert (await take_one(backend.consume(group=GROUP))).id == left


async def test_a_consumer_announces_its_lease_before_it_reads_a_new_stream(
    make_backend: MakeBackend, redis: Redis
) -> None:
    """Otherwise a consumer of a shorter lease would take what is read there for abandoned."""
    backend = make_backend(redis_stream_lease_seconds=LONG)
    events = backend.consume(group=GROUP)
    for letter in "abcdef":
        stream = f"slack:{letter}"
        await backend.publish(stream, {"n": 1})
        assert (await take_one(events)).stream == stream
        announced: Any = await redis.hgetall(names.leases(stream, GROUP))
        assert events.consumer.encode() in announced


async def test_many_events_that_are_held_for_long_do_not_hide_what_was_left(
    make_backend: MakeBackend, holders: Holders, redis: Redis
) -> None:
    many = 1200  # more than one look goes through
    backend, gate = make_backend(redis_stream_lease_seconds=LONG), anyio.Event()
    await backend.publish_many(TOPIC, [{"n": number} for number in range(many)])

    held: list[str] = []

    async def hold(event: Event) -> None:
        held.append(event.id)
        await gate.wait()

    async def all_are_held() -> bool:
        return len(held) == many

    worker = EventWorker(backend, hold, group=GROUP, concurrency=many)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)
        await until(all_are_held)
        worker_name = set((await holding(redis)).values())
        dead = await holders(SHORT)
        await backend.publish(TOPIC, {"n": "left"})
        left = await dead.take()
        await dead.freeze()
        looker = make_backend(redis_stream_lease_seconds=SHORT).consume(group=GROUP)
        assert (await take_one(looker)).id == left
        found = await holding(redis)
        assert {found[one] for one in found if one != left} == worker_name
        gate.set()
        await worker.shutdown()


async def test_ordered_workers_of_different_leases_share_the_streams_and_rob_nobody(
    make_backend: MakeBackend, redis: Redis
) -> None:
    long, short = (
        make_backend(redis_stream_lease_seconds=LONG),
        make_backend(redis_stream_lease_seconds=SHORT),
    )
    streams = [f"slack:{letter}" for letter in "abcd"]
    gate, began, cancelled = anyio.Event(), list[str](), list[str]()
    patient: list[
        str
    ] = []  # the name of the one with the long lease; the other may be late on a slow machine

    async def handle(event: Event) -> None:
        began.append(event.stream)
        if not patient:
            patient.append(event._holder.name)  # type: ignore[union-attr]
        try:
            if event.stream == streams[0]:  # the others may change their owner, whoever finds them first
                await gate.wait()
        except anyio.get_cancelled_exc_class():
            if event._holder.name == patient[0]:  # type: ignore[union-attr]
                cancelled.append(event.stream)
            raise

    async def has_begun() -> bool:
        return bool(began)

    async def owned_by_two() -> bool:
        owners = [await redis.get(f"abe:owner:{{{stream}}}:default") for stream in streams]
        names = [owner.split()[0] for owner in owners if owner]
        return len(names) == 4 and len(set(names)) == 2

    workers = [EventWorker(backend, handle, concurrency=4, ordered=True) for backend in (long, short)]
    await long.publish(streams[0], {"n": 1})
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(workers[0].run)
        await until(has_begun)
        for stream in streams[1:]:
            await redis.xadd(stream, {"data": "{}"})
            await long.publish(stream, {"n": 1})
        tasks.start_soon(workers[1].run)
        await until(owned_by_two)
        assert cancelled == []
        gate.set()
        for worker in workers:
            await worker.shutdown()


async def said(redis: Redis) -> dict[bytes, bytes]:
    """What the consumers of the group said of their leases."""
    found: Any = await redis.hgetall(f"abe:leases:{{{TOPIC}}}:{GROUP}")
    return dict(found)


async def test_a_consumer_takes_its_announced_lease_with_it(
    make_backend: MakeBackend, holders: Holders, redis: Redis
) -> None:
    backend = make_backend(redis_stream_lease_seconds=SHORT)
    await backend.publish_many(TOPIC, [{"n": 1}, {"n": 2}])
    ending = await holders(LONG)
    await ending.take()
    assert [value.split()[0] for value in (await said(redis)).values()] == [b"3600000"]
    await ending.close()
    assert await said(redis) == {}
    await redis.hset(f"abe:leases:{{{TOPIC}}}:{GROUP}", "gone", "500 1")  # who died long ago
    events = backend.consume(group=GROUP)
    await take_one(events)
    (name,) = set((await holding(redis)).values())

    async def only_ours_is_left() -> bool:
        return list(await said(redis)) == [name.encode()]

    await until(only_ours_is_left)
