"""What a tool tells an agent can be done with its tools, and says how much is missing."""

import json
import re
from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis.mcp.permissions import Permissions
from abe_redis.streams import dead_fields, names
from tests.integration.agents import GROUP, TOPIC, Ask, asking, refusal, said, server, text_of
from tests.integration.conftest import MakeBackend


async def bury(ask: Ask) -> str:
    """The id of a dead letter of the topic."""
    await ask("publish_event", payload=said(1))
    await ask("lease_events", group=GROUP, count=1)
    await ask("release", bury=True, reason="its file is gone", confirm=True)
    (event,) = (await ask("read_stream", dead=True)).structuredContent["events"]
    return str(event["id"])


async def test_the_advice_about_dead_letters_is_a_call_that_shows_them(make_backend: MakeBackend) -> None:
    agent = server(make_backend())
    ask = asking(agent)
    entry_id = await bury(ask)
    for advice in (
        text_of(await ask("stream_stats")),
        text_of(await ask("stream_stats", stream=TOPIC)),
        str(next(iter(await agent.read_resource("abe-redis://overview"))).content),
        (await ask("stream_stats")).structuredContent["streams"][0]["advice"],
    ):
        (call,) = re.findall(r"read it with read_stream\(stream=\"(.*?)\", dead=true\)", advice)
        assert entry_id in text_of(await ask("read_stream", stream=call, dead=True))
        assert "abe-redis " not in advice


async def test_a_command_without_a_tool_is_the_users(make_backend: MakeBackend, redis: Redis) -> None:
    ask = asking(server(make_backend()))
    await ask("publish_event", payload=said(1))
    await ask("lease_events", group=GROUP)
    await ask("ack")
    await ask("publish_event", payload=said(2))
    await redis.hset(names.records(TOPIC), f"floor {GROUP}", "0-1 0 1")
    await redis.xgroup_destroy(TOPIC, GROUP)
    advice = text_of(await ask("stream_stats"))
    assert f"`abe-redis worker MODULE:HANDLER --group {GROUP}`, a command that the user can run" in advice
    assert f"`abe-redis group remove {TOPIC} {GROUP}` says what" in advice, "that was said once"


async def test_a_redrive_names_the_ids_that_no_dead_letter_has(ask: Ask) -> None:
    entry_id = await bury(ask)
    for arguments in ({}, {"dry_run": False, "confirm": True}):
        answer = text_of(await ask("redrive", ids=["5-5"], **arguments))
        assert "No dead letter of it has the id 5-5." in answer
        assert "is delivered again" not in answer
        assert "read_stream(stream=" in answer
    answer = await ask("redrive", ids=["5-5", entry_id], dry_run=False, confirm=True)
    assert "1 dead letter of" in text_of(answer)
    assert "No dead letter of it has the id 5-5." in text_of(answer)
    assert answer.structuredContent["unknown"] == ["5-5"]


@pytest.mark.parametrize("most", [60, 7200])
async def test_a_tools_schema_has_this_servers_longest_delay(make_backend: MakeBackend, most: int) -> None:
    agent = server(make_backend(), Permissions(max_delay_seconds=most))
    (tool,) = [one for one in await agent.list_tools() if one.name == "release"]
    assert f"(0 to {most})." in tool.inputSchema["properties"]["delay_seconds"]["description"]
    for seconds in (most + 1, 1e9):
        assert f"between 0 and {most}" in await refusal(asking(agent), "release", delay_seconds=seconds)


@pytest.mark.parametrize("length", [30_000, 45_000, 300_000])
@pytest.mark.parametrize("max_chars", [8000, 200_000])
@pytest.mark.parametrize("arguments", [{}, {"payload": "whole"}, {"event_id": "Ev1"}])
async def test_what_is_missing_of_a_long_text_is_counted(
    make_backend: MakeBackend, length: int, max_chars: int, arguments: dict[str, Any]
) -> None:
    backend = make_backend()
    await backend.publish(TOPIC, said(1, "m" * length, thread_ts="1732000000.000100", ts="1732000001.000100"))
    ask = asking(server(backend, Permissions()))
    answer = text_of(await ask("read_stream", max_chars=max_chars, **arguments))
    shown = len(max(re.findall("m{100,}", answer), key=len, default=""))
    missing = re.findall(r"…\(\+(\d+) characters\)", answer)
    assert [shown + int(one) for one in missing] == [length] * len(missing)
    assert bool(missing) == (shown < length)
    assert ("shortened" in answer) == bool(missing)
    assert shown >= min(length, max_chars) // 8
    assert len(answer) <= max_chars
    assert "thread 1732000000.000100" in answer


