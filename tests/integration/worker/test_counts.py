"""How often an event was delivered: every start of a handler counts, and nothing else does."""

import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol, cast

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Backoff, Event, EventWorker, RedisMessageQueueBackend
from tests.chaos.proxy import Proxy
from tests.hosts import forking
from tests.hosts.processes import Child, ended
from tests.hosts.processes import until as wait_until
from tests.integration.conftest import MakeBackend, until
from tests.patience import PATIENCE
from tests.servers import Server

STREAM = "slack_events"
DEAD = "dead:{slack_events}"
DUE = "abe:due:{slack_events}:default"
KINDS = pytest.mark.parametrize("ordered", [False, True], ids=["plain", "ordered"])


class Failing:
    """A handler that always fails, and knows the deliveries it was called for."""

    def __init__(self) -> None:
        self.deliveries: list[int] = []

    async def __call__(self, event: Event) -> None:
        self.deliveries.append(event.deliveries)
        raise ValueError("poison")


@asynccontextmanager
async def working(
    backend: RedisMessageQueueBackend, handler: Any, **options: Any
) -> AsyncIterator[EventWorker]:
    """A worker at work, which ends as at SIGTERM."""
    worker = EventWorker(backend, handler, **options)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)
        yield worker
        await worker.shutdown()


async def buried(redis: Redis) -> list[dict[bytes, bytes]]:
    found: Any = await redis.xrange(DEAD)
    return [fields for _, fields in found]


async def until_failed(worker: EventWorker, count: int) -> None:
    async def has_failed() -> bool:
        return worker.failed >= count

    await until(has_failed)


async def is_postponed(redis: Redis) -> bool:
    return bool(await redis.zcard(DUE))


async def end_the_back_off(redis: Redis) -> None:
    """By hand, so that it does not end while its worker does."""
    found: Any = await redis.zrange(DUE, 0, -1)
    for entry_id in found:
        await redis.zincrby(DUE, -2 * 3_600_000, entry_id)


# --- A count never falls --------------------------------------------------------------------------------


@KINDS
async def test_poison_is_buried_though_its_worker_ends_in_every_back_off(
    make_backend: MakeBackend, redis: Redis, ordered: bool
) -> None:
    handler = Failing()
    async with make_backend() as publisher:
        await publisher.publish(STREAM, {"n": 1})
    for life in range(1, 20):
        backend = make_backend(redis_stream_max_deliveries=4)
        policy = Backoff(first=3600, most=3600, deliveries=4)
        async with working(backend, handler, ordered=ordered, policy=policy) as worker:
            await until_failed(worker, 1)
        await backend.close()
        if await buried(redis):
            break
        assert await is_postponed(redis), f"the back-off is forgotten after life {life}"
        await end_the_back_off(redis)
    assert handler.deliveries == [1, 2, 3, 4]
    (letter,) = await buried(redis)
    assert letter[b"abe:deliveries"] == b"4"


async def remove_its_consumer(redis: Redis) -> None:
    for consumer in cast("list[dict[str, bytes]]", await redis.xinfo_consumers(STREAM, "default")):
        await redis.xgroup_delconsumer(STREAM, "default", consumer["name"])


async def acknowledge_it(redis: Redis) -> None:
    entries: Any = await redis.xrange(STREAM)
    await redis.xack(STREAM, "default", *(entry_id for entry_id, _ in entries))


async def destroy_its_group(redis: Redis) -> None:
    await redis.xgroup_destroy(STREAM, "default")


@KINDS
@pytest.mark.parametrize("drop", [remove_its_consumer, acknowledge_it, destroy_its_group])
async def test_poison_is_buried_though_somebody_drops_it_in_every_back_off(
    make_backend: MakeBackend, redis: Redis, ordered: bool, drop: Callable[[Redis], Awaitable[None]]
) -> None:
    handler = Failing()
    backend = make_backend(redis_stream_max_deliveries=4, redis_stream_lease_seconds=1)
    await backend.publish(STREAM, {"n": 1})
    policy = Backoff(first=1, most=1, deliveries=4)
    async with working(backend, handler, ordered=ordered, policy=policy) as worker:
        for failed in range(1, 4):
            await until_failed(worker, failed)
            await until(lambda: is_postponed(redis))
            await drop(redis)
        await until(lambda: buried(redis))
    assert handler.deliveries == [1, 2, 3, 4]


