"""Counting events by what they have in common."""

from typing import Any, Literal

import pytest
from redis.asyncio import Redis

from abe_redis import Operations
from abe_redis.errors import RequestError
from abe_redis.mcp import event_text
from abe_redis.mcp.agent_events import agent_count
from abe_redis.streams import names
from tests.integration.agents import TOPIC
from tests.integration.conftest import MakeBackend
from tests.integration.operations.agents import DEAD, agent, fill

__all__ = ["agent"]


async def test_events_are_counted_by_what_they_have_in_common(agent: Operations, redis: Redis) -> None:
    await fill(agent, 12)
    for number, reason in enumerate(["failed 3 times", "failed 5 times", "no JSON"]):
        await redis.xadd(
            DEAD, {"data": "{}", "abe:reason": reason, "abe:group": "g", "abe:id": f"1-{number}"}
        )

    async def counts(**how: Any) -> dict[str, int]:
        return {row.value: row.count for row in (await agent.count_events(**how)).rows}

    assert await counts(by="channel") == {"C0": 4, "C1": 4, "C2": 4}
    assert await counts(by="user", channel="C1") == {"U0": 2, "U1": 2}
    assert await counts(by="type", contains="nothing of the kind") == {}
    assert await counts(by="thread") == {"C0": 4, "C1": 4, "C2": 4}
    assert sum((await counts(by="day", since="1d")).values()) == 12
    assert await counts(by="hour", since="2999-01-01T00:00") == {}
    assert await counts(by="reason") == {"failed # times": 2, "no JSON": 1}
    assert await counts(by="group") == {"g": 3}
    assert await counts(by="type", dead=True) == {"(none)": 3}
    one = await agent.count_events(by="channel", count=1)
    assert (len(one.rows), one.omitted, one.total, one.searched, one.complete) == (1, 2, 12, 12, True)
    with pytest.raises(RequestError, match="does not exist"):
        await agent.count_events(by="type", stream="slack:gone")


@pytest.mark.parametrize(("by", "apart"), [("hour", 3600), ("day", 86400)])
async def test_of_many_hours_or_days_the_last_ones_are_shown(
    agent: Operations, redis: Redis, by: Literal["hour", "day"], apart: int
) -> None:
    for past, count in enumerate((3, 1, 4, 2)):
        for number in range(count):
            await redis.xadd("slack_events", {"data": "{}"}, id=f"{1000 * apart * (past + 1)}-{number}")
    found = await agent.count_events(by=by, count=2)
    assert [row.count for row in found.rows] == [4, 2]
    assert (found.omitted, found.total) == (2, 10)
    assert event_text.counted(agent_count(found), "fence").endswith(
        "2 rows more, all earlier: give a larger count, or filters."
    )


