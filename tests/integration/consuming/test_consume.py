"""Consuming: acked when the next is asked for, delivered again otherwise, whatever happens."""

import asyncio
import gc
import json
import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import EventStream, RedisMessageQueueBackend, Settings
from abe_redis.consuming import prefetch
from abe_redis.errors import ForkedError, RedisRefusedError
from abe_redis.runtime import fork
from tests.integration.conftest import MakeBackend, pending, take, take_one, until
from tests.patience import PATIENCE
from tests.servers import Server


async def publish(backend: RedisMessageQueueBackend, *numbers: int, stream: str = "slack_events") -> None:
    for number in numbers:
        await backend.publish(stream, {"n": number})


def numbers(events: list[Any]) -> list[int]:
    return [event["n"] for event in events]


@pytest.mark.promise("A new group starts at the oldest event")
async def test_events_published_before_are_delivered_in_order(backend: RedisMessageQueueBackend) -> None:
    await publish(backend, *range(30))
    async with backend.consume() as events:
        taken = await take(events, 30)
    assert numbers(taken) == list(range(30))
    first = taken[0]
    assert first == {"n": 0}
    assert (first.stream, first.group, first.deliveries) == ("slack_events", "default", 1)


@pytest.mark.promise("A consumer of `consume()` acknowledges an event by asking for the next one")
async def test_an_event_is_acked_when_the_next_is_asked_for(
    backend: RedisMessageQueueBackend, redis: Redis
) -> None:
    await publish(backend, 1)
    async with backend.consume() as events:
        await take_one(events)
        assert await pending(redis, "slack_events") == 1
        await while_asking(events, nothing_pending(redis))


@pytest.mark.promise(
    "The event goes to one consumer under a lease, and is finished when that consumer acknowledges it."
)
async def test_groups_get_each_event_and_members_share_them(make_backend: MakeBackend) -> None:
    await publish(make_backend(), *range(40))
    first, second, other = make_backend(), make_backend(), make_backend()
    got: dict[str, list[int]] = {"shared": [], "alone": []}

    async def work(backend: RedisMessageQueueBackend, group: str) -> None:
        async for event in backend.consume(group=group):
            got[group].append(event["n"])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work, first, "shared")
        tasks.start_soon(work, second, "shared")
        tasks.start_soon(work, other, "alone")

        async def all_done() -> bool:
            return len(got["shared"]) >= 40 and len(got["alone"]) >= 40

        await until(all_done)
        for backend in (first, second, other):
            await backend.close()
    assert sorted(got["shared"]) == list(range(40))
    assert sorted(got["alone"]) == list(range(40))


@pytest.mark.promise("With `consume()` alone, leaving the loop gives the event back.")
@pytest.mark.promise("If the handler raises, is cancelled, or its process dies, the event is delivered again")
@pytest.mark.parametrize("ending", ["raise", "break", "close", "cancel", "drop"])
async def test_an_unfinished_event_comes_again(make_backend: MakeBackend, ending: str) -> None:
    first, second = make_backend(), make_backend()
    await publish(first, 1, 2, 3)
    if ending == "raise":
        with pytest.raises(ZeroDivisionError):
            async for _ in first.consume():
                1 / 0  # noqa: B018
    elif ending == "break":
        async for _ in first.consume():
            break
    elif ending == "close":
        await take_one(first.consume())
        await first.close()
    elif ending == "cancel":
        handling = anyio.Event()

        async def handle_for_ever() -> None:
            async for _ in first.consume():
                handling.set()
                await anyio.sleep_forever()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(handle_for_ever)
            await handling.wait()
            tasks.cancel_scope.cancel()
    else:
        events = first.consume()
        await take_one(events)
        del events
    gc.collect()
    async with second.consume() as events:
        taken = await take(events, 3)
    assert sorted(numbers(taken)) == [1, 2, 3]
    assert {event["n"]: event.deliveries for event in taken}[1] == 2


async def test_prefetched_events_are_given_back_uncounted(make_backend: MakeBackend, redis: Redis) -> None:
    first, second = make_backend(), make_backend()
    await publish(first, *range(200))
    events = first.consume()
    handed = await take(events, 60)  # fast enough for some to be leased ahead
    await until(lambda: _more_pending_than(redis, 1))
    await events.aclose()
    consumers: Any = await redis.xinfo_consumers("slack_events", "default")
    assert sum(consumer["pending"] for consumer in consumers) >= 2
    async with second.consume() as again:
        taken = await take(again, 141)
    assert sorted(numbers(taken)) == list(range(59, 200))
    assert {event.deliveries for event in taken if event["n"] != handed[-1]["n"]} == {1}


