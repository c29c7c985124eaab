"""Redis comes back with older data: its consumers go on from there, and the log says what may be lost."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis.operations.groups import Groups
from abe_redis.operations.scope import Scope
from tests.integration.conftest import MakeBackend, until
from tests.integration.consuming.recorded_bots import GROUP, KINDS, RECORDS, STREAM, Bot
from tests.servers import Server

type Hand = Callable[[Redis, Groups], Awaitable[None]]
"""Changes a stream or its group."""


@pytest.fixture(params=["make_server", "debian_redis"])
def lone(request: pytest.FixtureRequest) -> Server:
    """A server of the test's own, on which nothing is saved unless the test does it."""
    made: Server = request.getfixturevalue(request.param)()
    return made


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one for one in caplog.messages if "older data" in one]


async def until_said(caplog: pytest.LogCaptureFixture) -> None:
    async def is_said() -> bool:
        return bool(said(caplog))

    await until(is_said)


def restart_with_what_is_saved(server: Server) -> None:
    server.kill()
    server.start()


@KINDS
@pytest.mark.promise("Every worker that was running before says so in its log, once, and names the time.")
async def test_a_restart_with_older_data_is_said_once(
    lone: Server, make_backend: MakeBackend, ordered: bool, caplog: pytest.LogCaptureFixture
) -> None:
    backend = make_backend(redis_url=lone.url, redis_stream_lease_seconds=2)
    async with Redis.from_url(lone.url, protocol=2) as redis:
        bot = Bot(backend, redis, ordered=ordered)
        async with bot.running():
            await bot.go_on(0, 1)
            await redis.save()
            await bot.go_on(2, 3)
            restart_with_what_is_saved(lone)
            await until_said(caplog)
            await bot.go_on(4, 5, 6)
    assert bot.handled == [0, 1, 2, 3, 4, 5, 6]
    (sentence,) = said(caplog)
    assert sentence.startswith(f"Redis has older data of {STREAM!r} than before")
    assert f"what group {GROUP!r} did after 20" in sentence
    assert "may be lost" in sentence


@KINDS
@pytest.mark.promise("events that were finished then may run again")
@pytest.mark.promise("If the new primary has an older state of a group or a stream")
async def test_what_was_finished_after_the_older_data_runs_again(
    lone: Server, make_backend: MakeBackend, ordered: bool, caplog: pytest.LogCaptureFixture
) -> None:
    backend = make_backend(redis_url=lone.url, redis_stream_lease_seconds=2)
    async with Redis.from_url(lone.url, protocol=2) as redis:
        bot = Bot(backend, redis, ordered=ordered)
        async with bot.running():
            await bot.go_on(0)
            bot.may_go_on = anyio.Event()
            await bot.publish(1, 2, 3)
            await redis.save()
            bot.may_go_on.set()
            await bot.until_handled(1, 2, 3)
            await bot.go_on(4)
            restart_with_what_is_saved(lone)
            await bot.until_handled(1, 2, 3, times=2)
            await until_said(caplog)
    assert sorted(bot.handled) == [0, 1, 1, 2, 2, 3, 3, 4]
    (sentence,) = said(caplog)
    assert "finished ones may run again" in sentence


async def reset(redis: Redis, groups: Groups) -> None:
    await groups.reset(STREAM, GROUP, start="beginning", force=True)


async def replay(redis: Redis, groups: Groups) -> None:
    await groups.replay(STREAM, GROUP)


async def remove(redis: Redis, groups: Groups) -> None:
    await groups.remove(STREAM, GROUP, force=True)


async def set_back(redis: Redis, groups: Groups) -> None:
    await redis.xgroup_setid(STREAM, GROUP, "0")


async def trim(redis: Redis, groups: Groups) -> None:
    await redis.xtrim(STREAM, maxlen=0)


async def delete_entries(redis: Redis, groups: Groups) -> None:
    rows: Any = await redis.xrange(STREAM)
    await redis.xdel(STREAM, *[entry_id for entry_id, _ in rows])


async def delete_stream(redis: Redis, groups: Groups) -> None:
    await redis.delete(STREAM)


async def make_stream_anew(redis: Redis, groups: Groups) -> None:
    pipeline = redis.pipeline()
    pipeline.delete(STREAM)
    pipeline.xadd(STREAM, {"data": '{"n": -1}'}, id="1-1")
    await pipeline.execute()


async def make_group_anew(redis: Redis, groups: Groups) -> None:
    pipeline = redis.pipeline()
    pipeline.xgroup_destroy(STREAM, GROUP)
    pipeline.xgroup_create(STREAM, GROUP, "0")
    await pipeline.execute()


async def delete_records(redis: Redis, groups: Groups) -> None:
    await redis.delete(RECORDS)


async def write_nonsense(redis: Redis, groups: Groups) -> None:
    await redis.hset(RECORDS, f"trail {GROUP}", "nonsense")


async def flush(redis: Redis, groups: Groups) -> None:
    await redis.flushall()


@KINDS
@pytest.mark.promise("Nothing else makes it say so.")
async def test_lawful_hands_are_not_taken_for_older_data(
    make_backend: MakeBackend, either_url: str, ordered: bool, caplog: pytest.LogCaptureFixture
) -> None:
    backend = make_backend(redis_url=either_url, redis_stream_lease_seconds=2)
    hands: list[Hand] = [
        *(reset, replay, set_back, trim, delete_entries, delete_stream, make_stream_anew, make_group_anew),
        *(remove, delete_records, write_nonsense, flush),
    ]
    groups = Groups(Scope(backend))
    async with Redis.from_url(either_url, protocol=2) as redis:
        bot = Bot(backend, redis, ordered=ordered)
        async with bot.running():
            await bot.go_on(0, 1)
            for number, hand in enumerate(hands, start=2):
                await hand(redis, groups)
                await bot.go_on(number)
            await bot.go_on(number + 1)
    assert said(caplog) == []
