"""One entry that is not as ours are: the others are read all the same, by every way to read."""

import json
import subprocess
from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis import Operations, RedisMessageQueueBackend
from abe_redis.errors import PayloadError
from abe_redis.mcp.permissions import Permissions
from abe_redis.mcp.server import make_server
from abe_redis.operations.audit import changes
from abe_redis.operations.dead_letter_choice import Choice
from abe_redis.operations.dead_letters import DeadLetters
from abe_redis.operations.event_views import DEEPEST
from abe_redis.operations.scope import Scope
from abe_redis.schemas import EventView
from abe_redis.streams import names
from tests.integration.cli.command_runs import run
from tests.integration.conftest import MakeBackend

TOPIC, GROUP, DEAD = "slack_events", "agents", "dead:{slack_events}"
DEEP = [100, 196, 255, 500]
LATE = ["9999999999999999-0", "18446744073709551615-1"]


def nested(levels: int) -> str:
    return '{"in":' * (levels - 1) + "{}" + "}" * (levels - 1)


@pytest.fixture
def operations(backend: RedisMessageQueueBackend) -> Operations:
    return Operations(backend, origin="cli")


def command(redis_url: str, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return run(*arguments, stdin=stdin, REDIS_URL=redis_url)


def depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


def check_cut(events: list[EventView], deep: int) -> None:
    """All but so many are whole, and of those is shown what there is room for."""
    assert [event.truncated for event in events].count(True) == deep
    for event in events:
        if event.truncated:
            assert depth(event.payload) == DEEPEST
            assert '"…"' in json.dumps(event.payload, ensure_ascii=False)
        else:
            assert event.payload == {"n": 1}


async def test_a_deeply_nested_entry_is_shown_cut(
    operations: Operations, redis: Redis, redis_url: str
) -> None:
    for levels in DEEP:
        await redis.xadd(TOPIC, {"data": nested(levels)})
        await redis.xadd(DEAD, {"data": nested(levels), "abe:reason": "x", "abe:group": GROUP})
    await redis.xadd(TOPIC, {"data": '{"n":1}'})
    for how in ({}, {"group": GROUP}, {"group": GROUP, "pending": True}):
        result = await operations.read_stream(**how)
        assert len(result.events) == len(DEEP) + 1
        check_cut(result.events, len(DEEP))
        assert "shortened" not in result.note
        result.model_dump_json()
    check_cut((await operations.read_stream(stream=DEAD)).events, len(DEEP))
    read = command(redis_url, "read", "--json")
    assert read.returncode == 0, read.stderr
    check_cut([EventView.model_validate(one) for one in json.loads(read.stdout)["events"]], len(DEEP))
    for arguments in (("read",), ("dead", "list"), ("dead", "list", "--json")):
        assert command(redis_url, *arguments).returncode == 0


async def test_a_model_is_shown_it_too(make_backend: MakeBackend, redis: Redis) -> None:
    backend = make_backend()

    async def give() -> Operations:
        return Operations(backend, origin="mcp")

    agent = make_server(give, Permissions(structured=True))
    for levels in DEEP:
        await redis.xadd(TOPIC, {"data": nested(levels)})
    await redis.xadd(TOPIC, {"data": '{"n":1}'})
    for tool, how in (
        ("read_stream", {}),
        ("lease_events", {"group": GROUP}),
        ("read_stream", {"group": GROUP, "pending": True}),
    ):
        answer: Any = await agent.call_tool(tool, how | {"max_chars": 20_000, "payload": "whole"})
        events = answer.structuredContent["events"]
        assert [event.get("truncated", False) for event in events].count(True) == len(DEEP)
        assert {"n": 1} in [event["untrusted_payload"] for event in events]


@pytest.mark.parametrize("levels", [101, 500, 3000, 100_000])
async def test_nothing_is_published_that_is_nested_deeply(
    operations: Operations, redis: Redis, redis_url: str, levels: int
) -> None:
    payload: dict[str, Any] = {}
    for _ in range(levels - 1):
        payload = {"in": payload}
    with pytest.raises(PayloadError, match="nothing was published"):
        await operations.publish_event(payload)
    with pytest.raises(PayloadError, match="nothing was published"):
        await operations.publish_many([{"n": 1}, payload])
    while payload:  # level by level: to forget it as a whole takes the interpreter too deep
        payload = payload["in"]
    for arguments in (("-",), ("--lines", "-")):
        refused = command(redis_url, "publish", *arguments, stdin=nested(levels))
        assert refused.returncode == 1
        assert "nested" in refused.stderr
        assert "Traceback" not in refused.stderr
    assert await redis.xlen(TOPIC) == 0
    fine = command(redis_url, "publish", "-", stdin=nested(100))
    assert fine.returncode == 0, fine.stderr


@pytest.mark.parametrize("odd", LATE)
async def test_an_id_whose_time_no_calendar_has(
    operations: Operations, backend: RedisMessageQueueBackend, redis: Redis, redis_url: str, odd: str
) -> None:
    first = (await operations.publish_event({"n": 1})).id
    await redis.xadd(TOPIC, {"data": '{"n":1}'}, id=odd)
    await redis.xadd(DEAD, {"data": '{"n":1}', "abe:reason": "x", "abe:group": GROUP}, id=odd)
    await redis.xadd("abe:audit", {"who": "me", "what": "ack", "facts": "{}"}, id=odd)
    for how in ({"order": "oldest"}, {"group": GROUP}, {"group": GROUP, "pending": True}):
        events = (await operations.read_stream(**how)).events
        assert [event.id for event in events] == [first, odd]
        assert [event.payload for event in events] == [{"n": 1}] * 2
        assert events[1].timestamp.year == 9999
    assert (await operations.read_stream(stream=DEAD)).events[0].timestamp.year == 9999
    (one,) = (await operations.stream_stats(stream=TOPIC)).streams
    assert one.last_at is not None
    assert one.last_at.year == 9999
    assert len((await operations.stream_stats()).streams) == 1
    letters = DeadLetters(Scope(backend))
    assert [letter.id for letter in (await letters.find(TOPIC, Choice(everything=True))).letters] == [odd]
    assert (await letters.find(TOPIC, Choice(older_than_seconds=0))).letters == []
    assert "me" in [change.who for change in (await changes(Scope(backend), count=10)).changes]
    for arguments in (
        ("read", "--json"),
        ("read",),
        ("stats", "--json"),
        ("stats",),
        ("dead", "list"),
        ("audit",),
    ):
        done = command(redis_url, *arguments)
        assert done.returncode == 0, done.stderr
        assert "9999" in done.stdout or arguments == ("stats",)


async def test_a_dead_letter_with_numbers_that_are_none(
    operations: Operations, backend: RedisMessageQueueBackend, redis: Redis
) -> None:
    mine: dict[Any, Any] = {"data": '{"n":1}', "abe:group": GROUP, "abe:reason": "x"}
    for number in ("9" * 6000, "²", "-1", "", "1e3", "\u0663"):
        await redis.xadd(DEAD, mine | {"abe:deliveries": number, "abe:id": f"{number}-{number}"})
    await redis.xadd(DEAD, mine | {"abe:deliveries": "3", "abe:id": "5-0"})
    letters = DeadLetters(Scope(backend))
    found = (await letters.find(TOPIC, Choice(everything=True))).letters
    assert [letter.deliveries for letter in found] == [None] * 6 + [3]
    assert (await operations.redrive(dry_run=True)).redriven == 7
    assert (await operations.redrive(dry_run=False)).redriven == 7
    events = (await operations.read_stream(group=GROUP)).events
    assert [event.payload for event in events] == [{"n": 1}] * 7


async def test_records_and_changes_that_others_wrote(
    operations: Operations, backend: RedisMessageQueueBackend, redis: Redis
) -> None:
    await operations.publish_event({"n": 1})
    await operations.read_stream(group=GROUP)
    odd: dict[Any, Any] = {f"lost {GROUP}": "9" * 6000, f"used {GROUP}": "x"}
    await redis.hset(names.records(TOPIC), mapping=odd)
    (stream,) = (await operations.stream_stats(stream=TOPIC)).streams
    assert stream.groups[0].pending == 1
    await redis.xadd("abe:audit", {"x": "y"})
    for facts in ("[", "[]", nested(300), '{"ids":["1-0"]}'):
        await redis.xadd("abe:audit", {"facts": facts})
    found = (await changes(Scope(backend), count=10)).changes
    assert [change.facts for change in found if not change.who] == [{"ids": ["1-0"]}, {}, {}, {}, {}]


async def test_text_that_only_json_escapes_can_carry_arrives(redis: Redis, redis_url: str) -> None:
    await redis.xadd(TOPIC, {"data": r'{"type": "message", "text": "lone \ud83d"}'})
    await redis.xadd(DEAD, {"data": r'{"type": "message \ud83d", "text": "lone \ud83d"}', "abe:reason": "x"})
    read = command(redis_url, "read", "--json")
    assert read.returncode == 0, read.stderr
    assert json.loads(read.stdout)["events"][0]["payload"]["text"] == "lone \ud83d"
    for arguments in (("read",), ("dead", "list"), ("dead", "list", "--json")):
        done = command(redis_url, *arguments)
        assert done.returncode == 0, done.stderr


@pytest.mark.promise("People who read on the command line see the event as it is.")
async def test_people_are_shown_the_true_event(operations: Operations, redis_url: str) -> None:
    event = {"type": "message", "text": "redis://u:secret@h", "token": "secret", "n": 10**30}
    await operations.publish_event(event)
    read = command(redis_url, "read", "--json")
    assert json.loads(read.stdout)["events"][0]["payload"] == event
    assert "redis://u:secret@h" in command(redis_url, "read").stdout
