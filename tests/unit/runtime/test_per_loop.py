"""What is said to a program in which no event loop of asyncio runs."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from abe_redis import RedisMessageQueueBackend, Settings
from abe_redis.testing import message

WAYS: dict[str, Callable[[RedisMessageQueueBackend], Awaitable[Any]]] = {
    "publish": lambda backend: backend.publish("slack_events", message("hi")),
    "publish_many": lambda backend: backend.publish_many("slack_events", [message("hi")]),
    "consume": lambda backend: backend.consume().__anext__(),
    "async with": lambda backend: backend.__aenter__(),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_loop_that_is_not_asyncios_is_named_as_the_cause(way: str) -> None:
    """Such a loop drives what is awaited itself."""
    backend = RedisMessageQueueBackend(Settings())
    with pytest.raises(
        RuntimeError, match=r"No event loop of asyncio runs in this thread\. Call abe-redis in"
    ):
        next(WAYS[way](backend).__await__())


def test_a_program_without_a_loop_is_told_what_serves_it() -> None:
    with pytest.raises(RuntimeError, match="A program without a loop uses SyncBackend"):
        RedisMessageQueueBackend(Settings()).forward()
