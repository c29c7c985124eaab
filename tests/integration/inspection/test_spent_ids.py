"""A stream with the last id there is takes no event: whoever publishes or looks reads what to do."""

from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis.doctor import examine
from abe_redis.errors import RedisRefusedError
from abe_redis.streams import ids
from tests.integration.agents import asking, server, text_of
from tests.integration.conftest import MakeBackend, until
from tests.integration.consuming.recorded_bots import GROUP, KINDS, STREAM, Bot
from tests.integration.inspection.looking import seen

REFUSED = "A stream has the last id there is"


@pytest.fixture
def redis_url(either_url: str) -> str:
    """Every test runs on both servers."""
    return either_url


async def set_last_id(redis: Redis, last: str) -> None:
    send: Any = redis.execute_command  # redis-py does not type it
    await send("XSETID", STREAM, last)


@KINDS
async def test_a_last_id_that_was_set_by_hand_is_set_back_as_is_said(
    make_backend: MakeBackend, redis: Redis, ordered: bool
) -> None:
    backend = make_backend(redis_stream_lease_seconds=2)
    bot = Bot(backend, redis, ordered=ordered)
    async with bot.running():
        await bot.go_on(0, 1)
        newest = (await redis.xinfo_stream(STREAM))["last-generated-id"].decode()
        await set_last_id(redis, ids.LAST)
        with pytest.raises(RedisRefusedError, match=REFUSED) as refused:
            await bot.publish(2)
        assert "`abe-redis stats` says how it takes events again" in str(refused.value)
        with pytest.raises(RedisRefusedError, match=REFUSED):
            await backend.publish_many(STREAM, [{"n": 2}, {"n": 3}])
        found = await seen(backend)
        assert found.health == "stalled"
        assert "so it takes no event: every publish is refused" in found.advice
        assert f"`redis-cli XSETID {STREAM} {newest}`" in found.advice
        (problem,) = [one for one in await examine(backend.settings) if "takes no event" in one.advice]
        assert problem.severity == "problem"
        assert not [one for one in await examine(backend.settings) if "set back" in one.found]
        said = text_of(await asking(server(backend))("stream_stats", stream=STREAM))
        assert "every publish is refused" in said
        await set_last_id(redis, newest)
        assert (await seen(backend)).health == "ok"
        await bot.go_on(2)


@KINDS
async def test_an_entry_with_the_last_id_is_handled_and_its_stream_made_anew(
    make_backend: MakeBackend, redis: Redis, ordered: bool, caplog: pytest.LogCaptureFixture
) -> None:
    backend = make_backend(redis_stream_lease_seconds=2)
    bot = Bot(backend, redis, ordered=ordered)
    async with bot.running():
        await bot.go_on(0)
        await redis.xadd(STREAM, {"data": '{"n": 1}'}, id=ids.LAST)
        await bot.until_handled(1)
        for _ in range(2):  # also where nothing lies behind the place of a group
            await redis.xgroup_destroy(STREAM, GROUP)

            async def is_there_again() -> bool:
                return len(await redis.xinfo_groups(STREAM)) == 1

            await until(is_there_again)
            await bot.until_handled(1)
        found = await seen(backend)
        assert found.health == "stalled"
        assert "Redis does not take it back" in found.advice
        assert f"`redis-cli RENAME {STREAM} NAME`" in found.advice
        await redis.rename(STREAM, "old")
        await bot.go_on(2)
    assert bot.handled == [0, 1, 2]
    assert "invalid start ID" not in caplog.text


async def test_a_deleted_entry_with_the_last_id_keeps_it_spent(
    make_backend: MakeBackend, redis: Redis
) -> None:
    await redis.xadd(STREAM, {"data": "{}"}, id=ids.LAST)
    await redis.xdel(STREAM, ids.LAST)
    assert "Redis does not take it back" in (await seen(make_backend())).advice


async def test_an_empty_stream_may_begin_again(make_backend: MakeBackend, redis: Redis) -> None:
    await redis.xgroup_create(STREAM, GROUP, "0", mkstream=True)
    await set_last_id(redis, ids.LAST)
    backend = make_backend()
    assert f"`redis-cli XSETID {STREAM} 0-0`" in (await seen(backend)).advice
    await set_last_id(redis, "0-0")
    await backend.publish(STREAM, {"n": 1})


async def test_with_an_outbox_events_wait_until_it_takes_them(
    make_backend: MakeBackend, redis: Redis, tmp_path: Any
) -> None:
    backend = make_backend(redis_outbox=tmp_path / "outbox")
    await backend.publish(STREAM, {"n": 0})
    newest = (await redis.xinfo_stream(STREAM))["last-generated-id"].decode()
    await set_last_id(redis, ids.LAST)
    await backend.publish(STREAM, {"n": 1})
    await set_last_id(redis, newest)

    async def is_added() -> bool:
        return await redis.xlen(STREAM) == 2

    await until(is_added)
