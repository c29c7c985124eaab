"""Nothing is lost in silence when somebody removes a consumer: not what it gave back, nor what is trimmed."""

import logging
import math
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Backoff, Event, EventWorker, Retry
from abe_redis.consuming import group_consumer, prefetch
from abe_redis.streams import names, release, renewal
from tests.integration.conftest import MakeBackend, pending, take_one, until
from tests.integration.consuming.foreign_hands import KINDS, STREAM, publish, working

RECORDS = "abe:groups:{slack_events}"


async def remove_consumers(redis: Redis, *, all_of_them: bool = False) -> None:
    """As somebody does who tidies up; perhaps also the one that stands for nobody."""
    rows: Any = await redis.xinfo_consumers(STREAM, "default")
    for row in rows:
        if all_of_them or not row["name"].startswith(b"abe:"):
            await redis.xgroup_delconsumer(STREAM, "default", row["name"])


ALSO_NOBODY = pytest.mark.parametrize("all_of_them", [False, True], ids=["workers", "and-nobody"])


async def lost(redis: Redis) -> int:
    return int(await redis.hget(RECORDS, "lost default") or 0)


@KINDS
@ALSO_NOBODY
async def test_events_that_a_worker_gave_back_stay_when_its_consumer_is_removed(
    make_backend: MakeBackend, redis: Redis, ordered: bool, all_of_them: bool
) -> None:
    started, handled = anyio.Event(), list[int]()

    async def wait(_: Event) -> None:
        started.set()
        await anyio.sleep_forever()

    async def handle(event: Event) -> None:
        handled.append(event["n"])

    first = make_backend()
    await publish(first, 0, 1, 2)
    async with working(EventWorker(first, wait, ordered=ordered, drain_seconds=0)):
        await started.wait()
    await first.close()
    await remove_consumers(redis, all_of_them=all_of_them)

    async def are_handled() -> bool:
        return sorted(handled) == [0, 1, 2]

    async with working(EventWorker(make_backend(), handle, ordered=ordered)):
        await until(are_handled)


@ALSO_NOBODY
async def test_events_nacked_without_a_delay_stay_when_their_consumer_is_removed(
    make_backend: MakeBackend, redis: Redis, all_of_them: bool
) -> None:
    first = make_backend()
    await publish(first, 0)
    async with first.consume() as events:
        event = await take_one(events)
        await event.nack()
        await remove_consumers(redis, all_of_them=all_of_them)
        again = await take_one(events)
    assert (again.id, again.deliveries) == (event.id, 2)


@KINDS
@pytest.mark.parametrize("fails", [False, True])
async def test_an_event_trimmed_after_its_consumer_was_removed_is_lost_unless_its_handler_succeeds(
    make_backend: MakeBackend,
    redis: Redis,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    ordered: bool,
    fails: bool,
) -> None:
    # A worker that looks in between cannot know that another one, or itself, still has the event.
    monkeypatch.setattr(group_consumer, "TICK_SECONDS", 60.0)
    started, may_end, ended = anyio.Event(), anyio.Event(), anyio.Event()

    async def handle(event: Event) -> None:
        if event["n"] == 1:
            ended.set()
            return
        started.set()
        await may_end.wait()
        if fails:
            raise ValueError("too late")

    backend = make_backend()
    await publish(backend, 0)
    async with working(EventWorker(backend, handle, ordered=ordered, policy=lambda *_: Retry(0.01))):
        await started.wait()
        await remove_consumers(redis)
        await redis.xtrim(STREAM, maxlen=0, approximate=False)
        may_end.set()
        await publish(backend, 1)
        await ended.wait()

        def told() -> int:
            sentences = [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]
            return len([one for one in sentences if "is gone: " in one])

        async def is_counted_and_told() -> bool:
            return await lost(redis) == 1 and told() == 1

        if fails:
            await until(is_counted_and_told)
    assert (await lost(redis), told()) == (fails, fails)


