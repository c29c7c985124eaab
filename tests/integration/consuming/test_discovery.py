"""Finding streams: soon, without KEYS, and without keeping an idle server busy."""

import re
from typing import Any, Self
from unittest.mock import AsyncMock

import anyio
import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError, ResponseError  # noqa: A004

from abe_redis import RedisMessageQueueBackend, Settings
from abe_redis.consuming import discovery
from abe_redis.consuming.group_consumer import TICK_SECONDS
from abe_redis.streams import names, peek, slots
from abe_redis.streams.find_streams import Search, announced, existing
from abe_redis.streams.groups import Ensured, ensure_group
from abe_redis.streams.patterns import Patterns
from abe_redis.streams.publish import unannounce
from tests.integration.conftest import MakeBackend, take, take_one, until
from tests.servers import Server

MANY_KEYS = """
for i = 1, tonumber(ARGV[2]) do redis.call('SET', 'unrelated:' .. ARGV[1] .. ':' .. i, i) end
"""


@pytest.mark.one_server
async def test_a_new_stream_is_found_among_a_million_keys(
    backend: RedisMessageQueueBackend, redis: Redis
) -> None:
    for part in range(20):  # a command for all of them may outlast the client's patience
        await redis.eval(MANY_KEYS, 0, part, 50_000)
    await redis.xadd("slack:foreign", {"data": '{"n": 0}'})
    async with backend.consume() as events:
        with anyio.move_on_after(1.5):
            await anext(events)
        await redis.config_resetstat()
        await redis.slowlog_reset()
        await redis.config_set("slowlog-log-slower-than", 0)
        await redis.config_set("slowlog-max-len", 10_000)
        began = anyio.current_time()
        for number in range(5):
            await backend.publish(f"slack:new{number}", {"n": number})
            event = await take_one(events)
            while event.stream == "slack:foreign":
                event = await take_one(events)
            assert event.stream == f"slack:new{number}"
        stats: Any = await redis.info("commandstats")
    steps = 2 + (anyio.current_time() - began) / (2 * TICK_SECONDS)  # one in every second tick
    assert "cmdstat_keys" not in stats
    slow: Any = await redis.slowlog_get(10_000)
    scans = [row["command"].decode() for row in slow if row["command"].startswith(b"SCAN ")]
    examined = []
    for scan in scans:  # a small part at a time, and few keys of which the type must be looked at
        found = re.search(r"MATCH slack\* COUNT (\d+)", scan)
        assert found is not None, scan
        examined.append(int(found[1]))
    assert max(examined, default=0) <= 2000
    assert sum(examined) <= steps * 34_000, "of thirty steps"


async def test_a_new_stream_is_found_soon_though_the_servers_clock_was_set_back(
    backend: RedisMessageQueueBackend, redis: Redis
) -> None:
    """The index says what is new by the server's clock, which once was an hour ahead."""
    seconds, _ = await redis.time()
    await redis.zadd(names.INDEX, {"slack:old": seconds + 3600})
    async with backend.consume() as events:
        for number in range(3):
            await backend.publish(f"slack:new{number}", {"n": number})
            assert (await take_one(events))["n"] == number


