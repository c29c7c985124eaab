"""Answers about streams with many groups: the one that was asked for is there, and the rest is named."""

from typing import Any

from redis.asyncio import Redis

from abe_redis.mcp.overview_length import OVERVIEW_CHARS
from tests.integration.agents import TOPIC, Ask, asking, said, server, text_of
from tests.integration.conftest import MakeBackend

EVENT = '{"type": "message", "text": "hello"}'


async def make_groups(redis: Redis, stream: str, count: int) -> str:
    added: Any = await redis.xadd(stream, {"data": EVENT})
    for number in range(count):
        await redis.xgroup_create(stream, f"group-{number}", "0")
    return str(added.decode())


async def test_the_group_that_was_asked_for_comes_first_and_the_others_are_counted(
    ask: Ask, redis: Redis
) -> None:
    await make_groups(redis, TOPIC, 8)
    answers = [
        await ask("read_stream", waiting=True, group="group-7"),
        await ask("lease_events", group="group-7"),
        await ask("read_stream", pending=True, group="group-7"),
    ]
    for answer in answers:
        (line,) = [one for one in text_of(answer).splitlines() if one.startswith("The stream has")]
        assert line.startswith('The stream has 1 entry. group "group-7":')
        assert line.endswith('; and 3 groups more: stream_stats(stream="slack_events").')
        assert line.count("; group ") == 4
    assert "more:" not in text_of(await ask("stream_stats", stream=TOPIC))


async def test_all_states_of_an_event_and_all_groups_of_a_stream_are_counted(ask: Ask, redis: Redis) -> None:
    entry_id = await make_groups(redis, TOPIC, 23)
    found = text_of(await ask("read_stream", event_id=entry_id))
    assert found.count("\nGroup ") == 20
    assert "\n3 groups more.\n" in found
    shown = text_of(await ask("stream_stats", stream=TOPIC))
    assert shown.endswith("\n3 groups more.")
    assert "and in 20 groups more." in shown


async def test_what_an_agent_holds_is_not_what_is_pending(ask: Ask, redis: Redis) -> None:
    await ask("publish_event", payload=said(1))
    for group in ("others", "agents"):
        await redis.xgroup_create(TOPIC, group, "0")
    await redis.xreadgroup("others", "somebody", {TOPIC: ">"})
    assert text_of(await ask("read_stream", pending=True)).startswith(
        "0 events held by you. You hold nothing"
    )
    await ask("lease_events", group="agents")
    assert text_of(await ask("read_stream", pending=True)).startswith("1 event held by you.")
    there = text_of(await ask("read_stream", pending=True, group="others"))
    assert there.startswith('1 event of "slack_events" pending.')


async def test_a_long_overview_ends_sentences_and_points_at_the_worst_stream(
    make_backend: MakeBackend, redis: Redis
) -> None:
    agent = server(make_backend(redis_stream_patterns="slack_events,slack:*"))
    ask = asking(agent)
    for number in range(3):
        await redis.xadd(f"slack:{number}", {"data": EVENT})
    await make_groups(redis, TOPIC, 12)
    overview = str(next(iter(await agent.read_resource("abe-redis://overview"))).content)
    for text in (text_of(await ask("stream_stats")), overview):
        assert len(text) <= OVERVIEW_CHARS
        assert text.count("a command that the user can run") == 1
        assert 'stream_stats(stream="slack_events") shows all of it.' in text
        assert 'what waits: read_stream(stream="slack_events", group="group-0", waiting=true)' in text
        (cut,) = [line for line in text.splitlines() if line.endswith(" …")]
        assert cut.endswith("`, a command that the user can run) …")
    whole = text_of(await ask("stream_stats", stream=TOPIC))
    assert whole.count("\n- Group 'group-") == 12
