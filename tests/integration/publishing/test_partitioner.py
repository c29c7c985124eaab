"""A topic over several streams: where events go, and who finds them."""

import re
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis import Event, RedisMessageQueueBackend
from abe_redis.errors import InvalidNameError, PayloadError
from abe_redis.operations.operations import Operations
from abe_redis.streams.names import topic_of
from tests.integration.conftest import MakeBackend, take

DOCUMENT = (Path(__file__).parents[3] / "docs/ordering.md").read_text(encoding="utf-8")


def said(channel: str, number: int, **more: Any) -> dict[str, Any]:
    event = {"type": "message", "channel": channel, "n": number}
    return {"type": "event_callback", "team_id": "T1", "event": event} | more


@pytest.mark.promise("`REDIS_STREAM_PARTITIONS=16` spreads each topic over 16 streams")
async def test_a_conversation_stays_together_and_others_go_elsewhere(make_backend: MakeBackend) -> None:
    backend = make_backend(redis_stream_partitions=8)
    first = {
        channel: (await backend.publish_event("slack_events", said(channel, 0))).stream
        for channel in (f"C{at}" for at in range(40))
    }
    assert set(first.values()) == {f"slack_events:p{at}" for at in range(8)}
    for channel, stream in first.items():
        assert (await backend.publish_event("slack_events", said(channel, 1))).stream == stream


async def test_many_at_once_keep_their_places_and_their_order(
    make_backend: MakeBackend, redis: Redis
) -> None:
    backend = make_backend(redis_stream_partitions=4)
    payloads = [said(f"C{number % 10}", number) for number in range(350)]
    done = await backend.publish_many("slack_events", payloads)
    assert len(done) == 350
    assert all(done[at].stream == done[at % 10].stream for at in range(350))
    assert sum([await redis.xlen(stream) for stream in {one.stream for one in done}]) == 350
    async with backend.consume() as events:
        numbers: dict[str, list[int]] = {}
        for event in await take(events, 350):
            assert topic_of(event.stream) == "slack_events"
            numbers.setdefault(event["event"]["channel"], []).append(event["event"]["n"])
    assert numbers == {f"C{at}": list(range(at, 350, 10)) for at in range(10)}


@pytest.mark.promise("the same `event_id` always goes to the same one.")
async def test_an_event_that_slack_sends_again_is_not_added(make_backend: MakeBackend) -> None:
    backend = make_backend(redis_stream_partitions=8)
    without = {"type": "event_callback", "event_id": "Ev2", "event": {}}
    for payload in (said("C1", 1, event_id="Ev1"), without):
        first = await backend.publish_event("slack_events", payload)
        again = await backend.publish_event("slack_events", payload)
        assert (again.stream, again.id, again.duplicate) == (first.stream, first.id, True)


@pytest.mark.promise("Consumers, ordered or not, find the partitions of every topic that they read")
async def test_consumers_find_partitions_without_the_setting(make_backend: MakeBackend) -> None:
    backend, other = make_backend(redis_stream_partitions=4, redis_stream_patterns="slack_?"), make_backend()
    await backend.publish_many("slack_events", [said(f"C{at}", at) for at in range(20)])
    await backend.publish_many("slack_x", [said(f"C{at}", at) for at in range(20)])
    async with other.consume() as events:
        assert {event["event"]["n"] for event in await take(events, 20)} == set(range(20))
    async with backend.consume(group="both") as events:
        assert {topic_of(event.stream) for event in await take(events, 40)} == {"slack_events", "slack_x"}


async def test_a_partition_is_found_though_nobody_announced_it(
    make_backend: MakeBackend, redis: Redis
) -> None:
    backend = make_backend(redis_stream_partitions=4)
    await redis.xadd("slack_events:p2", {"data": '{"n": 1}'})
    async with backend.consume() as events:
        (event,) = await take(events, 1)
        assert (event.stream, event["n"]) == ("slack_events:p2", 1)


@pytest.mark.promise("such as that of `--respond-to`, is never spread.")
async def test_a_stream_that_consumers_do_not_find_is_not_partitioned(make_backend: MakeBackend) -> None:
    backend = make_backend(redis_stream_partitions=4)
    assert (await backend.publish_event("answers", said("C1", 1))).stream == "answers"
    assert (await backend.publish_event("slack_events:p3", said("C1", 1))).stream == "slack_events:p3"


