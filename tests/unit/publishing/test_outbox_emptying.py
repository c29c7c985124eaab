"""On a full disk, the steps that take events out of the outbox's file use no more room than is reserved."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from abe_redis.errors import OutboxError
from abe_redis.publishing import outbox_emptying
from abe_redis.publishing.outbox_emptying import Emptying
from abe_redis.publishing.outbox_reserve import Reserve


class FullDisk:
    """An outbox on a full disk whose log others use for a while."""

    def __init__(self, place: Path, *, in_use: int) -> None:
        self.database = sqlite3.connect(":memory:")
        self.database.execute("CREATE TABLE event (number INTEGER, writer TEXT, refused TEXT)")
        self.database.executemany("INSERT INTO event VALUES (?, 'w', NULL)", [[1], [2], [3]])
        self.reserve = Reserve(place / "outbox")
        self.left: list[int] = []
        """How many events the file still had, each time that the log was to be emptied."""
        self._in_use = in_use

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        yield self.database

    def empty_log(self) -> bool:
        (count,) = self.database.execute("SELECT count(*) FROM event").fetchone()
        self.left.append(count)
        self._in_use -= 1
        return self._in_use < 0

    def settle(self) -> None:
        with closing(self.database):
            Emptying(self.reserve, self.transaction, self.empty_log).settle("w", [1, 2, 3], {})


def test_a_step_waits_until_the_log_of_whatever_was_before_is_empty(tmp_path: Path) -> None:
    disk = FullDisk(tmp_path, in_use=4)
    disk.settle()
    assert disk.left[:8] == [3, 3, 3, 3, 3, 2, 1, 0]
    assert disk.reserve.is_there


def test_a_log_that_stays_in_use_ends_the_emptying_with_the_room_reserved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_emptying, "_LOG_SECONDS", 0.05)
    disk = FullDisk(tmp_path, in_use=10**9)
    with pytest.raises(OutboxError, match="in use"):
        disk.settle()
    assert set(disk.left) == {3}
    assert disk.reserve.is_there
