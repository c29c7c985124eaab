"""Counting events by what they have in common."""

from typing import Any, Literal

import pytest
from redis.asyncio import Redis

from abe_redis import Operations
from abe_redis.errors import RequestError
from abe_redis.mcp import event_text
from abe_redis.mcp.agent_events import agent_count
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
