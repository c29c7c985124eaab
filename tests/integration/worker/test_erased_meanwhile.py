"""An event is erased while its handler works, which fails then: the log promises nothing untrue."""

import pytest
from redis.asyncio import Redis

from abe_redis import Backoff, Bury, Event, EventWorker, RedisMessageQueueBackend
from abe_redis.operations.erasure import erase
from abe_redis.operations.scope import Scope
from abe_redis.worker.retry import Policy
from tests.integration.conftest import until
from tests.integration.worker.worker_at_work import DEAD, at_work


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (Backoff(first=0), "it is to be delivered again at once."),
        (lambda *_: Bury("no"), "it is to move to the dead letters."),
    ],
    ids=["retried", "buried"],
)
async def test_the_log_says_only_what_was_decided(
    backend: RedisMessageQueueBackend,
    redis: Redis,
    caplog: pytest.LogCaptureFixture,
    policy: Policy,
    words: str,
) -> None:
    begun = list[str]()

    async def handle(event: Event) -> None:
        begun.append(event.id)
        await erase(Scope(backend), user="U1")
        raise LookupError("no such channel")

    await backend.publish("slack_events", {"type": "message", "user": "U1", "channel": "C1"})
    worker = EventWorker(backend, handle, policy=policy)

    async def has_failed() -> bool:
        return bool(worker.failed)

    async with at_work(worker):
        await until(has_failed)
    assert len(begun) == 1
    assert not await redis.exists(DEAD)
    (said,) = (one for one in caplog.messages if one.startswith("The handler of "))
    assert said.endswith(words)
