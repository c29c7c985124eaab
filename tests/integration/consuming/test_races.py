"""Races, run so often that a gap of microseconds would show."""

import asyncio
from collections import Counter
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventWorker
from abe_redis.streams import acks, lease
from abe_redis.streams.reclaim import reclaim
from tests.integration.conftest import MakeBackend, until


@pytest.mark.promise("every command that acks, renews or gives back an entry first checks who holds it.")
async def test_an_ack_of_what_was_lost_a_moment_ago_is_refused(make_backend: MakeBackend) -> None:
    """10,000 times, a holder acks while another takes the entry over: exactly one of them has it."""
    redis = (await make_backend().connections()).commands
    await redis.xgroup_create("s", "g", "0", mkstream=True)
    finished: set[str] = set()
    refused: set[str] = set()
    taken: set[str] = set()

    async def ack(entry_id: str) -> None:
        (outcome,) = await acks.ack(redis, "g", "holder", [("s", entry_id)])
        (finished if outcome == "done" else refused).add(entry_id)

    async def take_over() -> None:
        entries, _ = await reclaim(redis, "g", "other", ["s"], lease_seconds=0, count=1)
        taken.update(entry.id for entry in entries)

    for _ in range(100):  # a hundred at a time, so that a slow machine leaves no connection silent for long
        pipeline = redis.pipeline(transaction=False)
        for number in range(100):
            pipeline.xadd("s", {"data": str(number)})
        await pipeline.execute()
        held = await lease.take_new(redis, "g", "holder", ["s"], count=100, block_ms=None)
        assert len(held) == 100
        await asyncio.gather(*(step for entry in reversed(held) for step in (take_over(), ack(entry.id))))
        assert finished.isdisjoint(taken), "both had it"
        assert refused <= taken, "nobody had it"
        await redis.xgroup_destroy("s", "g")
        await redis.xgroup_create("s", "g", "$")
    assert len(finished) + len(refused) == 10_000
    assert finished
    assert refused


@pytest.mark.promise("A stream adds the same `event_id` only once within `REDIS_STREAM_DEDUP_SECONDS`.")
async def test_ten_thousand_events_sent_four_times_by_eight_publishers(
    make_backend: MakeBackend, redis: Redis
) -> None:
    publishers = [make_backend(redis_stream_maxlen=100_000) for _ in range(8)]
    processed: Counter[int] = Counter()

    async def handle(event: Event) -> None:
        processed[event["n"]] += 1

    async def send(number: int, publisher: int) -> None:
        payload = {"type": "event_callback", "event_id": f"Ev{number}", "n": number}
        await publishers[publisher % 8].publish("slack_events", payload)

    for first in range(0, 10_000, 100):
        await asyncio.gather(
            *(send(number, number + 3 * copy) for number in range(first, first + 100) for copy in range(4))
        )
    assert await redis.xlen("slack_events") == 10_000
    worker = EventWorker(make_backend(), handle, concurrency=32)

    async def done() -> bool:
        groups: Any = await redis.xinfo_groups("slack_events")
        return bool(groups) and groups[0]["pending"] == 0 and groups[0]["lag"] == 0

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)
        await until(done)
        await worker.shutdown()
    assert processed == dict.fromkeys(range(10_000), 1)
