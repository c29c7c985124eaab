"""Leasing and acking by hand: under which name, who is refused, and when a lease ends."""

from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventWorker, Operations, Retry
from abe_redis.operations.agent_leases import AgentLeases
from abe_redis.streams import names
from abe_redis.streams.owners import Owner
from tests.integration.conftest import MakeBackend, pending, take_one, until
from tests.integration.operations.numbered_streams import fill, operations

__all__ = ["operations"]


@pytest.mark.parametrize("ids_given", [True, False])
async def test_a_lease_beside_an_ordered_worker_says_that_it_breaks_the_order(
    operations: Operations, redis: Redis, make_backend: MakeBackend, *, ids_given: bool
) -> None:
    ids = await fill(operations, 2)
    await redis.set(names.owner("slack_events", "bot"), Owner.make("bot", "worker-1", 30).token)
    for group in ("bot", "agents"):
        await redis.xgroup_create("slack_events", group, "0")
    leased = await (
        operations.lease(stream="slack_events", group="bot", ids=ids[1:])
        if ids_given
        else operations.read_stream(group="bot", count=1)
    )
    assert len(leased.events) == 1
    words = "The ordered worker 'worker-1' has this stream: what you do with them comes out of the order"
    assert words in leased.note
    other = await operations.read_stream(group="agents", count=1)
    assert "ordered" not in other.note


async def test_a_lease_an_ack_and_what_is_pending(operations: Operations, redis: Redis) -> None:
    ids = await fill(operations, 3)
    leased = await operations.read_stream(group="agents", count=2)
    assert leased.mode == "lease"
    assert leased.lease_seconds == 30
    assert [(event.id, event.deliveries, event.consumer) for event in leased.events] == [
        (ids[0], 1, operations.consumer),
        (ids[1], 1, operations.consumer),
    ]
    shown = await operations.read_stream(group="agents", pending=True)
    assert shown.mode == "pending"
    assert [(event.id, event.deliveries, event.consumer) for event in shown.events] == [
        (one.id, 1, operations.consumer) for one in leased.events
    ]
    assert all(event.idle_seconds is not None for event in shown.events)
    result = await operations.ack(stream="slack_events", group="agents", ids=[ids[0], ids[0], ids[2], "1-1"])
    assert (result.acked, result.not_held, result.unknown) == ([ids[0]], [], [ids[2], "1-1"])
    assert await pending(redis, "slack_events", "agents") == 1


@pytest.mark.promise("An agent acks only what it leased itself")
async def test_an_ack_of_what_another_holds_is_refused(make_backend: MakeBackend, redis: Redis) -> None:
    mine, other = Operations(make_backend(), origin="mcp"), Operations(make_backend(), origin="mcp")
    ids = await fill(mine, 1)
    await mine.read_stream(group="agents")
    result = await other.ack(stream="slack_events", group="agents", ids=ids)
    assert (result.acked, result.not_held) == ([], ids)
    assert await pending(redis, "slack_events", "agents") == 1
    named: Any = {"stream": "slack_events", "group": "agents", "ids": ids, "consumer": mine.consumer}
    assert (await other.ack(**named)).not_held == ids, "a name that everybody can see is no proof"
    assert (await other.release(**named, bury="spite")).not_held == ids
    assert await pending(redis, "slack_events", "agents") == 1
    person = Operations(make_backend(), origin="cli")
    assert (await person.ack(**named)).acked == ids


async def test_an_event_leased_under_a_chosen_name_is_finished_under_it(
    make_backend: MakeBackend, redis: Redis
) -> None:
    agent = Operations(make_backend(), origin="mcp")
    ids = await fill(agent, 3)
    await agent.read_stream(group="agents", count=2, consumer="me")
    named: Any = {"stream": "slack_events", "group": "agents", "consumer": "me"}
    assert (await agent.ack(ids=ids[:1], **named)).acked == ids[:1]
    assert (await agent.ack(ids=ids[:1], **named)).unknown == ids[:1]
    assert (await agent.release(ids=ids[1:2], **named)).released == ids[1:2]
    await redis.xreadgroup("agents", "me", {"slack_events": ">"})  # a worker of this name
    assert (await agent.ack(ids=ids[2:], **named)).not_held == ids[2:]


