"""A backend that reads only some of the streams that its settings name."""

import pickle

import pytest
from redis.asyncio import Redis

from abe_redis import RedisMessageQueueBackend, Settings
from abe_redis.errors import InvalidNameError
from tests.integration.conftest import take


async def test_only_the_chosen_streams_are_read_and_all_are_published_to(
    redis_url: str, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(redis_url=redis_url, redis_stream_partitions=2)
    chosen = RedisMessageQueueBackend(settings, streams=["slack:a"])
    async with pickle.loads(pickle.dumps(chosen)) as backend:  # noqa: S301 - our own
        for number, stream in enumerate(("slack:b", "slack:a", "slack:a", "slack_events")):
            await backend.publish(stream, {"channel": f"C{number}", "n": number})
        async with backend.consume() as events:
            assert {event["n"] for event in await take(events, 2)} == {1, 2}
        assert not [name async for name in redis.scan_iter("abe:groups:*slack:b*")]
    assert not caplog.messages, "the others are consumed somewhere else"


def test_a_name_that_no_pattern_has_is_refused() -> None:
    with pytest.raises(InvalidNameError, match="'slack_event' is not among those that are read here"):
        RedisMessageQueueBackend(Settings(), streams=["slack_events", "slack_event"])
