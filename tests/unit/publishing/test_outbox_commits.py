"""Events that are written into the outbox together, when whoever would write them fails."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from abe_redis import RedisMessageQueueBackend, Settings
from abe_redis.errors import OutboxError, RedisUnavailableError
from abe_redis.publishing.outbox_delivery import Outbox
from abe_redis.publishing.outbox_file import OutboxFile
from abe_redis.publishing.outbox_kept import Kept
from abe_redis.publishing.outbox_rows import Append
from abe_redis.streams.publish import Draft
from tests.unit.publishing.outboxes import NO_SERVER, path, queue, row, rows

__all__ = ["path", "queue"]

TOGETHER = 6


@pytest.fixture
async def outbox(path: Path) -> AsyncIterator[Outbox]:
    """An outbox whose Redis never answers."""

    outbox = made(path, anyio.sleep_forever)
    yield outbox
    await outbox.close()


def made(path: Path, connections: Callable[[], Any]) -> Outbox:
    async def delivered(*_: Any) -> None: ...

    return Outbox(path, Settings(redis_url=NO_SERVER, redis_outbox=path), connections, delivered)


class Busy:
    """Keeps the outbox's thread at work, so that what is published meanwhile waits for one commit."""

    def __init__(self, outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
        self._go_on = threading.Event()
        monkeypatch.setattr(OutboxFile, "size", lambda _: self._go_on.wait())
        self._task = asyncio.create_task(outbox.size())

    async def ends(self) -> None:
        self._go_on.set()
        await self._task


@pytest.fixture
async def busy(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Busy]:
    busy = Busy(outbox, monkeypatch)
    await anyio.wait_all_tasks_blocked()
    yield busy
    await busy.ends()


async def keep(outbox: Outbox, number: int, data: bytes | None = None) -> Kept:
    """Each is of a stream of its own, as when several conversations go to several partitions."""
    draft = Draft(f"s{number}", {b"data": data or b"%d" % number}, f"event:{number}", f"attempt {number}", 60)
    return await outbox.keep(draft, RedisUnavailableError("Redis is away."), published_at=time.time())


async def together(outbox: Outbox) -> list[asyncio.Task[Kept]]:
    """Calls that wait; the first of them would write for all."""
    calls = [asyncio.create_task(keep(outbox, number)) for number in range(TOGETHER)]
    await anyio.wait_all_tasks_blocked()
    return calls


def numbers(path: Path) -> set[str]:
    """What publishing answers for the rows that there are."""
    return {f"outbox-{number}" for number in range(1, len(rows(path)) + 1)}


async def test_what_others_wait_for_is_written_though_who_would_write_it_is_cancelled(
    outbox: Outbox, path: Path, busy: Busy
) -> None:
    first, *others = await together(outbox)
    first.cancel()
    await anyio.wait_all_tasks_blocked()
    await busy.ends()
    kept = [(await one).id for one in others]
    assert sorted(kept) == sorted(numbers(path))
    assert len(kept) == TOGETHER - 1


async def test_so_it_is_when_all_but_the_last_are_cancelled_one_after_the_other(
    outbox: Outbox, path: Path, busy: Busy
) -> None:
    *cancelled, last = await together(outbox)
    for one in cancelled:
        one.cancel()
        await anyio.wait_all_tasks_blocked()
    await busy.ends()
    assert (await last).id == "outbox-1"
    assert len(rows(path)) == 1


async def test_so_it_is_when_a_timeout_ends_the_call(outbox: Outbox, path: Path, busy: Busy) -> None:
    timeout = anyio.CancelScope()

    async def until_the_timeout() -> None:
        with timeout:
            await keep(outbox, 0)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(until_the_timeout)
        await anyio.wait_all_tasks_blocked()
        other = asyncio.create_task(keep(outbox, 1))
        await anyio.wait_all_tasks_blocked()
        timeout.cancel()
    await busy.ends()
    assert (await other).id == "outbox-1"
    assert len(rows(path)) == 1


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError()], ids=str)
async def test_so_it_is_when_there_is_no_thread_for_the_one_who_would_write(
    outbox: Outbox, path: Path, busy: Busy, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    fails_once(monkeypatch, error)
    first, *others = await together(outbox)
    await busy.ends()
    with pytest.raises(OutboxError, match=r"could not use the outbox .*\. The event was not kept\.$"):
        await first
    assert sorted([(await one).id for one in others]) == sorted(numbers(path))


def fails_once(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Let the next call in a thread fail before it begins."""
    run_sync, failures = anyio.to_thread.run_sync, [error]

    async def run(call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        if failures:
            raise failures.pop()
        return await run_sync(call, *arguments, **options)

    monkeypatch.setattr(anyio.to_thread, "run_sync", run)


async def test_who_is_cancelled_while_the_file_refuses_takes_nobody_along(
    outbox: Outbox, path: Path, busy: Busy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its thread goes on, and writes one by one what did not fit together."""
    append_all, refuses, go_on = OutboxFile.append_all, threading.Event(), threading.Event()

    def refuse_many(file: OutboxFile, appends: Any) -> None:
        if len(appends) > 1:
            refuses.set()
            go_on.wait()
            raise OutboxError("too many")
        append_all(file, appends)

    monkeypatch.setattr(OutboxFile, "append_all", refuse_many)
    first, *others = await together(outbox)
    await busy.ends()
    await anyio.to_thread.run_sync(refuses.wait)
    first.cancel()
    await anyio.wait_all_tasks_blocked()
    go_on.set()
    kept = {(await one).id for one in others}
    assert len(kept) == TOGETHER - 1
    assert kept <= numbers(path)


async def test_an_event_that_cannot_be_written_takes_nobody_along(
    outbox: Outbox, path: Path, busy: Busy
) -> None:
    calls = [asyncio.create_task(keep(outbox, 99, b"\xff"))]
    calls += await together(outbox)
    await busy.ends()
    bad, *others = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(bad, OutboxError), bad
    assert "UnicodeDecodeError" in str(bad)
    assert sorted(one.id for one in others if isinstance(one, Kept)) == sorted(numbers(path))
    assert len(rows(path)) == TOGETHER


async def test_no_event_is_kept_that_has_no_number(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OutboxFile, "append_all", lambda *_: None)
    with pytest.raises(OutboxError, match=r"no number for the event.*The event was not kept\.$"):
        await keep(outbox, 0)


def test_what_a_failed_commit_held_has_no_number(path: Path) -> None:
    file = OutboxFile(path)
    good, bad = (Append(row=row(data), until=time.monotonic() + 5) for data in (b"{}", b"\xff"))
    with pytest.raises(UnicodeDecodeError):
        file.append_all([good, bad])
    assert good.number is None
    file.close()


async def test_forwarding_goes_on_after_there_was_no_thread(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = OutboxFile(path)
    left.append(row())
    left.close()
    asked = asyncio.Event()

    async def connections() -> Any:
        asked.set()
        await anyio.sleep_forever()

    outbox = made(path, connections)
    fails_once(monkeypatch, RuntimeError("can't start new thread"))
    outbox.start()
    await asked.wait()
    await outbox.close()


async def test_a_close_that_was_cancelled_is_finished_by_the_next_one(
    queue: RedisMessageQueueBackend, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await queue.publish("slack_events", {"n": 1})
    go_on = threading.Event()
    monkeypatch.setattr(OutboxFile, "size", lambda _: go_on.wait())
    asked = asyncio.create_task(queue.outbox_size())
    await anyio.wait_all_tasks_blocked()
    closing = asyncio.create_task(queue.close())
    await anyio.wait_all_tasks_blocked()
    closing.cancel()
    await asyncio.wait([closing])
    assert closing.cancelled()
    go_on.set()
    await asked
    await queue.close()
    other = OutboxFile(path)
    assert other.claim(), "what it left is another one's to forward"
    other.close()
