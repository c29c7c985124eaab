"""Outbox files that cannot be used: damaged, full, not ours; what is said, and when."""

import errno
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest

from abe_redis import RedisMessageQueueBackend, Settings
from abe_redis.cli.listen import _check_outbox
from abe_redis.doctor import examine
from abe_redis.errors import (
    OutboxError,
    OutboxFullError,
    SettingsError,
)
from abe_redis.publishing import outbox_file, publisher
from abe_redis.publishing.outbox_file import OutboxFile
from tests.patience import PATIENCE
from tests.unit.publishing.outboxes import NO_SERVER, path, queue, row

__all__ = ["path", "queue"]


def damaged(path: Path) -> None:
    path.write_bytes(b"not a database, but long enough to be looked at" * 100)


def others(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE theirs (x)")


UNUSABLE = pytest.mark.parametrize(
    ("prepare", "says"),
    [
        (damaged, "is damaged or not an SQLite database"),
        (others, "is another program's database"),
        (Path.mkdir, "is a directory"),
        (lambda path: path.parent.rmdir(), "is not a directory. Make it, for this user, or name another"),
        (lambda path: (path.parent.rmdir(), path.parent.touch()), "is not a directory. Make it, for this"),
        (lambda path: path.symlink_to("elsewhere"), "is not a file of this user but a link"),
        (lambda path: path.parent.chmod(0o777), "may be changed by every user"),
    ],
)


@UNUSABLE
async def test_a_file_that_cannot_be_used_is_said_when_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prepare: Any, says: str
) -> None:
    monkeypatch.setattr(publisher, "PUBLISH_SECONDS", 0.1)
    path = tmp_path / "directory" / "outbox.db"
    path.parent.mkdir()
    prepare(path)
    async with RedisMessageQueueBackend(Settings(redis_url=NO_SERVER, redis_outbox=path)) as queue:
        for _ in range(2):
            with pytest.raises(OutboxError) as caught:
                await queue.publish("slack_events", {"n": 1})
            message = str(caught.value)
            assert message.startswith(f"Redis at {NO_SERVER} could not be reached")
            assert says in message
            assert str(path.parent) in message
            assert message.endswith("The event was not kept.")


@UNUSABLE
async def test_a_file_that_cannot_be_used_is_said_at_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, prepare: Any, says: str
) -> None:
    """By the doctor, by a listener, and in the log of whatever else connects; nobody changes anything."""
    path = tmp_path / "directory" / "outbox.db"
    path.parent.mkdir()
    prepare(path)
    before = sorted(tmp_path.rglob("*"))
    settings = Settings(redis_url=NO_SERVER, redis_outbox=path)
    (finding,) = [one for one in await examine(settings) if one.check == "outbox"]
    assert finding.severity == "problem"
    assert says in finding.found
    with pytest.raises(SettingsError, match=re.escape(says)):
        _check_outbox(settings)
    async with RedisMessageQueueBackend(settings) as queue:
        await queue.connections()
        with anyio.fail_after(PATIENCE):
            while not caplog.records:
                await anyio.sleep(0.01)
    assert caplog.records[0].levelname == "ERROR"
    assert says in caplog.text
    assert "Until then no event is kept while Redis is away." in caplog.text
    assert sorted(tmp_path.rglob("*")) == before


async def test_a_full_disk_does_not_keep_a_listener_from_starting(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(outbox_file, "try_to_make", fail)
    settings = Settings(redis_url=NO_SERVER, redis_outbox=path)
    _check_outbox(settings)
    assert "its disk is full" in caplog.text
    (finding,) = [one for one in await examine(settings) if one.check == "outbox"]
    assert finding.severity == "problem"


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="file modes are POSIX")
def test_a_file_that_may_only_be_read() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        path = Path(directory) / "outbox.db"
        with closing(OutboxFile(path)) as outbox:
            outbox.append(row())
        path.chmod(0o400)
        path.parent.chmod(0o755)
        if os.geteuid() == 0:
            os.chown(path, 65534, 65534)
        code = (
            "import os, sys; from pathlib import Path; from abe_redis.publishing.outbox_file import *\n"
            "from abe_redis.streams.publish import Draft; from abe_redis.publishing.outbox_rows import Row\n"
            "from abe_redis.errors import OutboxError\n"
            "os.geteuid() or os.setuid(65534)\n"  # root may write to it all the same
            "try: OutboxFile(Path(sys.argv[1])).append(Row(Draft('s', {}, 'i', 'a', 1)))\n"
            "except OutboxError as error: print(error)"
        )
        result = subprocess.run(
            [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False
        )
    assert f"The outbox {path} cannot be used" in result.stdout, result.stderr
    assert "REDIS_OUTBOX must name a file that this user may read and write" in result.stdout


def test_a_directory_that_may_not_be_entered() -> None:
    def refuse(path: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "exists", refuse)
        for call in (OutboxFile(Path("outbox.db")).claim, OutboxFile(Path("outbox.db")).size):
            with pytest.raises(OutboxError, match=r"cannot be used .*Permission denied"):
                call()


def test_a_full_disk_is_said_to_be_full(path: Path) -> None:
    outbox = OutboxFile(path)
    outbox.append(row())
    assert outbox._opened is not None
    outbox._opened.execute("PRAGMA max_page_count = 1")  # SQLite reports both alike
    with pytest.raises(OutboxFullError, match="its disk is full"):
        outbox.append(row(b"x" * 100_000))
    assert outbox.append(row(b"x" * 100_000)) == 2
    outbox.close()
