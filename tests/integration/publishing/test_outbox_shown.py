"""What is said of an outbox: damage, waiting events, and files that cannot be read."""

import sys
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from abe_redis import Operations, RedisMessageQueueBackend, Settings, cli
from abe_redis.errors import OutboxError, RedisUnavailableError
from abe_redis.mcp import answer_text
from abe_redis.publishing.outbox_kept import Kept
from abe_redis.schemas import OutboxStats
from tests.integration.conftest import until
from tests.integration.publishing.outboxes import (
    MakeQueue,
    _impatient,
    emptied,
    entries,
    make_queue,
    path,
    patient,
)
from tests.servers import Server

__all__ = ["_impatient", "make_queue", "path"]


async def test_a_damaged_outbox_is_said_at_once_and_stops_nothing_until_it_is_needed(
    own_server: Server, make_queue: MakeQueue, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_bytes(b"damaged" * 1000)
    queue = make_queue()
    with patient():
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

        async def delivered() -> bool:
            return (await operations.stream_stats()).outbox == OutboxStats(waiting=0, refused=0)

        await until(delivered)
        own_server.freeze()
        assert (await operations.publish_event({"n": 2})).waiting
        with pytest.raises(RedisUnavailableError, match="The outbox keeps 1 event until then"):
            await operations.stream_stats()
        own_server.thaw()
        await until(delivered)
