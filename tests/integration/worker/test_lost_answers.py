"""What a worker does when Redis has settled an event, and the answer to that is lost."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Bury, Event, EventWorker, Retry
from abe_redis.streams import acks, dead, names
from tests.integration.conftest import MakeBackend, until
from tests.refusing_proxy import HANG_UP, RefusingProxy
from tests.servers import Server

pytestmark = pytest.mark.one_server

STREAM, DEAD, DUE = "slack_events", "dead:{slack_events}", "abe:due:{slack_events}:default"
KINDS = pytest.mark.parametrize("ordered", [False, True], ids=["plain", "ordered"])


class Handler:
    """Fails a few times, and knows the deliveries that it was called for."""

    def __init__(self, *, failures: int = 1) -> None:
        self.deliveries: list[int] = []
        self.failures = failures
        self.then: Callable[[], None] = lambda: None
        """Called when it is about to fail."""

    async def __call__(self, event: Event) -> None:
        self.deliveries.append(event.deliveries)
        if len(self.deliveries) <= self.failures:
            self.then()
            raise ValueError("not yet")


class Losses:
    """Loses the first answer to the wanted commands, and then lets none through for a while."""

    def __init__(self, proxy: RefusingProxy, is_wanted: Callable[[Sequence[bytes]], bool]) -> None:
        self.tried = 0
        """How often one came after that."""
        self.renewed = 0
        """How many renewals of leases came after that."""
        self.lost = False
        self.may_pass = False
        self.passed = 0
        """How many were answered."""
        self._is_wanted = is_wanted
        proxy.refusal, proxy.loses = self._refuse, self._lose

    def _refuse(self, words: Sequence[bytes]) -> bytes | None:
        self.renewed += self.lost and b"renew" in words
        if not (self.lost and self._is_wanted(words)):
            return None
        self.tried += 1
        return None if self.may_pass else HANG_UP

    def _lose(self, words: Sequence[bytes], answer: bytes) -> bool:
        if not self._is_wanted(words) or answer.startswith(b"-"):  # it has to say the script in full
            return False
        if self.lost:
            self.passed += 1
            return False
        self.lost = True
        return True


def buries(words: Sequence[bytes]) -> bool:
    return DEAD.encode() in words and b"abe:handler" in words


def postpones(words: Sequence[bytes]) -> bool:
    return DUE.encode() in words and b"1209600000" in words


@asynccontextmanager
async def working(
    make_backend: MakeBackend,
    server: Server,
    handler: Callable[[Event], Awaitable[None]],
    policy: Any,
    *,
    ordered: bool,
    lease: float = 4,
    concurrency: int = 1,
    **settings: Any,
) -> AsyncIterator[RefusingProxy]:
    """A worker behind a proxy, and one event."""
    async with RefusingProxy(server.port) as proxy:
        url = f"redis://127.0.0.1:{proxy.port}/0"
        backend = make_backend(redis_url=url, redis_stream_lease_seconds=lease, **settings)
        worker = EventWorker(backend, handler, ordered=ordered, policy=policy, concurrency=concurrency)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            yield proxy
            await worker.shutdown()
        await backend.close()


async def is_finished(redis: Redis) -> bool:
    groups: Any = await redis.xinfo_groups(STREAM)
    return bool(groups) and groups[0]["pending"] == 0 and groups[0]["lag"] in {0, None}


async def publish(make_backend: MakeBackend) -> None:
    await make_backend().publish(STREAM, {"type": "message", "channel": "C1", "n": 1})


async def until_true(condition: Callable[[], bool]) -> None:
    async def ask() -> bool:
        return condition()

    await until(ask)


@KINDS
async def test_a_burial_whose_answer_is_lost_leaves_one_letter(
    make_backend: MakeBackend, redis: Redis, server: Server, ordered: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Its leases are renewed meanwhile, and then it is told again."""
    handler = Handler()
    async with working(
        make_backend, server, handler, lambda *_: Bury("it is no good"), ordered=ordered
    ) as proxy:
        losses = Losses(proxy, buries)
        await publish(make_backend)
        await until_true(lambda: losses.tried >= 2 and losses.renewed >= 2)
        losses.may_pass = True
        await until_true(lambda: losses.passed > 0)
        await until(lambda: is_finished(redis))
    letters: Any = await redis.xrange(DEAD)
    assert [fields[b"abe:reason"] for _, fields in letters] == [b"it is no good"]
    assert handler.deliveries == [1]
    assert "is buried when Redis answers again" in caplog.text
    assert "after its lease" not in caplog.text


@KINDS
async def test_a_letter_redriven_before_its_burial_is_repeated_runs_once(
    make_backend: MakeBackend, redis: Redis, server: Server, ordered: bool
) -> None:
    handler = Handler()
    async with working(
        make_backend, server, handler, lambda *_: Bury("it is no good"), ordered=ordered
    ) as proxy:
        losses = Losses(proxy, buries)
        await publish(make_backend)
        await until_true(lambda: losses.tried >= 1)
        found: Any = await redis.xrange(DEAD)
        letter = found[0][0]
        await dead.redrive(redis, STREAM, [letter.decode()], hard_maxlen=1000)
        losses.may_pass = True
        await until_true(lambda: losses.passed > 0)
        await until_true(lambda: len(handler.deliveries) == 2)
        await until(lambda: is_finished(redis))
    assert await redis.xlen(DEAD) == 0
    assert handler.deliveries == [1, 1]


