"""What a consumer took over beside a blocking read keeps its count; what the read got does not."""

from collections.abc import Sequence

import pytest
from redis.asyncio import Redis

from abe_redis.streams import lease, manage, names, release
from abe_redis.streams.reclaim import reclaim
from tests.integration.on_streams import A, fill, hold, let_lapse, recorded, rows


async def give_back_all(redis: Redis) -> None:
    """As a consumer that lost the answers to all its reads."""
    await release.release(redis, "g", "me", [A], {}, everything=True, stays=True)


async def take_over(redis: Redis, count: int, *, beside_read: bool = True) -> None:
    await reclaim(
        *(redis, "g", "me", [A]), lease_seconds=60, count=count, begun=False, beside_read=beside_read
    )


async def counts(redis: Redis, ids: Sequence[str]) -> list[int]:
    found = await rows(redis, A)
    return [found[one][1] for one in ids]


async def test_of_two_lost_answers_only_the_read_does_not_count(commands: Redis) -> None:
    begun = await hold(commands, A, 2, by="dead")
    await let_lapse(commands, A, begun[:1], deliveries=1, by="dead")
    await let_lapse(commands, A, begun[1:], deliveries=3, by="dead")
    news = await fill(commands, A, 1)
    await lease.take_new(commands, "g", "me", [A], count=1, block_ms=None)
    await take_over(commands, 2)
    assert await counts(commands, [*begun, *news]) == [1, 3, 1]
    await give_back_all(commands)
    assert await counts(commands, [*begun, *news]) == [1, 3, 0]


async def test_what_another_consumer_took_over_says_nothing(commands: Redis) -> None:
    ids = await hold(commands, A, 1, by="dead")
    await let_lapse(commands, A, ids, deliveries=1, by="dead")
    await reclaim(*(commands, "g", "other", [A]), lease_seconds=60, count=1, begun=False, beside_read=True)
    await commands.xclaim(A, "g", "me", 0, [*ids], retrycount=1)
    await give_back_all(commands)
    assert await counts(commands, ids) == [0]


async def test_what_it_took_over_before_the_group_was_set_back_says_nothing(commands: Redis) -> None:
    ids = await hold(commands, A, 1, by="dead")
    await let_lapse(commands, A, ids, deliveries=1, by="dead")
    await take_over(commands, 1)
    assert (await manage.reset(commands, A, "g", "0-0", force=True))[1]
    await lease.take_new(commands, "g", "me", [A], count=1, block_ms=None)
    await commands.xclaim(A, "g", "me", 0, [*ids], retrycount=1)  # as a blocking read counts it
    await give_back_all(commands)
    assert await counts(commands, ids) == [0]


async def test_without_a_read_nothing_is_noted(commands: Redis) -> None:
    ids = await hold(commands, A, 1, by="dead")
    await let_lapse(commands, A, ids, deliveries=1, by="dead")
    await take_over(commands, 1, beside_read=False)
    assert await recorded(commands, A, "overtaken") is None


@pytest.mark.parametrize(("age_ms", "count"), [(60_000, 0), (-60_000, 1)])
async def test_what_may_be_forgotten_keeps_its_count(commands: Redis, age_ms: int, count: int) -> None:
    """The newest 100 are noted. What was taken before all of them may have been noted, too."""
    ids = await hold(commands, A, 1, by="me")
    seconds, _ = await commands.time()
    line = f"{seconds * 1000 - age_ms} 1-1 other\n"
    await commands.hset(names.records(A), "overtaken g", line * 100)
    await give_back_all(commands)
    assert await counts(commands, ids) == [count]


async def test_no_more_than_100_are_noted(commands: Redis) -> None:
    ids = await hold(commands, A, 1, by="dead")
    await let_lapse(commands, A, ids, deliveries=1, by="dead")
    await commands.hset(names.records(A), "overtaken g", "1 1-1 other\n" * 100)
    await take_over(commands, 1)
    noted = (await recorded(commands, A, "overtaken") or b"").decode().splitlines()
    assert len(noted) == 100
    assert noted[0].endswith(f" {ids[0]} me")
