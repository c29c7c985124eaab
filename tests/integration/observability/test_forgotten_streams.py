"""Streams that no longer exist leave the metrics, and no scrape holds up the event loop."""

import re
import threading
from collections.abc import Awaitable, Callable

import anyio
import anyio.to_thread
import prometheus_client.exposition
import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventWorker, RedisMessageQueueBackend
from abe_redis.observability import hooks
from abe_redis.observability.metrics import exposition, series
from abe_redis.operations.operations import Operations
from abe_redis.streams.names import partition
from tests.integration.conftest import MakeBackend, until
from tests.integration.observability.test_metrics import scraped, value
from tests.patience import PATIENCE
from tests.servers import HOST, free_port


def given(backend: RedisMessageQueueBackend) -> Callable[[], Awaitable[Operations]]:
    operations = Operations(backend)

    async def get() -> Operations:
        return operations

    return get


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream counts as unused at once, instead of after ten minutes."""
    monkeypatch.setattr(series, "UNUSED_SECONDS", 0)
    monkeypatch.setattr(exposition, "FORGET_EVERY_SECONDS", 0.02)


async def handle(_: Event) -> None:
    pass


def received(stream: str) -> None:
    """What a listener says of a payload that it has put into a stream."""
    hooks.receiving("http")("queued", stream)


@pytest.mark.usefixtures("soon")
async def test_the_series_of_a_deleted_stream_are_removed(
    backend: RedisMessageQueueBackend, redis: Redis
) -> None:
    port = free_port()
    worker = EventWorker(backend, handle)
    async with exposition.exposed(HOST, port, given(backend)), anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)

        async def text() -> str:
            return await anyio.to_thread.run_sync(scraped, port)

        async def work(stream: str) -> None:
            await backend.publish(stream, {"n": 1})
            received(stream)

            async def was_handled() -> bool:
                return f'abe_redis_handled_total{{group="default",outcome="done",stream="{stream}"}}' in (
                    await text()
                )

            await until(was_handled)

        async def is_forgotten() -> bool:
            return "slack:gone" not in await text()

        for _ in range(2):
            await work("slack:stays")
        await work("slack:gone")
        shown = await text()
        names = {line.partition("{")[0] for line in shown.splitlines() if '"slack:gone"' in line}
        assert {"abe_redis_queued_total", "abe_redis_wait_seconds_bucket"} <= names
        await redis.delete("slack:gone")
        await until(is_forgotten)
        shown = await text()
        assert value(shown, 'abe_redis_published_total{outcome="added",stream="slack:stays"}') == 2
        assert value(shown, 'abe_redis_queued_total{door="http",stream="slack:stays"}') == 2

        await work("slack:gone")  # made anew, it is counted anew
        assert value(await text(), 'abe_redis_published_total{outcome="added",stream="slack:gone"}') == 1
        await worker.shutdown()


@pytest.mark.usefixtures("soon")
async def test_a_topic_keeps_its_series_as_long_as_it_has_a_partition(
    make_backend: MakeBackend, redis: Redis
) -> None:
    """`publish_many` counts for the topic, a stream that never exists."""
    backend = make_backend(redis_stream_patterns="slack:*", redis_stream_partitions=4)
    port = free_port()
    async with exposition.exposed(HOST, port, given(backend)):
        await backend.publish_many("slack:topic", [{"channel": "C1", "n": 1}, {"channel": "C1", "n": 2}])
        await backend.publish("slack:gone", {"n": 1})
        for number in range(4):
            await redis.delete(partition("slack:gone", number))

        async def text() -> str:
            return await anyio.to_thread.run_sync(scraped, port)

        async def is_forgotten() -> bool:
            return "slack:gone" not in await text()

        await until(is_forgotten)
        sample = 'abe_redis_published_total{outcome="added",stream="slack:topic"}'
        assert value(await text(), sample) == 2
        for number in range(4):
            await redis.delete(partition("slack:topic", number))

        async def is_forgotten_too() -> bool:
            return sample not in await text()

        await until(is_forgotten_too)


@pytest.mark.usefixtures("soon")
async def test_a_handler_at_work_is_counted_though_its_stream_was_deleted(
    backend: RedisMessageQueueBackend, redis: Redis
) -> None:
    port, began, go_on = free_port(), anyio.Event(), anyio.Event()

    async def hold(_: Event) -> None:
        began.set()
        await go_on.wait()

    worker = EventWorker(backend, hold)
    async with exposition.exposed(HOST, port, given(backend)), anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)

        async def text() -> str:
            return await anyio.to_thread.run_sync(scraped, port)

        await backend.publish("slack:held", {"n": 1})
        await began.wait()
        await backend.publish("slack:gone", {"n": 1})
        for stream in ("slack:held", "slack:gone"):
            await redis.delete(stream)

        async def is_forgotten() -> bool:
            return not re.search(r'published_total\{.*"slack:gone"', await text())

        await until(is_forgotten)
        sample = 'abe_redis_handlers_at_work{group="default",stream="slack:held"}'
        assert value(await text(), sample) == 1
        go_on.set()

        async def is_forgotten_too() -> bool:
            return "slack:held" not in await text()

        await until(is_forgotten_too)
        await worker.shutdown()


@pytest.mark.usefixtures("soon")
async def test_nothing_is_removed_while_redis_does_not_say_what_exists(
    backend: RedisMessageQueueBackend, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, asked = free_port(), list[str]()

    async def fails(_: object, streams: list[str]) -> set[str]:
        asked.extend(streams)
        raise TimeoutError

    monkeypatch.setattr(Operations, "gone", fails)
    async with exposition.exposed(HOST, port, given(backend)):
        await backend.publish("slack:gone", {"n": 1})
        await redis.delete("slack:gone")

        async def was_asked_twice() -> bool:
            return asked.count("slack:gone") >= 2

        await until(was_asked_twice)
        shown = await anyio.to_thread.run_sync(scraped, port)
        assert value(shown, 'abe_redis_published_total{outcome="added",stream="slack:gone"}') == 1


async def test_a_scrape_is_written_while_the_event_loop_runs(
    backend: RedisMessageQueueBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the loop stands still, no lease is renewed."""
    port, writes, the_loop_runs = free_port(), threading.Event(), threading.Event()

    def encode(_: object) -> bytes:
        writes.set()
        return b"the loop ran" if the_loop_runs.wait(PATIENCE) else b"the loop stood still"

    monkeypatch.setattr(prometheus_client.exposition, "choose_encoder", lambda _: (encode, "text/plain"))
    shown = list[str]()
    async with exposition.exposed(HOST, port, given(backend)), anyio.create_task_group() as tasks:

        async def scrape() -> None:
            shown.append(await anyio.to_thread.run_sync(scraped, port))

        tasks.start_soon(scrape)

        async def is_writing() -> bool:
            return writes.is_set()

        await until(is_writing)
        the_loop_runs.set()
    assert shown == ["the loop ran"]
