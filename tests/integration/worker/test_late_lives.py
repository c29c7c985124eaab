"""A command of a dead connection arrives when its event has begun anew, by the same worker."""

from collections.abc import Sequence
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Bury, Event, Retry
from abe_redis.streams import acks, dead
from tests.integration.conftest import MakeBackend, until
from tests.integration.worker.test_late_copies import LONG, Late, know_scripts
from tests.integration.worker.test_lost_answers import (
    DEAD,
    DUE,
    KINDS,
    STREAM,
    buries,
    is_finished,
    postpones,
    publish,
    until_true,
    working,
)
from tests.servers import Server

pytestmark = pytest.mark.one_server


class Lives:
    """Fails in some of its calls, and waits in the last one."""

    def __init__(self, *, failures: int, waits: int) -> None:
        self.deliveries: list[int] = []
        self.go_on = anyio.Event()
        self.fails_at_last = False
        self._failures, self._waits = failures, waits

    async def __call__(self, event: Event) -> None:
        self.deliveries.append(event.deliveries)
        if len(self.deliveries) <= self._failures:
            raise ValueError("not yet")
        if len(self.deliveries) == self._waits:
            await self.go_on.wait()
            if self.fails_at_last:
                raise ValueError("not yet")


def acks_it(words: Sequence[bytes]) -> bool:
    return b"quick" in words and STREAM.encode() in words


async def holder(redis: Redis) -> str:
    """Who has the event in hand, and that it waits for nobody."""
    found: Any = await redis.xpending_range(STREAM, "default", "-", "+", 10)
    (row,) = found
    assert row["time_since_delivered"] < 10**9
    assert await redis.zcard(DUE) == 0
    return str(row["consumer"])


@KINDS
@pytest.mark.parametrize("delay", [0.0, 0.1])
async def test_a_late_nack_that_does_not_count_leaves_the_event_to_whoever_has_it_in_hand_again(
    make_backend: MakeBackend, redis: Redis, server: Server, ordered: bool, delay: float
) -> None:
    """As after a 429: the delivery that follows has the same number."""
    handler = Lives(failures=1, waits=2)
    await know_scripts(redis)
    policy: Any = lambda *_: Retry(delay, counts=False)  # noqa: E731
    async with working(make_backend, server, handler, policy, ordered=ordered, lease=LONG) as proxy:
        late = Late(proxy, postpones)
        await publish(make_backend)
        await until_true(lambda: len(handler.deliveries) == 2)
        name = await holder(redis)
        await late.arrive()
        if not ordered:  # who owns a stream says nothing of this nack, and nobody else takes anything of it
            assert await holder(redis) == name
        handler.go_on.set()
        await until(lambda: is_finished(redis))
        assert await redis.zcard(DUE) == 0
    assert handler.deliveries == [1, 1]


@pytest.mark.promise("Redis knows the last 100 nacks and burials of a group")
@KINDS
@pytest.mark.parametrize("says", [postpones, buries])
async def test_a_late_nack_or_burial_leaves_what_a_group_that_was_set_back_has_in_hand_again(
    make_backend: MakeBackend, redis: Redis, server: Server, ordered: bool, says: Any
) -> None:
    handler = Lives(failures=1, waits=3 if says is postpones else 2)
    policy: Any = (lambda *_: Retry(0.1)) if says is postpones else (lambda *_: Bury("it is no good"))
    await know_scripts(redis)
    async with working(make_backend, server, handler, policy, ordered=ordered, lease=LONG) as proxy:
        late = Late(proxy, says)
        await publish(make_backend)
        await until_true(lambda: proxy.held_up > 0)
        await until(lambda: is_finished(redis))
        letters = await redis.xlen(DEAD)
        await redis.xgroup_setid(STREAM, "default", "0")
        await until_true(lambda: len(handler.deliveries) == (3 if says is postpones else 2))
        name = await holder(redis)
        await late.arrive()
        if not (ordered and says is postpones):  # as above
            assert await holder(redis) == name
        assert await redis.xlen(DEAD) == letters
        handler.go_on.set()
        await until(lambda: is_finished(redis))
        assert await redis.zcard(DUE) == 0
    assert handler.deliveries == ([1, 2, 1] if says is postpones else [1, 1])


@pytest.mark.promise("A late ack of an event that the same worker has in hand again is believed until")
@pytest.mark.parametrize("fails", [False, True])
@KINDS
async def test_what_is_in_hand_again_when_a_late_ack_arrives_is_done_when_its_handler_says_so(
    make_backend: MakeBackend, redis: Redis, server: Server, ordered: bool, fails: bool
) -> None:
    """A late ack looks like the ack of the handler that has the event now; the worker knows better."""
    handler = Lives(failures=0, waits=2)
    handler.fails_at_last = fails
    await know_scripts(redis)
    await acks.ack(redis, "default", "somebody", [("another", "7-7")], exact=False)
    async with working(
        make_backend, server, handler, lambda *_: Retry(0.1), ordered=ordered, lease=LONG
    ) as proxy:
        late = Late(proxy, acks_it)
        await publish(make_backend)
        await until_true(lambda: proxy.held_up > 0)
        await until(lambda: is_finished(redis))
        await redis.xgroup_setid(STREAM, "default", "0")
        await until_true(lambda: len(handler.deliveries) == 2)
        await late.arrive()
        handler.go_on.set()
        await until_true(lambda: len(handler.deliveries) == (3 if fails else 2))
        await until(lambda: is_finished(redis))
    assert handler.deliveries == ([1, 1, 2] if fails else [1, 1])


@KINDS
async def test_a_late_burial_or_ack_of_what_was_redriven_concerns_another_entry(
    make_backend: MakeBackend, redis: Redis, server: Server, ordered: bool
) -> None:
    handler = Lives(failures=1, waits=2)
    await know_scripts(redis)
    async with working(
        make_backend, server, handler, lambda *_: Bury("it is no good"), ordered=ordered, lease=LONG
    ) as proxy:
        late = Late(proxy, buries)
        await publish(make_backend)
        await until(lambda: redis.xlen(DEAD))
        found: Any = await redis.xrange(DEAD)
        await dead.redrive(redis, STREAM, [found[0][0].decode()], hard_maxlen=1000)
        await until_true(lambda: len(handler.deliveries) == 2)
        name = await holder(redis)
        await late.arrive()
        assert await holder(redis) == name
        assert await redis.xlen(DEAD) == 0
        handler.go_on.set()
        await until(lambda: is_finished(redis))
    assert handler.deliveries == [1, 1]
