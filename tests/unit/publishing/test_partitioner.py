"""Which events belong together, and where a conversation goes."""

from collections import Counter
from typing import Any

import pytest

from abe_redis.errors import PayloadError
from abe_redis.events.slack import conversation_of
from abe_redis.publishing.partitioner import Partitioner, partition_of
from abe_redis.streams.names import Patterns, topic_of


def envelope(event: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "event_callback", "team_id": "T1", "event": event} | more


@pytest.mark.parametrize(
    "event",
    [
        {"type": "message", "channel": "C1", "team": "T9", "ts": "1.2", "text": "hello"},
        {"type": "message", "subtype": "message_changed", "channel": "C1", "message": {"ts": "1.2"}},
        {"type": "reaction_added", "item": {"type": "message", "channel": "C1", "ts": "1.2"}},
        {"type": "channel_rename", "channel": {"id": "C1", "name": "new"}},
        {"type": "pin_added", "channel_id": "C1", "item": {"channel": "C1"}},
        {"type": "file_shared", "channel_id": "C1", "file_id": "F1"},
    ],
    ids=lambda event: event.get("subtype", event["type"]),
)
def test_what_happens_in_a_channel_belongs_together(event: dict[str, Any]) -> None:
    assert conversation_of(envelope(event)) == "T1/C1"


@pytest.mark.parametrize(
    ("payload", "name"),
    [
        (envelope({"type": "team_join", "user": {"id": "U1"}}), "T1/"),
        ({"type": "message", "channel": "C1"}, "/C1"),
        (envelope({"type": "message", "channel": 7}), "T1/"),
        ({"type": "event_callback", "team_id": 1, "event": "no event"}, None),
        ({"type": "health_check"}, None),
        ({}, None),
    ],
)
def test_what_is_in_no_channel(payload: dict[str, Any], name: str | None) -> None:
    assert conversation_of(payload) == name


def test_a_conversation_has_the_same_partition_everywhere_and_for_ever() -> None:
    assert [partition_of(f"T1/C{at}", 16) for at in range(8)] == [6, 2, 2, 7, 9, 11, 8, 5]
    assert partition_of("\ud800", 7) in range(7)


def test_conversations_are_spread_evenly() -> None:
    counts = Counter(partition_of(f"T1/C{at}", 8) for at in range(8000))
    assert len(counts) == 8
    assert all(850 < count < 1150 for count in counts.values())


def test_only_topics_that_consumers_find_are_spread() -> None:
    partitioner = Partitioner(Patterns(["slack:*", "slack_events"], partitions=4))
    assert topic_of(partitioner.stream("slack_events", "T1/C1")) == "slack_events"
    assert topic_of(partitioner.stream("slack:a", "T1/C1")) == "slack:a"
    assert partitioner.stream("slack_events:p3", "T1/C1") == "slack_events:p3"
    assert partitioner.stream("answers", "T1/C1") == "answers"


@pytest.mark.parametrize(
    ("name", "topic"),
    [("a:p0", "a"), ("a:p12", "a"), ("a:p01", None), ("a:p", None), (":p1", None), ("a", None)],
)
def test_a_partition_is_known_by_its_name(name: str, topic: str | None) -> None:
    assert topic_of(name) == topic


def test_a_pattern_has_its_partitions_even_where_it_does_not_match_them() -> None:
    patterns = Patterns(["events", "slack_?"], partitions=2)
    assert patterns.names == ("events", "events:p0", "events:p1")
    assert patterns.keys == ("events", "slack_?", "events:p*", "slack_?:p*")
    for name in ("events:p0", "events:p7", "slack_a:p1"):
        assert patterns.match(name)
    for name in ("events:x", "events:p1:p1", "slack_ab", "abe:p1", "dead:{events:p1}"):
        assert not patterns.match(name)


def test_a_function_of_ones_own() -> None:
    def give(payload: dict[str, Any]) -> Any:
        return payload["is"]

    partitioner = Partitioner(Patterns(["a"]), give)
    assert partitioner.is_needed
    assert partitioner.name({"is": "x" * 1000}) == "x" * 200
    assert partitioner.name({"is": ""}) is None
    with pytest.raises(PayloadError, match=r"KeyError: 'is'\. Nothing was published"):
        partitioner.name({})
    with pytest.raises(PayloadError, match="must give a str or None, not int"):
        partitioner.name({"is": 7})