async def while_asking(events: EventStream, condition: Callable[[], Awaitable[bool]]) -> None:
    """Ask for the next event, which does not come, until something is so."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(take_one, events)
        await until(condition)
        tasks.cancel_scope.cancel()


def nothing_pending(redis: Redis, group: str = "default") -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return await pending(redis, "slack_events", group) == 0

    return check


async def _more_pending_than(redis: Redis, number: int) -> bool:
    return await pending(redis, "slack_events") > number


async def test_a_consumer_that_holds_nothing_leaves_no_trace(
    backend: RedisMessageQueueBackend, redis: Redis
) -> None:
    await publish(backend, 1)
    events = backend.consume()
    await take_one(events)
    with anyio.move_on_after(0.05):
        await anext(events)
    await events.aclose()
    assert await redis.xinfo_consumers("slack_events", "default") == []


async def test_close_ends_an_idle_consumer_at_once(backend: RedisMessageQueueBackend) -> None:
    await publish(backend, 1)
    ended = anyio.Event()

    async def work() -> None:
        async for _ in backend.consume():
            pass
        ended.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work)
        await anyio.sleep(0.2)
        await backend.close()
        with anyio.fail_after(PATIENCE):
            await ended.wait()


async def test_close_ends_it_on_an_empty_database(backend: RedisMessageQueueBackend) -> None:
    async with anyio.create_task_group() as tasks:
        events = backend.consume()
        tasks.start_soon(_exhaust, events)
        await anyio.sleep(0.05)
        with anyio.fail_after(PATIENCE):
            await backend.close()


async def _exhaust(events: Any) -> None:
    async for _ in events:
        pass


async def test_a_slow_handler_keeps_its_event(make_backend: MakeBackend) -> None:
    slow, other = (make_backend(redis_stream_lease_seconds=4) for _ in range(2))
    await publish(slow, 1)
    async with slow.consume() as events, other.consume() as greedy:
        await take_one(events)
        with anyio.move_on_after(5) as scope:
            await anext(greedy)
        assert scope.cancelled_caught, "it was delivered to another consumer"


@pytest.mark.promise("Its ack is refused.")
@pytest.mark.promise("its lease expires and the event goes to another worker.")
async def test_a_frozen_consumer_is_overtaken_and_finds_out(
    make_backend: MakeBackend, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """A handler that blocks the loop beyond its lease: its ack must not count."""
    slow, other = (make_backend(redis_stream_lease_seconds=0.5) for _ in range(2))
    await publish(slow, 1)
    events = slow.consume()
    await take_one(events)
    ids: Any = await redis.xrange("slack_events")
    time.sleep(0.6)  # noqa: ASYNC251 - the loop is blocked on purpose
    async with other.consume() as greedy:
        # Both tasks wake up now; the entry is taken in the server before the sleeper can renew.
        await redis.xclaim("slack_events", "default", greedy.consumer, 0, [ids[0][0]])

        async def is_told() -> bool:
            return "was given to another consumer" in caplog.text

        await while_asking(events, is_told)
        assert await pending(redis, "slack_events") == 1


CONSUMER = """
    import asyncio, json, sys
    from abe_redis import RedisMessageQueueBackend

    async def main():
        async with RedisMessageQueueBackend.from_env() as backend:
            async for event in backend.consume(group="workers"):
                print(json.dumps({"n": event["n"], "deliveries": event.deliveries}), flush=True)
                await asyncio.sleep(60)

    asyncio.run(main())
