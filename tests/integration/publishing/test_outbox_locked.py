"""Somebody else locks the outbox: a publish answers in time, and the file is used again when it is free."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from abe_redis import RedisMessageQueueBackend, Settings
from abe_redis.errors import OutboxError
from abe_redis.publishing import outbox_delivery, publisher
from tests import lateness

STREAM = "slack_events"
NOWHERE = "redis://127.0.0.1:1/0"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """As a backup or a person with the sqlite3 program does."""
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    yield
    database.execute("COMMIT")
    database.close()


@pytest.mark.parametrize("waits", [False, True], ids=["tried Redis", "others wait"])
async def test_a_foreign_lock_holds_a_publish_no_longer_than_slack_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, waits: bool
) -> None:
    """Without it, as long as Redis is tried; with it, that and the time that is left."""
    monkeypatch.setattr(publisher, "PUBLISH_SECONDS", 0.2)
    monkeypatch.setattr(outbox_delivery, "KEEP_BEHIND_SECONDS", 0.6)
    path = tmp_path / "outbox"
    async with RedisMessageQueueBackend(Settings(redis_url=NOWHERE, redis_outbox=path)) as backend:
        if waits:
            await backend.publish(STREAM, {"n": 0})
        else:
            async with RedisMessageQueueBackend(Settings(redis_url=NOWHERE, redis_outbox=path)) as other:
                await other.publish(STREAM, {"n": 0})
        with locked(path):
            async with lateness.watching() as watch:
                with pytest.raises(OutboxError, match="is locked by another program"):
                    await backend.publish(STREAM, {"n": 1})
                assert watch.own < 4, "it waited as SQLite does by default"
        assert (await backend.publish_event(STREAM, {"n": 2})).is_kept, "it is used again"
        assert (await backend.outbox_size()).waiting == 2


def test_the_times_add_up_to_less_than_slack_waits() -> None:
    assert publisher.PUBLISH_SECONDS + outbox_delivery.KEEP_SECONDS < 3
    assert outbox_delivery.KEEP_BEHIND_SECONDS + outbox_delivery.KEEP_SECONDS < 3
