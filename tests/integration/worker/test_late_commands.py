"""A command that arrives when the lease is over changes nothing of what others finished meanwhile."""

from collections.abc import Sequence
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Bury, EventWorker, Retry
from abe_redis.streams import dead, release
from tests.integration.conftest import MakeBackend, until
from tests.integration.worker.test_lost_answers import (
    DEAD,
    DUE,
    KINDS,
    Handler,
    buries,
    is_finished,
    postpones,
    publish,
    until_true,
    working,
)
from tests.servers import Server

pytestmark = pytest.mark.one_server


@KINDS
@pytest.mark.parametrize("settles", [postpones, buries])
async def test_what_others_finished_does_not_come_back_by_a_late_command(
    make_backend: MakeBackend, redis: Redis, server: Server, ordered: bool, settles: Any
) -> None:
    policy: Any = (lambda *_: Retry(0.1)) if settles is postpones else (lambda *_: Bury("it is no good"))
    first, second = Handler(), Handler(failures=0)
    answered = list[bytes]()

    def note(words: Sequence[bytes], answer: bytes) -> bool:
        if settles(words) and not answer.startswith(b"-NOSCRIPT"):
            answered.append(answer)
        return False

    # The server has the scripts, so that what is held up is executed, and not asked for in full.
    await release.postpone(redis, "another", "default", "somebody", "7-7", delay_seconds=0)
    await dead.bury(redis, "another", "default", "somebody", "7-7", "it is no good")
    async with working(make_backend, server, first, policy, ordered=ordered) as proxy:
        proxy.holds_up = lambda words: proxy.held_up > 0 or settles(words)
        proxy.loses = note
        await publish(make_backend)
        await until_true(lambda: proxy.held_up > 0)
        async with anyio.create_task_group() as tasks:
            backend = make_backend(redis_stream_lease_seconds=1)
            worker = EventWorker(backend, second, ordered=ordered)
            tasks.start_soon(worker.run)
            await until_true(lambda: bool(second.deliveries))
            await until(lambda: is_finished(redis))
            proxy.let_go.set()
            await until_true(lambda: bool(answered))
            assert await is_finished(redis)
            assert await redis.zcard(DUE) == await redis.xlen(DEAD) == 0
            await worker.shutdown()
    assert (len(first.deliveries), len(second.deliveries)) == (1, 1)