"""


@pytest.mark.promise("If the handler raises, is cancelled, or its process dies, the event is delivered again")
async def test_the_event_of_a_killed_process_reaches_another(
    make_backend: MakeBackend, redis_url: str, tmp_path: Path
) -> None:
    script = tmp_path / "consumer.py"
    script.write_text(textwrap.dedent(CONSUMER))
    backend = make_backend(redis_stream_lease_seconds=1)
    await publish(backend, 7)
    with subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        env=os.environ | {"REDIS_URL": redis_url, "REDIS_STREAM_LEASE_SECONDS": "1"},
    ) as process:
        assert process.stdout is not None
        line = await anyio.to_thread.run_sync(process.stdout.readline)
        assert json.loads(line) == {"n": 7, "deliveries": 1}
        process.send_signal(signal.SIGKILL)
    async with backend.consume(group="workers") as events:
        event = await take_one(events)
    assert (event["n"], event.deliveries) == (7, 2)


@pytest.mark.promise("It blocks nothing.")
@pytest.mark.promise("The first worker that reads an entry that is no JSON object buries it with the reason.")
@pytest.mark.promise(
    "An event that cannot be decoded, or that was delivered `REDIS_STREAM_MAX_DELIVERIES` times"
)
async def test_an_undecodable_entry_is_buried_and_blocks_nothing(
    backend: RedisMessageQueueBackend, redis: Redis
) -> None:
    await publish(backend, 1)
    bad: list[dict[Any, Any]] = [{"data": b"\xff\xfe"}, {"text": "no data"}, {"data": "[1]"}, {"data": "{"}]
    ids = [await redis.xadd("slack_events", fields) for fields in bad]
    await publish(backend, 2)
    async with backend.consume(group="g") as events:
        assert numbers(await take(events, 2)) == [1, 2]

        async def buried() -> Any:
            letters: Any = await redis.xrange("dead:{slack_events}")
            return letters if len(letters) == len(bad) else None

        letters = await until(buried)
        await while_asking(events, nothing_pending(redis, "g"))
    for (_, letter), fields, entry_id in zip(letters, bad, ids, strict=True):
        (name, value) = next(iter(fields.items()))
        assert letter[name.encode()] == (value if isinstance(value, bytes) else value.encode())
        assert letter[b"abe:id"] == entry_id
        assert letter[b"abe:group"] == b"g"
        assert letter[b"abe:stream"] == b"slack_events"
        assert letter[b"abe:deliveries"] in {b"0", b"1"}, "no handler began with it"
        assert letter[b"abe:reason"]
        assert int(letter[b"abe:at"]) > 1_700_000_000


@pytest.mark.promise(
    "An event that cannot be decoded, or that was delivered `REDIS_STREAM_MAX_DELIVERIES` times"
)
async def test_an_event_that_is_never_finished_is_buried(make_backend: MakeBackend, redis: Redis) -> None:
    backend = make_backend(redis_stream_max_deliveries=3)
    await publish(backend, 1)
    for delivery in (1, 2, 3):
        async with backend.consume() as events:
            assert (await take_one(events)).deliveries == delivery
    await publish(backend, 2)
    async with backend.consume() as events:
        assert numbers([await take_one(events)]) == [2]
    letters: Any = await redis.xrange("dead:{slack_events}")
    assert letters[0][1][b"abe:reason"] == b"delivered 3 times without an ack"


async def test_dead_letters_are_not_consumed(make_backend: MakeBackend, redis: Redis) -> None:
    backend = make_backend(redis_stream_patterns="*")
    await redis.xadd("dead:{slack_events}", {"data": '{"n": 0}'})
    await redis.xadd("abe:mine", {"data": '{"n": 0}'})
    await publish(backend, 1, stream="anything")
    async with backend.consume() as events:
        assert (await take_one(events)).stream == "anything"
    assert await redis.xinfo_groups("dead:{slack_events}") == []


async def test_a_key_of_another_type_harms_nobody(backend: RedisMessageQueueBackend, redis: Redis) -> None:
    await redis.set("slack:cache", "x")
    await publish(backend, 1)
    async with backend.consume() as events:
        assert numbers([await take_one(events)]) == [1]
        await publish(backend, 2, stream="slack:changes")
        assert numbers([await take_one(events)]) == [2]
        await redis.set("slack:changes", "now a string")
        await publish(backend, 3)
        assert numbers([await take_one(events)]) == [3]
        await redis.delete("slack:changes")
        await publish(backend, 4, stream="slack:changes")
        assert numbers([await take_one(events)]) == [4]
    assert await redis.get("slack:cache") == b"x"


@pytest.mark.promise("Consumers outlive restarts, cut connections, `FLUSHALL` and deleted groups.")
async def test_flushall_is_a_pause(backend: RedisMessageQueueBackend, redis: Redis) -> None:
    await publish(backend, 1)
    await publish(backend, 2, stream="slack:other")
    async with backend.consume() as events:
        assert sorted(numbers(await take(events, 2))) == [1, 2]
        await redis.flushall()
        await publish(backend, 3)
        await publish(backend, 4, stream="slack:other")
        assert sorted(numbers(await take(events, 2))) == [3, 4]
    assert await redis.exists("slack:never") == 0


@pytest.mark.promise("Consumers outlive restarts, cut connections, `FLUSHALL` and deleted groups.")
@pytest.mark.promise("If the new primary has an older state of a group or a stream")
async def test_a_deleted_group_goes_on_where_it_was(backend: RedisMessageQueueBackend, redis: Redis) -> None:
    await publish(backend, *range(20))
    async with backend.consume() as events:
        taken = await take(events, 20)
        assert numbers(taken) == list(range(20))

        async def all_on_record() -> bool:
            floor: Any = await redis.hget("abe:groups:{slack_events}", "floor default")
            return floor is not None and floor.decode().split()[0] == taken[-1].id

        await while_asking(events, all_on_record)
        await redis.xgroup_destroy("slack_events", "default")
        await publish(backend, 20, 21)
        assert numbers(await take(events, 2)) == [20, 21]


async def test_a_group_deleted_with_events_pending_loses_none(
    backend: RedisMessageQueueBackend, redis: Redis
) -> None:
    await publish(backend, *range(10))
    async with backend.consume() as events:
        await take(events, 5)
        await redis.xgroup_destroy("slack_events", "default")
        await publish(backend, 10)
        seen: set[int] = set()
        with anyio.fail_after(PATIENCE):
            while not {5, 6, 7, 8, 9, 10} <= seen:
                seen.add((await anext(events))["n"])


async def test_a_deleted_stream_is_not_resurrected(backend: RedisMessageQueueBackend, redis: Redis) -> None:
    await publish(backend, 1)
    async with backend.consume() as events:
        await take_one(events)
        await redis.delete("slack_events")
        await publish(backend, 2, stream="slack:other")
        assert numbers([await take_one(events)]) == [2]
        with anyio.move_on_after(1.8):
            await anext(events)
    assert await redis.exists("slack_events") == 0


@pytest.mark.promise("Consumers outlive restarts, cut connections, `FLUSHALL` and deleted groups.")
@pytest.mark.promise("Consumers wait, and go on when Redis is back")
async def test_a_restart_and_cut_connections_are_pauses(own_server: Server) -> None:
    settings = Settings(redis_url=own_server.url)
    async with RedisMessageQueueBackend(settings) as backend:
        await publish(backend, 1)
        async with backend.consume() as events:
            assert numbers([await take_one(events)]) == [1]
            for number in (2, 3, 4):
                with own_server.admin() as admin:
                    admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                await publish(backend, number)
                assert numbers([await take_one(events)]) == [number]
            own_server.restart()  # and what was in memory is gone
            await publish(backend, 5)
            assert numbers([await take_one(events)]) == [5]


async def test_it_waits_for_a_server_that_is_not_there_yet(own_server: Server) -> None:
    own_server.stop()
    async with RedisMessageQueueBackend(Settings(redis_url=own_server.url)) as backend:
        async with anyio.create_task_group() as tasks:
            got: list[Any] = []

            async def work() -> None:
                async for event in backend.consume():
                    got.append(event["n"])
                    break

            tasks.start_soon(work)
            await anyio.sleep(0.3)
            own_server.start()
            await publish(backend, 1)
        assert got == [1]


async def test_a_refusal_is_raised(own_server: Server) -> None:
    with own_server.admin() as admin:
        admin.execute_command("ACL", "SETUSER", "default", ">secret", "resetpass", ">other")
    settings = Settings(redis_url=own_server.url, redis_password="wrong-password")
    async with RedisMessageQueueBackend(settings) as backend:
        with pytest.raises(RedisRefusedError, match="REDIS_PASSWORD") as caught:
            await take_one(backend.consume())
    assert "wrong-password" not in str(caught.value)


async def test_two_tasks_cannot_share_one_stream_of_events(backend: RedisMessageQueueBackend) -> None:
    events = backend.consume()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_exhaust, events)
        await anyio.sleep(0.05)
        with pytest.raises(RuntimeError, match="Two tasks"):
            await anext(events)
        await backend.close()


@pytest.mark.one_server
async def test_an_event_that_comes_alone_costs_one_read(
    backend: RedisMessageQueueBackend, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefetch, "FAST_SECONDS", math.inf)
    await publish(backend, *range(5))
    async with backend.consume() as events:
        await take(events, 5)
        await redis.config_resetstat()
        for number in range(20):
            asked = asyncio.ensure_future(anext(events))
            await backend.publish("slack_events", {"n": number})
            await asked
        used: Any = await redis.info("commandstats")
    # A poll looks for what was trimmed since the last entry; a read that waits does not.
    polls = used.get("cmdstat_xrange", {"calls": 0})["calls"]
    assert polls <= 2, used


async def test_a_busy_stream_does_not_starve_a_quiet_one(backend: RedisMessageQueueBackend) -> None:
    await publish(backend, *range(300), stream="slack:busy")
    await publish(backend, 1000, stream="slack:quiet")
    async with backend.consume() as events:
        position = [event.stream for event in await take(events, 301)].index("slack:quiet")
    assert position < 150


async def test_the_child_of_a_fork_settles_nothing_of_its_parents(
    backend: RedisMessageQueueBackend, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the parent's name and events, and none of its tasks."""
    await publish(backend, 1)
    async with backend.consume() as events:
        event = await take_one(events)
        with monkeypatch.context() as child:
            child.setattr(fork, "generation", lambda: 99)
            with pytest.raises(ForkedError):
                await event.bury(reason="it is the parent's")
        assert await pending(redis, "slack_events") == 1
        await event.bury(reason="the parent decides")


