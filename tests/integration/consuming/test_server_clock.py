"""The server's clock is set back: nothing stands still for longer than a lease; nobody loses one early."""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import pairwise
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventWorker, Operations, RedisMessageQueueBackend, Retry, Settings
from abe_redis.doctor import examine
from tests.clocks import OtherProcess, SteppedServer
from tests.integration.agents import GROUP, TOPIC, asking, server
from tests.integration.conftest import take_one, until
from tests.integration.consuming.holders import Holders, an_id
from tests.integration.stepped import redis, stepped
from tests.patience import PATIENCE

__all__ = ["redis", "stepped"]

BACK, HOUR, LEASE = -600.0, 3600.0, 1.0


@pytest.fixture
def settings(stepped: SteppedServer) -> Settings:
    return Settings(redis_url=stepped.url, redis_stream_lease_seconds=LEASE)


@pytest.fixture
async def backend(settings: Settings) -> AsyncIterator[RedisMessageQueueBackend]:
    async with RedisMessageQueueBackend(settings) as backend:
        yield backend


@pytest.fixture
async def holders(stepped: SteppedServer) -> AsyncIterator[Holders]:
    async with AsyncExitStack() as stack:
        yield Holders(stepped.url, stack)


class Handler:
    """Notes what it handles; what its first delivery is to wait for is postponed."""

    def __init__(self) -> None:
        self.began: list[tuple[str, int]] = []
        self.cancelled = 0
        self.gate = anyio.Event()
        self.gate.set()
        self.postpones_each = False
        """Whether later deliveries are postponed, too."""

    async def __call__(self, event: Event) -> None:
        self.began.append((event["name"], event.deliveries))
        if event.get("delay") and (event.deliveries == 1 or self.postpones_each):
            raise ValueError
        try:
            await self.gate.wait()
        except anyio.get_cancelled_exc_class():
            self.cancelled += 1
            raise

    async def has_begun(self, name: str) -> None:
        async def has() -> bool:
            return name in [began for began, _ in self.began]

        await until(has)


def postponing(event: Event, _: Exception) -> Retry:
    return Retry(event["delay"])


@pytest.mark.parametrize("looks", ["consumer", "agent"])
@pytest.mark.parametrize("holds", ["consumer", "agent"])
async def test_events_of_a_dead_holder_come_back_though_the_clock_was_set_back(
    backend: RedisMessageQueueBackend, stepped: SteppedServer, holders: Holders, holds: str, looks: str
) -> None:
    await backend.publish(TOPIC, {"n": 1})
    dead = await holders(LEASE, agent=holds == "agent")
    left = await dead.take()
    await dead.freeze()
    stepped.step(BACK)
    if looks == "agent":
        assert await an_id(asking(server(backend))) == left
    else:
        assert (await take_one(backend.consume(group=GROUP))).id == left


async def test_a_living_holder_keeps_its_events_when_the_clock_is_set_back(
    backend: RedisMessageQueueBackend,
    settings: Settings,
    stepped: SteppedServer,
    holders: Holders,
    caplog: pytest.LogCaptureFixture,
) -> None:
    handler = Handler()
    handler.gate = anyio.Event()
    await backend.publish(TOPIC, {"name": "held"})
    async with (
        RedisMessageQueueBackend(
            settings.model_copy(update={"redis_stream_lease_seconds": 10 * LEASE})
        ) as holding,
        anyio.create_task_group() as tasks,
    ):
        worker = EventWorker(holding, handler, group=GROUP)
        tasks.start_soon(worker.run)
        await handler.has_begun("held")
        await backend.publish(TOPIC, {"name": "left"})
        dead = await holders(LEASE)
        left = await dead.take()
        await dead.freeze()
        stepped.step(BACK)
        async with RedisMessageQueueBackend(settings) as other:
            assert (await take_one(other.consume(group=GROUP))).id == left, "it stands behind what is held"
            assert handler.cancelled == 0
            handler.gate.set()
            await worker.shutdown()
    assert handler.began == [("held", 1)]
    assert "The server's clock was set back by " in caplog.text


