"""Stats by hand: the state of each stream and group, and since when."""

import time
from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis import Operations
from abe_redis.streams import names
from tests.integration.conftest import MakeBackend, until
from tests.integration.operations.numbered_streams import fill, operations

__all__ = ["operations"]


async def test_stats_tell_the_state(make_backend: MakeBackend, operations: Operations, redis: Redis) -> None:
    async def only() -> Any:
        (found,) = (await operations.stream_stats(stream="slack_events")).streams
        return found

    await fill(operations, 3)
    found = await only()
    assert (found.length, found.groups, found.health) == (3, [], "unread")
    assert found.first_at <= found.last_at
    assert found.memory_bytes > 0

    await operations.read_stream(group="agents", count=2)
    found = await only()
    (group,) = found.groups
    assert (group.name, group.pending, group.lag, found.health) == ("agents", 2, 1, "working")
    (consumer,) = group.consumers
    assert (consumer.name, consumer.pending, consumer.alive) == (operations.consumer, 2, True)
    assert group.oldest_pending_seconds >= 0

    impatient = Operations(make_backend(redis_stream_lease_seconds=0.5))
    await redis.hset(
        names.leases("slack_events", "agents"), operations.consumer, "500 1"
    )  # not to wait for 30 s

    async def stalled() -> bool:
        (seen,) = (await impatient.stream_stats()).streams
        return seen.health == "stalled" and "no consumer is alive" in seen.advice

    await until(stalled)
    leased = await operations.read_stream(group="agents", pending=True)
    await operations.ack(stream="slack_events", group="agents", ids=[event.id for event in leased.events])
    rest = await operations.read_stream(group="agents")
    await operations.ack(stream="slack_events", group="agents", ids=[event.id for event in rest.events])
    found = await only()
    assert (found.groups[0].pending, found.groups[0].lag, found.health) == (0, 0, "ok")
    assert found.advice == "Nothing is waiting."

    await redis.xadd("dead:{slack_events}", {"data": "{}"})
    assert (await only()).health == "dead_letters"


async def test_stats_tell_since_when(operations: Operations, redis: Redis) -> None:
    """By the ids, which are the times of publishing: of what is pending, and of what nobody has."""
    now = time.time()
    for ago in (7200, 7100, 1800, 300, 30, 0):
        await redis.xadd("slack_events", {"data": "{}"}, id=f"{int((now - ago) * 1000)}-0")
    await operations.read_stream(group="agents", count=4)

    (found,) = (await operations.stream_stats(stream="slack_events")).streams
    (group,) = found.groups
    assert found.added == 6
    assert group.pending_by_age == {"older": 2, "under_1h": 1, "under_10m": 1}
    assert group.oldest_pending_seconds == pytest.approx(7200, abs=60)
    assert group.oldest_undelivered_seconds == pytest.approx(30, abs=25)
    assert found.health == "backlog"
    assert "4 pending (the oldest published 2 h ago) and 2 not delivered yet (the oldest" in found.advice

    (brief,) = (await operations.stream_stats()).streams
    assert brief.groups[0].pending_by_age == {}  # of one stream only


async def test_events_that_wait_long_are_a_backlog_though_all_held_ones_are_new(
    operations: Operations, redis: Redis
) -> None:
    old = int((time.time() - 600) * 1000)
    await redis.xadd("slack_events", {"data": "{}"}, id=f"{old}-0")
    await redis.xadd("slack_events", {"data": "{}"})
    first = await operations.read_stream(group="agents", count=1)
    await operations.ack(stream="slack_events", group="agents", ids=[first.events[0].id])
    assert (await operations.stream_stats()).streams[0].health == "working"
    await redis.xadd("slack:other", {"data": "{}"}, id=f"{old}-0")
    await redis.xgroup_create("slack:other", "agents", id="0")
    await redis.xgroup_createconsumer("slack:other", "agents", "alive")
    found = (await operations.stream_stats(stream="slack:other")).streams[0]
    assert (found.health, found.groups[0].pending) == ("backlog", 0)
    assert "(the oldest published 10 min ago): add consumers" in found.advice


@pytest.mark.parametrize("record", [b"", b"1-0", b"1-0 x 2", b"1-0 2 3 4", b"\xff"])
async def test_records_that_somebody_else_wrote_do_no_harm(
    operations: Operations, redis: Redis, record: bytes
) -> None:
    await fill(operations, 1)
    await operations.read_stream(group="agents", count=1)
    await redis.hset(names.records("slack_events"), "floor gone", record)
    await redis.hset(names.leases("slack_events", "agents"), "somebody", record)
    (found,) = (await operations.stream_stats(stream="slack_events")).streams
    assert [one.name for one in found.groups] == ["agents"]
