"""A failed event of a conversation comes before its next, until it is buried; others go on."""

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Backoff, Bury, Drop, Event, Retry
from abe_redis.consuming.ordered import consumer as ordered
from abe_redis.errors import AbeRedisError, LeaseLostError
from tests.integration.conftest import MakeBackend, pending, take, take_one, until
from tests.integration.consuming.ordered.logged_workers import (
    TOPIC,
    Log,
    at_work,
    publish,
    until_equal,
    until_true,
    worker,
)
from tests.patience import PATIENCE
from tests.servers import Server


@pytest.mark.promise("a handler fails: Its conversation waits")
async def test_a_failure_holds_up_its_conversation_alone_and_until_its_burial(
    make_backend: MakeBackend, redis: Redis
) -> None:
    backend, log = make_backend(redis_stream_max_deliveries=3), Log()
    failed: list[int] = []

    async def handle(event: Event) -> None:
        if (event["channel"], event["n"]) == ("A", 1):
            failed.append(event.deliveries)
            assert log.began["A"] == [0]
            raise ValueError("never")
        await log(event)

    await publish(backend, "AB", *range(20))
    policy = Backoff(first=0.2, deliveries=3)
    async with at_work(worker(backend, handle, policy=policy)):
        await log.all_ended("B", 20)
        await log.all_ended("A", 19)
    assert failed == [1, 2, 3]
    assert log.ended["A"] == [0, *range(2, 20)]
    assert await redis.xlen("dead:{slack_events}") == 1


@pytest.mark.promise("Events behind a failed one wait in the worker that owns the stream.")
async def test_a_failed_event_is_delivered_again_before_the_next_of_its_conversation(
    make_backend: MakeBackend,
) -> None:
    backend, log = make_backend(), Log()
    deliveries: list[tuple[int, int]] = []

    async def handle(event: Event) -> None:
        deliveries.append((event["n"], event.deliveries))
        if event.deliveries < 3:
            raise ValueError("not yet")
        await log(event)

    await publish(backend, "A", 1, 2)
    async with at_work(worker(backend, handle, policy=lambda *_: Retry(0.05))):
        await log.all_ended("A", 2)
    assert deliveries == [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)]


@pytest.mark.parametrize("decision", [Bury("enough"), Drop()], ids=["bury", "drop"])
async def test_giving_up_lets_the_next_go_on(
    make_backend: MakeBackend, redis: Redis, decision: Bury | Drop
) -> None:
    backend, log = make_backend(), Log()

    async def handle(event: Event) -> None:
        if event["n"] == 1:
            raise ValueError("no")
        await log(event)

    await publish(backend, "A", 1, 2)
    async with at_work(worker(backend, handle, policy=lambda *_: decision)):
        await log.all_ended("A", 1)
    assert log.ended["A"] == [2]
    assert await pending(redis, TOPIC) == 0


async def test_an_undecodable_entry_is_buried_and_delays_no_conversation(
    make_backend: MakeBackend, redis: Redis
) -> None:
    backend, log = make_backend(), Log()
    await redis.xadd(TOPIC, {"data": "no JSON", "conversation": "/A"})
    await publish(backend, "A", 1)
    async with at_work(worker(backend, log)):
        await log.all_ended("A", 1)
        await until(lambda: redis.xlen("dead:{slack_events}"))


async def test_an_event_that_was_nacked_by_its_handler_waits_for_the_handlers_end(
    make_backend: MakeBackend,
) -> None:
    backend, log = make_backend(), Log()

    async def handle(event: Event) -> None:
        if event.deliveries == 1 and event["n"] == 1:
            log.at_work.add("A")
            await event.nack()
            with pytest.raises(LeaseLostError):
                await event.nack()
            await anyio.sleep(0.2)
            log.at_work.discard("A")
        else:
            await log(event)

    await publish(backend, "A", 1, 2)
    async with at_work(worker(backend, handle)):
        await log.all_ended("A", 2)
    assert log.ended["A"] == [1, 2]


@pytest.mark.promise("a handler takes longer than `REDIS_STREAM_MAX_HANDLING_SECONDS`")
async def test_a_handler_that_takes_too_long_is_cancelled_and_its_event_comes_first_again(
    make_backend: MakeBackend,
) -> None:
    backend = make_backend(redis_stream_max_handling_seconds=0.5, redis_stream_lease_seconds=1)
    log = Log()
    log.gates["A"] = anyio.Event()
    await publish(backend, "A", 1, 2)
    async with at_work(worker(backend, log)):
        await until_true(lambda: log.cancelled)
        log.gates["A"].set()
        await log.all_ended("A", 2)
    assert log.began["A"] == [*[1] * (len(log.began["A"]) - 1), 2]
    assert log.ended["A"] == [1, 2]


@pytest.mark.promise("It reads at most 1,000 events (or 4 MiB) ahead in a stream")
async def test_a_conversation_that_is_held_up_stops_its_stream_only_when_very_much_waits(
    make_backend: MakeBackend, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ordered, "MOST_WAITING", 20)
    backend, log = make_backend(), Log()
    log.gates["A"] = anyio.Event()
    await publish(backend, "A", *range(10))
    await publish(backend, "B", *range(10))
    await publish(backend, "A", *range(10, 60))
    await publish(backend, "B", *range(10, 60))
    async with at_work(worker(backend, log)):
        await log.all_ended("B", 10)
        await until_equal(lambda: pending(redis, TOPIC), 21)
        assert len(log.ended["B"]) == 10
        log.gates["A"].set()
        await log.all_ended("AB", 60)
    assert log.ended["A"] == log.ended["B"] == list(range(60))


async def test_a_delay_outlives_the_worker(make_backend: MakeBackend, redis: Redis) -> None:
    backend, other = make_backend(), make_backend()
    await publish(backend, "A", 1, 2)
    async with backend.consume_ordered() as events:
        event = await take_one(events)
        began = anyio.current_time()
        await event.nack(delay=2)
    async with other.consume_ordered() as events:
        assert [event["n"] for event in await take(events, 2)] == [1, 2]
        assert anyio.current_time() - began >= 2
    assert not await redis.exists(f"abe:due:{{{TOPIC}}}:default")


async def test_a_nack_that_does_not_reach_redis_still_keeps_the_order(
    make_backend: MakeBackend, own_server: Server
) -> None:
    backend, log = make_backend(redis_url=own_server.url, redis_stream_lease_seconds=30), Log()
    errors: list[Exception] = []

    async def handle(event: Event) -> None:
        if event.deliveries == 1 and event["n"] == 1:
            own_server.freeze()
            try:
                await event.nack()
            except AbeRedisError as error:
                errors.append(error)
            finally:
                own_server.thaw()
        await log(event)

    await publish(backend, "A", 1, 2)
    async with at_work(worker(backend, handle)):
        with anyio.fail_after(PATIENCE):
            await log.all_ended("A", 2)
    assert errors
    assert log.ended["A"][-1] == 2
    assert set(log.ended["A"][:-1]) == {1}
