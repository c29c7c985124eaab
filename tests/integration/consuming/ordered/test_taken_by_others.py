"""What others took from an ordered worker does not count as finished when their consumer is removed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventWorker, Retry
from abe_redis.streams import names, owners, peek
from abe_redis.streams.choose import take_these
from tests.integration.conftest import MakeBackend, until
from tests.integration.consuming.ordered.logged_workers import TOPIC, at_work, publish, until_true

AGENT = "mcp-agent-1"


class Failing:
    """A handler whose first call fails, once it may end."""

    def __init__(self) -> None:
        self.began: list[int] = []
        self.may_end = anyio.Event()

    async def __call__(self, event: Event) -> None:
        self.began.append(event["n"])
        if len(self.began) == 1:
            await self.may_end.wait()
            raise ValueError(event["n"])


async def pending_of(redis: Redis) -> list[tuple[str, str]]:
    found: Any = await redis.xpending_range(TOPIC, "default", "-", "+", 10)
    return [(row["message_id"].decode(), row["consumer"].decode()) for row in found]


@asynccontextmanager
async def one_event(
    make_backend: MakeBackend, redis: Redis, *, lease: float = 6
) -> AsyncIterator[tuple[Failing, str]]:
    backend, handler = make_backend(redis_stream_lease_seconds=lease), Failing()
    await publish(backend, "A", 0)
    policy = lambda _, __: Retry(delay=3)  # noqa: E731
    async with at_work(EventWorker(backend, handler, ordered=True, policy=policy)):
        await until_true(lambda: handler.began)
        ((entry_id, _),) = await pending_of(redis)
        yield handler, entry_id
        await redis.hset(names.leases(TOPIC, "default"), AGENT, "1000 1")  # its lease is over
        await redis.xgroup_delconsumer(TOPIC, "default", AGENT)
        await until_true(lambda: handler.began == [0, 0])
    assert await redis.hget(names.records(TOPIC), "lost default") is None


async def test_what_was_postponed_is_delivered_again(
    make_backend: MakeBackend, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It learns of the agent as the event is due."""
    states, start = [], owners.start

    async def noted(*arguments: Any, **options: Any) -> Any:
        state = await start(*arguments, **options)
        states.append(state)
        return state

    monkeypatch.setattr(owners, "start", noted)
    # Its next renewal, which would tell it, too, is later than that.
    async with one_event(make_backend, redis, lease=18) as (handler, entry_id):
        handler.may_end.set()

        async def is_postponed() -> bool:
            return await redis.zscore(names.due(TOPIC, "default"), entry_id) is not None

        await until(is_postponed)
        taken = await take_these(
            *(redis, "default", AGENT, TOPIC, [entry_id]), lease_seconds=60, postponed=True
        )
        assert [entry.id for entry in taken.leased] == [entry_id]
        await until_true(lambda: states == ["gone"])


async def test_what_a_handler_fails_with_is_delivered_again(make_backend: MakeBackend, redis: Redis) -> None:
    """It learns of the agent as it gives the event back."""
    async with one_event(make_backend, redis) as (handler, entry_id):
        said = f"60000 {await peek.now(redis) * 1000:.0f}"
        await redis.hset(names.leases(TOPIC, "default"), AGENT, said)
        await redis.xclaim(TOPIC, "default", AGENT, 0, [entry_id], justid=True)
        handler.may_end.set()

        async def is_listed() -> bool:
            listed: Any = await redis.hget(names.pending(TOPIC, "default"), "")
            return AGENT.encode() in (listed or b"")

        await until(is_listed)