async def dead_letters(redis: Redis, *reasons: str) -> None:
    await redis.xadd(TOPIC, {"data": json.dumps(said(1))})
    for reason in reasons:
        fields: Any = {"data": json.dumps(said(2)), dead_fields.REASON: reason, dead_fields.GROUP: "bot"}
        await redis.xadd(names.dead_letters(TOPIC), fields)


@pytest.mark.promise("Filters match only what is shown")
async def test_no_filter_by_reason_gives_out_what_is_masked(ask: Ask, redis: Redis) -> None:
    await dead_letters(redis, "HttpError: 401, Authorization: Bearer q7Zk2pXw9vM4")
    hits = 0
    for guess in ("Bearer q7Z", "bearer q", "q7Zk2pXw9vM4", "Xw9"):
        for tool, arguments in (
            ("redrive", {"reason": guess}),
            ("read_stream", {"dead": True, "contains": guess}),
            ("count_events", {"by": "reason", "contains": guess}),
        ):
            hits += not text_of(await ask(tool, **arguments)).startswith("0 ")
    assert hits == 0
    assert text_of(await ask("redrive", reason="HttpError: 401")).startswith("1 dead letter")


@pytest.mark.parametrize(
    "reason", ["JiraError: 401 xoxb-1234567890-secretsecret", "ValueError: 'C024' is\nnot"]
)
async def test_the_reason_that_is_shown_is_one_that_finds(ask: Ask, redis: Redis, reason: str) -> None:
    await dead_letters(redis, reason, reason, "another")
    (event, *_) = (await ask("read_stream", dead=True, order="oldest")).structuredContent["events"]
    rows = (await ask("count_events", by="reason")).structuredContent["rows"]
    for shown in (event["untrusted_reason"], rows[0]["untrusted_value"]):
        assert text_of(await ask("redrive", reason=shown)).startswith("2 dead letters"), shown
    found = await ask("read_stream", dead=True, contains=reason.partition(" ")[0])
    assert len(found.structuredContent["events"]) == 2


async def test_a_choice_that_gave_up_says_that_more_wait(ask: Ask, redis: Redis) -> None:
    pipeline = redis.pipeline()
    for number in range(700):
        pipeline.xadd(TOPIC, {"data": json.dumps(said(number))})
    await pipeline.execute()
    await redis.xgroup_create(TOPIC, "bot", "0")
    assert "More wait behind them" in text_of(await ask("lease_events", group="bot", contains="nowhere"))
    await redis.xtrim(TOPIC, maxlen=300, approximate=False)
    answer = text_of(await ask("lease_events", group="bot", contains="nowhere"))
    assert "None of the 300 that wait and were looked at matches." in answer


@pytest.mark.parametrize("merges", [False, True])
async def test_an_agent_takes_no_id_away_from_the_real_event(make_backend: MakeBackend, merges: bool) -> None:
    backend = make_backend(redis_stream_merge_mentions=merges)
    ask = asking(server(backend))
    mention = {"type": "app_mention", "channel": "C1", "user": "U1", "ts": "1732000000.000100"}
    envelope = {"type": "event_callback", "event_id": "Ev7", "team_id": "T1", "api_app_id": "A1"}
    fake = envelope | {"event": mention | {"text": "fake"}}
    first = (await ask("publish_event", payload=fake)).structuredContent
    assert (await ask("publish_event", payload=fake)).structuredContent["id"] == first["id"]
    real = await backend.publish_event(TOPIC, envelope | {"event": mention | {"text": "real"}})
    message = {"event_id": "Ev8", "event": mention | {"type": "message", "text": "real"}}
    await backend.publish_event(TOPIC, envelope | message)
    assert (real.duplicate, real.id == first["id"]) == (False, False)
    assert "real" in text_of(await ask("read_stream"))
    again = await ask("publish_event", payload=envelope | {"event": mention})
    assert again.structuredContent["id"] == real.id, "what is there already is not added by an agent"
    found = text_of(await ask("read_stream", event_id="Ev7"))
    assert real.id in found


async def test_a_lease_goes_on_behind_what_it_buries(make_backend: MakeBackend, redis: Redis) -> None:
    await redis.xadd(TOPIC, {"data": "no JSON"})
    await redis.xadd(TOPIC, {"data": json.dumps(said(1))})
    await redis.xgroup_create(TOPIC, GROUP, "0")
    answer = text_of(await asking(server(make_backend()))("lease_events", group=GROUP, count=1))
    assert answer.startswith("1 event ")
    assert "1 that could not be decoded" in answer


