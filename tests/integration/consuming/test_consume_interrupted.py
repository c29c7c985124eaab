"""Consumers that freeze, die or fork, and events that nobody can take: delivered again or buried."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import RedisMessageQueueBackend
from abe_redis.errors import ForkedError
from abe_redis.runtime import fork
from tests.integration.conftest import (
    MakeBackend,
    lease_for_long,
    pending,
    take,
    take_one,
    until,
    until_renewed,
)
from tests.integration.consuming.numbered_events import nothing_pending, numbers, publish, while_asking


async def test_a_slow_handler_keeps_its_event(make_backend: MakeBackend, redis: Redis) -> None:
    slow, other = (make_backend(redis_stream_lease_seconds=6) for _ in range(2))
    await publish(slow, 1)
    async with slow.consume() as events, other.consume() as greedy:
        await take_one(events)
        asking = asyncio.create_task(take_one(greedy))
        await until_renewed(redis, "slack_events", 3)  # its first lease would be over
        assert not asking.done(), "it was delivered to another consumer"
        asking.cancel()


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
    async with other.consume() as greedy:
        await lease_for_long(redis, "slack_events", greedy.consumer)
        time.sleep(0.6)  # noqa: ASYNC251 - the loop is blocked on purpose
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
