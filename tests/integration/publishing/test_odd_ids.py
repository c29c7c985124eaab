"""Ids that are no Unicode, or long: they make an event the same event as any other id does."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from abe_redis import RedisMessageQueueBackend, Settings
from abe_redis.publishing import outbox_delivery, publisher
from abe_redis.testing import InMemoryBackend
from tests.command_line import run_command
from tests.integration.conftest import MakeBackend, take, until
from tests.servers import Server

TOPIC = "slack_events"
ODD = "Ev\ud800"
PAYLOADS: list[dict[str, Any]] = [
    {"type": "event_callback", "event_id": ODD, "event": {"type": "message", "channel": "C\udfff"}},
    {"type": "event_callback", "event_id": "Ev1", "api_app_id": "A\udfff"},
    {"delivery_id": ODD},
    {"delivery_id": "x" * 501},
    {"type": "event_callback", "event_id": "b:c", "api_app_id": "A"},
    {"type": "event_callback", "event_id": "c", "api_app_id": "A:b"},
    # An app that is no string is some app all the same, and none of the others.
    *(
        {"type": "event_callback", "event_id": "Ev2", "api_app_id": app}
        for app in (17, 18, "17", 0, None, ["A"])
    ),
]
SETTINGS: dict[str, Any] = {"redis_stream_event_id": ["delivery_id"]}


@pytest.fixture(params=["redis", "memory"])
def make(request: pytest.FixtureRequest, make_backend: MakeBackend) -> Callable[..., Any]:
    """Makes either kind of back end."""
    if request.param == "redis":
        return make_backend
    return lambda **settings: InMemoryBackend(Settings(**settings))


@pytest.mark.parametrize("grain", ["channel", "thread"])
@pytest.mark.parametrize("partitions", [1, 4])
async def test_each_is_added_once(make: Callable[..., Any], partitions: int, grain: str) -> None:
    backend = make(**SETTINGS, redis_stream_partitions=partitions, redis_stream_conversation=grain)
    done = await backend.publish_many(TOPIC, [{"n": 0}, *PAYLOADS, *PAYLOADS, {"n": 1}])
    count = len(PAYLOADS)
    assert [one.duplicate for one in done] == [False] * (count + 1) + [True] * count + [False]
    given = [await backend.publish_event(TOPIC, {"a": 1}, event_id=f"{ODD}2") for _ in range(2)]
    assert [one.duplicate for one in given] == [False, True]
    async with backend.consume_ordered() as events:
        taken = await take(events, count + 3)
    assert sorted(json.dumps(one) for one in taken) == sorted(
        json.dumps(one) for one in [{"n": 0}, {"n": 1}, {"a": 1}, *PAYLOADS]
    )


@pytest.mark.parametrize("origin", ["\ud800", "grün \udfff", "mcp", "x" * 10_000])
async def test_an_origin_may_be_any_string(make: Callable[..., Any], origin: str) -> None:
    backend = make()
    await backend.publish_event(TOPIC, {"n": 1}, origin=origin)
    await backend.publish_many(TOPIC, [{"n": 2}], origin=origin)
    async with backend.consume() as events:
        shown = {one.origin for one in await take(events, 2)}
    assert shown == {origin.encode(errors="backslashreplace").decode()}


async def test_each_waits_in_the_outbox_and_is_delivered_once(
    own_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "PUBLISH_SECONDS", 0.3)
    monkeypatch.setattr(outbox_delivery, "LOOK_SECONDS", 0.2)
    settings = Settings(
        redis_url=own_server.url,
        redis_outbox=tmp_path / "outbox.db",
        redis_stream_conversation="thread",
        **SETTINGS,
    )
    async with RedisMessageQueueBackend(settings) as backend:
        own_server.stop()
        done = await backend.publish_many(TOPIC, [*PAYLOADS, *PAYLOADS])
        assert all(one.is_kept for one in done)
        own_server.start()

        async def is_empty() -> bool:
            return (await backend.outbox_size()).waiting == 0

        await until(is_empty)
        async with backend.consume() as events:
            assert [dict(one) for one in await take(events, len(PAYLOADS))] == PAYLOADS
    with own_server.admin() as admin:
        assert admin.xlen(TOPIC) == len(PAYLOADS)


def test_the_command_line_takes_them(either_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", either_url)
    for words in (
        ["publish", json.dumps(PAYLOADS[0])],
        ["publish", '{"n": 1}', "--event-id", "Ev\udcff"],
    ):
        for said in ("added as", "already there as"):
            done = run_command(*words)
            assert (done.returncode, done.stderr) == (0, "")
            assert said in done.stdout
