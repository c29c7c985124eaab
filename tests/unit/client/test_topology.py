"""Where commands go, as far as it can be said without a server."""

from typing import Any

import pytest
from redis import exceptions

from abe_redis.client.calls import Words
from abe_redis.client.topology.replication_wait import Writes
from abe_redis.client.topology.slots import blocked_seconds, slot_of, slot_of_command
from abe_redis.streams import names, seen


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (("XADD", "s", "*", "f", "v"), "s"),
        (("XREADGROUP", "GROUP", "STREAMS", "c", "COUNT", 1, "STREAMS", "s", "t", ">", ">"), "s"),
        ((b"XREADGROUP", "GROUP", "g", "STREAMS", "COUNT", 1, "STREAMS", "s", ">"), "s"),
        (("XREAD", "COUNT", 1, "BLOCK", 5, "STREAMS", b"s", "$"), "s"),
        (("XREADGROUP", "GROUP", "g", "c", b"COUNT", 1, b"STREAMS", "s", ">"), "s"),
        (("EVALSHA", "0" * 40, 2, "s", "t", "argument"), "s"),
        (("EVAL", "return 1", "1", b"s"), "s"),
        (("XINFO", "STREAM", "s"), "s"),
        (("XGROUP", "SETID", "s", "g", "0"), "s"),
        (("MEMORY", "USAGE", "s"), "s"),
        (("XINFO", "GROUPS", "{tag}rest"), "tag"),
        (("get", "s"), "s"),
        (("PING",), None),
        (("EVAL", "return 1", 0), None),
        (("SCAN", 0, "COUNT", 10), None),
        (("CLUSTER", "SLOTS"), None),
        (("ZRANGE", names.INDEX, 0, "+inf", "BYSCORE"), names.INDEX),
    ],
)
def test_the_slot_of_a_command_is_that_of_its_first_key(words: Words, key: str | None) -> None:
    assert slot_of_command(words) == (None if key is None else slot_of(key))


def test_the_slot_is_redis_own() -> None:
    """The example of the cluster specification."""
    assert slot_of("123456789") == 0x31C3


@pytest.mark.promise("A stream, its dead letters and its helper keys live in one slot")
@pytest.mark.parametrize("stream", ["slack_events", "slack:{tag}", "a{b}c", "ü"])
def test_helper_keys_are_in_the_slot_of_their_stream(stream: str) -> None:
    for key in (
        names.dead_letters(stream),
        names.seen(stream, "event:Ev1"),
        seen.state(stream),
        *seen.buckets(stream, "event:Ev1"),
        names.records(stream),
        names.due(stream, "g"),
    ):
        assert slot_of(key) == slot_of(stream)


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        (("XREADGROUP", "GROUP", "BLOCK", "9999", "COUNT", 1, "BLOCK", 800, "STREAMS", "s", ">"), 0.8),
        (("XREAD", "COUNT", 1, "BLOCK", 1500, "STREAMS", "BLOCK", "$"), 1.5),
        (("XREAD", "COUNT", 1, "STREAMS", "BLOCK", "7"), 0.0),
        ((b"XREAD", b"BLOCK", b"250", b"STREAMS", "s", "$"), 0.25),
    ],
)
def test_how_long_a_read_may_wait(words: Words, seconds: float) -> None:
    assert blocked_seconds(words) == seconds


class Told:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.result: Any = None
        self.error: Exception | None = None

    def done(self) -> bool:
        return self.result is not None or self.error is not None

    def set_result(self, result: Any) -> None:
        assert not self.done()
        self.result = result

    def set_exception(self, error: Exception) -> None:
        assert not self.done()
        self.error = error


@pytest.mark.promise("`publish()` returns when n replicas have received the event")
def test_a_write_is_answered_when_the_replicas_have_it() -> None:
    told, writes = [Told(), Told()], Writes(2)
    for number, sent in enumerate([writes.add(one) for one in told]):
        sent.set_result(number)
    assert not any(one.done() for one in told)
    writes.set_result(2)
    assert [one.result for one in told] == [0, 1]


@pytest.mark.promise("When too few replicas confirm within a second")
def test_a_write_that_too_few_replicas_have_failed_and_may_be_repeated() -> None:
    told, writes = Told(), Writes(2)
    writes.add(told).set_result(b"1-0")
    writes.set_result(1)
    assert isinstance(told.error, exceptions.ConnectionError)
    assert "1 of 2 replicas" in str(told.error)


def test_a_command_that_failed_is_not_waited_for_and_does_not_fail_its_neighbour() -> None:
    told, writes = [Told(), Told()], Writes(1)
    first, second = (writes.add(one) for one in told)
    first.set_exception(exceptions.ResponseError("WRONGTYPE"))
    assert "WRONGTYPE" in str(told[0].error)
    second.set_result(b"1-0")
    writes.set_result(1)
    assert told[1].result == b"1-0"


def test_a_connection_lost_before_the_replicas_answered_is_a_failure() -> None:
    told, writes = Told(), Writes(1)
    writes.add(told).set_result(b"1-0")
    writes.set_exception(exceptions.ConnectionError("cut"))
    assert "cut" in str(told.error)