@pytest.mark.promise("you can pass a function to the backend that publishes.")
@pytest.mark.promise("it writes a name that no other event has.")
async def test_a_function_says_what_belongs_together(
    make_backend: MakeBackend, redis_url: str, redis: Redis
) -> None:
    settings = make_backend(redis_stream_partitions=16).settings

    def thread(payload: dict[str, Any]) -> str | None:
        return str(payload["thread"]) if payload["thread"] else None

    async with RedisMessageQueueBackend(settings, conversation=thread) as backend:
        done = [await backend.publish_event("slack_events", {"thread": 7, "n": n}) for n in range(9)]
        (stream,) = {one.stream for one in done}
        rows: Any = await redis.xrange(stream, count=1)
        assert rows[0][1][b"conversation"] == b"7"
        with pytest.raises(PayloadError, match=r"KeyError: 'thread'\. Nothing was published"):
            await backend.publish("slack_events", {"n": 1})
        with pytest.raises(PayloadError, match="Nothing was published"):
            await backend.publish_many("slack_events", [{"thread": 1}, {}])
        spread = {(await backend.publish_event("slack_events", {"thread": 0})).stream for _ in range(40)}
        assert len(spread) > 4
        names = list[bytes]()
        for other in spread - {stream}:
            written: Any = await redis.xrange(other)
            names += [row[1][b"conversation"] for row in written]
        assert len(set(names)) == len(names), "workers of earlier versions let nothing wait for them, too"


async def test_a_name_that_is_too_long_for_its_partitions(make_backend: MakeBackend) -> None:
    name = "slack:" + "x" * 505
    assert (await make_backend().publish_event(name, {})).stream == name
    with pytest.raises(InvalidNameError, match="514 bytes"):
        await make_backend(redis_stream_partitions=10).publish(name, {})


@pytest.mark.promise("You can change the number at any time")
async def test_with_another_number_nothing_is_lost(make_backend: MakeBackend) -> None:
    for partitions in (4, 1, 2):
        backend = make_backend(redis_stream_partitions=partitions)
        payloads = [said(f"C{at}", at + 100 * partitions) for at in range(20)]
        await backend.publish_many("slack_events", payloads)
    async with make_backend().consume_ordered() as events:
        numbers = {event["event"]["n"] for event in await take(events, 60)}
    assert numbers == {at + 100 * partitions for at in range(20) for partitions in (4, 1, 2)}


async def test_an_agent_learns_where_its_events_went(make_backend: MakeBackend) -> None:
    operations = Operations(make_backend(redis_stream_partitions=4))
    published = await operations.publish_event(said("C1", 1))
    assert topic_of(published.stream) == "slack_events"
    looked = await operations.read_stream()
    assert f"is spread over partitions, which are streams of their own: {published.stream!r}." in looked.note
    (event,) = (await operations.read_stream(stream=published.stream)).events
    assert event.id == published.id
    assert [one.stream for one in (await operations.stream_stats()).streams] == [published.stream]


async def test_an_outbox_keeps_the_partition(make_backend: MakeBackend, tmp_path: Path) -> None:
    backend = make_backend(
        redis_url="redis://127.0.0.1:1/0", redis_outbox=tmp_path / "outbox", redis_stream_partitions=4
    )
    kept = await backend.publish_event("slack_events", said("C1", 1))
    await backend.close()
    backend = make_backend(redis_outbox=tmp_path / "outbox")
    async with backend.consume() as events:
        (event,) = await take(events, 1)
        assert event.stream == kept.stream


@pytest.mark.promise("The publisher writes its result beside the payload")
def test_the_documents_snippet_names_conversations() -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", DOCUMENT, re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102
    assert names["conversation"](said("C1", 1) | {"event": {"ts": "1.5", "thread_ts": "1.2"}}) == "1.2"


async def test_an_event_is_the_payload_and_nothing_else(make_backend: MakeBackend) -> None:
    backend = make_backend(redis_stream_partitions=2)
    await backend.publish("slack_events", said("C1", 1))
    async with backend.consume() as events:
        (event,) = await take(events, 1)
    assert isinstance(event, Event)
    assert event == said("C1", 1)
