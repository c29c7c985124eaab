"""A group that somebody sets beyond the end of its stream by hand would skip all that is published later.

Its members set it back, so that it gets every event that it was not given.
"""

from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventWorker, Operations, RedisMessageQueueBackend
from abe_redis.doctor import examine
from abe_redis.operations.groups import Groups
from abe_redis.operations.scope import Scope
from abe_redis.schemas import StreamStats
from abe_redis.streams import beyond_end, names, trim
from tests.integration.conftest import MakeBackend, until
from tests.patience import PATIENCE

STREAM = "slack_events"
GROUP = "default"
RECORDS = names.records(STREAM)
TO_COME = "9999999999999-0"
KINDS = pytest.mark.parametrize("ordered", [False, True], ids=["plain", "ordered"])


@pytest.fixture
def redis_url(either_url: str) -> str:
    """Every test runs on both servers."""
    return either_url


async def publish(backend: RedisMessageQueueBackend, *numbers: int) -> None:
    for n in numbers:
        await backend.publish(STREAM, {"type": "event_callback", "event_id": f"Ev{n}", "n": n})


async def group_now(redis: Redis) -> dict[str, Any]:
    (row,) = await redis.xinfo_groups(STREAM)
    return dict(row)


async def is_recorded(redis: Redis) -> bool:
    """Whether a member has recorded that the group has finished everything."""
    now = await group_now(redis)
    floor: Any = await redis.hget(RECORDS, f"floor {GROUP}")
    return floor is not None and floor.split()[0] == now["last-delivered-id"] and floor.endswith(b" 0")


async def stats(backend: RedisMessageQueueBackend) -> StreamStats:
    return (await Operations(backend).stream_stats(stream=STREAM)).streams[0]


class Bot:
    """A worker, and the events that it has handled."""

    def __init__(self, backend: RedisMessageQueueBackend, *, ordered: bool = False) -> None:
        self.handled: list[int] = []
        self.worker = EventWorker(backend, self._handle, group=GROUP, ordered=ordered)

    async def _handle(self, event: Event) -> None:
        self.handled.append(event["n"])

    async def until_handled(self, *numbers: int) -> None:
        async def all_are() -> bool:
            return set(numbers) <= set(self.handled)

        await until(all_are)

    async def run_until_handled(self, *numbers: int) -> None:
        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self.worker.run)
                await self.until_handled(*numbers)
                await self.worker.shutdown()

    async def run_until_recorded(self, redis: Redis, *numbers: int) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.worker.run)
            await self.until_handled(*numbers)
            await until(lambda: is_recorded(redis))
            await self.worker.shutdown()


@KINDS
@pytest.mark.promise("No group stays beyond its stream's end")
async def test_a_group_set_beyond_the_end_gets_what_was_published_since(
    make_backend: MakeBackend, redis: Redis, ordered: bool, caplog: pytest.LogCaptureFixture
) -> None:
    backend = make_backend(redis_stream_lease_seconds=2)
    bot = Bot(backend, ordered=ordered)
    await publish(backend, *range(3))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bot.worker.run)
        await bot.until_handled(*range(3))
        await until(lambda: is_recorded(redis))
        pipeline = redis.pipeline()
        pipeline.xgroup_setid(STREAM, GROUP, TO_COME)
        for n in range(3, 6):  # in the same step: no member can have noticed before
            pipeline.xadd(STREAM, {"data": f'{{"n": {n}}}'})
        await pipeline.execute()
        await bot.until_handled(*range(3, 6))
        await publish(backend, 6)
        await bot.until_handled(6)
        await bot.worker.shutdown()
    assert sorted(bot.handled) == list(range(7)), "and nothing twice"
    (said,) = [one for one in caplog.messages if "beyond the end of the stream" in one]
    assert TO_COME in said
    assert "XGROUP SETID" in said


@KINDS
async def test_an_idle_group_is_set_back_before_anything_is_published(
    make_backend: MakeBackend, redis: Redis, ordered: bool
) -> None:
    backend = make_backend(redis_stream_lease_seconds=2)
    bot = Bot(backend, ordered=ordered)
    await publish(backend, 0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bot.worker.run)
        await bot.until_handled(0)
        end = (await redis.xinfo_stream(STREAM))["last-generated-id"]
        await until(lambda: is_recorded(redis))
        await redis.xgroup_setid(STREAM, GROUP, TO_COME)

        async def is_back() -> bool:
            return bool((await group_now(redis))["last-delivered-id"] == end)

        await until(is_back)
        await bot.worker.shutdown()
    assert bot.handled == [0]


