"""A command of a connection that is dead arrives late, and its sender has sent it again or has gone on.

Each is executed when its event is finished, postponed, given back, buried or in hand again.
"""

from collections.abc import Callable, Sequence
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Bury, Event, EventWorker, Retry
from abe_redis.streams import dead, names, release, renewal
from tests.integration.conftest import MakeBackend, until
from tests.integration.worker.test_lost_answers import (
    DEAD,
    DUE,
    KINDS,
    STREAM,
    Handler,
    buries,
    is_finished,
    postpones,
    publish,
    until_true,
    working,
)
from tests.refusing_proxy import RefusingProxy
from tests.servers import Server

pytestmark = pytest.mark.one_server

LONG = 60


class Late:
    """Holds the first of some commands up, and hangs up on who sent it."""

    def __init__(self, proxy: RefusingProxy, is_wanted: Callable[[Sequence[bytes]], bool]) -> None:
        self.loses: Callable[[Sequence[bytes], bytes], bool] = lambda *_: False
        """As the proxy's, of all commands."""
        self.arrived = list[bytes]()
        """What the server answered to it."""
        self._proxy = proxy
        self._held_up: Sequence[bytes] | None = None
        self._is_wanted = is_wanted
        proxy.hangs_up = True
        proxy.holds_up = self._holds_up
        proxy.loses = self._note

    def _holds_up(self, words: Sequence[bytes]) -> bool:
        if self._held_up is None and self._is_wanted(words):
            self._held_up = words
        return self._held_up is words

    def _note(self, words: Sequence[bytes], answer: bytes) -> bool:
        if words is self._held_up:
            self.arrived.append(answer)
        return self.loses(words, answer)

    async def arrive(self) -> None:
        """Let it arrive."""
        assert self._proxy.held_up
        self._proxy.let_go.set()
        await until_true(lambda: bool(self.arrived))
        assert not self.arrived[0].startswith(b"-"), self.arrived


async def know_scripts(redis: Redis) -> None:
    """Let the server have the scripts, so that a command that is held up is executed."""
    claim = renewal.Claim("another", "7-7", begun=1, sure=renewal.never)
    await renewal.hold(redis, "default", "somebody", [claim])
    await release.postpone(redis, "another", "default", "somebody", "7-7", delay_seconds=0)
    await release.release(redis, "default", "somebody", ["another"], {}, everything=True)
    await dead.bury(redis, "another", "default", "somebody", "7-7", "it is no good")


def renews(words: Sequence[bytes]) -> bool:
    return b"renew" in words and STREAM.encode() in words


def starts(words: Sequence[bytes]) -> bool:
    return b"start" in words and STREAM.encode() in words


def gives_all_back(words: Sequence[bytes]) -> bool:
    return b"all" in words and STREAM.encode() in words


class Waits:
    """A handler that ends when it is let go."""

    def __init__(self) -> None:
        self.deliveries: list[int] = []
        self.go_on = anyio.Event()
        self.at_work = 0

    async def __call__(self, event: Event) -> None:
        self.deliveries.append(event.deliveries)
        self.at_work += 1
        try:
            await self.go_on.wait()
        finally:
            self.at_work -= 1


async def stays_finished(redis: Redis) -> None:
    assert await is_finished(redis)
    assert await redis.zcard(DUE) == 0


@pytest.mark.promise("A copy that finds the event otherwise than its sender had it changes nothing")
@KINDS
@pytest.mark.parametrize(("says", "lease"), [(renews, 6), (starts, LONG)])
async def test_a_late_renewal_or_count_of_a_start_brings_nothing_back_that_was_finished(
    make_backend: MakeBackend,
    redis: Redis,
    server: Server,
    ordered: bool,
    says: Callable[[Sequence[bytes]], bool],
    lease: float,
) -> None:
    handler = Waits()
    await know_scripts(redis)
    async with working(make_backend, server, handler, None, ordered=ordered, lease=lease) as proxy:
        late = Late(proxy, lambda words: says(words) and handler.at_work > 0)
        await publish(make_backend)
        await until_true(lambda: proxy.held_up > 0)
        handler.go_on.set()
        await until(lambda: is_finished(redis))
        await late.arrive()
        await stays_finished(redis)
    assert handler.deliveries == [1]


@KINDS
async def test_a_late_nack_brings_nothing_back_that_was_finished_since(
    make_backend: MakeBackend, redis: Redis, server: Server, ordered: bool
) -> None:
    handler = Handler()
    await know_scripts(redis)
    async with working(
        make_backend, server, handler, lambda *_: Retry(0.1), ordered=ordered, lease=LONG
    ) as proxy:
        late = Late(proxy, postpones)
        await publish(make_backend)
        await until_true(lambda: len(handler.deliveries) == 2)
        await until(lambda: is_finished(redis))
        await late.arrive()
        await stays_finished(redis)
    assert handler.deliveries == [1, 2]


