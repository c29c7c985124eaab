"""What an ended process left comes first, also when another one has taken it over before the next begins."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from abe_redis import RedisMessageQueueBackend
from abe_redis.publishing import outbox_elsewhere, outbox_queue
from tests.integration.conftest import until
from tests.integration.publishing.outboxes import (
    MakeQueue,
    _impatient,
    emptied,
    freeze,
    leave,
    make_queue,
    numbers,
    path,
    patient,
)
from tests.servers import Server

__all__ = ["_impatient", "make_queue", "path"]

HEIR = """
import asyncio, sys
from pathlib import Path
from abe_redis import RedisMessageQueueBackend, Settings
from abe_redis.publishing import outbox_delivery, outbox_file, outbox_queue, publisher

publisher.PUBLISH_SECONDS, outbox_delivery.LOOK_SECONDS = 0.3, 0.2
outbox_file.BUSY_SECONDS = outbox_file._PATIENCE_SECONDS = 120
outbox_delivery.KEEP_SECONDS = outbox_delivery.KEEP_BEHIND_SECONDS = outbox_queue.LOOK_SECONDS = 120
url, path = sys.argv[1:]

async def main():
    async with RedisMessageQueueBackend(Settings(redis_url=url, redis_outbox=Path(path))) as queue:
        await queue.publish("slack:heir", {"n": 0})  # which waits until it has looked what others left
        print("looked", flush=True)
        await asyncio.sleep(3600)

asyncio.run(main())
"""

type Heir = subprocess.Popen[bytes]


@pytest.fixture(autouse=True)
def _short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_queue, "OLDER_SECONDS", 0.05)


@pytest.fixture
def begin_frozen(own_server: Server, path: Path) -> Iterator[Callable[[], Heir]]:
    """Begins a process that takes over what ended ones left, and stands still then."""
    with ExitStack() as stack:

        def begin() -> Heir:
            arguments = [sys.executable, "-c", HEIR, own_server.url, str(path)]
            heir = stack.enter_context(subprocess.Popen(arguments, stdout=subprocess.PIPE))
            stack.callback(heir.kill)
            assert heir.stdout is not None
            assert heir.stdout.readline() == b"looked\n"
            freeze(heir, path)
            return heir

        yield begin


async def forwards(queue: RedisMessageQueueBackend, server: Server, stream: str) -> None:
    """Wait until the back end has forwarded what it kept of a stream for which nothing waits."""

    async def has_come() -> bool:
        return numbers(server, stream) == [0]

    await until(has_come)


@pytest.mark.promise("whichever process has taken it over")
async def test_what_a_process_keeps_in_an_outage_waits_for_what_another_took_over(
    own_server: Server, make_queue: MakeQueue, begin_frozen: Callable[[], Heir]
) -> None:
    own_server.stop()
    await leave(make_queue, *range(3))
    heir = begin_frozen()
    queue = make_queue()
    for stream, number in (("slack_events", 3), ("slack:free", 0), ("slack_events", 4)):
        assert (await queue.publish_event(stream, {"n": number})).is_kept
    own_server.start()
    await forwards(queue, own_server, "slack:free")
    assert numbers(own_server) == []
    heir.send_signal(signal.SIGCONT)
    await until(lambda: emptied(queue))
    assert numbers(own_server) == list(range(5))


async def test_so_does_what_it_publishes_when_redis_is_back(
    own_server: Server, make_queue: MakeQueue, begin_frozen: Callable[[], Heir]
) -> None:
    own_server.stop()
    await leave(make_queue, *range(3))
    heir = begin_frozen()
    own_server.start()
    queue = make_queue()
    with patient():
        assert not (await queue.publish_event("slack:free", {"n": 0})).is_kept
        assert (await queue.publish_event("slack_events", {"n": 3})).is_kept
        heir.send_signal(signal.SIGCONT)
        await until(lambda: emptied(queue))
        assert not (await queue.publish_event("slack_events", {"n": 4})).is_kept
    assert numbers(own_server) == list(range(5))


async def test_so_does_what_a_second_one_left_and_a_third_has_taken_over(
    own_server: Server, make_queue: MakeQueue, begin_frozen: Callable[[], Heir]
) -> None:
    own_server.stop()
    await leave(make_queue, *range(3))
    heir = begin_frozen()
    await leave(make_queue, *range(3, 6))
    queue = make_queue()
    for stream, number in (("slack_events", 6), ("slack:free", 0)):
        assert (await queue.publish_event(stream, {"n": number})).is_kept
    own_server.start()
    await forwards(queue, own_server, "slack:free")
    assert numbers(own_server) == []
    heir.send_signal(signal.SIGCONT)
    await until(lambda: emptied(queue))
    assert numbers(own_server) == list(range(7))


@pytest.mark.promise("If that process forwards none of it for 30 seconds while Redis answers")
async def test_it_waits_for_no_process_that_stands_still(
    own_server: Server,
    make_queue: MakeQueue,
    begin_frozen: Callable[[], Heir],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own_server.stop()
    await leave(make_queue, *range(3))
    heir = begin_frozen()
    own_server.start()
    queue = make_queue()
    with patient():
        assert (await queue.publish_event("slack_events", {"n": 3})).is_kept
        monkeypatch.setattr(outbox_elsewhere, "PATIENCE_SECONDS", 0.1)

        await queue.publish_event("slack_events", {"n": 4})

        async def have_come() -> bool:
            return numbers(own_server) == [3, 4]

        await until(have_come)
    heir.send_signal(signal.SIGCONT)
    await until(lambda: emptied(queue))
    assert numbers(own_server) == [3, 4, 0, 1, 2]
