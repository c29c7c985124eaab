"""The promises of publishing, through the public doors."""

from typing import Any

import anyio
import pytest

from abe_redis import Event, EventWorker
from abe_redis.errors import ClosedError, InvalidNameError, PayloadError
from abe_redis.testing import app_mention, envelope, message
from tests.contract.conftest import Backend, Make
from tests.contract.taking import TOPIC, Stored
from tests.patience import PATIENCE


def without_token(event: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name != "token"}


async def test_slacks_retry_adds_nothing(backend: Backend, stored: Stored) -> None:
    event = app_mention("once")
    first = await backend.publish_event(TOPIC, event)
    again = await backend.publish_event(TOPIC, event)
    assert (again.id, again.duplicate, again.length) == (first.id, True, 1)
    other = await backend.publish_event("slack:other", event)
    assert not other.duplicate
    assert await stored(backend, TOPIC) == [without_token(event)]


async def test_an_id_of_ones_own(make: Make) -> None:
    first, second = make(), make()
    assert not (await first.publish_event(TOPIC, {"n": 1}, event_id="x")).duplicate
    assert (await second.publish_event(TOPIC, {"n": 2}, event_id="x")).duplicate
    assert not (await second.publish_event(TOPIC, {"n": 1})).duplicate


async def test_deduplication_can_be_off(make: Make, stored: Stored) -> None:
    backend = make(redis_stream_dedup_seconds=0)
    event = message("twice")
    await backend.publish_many(TOPIC, [event, event])
    assert await stored(backend, TOPIC) == [without_token(event)] * 2


async def test_the_token_is_left_out(backend: Backend, stored: Stored) -> None:
    await backend.publish(TOPIC, envelope({"type": "message"}, event_id="Ev1") | {"token": "secret"})
    assert all("token" not in one for one in await stored(backend, TOPIC))


@pytest.mark.parametrize(
    ("key", "payload", "error"),
    [
        ("", {}, InvalidNameError),
        ("dead:{x}", {}, InvalidNameError),
        (TOPIC, [], PayloadError),
        (TOPIC, {"n": float("nan")}, PayloadError),
        (TOPIC, {"n": {1, 2}}, PayloadError),
    ],
)
async def test_bad_input_is_refused(backend: Backend, key: str, payload: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        await backend.publish(key, payload)
    with pytest.raises(error):
        await backend.publish_many(key, [{"fine": True}, payload])


async def test_a_closed_back_end_refuses(backend: Backend) -> None:
    await backend.close()
    await backend.close()
    with pytest.raises(ClosedError):
        await backend.publish(TOPIC, {})
    with pytest.raises(ClosedError):
        backend.consume()
    with pytest.raises(InvalidNameError):
        type(backend)(backend.settings).consume(group="a\nb")


@pytest.mark.promise("It wins over the setting, also when it says that an event has no conversation (`None`")
@pytest.mark.parametrize("partitions", [1, 3])
@pytest.mark.parametrize("nothing", [None, ""])
async def test_nothing_waits_for_an_event_of_which_a_function_says_that_it_has_no_conversation(
    make: Make, nothing: str | None, partitions: int
) -> None:
    """Its payload names a channel, and its worker knows nothing of the function."""
    publisher = make(conversation=lambda _: nothing, redis_stream_partitions=partitions)
    await publisher.publish_many(TOPIC, [message(f"{number}", channel="C1") for number in range(6)])
    at_work = 0
    gate = anyio.Event()

    async def handle(_: Event) -> None:
        nonlocal at_work
        at_work += 1
        await gate.wait()

    worker = EventWorker(make(), handle, concurrency=8, ordered=True)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            while at_work < 6:
                await anyio.sleep(0.005)
            gate.set()
            await worker.shutdown()