async def test_the_configured_name_is_the_consumers_name(make_backend: MakeBackend, redis: Redis) -> None:
    backend = make_backend(redis_stream_consumer="worker-1")
    await publish(backend, 1)
    async with backend.consume() as events:
        await take_one(events)
        consumers: Any = await redis.xinfo_consumers("slack_events", "default")
        assert [consumer["name"] for consumer in consumers] == [b"worker-1"]


async def test_closing_again_and_again_leaves_nothing_behind(make_backend: MakeBackend, redis: Redis) -> None:
    """Closing may hit any step of a turn: reading, acking, claiming, waiting."""
    publisher = make_backend()
    await publish(publisher, *range(5))
    for number in range(60):
        backend = make_backend()
        events = backend.consume()
        await take_one(events)
        await asyncio.sleep(number % 7 / 1000)
        with anyio.fail_after(PATIENCE):
            await backend.close()
        if number % 4 == 3:
            await redis.xtrim("slack_events", maxlen=0)
            await redis.xgroup_setid("slack_events", "default", "$")
            await publish(publisher, *range(5))
    consumers: Any = await redis.xinfo_consumers("slack_events", "default")
    rows: Any = await redis.xpending_range("slack_events", "default", "-", "+", 100)
    assert all(row["time_since_delivered"] > 1e11 for row in rows), "everything is given back"
    assert sum(consumer["pending"] for consumer in consumers) == len(rows)


