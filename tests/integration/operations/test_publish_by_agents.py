"""Publishing by an agent: its events are marked, and an id makes it repeatable."""

from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis import Operations
from tests.integration.operations.numbered_streams import operations

__all__ = ["operations"]


@pytest.mark.promise("What the agent publishes is marked")
async def test_events_published_by_an_agent_are_marked(operations: Operations, redis: Redis) -> None:
    await operations.publish_event({"a": 1})
    entries: Any = await redis.xrange("slack_events")
    assert entries[0][1] == {b"data": b'{"a":1}', b"origin": b"mcp"}


async def test_an_event_id_makes_publishing_repeatable(operations: Operations, redis: Redis) -> None:
    first = await operations.publish_event({"a": 1}, event_id="mine")
    again = await operations.publish_event({"a": 1}, event_id="mine")
    assert (first.duplicate, again.duplicate) == (False, True)
    assert again.id == first.id
    assert await redis.xlen("slack_events") == 1
