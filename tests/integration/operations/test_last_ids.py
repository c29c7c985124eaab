"""Entries whose ids are the largest that Redis knows are looked at and settled as others."""

import pytest
from redis.asyncio import Redis

from abe_redis import Operations
from abe_redis.errors import RequestError
from abe_redis.streams.ids import LAST
from tests.integration.conftest import MakeBackend

FAR, GROUP = "slack:far", "agents"


@pytest.fixture
async def agent(make_backend: MakeBackend, redis: Redis) -> Operations:
    for entry_id in ("5-1", LAST):
        await redis.xadd(FAR, {"data": '{"type": "message"}'}, id=entry_id)
    return Operations(make_backend(redis_stream_patterns=[FAR]), origin="mcp")


async def test_an_event_of_the_last_id_is_settled_beside_others(agent: Operations) -> None:
    leased = await agent.lease(stream=FAR, group=GROUP)
    assert [one.id for one in leased.events] == ["5-1", LAST]
    assert (await agent.release(ids=[LAST])).released == [LAST]
    assert [one.id for one in (await agent.lease(stream=FAR, group=GROUP, ids=[LAST])).events] == [LAST]
    assert (await agent.ack(stream=FAR, group=GROUP, ids=[LAST, "5-1"])).acked == [LAST, "5-1"]


async def test_looking_goes_on_behind_the_last_id(agent: Operations) -> None:
    assert (await agent.peek(stream=FAR, start=LAST, order="oldest")).events == []
    assert [one.id for one in (await agent.peek(stream=FAR, start=LAST)).events] == ["5-1"]
    assert [one.id for one in (await agent.find_event(LAST)).events] == [LAST]
    assert [one.id for one in (await agent.peek(stream=FAR, since=LAST)).events] == [LAST]
    await agent.lease(stream=FAR, group=GROUP)
    assert (await agent.pending(stream=FAR, group=GROUP, start=LAST)).events == []
    assert [one.id for one in (await agent.waiting(stream=FAR, group=GROUP)).events] == ["5-1", LAST]
    assert (await agent.waiting(stream=FAR, group=GROUP, start=LAST)).events == []
    assert (await agent.count_events(by="type", stream=FAR, waiting=True, group=GROUP)).total == 2
    assert (await agent.lease(stream=FAR, group=GROUP, channel="C1")).events == []
    (stats,) = (await agent.stream_stats()).streams
    assert (stats.stream, stats.groups[0].pending) == (FAR, 2)


async def test_what_is_beyond_the_last_id_is_refused(agent: Operations) -> None:
    with pytest.raises(RequestError, match="an entry id looks like"):
        await agent.ack(stream=FAR, group=GROUP, ids=["18446744073709551616-0"])
