"""What is done while its worker loses the stream, by that worker or the next one: it is done."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventWorker
from abe_redis.consuming.leases import RENEWED_AT_ONCE
from abe_redis.streams import release
from tests.integration.conftest import MakeBackend, until
from tests.integration.consuming.foreign_hands import publish, working
from tests.integration.consuming.test_in_flight import delivered_events, with_events
from tests.integration.on_streams import A, rows
from tests.integration.worker.test_lost_answers import is_finished, until_true
from tests.refusing_proxy import HANG_UP, RefusingProxy
from tests.servers import Server

LEASE_SECONDS = 1.0


async def test_what_is_done_as_the_stream_is_lost_is_not_done_again(make_backend: MakeBackend) -> None:
    """The loop stands still for more than a lease; a moment after the worker notices, the handler ends."""
    handled = list[int]()

    async def handle(event: Event) -> None:
        handled.append(event["n"])
        if event["n"] == 0:
            time.sleep(1.5 * LEASE_SECONDS)  # noqa: ASYNC251 - it blocks the loop on purpose
            with anyio.CancelScope(shield=True):
                for _ in range(3):
                    await asyncio.sleep(0)

    backend = make_backend(redis_stream_lease_seconds=LEASE_SECONDS)
    await publish(backend, 0)
    async with working(EventWorker(backend, handle, ordered=True)):

        async def has(number: int) -> bool:
            return number in handled

        await until(lambda: has(0))
        await publish(backend, 1)
        await until(lambda: has(1))
    assert handled == [0, 1]


@pytest.mark.parametrize(
    "when", ["before it is said", "while it is said", "while it is said and nobody has it"]
)
async def test_what_is_done_after_it_was_parted_with_is_not_given_back(
    commands: Redis, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    in_flight, (held,) = await with_events(commands, 1)
    delivered_events(in_flight, held)
    in_flight.part_with(held)
    held.lose()
    said = list[Any]()
    script = release._RELEASE

    async def and_finish(*arguments: Any) -> Any:
        said.append(await script(*arguments))
        await finish()
        return said[-1]

    async def finish() -> None:
        in_flight.finish(held)
        await in_flight.ack(commands)

    if when == "before it is said":
        await finish()
    else:
        monkeypatch.setattr(release, "_RELEASE", and_finish)
    if when.endswith("nobody has it"):
        await commands.xgroup_delconsumer(A, "g", "me")
    await in_flight.say_parted(commands)
    assert len(said) == (when != "before it is said")
    assert await rows(commands, A) == {}


@pytest.mark.one_server
async def test_who_loses_a_stream_with_many_events_brings_none_of_them_back(
    make_backend: MakeBackend, redis: Redis, server: Server
) -> None:
    """It says in several commands that it has lost them, when the next one has finished all."""
    count = RENEWED_AT_ONCE + 100
    handled, said = list[int](), list[int]()

    async def wait(_: Event) -> None:
        await anyio.sleep_forever()

    async def handle(event: Event) -> None:
        handled.append(event["n"])

    def note(words: Sequence[bytes], answer: bytes) -> bool:
        if b"these" in words and not answer.startswith(b"-"):
            said.append(len(words))
        return False

    async def is_prefetched() -> bool:
        groups: Any = await redis.xinfo_groups("slack_events")
        return bool(groups) and groups[0]["pending"] == count

    one_conversation = [{"type": "message", "channel": "C1", "n": number} for number in range(count)]
    await make_backend().publish_many("slack_events", one_conversation)
    async with RefusingProxy(server.port) as proxy:
        url = f"redis://127.0.0.1:{proxy.port}/0"
        first = make_backend(redis_url=url, redis_stream_lease_seconds=LEASE_SECONDS)
        async with working(EventWorker(first, wait, ordered=True)):
            await until(is_prefetched)
            proxy.refusal = lambda _: HANG_UP
            async with working(EventWorker(make_backend(), handle, ordered=True)):
                await until(lambda: is_finished(redis))
                proxy.refusal, proxy.loses = lambda _: None, note
                await until_true(lambda: len(said) >= 2)
                assert await is_finished(redis)
        await first.close()
    assert handled == list(range(count))
