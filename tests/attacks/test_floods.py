"""What a read costs when somebody has filled the stream with what is large, deep and many."""

import json
import time
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from redis.asyncio import Redis

from abe_redis.events.codec import MAX_PAYLOAD_BYTES
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
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lease", [False, True], ids=["look", "lease"])
async def test_a_read_of_what_is_large_stays_short_and_lets_others_have_their_turn(
    kind: str, lease: bool, make_backend: MakeBackend, redis: Redis
) -> None:
    """In CPU time of this thread, by that of decoding all that is read once, and in turns of the loop."""
    tally, data = Tally(f"a flood of {kind}"), KINDS[kind].encode()
    for _ in range(EVENTS):
        await redis.xadd(STREAM, {"data": data})
    ask = asking(server(make_backend()))
    began = time.thread_time()
    for _ in range(EVENTS):
        json.loads(data)
    decoding = time.thread_time() - began
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
    print(f"{kind}: {shown} events, {took:.2f} s for the read, {decoding:.2f} s to decode all, {turns} turns")  # noqa: T201
    assert shown
    assert size(answer) <= 200_000
    tally.tried("CPU time", escaped=took > 10 * decoding + 8)
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
