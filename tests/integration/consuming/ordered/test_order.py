"""Ordered consumers: one conversation at a time, whoever comes, goes, fails and loses what it owns."""

import json
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Backoff, Bury, Drop, Event, EventWorker, RedisMessageQueueBackend, Retry
from abe_redis.consuming.ordered import consumer as ordered
from abe_redis.errors import AbeRedisError, LeaseLostError
from abe_redis.operations.groups import Groups
from abe_redis.operations.scope import Scope
from tests.integration.conftest import MakeBackend, pending, take, take_one, until
from tests.patience import PATIENCE
from tests.servers import Server

TOPIC = "slack_events"


def said(channel: str, number: int) -> dict[str, Any]:
    return {"type": "message", "channel": channel, "n": number}


async def publish(backend: RedisMessageQueueBackend, channels: str, *numbers: int) -> None:
    """Each number in each channel, a channel being a letter."""
    await backend.publish_many(TOPIC, [said(channel, number) for number in numbers for channel in channels])


class Log:
    """What handlers did, by channel."""

    def __init__(self) -> None:
        self.began: dict[str, list[int]] = defaultdict(list)
        self.ended: dict[str, list[int]] = defaultdict(list)
        self.cancelled: list[int] = []
        self.at_work: set[str] = set()
        self.most_at_work = 0
        self.by: dict[str, set[str]] = defaultdict(set)
        """By consumer, which streams it had."""
        self.gates: dict[str, anyio.Event] = {}
        """Handlers of a channel wait for its gate, if it has one."""

    async def __call__(self, event: Event) -> None:
        channel = event["channel"]
        assert channel not in self.at_work, "another handler has this conversation"
        self.at_work.add(channel)
        self.most_at_work = max(self.most_at_work, len(self.at_work))
        self.began[channel].append(event["n"])
        self.by[event._holder.name].add(event.stream)  # type: ignore[union-attr]
        try:
            if channel in self.gates:
                await self.gates[channel].wait()
            else:
                await anyio.sleep(0.001)
            self.ended[channel].append(event["n"])
        except anyio.get_cancelled_exc_class():
            self.cancelled.append(event["n"])
            raise
        finally:
            self.at_work.discard(channel)

    async def all_ended(self, channels: str, count: int) -> None:
        await until_true(lambda: all(len(set(self.ended[channel])) >= count for channel in channels))


@asynccontextmanager
async def at_work(*workers: EventWorker) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        for worker in workers:
            tasks.start_soon(worker.run)
        yield
        for worker in workers:
            await worker.shutdown()


def worker(backend: RedisMessageQueueBackend, handler: Any, **options: Any) -> EventWorker:
    return EventWorker(backend, handler, **{"concurrency": 8, "ordered": True} | options)


async def add_and_take(redis: Redis, consumer: str, number: int) -> None:
    """Add an event and give it to a consumer, so that nobody can come in between."""
    script = """
        redis.call('XADD', KEYS[1], '*', 'data', ARGV[2])
        return redis.call('XREADGROUP', 'GROUP', 'default', ARGV[1], 'COUNT', 1, 'STREAMS', KEYS[1], '>')
    """
    payload = json.dumps(said("A", number))
    assert await cast("Any", redis.eval(script, 1, TOPIC, consumer, payload))


async def until_true(condition: Callable[[], Any]) -> None:
    async def check() -> bool:
        return bool(condition())

    await until(check)


async def until_equal(find: Callable[[], Awaitable[Any]], expected: Any) -> None:
    async def check() -> bool:
        return bool(await find() == expected)

    await until(check)


async def owners(redis: Redis) -> dict[str, str]:
    """Who owns each stream, by the name of its consumer."""
    keys = [f"abe:owner:{{{name}}}:default" for name in (TOPIC, *(f"{TOPIC}:p{at}" for at in range(6)))]
    found: dict[str, Any] = {key: await redis.get(key) for key in keys}
    return {key: value.decode().split()[0] for key, value in found.items() if value is not None}


# --- The order -----------------------------------------------------------------------------------------


