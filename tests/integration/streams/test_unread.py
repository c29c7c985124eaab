"""What was accepted is kept until a group has read it, and nobody's unfinished work is trimmed."""

import logging
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Operations, RedisMessageQueueBackend, Settings
from abe_redis.doctor import examine
from abe_redis.errors import RedisRefusedError
from abe_redis.operations.groups import Groups
from abe_redis.operations.scope import Scope
from abe_redis.publishing import maintenance
from tests.integration.conftest import MakeBackend, take, until
from tests.patience import PATIENCE
from tests.servers import Servers

TOPIC = "slack_events"
RECORDS = "abe:groups:{slack_events}"


@pytest.fixture
def redis_url(either_url: str) -> str:
    """Every test runs on both servers."""
    return either_url


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A publish trims to the end, however long that takes on a busy machine."""
    monkeypatch.setattr(maintenance, "_SECONDS", PATIENCE)


def events(count: int, *, first: int = 0) -> list[dict[str, Any]]:
    return [{"n": number} for number in range(first, first + count)]


async def numbers(backend: RedisMessageQueueBackend, count: int, group: str = "default") -> list[int]:
    """What a group is given."""
    async with backend.consume(group=group) as stream:
        return sorted(event["n"] for event in await take(stream, count))


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


async def stats(backend: RedisMessageQueueBackend) -> Any:
    return (await Operations(backend).stream_stats(stream=TOPIC)).streams[0]


# --- Before the first group -------------------------------------------------------------------------------


@pytest.mark.promise("A stream without a group keeps everything, up to `REDIS_STREAM_HARD_MAXLEN`")
async def test_all_that_was_accepted_before_the_first_group_is_delivered(
    make_backend: MakeBackend, redis: Redis
) -> None:
    """Whatever REDIS_STREAM_MAXLEN is, and also what publishers add one by one."""
    publisher = make_backend(redis_stream_maxlen=100)
    await publisher.publish_many(TOPIC, events(900))
    for event in events(100, first=900):
        await publisher.publish(TOPIC, event)
    assert await redis.xlen(TOPIC) == 1000
    assert await numbers(make_backend(redis_stream_maxlen=100), 1000) == list(range(1000))


@pytest.mark.promise("A stream without a group keeps everything, up to `REDIS_STREAM_HARD_MAXLEN`")
async def test_log_stats_and_doctor_say_that_nobody_reads(
    make_backend: MakeBackend, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    publisher = make_backend(redis_stream_maxlen=100)
    for part in range(4):
        await publisher.publish_many(TOPIC, events(300, first=300 * part))
    (sentence,) = [said for said in warnings(caplog) if "Nobody reads" in said]
    assert repr(TOPIC) in sentence
    assert "REDIS_STREAM_HARD_MAXLEN" in sentence
    found = await stats(publisher)
    assert found.health == "unread"
    assert "1200 events and no group" in found.advice
    assert "1000000 entries" in found.advice
    assert "REDIS_STREAM_HARD_MAXLEN" in found.advice
    said = [
        one
        for one in await examine(Settings(redis_url=redis_url, redis_stream_maxlen=100))
        if one.check == "streams"
    ]
    assert any("unread" in one.found and "REDIS_STREAM_HARD_MAXLEN" in one.advice for one in said)
    assert not any("The next event" in one.advice for one in said)


@pytest.mark.promise("A stream without a group keeps everything, up to `REDIS_STREAM_HARD_MAXLEN`")
async def test_beyond_the_hard_limit_publishing_is_refused(make_backend: MakeBackend, redis: Redis) -> None:
    backend = make_backend(redis_stream_maxlen=10, redis_stream_hard_maxlen=300)
    with pytest.raises(RedisRefusedError, match=r"has 300 entries.*REDIS_STREAM_HARD_MAXLEN"):
        await backend.publish_many(TOPIC, events(400))
    assert await redis.xlen(TOPIC) == 300
    with pytest.raises(RedisRefusedError, match="nobody reads it"):
        await backend.publish(TOPIC, {"n": 400})


async def test_a_full_stream_whose_groups_are_done_makes_room(
    make_backend: MakeBackend, redis: Redis
) -> None:
    backend = make_backend(redis_stream_maxlen=10, redis_stream_hard_maxlen=300)
    await backend.publish_many(TOPIC, events(300))
    await redis.xgroup_create(TOPIC, "done", "$")
    await backend.publish(TOPIC, {"n": 300})
    assert await redis.xlen(TOPIC) < 300


async def test_an_operator_who_wants_it_gets_plain_maxlen(
    make_backend: MakeBackend, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    backend = make_backend(redis_stream_maxlen=100, redis_stream_trim_unread=True)
    await backend.publish_many(TOPIC, events(1500))
    left = await redis.xlen(TOPIC)
    assert 100 <= left <= 300
    cut = [said for said in warnings(caplog) if "nobody had read" in said]
    assert cut
    assert sum(int(said.split()[1]) for said in cut) == 1500 - left
    assert all("REDIS_STREAM_TRIM_UNREAD" in said for said in cut)
    found = await stats(backend)
    assert found.lost_unread == 1500 - left
    assert f"{1500 - left} events were removed before any group had read them" in found.advice
    await redis.xgroup_create(TOPIC, "default", "0")
    await backend.publish_many(TOPIC, events(500))
    assert await redis.xlen(TOPIC) == left + 500, "as soon as there is a group, it is waited for"


# --- Groups that somebody destroyed -----------------------------------------------------------------------


async def destroyed(make_backend: MakeBackend, redis: Redis, *, unfinished: int) -> None:
    """A group that had finished 15 events, and was destroyed by somebody."""
    backend = make_backend(redis_stream_maxlen=20, redis_stream_lease_seconds=2)
    await backend.publish_many(TOPIC, events(15 + unfinished))
    async with backend.consume() as stream:
        await take(stream, 16)

        async def recorded() -> bool:
            floor = await redis.hget(RECORDS, "floor default")
            return floor is not None and floor.split()[2] == str(unfinished).encode()

        await until(recorded)
        await stream.aclose()
    await redis.xgroup_destroy(TOPIC, "default")


@pytest.mark.promise("A destroyed group still counts, if its floor is recorded")
@pytest.mark.parametrize("others", [False, True])
async def test_a_destroyed_group_whose_floor_is_recorded_is_waited_for(
    make_backend: MakeBackend, redis: Redis, others: bool
) -> None:
    await destroyed(make_backend, redis, unfinished=185)
    if others:
        await redis.xgroup_create(TOPIC, "done", "$")
    publisher = make_backend(redis_stream_maxlen=20)
    for event in events(30, first=200):
        await publisher.publish(TOPIC, event)
    backend = make_backend(redis_stream_lease_seconds=2)
    assert await numbers(backend, 215) == list(range(15, 230))


async def test_a_group_that_had_finished_nothing_is_waited_for_too(
    make_backend: MakeBackend, redis: Redis
) -> None:
    """It is recorded when a handler has something of it, not only when that is finished."""
    backend = make_backend(redis_stream_maxlen=20)
    await backend.publish_many(TOPIC, events(200))
    async with backend.consume() as stream:
        await take(stream, 1)
        await until(lambda: redis.hexists(RECORDS, "floor default"))
    await redis.xgroup_destroy(TOPIC, "default")
    await redis.xgroup_create(TOPIC, "done", "$")
    await backend.publish_many(TOPIC, events(200, first=200))
    assert await redis.xlen(TOPIC) == 400
    assert await numbers(make_backend(), 400) == list(range(400))


@pytest.mark.promise("A destroyed group still counts, if its floor is recorded")
async def test_a_destroyed_group_is_shown_and_can_be_removed(make_backend: MakeBackend, redis: Redis) -> None:
    await destroyed(make_backend, redis, unfinished=185)
    backend = make_backend(redis_stream_maxlen=20)
    found = await stats(backend)
    (group,) = found.groups
    assert (group.name, group.destroyed, group.pending, group.lag) == ("default", True, 0, 185)
    assert found.health == "stalled"
    assert "destroyed" in found.advice
    assert "abe-redis group remove" in found.advice
    await Groups(Scope(backend)).remove(TOPIC, "default", force=True)
    assert (await stats(backend)).groups == []
    await redis.xgroup_create(TOPIC, "done", "$")

    async def is_trimmed() -> bool:
        await backend.publish(TOPIC, {"n": 200})
        return await redis.xlen(TOPIC) < 200

    await until(is_trimmed)  # since nobody waits for it any more


async def test_a_destroyed_group_that_nobody_comes_back_to_is_given_up_and_counted(
    make_backend: MakeBackend, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    await destroyed(make_backend, redis, unfinished=185)
    await redis.hset(RECORDS, "used default", "1")
    await redis.xgroup_create(TOPIC, "done", "$")
    backend = make_backend(redis_stream_maxlen=20)
    await backend.publish(TOPIC, {"n": 200})
    left = await redis.xlen(TOPIC)
    assert left < 200
    given_up = [said for said in warnings(caplog) if said.startswith("Gave up")]
    assert sum(int(said.split()[2]) for said in given_up) == 201 - left - 15
    assert int(await redis.hget(RECORDS, "lost default") or 0) == 201 - left - 15
    assert (await stats(backend)).groups[-1].lost == 201 - left - 15


async def test_a_stream_that_was_made_anew_belongs_to_its_destroyed_group_from_its_beginning(
    make_backend: MakeBackend, redis: Redis
) -> None:
    await destroyed(make_backend, redis, unfinished=185)
    await redis.delete(TOPIC)
    backend = make_backend(redis_stream_maxlen=20)
    await backend.publish_many(TOPIC, events(10))
    await redis.xgroup_create(TOPIC, "done", "$")
    await backend.publish_many(TOPIC, events(140, first=10))
    await redis.xgroup_setid(TOPIC, "done", "$")
    await backend.publish(TOPIC, {"n": 150})
    assert await numbers(make_backend(), 151) == list(range(151))


# --- Health checks ----------------------------------------------------------------------------------------


async def test_a_health_check_trims_nothing_but_health_checks(
    make_backend: MakeBackend, redis: Redis
) -> None:
    await make_backend().publish_many(TOPIC, events(300))
    stranger = make_backend(redis_stream_patterns="other:*", slack_events_topic="other")
    await stranger.publish(TOPIC, {"type": "health_check"})
    assert await redis.xlen(TOPIC) == 301
    for _ in range(120):
        await stranger.publish("_health_check", {"type": "health_check"})
    assert await redis.xlen("_health_check") == 100
    await redis.xadd("_health_check", {"data": '{"type": "message"}'})
    for _ in range(150):
        await stranger.publish("_health_check", {"type": "health_check"})
    rows: Any = await redis.xrange("_health_check")
    assert b'{"type": "message"}' in [fields[b"data"] for _, fields in rows]


async def test_health_checks_that_somebody_reads_are_not_cut(make_backend: MakeBackend, redis: Redis) -> None:
    stranger = make_backend()
    await stranger.publish("_health_check", {"type": "health_check"})
    await redis.xgroup_create("_health_check", "monitor", "0")
    for _ in range(150):
        await stranger.publish("_health_check", {"type": "health_check"})
    assert await redis.xlen("_health_check") == 151


async def test_health_checks_respect_the_hard_limit(make_backend: MakeBackend) -> None:
    full = make_backend(redis_stream_hard_maxlen=50)
    await full.publish_many(TOPIC, events(50))
    stranger = make_backend(
        redis_stream_hard_maxlen=50, redis_stream_patterns="other:*", slack_events_topic="other"
    )
    with pytest.raises(RedisRefusedError, match="REDIS_STREAM_HARD_MAXLEN"):
        await stranger.publish(TOPIC, {"type": "health_check"})


async def test_after_a_restart_nothing_waits_that_is_done(debian_redis: Servers) -> None:
    """Redis 7.0 forgets how many entries it gave a group."""
    server = debian_redis(persistent=True)
    settings = Settings(redis_url=server.url, redis_stream_patterns=TOPIC)
    async with RedisMessageQueueBackend(settings) as backend:
        await backend.publish_many(TOPIC, events(5))
        assert await numbers(backend, 5) == list(range(5))
        await anyio.to_thread.run_sync(server.restart)
        (group,) = (await stats(backend)).groups
    assert group.lag == 0
