"""Publishing: once, without secrets, bounded in time, and back when Redis is back."""

import json
import logging
import os
import signal
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from redis.asyncio import Redis

from abe_redis import RedisMessageQueueBackend, Settings
from abe_redis.errors import (
    ClosedError,
    InvalidNameError,
    PayloadError,
    RedisRefusedError,
    RedisUnavailableError,
)
from tests import lateness
from tests.integration.conftest import MakeBackend, until
from tests.servers import Server


def envelope(number: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "type": "event_callback",
        "token": "the-verification-token",
        "event_id": f"Ev{number}",
        "event": {"type": "message", "text": str(number)},
    } | more


async def test_256_at_once_through_a_pool_of_10(backend: RedisMessageQueueBackend, redis: Redis) -> None:
    async with anyio.create_task_group() as tasks:
        for number in range(256):
            tasks.start_soon(backend.publish, "slack_events", envelope(number))
    assert await redis.xlen("slack_events") == 256
    clients: Any = await redis.client_list()
    assert sum(client["name"] == "abe-redis" for client in clients) <= 10


async def test_one_caller_keeps_its_order(backend: RedisMessageQueueBackend, redis: Redis) -> None:
    for number in range(50):
        await backend.publish("slack_events", {"n": number})
    entries: Any = await redis.xrange("slack_events")
    assert [fields[b"data"] for _, fields in entries] == [b'{"n":%d}' % number for number in range(50)]


async def test_events_published_at_the_same_time_share_commands(own_server: Server) -> None:
    with own_server.admin() as admin:
        async with RedisMessageQueueBackend(Settings(redis_url=own_server.url)) as queue:
            await queue.publish("slack_events", envelope(0))
            admin.config_resetstat()
            async with anyio.create_task_group() as tasks:
                for number in range(1, 1001):
                    tasks.start_soon(queue.publish, "slack_events", envelope(number))
            calls: Any = admin.info("commandstats")
        assert admin.xlen("slack_events") == 1001
        assert calls["cmdstat_evalsha"]["calls"] < 100
        entries: Any = admin.xrange("slack_events")
    added = [json.loads(fields["data"])["event_id"] for _, fields in entries]
    assert added == [f"Ev{number}" for number in range(1001)], "in the order of the calls"


async def test_of_those_that_share_a_command_each_has_its_own_answer(
    make_backend: MakeBackend, redis: Redis
) -> None:
    queue = make_backend(redis_stream_maxlen=10, redis_stream_hard_maxlen=20)
    await redis.xgroup_create("slack_events", "slow", "0", mkstream=True)
    outcomes: dict[int, str] = {}

    async def publish(at: int, number: int) -> None:
        try:
            published = await queue.publish_event("slack_events", envelope(number))
        except RedisRefusedError:
            outcomes[at] = "refused"
        else:
            outcomes[at] = "duplicate" if published.duplicate else "added"

    await publish(0, 0)
    async with anyio.create_task_group() as tasks:
        for at, number in enumerate((*range(15), *range(15), *range(15, 30)), 1):
            tasks.start_soon(publish, at, number)
    expected = ["added", "duplicate", *["added"] * 14, *["duplicate"] * 15, *["added"] * 5, *["refused"] * 10]
    assert [outcomes[at] for at in sorted(outcomes)] == expected
    assert await redis.xlen("slack_events") == 20


async def test_among_those_that_share_a_command_any_may_be_cancelled(
    backend: RedisMessageQueueBackend, redis: Redis
) -> None:
    await backend.publish("slack_events", envelope(0))
    async with anyio.create_task_group() as tasks:
        scopes = [anyio.CancelScope() for _ in range(300)]

        async def publish(number: int) -> None:
            with scopes[number]:
                await backend.publish("slack_events", envelope(1000 + number))

        for number in range(300):
            tasks.start_soon(publish, number)
        await anyio.lowlevel.checkpoint()
        for scope in scopes[::3]:
            scope.cancel()
    entries: Any = await redis.xrange("slack_events")
    added = {json.loads(fields[b"data"])["event_id"] for _, fields in entries}
    assert {f"Ev{1000 + number}" for number in range(300) if number % 3} <= added


