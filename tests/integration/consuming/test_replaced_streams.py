"""Somebody puts an older copy in a stream's place: workers say what is lost, once, count it, and go on."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Operations
from abe_redis.streams.groups import ensure_group, record_progress
from abe_redis.streams.lease import take_new
from abe_redis.streams.renewal import Claim, hold, never
from tests.integration.conftest import MakeBackend, until
from tests.integration.consuming.recorded_bots import GROUP, KINDS, RECORDS, STREAM, Bot

COPY = "a copy"
SENTENCE = "Somebody has put an older copy in the place of stream"

type Replace = Callable[[], Awaitable[Any]]
"""Puts the copy in the stream's place."""


@pytest.fixture
def redis_url(either_url: str) -> str:
    """Every test runs on both servers."""
    return either_url


async def kept_by_dump(redis: Redis) -> Replace:
    dump: Any = await redis.dump(STREAM)
    return lambda: redis.restore(STREAM, 0, dump, replace=True)


async def kept_by_copy(redis: Redis) -> Replace:
    await redis.copy(STREAM, COPY)
    return lambda: redis.copy(COPY, STREAM, replace=True)


HOW = pytest.mark.parametrize("keep", [kept_by_dump, kept_by_copy], ids=["RESTORE", "COPY"])


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one for one in caplog.messages if SENTENCE in one]


async def lost(redis: Redis) -> int:
    return int(await redis.hget(RECORDS, f"lost {GROUP}") or 0)


async def until_unfinished(redis: Redis, count: int) -> None:
    """Wait until the group has recorded that it has not finished so many."""

    async def is_so() -> bool:
        floor: Any = await redis.hget(RECORDS, f"floor {GROUP}") or b""
        return bool(floor.endswith(b" %d" % count))

    await until(is_so)


async def until_said(caplog: pytest.LogCaptureFixture) -> str:
    async def is_said() -> bool:
        return bool(said(caplog))

    await until(is_said)
    return said(caplog)[0]


@HOW
@KINDS
@pytest.mark.promise("while the records beside it stay as they are.")
@pytest.mark.promise("within about a second while there is work, or that joins, says so in its log, once.")
@pytest.mark.promise("counts as lost what the group had not finished by its last record and the copy lacks.")
@pytest.mark.promise("The worker goes on with the copy")
async def test_what_an_older_copy_lacks_is_counted_and_said_once(
    make_backend: MakeBackend,
    redis: Redis,
    caplog: pytest.LogCaptureFixture,
    ordered: bool,
    keep: Callable[[Redis], Awaitable[Replace]],
) -> None:
    backend = make_backend(redis_stream_lease_seconds=2)
    bot = Bot(backend, redis, ordered=ordered)
    async with bot.running():
        await bot.go_on(0, 1)
        await redis.xtrim(STREAM, maxlen=1, approximate=False)  # so that it shows which events it has lost
        replace = await keep(redis)
        await bot.go_on(2)
        bot.may_go_on = anyio.Event()
        await bot.publish(3, 4, 5)
        await until_unfinished(redis, 3)
        await replace()
        sentence = await until_said(caplog)
        bot.may_go_on.set()
        await anyio.sleep(2)  # renewals and acks of what is not there
        await bot.go_on(6, 7)
    assert len(said(caplog)) == 1
    assert f"stream {STREAM!r} (RESTORE or COPY with REPLACE)" in sentence
    assert await lost(redis) == 3
    (stats,) = (await Operations(backend).stream_stats(stream=STREAM)).streams
    assert [group.lost for group in stats.groups] == [3]
    assert bot.handled[-2:] == [6, 7]


@HOW
@KINDS
async def test_what_the_copy_has_is_not_lost(
    make_backend: MakeBackend,
    redis: Redis,
    caplog: pytest.LogCaptureFixture,
    ordered: bool,
    keep: Callable[[Redis], Awaitable[Replace]],
) -> None:
    bot = Bot(make_backend(redis_stream_lease_seconds=2), redis, ordered=ordered)
    async with bot.running():
        await bot.go_on(0)
        bot.may_go_on = anyio.Event()
        await bot.publish(1, 2)
        await until_unfinished(redis, 2)
        replace = await keep(redis)
        await bot.publish(3)
        await until_unfinished(redis, 3)
        await replace()
        sentence = await until_said(caplog)
        bot.may_go_on.set()
        await bot.until_handled(1, 2)
        await bot.go_on(4)
    assert f"and group {GROUP!r} had been given events up to" in sentence
    assert await lost(redis) == 1
    assert len(said(caplog)) == 1


