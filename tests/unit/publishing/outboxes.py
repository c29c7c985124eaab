"""A back end without a server, and the rows of its outbox."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from abe_redis import RedisMessageQueueBackend, Settings
from abe_redis.publishing import publisher
from abe_redis.publishing.outbox_rows import Row
from abe_redis.streams.publish import Draft

NO_SERVER = "redis://127.0.0.1:1/0"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


@pytest.fixture
async def queue(path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RedisMessageQueueBackend]:
    """A back end whose Redis is away for ever, and whose patience is short."""
    monkeypatch.setattr(publisher, "PUBLISH_SECONDS", 0.1)
    async with RedisMessageQueueBackend(Settings(redis_url=NO_SERVER, redis_outbox=path)) as queue:
        yield queue


def row(data: bytes = b"{}", **more: Any) -> Row:
    return Row(Draft("slack_events", {b"data": data}, "event:Ev1", "attempt", 60), **more)


def rows(path: Path) -> list[tuple[Any, ...]]:
    """The fields and the identity of each event in the file."""
    with closing(sqlite3.connect(path)) as database:
        return database.execute("SELECT fields, identity FROM event ORDER BY number").fetchall()
