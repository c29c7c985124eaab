"""What a read costs when somebody has filled the stream with what is large, deep and many."""

import contextlib
import json
import time
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from mcp.server.fastmcp.exceptions import ToolError
from redis.asyncio import Redis

from abe_redis.events import codec
from abe_redis.events.codec import MAX_PAYLOAD_BYTES
from abe_redis.sanitize import secrets
from abe_redis.streams import names
from tests.attacks.tally import Tally
from tests.integration.agents import asking, server, size
from tests.integration.conftest import MakeBackend

STREAM = "slack_events"
EVENTS = 100


def deep(levels: int, size_of: int) -> dict[str, Any]:
    """An event of that many levels and bytes, of many small parts."""
    leaf: Any = [{"a": number, "b": ["x", {"token": "y"}]} for number in range(size_of // 40)]
    for _ in range(levels):
        leaf = {"text": "a", "in": leaf}
    return {"type": "message", "event": leaf}


KINDS = {
    "deep": json.dumps(deep(50, 250_000)),
    "one long text": json.dumps({"type": "message", "text": "word token=abc " * 16_000}),
    "many fields": json.dumps({"type": "message"} | {f"field-{number}": number for number in range(16_000)}),
    "many texts": json.dumps({"type": "message", "texts": ["xoxb-1234567890 " * 3] * 5000}),
    "empty lists": json.dumps({"type": "message", "lists": [[[]]] * 40_000}),
}


@pytest.mark.promise("A read looks at some 16 MiB at most")
@pytest.mark.anyio
@pytest.mark.parametrize(
    ("kind", "lease"),
    [*((kind, False) for kind in KINDS), ("deep", True), ("many texts", True)],
    ids=lambda of: {False: "look", True: "lease"}.get(of, of),
)
async def test_a_read_of_what_is_large_stays_short_and_lets_others_have_their_turn(
    kind: str, lease: bool, make_backend: MakeBackend, redis: Redis
) -> None:
    """In CPU time of this thread, by that of decoding all once and masking a part of each, and in turns."""
    tally, data = Tally(f"a flood of {kind}"), KINDS[kind].encode()
    for _ in range(EVENTS):
        await redis.xadd(STREAM, {"data": data})
    ask = asking(server(make_backend()))
    began = time.thread_time()
    for _ in range(EVENTS // 10):
        json.loads(data)
    decoding = 10 * (time.thread_time() - began)
    part = data.decode()[:16_000]
    secrets.mask(part)  # which compiles the expressions
    began = time.thread_time()
    for _ in range(EVENTS // 10):
        secrets.mask(part)
    masking = 10 * (time.thread_time() - began)
    turns, is_done = 0, False

    async def count_turns() -> None:
        nonlocal turns
        while not is_done:
            turns += 1
            await anyio.lowlevel.checkpoint()

    await ask("stream_stats")  # which loads what a first call loads
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(count_turns)
        began = time.thread_time()
        tool, more = ("lease_events", {"group": "agents"}) if lease else ("read_stream", {})
        answer = await ask(tool, count=EVENTS, max_chars=200_000, payload="whole", **more)
        took = time.thread_time() - began
        is_done = True
    shown = len(answer.structuredContent["events"])
    work = (
        f"{took:.2f} s for the read, {decoding:.2f} s to decode all, {masking:.2f} s to mask a part of each"
    )
    print(f"{kind}: {shown} events, {work}, {turns} turns")  # noqa: T201
    assert shown
    assert size(answer) <= 200_000
    tally.tried("CPU time", escaped=took > 10 * (decoding + masking))
    tally.tried("turns of the loop", escaped=turns < shown)
    tally.check(least=2)


@pytest.mark.promise("A read looks at some 16 MiB at most")
@pytest.mark.anyio
async def test_a_read_takes_few_bytes_at_once(make_backend: MakeBackend, redis: Redis) -> None:
    large = json.dumps({"type": "message", "text": "x" * (MAX_PAYLOAD_BYTES - 100)})
    for _ in range(6):
        await redis.xadd(STREAM, {"data": large})
    ask = asking(server(make_backend()))
    answer = await ask("read_stream", count=6)
    found = answer.structuredContent
    assert 1 <= len(found["events"]) < 6
    assert found["next_start"] == found["events"][-1]["id"]


@pytest.mark.promise("gives way between events")
@pytest.mark.anyio
@pytest.mark.parametrize("payload", ["none", "event", "whole"])
async def test_whoever_searches_texts_for_secrets_gives_way_between_them(
    payload: str, make_backend: MakeBackend, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted in searches without a turn of the loop between them."""
    text = "name: secret " * 200  # slow to search
    for number in range(40):
        await redis.xadd(STREAM, {"data": json.dumps({"type": "message", "text": f"{number} {text}"})})
    ask, found = asking(server(make_backend())), secrets._found
    in_turn, longest, is_done = 0, 0, False

    def counting(searched: str) -> Any:
        nonlocal in_turn, longest
        in_turn += len(searched) > 1000
        longest = max(longest, in_turn)
        return found(searched)

    async def turns() -> None:
        nonlocal in_turn
        while not is_done:
            in_turn = 0
            await anyio.lowlevel.checkpoint()

    monkeypatch.setattr(secrets, "_found", counting)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(turns)
        answer = await ask("read_stream", count=40, max_chars=60_000, payload=payload)
        is_done = True
    assert len(answer.structuredContent["events"]) == 40
    tally = Tally("a flood of what is slow to search")
    tally.tried(f"searches at a stretch: {longest}", escaped=longest > 20)
    tally.check(least=1)


WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "pending": ("read_stream", {"pending": True, "group": "bot", "count": 100}),
    "held": ("read_stream", {"pending": True, "count": 100}),
    "dead letters": ("read_stream", {"dead": True, "count": 100}),
    "by id": ("read_stream", {"event_id": "nowhere"}),
    "counts": ("count_events", {"by": "type"}),
    "reasons": ("count_events", {"by": "reason"}),
    "chosen": ("lease_events", {"group": "bot", "contains": "nowhere"}),
    "redrive": ("redrive", {"reason": "boom"}),
}


@pytest.mark.promise("gives way between events")
@pytest.mark.anyio
@pytest.mark.parametrize("way", WAYS)
async def test_whatever_looks_at_many_events_gives_way_between_them(
    way: str, make_backend: MakeBackend, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted in decoded events without a turn of the loop between them."""
    tally, data = Tally(f"a flood by way of {way}"), json.dumps({"type": "message", "text": "x" * 20_000})
    events = 30
    for _ in range(events):
        await redis.xadd(STREAM, {"data": data})
        await redis.xadd(names.dead_letters(STREAM), {"data": data, "abe:reason": "boom", "abe:group": "bot"})
    await redis.xgroup_create(STREAM, "bot", "0")
    ask = asking(server(make_backend()))
    if way == "held":
        await ask("lease_events", group="bot", count=events, max_chars=200_000)
    elif way != "chosen":
        await redis.xreadgroup("bot", "worker-1", {STREAM: ">"}, count=events)
    in_turn, longest, is_done = 0, 0, False
    decode = codec.decode

    def counting(fields: codec.Fields) -> dict[str, Any]:
        nonlocal in_turn, longest
        in_turn += 1
        longest = max(longest, in_turn)
        return decode(fields)

    async def turns() -> None:
        nonlocal in_turn
        while not is_done:
            in_turn = 0
            await anyio.lowlevel.checkpoint()

    monkeypatch.setattr(codec, "decode", counting)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(turns)
        tool, arguments = WAYS[way]
        with pytest.raises(ToolError) if way == "by id" else contextlib.nullcontext():  # which is not there
            await ask(tool, **arguments)
        is_done = True
    assert longest, "something was decoded"
    tally.tried("turns of the loop", escaped=longest > 3)
    tally.check(least=1)


@pytest.mark.promise("A read looks at some 16 MiB at most")
@pytest.mark.anyio
@pytest.mark.parametrize("arguments", [{}, {"pending": True, "group": "bot"}, {"pending": True}])
async def test_what_is_pending_is_read_in_few_bytes_too(
    arguments: dict[str, Any], make_backend: MakeBackend, redis: Redis
) -> None:
    large = json.dumps({"type": "message", "text": "x" * (MAX_PAYLOAD_BYTES - 100)})
    for _ in range(6):
        await redis.xadd(STREAM, {"data": large})
    await redis.xgroup_create(STREAM, "bot", "0")
    ask = asking(server(make_backend()))
    for _ in range(3):
        await ask("lease_events", group="bot", count=2)
    answer = await ask("read_stream", count=6, **arguments)
    found = answer.structuredContent
    assert 1 <= len(found["events"]) < 6
    if "group" in arguments:
        assert found["next_start"] == found["events"][-1]["id"]
