"""Redis is away: what publish accepts meanwhile is delivered, once, in order, whatever dies."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import anyio
import anyio.to_thread
import pytest

from abe_redis import RedisMessageQueueBackend, Settings, SyncBackend
from abe_redis.publishing import publisher
from abe_redis.publishing.outbox_kept import Kept
from abe_redis.slack.http import SlackDoor
from abe_redis.slack.queues import Queues
from abe_redis.slack.receiver import Receiver
from tests.integration.conftest import take, until
from tests.integration.publishing.outboxes import (
    MakeQueue,
    _impatient,
    emptied,
    entries,
    freeze,
    make_queue,
    path,
    patient,
)
from tests.patience import PATIENCE, whole_lines
from tests.servers import Server

__all__ = ["_impatient", "make_queue", "path"]

PUBLISHER = """
import asyncio, itertools, sys
from pathlib import Path
from abe_redis import Operations, RedisMessageQueueBackend, Settings, cli
from abe_redis.publishing import outbox_delivery, outbox_file, publisher

publisher.PUBLISH_SECONDS, outbox_delivery.LOOK_SECONDS = 0.3, 0.2
# SQLite lets those who wait for each other's locks go in no order.
outbox_file.BUSY_SECONDS = outbox_file._PATIENCE_SECONDS = 120
outbox_delivery.KEEP_SECONDS = outbox_delivery.KEEP_BEHIND_SECONDS = 120
url, path, name, first = sys.argv[1:]

async def main():
    async with RedisMessageQueueBackend(Settings(redis_url=url, redis_outbox=Path(path))) as queue:
        for number in itertools.count(int(first)):
            await queue.publish("slack_events", {"type": "event_callback", "event_id": f"{name}{number}"})
            print(number, flush=True)
            await asyncio.sleep(0.005)

asyncio.run(main())
"""


class Publisher:
    """A process that publishes numbers and prints each that was accepted."""

    def __init__(self, server: Server, path: Path, name: str, first: int = 0) -> None:
        self.name = name
        self.path = path
        self.log = path.with_name(f"{name}{first}.accepted")
        with self.log.open("wb") as log:
            arguments = [server.url, str(path), name, str(first)]
            self.process = subprocess.Popen([sys.executable, "-c", PUBLISHER, *arguments], stdout=log)

    @property
    def accepted(self) -> list[int]:
        return [int(line) for line in whole_lines(self.log)]

    def until(self, condition: Callable[[list[int]], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition(self.accepted):
            assert self.process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def publish_more(self, count: int = 20) -> None:
        before = len(self.accepted)
        self.until(lambda accepted: len(accepted) >= before + count)

    def freeze(self) -> None:
        freeze(self.process, self.path)

    def thaw(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class StartPublisher(Protocol):
    def __call__(self, name: str, first: int = 0) -> Publisher: ...


@pytest.fixture
def start_publisher(own_server: Server, path: Path) -> Iterator[StartPublisher]:
    with ExitStack() as stack:

        def start(name: str, first: int = 0) -> Publisher:
            publisher = Publisher(own_server, path, name, first)
            stack.callback(publisher.kill)
            return publisher

        yield start


def numbers(server: Server, name: str) -> list[int]:
    start = f'{{"type":"event_callback","event_id":"{name}'
    found = [fields["data"] for fields in entries(server)]
    return [int(data.removeprefix(start).removesuffix('"}')) for data in found if data.startswith(start)]


async def keep(queue: RedisMessageQueueBackend, stream: str, count: int) -> None:
    """Publish numbers while Redis is away, and end."""
    for number in range(count):
        await queue.publish(stream, {"n": number})
    await queue.close()


def persistent(make_server: Any) -> Server:
    server: Server = make_server(persistent=True)
    return server


@pytest.mark.promise("the event waits on disk, also through a crash, and is delivered once")
async def test_redis_and_the_publisher_die_and_nothing_is_lost(make_server: Any, path: Path) -> None:
    """Every accepted number is there once and in order; what was under way at the kill, once or never."""
    server = persistent(make_server)
    one = Publisher(server, path, "a")
    other = Publisher(server, path, "b")
    with ExitStack() as stack:
        stack.callback(one.kill)
        stack.callback(other.kill)
        one.publish_more()
        server.kill()
        one.publish_more()
        other.publish_more()
        one.kill()  # with rows in the outbox
        again = Publisher(server, path, "a", first=10_000)
        stack.callback(again.kill)
        again.publish_more()
        server.start()
        again.publish_more(200)
        other.publish_more(200)
        again.kill()  # perhaps while it delivers what the first one left
        other.kill()
    accepted = {"a": one.accepted + again.accepted, "b": other.accepted}
    async with RedisMessageQueueBackend(Settings(redis_url=server.url, redis_outbox=path)) as queue:
        await queue.connections()
        await until(lambda: emptied(queue))
    for name, expected in accepted.items():
        found = numbers(server, name)
        assert len(set(found)) == len(found), "duplicated"
        assert set(expected) <= set(found), "lost"
        assert len(found) <= len(expected) + 2, "one per kill was under way"
        for part in ([n for n in found if n < 10_000], [n for n in found if n >= 10_000]):
            assert part == sorted(part), "order of a process"
    assert not list(path.parent.glob("*.lock*"))
    assert all(set(fields) == {"data"} for fields in entries(server))


async def test_publishing_does_not_wait_for_redis_while_events_wait_in_the_outbox(
    own_server: Server, make_queue: MakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = make_queue()
    await queue.publish("slack_events", {"n": 0})
    await until(lambda: emptied(queue))
    own_server.freeze()
    assert isinstance(await queue.publish_event("slack_events", {"n": 1}), Kept)
    with monkeypatch.context() as patch, anyio.fail_after(PATIENCE):
        patch.setattr(publisher, "PUBLISH_SECONDS", 3600)  # which only the first one has to spend
        for number in range(2, 20):
            assert isinstance(await queue.publish_event("slack_events", {"n": number}), Kept)
    own_server.thaw()
    await until(lambda: emptied(queue))
    with patient():
        assert not isinstance(await queue.publish_event("slack_events", {"n": 20}), Kept)
    # The frozen server had the first one in its socket, and executed it when it woke.
    assert [fields["data"] for fields in entries(own_server)] == [f'{{"n":{number}}}' for number in range(21)]


async def test_a_process_that_only_consumes_forwards_events_left_in_the_outbox(
    own_server: Server, make_queue: MakeQueue
) -> None:
    own_server.stop()
    await keep(make_queue(), "slack:new", 3)
    assert (await make_queue().outbox_size()).waiting == 3
    own_server.start()
    events = make_queue().consume()
    assert [event["n"] for event in await take(events, 3)] == [0, 1, 2]


@asynccontextmanager
async def made_in_a_loop(settings: Settings) -> AsyncIterator[None]:
    """As Slack MCP Server's webhook makes it."""
    queue = RedisMessageQueueBackend(settings)
    yield
    await queue.close()