async def test_a_consumer_that_is_gone_is_forgotten_once_it_holds_nothing(
    make_backend: MakeBackend, redis: Redis
) -> None:
    await publish(make_backend(), 1)
    await redis.xgroup_create("slack_events", "default", "0")
    await redis.xreadgroup("default", "dead", {"slack_events": ">"})
    await redis.xgroup_createconsumer("slack_events", "default", "never held anything")
    backend = make_backend(redis_stream_lease_seconds=0.5)

    async def names() -> set[bytes]:
        consumers: Any = await redis.xinfo_consumers("slack_events", "default")
        return {consumer["name"] for consumer in consumers}

    async with backend.consume() as events:
        assert numbers([await take_one(events)]) == [1]
        assert await pending(redis, "slack_events") == 1
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_exhaust, events)

            async def alone() -> bool:
                return await names() == {events.consumer.encode()}

            await until(alone)
            await events.aclose()


async def test_prefetched_events_of_a_slow_handler_go_to_others(
    make_backend: MakeBackend, redis: Redis
) -> None:
    await make_backend().publish_many("slack_events", ({"n": number} for number in range(300)))
    slow, idle = make_backend(), make_backend()
    async with slow.consume() as events, idle.consume() as others:
        first = await take(events, 60)
        assert await pending(redis, "slack_events") > 2, "it was fast, and leased ahead"
        rest = await take(others, 240)  # while the first one works on its sixtieth
        assert numbers(first) == list(range(60))
        assert sorted(numbers(rest)) == list(range(60, 300))
        assert {event.deliveries for event in rest} == {1}, "what only lay in a buffer was not delivered"
