"""How much an agent is told."""

import json
import random
import re
from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis.mcp.permissions import Permissions
from abe_redis.schemas import StatsResult
from tests.integration.agents import GROUP, TOPIC, Ask, asking, refusal, said, server, size, text_of
from tests.integration.conftest import MakeBackend
from tests.integration.fences import check_text


@pytest.mark.promise("the length of every answer have bounds.")
@pytest.mark.parametrize(
    ("max_chars", "structured"),
    [(1000, False), (1000, True), (3000, True), (20_000, False), (200_000, False), (200_000, True)],
    ids=lambda of: {False: "text", True: "both"}.get(of, of),
)
async def test_no_answer_is_above_its_budget(
    make_backend: MakeBackend, redis: Redis, max_chars: int, structured: bool
) -> None:
    chance = random.Random(max_chars)
    backend = make_backend()
    ask = asking(server(backend, Permissions(structured=structured)))
    sizes = chance.choices([10, 200, 1000, 20_000, 100_000], weights=[4, 4, 4, 2, 1], k=60) + [50] * 440
    await backend.publish_many(TOPIC, (said(number, "x" * size) for number, size in enumerate(sizes)))
    start, seen = None, 0
    for _ in range(4):
        answer = await ask("read_stream", count=100, order="oldest", max_chars=max_chars, start=start)
        assert size(answer) <= max_chars
        seen += check_text(text_of(answer))
        (start,) = re.findall(r'More: call again with start="(.*)"\.', text_of(answer))
    assert seen >= 4 * min(100, max_chars // (1000 if structured else 600)), "and not much is wasted"
    rows: Any = await redis.xrange(TOPIC, count=seen)
    assert rows[-1][0].decode() == start, "nothing is passed over"
    for more in (
        {"payload": "whole", "order": "oldest"},
        {"payload": "event"},
        {"channel": "C1", "user": "U1", "since": "1h"},
        {"contains": "xxx"},
    ):
        assert size(await ask("read_stream", count=100, max_chars=max_chars, **more)) <= max_chars
    leased = await ask("lease_events", group=GROUP, count=100, max_chars=max_chars)
    assert size(leased) <= max_chars
    rows = await redis.xpending_range(TOPIC, GROUP, "-", "+", 100)
    counted = [row["message_id"].decode() for row in rows if row["times_delivered"]]
    assert counted == re.findall(r"^- (\S+),", text_of(leased), re.MULTILINE), "all are shown"
    held = {"pending": True, "count": 100, "max_chars": max_chars}
    assert size(await ask("read_stream", group=GROUP, **held)) <= max_chars
    assert size(await ask("read_stream", **held)) <= max_chars
    assert size(await ask("stream_stats")) <= 4000


async def test_the_overview_of_a_hundred_streams(make_backend: MakeBackend, redis: Redis) -> None:
    ask = asking(server(make_backend()))
    for number in range(100):
        for _ in range(number % 4 + 1):
            await redis.xadd(f"slack:{number:03}", {"data": "{}"})
        if number % 3:
            await redis.xgroup_create(
                f"slack:{number:03}", f"group-{number}", "0" if number % 3 == 1 else "$"
            )
    answer = await ask("stream_stats")
    assert size(answer) <= 4000
    text, found = text_of(answer), answer.structuredContent
    assert text.startswith("100 streams: 33 stalled, 34 unread, 33 ok.")
    assert {one["health"] for one in found["streams"]} == {"stalled"}, "the worst come first"
    assert len(found["streams"]) + found["omitted"] == 100
    for number in range(100):
        health = ("unread", "stalled", "ok")[number % 3]
        shown = [one["stream"] for one in found["streams"] if one["health"] == health]
        assert f"slack:{number:03}" in [*shown, *found["names"].get(health, ())], "each is named"
        assert f'"slack:{number:03}"' in text
    StatsResult.model_validate(found)


async def test_a_paused_stream_among_others_is_named_and_each_group_is_judged(
    make_backend: MakeBackend, redis: Redis
) -> None:
    ask = asking(server(make_backend()))
    for number in range(12):
        await redis.xadd(f"slack:{number:02}", {"data": "{}"})
        await redis.xgroup_create(f"slack:{number:02}", "workers", "0")
    await redis.hset("abe:groups:{slack:07}", "paused workers", "1")
    told = text_of(await ask("stream_stats"))
    assert re.search(r'^("slack:07": paused|Also paused: "slack:07")', told, re.MULTILINE)
    await redis.xadd(TOPIC, {"data": "{}"}, id="1-1")
    for group in ("slow", "gone"):
        await redis.xgroup_create(TOPIC, group, "0")
    await redis.xadd(TOPIC, {"data": "{}"}, id="1-2")
    await redis.xreadgroup("slow", "worker-1", {TOPIC: ">"}, count=1)
    one = text_of(await ask("stream_stats", stream=TOPIC))
    assert one.startswith('"slack_events": stalled, 2 entries.\n- ')
    assert "'gone' has 0 pending and 2 not delivered" in one
    assert "add consumers or make the handler faster" in one, "of the group that is slow"


async def test_many_groups_with_long_names_fit_too(make_backend: MakeBackend, redis: Redis) -> None:
    ask = asking(server(make_backend()))
    await ask("publish_event", payload=said(1, "x" * 10_000))
    for number in range(200):
        await redis.xgroup_create(TOPIC, f"{number:03}" + "g" * 500, "0")
    first = "000" + "g" * 500
    await redis.xreadgroup(first, "c" * 512, {TOPIC: ">"})
    for more in ({}, {"group": first, "pending": True}, {"payload": "whole"}):
        answer = await ask("read_stream", max_chars=1000, **more)
        assert size(answer) <= 1000
        assert len(answer.structuredContent["events"]) == 1
    for budget, wanted in ((4000, {}), (20_000, {"stream": TOPIC})):
        answer = await ask("stream_stats", **wanted)
        assert size(answer) <= budget
        (stream,) = answer.structuredContent["streams"]
        assert stream["health"] == "stalled"


@pytest.mark.parametrize("letter", ["x", "\u202e", '"'], ids=["plain", "hidden", "quote"])
async def test_the_smallest_answer_holds_the_longest_facts(
    make_backend: MakeBackend, redis: Redis, letter: str
) -> None:
    stream, backend = f"slack:{letter * 150}", make_backend()
    ask = asking(server(backend, Permissions(structured=True)))
    long, name = letter * 300, (letter if letter.isprintable() else "x") * 150
    event = dict.fromkeys(("type", "user", "channel", "thread_ts", "text"), long)
    data = json.dumps({"type": "event_callback", "event_id": long, "event": event})
    facts: Any = dict.fromkeys(("abe:reason", "abe:group", "abe:id"), long)
    entry: Any = await redis.xadd(stream, {"data": data})
    for group in ("a", "b", "c"):
        await redis.xgroup_create(stream, group + name, "0")
        await redis.xreadgroup(group + name, group + name, {stream: ">"})
    await redis.xadd(f"dead:{{{stream}}}", facts | {"data": data, "abe:deliveries": "5"})
    for how in (
        {"event_id": entry.decode()},
        {"pending": True, "group": f"a{name}"},
        {"dead": True},
        {"count": 1},
    ):
        for payload in ("none", "whole"):
            answer = await ask("read_stream", stream=stream, max_chars=1000, payload=payload, **how)
            assert size(answer) <= 1000, (how, text_of(answer), answer.structuredContent)
            assert len(answer.structuredContent["events"]) == 1


async def test_nothing_is_said_that_says_nothing(ask: Ask) -> None:
    await ask("publish_event", payload=said(1, 'hello\n"there"'))
    answer = await ask("read_stream")
    (event,) = answer.structuredContent["events"]
    assert {name: value for name, value in event.items() if name not in {"id", "at"}} == {
        "untrusted_summary": "message in C1 by U1",
        "untrusted_type": "message",
        "untrusted_channel": "C1",
        "untrusted_user": "U1",
        "untrusted_event_id": "Ev1",
        "untrusted_text": 'hello\n"there"',
    }
    (line,) = [line for line in text_of(answer).split("\n") if line.startswith("- ")]
    assert line.endswith(r': message in C1 by U1, Ev1: "hello\n\"there\""')


async def test_words_are_whole_and_a_line_long_unless_more_is_asked_for(make_backend: MakeBackend) -> None:
    ask = asking(server(make_backend(), Permissions()))
    for number in range(11):
        payload = said(number, "m" * 180, type="app_mention", blocks=[{"elements": ["x" * 900]}])
        await ask("publish_event", payload=payload | {"authorizations": [{"team_id": "T1"}] * 9})
    told = text_of(await ask("read_stream", count=11))
    assert told.count("m" * 180) == 11
    assert len(told) < 4000
    assert "authorizations" not in told
    assert '"blocks"' in text_of(await ask("read_stream", count=1, payload="event"))
    assert '"authorizations"' not in text_of(await ask("read_stream", count=1, payload="event"))
    assert '"authorizations"' in text_of(await ask("read_stream", count=1, payload="whole"))


async def test_an_event_with_a_masked_secret_says_so(ask: Ask) -> None:
    await ask("publish_event", payload=said(1, "use xoxb-123456789012-secretsecret"))
    await ask("publish_event", payload=said(2, "this is *** bold ***"))
    answer = await ask("read_stream", order="oldest")
    assert [event.get("masked", False) for event in answer.structuredContent["events"]] == [True, False]
    assert text_of(answer).count("(a secret is masked)") == 1
    nothing = text_of(await ask("read_stream", contains="xoxb-123456789012-secretsecret"))
    assert nothing.startswith("0 events"), "nobody finds out a secret by guessing at it"


async def test_counts_and_groups_come_before_content(ask: Ask) -> None:
    for number in range(3):
        await ask("publish_event", payload=said(number))
    await ask("lease_events", group=GROUP, count=1)
    answer = await ask("read_stream", count=1)
    lines = text_of(answer).split("\n")
    assert lines[1] == 'The stream has 3 entries. group "agents": 1 pending, 2 not delivered.'
    assert answer.structuredContent["groups"] == [{"name": "agents", "pending": 1, "lag": 2}]


async def test_filters_choose_by_channel_user_type_and_time(ask: Ask) -> None:
    for number in range(12):
        await ask("publish_event", payload=said(number))

    async def found(**wanted: Any) -> list[int]:
        events = (await ask("read_stream", order="oldest", count=100, **wanted)).structuredContent["events"]
        return [int(event["untrusted_event_id"][2:]) for event in events]

    assert await found(channel="C1") == [1, 4, 7, 10]
    assert await found(channel="C1", user="U0") == [4, 10]
    assert await found(event_type="app_mention") == []
    assert await found(since="1h") == list(range(12))
    assert await found(since="2999-01-01T00:00") == []
    fourth = (await ask("read_stream", order="oldest")).structuredContent["events"][3]["id"]
    assert await found(since=fourth) == list(range(3, 12))
    assert await found(until=fourth) == list(range(3))
    assert await found(until="now") == list(range(12))
    assert await found(until="1h") == []
    before = (await ask("read_stream", until=fourth, count=2)).structuredContent
    assert [event["untrusted_event_id"] for event in before["events"]] == ["Ev2", "Ev1"]
    counted = (await ask("count_events", by="type", until=fourth)).structuredContent
    assert (counted["total"], counted["searched"]) == (3, 3)
    newest = (await ask("read_stream", since=fourth, count=100)).structuredContent
    assert len(newest["events"]) == 9
    assert "next_start" not in newest
    assert "are for pending=true" in await refusal(ask, "read_stream", group=GROUP)
    assert "stands for itself" in await refusal(ask, "read_stream", group=GROUP, pending=True, user="U1")
    assert "no point in a stream" in await refusal(ask, "read_stream", since="yesterday")