async def test_a_server_that_forgot_its_scripts_is_told_again(
    backend: RedisMessageQueueBackend, redis: Redis
) -> None:
    for number in range(3):
        await backend.publish("slack_events", envelope(100 * number))
        await redis.script_flush()
        async with anyio.create_task_group() as tasks:
            for one in range(1, 50):
                tasks.start_soon(backend.publish, "slack_events", envelope(100 * number + one))
    assert await redis.xlen("slack_events") == 150


@pytest.mark.promise("A stream adds the same `event_id` only once within `REDIS_STREAM_DEDUP_SECONDS`.")
async def test_slacks_retry_adds_nothing(make_backend: MakeBackend, redis: Redis) -> None:
    first = await make_backend().publish_event("slack_events", envelope())
    again = await make_backend().publish_event("slack_events", envelope(retry=1))
    other = await make_backend().publish_event("slack:other", envelope())
    assert not first.duplicate
    assert again.duplicate
    assert again.id == first.id
    assert not other.duplicate, "an id is remembered per stream"
    assert await redis.xlen("slack_events") == 1


@pytest.mark.promise("so the second post adds nothing.")
async def test_concurrent_retries_add_one(backend: RedisMessageQueueBackend, redis: Redis) -> None:
    async with anyio.create_task_group() as tasks:
        for number in range(200):
            tasks.start_soon(backend.publish, "slack_events", envelope(number % 20))
    assert await redis.xlen("slack_events") == 20


async def test_deduplication_can_be_off(make_backend: MakeBackend, redis: Redis) -> None:
    backend = make_backend(redis_stream_dedup_seconds=0)
    for _ in range(2):
        assert not (await backend.publish_event("slack_events", envelope())).duplicate
    assert await redis.xlen("slack_events") == 2


async def test_an_id_counts_only_while_its_stream_exists(
    backend: RedisMessageQueueBackend, redis: Redis
) -> None:
    await backend.publish("slack_events", envelope())
    await redis.delete("slack_events")
    assert not (await backend.publish_event("slack_events", envelope())).duplicate
    assert await redis.xlen("slack_events") == 1


@pytest.mark.promise(
    "An event without an `event_id` is remembered for an hour, so that our own retries do not add it twice."
)
@pytest.mark.one_server
async def test_every_remembered_id_expires(backend: RedisMessageQueueBackend, redis: Redis) -> None:
    await backend.publish("slack_events", envelope())
    await backend.publish("slack_events", {"plain": 1})
    keys: Any = await redis.keys("abe:seen:*")
    ttls = sorted([await redis.ttl(key) for key in keys])
    assert len(ttls) == 3, "two ids, and how the stream remembers"
    assert 3600 < ttls[0] <= 4500
    assert 86_400 < ttls[1] <= 108_000 < ttls[2] <= 2 * 86_400


async def test_equal_payloads_without_an_id_are_different_events(
    backend: RedisMessageQueueBackend, redis: Redis
) -> None:
    for _ in range(2):
        await backend.publish("slack_events", {"type": "message", "text": "hello"})
    assert await redis.xlen("slack_events") == 2


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
async def test_a_frozen_server_is_waited_for_within_the_budget(own_server: Server) -> None:
    async with RedisMessageQueueBackend(Settings(redis_url=own_server.url)) as backend:
        await backend.publish("slack_events", envelope(1))
        own_server.freeze()
        async with lateness.watching() as watch:
            with pytest.raises(RedisUnavailableError):
                await backend.publish("slack_events", envelope(2))
            assert watch.passed > 2
            assert watch.own < 3
        own_server.thaw()
        published = await backend.publish_event("slack_events", envelope(3))
        assert not published.duplicate


