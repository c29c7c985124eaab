"""What `publish_many` says of each event when it fails in the middle: added, perhaps added, or not added."""

import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis import RedisMessageQueueBackend, Settings
from abe_redis.errors import OutboxFullError, RedisRefusedError, RedisUnavailableError
from abe_redis.publishing import outbox_file
from tests.integration.conftest import MakeBackend
from tests.refusing_proxy import RefusingProxy
from tests.servers import HOST, Server

TOPIC = "slack_events"


def plain(count: int, **more: Any) -> list[dict[str, Any]]:
    """Events without an id, which are added each time."""
    return [{"type": "message", "n": number, **more} for number in range(count)]


async def there(redis: Redis, stream: str = TOPIC) -> list[int]:
    entries: Any = await redis.xrange(stream)
    return [json.loads(fields[b"data"])["n"] for _, fields in entries]


@pytest.mark.parametrize(("count", "bound"), [(60, 20), (250, 130), (250, 200)])
async def test_a_stream_that_gets_full(
    make_backend: MakeBackend, redis: Redis, count: int, bound: int
) -> None:
    events = plain(count)
    with pytest.raises(RedisRefusedError, match="REDIS_STREAM_HARD_MAXLEN") as caught:
        await make_backend(redis_stream_hard_maxlen=bound).publish_many(TOPIC, events)
    added = caught.value.added
    assert list(added) == await there(redis) == list(range(bound))
    entries: Any = await redis.xrange(TOPIC)
    assert [one.id.encode() for one in added.values()] == [entry_id for entry_id, _ in entries]
    assert caught.value.uncertain == []
    await make_backend().publish_many(TOPIC, events[bound:])
    assert await there(redis) == list(range(count))


async def test_what_was_there_before_counts_as_added(make_backend: MakeBackend, redis: Redis) -> None:
    events = [{"type": "event_callback", "event_id": f"Ev{n}", "event": {}, "n": n} for n in range(40)]
    await make_backend().publish_many(TOPIC, events[30:])
    with pytest.raises(RedisRefusedError) as caught:
        await make_backend(redis_stream_hard_maxlen=20).publish_many(TOPIC, events)
    assert list(caught.value.added) == [*range(10), *range(30, 40)], "with those behind the first refused one"
    assert [one.duplicate for one in caught.value.added.values()] == [False] * 10 + [True] * 10
    assert caught.value.uncertain == []
    assert await there(redis) == [*range(30, 40), *range(10)]


async def test_a_server_without_memory(own_server: Server) -> None:
    async with RedisMessageQueueBackend(Settings(redis_url=own_server.url)) as backend:
        await backend.publish("other", {})
        with own_server.admin() as admin:
            info: Any = admin.info("memory")
            admin.config_set("maxmemory", info["used_memory"] + 2_000_000)
            with pytest.raises(RedisRefusedError, match="no memory left") as caught:
                await backend.publish_many(TOPIC, plain(1000, text="x" * 10_000))
            admin.config_set("maxmemory", 0)
            length: Any = admin.xlen(TOPIC)
        assert 0 < length < 1000
        assert list(caught.value.added) == list(range(length))
        assert caught.value.uncertain == []


async def test_a_partition_that_gets_full(make_backend: MakeBackend, redis: Redis) -> None:
    events = [{"type": "message", "channel": f"C{n % 7}", "n": n} for n in range(60)]
    with pytest.raises(RedisRefusedError) as caught:
        await make_backend(redis_stream_partitions=3, redis_stream_hard_maxlen=15).publish_many(TOPIC, events)
    added = {place: one.stream for place, one in caught.value.added.items()}
    streams = {f"{TOPIC}:p{at}" for at in range(3)}
    assert {stream: await there(redis, stream) for stream in streams} == {
        stream: [place for place, of in added.items() if of == stream] for stream in streams
    }
    assert sorted(added) == list(added) != list(range(len(added))), "one is full before another"


async def test_answers_that_are_lost(lone_server: Server) -> None:
    lone_server.reset()
    async with RefusingProxy(lone_server.port) as proxy, Redis(host=HOST, port=lone_server.port) as redis:
        proxy.loses = lambda words, answer: (
            answer[:1] != b"-" and any(b'"n":150' in word for word in words)  # NOSCRIPT is not lost
        )
        async with RedisMessageQueueBackend(Settings(redis_url=f"redis://{HOST}:{proxy.port}")) as backend:
            with pytest.raises(RedisUnavailableError) as caught:
                await backend.publish_many(TOPIC, plain(250))
        assert list(caught.value.added) == list(range(100))
        assert caught.value.uncertain == list(range(100, 200))
        assert await there(redis) == list(range(200)), "and the rest was not sent"


async def test_commands_that_are_refused_or_not_sent(lone_server: Server) -> None:
    lone_server.reset()
    async with RefusingProxy(lone_server.port) as proxy, Redis(host=HOST, port=lone_server.port) as redis:
        refusal = b"-MISCONF it cannot write to its disk\r\n"
        proxy.refusal = lambda words: refusal if any(b'"n":150' in word for word in words) else None
        async with RedisMessageQueueBackend(Settings(redis_url=f"redis://{HOST}:{proxy.port}")) as backend:
            with pytest.raises(RedisUnavailableError, match="disk") as caught:
                await backend.publish_many(TOPIC, plain(250))
            assert list(caught.value.added) == await there(redis) == list(range(100))
            assert caught.value.uncertain == []
    async with RedisMessageQueueBackend(Settings(redis_url=f"redis://{HOST}:1")) as backend:
        with pytest.raises(RedisUnavailableError) as caught:
            await backend.publish_many(TOPIC, plain(5))
    assert (caught.value.added, caught.value.uncertain) == ({}, [])


async def test_who_is_cut_off_and_cannot_come_back(lone_server: Server) -> None:
    """What is offered when there is no connection any more was certainly not added."""
    lone_server.reset()
    async with AsyncExitStack() as stack:
        async with RefusingProxy(lone_server.port) as proxy:
            settings = Settings(redis_url=f"redis://{HOST}:{proxy.port}")
            backend = await stack.enter_async_context(RedisMessageQueueBackend(settings))
            await backend.publish_many(TOPIC, plain(3))
        with pytest.raises(RedisUnavailableError):
            await backend.publish(TOPIC, {})  # by now it knows that the connection is lost
        with pytest.raises(RedisUnavailableError) as caught:
            await backend.publish_many(TOPIC, plain(3))
    assert (caught.value.added, caught.value.uncertain) == ({}, [])


async def test_an_outbox_that_gets_full(
    own_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_file, "MAX_BYTES", 1_000_000)
    settings = Settings(
        redis_url=own_server.url,
        redis_outbox=tmp_path / "outbox",
        redis_stream_hard_maxlen=30,
    )
    async with RedisMessageQueueBackend(settings) as backend:
        with pytest.raises(OutboxFullError) as caught:
            await backend.publish_many(TOPIC, plain(150, text="x" * 9000))
        with own_server.admin() as admin:
            length: Any = admin.xlen(TOPIC)
        kept = [place for place, one in caught.value.added.items() if one.is_kept]
        assert length == 30
        assert list(caught.value.added) == list(range(30 + len(kept))), "in order up to the first that failed"
        assert kept == list(range(30, 30 + len(kept)))
        assert (await backend.outbox_size()).waiting == len(kept) > 0
        assert caught.value.uncertain == []
