"""The outbox's file alone is deleted while processes use it: SQLite's log is left, and nothing is lost."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest

from abe_redis import RedisMessageQueueBackend, Settings
from abe_redis.doctor import examine
from abe_redis.errors import OutboxError
from abe_redis.publishing import outbox_leftovers
from abe_redis.publishing.outbox_file import OutboxFile, check
from tests.integration.conftest import until
from tests.integration.publishing.outboxes import MakeQueue, _impatient, emptied, entries, make_queue, path
from tests.patience import PATIENCE
from tests.servers import Server

__all__ = ["_impatient", "make_queue", "path"]

# Publishes what its input names, says what was accepted, and closes at the end of the input.
PROCESS = """
import asyncio, os, signal, sys, time
from pathlib import Path
from abe_redis import RedisMessageQueueBackend, Settings
from abe_redis.publishing import outbox_delivery, outbox_file, outbox_leftovers, publisher

publisher.PUBLISH_SECONDS = 0.3
# SQLite lets those who wait for each other's locks go in no order.
outbox_file.BUSY_SECONDS = outbox_file._PATIENCE_SECONDS = 120
outbox_delivery.KEEP_SECONDS = outbox_delivery.KEEP_BEHIND_SECONDS = 120
url, path, die_at, when = sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4]

rename = Path.rename
def renaming(file, target):
    dies = file.name.endswith(die_at)
    if dies and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    rename(file, target)
    if dies:
        os.kill(os.getpid(), signal.SIGKILL)
if die_at:
    Path.rename = renaming

put_aside = outbox_leftovers.put_aside
def waiting(*arguments):
    while not path.with_name("go").exists():
        time.sleep(0.01)
    put_aside(*arguments)
if when == "waits":
    outbox_leftovers.put_aside = waiting

async def main():
    async with RedisMessageQueueBackend(Settings(redis_url=url, redis_outbox=path)) as queue:
        while line := await asyncio.to_thread(sys.stdin.readline):
            kept = await queue.publish_event("slack_events", {"name": line.strip()})
            print(kept.id, flush=True)

