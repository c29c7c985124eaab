"""An event that a worker could not give back when it ended, since its lease was over: nobody holds it."""

import re

import pytest
from redis.asyncio import Redis

from abe_redis import EventWorker, Operations
from abe_redis.doctor import examine
from abe_redis.settings import Settings
from abe_redis.streams import consumers
from tests.command_line import run_command
from tests.integration.agents import Ask, text_of
from tests.integration.conftest import MakeBackend, until
from tests.integration.worker.held_events import STREAM, consumer_in, pending_in
from tests.integration.worker.test_threads import Functions, functions, until_true
from tests.integration.worker.worker_at_work import at_work, nothing_pending, publish

__all__ = ["functions"]

LEFT = r"left by \"?[^\s\"]+\"?, which has ended; a live consumer takes it over"


async def test_what_an_ended_worker_left_is_held_by_nobody_until_another_takes_it(
    make_backend: MakeBackend, redis: Redis, functions: Functions, ask: Ask
) -> None:
    backend = make_backend(redis_stream_lease_seconds=1, redis_stream_max_handling_seconds=1)
    operations = Operations(make_backend(redis_stream_lease_seconds=1))
    await publish(backend, 0)
    worker = EventWorker(backend, functions.handle, drain_seconds=0)

    async def is_beyond_its_lease() -> bool:
        return (await pending_in(operations)).had_by is not None

    async with at_work(worker):
        await until_true(lambda: functions.begun)
        await until(is_beyond_its_lease)
        name = (await consumer_in(operations)).name
    one, event = await consumer_in(operations), await pending_in(operations)
    assert (one.alive, one.ended, one.pending, one.holds, one.held_seconds) == (False, True, 1, None, None)
    assert (event.state, event.consumer, event.held_seconds, event.left_by) == ("waiting", None, None, name)
    (stream,) = (await operations.stream_stats(stream=STREAM)).streams
    assert stream.groups[0].oldest_held_seconds is None
    assert (
        f"Consumer {name!r} of group 'default' has ended and left 1 event unfinished. A live consumer takes "
        "over what it left, at the end of its lease of 1 s." in stream.advice
    )
    for how in ({"pending": True, "group": "default"}, {"waiting": True}):
        said = text_of(await ask("read_stream", stream=STREAM, **how))
        assert re.search(LEFT, said), said
    assert f'Consumer "{name}": ended, left 1 to live consumers.' in text_of(
        await ask("stream_stats", stream=STREAM)
    )
    functions.may_end.set()
    async with at_work(EventWorker(make_backend(redis_stream_lease_seconds=1), functions.handle)):
        await until(nothing_pending(redis))


@pytest.fixture
async def left(make_backend: MakeBackend, redis: Redis) -> str:
    """The id of an event that a consumer with a lease of an hour has left."""
    backend = make_backend()
    published = await backend.publish_event(STREAM, {"type": "event_callback", "event_id": "Ev1"})
    await redis.xgroup_create(STREAM, "default", "0")
    await redis.xreadgroup("default", "gone", {STREAM: ">"}, count=1)
    commands = (await backend.connections()).commands
    await consumers.note_alive(commands, "default", "gone", [STREAM], lease_seconds=3600)
    await consumers.withdraw(commands, "default", "gone", [STREAM])
    return published.id


async def test_every_door_says_when_another_takes_what_an_ended_consumer_left(
    left: str, ask: Ask, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    until_free = rf"{LEFT} in \d+ min"
    for options in (("--waiting",), ("--pending", "--group", "default"), ("--event-id", "Ev1")):
        done = run_command("read", STREAM, *options)
        assert re.search(until_free, done.stdout), done.stdout
    for how in ({"pending": True, "group": "default"}, {"waiting": True}, {"event_id": "Ev1"}):
        said = text_of(await ask("read_stream", stream=STREAM, **how))
        assert re.search(until_free, said), said
    assert "left by 'gone', which has ended" in text_of(
        await ask("lease_events", stream=STREAM, group="default", ids=[left])
    )
    shown = run_command("stats", STREAM).stdout
    assert "ended" in shown.split("gone", 1)[1]
    assert "frozen" not in shown
    advice = " ".join(one.advice for one in await examine(Settings(redis_url=redis_url)) if one.advice)
    assert "Consumer 'gone' of group 'default' has ended and left 1 event unfinished." in advice
