"""Many events at once for the outbox, on a disk that is slow."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import pytest

from abe_redis.errors import OutboxFullError
from abe_redis.events.published import Published
from abe_redis.publishing import outbox_file
from abe_redis.publishing.outbox_file import OutboxFile
from tests.integration.conftest import until
from tests.integration.publishing.outboxes import MakeQueue, _impatient, emptied, entries, make_queue, path
from tests.servers import Server

__all__ = ["_impatient", "make_queue", "path"]

BURST = 200


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When the disk has taken what was written: one for each event would take ten seconds."""
    commit, ended = OutboxFile._transaction, list[float]()

    @contextmanager
    def slowly(self: OutboxFile, until: float | None = None) -> Iterator[Any]:
        with commit(self, until) as database:
            yield database
            time.sleep(0.05)
        ended.append(time.monotonic())

    monkeypatch.setattr(OutboxFile, "_transaction", slowly)
    return ended


async def burst(queue: Any, payload: dict[str, Any]) -> list[Published | OutboxFullError]:
    """Publish many events at once; what became of each, in their order."""
    found: dict[int, Published | OutboxFullError] = {}

    async def publish(number: int) -> None:
        try:
            found[number] = await queue.publish_event("slack_events", payload | {"n": number})
        except OutboxFullError as error:
            found[number] = error

    async with anyio.create_task_group() as tasks:
        for number in range(BURST):
            tasks.start_soon(publish, number)
    return [found[number] for number in range(BURST)]


async def test_a_burst_waits_for_few_commits(
    own_server: Server, make_queue: MakeQueue, commits: list[float]
) -> None:
    queue = make_queue()
    own_server.stop()
    for _ in range(2):  # the second one is written behind the first
        assert all(isinstance(one, Published) and one.is_kept for one in await burst(queue, {}))
    assert len(commits) < BURST
    own_server.start()
    await until(lambda: emptied(queue))
    assert len(entries(own_server)) == 2 * BURST


async def test_what_does_not_fit_in_a_burst_alone_is_refused(
    own_server: Server, make_queue: MakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_file, "MAX_BYTES", 256 * 1024)
    queue = make_queue()
    own_server.stop()
    became = await burst(queue, {"text": "x" * 4000})
    kept = [one for one in became if isinstance(one, Published)]
    assert kept
    assert any(isinstance(one, OutboxFullError) for one in became)
    assert (await queue.outbox_size()).waiting == len(kept)
    own_server.start()
    await until(lambda: emptied(queue))
    assert len(entries(own_server)) == len(kept)
