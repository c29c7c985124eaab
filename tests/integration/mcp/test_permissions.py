"""What an agent may do."""

import json
import random
import re
from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis import Operations
from abe_redis.mcp.permissions import Permissions
from abe_redis.streams import names
from tests.integration.agents import GROUP, TOPIC, Ask, asking, lease, refusal, said, server, text_of
from tests.integration.conftest import MakeBackend, take


async def test_a_released_event_is_delivered_again_and_does_not_count(
    ask: Ask, make_backend: MakeBackend
) -> None:
    for number in range(3):
        await ask("publish_event", payload=said(number))
    ids = await lease(ask, 3)
    answer = await ask("release", stream=TOPIC, group=GROUP, ids=[*ids[:2], "1-1"])
    assert answer.structuredContent | {"stream": ""} == {
        "stream": "",
        "group": GROUP,
        "released": ids[:2],
        "buried": [],
        "not_held": [],
        "unknown": ["1-1"],
    }
    async with make_backend().consume(group=GROUP) as events:
        again = await take(events, 2)
        assert {event.id for event in again} == set(ids[:2])
        assert [(event.deliveries, event.origin) for event in again] == [(1, "mcp")] * 2
        answer = await ask("release", stream=TOPIC, group=GROUP, ids=[again[-1].id])
        assert answer.structuredContent["not_held"] == [again[-1].id]
        assert "Not yours" in text_of(answer)


async def test_a_release_with_a_delay(ask: Ask, redis: Redis) -> None:
    await ask("publish_event", payload=said(1))
    ids = await lease(ask, 1)
    await ask("release", stream=TOPIC, group=GROUP, ids=ids, delay_seconds=300)
    assert await lease(ask, 1) == []
    assert await redis.zcard(f"abe:due:{{{TOPIC}}}:{GROUP}") == 1


@pytest.mark.promise("Burying and redriving ask the user where the client can ask")
async def test_burying_wants_a_reason_and_the_user_and_redriving_brings_back(ask: Ask, redis: Redis) -> None:
    for number in range(2):
        await ask("publish_event", payload=said(number))
    ids = await lease(ask, 2)
    assert "say why" in await refusal(ask, "release", stream=TOPIC, group=GROUP, ids=ids, bury=True)
    bury = {"stream": TOPIC, "group": GROUP, "ids": ids, "bury": True, "reason": "spam"}
    assert "confirm=true" in await refusal(ask, "release", **bury)
    assert await redis.xlen("dead:{slack_events}") == 0
    answer = await ask("release", **bury, confirm=True)
    assert answer.structuredContent["buried"] == ids
    letters = (await ask("read_stream", dead=True)).structuredContent["events"]
    assert [(one["untrusted_reason"], one["group"], one["deliveries"]) for one in letters] == [
        ("spam", GROUP, 1)
    ] * 2
    assert {one["first_id"] for one in letters} == set(ids)

    answer = await ask("redrive", reason="spam")
    assert (answer.structuredContent["redriven"], answer.structuredContent["dry_run"]) == (2, True)
    assert "confirm=true" in await refusal(ask, "redrive", reason="spam", dry_run=False)
    assert await redis.xlen("dead:{slack_events}") == 2
    one = letters[0]["id"]
    answer = await ask("redrive", ids=[one], dry_run=False, confirm=True)
    assert (answer.structuredContent["redriven"], answer.structuredContent["left"]) == (1, 1)
    assert (await ask("redrive", event_type="app_mention")).structuredContent["redriven"] == 0
    assert (await ask("redrive")).structuredContent["redriven"] == 1
    assert len(await lease(ask, 10)) == 1


async def test_what_failed_of_late_for_a_reason_is_found_and_redriven(ask: Ask, redis: Redis) -> None:
    now, _ = await redis.time()
    for days, reason in (
        (3, "TimeoutError: after 30 s"),
        (1, "TimeoutError: after 31 s"),
        (0, "KeyError: 'a'"),
    ):
        fields = {
            "data": json.dumps(said(days)),
            "abe:reason": reason,
            "abe:group": GROUP,
            "abe:id": f"{days + 1}-0",
        }
        await redis.xadd("dead:{slack_events}", fields, id=f"{(now - days * 86_400 - 60) * 1000}-0")  # type: ignore[arg-type]
        await redis.xadd(TOPIC, {"data": "{}"})
    shown = text_of(await ask("read_stream", dead=True, since="2d", contains="timeouterror"))
    assert "1 dead letter of" in shown
    assert "after 31 s" in shown
    for kind in ("TimeoutError: after # s", "TimeoutError:  after 31"):
        assert "1 dead letter of" in text_of(await ask("read_stream", dead=True, since="2d", contains=kind))
    assert text_of(await ask("redrive", reason="TimeoutError", since="4d")).startswith("2 dead letters")
    assert text_of(await ask("redrive", since="2d")).startswith("2 dead letters")
    done = text_of(await ask("redrive", reason="TimeoutError", since="2d", dry_run=False, confirm=True))
    assert done.startswith("1 dead letter")
    assert "2 left" in done


