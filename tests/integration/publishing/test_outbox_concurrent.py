"""Calls that publish at the same time go behind what waits in the outbox, whichever of them came first."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import anyio
import pytest

from abe_redis import RedisMessageQueueBackend, Settings, SyncBackend
from abe_redis.publishing import outbox_queue, publisher
from abe_redis.publishing.outbox_file import OutboxFile
from abe_redis.publishing.retry import retry
from tests.integration.conftest import until
from tests.integration.publishing.outboxes import (
    MakeQueue,
    _impatient,
    emptied,
    entries,
    leave,
    make_queue,
    numbers,
    path,
    patient,
)
from tests.patience import PATIENCE
from tests.servers import Server

__all__ = ["_impatient", "make_queue", "path"]

STREAM = "slack_events"


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine, forwarding takes longer than a publish waits for it."""
    monkeypatch.setattr(outbox_queue, "OLDER_SECONDS", PATIENCE)


@pytest.fixture
async def _left(own_server: Server, make_queue: MakeQueue) -> None:
    """An ended process has left 0 to 19, and Redis is there."""
    own_server.stop()
    await leave(make_queue, *range(20))
    own_server.start()


@pytest.fixture
async def begun(_left: None, make_queue: MakeQueue) -> RedisMessageQueueBackend:
    """A process that begins then."""
    return make_queue()


@pytest.fixture
def _slow_disk(_left: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking into the file takes so long that a publish to Redis would be done before."""
    claim = OutboxFile.claim

    def slow(file: OutboxFile) -> list[str]:
        time.sleep(0.3)
        return claim(file)

    monkeypatch.setattr(OutboxFile, "claim", slow)


@pytest.mark.promise("A process that begins publishes behind what ended ones left of the same stream")
@pytest.mark.promise("All calls of a process that begins wait for what ended ones left")
@pytest.mark.usefixtures("_slow_disk")
async def test_all_calls_of_a_process_that_begins_wait_for_what_an_ended_one_left(
    own_server: Server, begun: RedisMessageQueueBackend
) -> None:
    with patient():
        await asyncio.gather(
            *(begun.publish(STREAM, {"n": number}) for number in range(20, 25)),
            begun.publish_many(STREAM, [{"n": number} for number in range(25, 28)]),
        )
    assert numbers(own_server)[:20] == list(range(20))
    assert sorted(numbers(own_server)) == list(range(28))


@pytest.mark.usefixtures("_slow_disk")
async def test_a_cancelled_call_lets_no_later_one_overtake(
    own_server: Server, begun: RedisMessageQueueBackend
) -> None:
    with anyio.move_on_after(0.05):
        await begun.publish(STREAM, {"n": 99})
    with patient():
        await begun.publish(STREAM, {"n": 20})
    assert [number for number in numbers(own_server) if number != 99] == list(range(21))


@pytest.mark.usefixtures("_slow_disk")
async def test_threads_wait_as_well(own_server: Server, path: Path) -> None:
    with patient(), SyncBackend(Settings(redis_url=own_server.url, redis_outbox=path)) as backend:
        async with anyio.create_task_group() as group:
            for number in range(20, 24):
                group.start_soon(anyio.to_thread.run_sync, backend.publish, STREAM, {"n": number})
    assert numbers(own_server)[:20] == list(range(20))


async def test_a_call_that_tries_redis_goes_behind_what_is_kept_meanwhile(
    own_server: Server, make_queue: MakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_server.stop()
    queue = make_queue()
    monkeypatch.setattr(publisher, "PUBLISH_SECONDS", PATIENCE)
    trying = list[float]()

    async def noted(*arguments: Any, **options: Any) -> Any:
        trying.append(options["seconds"])
        return await retry(*arguments, **options)

    monkeypatch.setattr(publisher, "retry", noted)

    async def both_try() -> bool:
        return trying == [PATIENCE] * 2

    async with anyio.create_task_group() as group:
        group.start_soon(queue.publish, STREAM, {"n": 2})
        group.start_soon(queue.publish_many, STREAM, [{"n": 3}, {"n": 4}])
        await until(both_try)
        monkeypatch.setattr(publisher, "PUBLISH_SECONDS", 0.1)
        await queue.publish(STREAM, {"n": 1})
        # Both end now, though Redis stays away and they have much time left.
    own_server.start()
    await until(lambda: emptied(queue))
    found = numbers(own_server)
    assert found[0] == 1
    assert [number for number in found if number > 2] == [3, 4]
    assert all("n" in json.loads(entry["data"]) for entry in entries(own_server))
