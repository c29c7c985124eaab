"""What the doctor finds to break the order of conversations: mixed workers, and changed partitions."""

import os
import shlex
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anyio
import anyio.to_thread
import pytest

from abe_redis import EventWorker, RedisMessageQueueBackend, Settings
from abe_redis.doctor import Finding
from abe_redis.publishing.partitioner import partition_of
from tests.command_line import run_command
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


async def publish(server: Server, *numbers: int, partitions: int = 1, channel: str = "C8") -> None:
    """Events of one conversation."""
    settings = Settings(redis_url=server.url, redis_stream_partitions=partitions)
    async with RedisMessageQueueBackend(settings) as backend:
        for number in numbers:
            await backend.publish(TOPIC, {"type": "message", "channel": channel, "n": number})


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
        finding = await until_found(server, "nothing was found that breaks the order")
        assert f"Streams do not show whether all publishers of {TOPIC!r} have the same" in finding.found
        await the_only(server, "order", "ok")
        handler.opened.set()


@pytest.mark.promise("It cannot see publishers of different numbers whose partitions it does not tell apart")
@pytest.mark.parametrize(("partitions", "is_known"), [(1, True), (4, False)])
async def test_without_partitions_the_order_is_known_to_be_kept(
    server: Server, partitions: int, *, is_known: bool
) -> None:
    """With them, a publisher of another number leaves no trace in the streams."""
    await publish(server, 1)
    handler = Holding()
    handler.opened.set()
    async with working(server, handler, ordered=True):
        finding = await until_found(server, "breaks the order", redis_stream_partitions=partitions)
        assert finding.severity == "ok"
        assert ("nothing breaks the order" in finding.found) is is_known
        assert ("do not show" in finding.found) is not is_known


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
    "names a topic whose ordered group has unfinished events in the old streams and in the new, unless it is "
    "paused in the new"
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
        told = await anyio.to_thread.run_sync(
            lambda: run_command(*shlex.split(finding.command)[1:], env=os.environ | {"REDIS_URL": server.url})
        )
        assert told.returncode == 0, told.stderr
        await until_found(server, "nothing was found that breaks the order")
        handler.opened.set()
        await until_found(server, "nothing was found that breaks the order")  # publishers changed cleanly


async def test_a_partition_that_was_paused_before_a_worker_found_it_counts_as_one(server: Server) -> None:
    await publish(server, 1)
    partition = f"{TOPIC}:p{partition_of('C8', 4)}"
    handler = Holding()
    async with working(server, handler, ordered=True):
        await until(lambda: _is(handler.begun == 1))
        told = await anyio.to_thread.run_sync(
            lambda: run_command(
                "group", "pause", partition, "default", env=os.environ | {"REDIS_URL": server.url}
            )
        )
        assert told.returncode == 0, told.stderr
        await publish(server, 2, partitions=4)
        finding = await until_found(server, "nothing was found that breaks the order")
        assert f"Streams do not show whether all publishers of {TOPIC!r} have the same" in finding.found
        handler.opened.set()


def channel_of(partition: int) -> str:
    """A channel whose conversation is in this one of four partitions."""
    return next(name for number in range(100) if partition_of(name := f"C{number}", 4) == partition)


@pytest.mark.promise("Which are the older it says only if every event of theirs came before")
async def test_which_streams_are_older_is_not_said_when_they_do_not_show_it(server: Server) -> None:
    """From 4 partitions to 2: p0 has events of before and of after, p2 only of before."""
    await publish(server, 1, partitions=4, channel=channel_of(0))
    await publish(server, 1, partitions=4, channel=channel_of(2))
    await publish(server, 2, partitions=2, channel=channel_of(2))
    handler = Holding()
    async with working(server, handler, ordered=True):
        await until(lambda: _is(handler.begun == 1))
        finding = await until_found(server, "has not finished", redis_stream_partitions=2)
        assert "Which of them hold the older events does not show" in finding.found
        assert (
            f"These are '{TOPIC}:p2' if all publishers now have REDIS_STREAM_PARTITIONS=2" in finding.advice
        )
        assert "newer streams" not in finding.advice
        assert not finding.command
        handler.opened.set()


@pytest.mark.parametrize(("first", "then"), [(4, 2), (2, 4)])
async def test_older_streams_are_named_when_every_event_of_theirs_came_before(
    server: Server, first: int, then: int
) -> None:
    """The doctor has 2, whichever number came first."""
    channel = channel_of(2)
    await publish(server, 1, partitions=first, channel=channel)
    await anyio.sleep(0.002)  # an id is a time in milliseconds
    await publish(server, 2, partitions=then, channel=channel)
    older, newer = (f"{TOPIC}:p{partition_of(channel, number)}" for number in (first, then))
    handler = Holding()
    async with working(server, handler, ordered=True):
        await until(lambda: _is(handler.begun == 1))
        finding = await until_found(server, "has not finished", redis_stream_partitions=2)
        assert f"pause the group in the newer streams ('{newer}') until '{older}'" in finding.advice
        assert finding.command == f"abe-redis group pause {newer} default"
        handler.opened.set()


async def test_another_number_than_the_doctor_has_may_be_that_of_all_publishers(server: Server) -> None:
    for number in range(2):
        for partition in (0, 2):
            await publish(server, number, partitions=4, channel=channel_of(partition))
    handler = Holding()
    handler.opened.set()
    async with working(server, handler, ordered=True):
        finding = await until_found(server, "are published to streams", redis_stream_partitions=2)
        assert "Or they all have another number than the doctor, which has 2" in finding.found


@pytest.mark.promise("and a topic whose publishers use different numbers.")
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
