"""Somebody destroys or sets back a group while handlers work: nothing starts a second time."""

from contextlib import suppress
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from abe_redis import Event, EventWorker, Retry
from abe_redis.streams import names
from tests.integration.conftest import MakeBackend, until, until_renewed
from tests.integration.consuming.foreign_hands import (
    KINDS,
    STREAM,
    Handlers,
    is_finished,
    pending,
    publish,
    until_at_work,
    working,
)


def said(n: int, *, channel: str) -> dict[str, Any]:
    return {"type": "event_callback", "event_id": f"Ev{n}", "n": n, "event": {"channel": channel}}


async def until_recorded(redis: Redis) -> None:
    """How far the group is, as a member notes it soon after it has leased something."""

    async def known() -> bool:
        groups: Any = await redis.xinfo_groups(STREAM)
        last: Any = await redis.hget("abe:groups:{slack_events}", "last default")
        return bool(last == groups[0]["last-delivered-id"])

    await until(known)


@KINDS
@pytest.mark.parametrize("recorded", [False, True], ids=["at once", "later"])
async def test_a_destroyed_group_starts_nothing_that_is_at_work(
    make_backend: MakeBackend, redis: Redis, ordered: bool, recorded: bool, caplog: pytest.LogCaptureFixture
) -> None:
    handlers = Handlers()
    backends = [make_backend(redis_stream_lease_seconds=6) for _ in range(2)]
    workers = [EventWorker(one, handlers, concurrency=3, ordered=ordered) for one in backends]
    await publish(backends[0], *range(8))
    at_first = 3 if ordered else 6  # a stream has one owner

    async def all_are_done(count: int) -> bool:
        return set(handlers.done) == set(range(count))

    async def is_put_back() -> bool:
        with suppress(ResponseError):  # nobody has made the group again
            return len(await pending(redis)) >= at_first
        return False

    async with working(*workers):
        await until_at_work(handlers, at_first)
        if recorded:
            await until_recorded(redis)
        await redis.xgroup_destroy(STREAM, "default")
        await publish(backends[0], *range(8, 12))
        await until(is_put_back)
        await until_renewed(redis, STREAM, 3)  # the leases of before would be over
        assert max(handlers.most_at_work.values()) == 1
        assert handlers.cancelled == {}
        assert sum(handlers.at_work.values()) == at_first
        handlers.may_end.set()
        await until(lambda: all_are_done(12))
        await until(lambda: is_finished(redis))
        assert max(handlers.most_at_work.values()) == 1
    assert "somebody had removed" in caplog.text


@KINDS
async def test_events_in_flight_when_the_group_was_destroyed_can_be_acked(
    make_backend: MakeBackend, redis: Redis, ordered: bool
) -> None:
    """Handlers end at once, before anybody may have noticed."""
    handlers = Handlers()
    backend = make_backend()
    await publish(backend, *range(4))
    async with working(EventWorker(backend, handlers, concurrency=4, ordered=ordered)):
        await until_at_work(handlers, 4)
        await until_recorded(redis)
        await redis.xgroup_destroy(STREAM, "default")
        handlers.may_end.set()
        await until(lambda: is_finished(redis))
    assert handlers.started == dict.fromkeys(range(4), 1)
    assert handlers.done == dict.fromkeys(range(4), 1)


@KINDS
async def test_what_a_destroyed_group_had_finished_behind_a_slow_handler_is_not_handled_again(
    make_backend: MakeBackend, redis: Redis, ordered: bool
) -> None:
    """The group had finished nothing up to a point behind what the slow handler has."""
    slow, quick = Handlers(), Handlers()
    quick.may_end.set()
    backend = make_backend(redis_stream_lease_seconds=6)

    async def handle(event: Event) -> None:
        await (slow if event["n"] == 0 else quick)(event)

    async def only_one_is_pending() -> bool:
        with suppress(ResponseError):  # nobody has made the group again
            return len(quick.done) == count and len(await pending(redis)) == 1
        return False

    count = 30
    await publish(backend, *range(count + 1))
    async with working(EventWorker(backend, handle, concurrency=4, ordered=ordered)):
        await until(only_one_is_pending)
        await redis.xgroup_destroy(STREAM, "default")
        count += 1
        await publish(backend, count)
        await until(only_one_is_pending)
        await until_renewed(redis, STREAM, 3)  # the lease of before would be over
        assert (slow.started, slow.cancelled) == ({0: 1}, {})
        slow.may_end.set()
        await until(lambda: is_finished(redis))
    assert quick.started == dict.fromkeys(range(1, count + 1), 1)


