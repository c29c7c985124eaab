"""What the operations refuse, each with a sentence, and without a change."""

from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis import Operations
from abe_redis.errors import (
    AbeRedisError,
    InvalidArgumentError,
    InvalidNameError,
    PayloadError,
    PayloadTooLargeError,
    RequestError,
)
from tests.integration.operations.numbered_streams import fill, operations

__all__ = ["operations"]


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


async def test_an_end_before_the_beginning_is_refused(operations: Operations) -> None:
    await fill(operations, 1)
    with pytest.raises(InvalidArgumentError, match="until is '2h', which lies before since, '1h'"):
        await operations.read_stream(since="1h", until="2h")
    with pytest.raises(InvalidArgumentError, match="Exchange them"):
        await operations.count_events(by="type", since="1h", until="2h")
    with pytest.raises(InvalidArgumentError, match="until is '2h', which lies before since, '1h'"):
        await operations.redrive(stream="slack_events", since="1h", until="2h")
    assert (await operations.read_stream(since="2h", until="1h")).events == []


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
