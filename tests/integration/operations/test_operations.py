"""The operations that the tools and the commands share: what they do, and what they refuse."""

import json
import time
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Operations, RedisMessageQueueBackend
from abe_redis.errors import AbeRedisError, InvalidNameError, PayloadError, PayloadTooLargeError, RequestError
from abe_redis.operations.agent_leases import AgentLeases
from abe_redis.operations.event_views import compact
from abe_redis.streams.peek import Order
from tests import lateness
from tests.integration.conftest import MakeBackend, pending, take_one, until


@pytest.fixture
async def operations(backend: RedisMessageQueueBackend) -> Operations:
    return Operations(backend, origin="mcp")


async def fill(operations: Operations, count: int, *, stream: str = "slack_events") -> list[str]:
    return [
        (
            await operations.publish_event(
                {"type": "app_mention" if number % 2 else "message", "n": number}, stream=stream
            )
        ).id
        for number in range(count)
    ]


def numbers(events: list[Any]) -> list[int]:
    return [event.payload["n"] for event in events]


@pytest.mark.promise("What the agent publishes is marked")
async def test_events_published_by_an_agent_are_marked(operations: Operations, redis: Redis) -> None:
    await operations.publish_event({"a": 1})
    entries: Any = await redis.xrange("slack_events")
    assert entries[0][1] == {b"data": b'{"a":1}', b"origin": b"mcp"}


async def test_an_event_id_makes_publishing_repeatable(operations: Operations, redis: Redis) -> None:
    first = await operations.publish_event({"a": 1}, event_id="mine")
    again = await operations.publish_event({"a": 1}, event_id="mine")
    assert (first.duplicate, again.duplicate) == (False, True)
    assert again.id == first.id
    assert await redis.xlen("slack_events") == 1


async def test_looking_changes_nothing(operations: Operations, redis: Redis) -> None:
    ids = await fill(operations, 5)
    before = await redis.dump("slack_events")
    newest = await operations.read_stream(count=2)
    assert newest.mode == "peek"
    assert [event.id for event in newest.events] == ids[:2:-1]
    assert newest.next_start == ids[3]
    rest = await operations.read_stream(start=newest.next_start)
    assert [event.id for event in rest.events] == ids[2::-1]
    assert rest.next_start is None
    oldest = await operations.read_stream(order="oldest", count=3)
    assert numbers(oldest.events) == [0, 1, 2]
    assert numbers((await operations.read_stream(order="oldest", start=oldest.next_start)).events) == [3, 4]
    assert await redis.dump("slack_events") == before


@pytest.mark.parametrize("order", ["newest", "oldest"])
async def test_more_is_said_only_when_there_is_more(operations: Operations, order: Order) -> None:
    ids = await fill(operations, 6)
    looked = operations.read_stream
    assert (await looked(order=order, count=6)).next_start is None
    assert (await looked(order=order, count=5)).next_start == ids[1 if order == "newest" else 4]
    assert (await looked(order=order, count=4, since=ids[2])).next_start is None
    assert (await looked(order=order, count=3, since=ids[2])).next_start is not None
    assert (await looked(order=order, count=4, until=ids[4])).next_start is None
    assert (await looked(order=order, count=3, until=ids[4])).next_start is not None
    mentions: Any = {"order": order, "event_type": "app_mention"}
    assert (await looked(**mentions, count=3)).next_start is None
    assert (await looked(**mentions, count=2)).next_start is not None


async def test_more_of_what_is_pending_is_said_only_when_there_is_more(operations: Operations) -> None:
    ids = await fill(operations, 3)
    await operations.read_stream(group="agents", count=3)
    every = await operations.read_stream(group="agents", pending=True, count=3)
    assert (len(every.events), every.next_start) == (3, None)
    some = await operations.read_stream(group="agents", pending=True, count=2)
    assert some.next_start == ids[1]


async def test_a_filter_goes_on_where_it_stopped(operations: Operations) -> None:
    await fill(operations, 30)
    first = await operations.read_stream(order="oldest", event_type="app_mention", count=10)
    assert numbers(first.events) == list(range(1, 20, 2))
    second = await operations.read_stream(
        order="oldest", event_type="app_mention", count=10, start=first.next_start
    )
    assert numbers(second.events) == list(range(21, 30, 2))
    nothing = await operations.read_stream(event_type="no_such_type")
    assert nothing.events == []
    assert nothing.next_start is None


