"""Back ends with an outbox, publishers that can be killed, and what arrived in the stream."""

import json
import os
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest

from abe_redis import RedisMessageQueueBackend, Settings
from abe_redis.publishing import outbox_delivery, outbox_file, outbox_queue, publisher
from tests.integration.conftest import until
from tests.patience import PATIENCE
from tests.servers import Server


class MakeQueue(Protocol):
    def __call__(self, **settings: Any) -> RedisMessageQueueBackend: ...


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis is given up soon, but not the file, for which one waits longer on a busy machine than in use."""
    monkeypatch.setattr(publisher, "PUBLISH_SECONDS", 0.3)
    monkeypatch.setattr(outbox_delivery, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(outbox_queue, "LOOK_SECONDS", PATIENCE)
    for of, names in (
        (outbox_delivery, ("KEEP_SECONDS", "KEEP_BEHIND_SECONDS")),
        (outbox_file, ("BUSY_SECONDS", "_PATIENCE_SECONDS")),
    ):
        for name in names:
            monkeypatch.setattr(of, name, PATIENCE)


@contextmanager
def patient() -> Iterator[None]:
    """Publishing waits for a Redis that runs, which may take longer than that on a busy machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publisher, "PUBLISH_SECONDS", PATIENCE)
        yield


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


def entries(server: Server, stream: str = "slack_events") -> list[dict[str, str]]:
    with server.admin() as admin:
        found: Any = admin.xrange(stream)
        return [fields for _, fields in found]


async def emptied(queue: RedisMessageQueueBackend) -> bool:
    return (await queue.outbox_size()).waiting == 0


async def until_it_holds(queue: RedisMessageQueueBackend, *, waiting: int, refused: int) -> None:
    async def holds() -> bool:
        size = await queue.outbox_size()
        return (size.waiting, size.refused) == (waiting, refused)

    await until(holds)


def numbers(server: Server, stream: str = "slack_events") -> list[int]:
    return [json.loads(fields["data"])["n"] for fields in entries(server, stream)]


async def leave(make_queue: MakeQueue, *left: int) -> None:
    """A process keeps events while Redis is away, and ends."""
    queue = make_queue()
    for number in left:
        await queue.publish("slack_events", {"n": number})
    await queue.close()


def freeze(process: subprocess.Popen[bytes], path: Path) -> None:
    """Stop it, but not in the millisecond of a write, for which it locks the file itself."""
    while True:
        process.send_signal(signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)  # until it has really stopped
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as database:
            try:
                database.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                process.send_signal(signal.SIGCONT)
            else:
                return
