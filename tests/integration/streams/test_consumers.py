"""Consumers that are gone: who is removed, and for how long that is on record."""

from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis.streams import release, renewal
from abe_redis.streams.consumers import forget_gone
from tests.integration.on_streams import A, B, C, consumers, hold, now_ms, recorded, rows


@pytest.fixture
def redis_url(either_url: str) -> str:
    """Every test runs on both servers."""
    return either_url


async def test_a_silent_consumer_that_holds_nothing_is_removed(commands: Redis) -> None:
    for stream in (A, B):
        await hold(commands, stream, 2, by="busy")
        for name in ("gone", "name", "pending"):
            await commands.xgroup_createconsumer(stream, "g", name)
    everybody = {"busy", "gone", "name", "pending"}
    await anyio.sleep(0.4)
    assert await forget_gone(commands, "g", [A, C, B], idle_seconds=100) == 0
    assert await consumers(commands, A) == everybody
    assert await forget_gone(commands, "g", [A, C], idle_seconds=0.3) == 3
    assert await consumers(commands, A) == {"busy"}
    assert await consumers(commands, B) == everybody
    assert abs(int(await recorded(commands, A, "used")) - await now_ms(commands) / 1000) < 60
    assert await recorded(commands, B, "used") is None
    assert await forget_gone(commands, "g", [C, B, A], idle_seconds=0) == 3
    assert await forget_gone(commands, "another", [A], idle_seconds=0) == 0
    assert await forget_gone(commands, "g", [], idle_seconds=0) == 0
    await commands.xack(A, "g", next(iter(await rows(commands, A))))
    assert await forget_gone(commands, "g", [A], idle_seconds=0) == 0, "it holds one still"


@pytest.mark.parametrize("by_somebody", [False, True])
async def test_a_consumer_that_slept_until_it_was_forgotten_takes_back_nothing_that_others_finished(
    commands: Redis, by_somebody: bool
) -> None:
    """But what somebody dropped who removed the consumer is put back."""
    ids: Any = await hold(commands, A, 2, by="asleep")
    if by_somebody:
        await commands.xgroup_delconsumer(A, "g", "asleep")
    else:
        await commands.xclaim(A, "g", "awake", 0, [*ids])
        await commands.xack(A, "g", *ids)
        await forget_gone(commands, "g", [A], idle_seconds=0)
    claims = [renewal.Claim(A, entry_id, begun=1, sure=renewal.never) for entry_id in ids]
    expected = "dropped" if by_somebody else "unknown"
    assert await renewal.hold(commands, "g", "asleep", claims) == [expected] * 2
    for entry_id in ids:
        outcome = await release.postpone(commands, A, "g", "asleep", entry_id, delay_seconds=1)
        assert outcome == ("done" if by_somebody else "unknown")


async def test_a_forgotten_consumer_is_on_record_until_it_comes_back(commands: Redis) -> None:
    async def noted() -> list[bytes]:
        lines = await recorded(commands, A, "forgotten") or b""
        return [line.split()[1] for line in lines.splitlines()]

    await hold(commands, A, 1, by="busy")
    for name in ("first", "second"):
        await commands.xgroup_createconsumer(A, "g", name)
        await anyio.sleep(0.01)
        assert await forget_gone(commands, "g", [A], idle_seconds=0) == 1
    assert await noted() == [b"first", b"second"]
    await commands.xgroup_createconsumer(A, "g", "first")
    assert await forget_gone(commands, "g", [A], idle_seconds=100) == 0
    assert await noted() == [b"second"]
    for number in range(1100):
        await commands.xgroup_createconsumer(A, "g", f"many{number}")
    await anyio.sleep(0.01)
    await forget_gone(commands, "g", [A], idle_seconds=0)
    assert len(await noted()) <= 1101
    await forget_gone(commands, "g", [A], idle_seconds=0)
    assert len(await noted()) <= 1000