@KINDS
async def test_a_loss_is_told_though_a_renewal_notices_it_while_the_event_is_given_back(
    make_backend: MakeBackend,
    redis: Redis,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    ordered: bool,
) -> None:
    started, removed, giving_back = anyio.Event(), anyio.Event(), anyio.Event()
    hold, postpone = renewal.hold, release.postpone

    async def slow_hold(*args: Any, **more: Any) -> Any:
        await removed.wait()
        outcomes = await hold(*args, **more)
        await giving_back.wait()
        return outcomes

    async def postpone_then(*args: Any, **more: Any) -> str:
        giving_back.set()
        return await postpone(*args, **more)

    monkeypatch.setattr(renewal, "hold", slow_hold)
    monkeypatch.setattr(release, "postpone", postpone_then)

    async def fail(_: Event) -> None:
        started.set()
        await removed.wait()
        await anyio.sleep(0.1)  # until the renewal is on its way
        raise ValueError("too late")

    async def is_told() -> bool:
        return any("is gone: " in one.getMessage() for one in caplog.records)

    backend = make_backend()
    await publish(backend, 0)
    async with working(EventWorker(backend, fail, ordered=ordered)):
        await started.wait()
        await remove_consumers(redis)
        await redis.xtrim(STREAM, maxlen=0, approximate=False)
        removed.set()
        await until(is_told)
    assert await lost(redis) == 1


@KINDS
async def test_a_postponed_event_counts_as_lost_when_it_is_trimmed_after_its_consumer_was_removed(
    make_backend: MakeBackend, redis: Redis, ordered: bool
) -> None:
    async def fail(event: Event) -> None:
        if event["n"] == 0:
            raise ValueError("not yet")

    async def is_postponed() -> bool:
        return bool(await redis.zcard("abe:due:{slack_events}:default"))

    async def is_counted() -> bool:
        return await lost(redis) == 1

    backend = make_backend()
    await publish(backend, 0)
    worker = EventWorker(backend, fail, ordered=ordered, policy=Backoff(first=1, most=1))
    async with working(worker):
        await until(is_postponed)
        await remove_consumers(redis)
        await redis.xtrim(STREAM, maxlen=0, approximate=False)
        await until(is_counted)
        await until(is_counted)
    assert await lost(redis) == 1
    assert not await redis.exists("abe:due:{slack_events}:default")


async def test_a_prefetched_event_that_somebody_deletes_counts_as_lost_once(
    make_backend: MakeBackend, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefetch, "FAST_SECONDS", math.inf)  # so it leases ahead, however busy the machine is
    backend = make_backend(redis_stream_lease_seconds=0.5)
    await publish(backend, *range(40))
    async with backend.consume() as events:
        await take_one(events)
        for _ in range(6):
            await anext(events)

        async def has_prefetched() -> bool:
            summary: Any = await redis.xpending(STREAM, "default")
            return bool(summary["pending"] > 3)

        await until(has_prefetched)
        rows: Any = await redis.xpending_range(STREAM, "default", "-", "+", 40)
        await redis.xdel(STREAM, rows[-1]["message_id"])

        async def is_counted() -> bool:
            return await lost(redis) > 0

        await until(is_counted)
        await anyio.sleep(0.5)  # for two more renewals
        assert await lost(redis) == 1


async def test_the_owner_of_a_stream_puts_back_what_only_the_record_has(
    make_backend: MakeBackend, redis: Redis
) -> None:
    """It need not wait for another owner: the consumer that stands for nobody goes while the owner stays."""
    handled = list[int]()

    async def handle(event: Event) -> None:
        handled.append(event["n"])

    async def has(count: int) -> bool:
        return len(handled) == count and not await pending(redis, STREAM)

    backend = make_backend(redis_stream_lease_seconds=2)
    worker = EventWorker(backend, handle, ordered=True)
    await publish(backend, 0)
    async with working(worker):
        await until(lambda: has(1))
        owner = await redis.get(names.owner(STREAM, "default"))
        found: Any = await redis.xrange(STREAM)
        ((entry_id, _),) = found
        await redis.xclaim(STREAM, "default", "another", 0, [entry_id], force=True, justid=True)
        await release.release(
            redis, "default", "another", [STREAM], {(STREAM, entry_id.decode()): 1}, everything=False
        )
        await redis.xgroup_delconsumer(STREAM, "default", names.NOBODY)
        await until(lambda: has(2))
        assert await redis.get(names.owner(STREAM, "default")) == owner
    assert handled == [0, 0]
