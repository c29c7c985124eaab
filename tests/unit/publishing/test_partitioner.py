"""Which events belong together, and where a conversation goes."""

from collections import Counter
from typing import Any

import pytest

from abe_redis.errors import PayloadError
from abe_redis.events.conversation import Grain
from abe_redis.publishing.partitioner import Partitioner, partition_of
from abe_redis.streams.names import topic_of
from abe_redis.streams.patterns import Patterns


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


@pytest.mark.promise("`user`: all that a user does")
@pytest.mark.parametrize(("grain", "name"), [("channel", "C1"), ("thread", "C1/1.1"), ("user", "U1")])
def test_the_operator_says_what_a_conversation_is(grain: Grain, name: str) -> None:
    partitioner = Partitioner(Patterns(["a"]), grain=grain)
    message = {"type": "message", "channel": "C1", "user": "U1", "ts": "1.2", "thread_ts": "1.1"}
    assert partitioner.name({"type": "event_callback", "team_id": "T1", "event": message}) == name
    assert partitioner.is_needed == (grain != "channel"), "workers know a channel by themselves"


@pytest.mark.promise("It wins over the setting")
def test_a_function_wins_over_the_setting() -> None:
    partitioner = Partitioner(Patterns(["a"]), lambda _: "mine", "thread")
    assert partitioner.name({"type": "message", "channel": "C1"}) == "mine"
