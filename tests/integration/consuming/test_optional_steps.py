"""What a consumer does beside reading may be refused: it says so once, and reads on."""

import logging
from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis.client import optional_commands
from tests.integration.conftest import MakeBackend, take, take_one, until

TOPIC = "slack_events"

pytestmark = pytest.mark.one_server


@pytest.fixture
def redis_url(either_url: str) -> str:
    """Every test runs on both servers."""
    return either_url


@pytest.mark.parametrize("ordered", [False, True])
async def test_refused_upkeep_never_ends_reading(
    make_backend: MakeBackend,
    redis: Redis,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    ordered: bool,
) -> None:
    monkeypatch.setattr(optional_commands, "_accepts", {})  # each process says it once
    caplog.set_level(logging.INFO)
    index = [] if ordered else ["-zrange"]  # the members of an ordered group are in a sorted set, too
    rules = ["on", ">secret", "~*", "&*", "+@all", "-scan", "-dbsize", "-xtrim", "-hset", *index]
    send: Any = redis.execute_command
    await send("ACL", "SETUSER", "worker", *rules)
    await redis.xgroup_create(TOPIC, "default", "0", mkstream=True)
    publisher = make_backend()
    worker = make_backend(redis_username="worker", redis_password="secret", redis_stream_lease_seconds=6)
    events: Any = worker.consume_ordered() if ordered else worker.consume()
    async with events:
        for number in range(5):
            await publisher.publish(TOPIC, {"n": number})
        assert [event["n"] for event in await take(events, 5)] == list(range(5))

        async def said(words: str) -> list[str]:
            return [one.getMessage() for one in caplog.records if words in one.getMessage()]

        for doing in ("refuses SCAN", "recording what is finished"):
            await until(lambda doing=doing: said(doing))  # type: ignore[misc]
        assert all("goes on without" in sentence for sentence in await said("recording what is finished"))
        assert len(await said("recording what is finished")) == 1
        await send("ACL", "SETUSER", "worker", "+@all")
        await publisher.publish(TOPIC, {"n": 5})
        assert await take_one(events) == {"n": 5}
        await until(lambda: said("recording what is finished works again"))


@pytest.mark.parametrize("ordered", [False, True])
async def test_who_may_not_say_what_it_holds_gives_everything_back_all_the_same(
    make_backend: MakeBackend, redis: Redis, caplog: pytest.LogCaptureFixture, ordered: bool
) -> None:
    """As a user does whose rights were made before there were such notes."""
    send: Any = redis.execute_command
    kinds = "streams seen:* groups:* due:* leases:* pending:* audit owner:* members:*"
    keys = [f"~abe:{kind}" for kind in kinds.split()]
    await send("ACL", "SETUSER", "worker", "on", ">secret", "&*", "+@all", f"~{TOPIC}", "~dead:*", *keys)
    worker = make_backend(redis_username="worker", redis_password="secret", redis_stream_lease_seconds=1)
    await make_backend().publish(TOPIC, {"n": 1})
    events: Any = worker.consume_ordered() if ordered else worker.consume()
    async with events:
        await take_one(events)
    assert "removing what a consumer said of its leases" in caplog.text
    assert "could not release its events" not in caplog.text
    async with make_backend().consume() as others:
        assert await take_one(others) == {"n": 1}
