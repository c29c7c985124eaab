"""A destroyed group that a person or an agent makes again: it gives up nothing unasked."""

from collections.abc import Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis import Operations, RedisMessageQueueBackend
from abe_redis.errors import RequestError
from abe_redis.operations import audit
from abe_redis.operations.groups import Groups
from abe_redis.operations.scope import Scope
from abe_redis.streams import ids as entry_ids
from abe_redis.streams import names
from tests.integration.operations.groups_of_numbers import TOPIC, fill, groups, received, redis_url, stats

__all__ = ["groups", "redis_url"]

HAS = "Group 'bot' of 'slack_events', which somebody destroyed, has {} to finish"


async def destroyed(redis: Redis, backend: RedisMessageQueueBackend) -> list[str]:
    """A group that has finished the first of five events, held the next two, and was destroyed."""
    ids = await fill(redis, 5)
    operations = Operations(backend, origin="cli")
    leased = await operations.read_stream(stream=TOPIC, group="bot", count=3, create_group=True)
    assert [one.id for one in leased.events] == ids[:3]
    await operations.ack(stream=TOPIC, group="bot", ids=ids[:1])
    await redis.xgroup_destroy(TOPIC, "bot")
    return ids


async def state(redis: Redis) -> tuple[int, str]:
    """How much the group has pending, and behind which event it gets the others."""
    (row,) = await redis.xinfo_groups(TOPIC)
    return row["pending"], row["last-delivered-id"].decode()


async def test_a_destroyed_group_is_made_again_where_it_had_finished(
    redis: Redis, backend: RedisMessageQueueBackend, groups: Groups
) -> None:
    ids = await destroyed(redis, backend)
    change = await groups.create(TOPIC, "bot")
    assert (change.done, change.events) == ("created", 0)
    assert change.note == "Somebody had destroyed it; it goes on where it had finished."
    assert await state(redis) == (2, ids[2])
    with pytest.raises(RequestError, match="has a group 'bot' already"):
        await groups.create(TOPIC, "bot")


@pytest.mark.parametrize("how", ["create", "reset"])
@pytest.mark.parametrize("start", ["now", "third", "beginning"])
async def test_a_group_that_is_destroyed_before_its_first_consumer_starts_where_it_was_to(
    redis: Redis, groups: Groups, how: str, start: str
) -> None:
    ids = await fill(redis, 5)
    before = {"now": ids[4], "third": entry_ids.before(ids[2]), "beginning": "0-0"}[start]
    where = ids[2] if start == "third" else start
    if how == "create":
        await groups.create(TOPIC, "bot", start=where)
    else:
        await redis.xgroup_create(TOPIC, "bot", "0")
        await groups.reset(TOPIC, "bot", start=where, force=True)
    assert await state(redis) == (0, before)
    await redis.xgroup_destroy(TOPIC, "bot")
    await groups.create(TOPIC, "bot")
    assert await state(redis) == (0, before)


@pytest.mark.parametrize(
    ("start", "says"),
    [
        ("now", "2 pending and 2 undelivered events"),
        (lambda ids: ids[4], "2 pending and 1 undelivered events"),
        ("beginning", "2 pending events"),
    ],
)
async def test_a_point_for_a_destroyed_group_with_unfinished_events_needs_force(
    redis: Redis,
    backend: RedisMessageQueueBackend,
    groups: Groups,
    start: str | Callable[[list[str]], str],
    says: str,
) -> None:
    ids = await destroyed(redis, backend)
    at = start if isinstance(start, str) else start(ids)
    with pytest.raises(RequestError) as refused:
        await groups.create(TOPIC, "bot", start=at)
    assert HAS.format(says) in str(refused.value)
    assert "nothing was changed" in str(refused.value)
    assert "--force" in str(refused.value)
    assert (await stats(backend, "bot")).destroyed, "it is as it was"
    assert (await groups.create(TOPIC, "bot")).done == "created"
    assert await state(redis) == (2, ids[2]), "everything is there"


async def test_what_force_gives_up_is_counted_and_stands_in_the_audit(
    redis: Redis, backend: RedisMessageQueueBackend
) -> None:
    scope = Scope(backend, origin="cli")
    await destroyed(redis, backend)
    await redis.zadd(names.due(TOPIC, "bot"), {"1-0": 1})
    change = await Groups(scope).create(TOPIC, "bot", start="now", force=True)
    assert (change.done, change.events) == ("created", 4)
    assert change.note == "It gets later events only. It let go of 2 pending and 2 undelivered events."
    assert not await redis.exists(names.due(TOPIC, "bot"))
    (noted,) = await audit.last(redis, 1)
    assert (noted.what, noted.facts["events"], noted.facts["force"]) == ("group create", 4, True)
    await fill(redis, 1)
    assert await received(backend, "bot", 1) == [0]


async def test_a_point_for_a_destroyed_group_that_had_finished_needs_no_force(
    redis: Redis, backend: RedisMessageQueueBackend, groups: Groups
) -> None:
    await fill(redis, 3)
    assert await received(backend, "bot", 3) == [0, 1, 2]
    await redis.xgroup_destroy(TOPIC, "bot")
    change = await groups.create(TOPIC, "bot", start="now")
    assert (change.events, change.note) == (0, "It gets later events only.")


async def test_a_destroyed_group_of_a_stream_that_was_made_anew_has_all_of_it_to_finish(
    redis: Redis, backend: RedisMessageQueueBackend, groups: Groups
) -> None:
    await destroyed(redis, backend)
    await redis.delete(TOPIC)
    await fill(redis, 2)
    with pytest.raises(RequestError, match="has 2 undelivered events to finish"):
        await groups.create(TOPIC, "bot", start="now")
    assert (
        await groups.create(TOPIC, "bot")
    ).note == "Somebody had destroyed it; it goes on at the beginning."
    assert await received(backend, "bot", 2) == [0, 1]


async def test_a_reader_does_not_choose_where_a_destroyed_group_with_unfinished_events_begins(
    redis: Redis, backend: RedisMessageQueueBackend
) -> None:
    ids = await destroyed(redis, backend)
    operations = Operations(backend)
    lease: dict[str, Any] = {"stream": TOPIC, "group": "bot", "create_group": True}
    with pytest.raises(RequestError, match=r"has 2 pending and 2 undelivered events .*leave out since"):
        await operations.lease(**lease, since="now")
    assert [one.id for one in (await operations.lease(**lease)).events] == ids[3:]