@asynccontextmanager
async def entered(settings: Settings) -> AsyncIterator[None]:
    queue = await anyio.to_thread.run_sync(RedisMessageQueueBackend, settings)  # where no loop runs
    async with queue:
        yield


@asynccontextmanager
async def behind_a_door(settings: Settings) -> AsyncIterator[None]:
    queue = await anyio.to_thread.run_sync(RedisMessageQueueBackend, settings)
    door = SlackDoor(Receiver(queue, Queues("slack_events")), [b"secret"], on_start=queue.forward)
    told, said = anyio.create_memory_object_stream[Any](9), list[str]()

    async def say(message: Any) -> None:
        said.append(message["type"])

    async with told[0], told[1], anyio.create_task_group() as tasks:
        tasks.start_soon(door, {"type": "lifespan"}, told[1].receive, say)
        await told[0].send({"type": "lifespan.startup"})
        yield
        await told[0].send({"type": "lifespan.shutdown"})
    await queue.close()
    assert said == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


@asynccontextmanager
async def without_a_loop(settings: Settings) -> AsyncIterator[None]:
    queue = await anyio.to_thread.run_sync(SyncBackend, settings)
    yield
    await anyio.to_thread.run_sync(queue.close)


@pytest.mark.promise("A process with the same outbox forwards it as soon as it starts")
@pytest.mark.parametrize("process", [made_in_a_loop, entered, behind_a_door, without_a_loop])
async def test_what_an_earlier_process_kept_is_forwarded_though_nothing_new_comes(
    own_server: Server,
    path: Path,
    make_queue: MakeQueue,
    process: Callable[[Settings], AbstractAsyncContextManager[None]],
) -> None:
    """On a quiet night the next event may be hours away."""
    own_server.stop()
    await keep(make_queue(), "slack_events", 3)
    own_server.start()

    async def forwarded() -> bool:
        return len(entries(own_server)) == 3

    async with process(Settings(redis_url=own_server.url, redis_outbox=path)):
        await until(forwarded)
    assert [fields["data"] for fields in entries(own_server)] == [f'{{"n":{number}}}' for number in range(3)]


async def test_a_backend_that_is_closed_before_it_began_leaves_what_was_kept(
    own_server: Server, path: Path, make_queue: MakeQueue
) -> None:
    own_server.stop()
    await keep(make_queue(), "slack_events", 1)
    async with made_in_a_loop(Settings(redis_url=own_server.url, redis_outbox=path)):
        pass
    assert (await make_queue().outbox_size()).waiting == 1
    own_server.start()


async def test_slacks_retry_is_known_in_the_outbox_too(own_server: Server, make_queue: MakeQueue) -> None:
    queue = make_queue()
    event = {"type": "event_callback", "event_id": "Ev1"}
    await queue.publish("slack_events", event)
    own_server.freeze()
    for _ in range(3):
        await queue.publish("slack_events", event)
    own_server.thaw()
    await until(lambda: emptied(queue))
    assert len(entries(own_server)) == 1


async def test_a_live_process_delivers_what_a_dead_one_left_and_not_what_a_frozen_one_holds(
    own_server: Server, make_queue: MakeQueue, start_publisher: StartPublisher
) -> None:
    own_server.stop()
    dead, frozen, queue = start_publisher("d"), start_publisher("f"), make_queue()
    dead.publish_more(5)
    frozen.publish_more(5)
    frozen.freeze()  # before it can take over what the other one leaves
    dead.kill()
    held = len(frozen.accepted)
    own_server.start()
    await queue.publish("slack_events", {"mine": "at once"})

    async def left() -> bool:
        return numbers(own_server, "d")[: len(dead.accepted)] == dead.accepted

    await until(left)
    assert numbers(own_server, "f") == []
    frozen.thaw()
    frozen.publish_more()
    frozen.kill()
    await until(lambda: emptied(queue))
    found = numbers(own_server, "f")
    assert found == list(range(len(found)))
    assert len(found) >= held + 20
