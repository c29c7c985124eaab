"""Which calls are errors: those that name what is not there, and not those that find nothing."""

from typing import Any

import pytest
from redis.asyncio import Redis

from tests.integration.agents import TOPIC, Ask, asking, refusal, said, server, text_of
from tests.integration.conftest import MakeBackend

CALLS: list[tuple[str, dict[str, Any]]] = [
    ("read_stream", {}),
    ("read_stream", {"dead": True}),
    ("read_stream", {"waiting": True}),
    ("read_stream", {"pending": True, "group": "bot"}),
    ("lease_events", {"group": "bot"}),
    ("lease_events", {"group": "bot", "ids": ["1795900976322-7"]}),
    ("ack", {"group": "bot", "ids": ["1795900976322-7"]}),
    ("release", {"group": "bot", "ids": ["1795900976322-7"]}),
    ("redrive", {}),
]
BY_ID: tuple[str, dict[str, Any]] = ("read_stream", {"event_id": "Ev9"})
OF_A_TOPIC: list[tuple[str, dict[str, Any]]] = [("stream_stats", {}), ("count_events", {})]


@pytest.fixture
async def ask(make_backend: MakeBackend, redis: Redis) -> Ask:
    await redis.xadd("slack:parts:p0", {"data": "{}"})
    await redis.xadd("slack:parts:p1", {"data": "{}"})
    return asking(server(make_backend(redis_stream_patterns="slack_events,slack:*")))


@pytest.mark.parametrize(("tool", "arguments"), [*CALLS, BY_ID, *OF_A_TOPIC])
async def test_a_stream_that_is_named_and_does_not_exist_is_an_error(
    ask: Ask, tool: str, arguments: dict[str, Any]
) -> None:
    assert "'slack:nosuch' does not exist (yet)" in await refusal(
        ask, tool, stream="slack:nosuch", **arguments
    )


@pytest.mark.parametrize(("tool", "arguments"), [one for one in CALLS if "event_id" not in one[1]])
async def test_a_topic_with_partitions_is_an_error_where_one_has_to_be_named(
    ask: Ask, tool: str, arguments: dict[str, Any]
) -> None:
    assert "is spread over partitions" in await refusal(ask, tool, stream="slack:parts", **arguments)


@pytest.mark.parametrize(("tool", "arguments"), OF_A_TOPIC)
async def test_what_takes_partitions_together_does_so(ask: Ask, tool: str, arguments: dict[str, Any]) -> None:
    assert "slack:parts:p1" in text_of(await ask(tool, stream="slack:parts", **arguments))


async def test_an_event_is_searched_in_all_partitions_of_a_topic(ask: Ask) -> None:
    told = await refusal(ask, "read_stream", stream="slack:parts", event_id="Ev9")
    assert "No event of the id 'Ev9' is remembered in any of the 2 streams" in told


async def test_an_event_that_is_not_there_is_an_error_and_an_empty_answer_is_none(ask: Ask) -> None:
    for call in ({}, {"dead": True}, {"waiting": True}):
        assert "does not exist (yet)" in text_of(await ask("read_stream", **call)), "nobody has named it"
    assert "No event of the id 'Ev9'" in await refusal(ask, "read_stream", event_id="Ev9")
    assert "in any of the 2 streams" in await refusal(
        ask, "read_stream", event_id="Ev9", stream="slack:parts"
    )
    await ask("publish_event", payload=said(1))
    assert "No event of the id 'Ev9'" in await refusal(ask, "read_stream", event_id="Ev9", stream=TOPIC)
    assert "has no dead letters" in text_of(await ask("read_stream", stream=TOPIC, dead=True))
    assert "1 event" in text_of(await ask("count_events"))
    await ask("lease_events", group="agents")
    there = await ask("ack", stream=TOPIC, group="agents", ids=["1795900976322-7"])
    assert "Not pending" in text_of(there)
    assert "has no group 'nobody'" in await refusal(ask, "read_stream", waiting=True, group="nobody")