async def test_a_filter_looks_at_a_bounded_part(operations: Operations, redis: Redis) -> None:
    pipeline = redis.pipeline()
    for number in range(2500):
        pipeline.xadd("slack_events", {"data": json.dumps({"type": "rare" if number == 2400 else "x"})})
    await pipeline.execute()
    first = await operations.read_stream(order="oldest", event_type="rare")
    assert first.events == []
    assert first.next_start is not None
    second = await operations.read_stream(order="oldest", event_type="rare", start=first.next_start)
    assert len(second.events) == 1


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


async def test_a_typo_does_not_make_a_group(operations: Operations, redis: Redis) -> None:
    await fill(operations, 1)
    await operations.read_stream(group="agents")
    with pytest.raises(RequestError, match=r"no group 'agnets'. Its groups: 'agents'"):
        await operations.read_stream(group="agnets")
    with pytest.raises(RequestError, match=r"no group 'agnets'"):
        await operations.ack(stream="slack_events", group="agnets", ids=["1-1"])
    with pytest.raises(RequestError, match=r"no group 'agnets'"):
        await operations.read_stream(group="agnets", pending=True)
    second = await operations.read_stream(group="second", create_group=True)
    assert len(second.events) == 1
    groups: Any = await redis.xinfo_groups("slack_events")
    assert {group["name"] for group in groups} == {b"agents", b"second"}


async def test_a_stream_outside_the_patterns_is_refused(operations: Operations, redis: Redis) -> None:
    await redis.xadd("secret", {"data": "{}"})
    await redis.xadd("dead:{secret}", {"data": "{}"})
    for stream in ("secret", "dead:{secret}", "abe:streams", "slack", ""):
        for call in (
            operations.read_stream(stream=stream),
            operations.publish_event({"a": 1}, stream=stream),
            operations.ack(stream=stream, group="g", ids=["1-1"]),
            operations.stream_stats(stream=stream),
        ):
            with pytest.raises(AbeRedisError, match=r"is not one this server may touch"):
                await call
    assert await redis.xlen("secret") == 1


async def test_a_new_stream_of_a_misspelt_name_is_said(operations: Operations, redis: Redis) -> None:
    """Streams that the settings name are new once, too, and nobody misspells those."""
    await redis.xadd("slack:old", {"data": "{}"})
    await redis.xgroup_create("slack:read", "bot", "0", mkstream=True)
    streams = (None, "slack_events", "slack:old", "slack:read", "slack:new", "slack:new")
    new = [(await operations.publish_event({"a": 1}, stream=stream)).new_stream for stream in streams]
    assert new == [False, False, False, False, True, False]
    again = [await operations.publish_event({"a": 1}, stream="slack:other", event_id="x") for _ in range(2)]
    assert [(one.duplicate, one.new_stream) for one in again] == [(False, True), (True, False)]


@pytest.mark.parametrize("name", ["slack:*", "slack:?", "slack:[ab]", "slack:a]"])
async def test_a_pattern_is_no_name_of_a_stream(operations: Operations, redis: Redis, name: str) -> None:
    for call in (
        operations.publish_event({"a": 1}, stream=name),
        operations.publish_many([{"a": 1}], stream=name),
    ):
        with pytest.raises(RequestError, match="reads like a pattern"):
            await call
    assert not await redis.exists(name)


async def test_dead_letters_are_looked_at_only(operations: Operations, redis: Redis) -> None:
    await redis.xadd("slack_events", {"data": "not json"})
    leased = await operations.read_stream(group="agents")
    assert leased.events == []
    assert "went to 'dead:{slack_events}'" in leased.note
    letters = await operations.read_stream(stream="dead:{slack_events}")
    assert letters.events[0].payload is None
    assert "not JSON" in letters.events[0].summary
    with pytest.raises(RequestError, match="not leased"):
        await operations.read_stream(stream="dead:{slack_events}", group="agents")
    with pytest.raises(InvalidNameError):
        await operations.publish_event({"a": 1}, stream="dead:{slack_events}")
    assert await pending(redis, "slack_events", "agents") == 0


async def test_a_stream_that_does_not_exist(operations: Operations) -> None:
    looked = await operations.read_stream()
    assert looked.events == []
    assert "does not exist (yet). No stream exists" in looked.note
    await fill(operations, 1, stream="slack:there")
    for group in (None, "agents"):
        looked = await operations.read_stream(stream="slack:nowhere", group=group)
        assert "Streams that exist: 'slack:there'" in looked.note
    for call in (
        operations.stream_stats(stream="slack:nowhere"),
        operations.ack(stream="slack:nowhere", group="g", ids=["1-1"]),
    ):
        with pytest.raises(
            RequestError, match=r"does not exist \(yet\)\. .*Streams that exist: 'slack:there'"
        ):
            await call


