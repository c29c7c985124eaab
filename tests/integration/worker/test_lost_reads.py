"""What a worker does when Redis has given it events, and the answer to that is lost."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventWorker, Retry
from tests.integration.conftest import MakeBackend, until
from tests.refusing_proxy import RefusingProxy
from tests.servers import Server

pytestmark = pytest.mark.one_server

STREAM = "slack_events"


class Handler:
    """Fails each event the given number of times, and knows the deliveries that it was called for."""

    def __init__(self, failures: dict[int, int]) -> None:
        self.failures = failures
        self.deliveries: dict[int, list[int]] = {}

    async def __call__(self, event: Event) -> None:
        deliveries = self.deliveries.setdefault(event["n"], [])
        deliveries.append(event.deliveries)
        if len(deliveries) <= self.failures.get(event["n"], 0):
            raise ValueError("not yet")


@asynccontextmanager
async def working(
    make_backend: MakeBackend, server: Server, handler: Handler
) -> AsyncIterator[RefusingProxy]:
    async with RefusingProxy(server.port) as proxy:
        backend = make_backend(
            redis_url=f"redis://127.0.0.1:{proxy.port}/0",
            redis_stream_lease_seconds=3600,
            redis_stream_max_deliveries=2,
        )
        worker = EventWorker(backend, handler, concurrency=4, policy=lambda *_: Retry(delay=0.5))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            yield proxy
            await worker.shutdown()
        await backend.close()


async def is_finished(redis: Redis) -> bool:
    groups: Any = await redis.xinfo_groups(STREAM)
    return bool(groups) and groups[0]["pending"] == 0 and groups[0]["lag"] in {0, None}


@pytest.mark.parametrize("failures", [0, 2], ids=["handled", "buried"])
async def test_only_what_a_handler_began_counts_when_two_answers_are_lost_at_once(
    make_backend: MakeBackend, redis: Redis, server: Server, failures: int
) -> None:
    """One event is taken over, and another one read, by two commands whose answers do not arrive."""
    handler, lost = Handler({1: 1, 2: failures}), list[bytes]()

    def lose(words: Sequence[bytes], answer: bytes) -> bool:
        if lost or 1 not in handler.deliveries or b'"n":1' not in answer:
            return False
        lost.append(words[0])
        with server.admin() as admin:  # a blocking read is under way, and gets this
            admin.xadd(STREAM, {"data": '{"n": 2}'})
        return True

    async with working(make_backend, server, handler) as proxy:
        proxy.loses = lose
        await make_backend().publish(STREAM, {"n": 1})
        await until(lambda: is_done(handler, failures))
        await until(lambda: is_finished(redis))
    assert lost == [b"EVALSHA"]
    assert handler.deliveries == {1: [1, 2], 2: [1, 2] if failures else [1]}


async def is_done(handler: Handler, failures: int) -> bool:
    return len(handler.deliveries.get(1, [])) == 2 and len(handler.deliveries.get(2, [])) >= max(1, failures)
