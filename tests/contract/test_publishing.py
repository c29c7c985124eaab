"""The promises of publishing, through the public doors."""

from typing import Any

import pytest

from abe_redis.errors import ClosedError, InvalidNameError, PayloadError
from abe_redis.testing import app_mention, envelope, message
from tests.contract.conftest import Backend, Make
from tests.contract.taking import TOPIC, Stored


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