@KINDS
@pytest.mark.parametrize("how", ["made again at 0", "set back to 0"])
async def test_a_group_that_is_set_back_starts_nothing_that_is_at_work(
    make_backend: MakeBackend, redis: Redis, ordered: bool, how: str
) -> None:
    """Everything is delivered again, which is what was asked for; but not beside itself."""
    handlers = Handlers()
    backend = make_backend()
    await publish(backend, *range(3))
    async with working(EventWorker(backend, handlers, concurrency=6, ordered=ordered)):
        await until_at_work(handlers, 3)
        if how == "set back to 0":
            await redis.xgroup_setid(STREAM, "default", "0")
        else:
            pipeline = redis.pipeline(transaction=True)
            pipeline.xgroup_destroy(STREAM, "default")
            pipeline.xgroup_create(STREAM, "default", "0")
            await pipeline.execute()
        await publish(backend, 3)
        await until_at_work(handlers, 4)
        await anyio.sleep(1)
        assert handlers.started == dict.fromkeys(range(4), 1)
        handlers.may_end.set()
        await until(lambda: is_finished(redis))
    assert max(handlers.most_at_work.values()) == 1
    assert handlers.cancelled == {}


async def test_an_event_postponed_when_the_group_was_destroyed_robs_nobody(
    make_backend: MakeBackend, redis: Redis
) -> None:
    """It is delivered again; when its old time comes, its handler is at work and stays so."""
    handlers = Handlers()
    failed = anyio.Event()

    async def handle(event: Event) -> None:
        if not failed.is_set():
            failed.set()
            raise ValueError("the first time is never right")
        await handlers(event)

    def worker() -> EventWorker:
        backend = make_backend(redis_stream_lease_seconds=6)
        return EventWorker(backend, handle, concurrency=2, policy=lambda *_: Retry(3))

    publisher = make_backend()
    await publish(publisher, 1)
    async with working(worker(), worker()):
        await until(lambda: redis.zcard("abe:due:{slack_events}:default"))
        pipeline = redis.pipeline(transaction=True)
        pipeline.xgroup_destroy(STREAM, "default")
        pipeline.xgroup_create(STREAM, "default", "0")
        await pipeline.execute()
        await publish(publisher, 2)  # wakes who waits
        await until_at_work(handlers, 2)
        # After its old time, and when the leases of before would be over.
        await until_renewed(redis, STREAM, 3)
        assert handlers.started == {1: 1, 2: 1}
        assert handlers.cancelled == {}
        handlers.may_end.set()
        await until(lambda: is_finished(redis))


@KINDS
@pytest.mark.parametrize("counts", [True, False])
async def test_what_fails_while_its_group_is_gone_waits_for_its_retry_and_so_does_its_conversation(
    make_backend: MakeBackend, redis: Redis, ordered: bool, counts: bool
) -> None:
    """As when Slack limits a rate, which counts no delivery."""
    backend, begun = make_backend(), list[int]()

    async def handle(event: Event) -> None:
        begun.append(event["n"])
        if event["n"] == 0:
            await redis.xgroup_destroy(STREAM, "default")
            raise ValueError("not yet")

    async def waits_for_its_retry() -> bool:
        if ordered:  # its worker keeps it, and the group is made again
            return bool(begun and await redis.xinfo_groups(STREAM))
        return await redis.zcard(names.due(STREAM, "default")) == 1

    worker = EventWorker(backend, handle, ordered=ordered, policy=lambda *_: Retry(3600, counts=counts))
    for n in range(3):
        await backend.publish(STREAM, said(n, channel="C1"))
    async with working(worker):
        await until(waits_for_its_retry)
        await backend.publish(STREAM, said(3, channel="C2"))

        async def comes_to_the_other_conversation() -> bool:
            return 3 in begun

        await until(comes_to_the_other_conversation)
        if not ordered:
            (row,) = list[Any](await redis.xpending_range(STREAM, "default", "-", "+", 1))
            assert row["times_delivered"] == int(counts)
    assert begun == ([0, 3] if ordered else [0, 1, 2, 3])
