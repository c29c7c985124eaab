"""What a worker does when Redis has given it events, and the answer to that is lost."""

from collections.abc import Sequence

import pytest
from redis.asyncio import Redis

from abe_redis import Event, Retry
from tests.integration.conftest import MakeBackend, until
from tests.integration.worker.test_lost_answers import STREAM, is_finished, working
from tests.servers import Server

pytestmark = pytest.mark.one_server


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

    async with working(
        *(make_backend, server, handler, lambda *_: Retry(delay=0.5)),
        ordered=False,
        lease=3600,
        concurrency=4,
        redis_stream_max_deliveries=2,
    ) as proxy:
        proxy.loses = lose
        await make_backend().publish(STREAM, {"n": 1})
        await until(lambda: is_done(handler, failures))
        await until(lambda: is_finished(redis))
    assert lost == [b"EVALSHA"]
    assert handler.deliveries == {1: [1, 2], 2: [1, 2] if failures else [1]}


async def is_done(handler: Handler, failures: int) -> bool:
    return len(handler.deliveries.get(1, [])) == 2 and len(handler.deliveries.get(2, [])) >= max(1, failures)