async def test_one_streams_groups_and_consumers_stand_in_the_text_too(ask: Ask, redis: Redis) -> None:
    for number in range(3):
        await ask("publish_event", payload=said(number))
    for group in ("bot", "archive"):
        await redis.xgroup_create(TOPIC, group, "0")
    await redis.xreadgroup("bot", "w9", {TOPIC: ">"}, count=2)
    answer = text_of(await ask("stream_stats", stream=TOPIC))
    assert 'Group "archive": 0 pending; 3 not delivered.' in answer
    assert re.search(r'Group "bot": 2 pending; 1 not delivered; pending by age: 2 under 10s', answer)
    assert re.search(r'  Consumer "w9": alive, holds 2, \d+-\d for \d+ s\.', answer)
    assert "Consumer" not in text_of(await ask("stream_stats"))


async def test_what_one_holds_is_shown_page_by_page(ask: Ask, redis: Redis) -> None:
    for number in range(7):
        await ask("publish_event", payload=said(number))
    for group in (GROUP, "bot"):
        if group == "bot":
            await redis.xgroup_create(TOPIC, group, "0")
        await ask("lease_events", group=group, count=7)
    found, start = list[tuple[str, str]](), None
    for _ in range(9):
        answer = await ask("read_stream", pending=True, count=3, start=start)
        found += [(event["id"], event["group"]) for event in answer.structuredContent["events"]]
        start = answer.structuredContent.get("next_start")
        assert (f'start="{start}"' in text_of(answer)) == (start is not None)
        if start is None:
            break
    assert len(found) == len(set(found)) == 14
    assert found == sorted(found, key=lambda one: one[0])
    answer = text_of(await ask("read_stream", pending=True, start=found[-1][0]))
    assert "You hold 14; these are 0 of them." in answer


@pytest.mark.parametrize(
    "arguments",
    [
        {"pending": True, "consumer": "worker-1"},
        {"event_id": "Ev1", "start": "1-0"},
        {"event_id": "Ev1", "group": GROUP},
        {"event_id": "Ev1", "consumer": "worker-1"},
        {"event_id": "Ev1", "wait_seconds": 1},
    ],
)
async def test_what_a_look_cannot_heed_is_refused(ask: Ask, arguments: dict[str, Any]) -> None:
    await ask("publish_event", payload=said(1))
    ignored = list(arguments)[-1]
    assert ignored in await refusal(ask, "read_stream", **arguments)


async def test_a_group_in_which_the_server_does_not_work_is_not_proposed(
    make_backend: MakeBackend, redis: Redis
) -> None:
    backend = make_backend()
    ask, everybody = asking(server(backend, Permissions(groups=(GROUP,)))), asking(server(backend))
    await ask("publish_event", payload=said(1))
    await redis.xgroup_create(TOPIC, "bot", "0")
    assert "To work on one" not in text_of(await ask("read_stream"))
    assert 'group="bot"' in text_of(await everybody("read_stream"))
    await redis.xgroup_create(TOPIC, GROUP, "0")
    assert "To work on one" in text_of(await ask("read_stream"))


async def test_a_redrive_says_which_groups_it_may_not_serve(make_backend: MakeBackend, redis: Redis) -> None:
    await dead_letters(redis, "boom", "boom")
    backend = make_backend()
    ask = asking(server(backend, Permissions(groups=(GROUP,), structured=True)))
    shown = await ask("read_stream", dead=True)
    (first, _) = [event["id"] for event in shown.structuredContent["events"]]
    assert "To deliver one again" not in text_of(shown), "this server cannot"
    why = 'This server does not work in the group "bot", only in: "agents" (--groups).'
    for arguments in ({"all": True}, {"ids": [first]}, {"group": "bot"}, {"reason": "boom"}):
        for doing in ({}, {"dry_run": False, "confirm": True}):
            answer = text_of(await ask("redrive", **arguments, **doing))
            assert f"{1 if 'ids' in arguments else 2} chosen one" in answer
            assert why in answer
            assert "dead=true" not in answer, "which shows what was chosen already"
    fields: Any = {"data": json.dumps(said(3)), dead_fields.REASON: "boom", dead_fields.GROUP: GROUP}
    await redis.xadd(names.dead_letters(TOPIC), fields)
    answer = text_of(await ask("redrive", all=True, dry_run=False, confirm=True))
    assert answer.startswith(
        '1 dead letter of "slack_events" is delivered again (1 to group "agents"); 2 left.'
    )
    assert why in answer
    everybody = asking(server(backend))
    assert "To deliver one again" in text_of(await everybody("read_stream", dead=True))