@pytest.mark.promise("Its leases are renewed while it calls tools")
async def test_an_agents_lease_is_kept_while_it_is_about(make_backend: MakeBackend, redis: Redis) -> None:
    """Each time when two thirds of it are over it is renewed before another takes the event."""
    backend = make_backend()
    operations = Operations(backend, origin="mcp")
    operations.agent_leases = AgentLeases(backend.connections, 0.3)
    (entry_id,) = await fill(operations, 1)
    taken = list[Event]()

    async def idle_ms() -> int:
        (row,) = list[Any](await redis.xpending_range("slack_events", "agents", "-", "+", 1))
        assert row["consumer"].decode() == operations.consumer, "the lease was lost"
        return int(row["time_since_delivered"])

    async def is_renewed() -> bool:
        return await idle_ms() < 20_000

    async def be_greedy() -> None:
        taken.append(await anext(greedy))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(operations.agent_leases.run)
        await operations.read_stream(group="agents")
        async with make_backend().consume(group="agents") as greedy:
            tasks.start_soon(be_greedy)
            for _ in range(3):
                await redis.xclaim(
                    "slack_events", "agents", operations.consumer, 0, [entry_id], idle=20_000, justid=True
                )
                await until(is_renewed)
            tasks.cancel_scope.cancel()
    assert taken == []


@pytest.mark.promise("Its leases are renewed while it calls tools")
async def test_a_quiet_agent_gives_back_uncounted(make_backend: MakeBackend) -> None:
    backend = make_backend()
    operations = Operations(backend, origin="mcp")
    operations.agent_leases = AgentLeases(backend.connections, 0.3, quiet_seconds=0.5)
    await fill(operations, 1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(operations.agent_leases.run)
        await operations.read_stream(group="agents")
        async with make_backend().consume(group="agents") as events:
            assert (await take_one(events)).deliveries == 1
        tasks.cancel_scope.cancel()


@pytest.mark.promise("What a person or an agent leases by hand is buried only if it cannot be decoded")
@pytest.mark.parametrize("chosen", [False, True], ids=["oldest", "chosen"])
@pytest.mark.parametrize("origin", ["mcp", "cli"])
async def test_how_often_is_too_often_only_workers_say(
    make_backend: MakeBackend, redis: Redis, origin: Any, *, chosen: bool
) -> None:
    patient = make_backend(redis_stream_max_deliveries=20)
    await patient.publish("slack_events", {"n": 1})
    tries = list[int]()

    async def fail(event: Event) -> None:
        tries.append(event.deliveries)
        if len(tries) <= 7:
            raise RuntimeError

    def wait_in_the_end(event: Event, _: BaseException) -> Retry:
        return Retry(3600 if event.deliveries == 7 else 0)

    worker = EventWorker(patient, fail, group="bot", policy=wait_in_the_end)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)
        while await redis.zcount(names.due("slack_events", "bot"), 1, "+inf") == 0 or len(tries) < 7:
            await anyio.sleep(0.01)
        await worker.shutdown()
    by_hand = Operations(make_backend(redis_stream_max_deliveries=5), origin=origin)
    (published,) = (await by_hand.peek(stream="slack_events")).events

    async def make_due() -> None:
        """It is postponed no longer; its count stands behind the point."""
        due = names.due("slack_events", "bot")
        if score := await redis.zscore(due, published.id):
            await redis.zadd(due, {published.id: 1 + score % 1})

    if not chosen:
        await make_due()
    (event,) = (await by_hand.lease(group="bot", ids=[published.id] if chosen else ())).events
    assert event.deliveries == 8
    assert await redis.exists(names.dead_letters("slack_events")) == 0
    await by_hand.release()
    await make_due()  # what was chosen while it was postponed is postponed again
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(EventWorker(patient, fail, group="bot").run)
        while len(tries) < 8:
            await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
    assert tries[-1] == 8


@pytest.mark.parametrize("bury", ["no good", None])
@pytest.mark.parametrize("is_counted", [True, False], ids=["counted as lost before", "just deleted"])
async def test_what_the_stream_no_longer_has_is_neither_buried_nor_given_back(
    operations: Operations, redis: Redis, *, bury: str | None, is_counted: bool
) -> None:
    first, second = await fill(operations, 2)
    await operations.read_stream(group="agents")
    await redis.xdel("slack_events", first)
    for _ in range(1 + is_counted):
        result = await operations.release(stream="slack_events", group="agents", ids=[first], bury=bury)
        assert (result.unknown, result.not_held, result.buried, result.released) == ([first], [], [], [])
    assert await redis.xlen(names.dead_letters("slack_events")) == 0
    assert await redis.hget(names.records("slack_events"), "lost agents") == b"1"
    assert (await operations.ack(stream="slack_events", group="agents", ids=[second])).acked == [second]
    records: Any = await redis.xrange("abe:audit")
    released = [fields for _, fields in records if b"release" in fields.values()]
    assert not any(first.encode() in value for fields in released for value in fields.values())