@pytest.mark.parametrize("ordered", [False, True])
async def test_a_worker_renews_its_leases_while_a_server_set_back_ends_no_read(
    settings: Settings, stepped: SteppedServer, redis: Redis, *, ordered: bool
) -> None:
    """The server measures by its clock how long a read waits."""
    settings = settings.model_copy(update={"redis_stream_lease_seconds": 6 * LEASE})
    handler = Handler()
    handler.gate = anyio.Event()
    idle_ms = list[int]()

    async def was_renewed() -> bool:
        rows: Any = await redis.xpending_range(TOPIC, GROUP, "-", "+", 1)
        idle_ms.append(rows[0]["time_since_delivered"])
        return sum(now < before for before, now in pairwise(idle_ms)) == 4  # for more than a lease

    async with RedisMessageQueueBackend(settings) as backend, anyio.create_task_group() as tasks:
        await backend.publish(TOPIC, {"name": "held"})
        worker = EventWorker(backend, handler, group=GROUP, concurrency=2, ordered=ordered)
        tasks.start_soon(worker.run)
        await handler.has_begun("held")
        await until(lambda: is_watched(redis))
        stepped.step(BACK)
        await until(was_renewed)
        assert handler.cancelled == 0
        handler.gate.set()
        await worker.shutdown()
    assert handler.began == [("held", 1)]


async def idle(_: Event) -> None:
    """Handle an event at once."""


@pytest.mark.parametrize("most_deliveries", [1, 5], ids=["waits", "leases"])
@pytest.mark.parametrize("ordered", [False, True])
async def test_a_read_that_a_server_set_back_does_not_end_is_given_up_in_silence(
    stepped: SteppedServer,
    caplog: pytest.LogCaptureFixture,
    *,
    ordered: bool,
    most_deliveries: int,
) -> None:
    """Its connection would take the server for silent after some six seconds."""
    handler = Handler()
    settings = Settings(
        redis_url=stepped.url,
        redis_stream_lease_seconds=LEASE,
        redis_stream_max_deliveries=most_deliveries,
    )
    async with RedisMessageQueueBackend(settings) as backend, anyio.create_task_group() as tasks:
        await backend.publish(TOPIC, {"name": "first"})
        worker = EventWorker(backend, handler, group=GROUP, ordered=ordered)
        tasks.start_soon(worker.run)
        await handler.has_begun("first")
        await anyio.sleep(2)  # nothing is to be done, so it waits with a blocking read
        stepped.step(BACK)
        await anyio.sleep(8)
        await backend.publish(TOPIC, {"name": "second"})
        await handler.has_begun("second")
        await worker.shutdown()
    assert handler.began == [("first", 1), ("second", 1)]
    assert "could not be reached" not in caplog.text


async def alive_in(backend: RedisMessageQueueBackend) -> int:
    (stats,) = (await Operations(backend).stream_stats()).streams
    return sum(one.alive for group in stats.groups for one in group.consumers)


async def test_a_dead_worker_that_held_nothing_does_not_live_until_the_clock_has_caught_up(
    backend: RedisMessageQueueBackend, settings: Settings, stepped: SteppedServer
) -> None:
    """Redis shows no idle time for it; a living one beside it counts as alive again within a tick."""

    async def are_alive(count: int) -> bool:
        return await alive_in(backend) == count

    await backend.publish(TOPIC, {"n": 1})
    with OtherProcess() as process:
        dead = RedisMessageQueueBackend(settings)
        process.start(EventWorker(dead, idle, group=GROUP).run())
        await until(lambda: are_alive(1))
        async with RedisMessageQueueBackend(settings) as other, anyio.create_task_group() as tasks:
            worker = EventWorker(other, idle, group=GROUP)
            tasks.start_soon(worker.run)
            await until(lambda: are_alive(2))
            await process.freeze()
            stepped.step(BACK)
            await until(lambda: are_alive(1))
            await worker.shutdown()
        await until(lambda: are_alive(0))
        process.thaw()
        await process.do(dead.close())
        await process.settle()


async def test_a_step_back_is_logged_also_where_nothing_is_pending(
    backend: RedisMessageQueueBackend, stepped: SteppedServer, caplog: pytest.LogCaptureFixture
) -> None:
    await backend.publish(TOPIC, {"n": 1})
    worker = EventWorker(backend, idle, group=GROUP)

    async def is_logged() -> bool:
        await anyio.sleep(LEASE)
        stepped.step(-60)  # the worker may have looked for the first time since the step before
        return "The server's clock was set back by at least " in caplog.text

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)
        await until(is_logged)
        await worker.shutdown()


async def is_watched(redis: Redis) -> bool:
    """Whether somebody has looked what the clock shows."""
    return await redis.hget(f"abe:groups:{{{TOPIC}}}", f"clock {GROUP}") is not None