@pytest.mark.promise("Other conversations go on meanwhile.")
async def test_one_at_a_time_of_each_conversation_and_several_of_all(make_backend: MakeBackend) -> None:
    backend, log = make_backend(redis_stream_partitions=2), Log()
    await publish(backend, "ABCDEF", *range(50))
    async with at_work(worker(backend, log)):
        await log.all_ended("ABCDEF", 50)
    assert all(log.ended[channel] == list(range(50)) for channel in "ABCDEF")
    assert log.most_at_work > 2


async def test_one_stream_is_enough(make_backend: MakeBackend, redis: Redis) -> None:
    backend, other, log = make_backend(), make_backend(), Log()
    await publish(backend, "ABC", *range(50))
    async with at_work(worker(backend, log), worker(other, log)):
        await log.all_ended("ABC", 50)
        await publish(other, "ABC", *range(50, 60))
        await log.all_ended("ABC", 60)
    assert all(log.ended[channel] == list(range(60)) for channel in "ABC")
    assert await pending(redis, TOPIC) == 0


@pytest.mark.promise('or `backend.consume_ordered(group="workers")`.')
async def test_consume_keeps_the_order_too(make_backend: MakeBackend) -> None:
    backend, other = make_backend(redis_stream_partitions=4), make_backend(redis_stream_partitions=4)
    await publish(backend, "AB", 1, 2)
    async with backend.consume_ordered() as events:
        first = await take_one(events)
        await first.nack()
        again = await take_one(events)
        assert (again["channel"], again["n"], again.deliveries) in {
            (first["channel"], 1, 2),
            ("AB".replace(first["channel"], ""), 1, 1),
        }
    async with other.consume_ordered() as events:
        found = await take(events, 4)
        for channel in "AB":
            assert [event["n"] for event in found if event["channel"] == channel] == [1, 2]


@pytest.mark.promise("belongs to no conversation, and nothing waits for it.")
async def test_events_of_no_conversation_do_not_wait(make_backend: MakeBackend) -> None:
    backend, log = make_backend(), Log()
    gate, began = anyio.Event(), list[int]()

    async def handle(event: Event) -> None:
        began.append(event["n"])
        await gate.wait()

    for number in range(5):
        await backend.publish(TOPIC, {"n": number})
    async with at_work(worker(backend, handle)):
        await until_true(lambda: len(began) == 5)
        gate.set()
    assert not log.cancelled


# --- Failures ------------------------------------------------------------------------------------------


@pytest.mark.promise("a handler fails: Its conversation waits")
async def test_a_failure_holds_up_its_conversation_alone_and_until_its_burial(
    make_backend: MakeBackend, redis: Redis
) -> None:
    backend, log = make_backend(redis_stream_max_deliveries=3), Log()
    failed: list[int] = []

    async def handle(event: Event) -> None:
        if (event["channel"], event["n"]) == ("A", 1):
            failed.append(event.deliveries)
            assert log.began["A"] == [0]
            raise ValueError("never")
        await log(event)

    await publish(backend, "AB", *range(20))
    policy = Backoff(first=0.2, deliveries=3)
    async with at_work(worker(backend, handle, policy=policy)):
        await log.all_ended("B", 20)
        await log.all_ended("A", 19)
    assert failed == [1, 2, 3]
    assert log.ended["A"] == [0, *range(2, 20)]
    assert await redis.xlen("dead:{slack_events}") == 1


@pytest.mark.promise("Events behind a failed one wait in the worker that owns the stream.")
async def test_a_failed_event_is_delivered_again_before_the_next_of_its_conversation(
    make_backend: MakeBackend,
) -> None:
    backend, log = make_backend(), Log()
    deliveries: list[tuple[int, int]] = []

    async def handle(event: Event) -> None:
        deliveries.append((event["n"], event.deliveries))
        if event.deliveries < 3:
            raise ValueError("not yet")
        await log(event)

    await publish(backend, "A", 1, 2)
    async with at_work(worker(backend, handle, policy=lambda *_: Retry(0.05))):
        await log.all_ended("A", 2)
    assert deliveries == [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)]