async def test_a_stream_is_found_though_the_connection_is_lost_just_as_it_comes(
    backend: RedisMessageQueueBackend, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its news is in the index once; nothing else would lead to it until somebody publishes again."""
    failed = list[str]()

    async def cut_once(redis: Redis, asked: list[str], group: str, *, worker: bool) -> list[Ensured]:
        if "slack:new" in asked and not failed:
            failed.extend(asked)
            raise ConnectionError("Connection reset by peer")
        return await ensure_group(redis, asked, group, worker=worker)

    monkeypatch.setattr(discovery, "ensure_group", cut_once)
    monkeypatch.setattr(Search, "step", AsyncMock())
    async with backend.consume() as events:
        await backend.publish("slack:new", {"n": 1})
        assert (await take_one(events))["n"] == 1
    assert failed


async def test_foreign_streams_are_found_by_a_search(backend: RedisMessageQueueBackend, redis: Redis) -> None:
    await redis.set("slack:string", "x")
    await redis.xadd(b"slack:\xff", {"data": "{}"})
    await redis.xadd("other:stream", {"data": "{}"})
    for number in range(3):
        await redis.xadd(f"slack:foreign{number}", {"data": f'{{"n": {number}}}'})
    async with backend.consume() as events:
        taken = await take(events, 3)
    assert sorted(event["n"] for event in taken) == [0, 1, 2]


async def test_a_foreign_literal_name_is_found(make_backend: MakeBackend, redis: Redis) -> None:
    backend = make_backend(redis_stream_patterns="mine")
    async with backend.consume() as events:
        with anyio.move_on_after(0.3):
            await anext(events)
        await redis.xadd("mine", {"data": '{"n": 1}'})
        assert (await take_one(events)).stream == "mine"


async def test_one_searches_for_all(make_backend: MakeBackend, redis: Redis) -> None:
    streams = [make_backend().consume() for _ in range(4)]
    async with anyio.create_task_group() as tasks:
        for events in streams:
            tasks.start_soon(_first_of, events)
        await until(lambda: redis.exists("abe:scan"))
        await redis.config_resetstat()
        await redis.slowlog_reset()
        await redis.config_set("slowlog-log-slower-than", 0)
        await redis.config_set("slowlog-max-len", 10_000)
        await anyio.sleep(4)
        stats: Any = await redis.info("commandstats")
        assert stats.get("cmdstat_scan", {"calls": 0})["calls"] <= 1
        for events in streams:
            await events.aclose()


async def _first_of(events: Any) -> None:
    async for _ in events:
        pass


@pytest.mark.parametrize("streams", [0, 1, 200])
async def test_an_idle_consumer_is_quiet(lone_server: Server, streams: int) -> None:
    lone_server.reset()
    async with (
        RedisMessageQueueBackend(Settings(redis_url=lone_server.url)) as backend,
        Redis.from_url(lone_server.url, protocol=2) as redis,
    ):
        await _check_that_it_is_quiet(backend, redis, streams)


async def _check_that_it_is_quiet(backend: RedisMessageQueueBackend, redis: Redis, streams: int) -> None:
    for number in range(streams):
        await backend.publish(f"slack:{number}", {"n": number})
    async with backend.consume() as events:
        await take(events, streams)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_first_of, events)
            await anyio.sleep(2)
            began, sent = anyio.current_time(), await _sent(redis)
            await anyio.sleep(5)
            more = await _sent(redis) - sent
            assert more <= 5 * (anyio.current_time() - began) + 1
            await events.aclose()


async def _sent(redis: Redis) -> int:
    """How many commands were sent, by the kinds that a consumer sends and its scripts do not call."""
    stats: Any = await redis.info("commandstats")
    kinds = ("evalsha", "eval", "xreadgroup", "zrange", "scan", "set", "dbsize", "ping")
    return sum(stats.get(f"cmdstat_{kind}", {"calls": 0})["calls"] for kind in kinds)


FOREIGN = """
for i = tonumber(ARGV[1]) + 1, tonumber(ARGV[2]) do redis.call('XADD', 'slack:' .. i, '*', 'data', '{}') end
"""


@pytest.mark.one_server
async def test_a_search_goes_through_all_keys_in_thirty_steps_and_is_made_by_one(
    backend: RedisMessageQueueBackend,
) -> None:
    redis = (await backend.connections()).commands
    for part in range(0, 45_000, 5000):  # a command for all of them may outlast the client's patience
        await redis.eval(FOREIGN, 0, part, part + 5000)
    search, other = (Search(Patterns(["slack:*"])) for _ in range(2))
    await search.step(redis)
    assert 1499 <= len(await announced(redis, 0)) < 1700  # the lock may be one of them
    assert 0 < await redis.ttl("abe:scan") <= 50
    await redis.persist("abe:scan")  # however slow this machine is
    await redis.delete(names.INDEX)
    await other.step(redis)
    assert await announced(redis, 0) == {}, "another is at it"
    found: set[str] = set()
    for _ in range(40):
        await search.step(redis)
        found |= (await announced(redis, 0)).keys()
    assert len(found) >= 45_000 - 1700
    await redis.delete("abe:scan", names.INDEX)
    for _ in range(40):
        await other.step(redis)
    assert len(await announced(redis, 0)) == 45_000
    await redis.delete("abe:scan", names.INDEX)
    await Search(Patterns(["slack:1"])).step(redis)
    assert not await redis.exists("abe:scan", names.INDEX), "there is nothing to search for"


@pytest.mark.one_server
async def test_a_small_server_is_searched_a_thousand_keys_at_a_time(
    backend: RedisMessageQueueBackend,
) -> None:
    redis = (await backend.connections()).commands
    await redis.eval(FOREIGN, 0, 0, 5000)
    await Search(Patterns(["slack:*"])).step(redis)
    assert 999 <= len(await announced(redis, 0)) < 1200  # the search's lock may be one of a thousand


async def test_the_streams_that_exist_are_shown_in_order_up_to_a_thousand(
    backend: RedisMessageQueueBackend,
) -> None:
    redis = (await backend.connections()).commands
    for name in ("b", "slack:2", "slack:1", "elsewhere"):
        await redis.xadd(name, {"data": "{}"})
    await redis.set("slack:string", "x")
    news: dict[Any, float] = {"elsewhere": 5, "slack:gone": 5, "b": 5, b"slack:\xff": 5}
    await redis.zadd(names.INDEX, news)
    assert await existing(redis, Patterns(["slack:*", "b", "c"])) == ["b", "slack:1", "slack:2"]
    assert await existing(redis, Patterns(["b", "c"])) == ["b"]
    assert await existing(redis, Patterns(["c"])) == []
    assert await existing(redis, Patterns(["slack:*", "b"]), limit=2) == ["b", "slack:1"]
    for number in range(1100):
        await redis.xadd(f"slack:{number}", {"data": "{}"})
    assert await existing(redis, Patterns(["slack:*"])) == sorted(f"slack:{n}" for n in range(1100))[:1000]


async def test_a_failure_that_is_no_refusal_is_the_callers(
    backend: RedisMessageQueueBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who may not search, or not ask for the time, goes on without."""
    redis = (await backend.connections()).commands
    breaks = ResponseError("ERR it broke")
    monkeypatch.setattr(slots, "keys", lambda *_, **__: _Raises(breaks))
    monkeypatch.setattr(redis, "time", AsyncMock(side_effect=breaks))
    with pytest.raises(ResponseError, match="it broke"):
        await existing(redis, Patterns(["slack:*"]))
    with pytest.raises(ResponseError, match="it broke"):
        await peek.now(redis)


class _Raises:
    def __init__(self, error: Exception) -> None:
        self._error = error

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        raise self._error


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.promise("Consumers outlive restarts, cut connections, `FLUSHALL` and deleted groups.")
async def test_a_stream_that_comes_back_after_flushall_is_found_at_once(
    backend: RedisMessageQueueBackend, make_backend: MakeBackend, redis: Redis, many: bool
) -> None:
    """Its publisher has announced it before, and the next search through all keys is a minute away."""
    await backend.publish("slack:events", {"n": 0})
    await redis.flushall()
    for key in ("slack:events", names.INDEX):  # in a cluster, FLUSHALL empties one node
        await redis.delete(key)
    await redis.set("abe:scan", 1, ex=3600)  # somebody has just searched, and nobody does so in this test
    if many:
        await backend.publish_many("slack:events", [{"n": 1}, {"n": 2}])
    else:
        await backend.publish("slack:events", {"n": 1})
    async with make_backend() as other, other.consume() as events:
        assert await take_one(events) == {"n": 1}


async def test_the_index_forgets_deleted_streams_and_they_are_found_at_once_when_they_come_back(
    backend: RedisMessageQueueBackend, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "MISSING_SECONDS", 0)
    monkeypatch.setattr(Search, "step", AsyncMock())
    seconds, _ = await redis.time()
    await redis.xadd("slack:exists", {"data": "{}"})
    await redis.set("slack:string", "x")
    old = ("slack:deleted1", "slack:deleted2", "slack:exists", "slack:string", "other:deleted")
    recent = {"slack:recent": seconds - 1.0, "slack:newest": seconds - 0.5}
    await redis.zadd(names.INDEX, dict.fromkeys(old, seconds - 100.0) | recent)
    async with backend.consume() as events:
        await take_one(events)

        async def are_forgotten() -> bool:
            return not {"slack:deleted1", "slack:deleted2"} & (await announced(redis, 0)).keys()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_until_cancelled, events)
            await until(are_forgotten)
            tasks.cancel_scope.cancel()
        left = {"slack:exists", "slack:string", "other:deleted", "slack:recent", "slack:newest"}
        assert (await announced(redis, 0)).keys() == left
        await backend.publish("slack:deleted1", {"n": 1})
        assert (await take_one(events))["n"] == 1


async def _until_cancelled(events: Any) -> None:
    await anext(events)


async def test_the_newest_in_the_index_stays_though_it_is_old(redis: Redis) -> None:
    """Else a clock that was set back would give the next one a time that consumers take for old."""
    await redis.zadd(names.INDEX, {"slack:old": 1.0, "slack:newest": 2.0})
    await unannounce(redis, ["slack:old", "slack:newest", "slack:unknown"])
    assert await announced(redis, 0) == {"slack:newest": 2.0}
