"""Whoever looks at a full stream reads that every publish is refused, also with another bound."""

from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis import RedisMessageQueueBackend
from abe_redis.errors import RedisRefusedError
from abe_redis.operations.dead_letter_choice import Choice
from abe_redis.operations.dead_letters import DeadLetters
from abe_redis.operations.scope import Scope
from abe_redis.streams import names
from tests.integration.agents import asking, server, text_of
from tests.integration.conftest import MakeBackend
from tests.integration.inspection.looking import STREAM, seen

BOUNDS = {"redis_stream_maxlen": 1, "redis_stream_hard_maxlen": 3}


@pytest.fixture
def redis_url(either_url: str) -> str:
    """Every test runs on both servers."""
    return either_url


async def filled(publisher: RedisMessageQueueBackend, redis: Redis) -> None:
    """A stream that refuses the publisher, while a consumer that lives works on its events."""
    await redis.xgroup_create(STREAM, "bot", "0", mkstream=True)
    await redis.xreadgroup("bot", "worker", {STREAM: ">"}, count=1)
    for number in range(3):
        await publisher.publish(STREAM, {"n": number})
    await redis.xreadgroup("bot", "worker", {STREAM: ">"})
    with pytest.raises(RedisRefusedError, match="has 3 entries"):
        await publisher.publish(STREAM, {"n": 3})


async def test_a_full_stream_is_said_to_be_full_although_its_workers_work(
    make_backend: MakeBackend, redis: Redis
) -> None:
    await filled(make_backend(**BOUNDS), redis)
    same, other = await seen(make_backend(**BOUNDS)), await seen(make_backend())
    assert [(one.health, one.full_at) for one in (same, other)] == [("stalled", 3)] * 2
    assert same.advice.startswith(
        "It is full: at 3 entries (REDIS_STREAM_HARD_MAXLEN) every publish is refused, as its consumers are "
        "behind. Start or add consumers, or raise REDIS_STREAM_HARD_MAXLEN where events are published."
    )
    assert "(REDIS_STREAM_HARD_MAXLEN of publishers; here it is 1000000)" in other.advice
    said = text_of(await asking(server(make_backend()))("stream_stats", stream=STREAM))
    assert "every publish is refused" in said


async def test_it_takes_events_again_when_there_is_room(make_backend: MakeBackend, redis: Redis) -> None:
    publisher, watcher = make_backend(**BOUNDS), make_backend()
    await filled(publisher, redis)
    await redis.xtrim(STREAM, maxlen=2, approximate=False)
    found = await seen(watcher)
    assert (found.health, found.full_at) == ("working", None)
    await publisher.publish(STREAM, {"n": 3})
    with pytest.raises(RedisRefusedError):
        await publisher.publish(STREAM, {"n": 4})
    assert (await seen(watcher)).full_at == 3


async def test_a_refusal_does_not_count_where_others_still_publish(
    make_backend: MakeBackend, redis: Redis
) -> None:
    await filled(make_backend(**BOUNDS), redis)
    await make_backend().publish(STREAM, {"n": 3})
    assert (await seen(make_backend())).full_at is None
    assert (await seen(make_backend(**BOUNDS))).full_at == 3, "who has that bound is refused"


@pytest.mark.parametrize("how", ["together", "redriven"])
async def test_every_refusal_says_so(make_backend: MakeBackend, redis: Redis, how: str) -> None:
    publisher = make_backend(**BOUNDS)
    await redis.xgroup_create(STREAM, "bot", "0", mkstream=True)
    letter: Any = {
        "data": "{}",
        "abe:group": "bot",
        "abe:reason": "x",
        "abe:deliveries": "1",
        "abe:id": "1-0",
    }
    await redis.xadd(names.dead_letters(STREAM), letter)
    for number in range(3):
        await publisher.publish(STREAM, {"n": number})
    assert (await seen(make_backend())).full_at is None
    with pytest.raises(RedisRefusedError):
        if how == "together":
            await publisher.publish_many(STREAM, [{"n": number} for number in range(3, 6)])
        else:
            await DeadLetters(Scope(publisher)).redrive(STREAM, Choice(everything=True))
    assert (await seen(make_backend())).full_at == 3