@pytest.mark.parametrize("decision", [Bury("enough"), Drop()], ids=["bury", "drop"])
async def test_giving_up_lets_the_next_go_on(
    make_backend: MakeBackend, redis: Redis, decision: Bury | Drop
) -> None:
    backend, log = make_backend(), Log()

    async def handle(event: Event) -> None:
        if event["n"] == 1:
            raise ValueError("no")
        await log(event)

    await publish(backend, "A", 1, 2)
    async with at_work(worker(backend, handle, policy=lambda *_: decision)):
        await log.all_ended("A", 1)
    assert log.ended["A"] == [2]
    assert await pending(redis, TOPIC) == 0


async def test_an_undecodable_entry_is_buried_and_delays_no_conversation(
    make_backend: MakeBackend, redis: Redis
) -> None:
    backend, log = make_backend(), Log()
    await redis.xadd(TOPIC, {"data": "no JSON", "conversation": "/A"})
    await publish(backend, "A", 1)
    async with at_work(worker(backend, log)):
        await log.all_ended("A", 1)
        await until(lambda: redis.xlen("dead:{slack_events}"))


async def test_an_event_that_was_nacked_by_its_handler_waits_for_the_handlers_end(
    make_backend: MakeBackend,
) -> None:
    backend, log = make_backend(), Log()

    async def handle(event: Event) -> None:
        if event.deliveries == 1 and event["n"] == 1:
            log.at_work.add("A")
            await event.nack()
            with pytest.raises(LeaseLostError):
                await event.nack()
            await anyio.sleep(0.2)
            log.at_work.discard("A")
        else:
            await log(event)

    await publish(backend, "A", 1, 2)
    async with at_work(worker(backend, handle)):
        await log.all_ended("A", 2)
    assert log.ended["A"] == [1, 2]


@pytest.mark.promise("a handler takes longer than `REDIS_STREAM_MAX_HANDLING_SECONDS`")
async def test_a_handler_that_takes_too_long_is_cancelled_and_its_event_comes_first_again(
    make_backend: MakeBackend,
) -> None:
    backend = make_backend(redis_stream_max_handling_seconds=0.5, redis_stream_lease_seconds=1)
    log = Log()
    log.gates["A"] = anyio.Event()
    await publish(backend, "A", 1, 2)
    async with at_work(worker(backend, log)):
        await until_true(lambda: log.cancelled)
        log.gates["A"].set()
        await log.all_ended("A", 2)
    assert log.began["A"] == [*[1] * (len(log.began["A"]) - 1), 2]
    assert log.ended["A"] == [1, 2]


@pytest.mark.promise("It reads at most 1,000 events (or 4 MiB) ahead in a stream")
async def test_a_conversation_that_is_held_up_stops_its_stream_only_when_very_much_waits(
    make_backend: MakeBackend, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ordered, "MOST_WAITING", 20)
    backend, log = make_backend(), Log()
    log.gates["A"] = anyio.Event()
    await publish(backend, "A", *range(10))
    await publish(backend, "B", *range(10))
    await publish(backend, "A", *range(10, 60))
    await publish(backend, "B", *range(10, 60))
    async with at_work(worker(backend, log)):
        await log.all_ended("B", 10)
        await until_equal(lambda: pending(redis, TOPIC), 21)
        assert len(log.ended["B"]) == 10
        log.gates["A"].set()
        await log.all_ended("AB", 60)
    assert log.ended["A"] == log.ended["B"] == list(range(60))


# --- Whose streams -------------------------------------------------------------------------------------


@pytest.mark.promise("a worker stops: It releases each stream")
@pytest.mark.promise("a worker joins: The others rebalance")
@pytest.mark.promise(
    "claims unowned streams up to an equal share, and revokes its ownership of streams beyond that share."
)
async def test_workers_share_the_streams_when_they_come_and_when_they_go(
    make_backend: MakeBackend, redis: Redis
) -> None:
    backend, log = make_backend(redis_stream_partitions=6), Log()
    channels = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    await publish(backend, channels, 0)
    workers = [worker(make_backend(), log) for _ in range(3)]

    async def shares() -> list[int]:
        found = list((await owners(redis)).values())
        return sorted(found.count(name) for name in set(found))

    async def are(*expected: int) -> None:
        await until_equal(shares, list(expected))

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(at_work(workers[0]))
        await are(6)
        await stack.enter_async_context(at_work(workers[1]))
        await are(3, 3)
        await stack.enter_async_context(at_work(workers[2]))
        await are(2, 2, 2)
        await publish(backend, channels, 1)
        await log.all_ended(channels, 2)
        await workers[0].shutdown()
        await are(3, 3)
        await publish(backend, channels, 2)
        await log.all_ended(channels, 3)
    assert all(log.ended[channel] == [0, 1, 2] for channel in channels)
    assert await owners(redis) == {}