asyncio.run(main())
"""


class Process:
    """A publisher of its own process, which a step of putting the log aside kills, or which waits with it."""

    def __init__(self, url: str, path: Path, when: str, file: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROCESS, url, str(path), file, when],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def publish(self, *names: str) -> None:
        """Publish events, each of which is to be kept."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        for name in names:
            self.process.stdin.write(f"{name}\n")
            self.process.stdin.flush()
            assert self.process.stdout.readline().startswith("outbox-")

    def end(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(PATIENCE)


class Start(Protocol):
    def __call__(self, when: str = "", file: str = "", /) -> Process: ...


@pytest.fixture
def start(own_server: Server, path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def begin(when: str = "", file: str = "", /) -> Process:
            process = Process(own_server.url, path, when, file)
            stack.enter_context(process.process)
            stack.callback(process.process.kill)
            return process

        yield begin


def left(path: Path) -> list[str]:
    return sorted(file.name for file in path.parent.glob(f"{path.name}-*.lost-*"))


def lasting(directory: Path) -> list[str]:
    """Its files, without those that a process which begins makes and removes again to try the disk."""
    return sorted(file.name for file in directory.iterdir() if ".trial" not in file.name)


def names_in(server: Server) -> list[str]:
    return [json.loads(one["data"])["name"] for one in entries(server)]


async def delivered(server: Server, queue: RedisMessageQueueBackend, names: list[str]) -> None:
    """Wait until the stream has these events, each once."""

    async def done() -> bool:
        return len(names_in(server)) >= len(names) and await emptied(queue)

    await until(done)
    assert sorted(names_in(server)) == sorted(names)


async def test_its_events_are_delivered_after_the_publisher_has_ended(
    own_server: Server, start: Start, make_queue: MakeQueue, path: Path
) -> None:
    own_server.stop()
    publisher = start()
    publisher.publish("a", "b")
    path.unlink()
    assert publisher.end() == 0
    own_server.start()
    await delivered(own_server, make_queue(), ["a", "b"])
    assert len(left(path)) == 2, "and the log of the deleted file is not deleted"


async def test_two_publishers_go_on_and_a_third_begins(
    own_server: Server, start: Start, make_queue: MakeQueue, path: Path
) -> None:
    own_server.stop()
    one, two = start(), start()
    one.publish("a", "b")
    two.publish("c", "d")
    path.unlink()
    one.publish("e")
    two.publish("f")
    third = start()
    third.publish("g")
    one.publish("h")
    assert [one.end(), two.end(), third.end()] == [0, 0, 0]
    assert len(left(path)) == 2, "the log was put aside once"
    own_server.start()
    await delivered(own_server, make_queue(), list("abcdefgh"))


async def test_three_publishers_lose_nothing_when_it_is_deleted_again_and_again(
    own_server: Server, start: Start, make_queue: MakeQueue, path: Path
) -> None:
    own_server.stop()
    processes = [start() for _ in range(3)]
    names = []
    for again in range(3):
        for number, process in enumerate(processes):
            process.publish(f"{again}-{number}")
            names.append(f"{again}-{number}")
        path.unlink()
    assert [process.end() for process in processes] == [0] * 3
    own_server.start()
    await delivered(own_server, make_queue(), names)


@pytest.mark.parametrize(("when", "file"), [("before", "-shm"), ("before", "-wal"), ("after", "-wal")])
async def test_a_kill_at_any_step_keeps_what_another_one_has_open(
    own_server: Server, start: Start, make_queue: MakeQueue, path: Path, when: str, file: str
) -> None:
    own_server.stop()
    killed, other = start(when, file), start("waits")
    killed.publish("a")
    other.publish("b")
    path.unlink()
    assert killed.end() == -signal.SIGKILL
    path.with_name("go").touch()
    other.publish("c")
    assert other.end() == 0
    own_server.start()
    await delivered(own_server, make_queue(), ["a", "b", "c"])


async def test_who_does_not_know_its_rows_lets_the_log_be(
    own_server: Server, start: Start, make_queue: MakeQueue, path: Path, tmp_path: Path
) -> None:
    own_server.stop()
    publisher = start("waits")
    publisher.publish("a")
    path.unlink()
    before = lasting(tmp_path)
    settings = Settings(redis_url=own_server.url, redis_outbox=path)
    (finding,) = [one for one in await examine(settings) if one.check == "outbox"]
    assert finding.severity == "problem"
    assert f"The outbox {path} was deleted or emptied, but its log outbox.db-wal is left." in finding.found
    with pytest.raises(OutboxError, match="was deleted or emptied"):
        await make_queue().publish("slack_events", {})
    assert lasting(tmp_path) == before
    path.with_name("go").touch()
    assert publisher.end() == 0
    own_server.start()
    await delivered(own_server, make_queue(), ["a"])


async def test_an_empty_log_is_put_aside_by_anybody(
    own_server: Server, start: Start, make_queue: MakeQueue, path: Path
) -> None:
    """The old file's owner writes into it until it notices; nobody else may use it for the new file."""
    own_server.stop()
    one, two = start(), start()
    one.publish("a")
    two.publish("b")
    file = OutboxFile(path)
    file.size()
    file._empty_log()
    file.forsake()
    path.unlink()
    third = start()
    third.publish("c")
    one.publish("d")
    two.publish("e")
    assert [one.end(), two.end(), third.end()] == [0, 0, 0]
    own_server.start()
    await delivered(own_server, make_queue(), list("abcde"))


@pytest.mark.parametrize("log", [b"", b"rows"])
def test_another_user_who_looks_leaves_everything_as_it_is(
    path: Path, monkeypatch: pytest.MonkeyPatch, log: bytes
) -> None:
    path.with_name(f"{path.name}-wal").write_bytes(log)
    before = list(path.parent.iterdir())
    own = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: own + 1)
    with pytest.raises(OutboxError, match="is not a file of this user"):
        check(path)
    assert list(path.parent.iterdir()) == before


@pytest.mark.parametrize("why", [28, 30], ids=["the disk is full", "the disk is read-only"])
async def test_what_cannot_be_put_aside_is_refused_and_kept(
    own_server: Server,
    make_queue: MakeQueue,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    why: int,
) -> None:
    own_server.stop()
    queue = make_queue()
    await queue.publish("slack_events", {"name": "a"})

    def refuse(*_: Any) -> None:
        raise OSError(why, os.strerror(why))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", refuse)
        path.unlink()
        with pytest.raises(OutboxError, match=r"disk is full|Read-only file system"):
            await queue.publish("slack_events", {"name": "refused"})
    await queue.publish("slack_events", {"name": "b"})
    own_server.start()
    await delivered(own_server, queue, ["a", "b"])


async def test_a_process_that_ends_with_its_rows_says_that_they_are_lost(
    own_server: Server,
    make_queue: MakeQueue,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    own_server.stop()
    queue = make_queue()
    await queue.publish("slack_events", {"name": "a"})

    def refuse(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(outbox_leftovers, "put_aside", refuse)
    path.unlink()
    await queue.close()
    assert f"The outbox {path} was deleted" in caplog.text
    assert "1 event are lost" not in caplog.text
    assert "lost with this process: 1 event." in caplog.text
