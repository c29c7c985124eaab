"""The server's clock is set forward: a live worker's group is not removed because the worker looks silent."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventWorker, RedisMessageQueueBackend, Settings
from abe_redis.errors import RequestError
from abe_redis.operations import given_up, signs_of_life
from abe_redis.operations.groups import Groups
from abe_redis.operations.scope import Scope
from tests.clocks import SteppedServer
from tests.command_line import run_command
from tests.integration.conftest import until
from tests.integration.stepped import redis, stepped
from tests.patience import PATIENCE

__all__ = ["redis", "stepped"]

TOPIC, GROUP, HOUR = "slack:a", "bot", 3600.0
FAST, LAST = 60, 1000


@pytest.fixture
async def backend(stepped: SteppedServer) -> AsyncIterator[RedisMessageQueueBackend]:
    settings = Settings(redis_url=stepped.url, redis_stream_lease_seconds=1)
    async with RedisMessageQueueBackend(settings) as backend:
        await backend.publish(TOPIC, {"n": 1})
        yield backend


@pytest.fixture
def groups(backend: RedisMessageQueueBackend) -> Groups:
    return Groups(Scope(backend))


async def nothing(_: Event) -> None:
    """Handle an event at once."""


async def finished(groups: Groups) -> bool:
    found = (await groups.describe(TOPIC)).groups
    return bool(found) and found[0].alive == 1 and not (found[0].pending or found[0].lag)


@pytest.mark.parametrize("ordered", [False, True])
async def test_a_live_worker_keeps_its_group_after_a_step_forward(
    stepped: SteppedServer,
    backend: RedisMessageQueueBackend,
    groups: Groups,
    monkeypatch: pytest.MonkeyPatch,
    *,
    ordered: bool,
) -> None:
    monkeypatch.setattr(signs_of_life, "_LATE_SECONDS", PATIENCE)  # as late as a busy machine lets it be
    said = list[str]()
    worker = EventWorker(backend, nothing, group=GROUP, ordered=ordered)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)
        await until(lambda: finished(groups))
        tries = 0
        while tries < 3 or (ordered and not said and tries < 100):  # it looks silent while it waits to read
            tries += 1
            stepped.step(HOUR)
            with pytest.raises(RequestError, match="has consumers that are alive") as refused:
                await groups.remove(TOPIC, GROUP, on_wait=said.append)
            assert "--force" in str(refused.value)
        stepped.step(HOUR)
        assert (
            "A consumer that still reads makes it again"
            in (await groups.remove(TOPIC, GROUP, force=True)).note
        )
        await worker.shutdown()
    assert said or not ordered


async def test_a_worker_that_finishes_right_after_the_look_keeps_its_group(
    backend: RedisMessageQueueBackend, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    works = anyio.Event()
    scope = Scope(backend)
    look = scope.stats

    async def work(_: Event) -> None:
        await works.wait()

    async def stats(*arguments: Any) -> Any:
        seen = await look(*arguments)
        works.set()
        await until(is_finished)
        return seen

    async def is_finished() -> bool:
        return bool((await redis.xpending(TOPIC, GROUP))["pending"] == 0)

    async def has_begun() -> bool:
        rows = await redis.xinfo_groups(TOPIC)
        return bool(rows) and rows[0]["pending"] == 1

    worker = EventWorker(backend, work, group=GROUP)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)
        await until(has_begun)
        monkeypatch.setattr(scope, "stats", stats)
        with pytest.raises(RequestError, match="has 1 pending"):
            await Groups(scope).remove(TOPIC, GROUP)
        assert [row["name"] for row in await redis.xinfo_groups(TOPIC)] == [GROUP.encode()]
        await worker.shutdown()


async def test_the_group_of_a_killed_worker_is_removed_after_a_wait(
    stepped: SteppedServer,
    backend: RedisMessageQueueBackend,
    redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REDIS_URL", stepped.url)
    monkeypatch.setenv("REDIS_STREAM_LEASE_SECONDS", "1")
    await redis.xgroup_create(TOPIC, GROUP, "$")
    await redis.xreadgroup(GROUP, "killed", {TOPIC: ">"})
    stepped.step(HOUR)
    done = await anyio.to_thread.run_sync(run_command, "group", "remove", TOPIC, GROUP)
    assert done.stdout == "slack:a, group bot: removed. It had finished everything.\n"
    assert done.stderr == (
        "abe-redis: Workers of group 'bot' of 'slack:a' are silent and have not ended in order: killed. "
        "After a step of the server's clock, live ones look so, too. Waiting up to 2 s for a sign of life.\n"
    )


async def test_the_group_of_workers_that_have_ended_is_removed_at_once(
    stepped: SteppedServer, backend: RedisMessageQueueBackend, groups: Groups
) -> None:
    said = list[str]()
    worker = EventWorker(backend, nothing, group=GROUP)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)
        await until(lambda: finished(groups))
        await worker.shutdown()
    stepped.step(HOUR)
    assert (await groups.remove(TOPIC, GROUP, on_wait=said.append)).done == "removed"
    assert not said


@pytest.mark.parametrize("ordered", [False, True])
async def test_a_live_worker_lets_go_before_a_reset_answers_after_a_step_forward(
    stepped: SteppedServer, redis: Redis, monkeypatch: pytest.MonkeyPatch, *, ordered: bool
) -> None:
    """It works, so it has no need to say that it is alive, but for the renewals of its leases."""
    for name in ("MOST_SECONDS", "SILENT_SECONDS"):
        monkeypatch.setattr(given_up, name, PATIENCE)
    began, may_end = list[int](), anyio.Event()

    async def handle(event: Event) -> None:
        began.append(event["n"])
        if event["n"] >= FAST:
            await may_end.wait()

    async def has_read_ahead() -> bool:
        if began[-1:] != [FAST]:  # before it begins, there may be no group
            return False
        summary: Any = await redis.xpending(TOPIC, GROUP)
        return bool(summary["pending"] > 2)

    async def has_begun_the_last() -> bool:
        return LAST in began

    settings = Settings(redis_url=stepped.url, redis_stream_lease_seconds=60)
    async with RedisMessageQueueBackend(settings) as backend:
        await backend.publish_many(TOPIC, [{"n": n, "channel": "C1"} for n in range(2 * FAST)])
        worker = EventWorker(backend, handle, group=GROUP, concurrency=1, ordered=ordered)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            await until(has_read_ahead)
            stepped.step(HOUR)
            note = (await Groups(Scope(backend)).reset(TOPIC, GROUP, start="now", force=True)).note
            may_end.set()
            await backend.publish(TOPIC, {"n": LAST, "channel": "C1"})
            await until(has_begun_the_last)
            await worker.shutdown()
    assert "It let go of" in note
    assert began == [*range(FAST + 1), LAST]
