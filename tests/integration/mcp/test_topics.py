"""An agent that names a topic hears of its partitions, too."""

import json

from redis.asyncio import Redis

from tests.integration.agents import GROUP, TOPIC, Ask, said, text_of

PART = f"{TOPIC}:p0"


async def lay_out(redis: Redis) -> None:
    """The topic's own stream and a partition, each with an event, and a dead letter in the partition."""
    for stream in (TOPIC, PART):
        await redis.xadd(stream, {"data": json.dumps(said(1))}, id="1-1")
        await redis.xgroup_create(stream, GROUP, "0")
        await redis.zadd("abe:streams", {stream: 1})
    letter = {"data": json.dumps(said(2)), "abe:reason": "no", "abe:group": GROUP, "abe:id": "1-1"}
    await redis.xadd(f"dead:{{{PART}}}", letter, id="9-1")  # type: ignore[arg-type]


async def test_stats_name_the_stream_of_each_group(ask: Ask, redis: Redis) -> None:
    await lay_out(redis)
    told = text_of(await ask("stream_stats", stream=TOPIC))
    for stream in (TOPIC, PART):
        assert f'Group "{GROUP}" of "{stream}": 0 pending; 1 not delivered' in told
    assert f'Group "{GROUP}": 0 pending' in text_of(await ask("stream_stats", stream=PART)), "there is one"


async def test_looks_and_changes_say_what_the_partitions_have(ask: Ask, redis: Redis) -> None:
    await lay_out(redis)
    calls = f'Name one as stream; stream_stats(stream="{TOPIC}") shows all'
    for arguments, holds in (
        ({}, "1 entry"),
        ({"waiting": True, "group": GROUP}, "0 pending, 1 not delivered"),
        ({"dead": True}, "1 dead letter"),
    ):
        told = text_of(await ask("read_stream", stream=TOPIC, **arguments))
        assert f"'{PART}' ({holds}). {calls}" in told
    redriven = text_of(await ask("redrive", stream=TOPIC))
    kept = f"""'{PART}' (1 dead letter). For these: redrive(stream="{PART}")."""
    assert f"Its partitions have dead letters of their own, which stay: {kept}" in redriven
    assert "abe-redis " not in redriven