async def test_what_is_pending_comes_in_one_order(ask: Ask) -> None:
    await ask("publish_event", payload=said(1))
    await lease(ask, 1)
    for more in ({}, {"group": GROUP}):
        assert "leave out order" in await refusal(ask, "read_stream", pending=True, order="newest", **more)
        assert "1 event" in text_of(await ask("read_stream", pending=True, order="oldest", **more))


@pytest.mark.promise("Every change is written to the stream `abe:audit`")
async def test_every_change_is_written_down(make_backend: MakeBackend, redis: Redis) -> None:
    ask = asking(server(make_backend(), Permissions(create_groups=True, structured=True)))
    await ask("publish_event", payload=said(1))
    ids = await lease(ask, 1)
    await ask("release", stream=TOPIC, group=GROUP, ids=ids)
    ids = await lease(ask, 1)
    await ask("ack", stream=TOPIC, group=GROUP, ids=ids)
    assert (await ask("ack", stream=TOPIC, group=GROUP, ids=ids)).structuredContent["unknown"] == ids
    await ask("redrive", all=True, dry_run=False, confirm=True)  # there is nothing
    await ask("stream_stats")
    await ask("read_stream")
    await ask("lease_events", group="new", create_group=True, count=1)
    bury = {"ids": ids, "bury": True, "reason": "xoxb-123456789012-secretsecret", "confirm": True}
    await ask("release", stream=TOPIC, group="new", **bury)
    letters: Any = await redis.xrange(names.dead_letters(TOPIC))
    letter = letters[0][0].decode()
    await ask("redrive", reason="***", dry_run=False, confirm=True)
    await ask("redrive", all=True, dry_run=False, confirm=True)
    rows: Any = await redis.xrange("abe:audit")
    here = {"stream": TOPIC, "group": GROUP}
    new = {"stream": TOPIC, "group": "new"}
    assert [(fields[b"what"].decode(), json.loads(fields[b"facts"])) for _, fields in rows] == [
        ("publish_event", {"stream": TOPIC, "ids": ids}),
        ("lease_events", {"stream": TOPIC, "created_group": GROUP}),
        ("lease_events", here | {"ids": ids}),
        ("release", here | {"ids": ids}),
        ("lease_events", here | {"ids": ids}),
        ("ack", here | {"ids": ids}),
        ("lease_events", {"stream": TOPIC, "created_group": "new"}),
        ("lease_events", new | {"ids": ids}),
        ("release", new | {"buried": ids, "reason": "***"}),
        ("redrive", {"stream": TOPIC, "ids": [letter], "reason": "***", "redriven": 1}),
    ]
    assert all(fields[b"who"].startswith(b"mcp-") for _, fields in rows)
    assert {fields[b"from"] for _, fields in rows} == {b"mcp"}
    await Operations(make_backend()).publish_event({})
    assert await redis.xlen("abe:audit") == len(rows), "a program's own events are its work"