@pytest.mark.one_server
@KINDS
async def test_poison_is_buried_though_connections_are_cut_in_every_back_off(
    make_backend: MakeBackend, redis: Redis, server: Server, ordered: bool
) -> None:
    handler = Failing()
    async with Proxy(server.port) as proxy:
        backend = make_backend(redis_url=f"redis://127.0.0.1:{proxy.port}/0", redis_stream_max_deliveries=5)
        await backend.publish(STREAM, {"n": 1})
        policy = Backoff(first=0.2, deliveries=5)
        async with working(backend, handler, ordered=ordered, policy=policy) as worker:
            for failed in range(1, 5):
                await until_failed(worker, failed)
                proxy.reset()
            await until(lambda: buried(redis))
        await backend.close()
    assert handler.deliveries == [1, 2, 3, 4, 5]


@pytest.mark.one_server
@KINDS
async def test_a_failure_counts_though_it_cannot_be_said_at_once(
    make_backend: MakeBackend, redis: Redis, server: Server, ordered: bool
) -> None:
    """Whatever is sent when the handler fails gets no answer: it may have been carried out, or not."""
    deliveries: list[int] = []
    async with Proxy(server.port) as proxy:

        async def fail(event: Event) -> None:
            deliveries.append(event.deliveries)
            if len(deliveries) % 2:
                proxy.cut_answers(3)
            else:
                proxy.reset()
            raise ValueError("poison")

        backend = make_backend(redis_url=f"redis://127.0.0.1:{proxy.port}/0", redis_stream_lease_seconds=1)
        await backend.publish(STREAM, {"n": 1})
        policy = Backoff(first=0.05, deliveries=6)
        async with working(backend, fail, ordered=ordered, policy=policy):
            await until(lambda: buried(redis))
        await backend.close()
    assert deliveries == sorted(set(deliveries)), "no delivery has the number of another"
    assert deliveries[-1] <= 6


# --- What no handler has seen never counts --------------------------------------------------------------


class Live(Protocol):
    def __call__(
        self, *, ordered: bool, concurrency: int = 4, by: str = "fork", **variables: str
    ) -> Child: ...


@pytest.fixture
def live(tmp_path: Path, redis_url: str) -> Iterator[Live]:
    """Starts workers that share the queue."""
    with ended(list[Child]()) as children:

        def start(*, ordered: bool, concurrency: int = 4, by: str = "fork", **variables: str) -> Child:
            kind = "ordered" if ordered else "plain"
            python = forking.ours() if by == "fork" else [sys.executable]
            child = Child(
                [*python, "-m", "tests.integration.worker.lives", kind, str(concurrency), "0.05"],
                cwd=Path(__file__).parents[3],
                variables=os.environ
                | {"REDIS_URL": redis_url, "REDIS_STREAM_LEASE_SECONDS": "1.5"}
                | variables,
                stderr=tmp_path / f"stderr-{len(children)}",
            )
            children.append(child)
            return child

        yield start


def started(*workers: Child) -> list[dict[str, int]]:
    """What their handlers have begun."""
    return [json.loads(line) for worker in workers for line in list(worker.lines)]


def kill(worker: Child) -> None:
    if worker.process.poll() is None:
        worker.signal(signal.SIGKILL)
    worker.wait()


async def publish(redis: Redis, *payloads: dict[str, Any]) -> None:
    for payload in payloads:
        await redis.xadd(STREAM, {"data": json.dumps(payload)})


def buried_of(server: Server) -> list[int]:
    with server.admin() as client:
        return [json.loads(fields["data"])["n"] for _, fields in client.xrange(DEAD)]


def is_finished(server: Server) -> bool:
    with server.admin() as client:
        (group,) = client.xinfo_groups(STREAM)
        return bool(group["pending"] == 0 and group["lag"] == 0)


