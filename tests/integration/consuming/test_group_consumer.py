"""A member of a group when its reads, streams, acks and cancellations go wrong."""

import asyncio
import contextlib
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import RedisMessageQueueBackend, Settings
from abe_redis.client.connections import Connections
from abe_redis.consuming import lifecycle
from abe_redis.consuming.consumer import Consumer
from abe_redis.errors import AbeRedisError, LeaseLostError, RedisRefusedError
from abe_redis.streams.patterns import Patterns
from tests.integration.conftest import pending, take, take_one, until
from tests.integration.consuming.leased_ahead import STREAM
from tests.patience import PATIENCE
from tests.servers import Server


async def test_events_of_an_unconfirmed_read_come_again_at_once(own_server: Server) -> None:
    """And does not wait for its lease to end: the consumer lives on and does not know of it."""
    settings = Settings(redis_url=own_server.url, redis_stream_lease_seconds=3600)
    async with RedisMessageQueueBackend(settings) as backend:
        await backend.publish(STREAM, {"n": 1})
        events = backend.consume()
        await take_one(events)
        with own_server.admin() as admin:
            asking = asyncio.create_task(take_one(events))
            await until_reading(admin)
            pipeline = admin.pipeline(transaction=True)  # so that the reader who waits does not see it
            pipeline.xadd(STREAM, {"data": '{"n": 2}'})
            pipeline.xreadgroup("default", events.consumer, {STREAM: ">"}, count=9)
            pipeline.execute()
            admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        event = await asking
        assert (event["n"], event.deliveries) == (2, 1)


async def test_a_stream_that_is_deleted_does_not_hold_up_the_others(
    backend: RedisMessageQueueBackend, redis: Redis
) -> None:
    await backend.publish("slack:deleted", {"n": 1})
    await backend.publish(STREAM, {"n": 2})
    async with backend.consume() as events:
        await take(events, 2)
        asking = asyncio.create_task(take_one(events))
        await until(lambda: nothing_pending(redis))
        await redis.delete("slack:deleted")
        await backend.publish(STREAM, {"n": 3})
        assert await asking == {"n": 3}
        asking = asyncio.create_task(take_one(events))
        await until(lambda: nothing_pending(redis))
        await backend.publish(STREAM, {"n": 4})
        assert await asking == {"n": 4}


async def nothing_pending(redis: Redis) -> bool:
    return await pending(redis, STREAM) == 0


async def until_reading(admin: Any) -> None:
    """Until a consumer waits for news."""

    async def reads() -> bool:
        return any(client["cmd"] == "xreadgroup" and "b" in client["flags"] for client in admin.client_list())

    await until(reads)


@pytest.mark.promise("every command that acks, renews or gives back an entry first checks who holds it.")
async def test_an_event_that_another_holds_is_not_given_back(
    backend: RedisMessageQueueBackend, redis: Redis
) -> None:
    await backend.publish(STREAM, {"n": 1})
    async with backend.consume() as events:
        event = await take_one(events)
        await redis.xclaim(STREAM, "default", "other", 0, [event.id], justid=True)
        with pytest.raises(LeaseLostError):
            await event.nack(delay=5)
        rows: Any = await redis.xpending_range(STREAM, "default", "-", "+", 9)
        assert [(row["consumer"], row["times_delivered"]) for row in rows] == [(b"other", 1)]
        with pytest.raises(LeaseLostError):
            await event.bury(reason="not in hand any more")


async def test_a_finished_event_is_not_in_flight(backend: RedisMessageQueueBackend) -> None:
    await backend.publish(STREAM, {"n": 1})
    async with backend.consume() as events:
        held = await events.behind.take()
        assert held is not None
        assert held.event == {"n": 1}
        events.behind.finish(held)
        with pytest.raises(RuntimeError, match="No handler works on this event"):
            _ = held.event


async def test_an_ack_that_is_not_permitted_ends_the_consumer(own_server: Server) -> None:
    async with RedisMessageQueueBackend(Settings(redis_url=own_server.url)) as backend:
        await backend.publish_many(STREAM, [{"n": 1}, {"n": 2}])
        events = backend.consume()
        await take_one(events)
        with own_server.admin() as admin:
            admin.execute_command("ACL", "SETUSER", "default", "-xack")
        with pytest.raises(RedisRefusedError, match="acking in group 'default'"):
            await take(events, 3)


async def test_a_bug_of_ours_is_told_to_who_waits(caplog: pytest.LogCaptureFixture) -> None:
    async def connections() -> Connections:
        raise ZeroDivisionError

    member = Consumer(connections, Settings(), Patterns([STREAM]), group="default", name="me")
    with pytest.raises(AbeRedisError, match="failed unexpectedly: ZeroDivisionError"):
        await member.next()
    assert "ZeroDivisionError" in caplog.text


async def test_a_cancellation_that_is_lost_does_not_keep_it_from_ending(
    backend: RedisMessageQueueBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a library's time-out that ends at the same moment."""
    monkeypatch.setattr(lifecycle, "CLOSE_SECONDS", 0.5)  # what is to let go of the events waits, too
    waiting = asyncio.Event()
    tasks: set[asyncio.Task[Any] | None] = set()

    async def connections() -> Connections:
        if asyncio.current_task() not in tasks:
            tasks.add(asyncio.current_task())
            waiting.set()
            with contextlib.suppress(asyncio.CancelledError):
                await anyio.sleep_forever()
        return await backend.connections()

    member = Consumer(connections, backend.settings, Patterns([STREAM]), group="default", name="me")
    asking = asyncio.create_task(member.take())
    await waiting.wait()
    with anyio.fail_after(PATIENCE):
        await member.close()
        assert await asking is None


async def test_an_unreadable_entry_is_buried_though_nothing_else_comes(
    backend: RedisMessageQueueBackend, redis: Redis
) -> None:
    await redis.xadd(STREAM, {"data": "no JSON"})
    async with backend.consume() as events, anyio.create_task_group() as tasks:
        tasks.start_soon(take_one, events)

        async def buried() -> bool:
            return bool(await redis.xlen(f"dead:{{{STREAM}}}"))

        await until(buried)
        tasks.cancel_scope.cancel()
