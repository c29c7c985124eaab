"""The outbox's file is deleted or replaced while it is in use: that is said, and its events are delivered."""

import logging
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from abe_redis.publishing.outbox_file import OutboxFile, OutboxSize
from abe_redis.publishing.outbox_kept import Kept
from abe_redis.publishing.outbox_rows import Row
from abe_redis.streams.publish import Draft
from tests.integration.conftest import until
from tests.integration.publishing.outboxes import MakeQueue, _impatient, emptied, entries, make_queue, path
from tests.servers import Server

__all__ = ["_impatient", "make_queue", "path"]


def delete_all(path: Path) -> None:
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink(missing_ok=True)  # it may have been a trial of a process that begins


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]


@pytest.mark.parametrize("more", [0, 5], ids=["by its task", "by the next event"])
async def test_what_it_held_is_said_and_delivered(
    own_server: Server, make_queue: MakeQueue, path: Path, caplog: pytest.LogCaptureFixture, more: int
) -> None:
    own_server.stop()
    queue = make_queue()
    for number in range(5):
        await queue.publish("slack_events", {"n": number})
    delete_all(path)
    for number in range(5, 5 + more):
        assert isinstance(await queue.publish_event("slack_events", {"n": number}), Kept)
    own_server.start()

    async def arrived() -> bool:
        return len(entries(own_server)) == 5 + more and await emptied(queue)

    await until(arrived)
    assert [one["data"] for one in entries(own_server)] == [f'{{"n":{n}}}' for n in range(5 + more)]
    (said,) = (one for one in errors(caplog) if "deleted or replaced" in one)
    assert f"{path} was deleted or replaced while it held 5 events." in said


async def test_a_file_that_held_nothing_is_not_missed(
    own_server: Server, make_queue: MakeQueue, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own_server.stop()
    queue = make_queue()
    await queue.publish("slack_events", {"n": 0})
    own_server.start()
    await until(lambda: emptied(queue))
    delete_all(path)
    assert await queue.outbox_size() == OutboxSize(0, 0)
    assert not [one for one in errors(caplog) if "deleted" in one]


@pytest.fixture
def files(path: Path) -> Iterator[tuple[OutboxFile, OutboxFile]]:
    """The same outbox, opened twice."""
    with closing(OutboxFile(path)) as one, closing(OutboxFile(path)) as two:
        yield one, two


def row(number: int) -> Row:
    return Row(Draft("slack_events", {b"data": b"%d" % number}, str(number), str(number), 3600.0))


def data(file: OutboxFile) -> list[bytes]:
    return [one.draft.fields[b"data"] for writer in file.claim() for one in file.first(writer).rows]


def test_a_number_of_the_lost_file_means_no_row_of_the_new_one(
    path: Path, files: tuple[OutboxFile, OutboxFile]
) -> None:
    file, other = files
    old = [file.append(row(number)) for number in range(3)]
    (writer,) = file.claim()
    delete_all(path)
    other.append(row(3))  # whose number is one of the old ones
    new = file.append(row(4))
    assert new not in old
    file.settle(writer, [*old, new], {})
    assert sorted(data(file)) == [b"0", b"1", b"2"], "which are delivered again, and known to Redis"
    assert data(other) == [b"3"]


def test_a_file_of_another_process_in_its_place_gets_what_it_held_once(
    path: Path, files: tuple[OutboxFile, OutboxFile]
) -> None:
    one, two = files
    one.append(row(0))
    two.append(row(1))
    delete_all(path)
    one.append(row(2))
    two.append(row(3))
    assert sorted(data(one) + data(two)) == [b"0", b"1", b"2", b"3"]


def test_what_cannot_be_read_any_more_is_said(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = OutboxFile(path)
    file.append(row(0))
    file._forget()  # as after a failure
    delete_all(path)
    assert file.size() == OutboxSize(0, 0)
    (said,) = errors(caplog)
    assert said.endswith("they are lost.")
