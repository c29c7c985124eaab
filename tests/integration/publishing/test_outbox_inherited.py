"""What ended processes left in the outbox comes before what this one publishes to the same streams."""

import pytest

from abe_redis import SyncBackend
from abe_redis.publishing import outbox_queue
from tests.integration.conftest import until
from tests.integration.publishing.outboxes import (
    MakeQueue,
    _impatient,
    emptied,
    leave,
    make_queue,
    numbers,
    path,
    patient,
)
from tests.servers import Server

__all__ = ["_impatient", "make_queue", "path"]


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine, forwarding takes longer than a publish waits for it."""
    monkeypatch.setattr(outbox_queue, "OLDER_SECONDS", 60)


@pytest.mark.promise("A process that begins publishes behind what ended ones left of the same stream")
async def test_a_process_that_begins_publishes_behind_what_an_ended_one_left(
    own_server: Server, make_queue: MakeQueue
) -> None:
    own_server.stop()
    await leave(make_queue, *range(150))
    own_server.start()
    with patient():
        assert not (await make_queue().publish_event("slack_events", {"n": 150})).is_kept
    assert numbers(own_server) == list(range(151))


async def test_it_waits_for_no_other_stream(own_server: Server, make_queue: MakeQueue) -> None:
    own_server.stop()
    await leave(make_queue, *range(3))
    own_server.start()
    with own_server.admin() as admin:
        admin.rpush("slack_events", "in the way")
        queue = make_queue()
        with patient():
            assert not (await queue.publish_event("slack:other", {"n": 0})).is_kept
        admin.delete("slack_events")
    await until(lambda: emptied(queue))
    assert numbers(own_server) == list(range(3))


async def test_so_does_a_publisher_that_blocks(own_server: Server, make_queue: MakeQueue) -> None:
    own_server.stop()
    queue = make_queue()
    settings = queue.settings
    await queue.close()
    await leave(make_queue, *range(20))
    own_server.start()
    with patient(), SyncBackend(settings) as backend:
        assert not backend.publish_event("slack_events", {"n": 20}).is_kept
    assert numbers(own_server) == list(range(21))


async def test_what_one_process_after_another_left_keeps_its_order(
    own_server: Server, make_queue: MakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while what holds up the first of them holds up the others."""
    monkeypatch.setattr(outbox_queue, "OLDER_SECONDS", 0.05)
    own_server.stop()
    for first in (0, 3, 6):
        await leave(make_queue, *range(first, first + 3))
    own_server.start()
    with own_server.admin() as admin:
        admin.rpush("slack_events", "in the way")
        queue = make_queue()
        for number in range(9, 12):
            assert (await queue.publish_event("slack_events", {"n": number})).is_kept
        admin.delete("slack_events")
    await until(lambda: emptied(queue))
    assert numbers(own_server) == list(range(12))
    with patient():
        await queue.publish("slack_events", {"n": 12})
    assert numbers(own_server) == list(range(13))
