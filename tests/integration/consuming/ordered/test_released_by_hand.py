"""What a person releases from an ordered worker comes when it is due, and its conversation waits for it."""

from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Event, Operations
from abe_redis.runtime import clock
from abe_redis.streams import given_up, owners
from abe_redis.streams.lease import Leased
from abe_redis.worker.retry import Retry
from tests.integration.conftest import MakeBackend, pending, until
from tests.integration.consuming.ordered.logged_workers import (
    TOPIC,
    Log,
    at_work,
    publish,
    until_true,
    worker,
)

GROUP = "default"
LEASE_SECONDS = 600  # nothing comes because a lease is over, or is renewed


async def release(
    make_backend: MakeBackend, redis: Redis, place: int, delay: float, *, by_name: bool = True
) -> None:
    """Release an event, by its place among the pending ones, as a person does."""
    rows: Any = await redis.xpending_range(TOPIC, GROUP, "-", "+", 9)
    back = await Operations(make_backend(), origin="cli").release(
        stream=TOPIC,
        group=GROUP,
        ids=[rows[place]["message_id"].decode()],
        consumer=rows[place]["consumer"].decode() if by_name else None,
        delay_seconds=delay,
    )
    assert len(back.released) == 1


@pytest.mark.parametrize("delay", [0, 1])
@pytest.mark.promise("An ordered worker takes back what was released from it,")
async def test_what_is_released_from_it_comes_in_its_turn(
    delay: float, make_backend: MakeBackend, redis: Redis
) -> None:
    backend, log = make_backend(redis_stream_lease_seconds=LEASE_SECONDS), Log()
    log.gates["A"] = anyio.Event()
    await publish(backend, "A", 0, 1, 2)
    async with at_work(worker(backend, log)):

        async def all_are_here() -> bool:
            return bool(log.began) and await pending(redis, TOPIC) == 3

        await until(all_are_here)
        began_at = clock.now()
        await release(make_backend, redis, 1, delay)

        async def has_let_go() -> bool:
            return not await given_up.unconfirmed(redis, TOPIC, GROUP)

        await until(has_let_go)
        log.gates["A"].set()
        await log.all_ended("A", 3)
        assert log.ended["A"] == [0, 1, 2]
        assert clock.now() - began_at >= delay


@pytest.mark.parametrize("by_name", [False, True])
@pytest.mark.parametrize("delay", [0, 1])
@pytest.mark.promise("An ordered worker takes back what was released from it,")
async def test_what_it_has_postponed_comes_when_a_person_says_and_before_the_rest_of_its_conversation(
    delay: float, make_backend: MakeBackend, redis: Redis, *, by_name: bool
) -> None:
    backend, began = make_backend(redis_stream_lease_seconds=LEASE_SECONDS), list[int]()

    async def handle(event: Event) -> None:
        began.append(event["n"])
        if len(began) == 1:
            raise ValueError("not yet")

    await publish(backend, "A", 0, 1, 2)
    async with at_work(worker(backend, handle, policy=lambda *_: Retry(delay=3600))):

        async def is_postponed() -> bool:
            due: Any = await redis.zcard(f"abe:due:{{{TOPIC}}}:{GROUP}")
            return bool(due == 1 and await pending(redis, TOPIC) == 3)

        await until(is_postponed)
        began_at = clock.now()
        await release(make_backend, redis, 0, delay, by_name=by_name)
        await until_true(lambda: len(began) == 4)
        assert began == [0, 0, 1, 2]
        assert clock.now() - began_at >= delay


@pytest.mark.parametrize("delay", [0, 1])
@pytest.mark.promise("An ordered worker takes back what was released from it,")
async def test_what_is_released_just_as_its_retry_begins_is_not_overtaken(
    delay: float, make_backend: MakeBackend, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, began = make_backend(redis_stream_lease_seconds=LEASE_SECONDS), list[int]()
    start, released_at = owners.start, list[float]()

    async def start_late(commands: Redis, owner: owners.Owner, entry: Leased, **more: Any) -> str:
        if not released_at:
            released_at.append(clock.now())
            person = Operations(make_backend(), origin="cli")
            await person.release(
                stream=TOPIC, group=GROUP, ids=[entry.id], consumer=owner.consumer, delay_seconds=delay
            )
        return await start(commands, owner, entry, **more)

    async def handle(event: Event) -> None:
        began.append(event["n"])
        if len(began) == 1:
            raise ValueError("not yet")

    monkeypatch.setattr(owners, "start", start_late)
    await publish(backend, "A", 0, 1, 2)
    async with at_work(worker(backend, handle, policy=lambda *_: Retry(delay=0.1))):
        await until_true(lambda: len(began) == 4)
    assert began == [0, 0, 1, 2]
    assert clock.now() - released_at[0] >= delay
