"""Ranges of a stream that are replayed to a group by hand."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import RedisMessageQueueBackend
from abe_redis.errors import InvalidArgumentError
from abe_redis.operations.groups import Groups
from abe_redis.streams import manage
from tests.integration.conftest import pending
from tests.integration.operations.groups_of_numbers import TOPIC, fill, groups, received, redis_url, stats

__all__ = ["groups", "redis_url"]


async def finish(redis: Redis, group: str) -> None:
    """As a group that has read and acked everything."""
    reply: Any = await redis.xreadgroup(group, "c", {TOPIC: ">"})
    await redis.xack(TOPIC, group, *[row[0] for row in reply[0][1]])


async def test_a_range_is_replayed_to_one_group(
    redis: Redis, backend: RedisMessageQueueBackend, groups: Groups
) -> None:
    ids = await fill(redis, 12, hours_ago=12)
    for name in ("bot", "audit"):
        await groups.create(TOPIC, name)
        await finish(redis, name)
    await redis.xdel(TOPIC, ids[4])
    await redis.xadd(TOPIC, {"data": '{"n": 50}', "abe:only": "audit"})
    await finish(redis, "bot")
    await fill(redis, 1)
    await redis.xreadgroup("bot", "c", {TOPIC: ">"})
    assert (await groups.replay(TOPIC, "bot", first=ids[2], last="330m")).events == 4
    assert (await groups.replay(TOPIC, "bot", first="330m")).events == 5, "not what is for another group"
    assert (await groups.replay(TOPIC, "bot", first=ids[2])).done == "nothing", "what waits is not doubled"
    assert await received(backend, "bot", 9) == [2, 3, 5, 6, 7, 8, 9, 10, 11]
    assert await pending(redis, TOPIC, "bot") == 1, "what a consumer holds is left to it"
    assert await pending(redis, TOPIC, "audit") == 0
    assert (await stats(backend, "bot")).lost == 0


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ({"first": "2h", "until": "3h"}, "until is '3h', which lies before from, '2h'"),
        ({"first": "2h", "last": "3h"}, "to is '3h', which lies before from, '2h'"),
        ({"first": "now", "last": "beginning"}, "to is 'beginning', which lies before from, 'now'"),
        ({"first": "1732000000002-0", "last": "1732000000001"}, "Exchange them"),
        ({"first": "1732000000000-2", "until": "1732000000000-1"}, "Exchange them"),
    ],
)
async def test_a_range_that_ends_before_it_begins_is_refused(
    redis: Redis, groups: Groups, bounds: dict[str, str], said: str
) -> None:
    await fill(redis, 3)
    await groups.create(TOPIC, "bot")
    for dry_run in (True, False):
        with pytest.raises(InvalidArgumentError, match=said):
            await groups.replay(TOPIC, "bot", **bounds, dry_run=dry_run)


async def test_a_range_may_be_of_one_event_or_of_none(redis: Redis, groups: Groups) -> None:
    ids = await fill(redis, 3, hours_ago=3)
    await groups.create(TOPIC, "bot")
    await finish(redis, "bot")
    milliseconds = ids[1].partition("-")[0]
    for bounds, number in (
        ({"first": ids[1], "last": ids[1]}, 1),
        ({"first": ids[1], "last": milliseconds}, 1),
        ({"first": milliseconds, "last": milliseconds}, 1),
        ({"first": ids[1], "until": ids[1]}, 0),
        ({"first": "2h", "until": "2h"}, 0),
        ({"first": "beginning", "until": "beginning"}, 0),
        ({"first": "now", "until": "now"}, 0),
    ):
        assert (await groups.replay(TOPIC, "bot", **bounds, dry_run=True)).again == number, bounds


async def test_thousands_are_replayed_but_not_what_is_delivered_meanwhile(
    redis: Redis, backend: RedisMessageQueueBackend, groups: Groups, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(redis, 3000)
    await groups.create(TOPIC, "bot")
    await finish(redis, "bot")
    replay = manage.replay

    async def go_on() -> None:
        while True:
            await fill(redis, 20)
            await finish(redis, "bot")

    async def while_others_go_on(*arguments: Any, on_page: Callable[[int, str | None], None]) -> int:
        def after_first(number: int, reached: str | None) -> None:
            if number <= 100:
                tasks.start_soon(go_on)
            on_page(number, reached)

        return await replay(*arguments, on_page=after_first)

    monkeypatch.setattr(manage, "replay", while_others_go_on)
    async with anyio.create_task_group() as tasks:
        change = await groups.replay(TOPIC, "bot")
        tasks.cancel_scope.cancel()
    assert change.events == 3000
    numbers = Counter(await received(backend, "bot", 3000))
    assert numbers == Counter(range(3000))


async def test_neighbouring_ranges_replay_the_event_at_their_border_once(
    redis: Redis, backend: RedisMessageQueueBackend, groups: Groups
) -> None:
    """`until` leaves its point out, as in every filter; `last` is an event that is delivered, too."""
    hours = [f"2025-11-24T{hour}:00" for hour in (10, 11, 12)]
    for at in (1_763_978_400_000, 1_763_980_000_000, 1_763_982_000_000, 1_763_984_000_000, 1_763_985_600_000):
        await redis.xadd(TOPIC, {"data": "{}"}, id=f"{at}-0")
    await groups.create(TOPIC, "bot")
    await finish(redis, "bot")
    first = await groups.replay(TOPIC, "bot", first=hours[0], until=hours[1])
    second = await groups.replay(TOPIC, "bot", first=hours[1], until=hours[2])
    assert (first.events, second.events) == (2, 2)
    assert (await groups.replay(TOPIC, "bot", until="beginning")).done == "nothing"
