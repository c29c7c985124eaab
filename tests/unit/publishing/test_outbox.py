"""The outbox without a server: what is written, what is refused and how, and what a cancellation leaves."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from abe_redis import RedisMessageQueueBackend, Settings
from abe_redis.cli.listen import _check_outbox
from abe_redis.doctor import examine
from abe_redis.errors import (
    ClosedError,
    OutboxError,
    OutboxFullError,
    RedisUnavailableError,
)
from abe_redis.publishing import outbox_file, publisher
from abe_redis.publishing.outbox_file import OutboxFile, OutboxSize
from abe_redis.publishing.outbox_kept import Kept
from tests.patience import PATIENCE
from tests.unit.publishing.outboxes import NO_SERVER, path, queue, row, rows

__all__ = ["path", "queue"]

SECRET = "the-verification-token"


async def test_an_event_that_redis_cannot_take_is_on_disk(
    queue: RedisMessageQueueBackend, path: Path
) -> None:
    payload = {
        "type": "event_callback",
        "event_id": "Ev1",
        "token": SECRET,
        "event": {"text": "grüß 🎉 \ud800"},
    }
    kept = await queue.publish_event("slack_events", payload, origin="mcp")
    assert isinstance(kept, Kept)
    assert kept == Kept(id="outbox-1", duplicate=False, length=0, stream="slack_events", reason=kept.reason)
    assert "could not be reached" in kept.reason
    assert (await queue.publish_event("slack_events", {"n": 2})).id == "outbox-2"
    assert (await queue.outbox_size()).waiting == 2
    (first, identity), _ = rows(path)
    assert identity == "event:mcp:Ev1"
    assert '"origin": "mcp"' in first


async def test_no_secret_is_on_disk_and_nobody_else_reads_it(
    queue: RedisMessageQueueBackend, path: Path
) -> None:
    await queue.publish("slack_events", {"type": "event_callback", "event_id": "Ev1", "token": SECRET})
    files = list(path.parent.glob("outbox.db*"))
    assert len(files) >= 2
    for file in files:
        assert SECRET.encode() not in file.read_bytes()
        if os.name == "posix":
            assert file.stat().st_mode & 0o777 == 0o600


async def test_closing_leaves_the_rows_and_nothing_else(queue: RedisMessageQueueBackend, path: Path) -> None:
    await queue.publish("slack_events", {"n": 1})
    await queue.close()
    assert len(rows(path)) == 1
    with pytest.raises(ClosedError):
        await queue.publish("slack_events", {"n": 2})


async def test_without_the_variable_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "PUBLISH_SECONDS", 0.1)
    async with RedisMessageQueueBackend(Settings(redis_url=NO_SERVER)) as queue:
        with pytest.raises(RedisUnavailableError):
            await queue.publish("slack_events", {})
        assert await queue.outbox_size() == OutboxSize(waiting=0, refused=0)


async def test_a_health_check_is_never_kept(queue: RedisMessageQueueBackend, path: Path) -> None:
    with pytest.raises(RedisUnavailableError):
        await queue.publish("_health_check", {"type": "health_check"})
    assert not path.exists()


async def test_a_full_outbox_refuses(
    queue: RedisMessageQueueBackend, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_file, "MAX_BYTES", 200_000)
    accepted = 0
    with pytest.raises(OutboxFullError) as caught:
        while True:
            await queue.publish("slack_events", {"text": "x" * 10_000})
            accepted += 1
    assert 10 < accepted < 20
    assert str(caught.value) == (
        f"The outbox {path} is full: it holds {accepted} events, 0 of them refused by Redis, and may have "
        "200,000 bytes. Bring Redis back, or delete the refused ones. The event was not kept."
    )
    assert len(rows(path)) == accepted


async def test_looking_at_an_outbox_makes_none(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looks may be root, whose file the outbox's own user could not use."""
    monkeypatch.chdir(path.parent)
    settings = Settings(redis_url=NO_SERVER, redis_outbox=Path(path.name))
    findings = [one for one in await examine(settings) if one.check == "outbox"]
    assert [one.severity for one in findings] == ["warning", "ok"]
    assert f"another file in each working directory; here it is {path}." in findings[0].found
    _check_outbox(settings)
    assert list(path.parent.iterdir()) == []


