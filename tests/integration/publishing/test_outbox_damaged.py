"""The disk has damaged the outbox: what can still be read is delivered, and the rest is said."""

import logging
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from abe_redis import RedisMessageQueueBackend, Settings
from abe_redis.doctor import examine
from abe_redis.errors import OutboxError
from tests.integration.conftest import log_says, until
from tests.integration.publishing.outboxes import _impatient, path, patient, until_it_holds
from tests.servers import Server

__all__ = ["_impatient", "path"]

SECRET = "what somebody has written"


@asynccontextmanager
async def away(server: Server, path: Path) -> AsyncIterator[RedisMessageQueueBackend]:
    """A queue that keeps events, since its server is away; what was kept stays behind it."""
    server.stop()
    async with RedisMessageQueueBackend(Settings(redis_url=server.url, redis_outbox=path)) as queue:
        yield queue
    server.start()


async def keep(queue: RedisMessageQueueBackend, numbers: range, *, more: str = SECRET) -> None:
    for number in numbers:
        await queue.publish("slack_events", {"number": number, "text": more})


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA ignore_check_constraints = ON")
        database.execute(statement)
        database.commit()


NOT_UTF_8 = "CAST(X'7B22FFFE' AS TEXT)"


@pytest.mark.parametrize(
    "damage",
    [
        f"fields = {NOT_UTF_8}",
        "fields = X'00'",
        "fields = '[1]'",
        """fields = '{"data": 1}'""",
        f"""fields = '{"[" * 100_000}'""",
        f"stream = {NOT_UTF_8}",
        f"identity = {NOT_UTF_8}",
        f"attempt = {NOT_UTF_8}",
        "remember_seconds = 'often'",
        "published_at = 'soon'",
    ],
)
async def test_a_damaged_row_stays_and_the_others_are_delivered(
    own_server: Server, path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    async with away(own_server, path) as queue:
        await keep(queue, range(6))
    change(path, f"UPDATE event SET {damage} WHERE number = 3")  # noqa: S608
    caplog.clear()
    settings = Settings(redis_url=own_server.url, redis_outbox=path)
    async with RedisMessageQueueBackend(settings) as queue:
        await until_it_holds(queue, waiting=0, refused=1)
        with patient():
            await keep(queue, range(10, 12))
    with own_server.admin() as admin:
        rows = [fields["data"] for _, fields in admin.xrange("slack_events")]
    assert [row.split(",")[0] for row in rows] == [
        f'{{"number":{number}' for number in (0, 1, 3, 4, 5, 10, 11)
    ]
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(said) == 1
    assert "1 event in the outbox" in said[0]
    assert "The row is damaged" in said[0]
    assert SECRET not in caplog.text
    findings = [one for one in await examine(settings) if one.check == "outbox"]
    assert any("1 event in" in one.found and one.severity == "problem" for one in findings)


@pytest.mark.parametrize("name", [NOT_UTF_8, "'../elsewhere'"])
async def test_a_row_of_nobody_knows_whom_is_delivered(own_server: Server, path: Path, name: str) -> None:
    async with away(own_server, path) as queue:
        await keep(queue, range(6))
    change(path, f"UPDATE event SET writer = {name} WHERE number IN (3, 4)")  # noqa: S608
    settings = Settings(redis_url=own_server.url, redis_outbox=path)
    async with RedisMessageQueueBackend(settings) as queue:
        await until_it_holds(queue, waiting=0, refused=0)
        with own_server.admin() as admin:
            assert admin.xlen("slack_events") == 6
    assert not list(path.parent.glob("*.lock*"))
    assert not path.parent.with_name("elsewhere.lock").exists()


async def test_a_page_that_cannot_be_read_is_said_and_stops_no_new_event(
    own_server: Server, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with away(own_server, path) as queue:
        await keep(queue, range(60), more="x" * 700)
    with path.open("r+b") as file:
        page = file.read().index(b'"number\\":30,') // 4096
        file.seek(4096 * page)
        file.write(os.urandom(4096))
    caplog.clear()
    settings = Settings(redis_url=own_server.url, redis_outbox=path)
    (finding,) = [one for one in await examine(settings) if one.check == "outbox"]
    assert finding.severity == "problem"
    assert "is damaged or not an SQLite database. Move it away to start a new one" in finding.found
    async with RedisMessageQueueBackend(settings) as queue:
        with patient():
            await keep(queue, range(100, 103))
        await until(lambda: log_says(caplog, "is damaged or not an SQLite database"))
        with pytest.raises(OutboxError, match="is damaged"):
            await queue.outbox_size()
    with own_server.admin() as admin:
        assert admin.xlen("slack_events") == 3


async def test_an_outbox_that_has_lost_its_content_is_said(
    own_server: Server, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with away(own_server, path) as queue:
        await keep(queue, range(3))
        log = path.with_name(f"{path.name}-wal")
        written = log.read_bytes()
    log.write_bytes(written)
    os.truncate(path, 0)
    caplog.clear()
    settings = Settings(redis_url=own_server.url, redis_outbox=path)
    (finding,) = [one for one in await examine(settings) if one.check == "outbox"]
    assert finding.severity == "problem"
    assert "was deleted or emptied, but its log outbox.db-wal is left" in finding.found
    async with RedisMessageQueueBackend(settings) as queue:
        with patient():
            await keep(queue, range(3))
        await until(lambda: log_says(caplog, "events are lost"))
        own_server.stop()
        with pytest.raises(OutboxError, match="events are lost"):
            await keep(queue, range(1))
    assert log.read_bytes() == written, "what may be saved is left alone"