@KINDS
async def test_a_kill_buries_only_what_a_handler_has_seen(
    redis: Redis, server: Server, live: Live, ordered: bool
) -> None:
    """Quick events make it lease ahead; then slow ones come, so that it holds more than it works on."""
    await publish(redis, *({"n": n} for n in range(100)), *({"n": n, "seconds": 1} for n in range(100, 200)))
    first = live(ordered=ordered, REDIS_STREAM_MAX_DELIVERIES="1")
    first.wait_for(lambda lines: len(lines) > 100 or None, "the slow ones to begin")
    wait_until(lambda: holds_more(server, 10), "it to have leased ahead")
    await anyio.sleep(0.3)
    kill(first)
    second = live(
        ordered=ordered, concurrency=50, REDIS_STREAM_MAX_DELIVERIES="1", REDIS_STREAM_LEASE_SECONDS="60"
    )
    wait_until(lambda: is_finished(server), "all to be finished")
    kill(second)
    seen = {one["n"] for one in started(first)}
    assert set(buried_of(server)) <= seen
    assert {one["n"] for one in started(first, second)} == set(range(200))
    assert {one["deliveries"] for one in started(second)} == {1}


@KINDS
@pytest.mark.one_server
async def test_what_was_fetched_by_a_process_that_never_began_it_is_delivered(
    redis: Redis, server: Server, live: Live, ordered: bool
) -> None:
    """A process that stands still is given an event by Redis, and killed before it knows."""
    environment: dict[str, Any] = {"REDIS_STREAM_MAX_DELIVERIES": "1", "REDIS_STREAM_LEASE_SECONDS": "2"}
    await publish(redis, {"n": 0})
    first = live(ordered=ordered, by="start", **environment)  # only a process itself can be stopped
    first.wait_for(lambda lines: len(lines) > 0 or None, "it to be at work")
    wait_until(lambda: is_finished(server) and waits(server), "it to wait")
    os.kill(first.process.pid, signal.SIGSTOP)
    await publish(redis, {"n": 1})
    kill(first)
    second = live(ordered=ordered, **environment)
    wait_until(lambda: is_finished(server), "all to be finished")
    kill(second)
    assert [one["n"] for one in started(second)] == [1]
    assert buried_of(server) == []


def waits(server: Server) -> bool:
    """Whether somebody waits for news."""
    with server.admin() as client:
        return any("b" in one["flags"] for one in client.client_list())


def has_ended(worker: Child, server: Server) -> bool:
    return worker.process.poll() is not None or bool(buried_of(server))


def holds_more(server: Server, count: int) -> bool:
    with server.admin() as client:
        groups = client.xinfo_groups(STREAM)
        return bool(groups) and groups[0]["pending"] > count


@KINDS
async def test_only_the_event_that_kills_its_process_at_once_is_buried(
    redis: Redis, server: Server, live: Live, ordered: bool
) -> None:
    """The first start may not be on record when the process is gone; every other is before it happens."""
    await publish(redis, *({"n": n, "seconds": 0.01, "die": n == 7} for n in range(30)))
    lives = list[Child]()
    while not lives or not buried_of(server):
        assert len(lives) < 6, started(*lives)
        worker = live(
            ordered=ordered,
            concurrency=1,
            REDIS_STREAM_MAX_DELIVERIES="2",
            REDIS_STREAM_LEASE_SECONDS="2",
        )
        lives.append(worker)
        wait_until(partial(has_ended, worker, server), "the end of it, or of the poison")
    wait_until(lambda: is_finished(server), "all to be finished")
    for worker in lives:
        kill(worker)
    assert buried_of(server) == [7]
    assert 2 <= sum(one["n"] == 7 for one in started(*lives)) <= 3
    assert {one["n"] for one in started(*lives)} == set(range(30))


async def test_a_start_is_on_record_while_the_handler_works(make_backend: MakeBackend, redis: Redis) -> None:
    """Others may look at it at any time: people, agents, and who takes it over."""
    at_work, end = anyio.Event(), anyio.Event()

    async def handle(event: Event) -> None:
        if event["n"]:
            at_work.set()
            await end.wait()

    backend = make_backend()
    published = await backend.publish_many(STREAM, [{"n": 0}] * 100 + [{"n": 1}] + [{"n": 0}] * 3)

    async def counts() -> list[int]:
        found: Any = await redis.xpending_range(STREAM, "default", published[100].id, "+", 10)
        return [row["times_delivered"] for row in found]

    async with working(backend, handle):
        with anyio.fail_after(PATIENCE):
            await at_work.wait()
        await until(lambda: _true_of(counts, lambda found: found[:1] == [1]))
        assert set((await counts())[1:]) <= {0}, "those behind it are leased ahead"
        end.set()
        await until(lambda: _true_of(counts, lambda found: not found))


async def _true_of(ask: Any, condition: Any) -> bool:
    return bool(condition(await ask()))