def test_a_removed_file_is_made_anew_with_what_it_held(path: Path) -> None:
    outbox = OutboxFile(path)
    outbox.append(row())
    for file in path.parent.glob("outbox.db*"):
        file.unlink()
    outbox.append(row())
    assert len(rows(path)) == 2
    outbox.close()


def test_rows_come_back_as_they_were(path: Path) -> None:
    outbox = OutboxFile(path)
    written = [row(b'{"text":"gr\xc3\xbc\xc3\x9f\\u0000"}', published_at=1.5), row(b"x" * 2_000_000), row()]
    numbers = [outbox.append(one) for one in written]
    (writer,) = outbox.claim()
    first = outbox.first(writer).rows
    assert [one.number for one in first] == numbers[:2], "a batch has a size"
    assert [one.draft.fields for one in first] == [one.draft.fields for one in written[:2]]
    assert first[0].published_at == 1.5
    outbox.settle(writer, numbers[:2], {numbers[2]: "WRONGTYPE"})
    assert outbox.claim() == []
    assert outbox.size() == OutboxSize(waiting=0, refused=1)
    outbox.release(writer)
    outbox.close()
    assert path.stat().st_size < 100_000, "the disk has its space back"
    assert not list(path.parent.glob("*.lock*"))


def test_a_living_ones_rows_are_its_own(path: Path) -> None:
    mine, other = OutboxFile(path), OutboxFile(path)
    mine.append(row())
    other.append(row())
    (my_writer,), (other_writer,) = mine.claim(), other.claim()
    assert my_writer != other_writer
    mine.close()
    assert sorted(other.claim()) == sorted([my_writer, other_writer])
    other.close()


def test_many_processes_may_open_it_at_once(path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from abe_redis.publishing.outbox_file import *\n"
        "from abe_redis.streams.publish import Draft; from abe_redis.publishing.outbox_rows import Row\n"
        "sys.stdin.read()\n"
        "from abe_redis.publishing import outbox_file\n"
        # SQLite lets those who wait for each other's locks go in no order.
        "outbox_file.BUSY_SECONDS = outbox_file._PATIENCE_SECONDS = 120\n"
        "outbox = OutboxFile(Path(sys.argv[1]))\n"
        "for _ in range(20): outbox.append(Row(Draft('s', {}, 'i', 'a', 1)))\n"
        "outbox.close()"
    )
    command = [sys.executable, "-c", code, str(path)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE) for _ in range(6)]
    try:
        for process in processes:
            assert process.stdin is not None
            process.stdin.close()
        assert [process.wait(PATIENCE) for process in processes] == [0] * 6
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert len(rows(path)) == 120


@pytest.mark.parametrize("native", [True, False])
async def test_a_cancelled_publish_leaves_a_row_or_none(
    queue: RedisMessageQueueBackend, path: Path, native: bool
) -> None:
    await queue.publish("slack_events", {"n": "first"})
    accepted, asked = set(), 60
    for number in range(asked):
        delay = 0.0002 * (number % 10)
        if native:
            task = asyncio.create_task(queue.publish("slack_events", {"n": number}))
            await asyncio.sleep(delay)
            if not task.cancel():
                accepted.add(number)
            await asyncio.wait([task])
        else:
            with anyio.move_on_after(delay):
                await queue.publish("slack_events", {"n": number})
                accepted.add(number)
    await queue.publish("slack_events", {"n": "last"})
    found = [fields for fields, _ in rows(path)]
    assert len(set(found)) == len(found) <= asked + 2
    for number in accepted:
        assert any(f'{{\\"n\\":{number}}}' in fields for fields in found)
    # The thread of a task that was cancelled natively may still write its row, after the last one's.
    assert sum('\\"last\\"' in fields for fields in found) == 1


def test_a_thread_that_comes_after_the_end_takes_nothing(path: Path) -> None:
    """Its caller was cancelled. Others could not forward what is there."""
    ended = OutboxFile(path)
    ended.append(row())
    ended.close()
    with pytest.raises(OutboxError, match=r"is closed: the back end that used it is\."):
        ended.claim()
    other = OutboxFile(path)
    assert len(other.claim()) == 1
    other.close()
