"""Publishing: without secrets, bounded in time, and back when Redis is back."""

import logging
import os
import signal
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError  # noqa: A004

from abe_redis import RedisMessageQueueBackend, Settings
from abe_redis.errors import (
    ClosedError,
    InvalidNameError,
    RedisRefusedError,
    RedisUnavailableError,
)
from abe_redis.publishing import announcer
from abe_redis.streams import names
from abe_redis.streams.publish import announce
from tests import lateness
from tests.integration.conftest import MakeBackend
from tests.integration.publishing.envelopes import envelope
from tests.servers import Server


@pytest.mark.promise("Slack's verification `token` never reaches Redis; no password appears")
async def test_no_token_reaches_redis(backend: RedisMessageQueueBackend, redis: Redis) -> None:
    await backend.publish("slack_events", envelope())
    entries: Any = await redis.xrange("slack_events")
    assert b"the-verification-token" not in b"".join(entries[0][1].values())


async def test_health_checks_do_not_pile_up(
    backend: RedisMessageQueueBackend, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(300):
        await backend.publish("_health_check", {"type": "health_check", "timestamp": "test"})
    assert await redis.xlen("_health_check") == 100
    assert not caplog.records
    assert await redis.keys("abe:*") == []


async def test_a_health_check_does_not_trim_a_stream_of_events(
    backend: RedisMessageQueueBackend, redis: Redis
) -> None:
    for number in range(150):
        await backend.publish("slack_events", envelope(number))
    await backend.publish("slack_events", {"type": "health_check"})
    assert await redis.xlen("slack_events") == 151


async def test_a_stream_that_nobody_reads_is_warned_about_once(
    backend: RedisMessageQueueBackend, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(3):
        await backend.publish("elsewhere", envelope(number))
    assert await redis.xlen("elsewhere") == 3
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert warning == (
        "Publishing to 'elsewhere', which no consumer of these settings reads: "
        "REDIS_STREAM_PATTERNS is slack_events, slack:*."
    )


async def test_the_payload_is_as_0_1_0_wrote_it(backend: RedisMessageQueueBackend, redis: Redis) -> None:
    await backend.publish_event("slack_events", {"a": 1}, origin="mcp")
    entries: Any = await redis.xrange("slack_events")
    assert entries[0][1] == {b"data": b'{"a":1}', b"origin": b"mcp"}


@pytest.mark.promise("Without an outbox it then raises `RedisUnavailableError`.")
async def test_without_a_server_it_raises_within_the_budget() -> None:
    nowhere = Settings(redis_url="redis://127.0.0.1:1/0")
    async with RedisMessageQueueBackend(nowhere) as backend, lateness.watching() as watch:
        with pytest.raises(RedisUnavailableError, match=r"redis://127\.0\.0\.1:1/0 could not be reached"):
            await backend.publish("slack_events", envelope())
        assert watch.passed > 2
        assert watch.own < 3


@pytest.mark.promise("`publish()` retries for 2.5 seconds, because Slack expects an answer within three.")
@pytest.mark.parametrize("connected", [True, False])
async def test_a_frozen_server_is_waited_for_within_the_budget(
    own_server: Server, *, connected: bool
) -> None:
    async with RedisMessageQueueBackend(Settings(redis_url=own_server.url)) as backend:
        if connected:
            await backend.publish("slack_events", envelope(1))
        own_server.freeze()
        async with lateness.watching() as watch:
            with pytest.raises(RedisUnavailableError, match=r"could not be reached .* \(no answer"):
                await backend.publish("slack_events", envelope(2))
            assert watch.passed > 2
            assert watch.own < 3
        own_server.thaw()
        published = await backend.publish_event("slack_events", envelope(3))
        assert not published.duplicate


async def test_a_restart_is_a_pause(own_server: Server) -> None:
    async with RedisMessageQueueBackend(Settings(redis_url=own_server.url)) as backend:
        await backend.publish("slack_events", envelope(1))
        own_server.restart()
        await backend.publish("slack_events", envelope(2))


async def test_a_key_of_another_type_is_refused(backend: RedisMessageQueueBackend, redis: Redis) -> None:
    await redis.rpush("slack:list", "x")
    with pytest.raises(RedisRefusedError, match="is not a stream"):
        await backend.publish("slack:list", envelope())
    assert await redis.lrange("slack:list", 0, -1) == [b"x"]


@pytest.mark.one_server
async def test_a_full_server_is_said_to_be_full(backend: RedisMessageQueueBackend, redis: Redis) -> None:
    await redis.config_set("maxmemory", 1)
    with pytest.raises(RedisRefusedError, match="no memory left"):
        await backend.publish("slack_events", envelope())


async def test_a_stream_that_is_too_long_takes_no_more(make_backend: MakeBackend, redis: Redis) -> None:
    backend = make_backend(redis_stream_maxlen=1, redis_stream_hard_maxlen=3)
    await redis.xgroup_create("slack_events", "behind", "0", mkstream=True)
    for number in range(3):
        await backend.publish("slack_events", envelope(number))
    with pytest.raises(RedisRefusedError, match=r"has 3 entries.*REDIS_STREAM_HARD_MAXLEN"):
        await backend.publish("slack_events", envelope(3))
    assert (await backend.publish_event("slack_events", envelope(2))).duplicate, "it is there"
    assert await redis.xlen("slack_events") == 3


async def test_a_closed_back_end_refuses(backend: RedisMessageQueueBackend) -> None:
    await backend.publish("slack_events", envelope())
    await backend.close()
    await backend.close()
    with pytest.raises(ClosedError):
        await backend.publish("slack_events", envelope())
    with pytest.raises(ClosedError):
        backend.consume()


async def test_a_cancelled_publish_leaves_the_pool_whole(make_backend: MakeBackend, redis: Redis) -> None:
    backend = make_backend(redis_max_connections=2)
    for number in range(40):
        with anyio.move_on_after(0.0005 * (number % 5)):
            await backend.publish("slack_events", envelope(number))
    await backend.publish("slack_events", envelope(1000))
    assert (await backend.publish_event("slack_events", envelope(1000))).duplicate


def test_from_env_needs_no_loop_and_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://u:secret@127.0.0.1:1/0")
    backend = RedisMessageQueueBackend.from_env()
    assert repr(backend) == "RedisMessageQueueBackend('redis://127.0.0.1:1/0')"


def test_signals_are_left_to_the_host() -> None:
    before = signal.getsignal(signal.SIGTERM)
    RedisMessageQueueBackend.from_env()
    assert signal.getsignal(signal.SIGTERM) is before
    assert os.getpid()


@pytest.mark.parametrize("key", [["slack_events"], None, 7, ""])
async def test_an_invalid_name_is_refused_by_name(backend: RedisMessageQueueBackend, key: Any) -> None:
    for publish in (backend.publish(key, {}), backend.publish_many(key, [{}])):
        with pytest.raises(InvalidNameError, match="The name of a stream"):
            await publish


async def only_once(attempt: Any, **_: Any) -> Any:
    """No time for a second try."""
    return await attempt()


@pytest.mark.parametrize("is_tried_again", [True, False])
async def test_a_stream_is_announced_though_the_connection_is_lost_just_then(
    backend: RedisMessageQueueBackend, redis: Redis, monkeypatch: pytest.MonkeyPatch, is_tried_again: bool
) -> None:
    """At once, or else with the next event of whatever stream: nobody else says that it is there."""
    asked = list[list[str]]()

    async def cut_once(redis: Redis, streams: list[str]) -> None:
        asked.append(streams)
        if len(asked) == 1:
            raise ConnectionError("Connection reset by peer")
        await announce(redis, streams)

    monkeypatch.setattr(announcer, "announce", cut_once)
    if not is_tried_again:
        monkeypatch.setattr(announcer, "retry", only_once)
    await backend.publish("slack:new", {"n": 1})
    assert (await redis.zscore(names.INDEX, "slack:new") is not None) == is_tried_again
    await backend.publish("slack:other", {"n": 2})
    for stream in ("slack:new", "slack:other"):
        assert await redis.zscore(names.INDEX, stream)