async def test_a_count_ends_somewhere_and_says_where(
    agent: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("abe_redis.operations.counting._SEARCHED", 5)
    monkeypatch.setattr("abe_redis.operations.counting._PAGE", 5)
    monkeypatch.setattr("abe_redis.operations.counting._MOST_ROWS", 2)
    await fill(agent, 12)
    found = await agent.count_events(by="channel")
    assert (found.searched, found.total, found.complete) == (5, 5, False)
    assert found.back_to is not None
    assert {row.value for row in found.rows} == {"C2", "C1", "(all others)"}


async def spread(make_backend: MakeBackend) -> tuple[Operations, list[str]]:
    """Events of five channels: of each one from before the topic had partitions, and two from after."""
    one, four = make_backend(), make_backend(redis_stream_partitions=4)
    for backend, times in ((one, 1), (four, 2)):
        for number in range(5 * times):
            await backend.publish(TOPIC, {"type": "message", "channel": f"C{number % 5}", "user": "U1"})
    agent = Operations(one, origin="mcp")  # which knows of no partitions
    return agent, [part.stream for part in await agent.glance()]


async def test_a_topic_with_partitions_is_counted_as_a_whole(make_backend: MakeBackend) -> None:
    agent, streams = await spread(make_backend)
    assert len(streams) > 2
    found = await agent.count_events(by="channel")
    assert {row.value: row.count for row in found.rows} == {f"C{number}": 3 for number in range(5)}
    assert (found.total, found.searched, found.complete) == (15, 15, True)
    assert [part.stream for part in found.streams] == streams
    assert sum(part.total for part in found.streams) == 15
    assert found.streams[0].total == 5
    text = event_text.counted(agent_count(found), "fence")
    assert f'Its streams are counted together: "{TOPIC}" 5, "{streams[1]}"' in text
    alone = await agent.count_events(by="channel", stream=streams[1])
    assert (alone.total, alone.streams) == (found.streams[1].total, [])
    assert (await agent.count_events(by="channel", channel="C3")).total == 3


async def test_what_waits_and_dead_letters_of_a_topic_are_counted_as_a_whole(
    make_backend: MakeBackend, redis: Redis
) -> None:
    agent, streams = await spread(make_backend)
    assert (await agent.count_events(by="type", waiting=True)).total == 15, "nobody has begun"
    for stream in streams[:-1]:  # to the last one the group has not come
        await redis.xgroup_create(stream, "g", "0")
    rows: Any = await redis.xreadgroup("g", "c", {TOPIC: ">"}, count=2)
    await redis.xack(TOPIC, "g", *[entry_id for entry_id, _ in rows[0][1]])
    for named in (None, "g"):
        found = await agent.count_events(by="type", waiting=True, group=named)
        assert (found.group, found.total, found.complete, found.streams[0].total) == ("g", 13, True, 3)
    with pytest.raises(RequestError, match="no group 'typo'"):
        await agent.count_events(by="type", waiting=True, group="typo")
    await redis.xgroup_create(streams[1], "other", "0")
    with pytest.raises(RequestError, match="2 groups of the stream 'slack_events' have unfinished events"):
        await agent.count_events(by="type", waiting=True)
    assert (await agent.count_events(by="reason")).total == 0
    for number, stream in enumerate(streams[1:3]):
        await redis.xadd(names.dead_letters(stream), {"data": "{}", "abe:reason": f"failed {number} times"})
    dead = await agent.count_events(by="reason")
    assert (dead.total, dead.dead) == (2, True)
    assert [part.stream for part in dead.streams] == streams[1:3]


async def test_a_bound_is_shared_by_the_partitions_of_a_topic(
    make_backend: MakeBackend, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest of all of them are looked at, however the events are spread."""
    monkeypatch.setattr("abe_redis.operations.counting._SEARCHED", 6)
    agent, streams = await spread(make_backend)
    await redis.xtrim(streams[1], maxlen=0)
    for second in range(1, 9):
        await redis.xadd(streams[1], {"data": '{"type": "late"}'}, id=f"{33_000_000_000_000 + second}-0")
    found = await agent.count_events(by="type")
    assert found.searched == 6
    assert not found.complete
    assert {row.value for row in found.rows} >= {"late"}
    assert found.streams[1].total >= 2
    assert found.streams[0].searched <= 2


async def test_a_topic_that_is_not_there_yet_has_nothing_to_count(agent: Operations, redis: Redis) -> None:
    ways: list[dict[str, Any]] = [{}, {"dead": True}, {"waiting": True}]
    for how in ways:
        found = await agent.count_events(by="type", **how)
        assert (found.total, found.rows, found.complete) == (0, [], True)
    assert "does not exist (yet)" in (await agent.count_events(by="type")).note
    for how in ways:
        with pytest.raises(RequestError, match="does not exist"):
            await agent.count_events(by="type", stream="slack:gone", **how)
    with pytest.raises(RequestError):
        await agent.count_events(by="type", waiting=True, group="typo")
    await redis.set(TOPIC, "x")
    with pytest.raises(RequestError, match="is a string"):
        await agent.count_events(by="type")
