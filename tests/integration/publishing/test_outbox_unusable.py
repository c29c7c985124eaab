"""The outbox's file breaks while it is in use: publishing goes on while Redis takes events."""

from collections.abc import Callable
from pathlib import Path

import pytest

from abe_redis.errors import OutboxError
from tests.integration.publishing.outboxes import MakeQueue, _impatient, make_queue, numbers, path, patient
from tests.servers import Server

__all__ = ["_impatient", "make_queue", "path"]

STREAM = "slack_events"


def overwritten(path: Path) -> None:
    path.write_bytes(b"not a database, but long enough to be looked at" * 1000)


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def link(path: Path) -> None:
    path.unlink()
    path.symlink_to("elsewhere")


@pytest.mark.promise("If the file cannot be read within two seconds, or not at all, they go to Redis.")
@pytest.mark.parametrize("damage", [overwritten, directory, link])
async def test_publishing_goes_on_beside_a_file_that_nobody_can_use(
    own_server: Server,
    make_queue: MakeQueue,
    path: Path,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[Path], None],
) -> None:
    queue = make_queue()
    with patient():
        await queue.publish(STREAM, {"n": 0})
    own_server.stop()
    await queue.publish(STREAM, {"n": 1})
    outbox = queue._publisher.outbox
    assert outbox is not None
    outbox._file._forget()  # as after any failure; what SQLite has cached hides the damage for a while
    damage(path)
    with pytest.raises(OutboxError, match=r"could not be reached .* The event was not kept"):
        await queue.publish(STREAM, {"n": 2})
    own_server.start()
    with patient():
        for number in range(3, 8):
            assert not (await queue.publish_event(STREAM, {"n": number})).is_kept
        for last in (8, 10):
            await queue.publish_many(STREAM, [{"n": last}, {"n": last + 1}])
    assert [number for number in numbers(own_server) if number > 2] == list(range(3, 12))
    said = [text for text in caplog.messages if "events go to it directly, ahead of what the file" in text]
    assert said
    assert len(said) == len(set(said)), "each once"
    assert str(path) in said[0]
