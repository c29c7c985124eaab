"""A consumer whose chosen streams are not there, or an origin that nobody writes, says so at its start."""

import logging

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import EventWorker, RedisMessageQueueBackend, Settings
from tests.integration.conftest import until

LOGGER = "abe_redis.consuming.chosen_streams"


async def said(redis_url: str, caplog: pytest.LogCaptureFixture, *streams: str) -> list[tuple[str, str]]:
    """What a consumer of these streams logs about them."""
    caplog.set_level(logging.INFO)
    caplog.clear()
    async with RedisMessageQueueBackend(Settings(redis_url=redis_url), streams=streams) as backend:
        worker = EventWorker(backend, print, refuse_origins=["mcp", "mpc", "nightly"])
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)

            async def has_handled() -> bool:
                return worker.handled > 0

            await backend.publish("slack:there", {"n": 1})
            await until(has_handled)
            await worker.shutdown()
    return [(one.levelname, one.getMessage()) for one in caplog.records if one.name == LOGGER]


async def test_a_chosen_stream_that_is_not_there_is_named_once(
    redis_url: str, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    for stream in ("slack:orders:p0", "slack:there"):
        await redis.xadd(stream, {"data": "{}"})
        await redis.zadd("abe:streams", {stream: 1})
    chosen = ("slack:order", "slack:there", "slack:orders", "slack:elsewhere", "slack:x*", "slack:o*")
    near = "The stream 'slack:order' does not exist (yet): it is read once it has an event. Did you mean "
    assert await said(redis_url, caplog, *chosen) == [
        ("WARNING", f"{near}'slack:orders'?"),
        ("INFO", "The stream 'slack:elsewhere' does not exist (yet): it is read once it has an event."),
        ("INFO", "No known stream matches 'slack:x*' (yet): what does is read once it is found."),
    ]
    assert await said(redis_url, caplog) == [], "nobody chose the streams of the settings by name"


async def test_a_refused_origin_that_none_of_ours_writes_is_named(
    redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    await said(redis_url, caplog)
    told = [(one.levelname, one.getMessage()) for one in caplog.records if "the origin" in one.getMessage()]
    assert [level for level, _ in told] == ["WARNING", "INFO"]
    assert (
        "the origin 'mpc', which this worker refuses, only if a program publishes them with it" in told[0][1]
    )
    assert told[0][1].endswith("Did you mean 'mcp'?")
    assert "'nightly'" in told[1][1]