async def test_a_key_of_another_type(operations: Operations, redis: Redis) -> None:
    await redis.rpush("slack:list", "x")
    for call in (
        operations.read_stream(stream="slack:list"),
        operations.read_stream(stream="slack:list", group="g"),
        operations.stream_stats(stream="slack:list"),
        operations.ack(stream="slack:list", group="g", ids=["1-1"]),
    ):
        with pytest.raises(RequestError, match="is a list, not a stream"):
            await call
    assert (await operations.stream_stats()).streams == []


async def test_waiting_ends_when_something_comes(operations: Operations, make_backend: MakeBackend) -> None:
    publisher = make_backend()
    for arguments in ({}, {"order": "oldest"}, {"group": "agents"}):

        async def publish_soon() -> None:
            await anyio.sleep(0.2)
            await publisher.publish("slack_events", {"n": 1})

        found: Any = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(publish_soon)
            async with lateness.watching() as watch:
                if arguments == {"order": "oldest"}:
                    newest = await operations.read_stream(count=1)
                    arguments |= {"start": newest.events[0].id}
                found = await operations.read_stream(wait_seconds=20, **arguments)  # type: ignore[arg-type]
                assert watch.own < 15, "it waited to the end"
        assert len(found.events) >= 1


async def test_a_cancelled_wait_keeps_nothing(make_backend: MakeBackend, redis: Redis) -> None:
    operations, publisher = Operations(make_backend(), origin="mcp"), make_backend()
    await publisher.publish("slack_events", {"n": 0})
    await operations.read_stream(group="agents")
    for number in range(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: operations.read_stream(group="agents", wait_seconds=20))
            await anyio.sleep(0.01)
            tasks.start_soon(publisher.publish, "slack_events", {"n": number})
            await anyio.sleep(number / 4000)
            tasks.cancel_scope.cancel()
    held = await operations.read_stream(group="agents", pending=True, count=100)
    known = {entry_id for _, entry_id in operations.agent_leases.held(operations.consumer)}
    assert {event.id for event in held.events if event.consumer is not None} <= known