@pytest.mark.promise("No tool deletes, trims or resets.")
@pytest.mark.promise("A tool that is not allowed is not offered")
async def test_permissions_withhold_tools_and_streams(make_backend: MakeBackend, redis: Redis) -> None:
    backend = make_backend()
    await backend.publish("slack:a", said(1))
    await backend.publish("slack:b", said(2))
    reader = server(backend, Permissions(read_only=True))
    assert [tool.name for tool in await reader.list_tools()] == [
        "stream_stats",
        "read_stream",
        "count_events",
    ]
    ask = asking(reader)
    for tool in ("publish_event", "lease_events", "ack", "release", "redrive"):
        assert "--read-only" in await refusal(ask, tool)

    mute = server(backend, Permissions(publish=False))
    assert "publish_event" not in [tool.name for tool in await mute.list_tools()]
    assert "--no-publish" in await refusal(asking(mute), "publish_event", payload={})

    narrow = asking(server(backend, Permissions(streams=("slack:a", "elsewhere"))))
    streams = (await narrow("stream_stats")).structuredContent["streams"]
    assert [one["stream"] for one in streams] == ["slack:a"]
    assert "may touch" in await refusal(narrow, "read_stream", stream="slack:b")
    assert "may touch" in await refusal(narrow, "publish_event", stream="elsewhere", payload={})
    assert "may touch" in await refusal(narrow, "redrive", stream="slack:b")

    small = asking(server(backend, Permissions(payload_bytes=1000, changes_per_minute=3)))
    assert "1,000 (--max-payload)" in await refusal(small, "publish_event", payload={"x": "y" * 1000})
    for number in range(3):
        await small("publish_event", payload={"n": number})
    assert "try again in" in await refusal(small, "publish_event", payload={})
    assert await redis.xlen(TOPIC) == 3


async def test_malformed_calls_are_told_what_to_do_and_change_nothing(
    ask: Ask, redis: Redis, make_backend: MakeBackend
) -> None:
    """Two hundred calls made from the schemas: each with one thing wrong."""
    chance = random.Random(7)
    await ask("publish_event", payload=said(1))
    before = await redis.xlen(TOPIC), await redis.xlen("abe:audit"), await redis.xinfo_groups(TOPIC)
    tools = {
        tool.name: tool.model_dump(by_alias=True)["inputSchema"]
        for tool in await server(make_backend()).list_tools()
    }
    good: dict[str, Any] = {"payload": {}, "group": GROUP, "by": "type"}
    wrong: list[Any] = [-1, 10**30, 1.5, "x" * 1000, [], [[]], {}, {"a": []}, [None]]
    for number in range(200):
        tool, schema = chance.choice(sorted(tools.items()))
        required = schema.get("required", [])
        arguments = {name: good[name] for name in required}
        if number % 3 == 0 and arguments:
            arguments[chance.choice(sorted(arguments))] = None
        elif number % 3 == 1:
            arguments[chance.choice(["strem", "Count", "__class__", "ids ", ""])] = 1
        else:
            name, of = chance.choice(sorted(schema["properties"].items()))
            arguments[name] = chance.choice([value for value in wrong if not _fits(value, of)])
        if number % 3 == 0 and not required:
            arguments["what"] = None
        words = await refusal(ask, tool, **arguments)
        assert words.startswith("The call was not carried out. "), (tool, arguments, words)
        assert len(words) < 2000
        assert not re.search(r"[Ii]nput|should|validation|Value error", words), words
    after = await redis.xlen(TOPIC), await redis.xlen("abe:audit"), await redis.xinfo_groups(TOPIC)
    assert after == before
    assert len((await ask("read_stream")).structuredContent["events"]) == 1


def _fits(value: Any, schema: dict[str, Any]) -> bool:
    """Whether a value might be right, by its type and the bounds in its description."""
    bounds = re.search(r"\(([\d.]+) to ([\d.]+)\)", schema["description"])
    low, high = map(float, bounds.groups()) if bounds else (0.0, 1e9)
    match schema["type"]:
        case "boolean":
            return value in {0, 1} if isinstance(value, int | float) else False
        case "integer":
            return isinstance(value, int) and low <= value <= high
        case "number":
            return isinstance(value, int | float) and low <= value <= high
        case "string":
            return isinstance(value, str) and len(value) <= 10
        case "object":
            return isinstance(value, dict)
        case _:
            return isinstance(value, list) and bool(value) and all(isinstance(one, str) for one in value)


async def test_what_says_nothing_is_absent(ask: Ask) -> None:
    """Models send empty strings, null and the word null for what they do not mean to say."""
    await ask("publish_event", payload=said(1), event_id="", stream=None)
    for nothing in ("", " ", None, "null", "None"):
        words = dict.fromkeys(("channel", "user", "event_type", "since", "start", "stream"), nothing)
        answer = await ask("read_stream", count=None, pending=None, **words)
        assert len(answer.structuredContent["events"]) == 1, nothing
    assert "0 events" in text_of(await ask("read_stream", contains="null")), "which may be meant"
    await lease(ask, 1)
    wrong: tuple[object, ...] = ("", [])
    for ids in wrong:
        assert "'ids'" in await refusal(ask, "ack", ids=ids), "without ids it is about all"
    assert (await ask("ack", ids=None)).structuredContent["acked"]