@pytest.mark.promise("a worker joins: The others rebalance")
async def test_a_handler_at_work_keeps_its_stream(make_backend: MakeBackend, redis: Redis) -> None:
    first, second = (make_backend(redis_stream_lease_seconds=4) for _ in range(2))
    log = Log()
    log.gates["A"] = anyio.Event()
    await publish(first, "A", 1, 2)
    async with at_work(worker(first, log)):
        await until_true(lambda: log.began["A"])
        (owner,) = set((await owners(redis)).values())
        async with at_work(worker(second, log)):
            await anyio.sleep(5)  # a lease and more
            assert set((await owners(redis)).values()) == {owner}
            assert log.cancelled == []
            log.gates["A"].set()
            await log.all_ended("A", 2)
    assert log.ended["A"] == [1, 2]


@pytest.mark.promise("a worker freezes: The same.")
async def test_a_worker_that_lost_a_stream_is_cancelled_and_its_ack_refused(
    make_backend: MakeBackend, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    backend, log = make_backend(redis_stream_lease_seconds=1), Log()
    log.gates["A"] = anyio.Event()
    await publish(backend, "A", 1, 2)
    async with at_work(worker(backend, log)):
        await until_true(lambda: log.began["A"])
        key = "abe:owner:{slack_events}:default"
        await redis.set(key, "somebody else", px=2000)
        await until_true(lambda: log.cancelled == [1])
        assert "does not own 'slack_events' any more" in caplog.text
        assert log.began["A"] == [1], "nothing is handed out of a stream of somebody else's"
        log.gates["A"].set()
        await log.all_ended("A", 2)
    assert log.ended["A"] == [1, 2]


@pytest.mark.promise("a late command from a dead connection changes nothing.")
async def test_a_command_that_a_dead_connection_left_behind_does_not_take_an_event_out_of_its_order(
    make_backend: MakeBackend, redis: Redis
) -> None:
    backend, log = make_backend(), Log()
    await publish(backend, "A", 0)
    async with at_work(worker(backend, log)):
        await log.all_ended("A", 1)
        (name,) = set((await owners(redis)).values())
        await add_and_take(redis, name, 1)
        await publish(backend, "A", 2)
        await log.all_ended("A", 3)
    assert log.ended["A"] == [0, 1, 2]
    assert await pending(redis, TOPIC) == 0


@pytest.mark.promise("a worker dies: The others claim its streams")
async def test_abandoned_events_are_reclaimed_first(make_backend: MakeBackend, redis: Redis) -> None:
    backend, log = make_backend(), Log()
    await publish(backend, "A", *range(150))
    await redis.xgroup_create(TOPIC, "default", "0")
    await redis.xreadgroup("default", "gone", {TOPIC: ">"}, count=130)
    deliveries: dict[int, int] = {}

    async def handle(event: Event) -> None:
        deliveries[event["n"]] = event.deliveries
        await log(event)

    async with at_work(worker(backend, handle)):
        await log.all_ended("A", 150)
    assert log.ended["A"] == list(range(150))
    assert deliveries == {number: 2 if number < 130 else 1 for number in range(150)}


async def test_events_of_an_agent_that_left_are_reclaimed(make_backend: MakeBackend, redis: Redis) -> None:
    backend, log = make_backend(redis_stream_lease_seconds=1), Log()
    await publish(backend, "A", 0)
    async with at_work(worker(backend, log)):
        await log.all_ended("A", 1)
        await add_and_take(redis, "an agent", 1)
        await log.all_ended("A", 2)
    assert await pending(redis, TOPIC) == 0


async def test_closing_gives_back_as_not_delivered(make_backend: MakeBackend, redis: Redis) -> None:
    backend, other, log = make_backend(), make_backend(), Log()
    await publish(backend, "AB", *range(30))
    events = backend.consume_ordered()
    first = await take_one(events)
    await until_equal(lambda: pending(redis, TOPIC), 60)
    await backend.close()
    rows: Any = await redis.xpending_range(TOPIC, "default", "-", "+", 100)
    assert {row["times_delivered"] for row in rows if row["message_id"].decode() != first.id} == {0}
    assert await owners(redis) == {}
    async with at_work(worker(other, log)):
        await log.all_ended("AB", 30)
    assert log.ended["A"] == log.ended["B"] == list(range(30))


async def test_a_delay_outlives_the_worker(make_backend: MakeBackend, redis: Redis) -> None:
    backend, other = make_backend(), make_backend()
    await publish(backend, "A", 1, 2)
    async with backend.consume_ordered() as events:
        event = await take_one(events)
        began = anyio.current_time()
        await event.nack(delay=2)
    async with other.consume_ordered() as events:
        assert [event["n"] for event in await take(events, 2)] == [1, 2]
        assert anyio.current_time() - began >= 2
    assert not await redis.exists(f"abe:due:{{{TOPIC}}}:default")


async def test_a_paused_group_is_let_go_and_taken_up_again(make_backend: MakeBackend, redis: Redis) -> None:
    backend, log = make_backend(), Log()
    groups = Groups(Scope(backend))
    await publish(backend, "A", 0)
    async with at_work(worker(backend, log)):
        await log.all_ended("A", 1)
        await groups.pause(TOPIC, "default")
        await until_equal(lambda: owners(redis), {})
        await publish(backend, "A", 1)
        await anyio.sleep(1)
        assert log.ended["A"] == [0]
        await groups.resume(TOPIC, "default")
        await log.all_ended("A", 2)


async def test_a_deleted_stream_starts_anew(make_backend: MakeBackend, redis: Redis) -> None:
    backend, log = make_backend(), Log()
    await publish(backend, "A", 0)
    async with at_work(worker(backend, log)):
        await log.all_ended("A", 1)
        await redis.delete(TOPIC)
        await publish(backend, "A", 1, 2)
        await log.all_ended("A", 3)
    assert log.ended["A"] == [0, 1, 2]


# --- What happens to the server ------------------------------------------------------------------------


@pytest.mark.promise("Redis cannot be reached for nine tenths of a lease")
async def test_when_redis_is_away_for_long_handlers_are_cancelled(
    make_backend: MakeBackend, own_server: Server
) -> None:
    backend = make_backend(redis_url=own_server.url, redis_stream_lease_seconds=1)
    log = Log()
    log.gates["A"] = anyio.Event()
    await publish(backend, "AB", 1, 2)
    async with at_work(worker(backend, log)):
        await until_true(lambda: log.began["A"] and len(log.ended["B"]) == 2)
        own_server.freeze()
        try:
            await until_true(lambda: log.cancelled == [1])
        finally:
            own_server.thaw()
        log.gates["A"].set()
        await log.all_ended("A", 2)
    assert log.ended["A"] == [1, 2]


async def test_a_server_that_forgets_everything(make_backend: MakeBackend, own_server: Server) -> None:
    backend, log = make_backend(redis_url=own_server.url, redis_stream_lease_seconds=2), Log()
    await publish(backend, "A", 1)
    async with at_work(worker(backend, log)):
        await log.all_ended("A", 1)
        with own_server.admin() as client:
            client.flushall()
        await publish(backend, "A", 2, 3)
        await log.all_ended("A", 3)
    assert log.ended["A"] == [1, 2, 3]


async def test_a_nack_that_does_not_reach_redis_still_keeps_the_order(
    make_backend: MakeBackend, own_server: Server
) -> None:
    backend, log = make_backend(redis_url=own_server.url, redis_stream_lease_seconds=30), Log()
    errors: list[Exception] = []

    async def handle(event: Event) -> None:
        if event.deliveries == 1 and event["n"] == 1:
            own_server.freeze()
            try:
                await event.nack()
            except AbeRedisError as error:
                errors.append(error)
            finally:
                own_server.thaw()
        await log(event)

    await publish(backend, "A", 1, 2)
    async with at_work(worker(backend, handle)):
        with anyio.fail_after(PATIENCE):
            await log.all_ended("A", 2)
    assert errors
    assert log.ended["A"][-1] == 2
    assert set(log.ended["A"][:-1]) == {1}