@pytest.mark.promise(
    "An event without an `event_id` is remembered for an hour, so that our own retries do not add it twice."
)
async def test_an_answer_lost_on_the_way_gives_one_entry(own_server: Server) -> None:
    """The server stops for half a second with our command in its socket: it is sent again."""
    async with RedisMessageQueueBackend(Settings(redis_url=own_server.url)) as backend:
        await backend.publish("slack_events", {"warm": "up"})
        with own_server.admin() as admin:
            admin.execute_command("CLIENT", "PAUSE", 60_000, "WRITE")

            async def cut_and_release() -> None:
                for _ in range(3):
                    await anyio.sleep(0.2)
                    admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                admin.execute_command("CLIENT", "UNPAUSE")

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(cut_and_release)
                published = await backend.publish_event("slack_events", envelope(1))
            assert not published.duplicate
            assert admin.xlen("slack_events") == 2


@pytest.mark.promise(
    "An event without an `event_id` is remembered for an hour, so that our own retries do not add it twice."
)
async def test_our_own_retry_is_not_a_duplicate(backend: RedisMessageQueueBackend, redis: Redis) -> None:
    """The script's own contract: the same attempt again answers as the first time."""
    from abe_redis.streams.publish import Draft, publish

    draft = Draft("s", {b"data": b"{}"}, event_id="event:Ev1", attempt="attempt 1", remember_seconds=60)
    (first,) = await publish(redis, [draft], hard_maxlen=10)
    (retry,) = await publish(redis, [draft], hard_maxlen=10)
    (other,) = await publish(redis, [draft._replace(attempt="attempt 2")], hard_maxlen=10)
    assert (retry.id, retry.duplicate) == (first.id, False)
    assert (other.id, other.duplicate) == (first.id, True)
    assert await redis.xlen("s") == 1


async def test_many_are_added_in_order_and_once(backend: RedisMessageQueueBackend, redis: Redis) -> None:
    await backend.publish("slack_events", envelope(7))
    numbers = [*range(250), 3, 7]
    done = await backend.publish_many("slack_events", (envelope(number) for number in numbers))
    assert [one.duplicate for one in done] == [number == 7 or at > 249 for at, number in enumerate(numbers)]
    entries: Any = await redis.xrange("slack_events")
    added = [json.loads(fields[b"data"])["event_id"] for _, fields in entries]
    assert added == [envelope(number)["event_id"] for number in (7, *range(7), *range(8, 250))]
    assert [one.id.encode() for one in done if not one.duplicate] == [entry_id for entry_id, _ in entries[1:]]
    assert await backend.publish_many("slack_events", []) == []


async def test_many_are_checked_before_the_first_is_added(
    backend: RedisMessageQueueBackend, redis: Redis
) -> None:
    with pytest.raises(PayloadError, match="not JSON"):
        await backend.publish_many("slack_events", [envelope(1), {"bad": object()}])
    assert not await redis.exists("slack_events")


async def test_many_into_a_full_stream_fail_loudly_and_can_be_repeated(
    make_backend: MakeBackend, redis: Redis
) -> None:
    events = [envelope(number) for number in range(150)]
    with pytest.raises(RedisRefusedError, match="REDIS_STREAM_HARD_MAXLEN"):
        await make_backend(redis_stream_hard_maxlen=120).publish_many("slack_events", events)
    assert await redis.xlen("slack_events") == 120
    done = await make_backend().publish_many("slack_events", events)
    assert [one.duplicate for one in done] == [True] * 120 + [False] * 30


async def test_many_wait_in_the_outbox_in_order(own_server: Server, tmp_path: Path) -> None:
    settings = Settings(redis_url=own_server.url, redis_outbox=tmp_path / "outbox.db")
    async with RedisMessageQueueBackend(settings) as backend:
        await backend.publish("slack_events", envelope(0))
        own_server.freeze()
        kept = await backend.publish_many("slack_events", [envelope(number) for number in range(1, 130)])
        assert len(kept) == 129
        kept = await backend.publish_many("slack_events", [envelope(130)])
        assert kept[0].id.startswith("outbox-")
        own_server.thaw()
        with own_server.admin() as admin:

            async def delivered() -> bool:
                return int(admin.xlen("slack_events")) == 131

            await until(delivered)
            entries = admin.xrange("slack_events")
    assert [json.loads(fields["data"])["event_id"] for _, fields in entries] == [
        envelope(number)["event_id"] for number in range(131)
    ]


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