@pytest.mark.parametrize("ordered", [False, True])
async def test_a_postponed_event_keeps_its_delay_when_the_clock_is_set_back(
    backend: RedisMessageQueueBackend,
    settings: Settings,
    stepped: SteppedServer,
    redis: Redis,
    *,
    ordered: bool,
) -> None:
    """Also for the worker that comes after the one which postponed it."""
    first, second, due = Handler(), Handler(), f"abe:due:{{{TOPIC}}}:{GROUP}"
    first.postpones_each = True  # on a busy machine, one may be due before it ends
    began = anyio.current_time()

    async def are_postponed() -> bool:
        return await redis.zcard(due) == 2 and await is_watched(redis)

    await backend.publish(TOPIC, {"name": "soon", "delay": 5, "channel": "C1"})
    await backend.publish(TOPIC, {"name": "late", "delay": HOUR, "channel": "C2"})
    worker = EventWorker(backend, first, group=GROUP, policy=postponing, concurrency=2, ordered=ordered)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)
        await until(are_postponed)
        await worker.shutdown()
    stepped.step(BACK)
    async with RedisMessageQueueBackend(settings) as other, anyio.create_task_group() as tasks:
        worker = EventWorker(other, second, group=GROUP, policy=postponing, concurrency=2, ordered=ordered)
        tasks.start_soon(worker.run)
        await second.has_begun("soon")
        await worker.shutdown()
    assert {name for name, _ in second.began} == {"soon"}
    rows: Any = await redis.zrange(due, 0, -1, withscores=True)
    clock: Any = await redis.time()
    passed = anyio.current_time() - began
    left = max(due_at for _, due_at in rows) / 1000 - clock[0]
    assert HOUR - passed - 1 < left < HOUR + LEASE + 1 + passed


async def test_the_stream_of_a_dead_owner_goes_to_another_though_the_clock_was_set_back(
    backend: RedisMessageQueueBackend, settings: Settings, stepped: SteppedServer, redis: Redis
) -> None:
    dead, alive, other = Handler(), Handler(), f"{TOPIC}:p1"
    for stream in (TOPIC, other):
        await redis.xadd(stream, {"data": '{"name": "first"}'})

    async def run() -> None:
        async with RedisMessageQueueBackend(settings) as its_own:
            await EventWorker(its_own, dead, ordered=True).run()

    async def dead_has_both() -> bool:
        return dead.began.count(("first", 1)) == 2

    with OtherProcess() as process:
        process.start(run())
        await until(dead_has_both)
        await process.freeze()
        for stream in (TOPIC, other):
            await redis.xadd(stream, {"data": '{"name": "second"}'})
        stepped.step(BACK)
        worker = EventWorker(backend, alive, ordered=True)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)

            async def has_both() -> bool:
                return alive.began.count(("second", 1)) == 2

            await until(has_both)
            await worker.shutdown()
        process.thaw()
        await process.settle()


async def test_many_leases_that_began_in_the_future_begin_anew(
    backend: RedisMessageQueueBackend, stepped: SteppedServer, redis: Redis
) -> None:
    """More than one step looks at."""
    for number in range(1200):
        await redis.xadd(TOPIC, {"data": f'{{"n": {number}}}'})
    await redis.xgroup_create(TOPIC, GROUP, "0")
    await redis.xreadgroup(GROUP, "dead", {TOPIC: ">"}, count=1200)
    removed: Any = await redis.xrange(TOPIC, count=1)
    await redis.xdel(TOPIC, removed[0][0])
    stepped.step(BACK)
    events = backend.consume(group=GROUP)
    with anyio.fail_after(PATIENCE):
        found = [(await anext(events))["n"] for _ in range(1199)]
    assert sorted(found) == list(range(1, 1200))
    assert await redis.hget(f"abe:groups:{{{TOPIC}}}", f"lost {GROUP}") == b"1"


async def test_the_doctor_notices_a_clock_that_was_set_back(
    backend: RedisMessageQueueBackend, settings: Settings, stepped: SteppedServer
) -> None:
    await backend.publish(TOPIC, {"n": 1})
    assert not [one for one in await examine(settings) if "set back" in one.found]
    stepped.step(BACK)
    (finding,) = [one for one in await examine(settings) if "set back" in one.found]
    assert finding.severity == "warning"
    ahead = re.search(r"is (\d+) s ahead", finding.found)
    assert ahead is not None
    assert 400 < int(ahead[1]) <= 601, "the time that the test itself takes is less"