@KINDS
async def test_a_late_nack_postpones_nothing_that_is_in_hand_again(
    make_backend: MakeBackend, redis: Redis, server: Server, ordered: bool
) -> None:
    deliveries, go_on = list[int](), anyio.Event()

    async def handler(event: Event) -> None:
        deliveries.append(event.deliveries)
        if event.deliveries == 1:
            raise ValueError("not yet")
        await go_on.wait()

    await know_scripts(redis)
    async with working(
        make_backend, server, handler, lambda *_: Retry(0.1), ordered=ordered, lease=LONG
    ) as proxy:
        late = Late(proxy, postpones)
        await publish(make_backend)
        await until_true(lambda: len(deliveries) == 2)
        await late.arrive()
        assert await redis.zcard(DUE) == 0
        go_on.set()
        await until(lambda: is_finished(redis))
    assert deliveries == [1, 2]


@KINDS
async def test_a_late_count_of_a_start_leaves_postponed_what_was_postponed_since(
    make_backend: MakeBackend, redis: Redis, server: Server, ordered: bool
) -> None:
    fail = anyio.Event()
    deliveries = list[int]()

    async def handler(event: Event) -> None:
        deliveries.append(event.deliveries)
        await fail.wait()
        raise ValueError("not yet")

    await know_scripts(redis)
    async with working(
        make_backend, server, handler, lambda *_: Retry(LONG), ordered=ordered, lease=LONG
    ) as proxy:
        late = Late(proxy, starts)
        await publish(make_backend)
        await until_true(lambda: proxy.held_up > 0)
        fail.set()
        await until(lambda: redis.zcard(DUE))
        await late.arrive()
        assert await redis.zcard(DUE) == 1
    assert deliveries == [1]


@KINDS
async def test_a_late_renewal_leaves_to_others_what_its_worker_gave_back(
    make_backend: MakeBackend, redis: Redis, server: Server, ordered: bool
) -> None:
    """The next worker need not wait for a lease that nobody has."""
    handler = Waits()
    await know_scripts(redis)
    async with RefusingProxy(server.port) as proxy:
        late = Late(proxy, lambda words: renews(words) and handler.at_work > 0)
        backend = make_backend(redis_url=f"redis://127.0.0.1:{proxy.port}/0", redis_stream_lease_seconds=6)
        worker = EventWorker(backend, handler, ordered=ordered, drain_seconds=0)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            await publish(make_backend)
            await until_true(lambda: proxy.held_up > 0)
            await worker.shutdown()
        await backend.close()
        found: Any = await redis.xpending_range(STREAM, "default", "-", "+", 10)
        assert [row["consumer"] for row in found] == [names.NOBODY]
        await late.arrive()
        found = await redis.xpending_range(STREAM, "default", "-", "+", 10)
        assert [row["consumer"] for row in found] == [names.NOBODY]
        assert found[0]["time_since_delivered"] > 10**9


@KINDS
async def test_a_late_renewal_brings_nothing_back_that_others_finished(
    make_backend: MakeBackend, redis: Redis, server: Server, ordered: bool
) -> None:
    handler, second = Waits(), Handler(failures=0)
    await know_scripts(redis)
    async with RefusingProxy(server.port) as proxy:
        late = Late(proxy, lambda words: renews(words) and handler.at_work > 0)
        backend = make_backend(redis_url=f"redis://127.0.0.1:{proxy.port}/0", redis_stream_lease_seconds=6)
        worker = EventWorker(backend, handler, ordered=ordered, drain_seconds=0)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            await publish(make_backend)
            await until_true(lambda: proxy.held_up > 0)
            await worker.shutdown()
        await backend.close()
        other = EventWorker(make_backend(), second, ordered=ordered)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(other.run)
            await until(lambda: is_finished(redis))
            await late.arrive()
            await stays_finished(redis)
            await other.shutdown()
    assert len(second.deliveries) == 1


@KINDS
async def test_a_late_burial_makes_no_second_letter_when_the_first_was_purged(
    make_backend: MakeBackend, redis: Redis, server: Server, ordered: bool
) -> None:
    handler = Handler()
    await know_scripts(redis)
    async with working(
        make_backend, server, handler, lambda *_: Bury("it is no good"), ordered=ordered, lease=LONG
    ) as proxy:
        late = Late(proxy, buries)
        await publish(make_backend)
        await until(lambda: redis.xlen(DEAD))
        await until(lambda: is_finished(redis))
        await redis.delete(DEAD)
        await late.arrive()
        assert await redis.xlen(DEAD) == 0
        await stays_finished(redis)
    assert handler.deliveries == [1]


async def test_a_late_return_of_what_a_read_left_takes_nothing_from_who_has_it_in_hand(
    make_backend: MakeBackend, redis: Redis, server: Server
) -> None:
    """A worker that missed the answer to a read gives back what it does not know of, and gets it again."""
    handler, lost = Waits(), list[bytes]()

    def lose_a_read(words: Sequence[bytes], answer: bytes) -> bool:
        is_read = b'"channel"' in answer and words[0].upper() != b"XRANGE" and not lost
        if is_read:
            lost.append(answer)
        return is_read

    await know_scripts(redis)
    async with working(make_backend, server, handler, None, ordered=False, lease=LONG) as proxy:
        late = Late(proxy, gives_all_back)
        late.loses = lose_a_read
        await publish(make_backend)
        await until_true(lambda: handler.at_work > 0)
        assert lost
        await late.arrive()
        (row,) = await redis.xpending_range(STREAM, "default", "-", "+", 10)
        assert row["consumer"] != names.NOBODY
        handler.go_on.set()
        await until(lambda: is_finished(redis))
    assert handler.deliveries == [1]
