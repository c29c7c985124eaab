"""What is buried or given back while its worker loses the stream: that command says what becomes of it."""

from typing import Any

import anyio
import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as LostConnectionError

from abe_redis import Bury, Event, EventWorker, Retry
from abe_redis.streams import dead, names, release
from tests.integration.conftest import MakeBackend, until
from tests.integration.consuming.foreign_hands import publish, working
from tests.integration.consuming.test_in_flight import delivered_events, letters, with_events
from tests.integration.on_streams import A, rows
from tests.integration.worker.test_lost_answers import is_finished

TOPIC = "slack_events"


@pytest.mark.parametrize("how", ["buried", "given-back"])
async def test_what_is_settled_as_the_stream_is_lost_is_not_put_back(
    commands: Redis, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Redis has done it, and the answer is on its way."""
    in_flight, (held,) = await with_events(commands, 1)
    delivered_events(in_flight, held)
    module, name = (dead, "_BURY") if how == "buried" else (release, "_POSTPONE")
    script = getattr(module, name)

    async def and_lose(*arguments: Any) -> Any:
        answer = await script(*arguments)
        if how != "buried":  # the next owner finishes it
            await commands.xack(A, "g", held.entry.id)
        in_flight.lose(held)
        await in_flight.say_parted(commands)
        return answer

    monkeypatch.setattr(module, name, and_lose)
    if how == "buried":
        assert await in_flight.bury_delivered(commands, held, "poison")
    else:
        assert await in_flight.nack(commands, held, delay_seconds=0)
    await in_flight.say_parted(commands)
    assert await rows(commands, A) == {}
    assert len(await letters(commands)) == (how == "buried")


@pytest.mark.promise("it buries the event: the event moves to the stream")
@pytest.mark.parametrize("how", ["buried", "given-back"])
async def test_what_is_settled_by_a_worker_that_loses_the_stream_is_handled_no_more(
    make_backend: MakeBackend, redis: Redis, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Its own command or another worker is done with it. The answer to that command is lost, too."""
    handled = list[int]()
    module, name = (dead, "_BURY") if how == "buried" else (release, "_POSTPONE")
    script = getattr(module, name)

    async def and_lose(*arguments: Any) -> Any:
        monkeypatch.setattr(module, name, script)
        await script(*arguments)
        await redis.set(names.owner(TOPIC, "default"), "another", px=1500)
        if how != "buried":
            await redis.xack(TOPIC, "default", *[one async for one in pending()])
        with anyio.CancelScope(shield=True):
            await anyio.sleep(1)  # a renewal tells that it lost the stream
        raise LostConnectionError("cut")

    async def pending() -> Any:
        found: Any = await redis.xpending_range(TOPIC, "default", "-", "+", 10)
        for row in found:
            yield row["message_id"]

    def decide(_: Event, __: Exception) -> Bury | Retry:
        return Bury("it is poison") if how == "buried" else Retry(0)

    async def handle(event: Event) -> None:
        handled.append(event["n"])
        if event["n"] == 0:
            raise ValueError("no")

    async def is_over() -> bool:
        return handled[-1] == 1 and await is_finished(redis)

    monkeypatch.setattr(module, name, and_lose)
    backend = make_backend(redis_stream_lease_seconds=1)
    await publish(backend, 0)
    async with working(EventWorker(backend, handle, ordered=True, policy=decide)):
        await until(lambda: _is(handled))
        await anyio.sleep(2.5)
        await publish(backend, 1)
        await until(is_over)
    assert handled == [0, 1]
    assert await redis.xlen(names.dead_letters(TOPIC)) == (how == "buried")


async def _is(found: list[int]) -> bool:
    return bool(found)