@HOW
@KINDS
async def test_a_worker_that_comes_later_says_it_too(
    make_backend: MakeBackend,
    redis: Redis,
    caplog: pytest.LogCaptureFixture,
    ordered: bool,
    keep: Callable[[Redis], Awaitable[Replace]],
) -> None:
    backend = make_backend(redis_stream_lease_seconds=2)
    first = Bot(backend, redis, ordered=ordered)
    async with first.running():
        await first.go_on(0)
        replace = await keep(redis)
        await first.go_on(1, 2)
    await replace()
    second = Bot(backend, redis, ordered=ordered)
    async with second.running():
        sentence = await until_said(caplog)
        await second.go_on(3)
    assert "0 events that the group had not finished are lost" in sentence
    assert await lost(redis) == 0
    assert len(said(caplog)) == 1


@HOW
@pytest.mark.promise("An event that the copy lacks is added again when somebody publishes it again.")
@pytest.mark.parametrize("others", [0, 2], ids=["at once", "behind others"])
async def test_a_lost_event_is_no_duplicate(
    make_backend: MakeBackend, redis: Redis, others: int, keep: Callable[[Redis], Awaitable[Replace]]
) -> None:
    backend = make_backend()

    async def publish(name: str) -> bool:
        payload = {"type": "event_callback", "event_id": name}
        return (await backend.publish_event(STREAM, payload)).duplicate

    for n in range(40):  # of which some take each way of publishing
        await publish(f"kept{n}")
    replace = await keep(redis)
    for n in range(40):
        await publish(f"lost{n}")
    await anyio.sleep(0.01)  # in the same millisecond, the copy would give the ids of the lost ones again
    await replace()
    for n in range(others):
        await publish(f"other{n}")
    assert [n for n in range(40) if await publish(f"lost{n}")] == []
    assert [n for n in range(40) if not await publish(f"lost{n}")] == []
    assert [n for n in range(40) if not await publish(f"kept{n}")] == []
    assert await redis.xlen(STREAM) == 80 + others


@HOW
async def test_a_copy_without_the_group_is_said_too(
    make_backend: MakeBackend,
    redis: Redis,
    caplog: pytest.LogCaptureFixture,
    keep: Callable[[Redis], Awaitable[Replace]],
) -> None:
    """The group begins at the copy's oldest event, since nobody knows which of them it has."""
    backend = make_backend(redis_stream_lease_seconds=2)
    bot = Bot(backend, redis, ordered=False)
    await bot.publish(0)
    replace = await keep(redis)
    async with bot.running():
        await bot.until_handled(0)
        await bot.go_on(1)
        await replace()
        await bot.until_handled(0, times=2)
        await until_said(caplog)
        await bot.go_on(2)
    assert len(said(caplog)) == 1


async def test_what_a_renewal_has_counted_is_counted_once(commands: Redis, redis: Redis) -> None:
    await redis.xadd(STREAM, {"data": "{}"})
    await ensure_group(commands, [STREAM], GROUP)
    first = await take_new(commands, GROUP, "c", [STREAM], count=9, block_ms=None)
    await redis.xack(STREAM, GROUP, first[0].id)
    await redis.xtrim(STREAM, maxlen=0, approximate=False)
    replace = await kept_by_dump(redis)
    for _ in range(3):
        await redis.xadd(STREAM, {"data": "{}"})
    taken = await take_new(commands, GROUP, "c", [STREAM], count=9, block_ms=None)
    assert len(taken) == 3
    await record_progress(commands, [STREAM], GROUP)
    await replace()
    claims = [Claim(STREAM, one.id, 0, sure=lambda: True) for one in taken]
    assert await hold(commands, GROUP, "c", claims[:1]) == ["lost"]
    await record_progress(commands, [STREAM], GROUP)
    assert await lost(redis) == 3
    assert "lost" not in await hold(commands, GROUP, "c", claims[1:])
    assert await hold(commands, GROUP, "c", [Claim(STREAM, "1-1", 0, sure=never)]) == ["lost"], (
        "others are counted as before"
    )
    assert await lost(redis) == 4
