"""Back ends on a real server, and ways to wait for what they do."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from typing import Any, Protocol

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventStream, RedisMessageQueueBackend, Settings
from abe_redis.client.connections import Connections
from abe_redis.streams import names
from tests.integration.agents import Ask, asking, server
from tests.patience import PATIENCE, pause


class MakeBackend(Protocol):
    def __call__(self, **settings: Any) -> RedisMessageQueueBackend: ...


@pytest.fixture
async def make_backend(redis_url: str) -> AsyncIterator[MakeBackend]:
    """Makes back ends on the shared server; they are closed at the end."""
    async with AsyncExitStack() as stack:

        def make(**settings: Any) -> RedisMessageQueueBackend:
            backend = RedisMessageQueueBackend(Settings(**{"redis_url": redis_url} | settings))
            stack.push_async_callback(backend.close)
            return backend

        yield make


@pytest.fixture
async def backend(make_backend: MakeBackend) -> RedisMessageQueueBackend:
    return make_backend()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    if "+" not in redis_url:
        async with Redis.from_url(redis_url, protocol=2) as client:
            yield client
        return
    connections = await Connections.open(Settings(redis_url=redis_url))
    yield connections.commands
    await connections.close()


@pytest.fixture
async def commands(make_backend: MakeBackend) -> Redis:
    """The client as the library uses it, on any topology."""
    return (await make_backend().connections()).commands


async def take(events: EventStream, count: int, *, seconds: float = PATIENCE) -> list[Event]:
    """The next events; all but the last are acked by asking for the one behind."""
    with anyio.fail_after(seconds):
        return [await anext(events) for _ in range(count)]


async def take_one(events: EventStream, *, seconds: float = PATIENCE) -> Event:
    (event,) = await take(events, 1, seconds=seconds)
    return event


async def until(condition: Callable[[], Awaitable[Any]], *, seconds: float = PATIENCE) -> Any:
    """Wait until the condition gives something true, and return that."""
    with anyio.fail_after(seconds):
        asked = anyio.current_time()
        while not (found := await condition()):
            await anyio.sleep(pause(anyio.current_time() - asked))
            asked = anyio.current_time()
        return found


async def log_says(caplog: pytest.LogCaptureFixture, words: str) -> bool:
    """Whether the log has said these words so far, for `until`."""
    return words in caplog.text


async def pending(redis: Redis, stream: str, group: str = "default") -> int:
    summary: Any = await redis.xpending(stream, group)
    return int(summary["pending"])


async def lease_for_long(redis: Redis, stream: str, by: str, *, group: str = "default") -> None:
    """Record that the leases of a consumer last for longer than the test."""
    record = f"3600000 {time.time() * 1000:.0f}"
    await redis.hset(names.leases(stream, group), by, record)


async def take_away(
    redis: Redis, stream: str, ids: Iterable[Any], by: str, *, group: str = "default"
) -> None:
    """Give events by hand to another consumer, who keeps them for longer than the test."""
    await lease_for_long(redis, stream, by, group=group)
    await redis.xclaim(stream, group, by, 0, [*ids], justid=True)


async def until_renewed(redis: Redis, stream: str, times: int, *, group: str = "default") -> None:
    """Wait until the lease of each event that a consumer has was renewed so often: its idle time falls."""
    idle, renewals = dict[bytes, int](), dict[bytes, int]()

    async def are_renewed() -> bool:
        rows: Any = await redis.xpending_range(stream, group, "-", "+", 1000)
        # What was put back waits under a name that stands for nobody, and nobody renews it.
        held = [row for row in rows if not row["consumer"].startswith(b"abe:")]
        now = {row["message_id"]: row["time_since_delivered"] for row in held}
        for entry_id, ms in now.items():
            renewals[entry_id] = renewals.get(entry_id, 0) + (ms < idle.get(entry_id, 0))
        idle.update(now)
        return bool(now) and all(renewals[entry_id] >= times for entry_id in now)

    await until(are_renewed)


@pytest.fixture
def ask(make_backend: MakeBackend) -> Ask:
    """Asks the MCP server for a tool, as an agent does."""
    return asking(server(make_backend()))
