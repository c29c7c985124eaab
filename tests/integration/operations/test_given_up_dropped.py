"""What somebody dropped with the consumer of a dead worker counts when a person gives it up."""

import json
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import RedisMessageQueueBackend
from abe_redis.errors import RequestError
from abe_redis.operations.erasure import erase
from abe_redis.operations.groups import Groups
from abe_redis.operations.scope import Scope
from abe_redis.streams import acks, lease
from abe_redis.streams.groups import ensure_group, record_progress
from abe_redis.streams.reclaim import reclaim
from abe_redis.streams.release import postpone
from tests.command_line import run_command
from tests.integration.on_streams import recorded

STREAM, GROUP = "slack_events", "g"
LEASE_SECONDS = 60.0


@pytest.fixture
def redis_url(either_url: str) -> str:
    """Every test runs on both servers."""
    return either_url


async def removed(backend: RedisMessageQueueBackend, redis: Redis, *, group: str = GROUP) -> list[str]:
    """Ids of what a worker held that died, and whose consumer somebody removed: one of them is postponed.

    It had finished another one, and got the last one after the last record.
    """
    for number in range(5):
        user = "U1" if number < 3 else "U2"
        await backend.publish(STREAM, {"type": "event_callback", "n": number, "event": {"user": user}})
    await ensure_group(redis, [STREAM], group)
    await reclaim(redis, group, "dead", [STREAM], lease_seconds=LEASE_SECONDS, count=10, begun=False)
    held = await lease.take_new(redis, group, "dead", [STREAM], count=4, block_ms=None)
    ids = [entry.id for entry in held]
    await anyio.sleep(0.45)  # until what is pending is listed anew
    await record_progress(redis, [STREAM], group)
    held += await lease.take_new(redis, group, "dead", [STREAM], count=1, block_ms=None)
    assert await acks.ack(redis, group, "dead", [(STREAM, ids[0])]) == ["done"]
    assert await postpone(redis, STREAM, group, "dead", ids[1], delay_seconds=3600)
    assert await redis.xgroup_delconsumer(STREAM, group, "dead") == 4
    return [entry.id for entry in held[1:]]


async def pending(redis: Redis, group: str = GROUP) -> list[str]:
    found: Any = await redis.xpending_range(STREAM, group, "-", "+", 100)
    return [row["message_id"].decode() for row in found]


@pytest.mark.parametrize("command", ["reset", "remove"])
async def test_a_group_that_is_given_up_counts_them(
    backend: RedisMessageQueueBackend,
    redis: Redis,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    held = await removed(backend, redis)
    monkeypatch.setenv("REDIS_URL", redis_url)
    line = ("group", command, STREAM, GROUP, *(["--from", "now"] if command == "reset" else []))
    refused = run_command(*line)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "has 4 pending" in refused.stderr
    assert await pending(redis) == held
    done = run_command(*line, "--force", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["events"] == 4
    assert "4 pending" in told["note"]


async def test_a_dry_run_counts_them_and_a_look_does_not(
    backend: RedisMessageQueueBackend, redis: Redis
) -> None:
    held = await removed(backend, redis)
    groups = Groups(Scope(backend))
    assert [one.pending for one in (await groups.describe(STREAM)).groups] == [0]
    for force in (False, True):
        change = await groups.reset(STREAM, GROUP, start="now", force=force, dry_run=True)
        assert change.events == 4
    assert await pending(redis) == held


async def test_those_that_are_gone_from_the_stream_count_once(
    backend: RedisMessageQueueBackend, redis: Redis
) -> None:
    held = await removed(backend, redis)
    await redis.xdel(STREAM, held[1])
    change = await Groups(Scope(backend)).remove(STREAM, GROUP, force=True)
    assert change.events == 4


async def test_what_was_erased_of_them_counts_as_unfinished_and_not_as_lost(
    backend: RedisMessageQueueBackend, redis: Redis
) -> None:
    held = await removed(backend, redis)
    scope = Scope(backend)
    for dry_run in (True, False):
        result = await erase(scope, user="U1", dry_run=dry_run)
        (of,) = result.streams
        assert (of.erased, of.unfinished) == (3, 2)
    await record_progress(redis, [STREAM], GROUP)
    assert await recorded(redis, STREAM, "lost") is None
    assert await pending(redis) == held[2:]


async def test_what_an_erasure_leaves_of_each_group_is_still_found(
    backend: RedisMessageQueueBackend, redis: Redis
) -> None:
    await removed(backend, redis)
    await ensure_group(redis, [STREAM], "other")
    await reclaim(redis, "other", "dead", [STREAM], lease_seconds=LEASE_SECONDS, count=10, begun=False)
    held = [one.id for one in await lease.take_new(redis, "other", "dead", [STREAM], count=5, block_ms=None)]
    await record_progress(redis, [STREAM], "other")
    assert await redis.xgroup_delconsumer(STREAM, "other", "dead") == 5
    await erase(Scope(backend), user="U1")
    for group in (GROUP, "other"):
        await record_progress(redis, [STREAM], group)
        assert await pending(redis, group) == held[3:]


async def test_a_group_that_has_finished_everything_is_removed_at_once(
    backend: RedisMessageQueueBackend, redis: Redis
) -> None:
    held = await removed(backend, redis)
    with pytest.raises(RequestError, match="has 4 pending and 0 undelivered events"):
        await Groups(Scope(backend)).remove(STREAM, GROUP)
    for one, holder in zip(held, ["abe:nobody"] * 4, strict=True):
        assert await acks.ack(redis, GROUP, holder, [(STREAM, one)]) == ["done"]
    change = await Groups(Scope(backend)).remove(STREAM, GROUP)
    assert (change.events, change.done) == (0, "removed")
