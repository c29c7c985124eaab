"""Redis is away: what publish accepts meanwhile is delivered, once, in order, whatever dies."""

import logging
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any, Protocol

import anyio
import anyio.to_thread
import pytest

from abe_redis import Operations, RedisMessageQueueBackend, Settings, SyncBackend, cli
from abe_redis.errors import OutboxError, RedisRefusedError, RedisUnavailableError
from abe_redis.mcp import answer_text
from abe_redis.publishing import outbox_delivery, publisher
from abe_redis.publishing.outbox_delivery import Kept
from abe_redis.publishing.outbox_file import OutboxSize
from abe_redis.schemas import OutboxStats
from abe_redis.slack.http import SlackDoor
from abe_redis.slack.queues import Queues
from abe_redis.slack.receiver import Receiver
from tests.integration.conftest import take, until
from tests.patience import PATIENCE, whole_lines
from tests.servers import Server

PUBLISHER = """
import asyncio, itertools, sys
from pathlib import Path
from abe_redis import Operations, RedisMessageQueueBackend, Settings, cli
from abe_redis.publishing import outbox_delivery, outbox_file, publisher

publisher.PUBLISH_SECONDS, outbox_delivery.LOOK_SECONDS = 0.3, 0.2
# SQLite lets those who wait for each other's locks go in no order.
outbox_file.BUSY_SECONDS = outbox_file._PATIENCE_SECONDS = 120
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
        """Stop it, but not in the millisecond of a write, for which it locks the file itself."""
        while True:
            os.kill(self.process.pid, signal.SIGSTOP)
            os.waitpid(self.process.pid, os.WUNTRACED)  # until it has really stopped
            with closing(sqlite3.connect(self.path, timeout=0, isolation_level=None)) as database:
                try:
                    database.execute("BEGIN IMMEDIATE")
                except sqlite3.OperationalError:
                    self.thaw()
                else:
                    return

    def thaw(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class StartPublisher(Protocol):
    def __call__(self, name: str, first: int = 0) -> Publisher: ...


class MakeQueue(Protocol):
    def __call__(self, **settings: Any) -> RedisMessageQueueBackend: ...


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "PUBLISH_SECONDS", 0.3)
    monkeypatch.setattr(outbox_delivery, "LOOK_SECONDS", 0.2)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


@pytest.fixture
async def make_queue(own_server: Server, path: Path) -> Any:
    async with AsyncExitStack() as stack:

        def make(**settings: Any) -> RedisMessageQueueBackend:
            given = {"redis_url": own_server.url, "redis_outbox": path} | settings
            queue = RedisMessageQueueBackend(Settings(**given))
            stack.push_async_callback(queue.close)
            return queue

        yield make


@pytest.fixture
def start_publisher(own_server: Server, path: Path) -> Iterator[StartPublisher]:
    with ExitStack() as stack:

        def start(name: str, first: int = 0) -> Publisher:
            publisher = Publisher(own_server, path, name, first)
            stack.callback(publisher.kill)
            return publisher

        yield start


def entries(server: Server, stream: str = "slack_events") -> list[dict[str, str]]:
    with server.admin() as admin:
        found: Any = admin.xrange(stream)
        return [fields for _, fields in found]


def numbers(server: Server, name: str) -> list[int]:
    start = f'{{"type":"event_callback","event_id":"{name}'
    found = [fields["data"] for fields in entries(server)]
    return [int(data.removeprefix(start).removesuffix('"}')) for data in found if data.startswith(start)]


def execute(path: Path, statement: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path, timeout=5)) as database, database:
        return database.execute(statement).fetchall()


async def keep(queue: RedisMessageQueueBackend, stream: str, count: int) -> None:
    """Publish numbers while Redis is away, and end."""
    for number in range(count):
        await queue.publish(stream, {"n": number})
    await queue.close()


async def emptied(queue: RedisMessageQueueBackend) -> bool:
    return (await queue.outbox_size()).waiting == 0


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
    assert not isinstance(await queue.publish_event("slack_events", {"n": 0}), Kept)
    own_server.freeze()
    assert isinstance(await queue.publish_event("slack_events", {"n": 1}), Kept)
    with monkeypatch.context() as patch, anyio.fail_after(PATIENCE):
        patch.setattr(publisher, "PUBLISH_SECONDS", 3600)  # which only the first one has to spend
        for number in range(2, 20):
            assert isinstance(await queue.publish_event("slack_events", {"n": number}), Kept)
    own_server.thaw()
    await until(lambda: emptied(queue))
    published = await queue.publish_event("slack_events", {"n": 20})
    assert not isinstance(published, Kept)
    # The frozen server had the first one in its socket, and executed it when it woke.
    assert [fields["data"] for fields in entries(own_server)] == [f'{{"n":{number}}}' for number in range(21)]


async def test_a_process_that_only_consumes_forwards_events_left_in_the_outbox(
    own_server: Server, make_queue: MakeQueue
) -> None:
    own_server.stop()
    await keep(make_queue(), "slack:new", 3)
    assert await make_queue().outbox_size() == OutboxSize(waiting=3, refused=0)
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
    assert await make_queue().outbox_size() == OutboxSize(waiting=1, refused=0)
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


async def test_a_permanently_refused_event_blocks_no_other(
    own_server: Server, make_queue: MakeQueue, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    queue = make_queue()
    own_server.stop()
    await queue.publish("slack:list", {"n": 0})
    await queue.publish("slack_events", {"text": "x" * 2_000_000})
    for number in range(3):
        await queue.publish("slack_events", {"n": number})
    await queue.close()
    own_server.start()
    with own_server.admin() as admin:
        admin.config_set("proto-max-bulk-len", 1024 * 1024)
        admin.rpush("slack:list", "x")
    queue = make_queue()
    await queue.connections()
    await until(lambda: emptied(queue))
    assert [fields["data"] for fields in entries(own_server)] == [f'{{"n":{number}}}' for number in range(3)]
    assert await queue.outbox_size() == OutboxSize(waiting=0, refused=2)
    (first,), (second,) = execute(path, "SELECT refused FROM event ORDER BY number")
    assert "is not a stream" in first
    assert "invalid bulk length" in second

    async def told() -> bool:
        errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
        return any("cannot be delivered; that file keeps" in message for message in errors)

    await until(told)

    with own_server.admin() as admin:
        admin.delete("slack:list")
    execute(path, "UPDATE event SET refused = NULL WHERE stream = 'slack:list'")
    await until(lambda: emptied(queue))
    assert len(entries(own_server, "slack:list")) == 1


@pytest.mark.promise("carries the field `possible-duplicate`.")
async def test_an_event_whose_id_redis_may_have_forgotten_is_marked(
    own_server: Server, make_queue: MakeQueue, path: Path
) -> None:
    own_server.stop()
    queue = make_queue()
    for number in range(2):
        await queue.publish("slack_events", {"n": number})
    await queue.close()
    execute(path, "UPDATE event SET published_at = published_at - 3600 WHERE number = 1")
    own_server.start()
    queue = make_queue()
    await queue.connections()
    await until(lambda: emptied(queue))
    assert entries(own_server) == [{"data": '{"n":0}', "possible-duplicate": "1"}, {"data": '{"n":1}'}]


async def test_a_server_without_memory_is_waited_for(own_server: Server, make_queue: MakeQueue) -> None:
    queue = make_queue()
    with own_server.admin() as admin:
        admin.config_set("maxmemory", 1)
        for number in range(3):
            assert isinstance(await queue.publish_event("slack_events", {"n": number}), Kept)
        admin.config_set("maxmemory", 0)
    await until(lambda: emptied(queue))
    assert len(entries(own_server)) == 3


@pytest.mark.promise("is too large or is not permitted to this user, is raised at once and not kept.")
async def test_an_event_that_redis_refuses_is_not_kept(
    own_server: Server, make_queue: MakeQueue, path: Path
) -> None:
    with own_server.admin() as admin:
        admin.rpush("slack:list", "x")
        admin.config_set("proto-max-bulk-len", 1024 * 1024)
        admin.execute_command("ACL", "SETUSER", "default", "resetkeys", "~slack:*", "~abe:*")
    with pytest.raises(RedisRefusedError, match="is not a stream"):
        await make_queue().publish("slack:list", {})
    with pytest.raises(RedisRefusedError, match="does not permit"):
        await make_queue().publish("elsewhere", {})
    with pytest.raises(RedisRefusedError, match="invalid bulk length"):
        await make_queue().publish("slack:long", {"text": "x" * 2_000_000})
    assert not path.exists()


async def test_a_damaged_outbox_is_said_at_once_and_stops_nothing_until_it_is_needed(
    own_server: Server, make_queue: MakeQueue, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_bytes(b"damaged" * 1000)
    queue = make_queue()
    await queue.publish("slack_events", {"n": 0})

    async def said() -> list[str]:
        return [record.getMessage() for record in caplog.records if "is damaged" in record.getMessage()]

    await until(said)
    own_server.stop()
    with pytest.raises(OutboxError, match="is damaged"):
        await queue.publish("slack_events", {"n": 1})
    path.unlink()
    assert isinstance(await queue.publish_event("slack_events", {"n": 2}), Kept)
    own_server.start()
    await until(lambda: emptied(queue))
    assert len(await said()) == 1, "said once"
    assert [fields["data"] for fields in entries(own_server)] == ['{"n":2}']


async def test_an_operation_says_that_the_event_waits(own_server: Server, tmp_path: Path) -> None:
    own_server.stop()
    settings = Settings(redis_url=own_server.url, redis_outbox=tmp_path / "outbox.db")
    async with RedisMessageQueueBackend(settings) as backend:
        result = await Operations(backend).publish_event({"n": 1})
        assert result.waiting
        assert "Kept in the outbox" in answer_text.published(result)


async def test_an_outbox_that_cannot_be_looked_at_hides_nothing_else(
    own_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As when its disk is full."""
    outbox = tmp_path / "outbox.db"
    outbox.write_bytes(b"no database" * 1000)
    monkeypatch.setenv("REDIS_URL", own_server.url)
    monkeypatch.setenv("REDIS_OUTBOX", str(outbox))
    with own_server.admin() as admin:
        admin.xadd("slack_events", {"data": "{}"})
    async with RedisMessageQueueBackend(Settings()) as backend:
        result = await Operations(backend).stream_stats()
        assert [one.health for one in result.streams] == ["unread"]
        (said,) = answer_text.outbox(result)
        own_server.stop()
        with pytest.raises(RedisUnavailableError, match=r"could not be reached.*is damaged"):
            await Operations(backend).stream_stats()
    assert "is damaged or not an SQLite database" in said
    await anyio.to_thread.run_sync(own_server.start)
    monkeypatch.setattr(sys, "argv", ["abe-redis", "stats"])
    with pytest.raises(SystemExit) as end:
        await anyio.to_thread.run_sync(cli.main)
    assert end.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith("The outbox ")
    assert "unread" in shown or "No stream exists yet" in shown


async def test_stats_show_what_waits_in_the_outbox(own_server: Server, tmp_path: Path) -> None:
    settings = Settings(redis_url=own_server.url, redis_outbox=tmp_path / "outbox.db")
    async with RedisMessageQueueBackend(settings) as backend:
        operations = Operations(backend)
        await operations.publish_event({"n": 1})
        assert (await operations.stream_stats()).outbox == OutboxStats(waiting=0, refused=0)
        own_server.freeze()
        assert (await operations.publish_event({"n": 2})).waiting
        with pytest.raises(RedisUnavailableError, match="The outbox keeps 1 event until then"):
            await operations.stream_stats()
        own_server.thaw()

        async def delivered() -> bool:
            return (await operations.stream_stats()).outbox == OutboxStats(waiting=0, refused=0)

        await until(delivered)