@KINDS
async def test_a_burial_that_redis_never_heard_of_is_told_again(
    make_backend: MakeBackend, redis: Redis, server: Server, ordered: bool
) -> None:
    """It keeps its reason, and its handler is not called again."""
    handler, tried = Handler(), 0

    def refuse(words: Sequence[bytes]) -> bytes | None:
        nonlocal tried
        tried += buries(words)
        return HANG_UP if buries(words) and tried <= 3 else None

    async with working(
        make_backend, server, handler, lambda *_: Bury("it is no good"), ordered=ordered, lease=30
    ) as proxy:
        proxy.refusal = refuse
        await publish(make_backend)
        await until(lambda: redis.xlen(DEAD))
        await until(lambda: is_finished(redis))
    letters: Any = await redis.xrange(DEAD)
    assert [fields[b"abe:reason"] for _, fields in letters] == [b"it is no good"]
    assert handler.deliveries == [1]


async def test_an_event_that_others_finished_stays_finished_when_its_return_is_repeated(
    make_backend: MakeBackend, redis: Redis, server: Server
) -> None:
    handler = Handler()
    async with working(make_backend, server, handler, lambda *_: Retry(60), ordered=False) as proxy:
        losses = Losses(proxy, postpones)
        await publish(make_backend)
        await until_true(lambda: losses.tried >= 1)
        found: Any = await redis.xrange(STREAM)
        entry_id = found[0][0]
        rows: Any = await redis.xpending_range(STREAM, "default", "-", "+", 10)
        await acks.ack(redis, "default", rows[0]["consumer"].decode(), [(STREAM, entry_id.decode())])
        losses.may_pass = True
        await until_true(lambda: losses.passed > 0)
        assert await redis.xpending_range(STREAM, "default", "-", "+", 10) == []
        assert await redis.zcard(DUE) == 0
    assert await is_finished(redis)
    assert handler.deliveries == [1]


@KINDS
async def test_giving_back_twice_is_as_once(
    make_backend: MakeBackend, redis: Redis, server: Server, ordered: bool
) -> None:
    handler = Handler()
    async with working(make_backend, server, handler, lambda *_: Retry(0.2), ordered=ordered) as proxy:
        losses = Losses(proxy, postpones)
        losses.may_pass = True
        await publish(make_backend)
        await until_true(lambda: len(handler.deliveries) == 2)
        await until(lambda: is_finished(redis))
        assert losses.lost
        await until(lambda: _is_empty(redis))
    assert handler.deliveries == [1, 2]


async def _is_empty(redis: Redis) -> bool:
    return await redis.zcard(DUE) == 0


@KINDS
async def test_a_count_survives_a_silence_of_more_than_a_lease(
    make_backend: MakeBackend, redis: Redis, server: Server, ordered: bool
) -> None:
    """The handler fails before its start is on record, and neither that nor the return can be told."""
    handler = Handler(failures=2)
    async with working(make_backend, server, handler, lambda *_: Retry(0.1), ordered=ordered) as proxy:

        def fall_silent() -> None:
            proxy.refusal = lambda _: HANG_UP

        handler.then = fall_silent
        await publish(make_backend)
        for failed in (1, 2):
            await until_true(lambda wanted=failed: len(handler.deliveries) == wanted)  # type: ignore[misc]
            await anyio.sleep(1.5)
            proxy.refusal = lambda _: None
        await until(lambda: is_finished(redis))
    assert handler.deliveries == [1, 2, 3]


@KINDS
async def test_a_key_of_another_type_ends_no_worker(
    make_backend: MakeBackend, redis: Redis, server: Server, ordered: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing can be settled until somebody removes it; then everything is."""
    deliveries, go_on = list[int](), anyio.Event()

    async def handle(event: Event) -> None:
        deliveries.append(event.deliveries)
        await go_on.wait()

    async with working(make_backend, server, handle, None, ordered=ordered):
        await publish(make_backend)
        await until_true(lambda: bool(deliveries))
        await redis.set(DUE, "somebody's")
        go_on.set()
        await until_true(lambda: "has to wait" in caplog.text)
        assert "a key beside it is of another type" in caplog.text
        await redis.delete(DUE)
        await until(lambda: is_finished(redis))
    assert deliveries == [1]


@KINDS
@pytest.mark.parametrize("key", [names.due, names.leases, names.held, names.records, names.owner])
async def test_a_key_beside_the_stream_is_of_another_type_for_a_while(
    make_backend: MakeBackend, redis: Redis, server: Server, ordered: bool, key: Callable[..., str]
) -> None:
    """The worker outlives its renewals, its records and a failure at that time, and goes on afterwards."""
    started = list[int]()

    async def handle(event: Event) -> None:
        started.append(event.deliveries)
        await anyio.sleep(0.7)
        if event.deliveries == 1:
            raise ValueError("the first time is never right")

    theirs = key(STREAM) if key is names.records else key(STREAM, "default")
    async with working(make_backend, server, handle, None, ordered=ordered):
        await publish(make_backend)
        await until_true(lambda: bool(started))
        await redis.set(theirs, "somebody's")
        await anyio.sleep(2)
        await redis.delete(theirs)
        await until(lambda: is_finished(redis))
    assert max(started) >= 2
