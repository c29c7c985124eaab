"""Publishing adds an event once: whatever is repeated, by Slack or by us, and lost on the way."""

from typing import Any

import anyio
import anyio.lowlevel
import pytest
from redis.asyncio import Redis

from abe_redis import RedisMessageQueueBackend, Settings
from abe_redis.publishing import publisher
from tests.integration.conftest import MakeBackend
from tests.integration.publishing.envelopes import envelope
from tests.patience import PATIENCE
from tests.servers import Server


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


@pytest.mark.promise(
    "An event without an `event_id` is remembered for an hour, so that our own retries do not add it twice."
)
async def test_an_answer_lost_on_the_way_gives_one_entry(
    own_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server stops for half a second with our command in its socket: it is sent again."""
    monkeypatch.setattr(publisher, "PUBLISH_SECONDS", PATIENCE)
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