@pytest.mark.parametrize("structured", [False, True])
async def test_events_with_their_json_keep_their_words(make_backend: MakeBackend, structured: bool) -> None:
    """Fewer of them fit into an answer, and it says where to go on; none is left without text and JSON."""
    backend = make_backend()
    words = [f"text number {number} of many" for number in range(60)]
    await backend.publish_many(TOPIC, [said(number, text, pad="x" * 90) for number, text in enumerate(words)])
    ask = asking(server(backend, Permissions(structured=structured)))
    for payload in ("whole", "event"):
        seen, calls = list[str](), 0
        more: dict[str, str] = {}
        while calls == 0 or more:
            text = text_of(await ask("read_stream", count=100, payload=payload, order="oldest", **more))
            assert len(text) <= 8000
            shown = [one for one in words if f'"text":"{one}"' in text]
            assert shown == words[len(seen) : len(seen) + len(shown)]
            assert len(shown) == text.count("\n- ")
            seen += shown
            found = re.search(r'More: call again with start="(.*?)"', text)
            more, calls = {"start": found[1]} if found else {}, calls + 1
        assert seen == words
        assert calls < 12


async def test_an_entry_is_a_resource_without_more_behind_it(make_backend: MakeBackend, redis: Redis) -> None:
    agent = server(make_backend())
    for entry_id in ("1732000000000-1", "1732000000000-2"):
        await redis.xadd(TOPIC, {"data": json.dumps(said(1))}, id=entry_id)
    (found,) = await agent.read_resource(f"abe-redis://streams/{TOPIC}/entries/1732000000000-1")
    assert "- 1732000000000-1, 2024-11-19" in str(found.content)
    assert "More:" not in str(found.content)


async def test_an_agent_is_told_of_a_stream_that_its_misspelling_made(make_backend: MakeBackend) -> None:
    ask = asking(server(make_backend()))
    answer = text_of(await ask("publish_event", payload={"n": 1}, stream="slack:nowhere"))
    assert "That is a new stream, which no group reads yet" in answer
    assert "reads like a pattern" in await refusal(ask, "publish_event", payload={"n": 1}, stream="slack:*")


async def test_one_dead_letter_is_one(make_backend: MakeBackend) -> None:
    ask = asking(server(make_backend()))
    await bury(ask)
    assert "There is 1 dead letter." in text_of(await ask("read_stream", dead=True))


async def test_an_event_that_the_agent_holds_is_shown_as_its_own(make_backend: MakeBackend) -> None:
    ask = asking(server(make_backend()))
    await ask("publish_event", payload=said(1))
    await ask("lease_events", group=GROUP)
    found = await ask("read_stream", event_id="Ev1")
    (event,), (state,) = found.structuredContent["events"], found.structuredContent["handled"]
    assert state["yours"] is True
    assert f'Group "{GROUP}": held by you for' in text_of(found)
    assert "lease_events(" not in text_of(found)
    own = f'ids=["{event["id"]}"]'
    assert f"When done: ack({own}); to give it back, postpone or bury: release({own})." in text_of(found)
    other = await asking(server(make_backend()))("read_stream", event_id="Ev1")
    assert "you" not in text_of(other).partition("Between <")[0]
    assert (await ask("ack", ids=[event["id"]])).structuredContent["acked"] == [event["id"]]


async def test_the_next_step_names_the_group_that_was_asked_about(
    make_backend: MakeBackend, redis: Redis
) -> None:
    ask = asking(server(make_backend()))
    await ask("publish_event", payload=said(1))
    for group in (GROUP, "bot"):
        await redis.xgroup_create(TOPIC, group, "0")
    call = f'lease_events(stream="{TOPIC}", group="{{}}", ids=["ID"])'
    waiting = await ask("read_stream", waiting=True, group=GROUP)
    assert call.format(GROUP) in text_of(waiting)
    assert call.format("GROUP") in text_of(await ask("read_stream"))
    modes = Permissions(structured=True, groups=(GROUP,))
    others = await asking(server(make_backend(), modes))("read_stream", waiting=True, group="bot")
    assert "lease_events(" not in text_of(others), "where it may not work"


async def test_an_agent_that_may_not_make_a_group_reads_why(make_backend: MakeBackend, redis: Redis) -> None:
    ask = asking(server(make_backend()))
    await ask("publish_event", payload=said(1))
    await redis.xgroup_create(TOPIC, "bot", "0")
    why = ": a new group holds back the trimming of the stream. A person makes it with"
    asked = await refusal(ask, "lease_events", group="mine", create_group=True)
    assert f"This server does not allow create_group{why}" in asked
    assert f"Agents may not make it{why}" in await refusal(ask, "lease_events", group="mine")