@KINDS
async def test_a_group_made_beyond_the_end_begins_as_every_new_one(
    make_backend: MakeBackend, redis: Redis, ordered: bool, caplog: pytest.LogCaptureFixture
) -> None:
    backend = make_backend()
    await redis.xgroup_create(STREAM, GROUP, TO_COME, mkstream=True)
    await publish(backend, *range(3))
    bot = Bot(backend, ordered=ordered)
    await bot.run_until_handled(*range(3))
    assert sorted(bot.handled) == [0, 1, 2]
    assert "at the oldest event" in caplog.text


async def test_a_position_is_measured_by_the_last_id_and_not_by_the_newest_entry(
    backend: RedisMessageQueueBackend, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """Ids may be ahead of the clock: after it was set back, and of publishers that choose them."""
    nanoseconds = 1_795_000_000_000_000_000
    ids = [f"{nanoseconds + number}-{5 - number}" for number in range(5)]
    for number, entry_id in enumerate(ids):
        await redis.xadd(STREAM, {"data": f'{{"n": {number}}}'}, id=entry_id)
    await redis.xgroup_create(STREAM, GROUP, ids[2])
    await redis.xdel(STREAM, ids[-1])  # the last id of the stream stays
    await redis.xgroup_create(STREAM, "at the end", ids[-1])
    for group in (GROUP, "at the end"):
        await beyond_end.set_back(redis, group, [STREAM])
    found = {row["name"]: row["last-delivered-id"].decode() for row in await redis.xinfo_groups(STREAM)}
    assert found == {b"default": ids[2], b"at the end": ids[-1]}
    bot = Bot(backend)
    await bot.run_until_handled(3)
    assert bot.handled == [3]
    assert "beyond" not in caplog.text
    assert "beyond" not in (await stats(backend)).advice


async def test_a_group_beyond_the_end_is_a_problem_that_people_see(
    backend: RedisMessageQueueBackend, redis: Redis
) -> None:
    await publish(backend, 0)
    await redis.xgroup_create(STREAM, GROUP, TO_COME)
    await publish(backend, 1)
    seen = await stats(backend)
    assert (seen.health, seen.groups[0].beyond_end, seen.groups[0].lag) == ("stalled", True, None)
    assert f"{TO_COME}, beyond the end of the stream" in seen.advice
    assert "start a worker (`abe-redis worker MODULE:HANDLER --group" in seen.advice
    findings = [one for one in await examine(backend.settings) if one.check == "streams"]
    assert any(one.severity == "problem" and "beyond the end" in one.found + str(one) for one in findings)
    waiting = await Operations(backend).waiting(stream=STREAM, group=GROUP)
    assert "beyond the end of the stream" in waiting.note
    await redis.delete(STREAM)
    await redis.xgroup_create(STREAM, GROUP, TO_COME, mkstream=True)
    assert (await stats(backend)).health == "stalled", "also while the stream is empty"


async def test_a_group_beyond_the_end_keeps_what_it_was_not_given(
    backend: RedisMessageQueueBackend, redis: Redis
) -> None:
    bot = Bot(backend)
    await publish(backend, *range(3))
    await bot.run_until_recorded(redis, *range(3))
    await redis.xgroup_setid(STREAM, GROUP, TO_COME)
    await publish(backend, *range(3, 9))
    await trim.trim(redis, [STREAM], 0, idle_days=7)
    assert await redis.xlen(STREAM) >= 6
    groups = Groups(Scope(backend))
    with pytest.raises(Exception, match="was not removed"):
        await groups.remove(STREAM, GROUP)
    with pytest.raises(Exception, match="6 undelivered events"):
        await groups.reset(STREAM, GROUP, start="now")
    again = Bot(backend)
    await again.run_until_handled(*range(3, 9))


async def test_a_group_that_is_made_again_begins_in_a_stream_with_lower_ids(
    backend: RedisMessageQueueBackend, redis: Redis
) -> None:
    """The stream was deleted, and made again after the clock was set back: its records lie beyond its end."""
    bot = Bot(backend)
    await publish(backend, *range(3))
    await bot.run_until_recorded(redis, *range(3))
    await redis.delete(STREAM)
    for number in range(5):
        await redis.xadd(STREAM, {"data": f'{{"n": {10 + number}}}'}, id=f"1000-{number}")
    again = Bot(backend)
    await again.run_until_handled(*range(10, 15))


async def test_an_agent_that_leases_sets_its_group_back(make_backend: MakeBackend, redis: Redis) -> None:
    backend = make_backend()
    await redis.xgroup_create(STREAM, "agents", TO_COME, mkstream=True)
    await publish(backend, 0)
    leased = await Operations(backend, origin="mcp").lease(stream=STREAM, group="agents")
    assert len(leased.events) == 1
