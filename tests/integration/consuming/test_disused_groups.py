"""A group that nobody uses holds trimming back for a while, and is then given up with a warning."""

from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Settings
from abe_redis.doctor import examine
from tests.integration.conftest import take, take_one, until
from tests.integration.consuming.counted_losses import (
    RECORDS,
    TOPIC,
    advice,
    backend_of,
    fill,
    group_stats,
    losses,
    redis_url,
    settings,
)
from tests.patience import PATIENCE

__all__ = ["redis_url", "settings"]

UNUSED = {"redis_stream_group_idle_days": 2 / 86_400, "redis_stream_maxlen": 100}
"""A group counts as unused after two seconds."""


# --- Disuse ---------------------------------------------------------------------------------------------


@pytest.mark.promise("so does trimming, once nobody has used the group for")
@pytest.mark.promise(
    "Trimming removes events beyond `REDIS_STREAM_MAXLEN` only when every group has finished them"
)
async def test_a_stray_group_holds_trimming_only_for_its_idle_time(
    redis: Redis, settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    await fill(redis, 1000)
    await redis.xgroup_create(TOPIC, "stray", "0")
    await redis.xreadgroup("stray", "gone", {TOPIC: ">"}, count=30)
    await redis.xgroup_create(TOPIC, "live", "$")
    async with backend_of(settings, **UNUSED) as publisher:
        await publisher.publish(TOPIC, {"n": "first"})
        assert await redis.xlen(TOPIC) == 1001, "the stray group is waited for"
        assert not losses(caplog)
        await anyio.sleep(2.2)

        async def trimmed() -> bool:
            await publisher.publish(TOPIC, {"n": "more"})
            await redis.xreadgroup("live", "someone", {TOPIC: ">"}, noack=True)
            return await redis.xlen(TOPIC) < 250

        await until(trimmed)

        async def gone() -> int:
            stream: Any = await redis.xinfo_stream(TOPIC)
            return int(stream["entries-added"] - stream["length"])

        async def every_unfinished_entry_is_counted() -> bool:
            return sum(int(sentence.split()[2]) for sentence in losses(caplog)) == await gone()

        await until(every_unfinished_entry_is_counted)  # the answers of the last steps may be on their way
        counted, left = await gone(), await redis.xlen(TOPIC)
    given_up = losses(caplog)
    assert all(sentence.startswith("Gave up ") and "'stray'" in sentence for sentence in given_up)
    assert all("REDIS_STREAM_GROUP_IDLE_DAYS" in sentence for sentence in given_up)
    stats = await group_stats(settings, "stray")
    assert (stats.lost, stats.pending, stats.lag) == (counted, 0, left)
    assert (await group_stats(settings, "live")).lost == 0

    caplog.clear()
    async with backend_of(settings) as backend, backend.consume(group="stray") as events:
        assert len(await take(events, left)) == left, "it goes on with what is left"
    assert not losses(caplog), "nothing is counted twice"
    assert (await group_stats(settings, "stray")).lost == counted


async def test_a_group_that_is_used_is_waited_for_however_slow_it_is(
    redis: Redis, settings: dict[str, Any]
) -> None:
    await fill(redis, 500)
    async with (
        backend_of(settings, **UNUSED, redis_stream_lease_seconds=0.5) as backend,
        backend.consume() as events,
        backend_of(settings, **UNUSED) as publisher,
    ):
        await take_one(events)
        for _ in range(25):
            await publisher.publish(TOPIC, {})
            await anyio.sleep(0.1)
        assert await redis.xlen(TOPIC) == 525
    assert await redis.xlen(TOPIC) == 525
    stats = await group_stats(settings)
    assert stats.unused_seconds is not None
    assert stats.unused_seconds < 30, "it was used until its consumer left"
    async with backend_of(settings, redis_stream_group_idle_days=0, redis_stream_maxlen=100) as publisher:
        await anyio.sleep(2.2)
        await publisher.publish(TOPIC, {})
    assert await redis.xlen(TOPIC) == 526, "0: for ever"


async def test_the_doctor_warns_before_a_group_is_given_up(redis: Redis, settings: dict[str, Any]) -> None:
    await fill(redis, 3)
    await redis.xgroup_create(TOPIC, "stray", "0")
    now: Any = await redis.time()
    for days, seen, says in (
        (6.5, 0, "in 0.5 days trimming will not wait for it any more"),
        (7.5, 0, "when trimming has seen that for another 60 min, it will not wait for it any more"),
        (7.5, 3000, "when trimming has seen that for another 10 min, it will not wait for it any more"),
        (7.5, 3600, "so trimming does not wait for it any more"),
    ):
        used = now[0] - int(days * 86_400)
        await redis.hset(RECORDS, "used stray", str(used))
        await redis.hset(RECORDS, "unused stray", f"{used}000 0-0 {now[0]}000 {seen}000")
        findings = [one for one in await examine(Settings(**settings)) if one.check == "streams"]
        assert any(says in (one.advice or "") and "'stray'" in (one.advice or "") for one in findings)
        assert says in await advice(settings)
    await redis.hset(RECORDS, "used stray", str(now[0] - 5 * 86_400))
    assert "trimming" not in await advice(settings)


# --- Not by us ------------------------------------------------------------------------------------------


async def test_a_consumer_that_is_far_behind_loses_nothing(redis: Redis, settings: dict[str, Any]) -> None:
    behind = 50_000
    await redis.xgroup_create(TOPIC, "default", "0", mkstream=True)
    for _ in range(behind // 5000):
        await fill(redis, 5000)
    received = 0
    async with (
        backend_of(settings, redis_stream_maxlen=1000) as publisher,
        backend_of(settings, redis_stream_maxlen=1000) as backend,
        backend.consume() as events,
    ):
        with anyio.fail_after(PATIENCE):
            async for event in events:
                received += 1
                if received % 1000 == 1:
                    await publisher.publish(TOPIC, {"late": event.id})
                if received == behind + 50:
                    break

        async def short() -> bool:
            await publisher.publish(TOPIC, {"type": "message"})
            return await redis.xlen(TOPIC) <= 1300

        await until(short)
    stats = await group_stats(settings)
    assert stats.lost == 0
    assert stats.pending + (stats.lag or 0) <= await redis.xlen(TOPIC)
