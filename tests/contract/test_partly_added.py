"""What the error of `publish_many` says of events, when the queue in memory goes away in the middle."""

import anyio
import anyio.lowlevel
import pytest

from abe_redis import Settings
from abe_redis.errors import PayloadError, RedisUnavailableError
from abe_redis.testing import InMemoryBackend


async def test_a_queue_in_memory_that_goes_away_says_what_it_has() -> None:
    async with InMemoryBackend(Settings()) as backend, anyio.create_task_group() as tasks:

        async def go_away() -> None:
            while len(backend.published()) < 2:
                await anyio.lowlevel.checkpoint()
            backend.away = True

        tasks.start_soon(go_away)
        with pytest.raises(RedisUnavailableError) as caught:
            await backend.publish_many("slack_events", [{"n": number} for number in range(1000)])
        assert list(caught.value.added) == [one["n"] for one in backend.published()]
        assert 2 <= len(caught.value.added) < 1000
        assert list(caught.value.uncertain) == []


async def test_nothing_was_added_when_one_is_no_event() -> None:
    async with InMemoryBackend(Settings()) as backend:
        with pytest.raises(PayloadError) as caught:
            await backend.publish_many("slack_events", [{"n": 1}, {"n": object()}])
        assert (dict(caught.value.added), list(caught.value.uncertain)) == ({}, [])
