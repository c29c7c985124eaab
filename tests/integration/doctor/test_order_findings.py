"""What the doctor finds to break the order of conversations: mixed workers, and changed partitions."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anyio
import pytest

from abe_redis import EventWorker, RedisMessageQueueBackend, Settings
from abe_redis.doctor import Finding
from tests.integration.conftest import until
from tests.integration.doctor.findings import TOPIC, found, the_only
from tests.servers import Server

pytestmark = pytest.mark.usefixtures("redis_url")  # it empties the server


class Holding:
    """A handler that holds each event until it is opened."""

    def __init__(self) -> None:
        self.opened = anyio.Event()
        self.begun = 0

    async def __call__(self, _: Any) -> None:
        self.begun += 1
        await self.opened.wait()


@asynccontextmanager
async def working(server: Server, handler: Any, *, ordered: bool, **settings: Any) -> AsyncIterator[None]:
    """A worker at work."""
    async with RedisMessageQueueBackend(Settings(redis_url=server.url, **settings)) as backend:
        worker = EventWorker(backend, handler, ordered=ordered)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            yield
            await worker.shutdown()


async def publish(server: Server, *numbers: int, partitions: int = 1) -> None:
    """Events of one conversation."""
    settings = Settings(redis_url=server.url, redis_stream_partitions=partitions)
    async with RedisMessageQueueBackend(settings) as backend:
        for number in numbers:
            await backend.publish(TOPIC, {"type": "message", "channel": "C8", "n": number})


async def until_found(server: Server, words: str, **settings: Any) -> Finding:
    """The finding about the order that has these words, when it has come."""
    findings: list[Finding] = []

    async def is_there() -> bool:
        findings[:] = [one for one in await found(server, "order", **settings) if words in one.found]
        return bool(findings)

    await until(is_there)
    return findings[0]


async def test_groups_without_ordered_workers_have_no_order_to_break(server: Server) -> None:
    await publish(server, 1)
    await publish(server, 2, partitions=4)
    handler = Holding()
    async with working(server, handler, ordered=False), working(server, handler, ordered=False):
        await until(lambda: _is(handler.begun == 2))
        assert await found(server, "order") == []
        handler.opened.set()


async def test_ordered_workers_alone_are_as_they_should_be(server: Server) -> None:
    await publish(server, 1, 2, partitions=4)
    handler = Holding()
    # More workers than streams, of two patterns: some own none.
    narrow = {"redis_stream_patterns": f"{TOPIC},{TOPIC}:p0"}
    async with AsyncExitStack() as stack:
        for settings in ({}, {}, narrow):
            await stack.enter_async_context(working(server, handler, ordered=True, **settings))
        await until(lambda: _is(handler.begun))
        await until_found(server, "nothing breaks the order")
        await the_only(server, "order", "ok")
        handler.opened.set()


async def test_ordered_and_unordered_workers_side_by_side(server: Server) -> None:
    await publish(server, 1, 2)
    handler = Holding()
    async with (
        working(server, handler, ordered=False),
        working(server, handler, ordered=True),
    ):
        finding = await until_found(server, "side by side")
        assert finding.severity == "warning"
        assert f"Group 'default' of {TOPIC!r} has ordered consumers" in finding.found
        assert "with --ordered (consume_ordered), or none" in finding.advice
        handler.opened.set()


@pytest.mark.promise(
    "names a topic whose ordered group has unfinished events in the old streams and in the new"
)
async def test_partitions_that_were_changed_while_events_were_unfinished(server: Server) -> None:
    await publish(server, 1, 2)
    handler = Holding()
    async with working(server, handler, ordered=True):
        await until(lambda: _is(handler.begun == 1))
        await publish(server, 3, partitions=4)
        finding = await until_found(server, "has not finished")
        assert finding.severity == "warning"
        assert f"in streams of different numbers of partitions: {TOPIC!r} and '{TOPIC}:p" in finding.found
        assert f"pause the group in the newer streams ('{TOPIC}:p" in finding.advice
        assert finding.command.startswith(f"abe-redis group pause {TOPIC}:p")
        handler.opened.set()
        await until_found(server, "nothing breaks the order")  # publishers changed cleanly


@pytest.mark.promise("and one whose publishers use different numbers.")
@pytest.mark.parametrize("partitions", [1, 2])
async def test_publishers_with_different_numbers_of_partitions(server: Server, partitions: int) -> None:
    """The number that the doctor is given is that of one of them, or it has none."""
    for number in range(2):
        await publish(server, number)
        await publish(server, number, partitions=2)
    handler = Holding()
    handler.opened.set()
    async with working(server, handler, ordered=True):
        finding = await until_found(
            server, "are published to streams of different", redis_stream_partitions=partitions
        )
        assert finding.severity == "warning"
        assert "Give all publishers the same REDIS_STREAM_PARTITIONS" in finding.advice


async def _is(truth: Any) -> bool:
    return bool(truth)
