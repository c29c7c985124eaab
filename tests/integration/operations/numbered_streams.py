"""An agent's operations, and a stream of numbers that they read."""

import pytest

from abe_redis import Operations, RedisMessageQueueBackend


@pytest.fixture
async def operations(backend: RedisMessageQueueBackend) -> Operations:
    return Operations(backend, origin="mcp")


async def fill(operations: Operations, count: int, *, stream: str = "slack_events") -> list[str]:
    return [
        (
            await operations.publish_event(
                {"type": "app_mention" if number % 2 else "message", "n": number}, stream=stream
            )
        ).id
        for number in range(count)
    ]
