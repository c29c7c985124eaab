"""Events that are published together: they share commands, in order, each with its own answer."""

import json
import time
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from redis.asyncio import Redis

from abe_redis import RedisMessageQueueBackend, Settings
from abe_redis.errors import (
    PayloadError,
    RedisRefusedError,
)
from abe_redis.streams import seen
from tests.integration.conftest import MakeBackend, until
from tests.integration.publishing.envelopes import envelope
from tests.servers import Server


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


async def test_kinds_in_turn_whose_ids_are_over_keep_their_order(
    make_backend: MakeBackend, redis: Redis
) -> None:
    """What one command cannot add is sent again: what comes behind it in its stream waits for that."""
    queue = make_backend(redis_stream_dedup_seconds=1)
    await queue.publish("slack_events", {"n": "first"})
    earlier = await queue.publish_many("slack_events", [envelope(number) for number in range(8)])
    for number in range(8):  # they stay where they are remembered, though their time is over
        await redis.persist(seen.buckets("slack_events", f"event:Ev{number}", seen.View(0, 0))[0])
    over = int(earlier[-1].id.partition("-")[0]) / 1000 + 1.1
    while time.time() < over:
        await anyio.sleep(0.1)
    await queue.publish("slack_events", {"n": "then"})
    asked = [each for number in range(8) for each in (envelope(number, n=2 * number), {"n": 2 * number + 1})]
    added = await queue.publish_many("slack_events", asked)
    assert not any(one.duplicate for one in added)
    entries: Any = await redis.xrange("slack_events", min=added[0].id)
    assert [json.loads(fields[b"data"])["n"] for _, fields in entries] == list(range(16))


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
