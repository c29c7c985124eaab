"""A group can be paused, or made, before the first event of its stream, unless the name may be mistyped."""

from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventWorker, Operations, RedisMessageQueueBackend
from abe_redis.errors import RequestError
from abe_redis.operations.groups import Groups
from abe_redis.streams.groups import ensure_group
from tests.integration.conftest import MakeBackend, until
from tests.integration.consuming.foreign_hands import working
from tests.integration.operations.groups_of_numbers import TOPIC, groups, redis_url

__all__ = ["groups", "redis_url"]

EMPTY = "The stream is new, and empty until its first event: check its name."
PARTITION = f"{TOPIC}:p2"


async def one_partition(redis: Redis, *known: str) -> None:
    await redis.xadd(f"{TOPIC}:p0", {"data": '{"n": 0}'})
    for group in known:
        await ensure_group(redis, [f"{TOPIC}:p0"], group)


@pytest.mark.parametrize("ordered", [False, True])
async def test_what_comes_to_a_partition_in_which_the_group_was_paused_before_waits(
    make_backend: MakeBackend, redis: Redis, groups: Groups, ordered: bool
) -> None:
    seen = list[tuple[str | None, int]]()

    async def handle(event: Event) -> None:
        seen.append((event.stream, event["n"]))

    await one_partition(redis, "bot")
    async with working(EventWorker(make_backend(), handle, group="bot", ordered=ordered)):
        change = await groups.pause(PARTITION, "bot")
        assert (change.done, change.note.endswith(EMPTY)) == ("paused", True)
        assert (await groups.pause(PARTITION, "bot")).done == "nothing"
        for stream in (PARTITION, f"{TOPIC}:p0"):
            await make_backend().publish(stream, {"n": 1})

        async def others_are_handled() -> bool:
            return seen == [(f"{TOPIC}:p0", 0), (f"{TOPIC}:p0", 1)]

        await until(others_are_handled)
        (stats,) = (await Operations(make_backend()).stream_stats(stream=PARTITION)).streams
        assert (stats.health, stats.groups[0].paused, stats.groups[0].lag) == ("paused", True, 1)
        await groups.resume(PARTITION, "bot")

        async def it_is_handled() -> bool:
            return seen[2:] == [(PARTITION, 1)]

        await until(it_is_handled)


async def test_a_name_that_may_be_mistyped_is_made_only_on_request(redis: Redis, groups: Groups) -> None:
    await one_partition(redis, "bot")
    refused = {
        ("slack_event:p2", "bot"): "No stream 'slack_event:p2' belongs to this queue",
        ("slack:p2", "bot"): r"'slack:p2' does not exist \(yet\).* add --create-stream\.",
        ("slack:x", "bot"): r"'slack:x' does not exist \(yet\).* add --create-stream\.",
        (f"{TOPIC}:p1000", "bot"): r"does not exist \(yet\)\. Did you mean 'slack_events:p0'\?",
        (
            TOPIC,
            "bot",
        ): f"'{TOPIC}' is spread over partitions.* the stream '{TOPIC}' beside these,.* add --create",
        (PARTITION, "bto"): "No stream of this queue has a group 'bto'",
        (f"{TOPIC}:p0", "bto"): "has no group 'bto'. Its groups: 'bot'",
    }
    for (stream, group), said in refused.items():
        with pytest.raises(RequestError, match=said):
            await groups.pause(stream, group)
    for stream in (TOPIC, "slack:x"):
        with pytest.raises(RequestError, match=r"add --create-stream\."):
            await groups.create(stream, "audit")
        with pytest.raises(RequestError, match=r"does not exist|is spread over"):
            await groups.resume(stream, "bot")
    with pytest.raises(RequestError, match="belongs to this queue"):
        await groups.pause("elsewhere", "bot", create_stream=True)
    with pytest.raises(RequestError, match="has no group 'bto'"):
        await groups.pause(f"{TOPIC}:p0", "bto", create_stream=True)
    assert await redis.keys("slack*") == [b"slack_events:p0"]
    assert (await groups.pause(TOPIC, "bot", create_stream=True)).done == "paused"
    assert (await groups.pause("slack:x", "bto", create_stream=True)).note.endswith(EMPTY)
    assert sorted(await redis.keys("slack*")) == [b"slack:x", b"slack_events", b"slack_events:p0"]


async def test_a_group_is_paused_in_a_stream_that_none_of_its_workers_has_found(
    redis: Redis, groups: Groups
) -> None:
    await one_partition(redis, "bot")
    await redis.xadd("slack:new", {"data": '{"n": 1}'})
    change = await groups.pause("slack:new", "bot")
    assert (change.done, EMPTY in change.note) == ("paused", False)
    (found,) = await ensure_group(redis, ["slack:new"], "bot")
    assert found.state == "paused"
    rows: Any = await redis.xinfo_groups("slack:new")
    assert [(row["name"], row["lag"]) for row in rows] == [(b"bot", 1)], "it begins at the beginning"


@pytest.mark.parametrize("start", [None, "now", "2h", "beginning"])
async def test_a_group_is_made_in_a_stream_to_come(
    redis: Redis, groups: Groups, backend: RedisMessageQueueBackend, start: str | None
) -> None:
    await one_partition(redis)
    for stream, create in ((PARTITION, False), ("slack:x", True)):
        with pytest.raises(RequestError, match=r"'slack.*' has no entry"):
            await groups.create(stream, "audit", start="2999-01-01", create_stream=create)
        assert not await redis.exists(stream)
        change = await groups.create(stream, "audit", start=start, create_stream=create)
        assert (change.done, change.note.endswith(EMPTY)) == ("created", True)
        await backend.publish(stream, {"n": 1})
        rows: Any = await redis.xinfo_groups(stream)
        assert [(row["name"], row["lag"]) for row in rows] == [(b"audit", 1)]
        with pytest.raises(RequestError, match="has a group 'audit' already"):
            await groups.create(stream, "audit", create_stream=True)
        (found,) = await ensure_group(redis, [stream], "audit")
        assert (found.state, found.was_known, found.again) == ("ready", True, False)


async def test_what_a_deleted_stream_had_unfinished_counts_as_lost(redis: Redis, groups: Groups) -> None:
    await one_partition(redis, "bot")
    await redis.xadd(PARTITION, {"data": '{"n": 1}'})
    await ensure_group(redis, [PARTITION], "bot")
    await redis.delete(PARTITION)
    assert (await groups.pause(PARTITION, "bot")).done == "paused"
    (group,) = (await groups.describe(PARTITION)).groups
    assert (group.lost, group.lag, group.paused) == (1, 0, True)
