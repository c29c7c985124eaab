"""Taking events from a queue, and seeing that none comes."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from abe_redis import Event, EventStream
from tests.contract.conftest import Backend
from tests.patience import PATIENCE

TOPIC = "slack_events"
type Reasons = Callable[[Backend], Awaitable[list[str]]]
type Stored = Callable[[Backend, str], Awaitable[list[Any]]]


async def take(events: EventStream, count: int = 1) -> list[Event]:
    with anyio.fail_after(PATIENCE):
        return [await anext(events) for _ in range(count)]


async def none_comes(events: EventStream, *, seconds: float = 0.3) -> bool:
    with anyio.move_on_after(seconds) as scope:
        await anext(events)
    return scope.cancelled_caught