@pytest.mark.promise("Its leases are renewed while it calls tools")
async def test_an_agents_lease_is_kept_while_it_is_about(make_backend: MakeBackend) -> None:
    backend = make_backend(redis_stream_lease_seconds=4)
    operations = Operations(backend, origin="mcp")
    await fill(operations, 1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(operations.agent_leases.run)
        await operations.read_stream(group="agents")
        async with make_backend(redis_stream_lease_seconds=4).consume(group="agents") as greedy:
            with anyio.move_on_after(5) as scope:
                await anext(greedy)
            assert scope.cancelled_caught, "the lease was lost"
        tasks.cancel_scope.cancel()


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


async def test_a_bound_on_characters(operations: Operations) -> None:
    for number in range(3):
        await operations.publish_event({"type": "message", "n": number, "text": "x" * 50_000})
    result = await operations.read_stream(max_chars=3000)
    assert sum(len(compact(event.payload)) for event in result.events) <= 3000
    assert all(event.truncated for event in result.events)
    assert "larger max_chars" in result.note


async def test_stats_tell_the_state(make_backend: MakeBackend, operations: Operations, redis: Redis) -> None:
    async def only() -> Any:
        (found,) = (await operations.stream_stats(stream="slack_events")).streams
        return found

    await fill(operations, 3)
    found = await only()
    assert (found.length, found.groups, found.health) == (3, [], "unread")
    assert found.first_at <= found.last_at
    assert found.memory_bytes > 0

    await operations.read_stream(group="agents", count=2)
    found = await only()
    (group,) = found.groups
    assert (group.name, group.pending, group.lag, found.health) == ("agents", 2, 1, "working")
    (consumer,) = group.consumers
    assert (consumer.name, consumer.pending, consumer.alive) == (operations.consumer, 2, True)
    assert group.oldest_pending_seconds >= 0

    impatient = Operations(make_backend(redis_stream_lease_seconds=0.5))

    async def stalled() -> bool:
        (seen,) = (await impatient.stream_stats()).streams
        return seen.health == "stalled" and "no consumer is alive" in seen.advice

    await until(stalled)
    leased = await operations.read_stream(group="agents", pending=True)
    await operations.ack(stream="slack_events", group="agents", ids=[event.id for event in leased.events])
    rest = await operations.read_stream(group="agents")
    await operations.ack(stream="slack_events", group="agents", ids=[event.id for event in rest.events])
    found = await only()
    assert (found.groups[0].pending, found.groups[0].lag, found.health) == (0, 0, "ok")
    assert found.advice == "Nothing is waiting."

    await redis.xadd("dead:{slack_events}", {"data": "{}"})
    assert (await only()).health == "dead_letters"


async def test_stats_tell_since_when(operations: Operations, redis: Redis) -> None:
    """By the ids, which are the times of publishing: of what is pending, and of what nobody has."""
    now = time.time()
    for ago in (7200, 7100, 1800, 300, 30, 0):
        await redis.xadd("slack_events", {"data": "{}"}, id=f"{int((now - ago) * 1000)}-0")
    await operations.read_stream(group="agents", count=4)

    (found,) = (await operations.stream_stats(stream="slack_events")).streams
    (group,) = found.groups
    assert found.added == 6
    assert group.pending_by_age == {"older": 2, "under_1h": 1, "under_10m": 1}
    assert group.oldest_pending_seconds == pytest.approx(7200, abs=60)
    assert group.oldest_undelivered_seconds == pytest.approx(30, abs=25)
    assert found.health == "backlog"
    assert "4 pending (the oldest published 2 h ago) and 2 not delivered yet (the oldest" in found.advice

    (brief,) = (await operations.stream_stats()).streams
    assert brief.groups[0].pending_by_age == {}  # of one stream only


async def test_events_that_wait_long_are_a_backlog_though_all_held_ones_are_new(
    operations: Operations, redis: Redis
) -> None:
    old = int((time.time() - 600) * 1000)
    await redis.xadd("slack_events", {"data": "{}"}, id=f"{old}-0")
    await redis.xadd("slack_events", {"data": "{}"})
    first = await operations.read_stream(group="agents", count=1)
    await operations.ack(stream="slack_events", group="agents", ids=[first.events[0].id])
    assert (await operations.stream_stats()).streams[0].health == "working"
    await redis.xadd("slack:other", {"data": "{}"}, id=f"{old}-0")
    await redis.xgroup_create("slack:other", "agents", id="0")
    await redis.xgroup_createconsumer("slack:other", "agents", "alive")
    found = (await operations.stream_stats(stream="slack:other")).streams[0]
    assert (found.health, found.groups[0].pending) == ("backlog", 0)
    assert "(the oldest published 10 min ago): add consumers" in found.advice


BAD_PAYLOADS: list[Any] = [
    [1],
    "text",
    None,
    5,
    {"n": float("nan")},
    {"b": b"bytes"},
    {"o": object()},
    {"text": "x" * 10_000_000},
]

BAD_READS: list[dict[str, Any]] = [
    {"count": 0},
    {"count": 101},
    {"count": -1},
    {"wait_seconds": -1},
    {"wait_seconds": 21},
    {"wait_seconds": float("nan")},
    {"max_chars": 10},
    {"max_chars": 10**9},
    {"start": "yesterday"},
    {"start": "-1"},
    {"start": "1-2-3"},
    {"start": "9" * 30},
    {"group": ""},
    {"group": "two\nlines"},
    {"group": "x" * 600},
    {"group": "g", "consumer": ""},
    {"group": "g", "consumer": "\x1b[2J"},
    {"group": "g", "start": "1-1"},
    {"group": "g", "event_type": "message"},
    {"pending": True},
    {"create_group": True},
    {"stream": ""},
    {"stream": "*"},
]

BAD_ACKS: list[dict[str, Any]] = [
    {"ids": []},
    {"ids": ["x"]},
    {"ids": ["1-1"] * 101},
    {"ids": ["99999999999999999999999-0"]},
    {"ids": ["1-1"], "group": ""},
    {"ids": ["1-1"], "consumer": ""},
]


async def test_bad_input_is_a_sentence_and_changes_nothing(operations: Operations, redis: Redis) -> None:
    await fill(operations, 2)

    async def everything() -> dict[bytes, Any]:
        keys: Any = await redis.keys("*")
        return {key: await redis.dump(key) for key in keys}

    before = await everything()
    calls: list[tuple[Any, dict[str, Any]]] = [
        *((operations.publish_event, {"payload": payload}) for payload in BAD_PAYLOADS),
        (operations.publish_event, {"payload": {}, "event_id": ""}),
        (operations.publish_event, {"payload": {}, "event_id": "x" * 300}),
        *((operations.read_stream, arguments) for arguments in BAD_READS),
        *((operations.ack, {"stream": "slack_events", "group": "g"} | arguments) for arguments in BAD_ACKS),
    ]
    for call, arguments in calls:
        with pytest.raises((RequestError, InvalidNameError, PayloadError, PayloadTooLargeError)) as caught:
            await call(**arguments)
        assert 20 < len(str(caught.value)) < 800, arguments
        assert "\n" not in str(caught.value)
    assert await everything() == before
