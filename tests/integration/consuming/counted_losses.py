"""What tests of losses share: a stream that is filled, and what is counted and logged as lost."""

import logging
from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis import Operations, RedisMessageQueueBackend, Settings
from abe_redis.schemas import GroupStats
from abe_redis.streams import names

TOPIC = "slack_events"
RECORDS = names.records(TOPIC)


@pytest.fixture
def redis_url(either_url: str) -> str:
    """Every test runs on both servers."""
    return either_url


@pytest.fixture
def settings(either_url: str) -> dict[str, Any]:
    return {"redis_url": either_url}


def backend_of(settings: dict[str, Any], **more: Any) -> RedisMessageQueueBackend:
    return RedisMessageQueueBackend(Settings(**settings | more))


async def fill(redis: Redis, count: int) -> None:
    pipeline = redis.pipeline(transaction=False)
    for number in range(count):
        pipeline.xadd(TOPIC, {"data": f'{{"n": {number}}}'})
    await pipeline.execute()


async def group_stats(settings: dict[str, Any], group: str = "default") -> GroupStats:
    async with backend_of(settings) as backend:
        stats = await Operations(backend).stream_stats(stream=TOPIC)
    (found,) = [one for one in stats.streams[0].groups if one.name == group]
    return found


async def advice(settings: dict[str, Any], **more: Any) -> str:
    async with backend_of(settings, **more) as backend:
        stats = await Operations(backend).stream_stats(stream=TOPIC)
    return stats.streams[0].advice


def losses(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def counted(caplog: pytest.LogCaptureFixture) -> int:
    sentences = [sentence for sentence in losses(caplog) if "gone before" in sentence]
    return sum(int(sentence.split()[0]) for sentence in sentences)


async def is_recorded(redis: Redis, group: str = "default") -> bool:
    """Whether the group has finished all, and that is on record."""
    if not await redis.exists(TOPIC):
        return False
    info: Any = await redis.xinfo_stream(TOPIC)
    last = info["last-generated-id"]
    groups = {row["name"].decode(): row for row in await redis.xinfo_groups(TOPIC)}
    floor: Any = await redis.hget(RECORDS, f"floor {group}")
    given = group in groups and groups[group]["last-delivered-id"] == last
    return bool(given and floor == b"%b %d 0" % (last, info["entries-added"]))
