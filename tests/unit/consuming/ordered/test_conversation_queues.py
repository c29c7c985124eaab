"""Whose turn it is among conversations."""

import random
from collections import defaultdict

import pytest

from abe_redis.consuming.held import Held
from abe_redis.consuming.ordered.conversation_queues import ConversationQueues
from abe_redis.streams.lease import Leased

NOW = 1000.0


def held(number: int, conversation: str | None = "C1", stream: str = "s:p0") -> Held:
    fields = {b"data": b'{"n": %d}' % number}
    if conversation is not None:
        fields[b"conversation"] = conversation.encode()
    return Held(Leased(stream, f"{number}-0", fields, 1), (stream, f"{number}-0"), NOW)


def take(queues: ConversationQueues, now: float = NOW) -> Held | None:
    one = queues.next(now)
    if one is not None:
        queues.take(one)
    return one


def fill(queues: ConversationQueues, *many: Held) -> None:
    for one in many:
        queues.append(one)


def test_one_of_each_conversation_at_a_time_by_turns() -> None:
    queues = ConversationQueues()
    a1, a2, b3 = held(1, "A"), held(2, "A"), held(3, "B")
    fill(queues, a1, a2, b3)
    assert (take(queues), take(queues), take(queues)) == (a1, b3, None)
    assert list(queues) == [a2]
    queues.ended(a1)
    assert take(queues) is a2
    queues.ended(a2)
    queues.ended(b3)
    assert len(queues) == 0
    assert queues.at_work == []


def test_without_a_conversation_nothing_waits() -> None:
    queues = ConversationQueues()
    first, second = held(1, None), held(2, None)
    fill(queues, first, second)
    assert (take(queues), take(queues)) == (first, second)


def test_the_payload_says_it_when_no_field_does() -> None:
    queues = ConversationQueues()
    for number, data in enumerate(
        (b'{"channel": "C1"}', b'{"channel": "C1"}', b'{"channel": "C2"}', b"no JSON")
    ):
        entry = Leased("s", f"{number}-0", {b"data": data}, 1)
        queues.append(Held(entry, ("s", entry.id), NOW))
    assert [one and one.entry.id for one in (take(queues), take(queues), take(queues), take(queues))] == [
        "0-0",
        "2-0",
        "3-0",
        None,
    ]


def test_a_late_entry_takes_the_place_of_its_id() -> None:
    queues = ConversationQueues()
    late = held(2)
    fill(queues, held(1), held(10), late, held(9))
    assert [one.entry.id for one in queues] == ["1-0", "2-0", "9-0", "10-0"]
    queues.remove(late)
    assert [one.entry.id for one in queues] == ["1-0", "9-0", "10-0"]


def test_a_postponed_event_delays_only_its_conversation() -> None:
    queues = ConversationQueues()
    first, second, other = held(1, "A"), held(2, "A"), held(3, "B")
    fill(queues, first, second, other)
    queues.postpone(first, NOW + 5)
    assert queues.next_at() == NOW + 5
    assert (take(queues), take(queues)) == (other, None)
    assert take(queues, NOW + 5) is first
    assert queues.next_at() is None


def test_an_entry_given_back_while_its_handler_ends_comes_first() -> None:
    queues = ConversationQueues()
    first, second = held(1), held(2)
    fill(queues, first, second)
    assert take(queues) is first
    again = held(1)
    queues.append(again)
    queues.postpone(again, NOW + 1)
    assert take(queues, NOW + 2) is None, "its handler is still at work"
    queues.ended(first)
    assert take(queues, NOW + 2) is again
    queues.ended(first)
    assert queues.at_work == [again], "an end that was noted before changes nothing"


def test_one_poison_suspect_is_delivered_at_a_time() -> None:
    queues = ConversationQueues()
    suspects = [held(1, "A"), held(2, "B")]
    other = held(3, "C")
    fill(queues, *suspects, other)
    for one in suspects:
        queues.isolate(one)
    assert (take(queues), take(queues), take(queues)) == (suspects[0], other, None)
    queues.ended(suspects[0])
    assert take(queues) is suspects[1]


def test_a_stream_that_is_stopped_hands_out_nothing() -> None:
    queues = ConversationQueues()
    here, there = held(1, "A", "s:p0"), held(2, "A", "s:p1")
    fill(queues, here, there)
    queues.stop("s:p0")
    assert (take(queues), take(queues)) == (there, None)
    queues.resume("s:p0")
    assert take(queues) is here
    assert queues.is_at_work("s:p0")
    assert queues.drop("s:p0") == []
    queues.append(behind := held(3, "A", "s:p0"))
    queues.stop("s:p0")
    assert (queues.count("s:p0"), queues.bytes("s:p0")) == (1, len(b'{"n": 3}'))
    assert queues.drop("s:p0") == [behind]
    assert (queues.count("s:p0"), queues.bytes("s:p0"), len(queues)) == (0, 0, 0)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_each_conversation_is_in_order(seed: int) -> None:
    """Random arrivals, ends, failures and stops; every event ends once, in order."""
    chance = random.Random(seed)
    queues, now = ConversationQueues(), NOW
    coming = [held(number, f"C{chance.randrange(5)}", f"s:p{chance.randrange(2)}") for number in range(200)]
    ended: dict[tuple[str, bytes], list[int]] = defaultdict(list)
    hands: list[Held] = []
    while coming or hands or len(queues):
        now += chance.random()
        match chance.randrange(5):
            case 0 if coming:
                queues.append(coming.pop(0))
            case 1 if (one := take(queues, now)) is not None:
                hands.append(one)
            case 2 if hands:
                one = hands.pop(chance.randrange(len(hands)))
                ended[one.entry.stream, one.entry.fields[b"conversation"]].append(int(one.entry.id[:-2]))
                queues.ended(one)
            case 3 if hands:
                one = hands.pop(chance.randrange(len(hands)))
                queues.append(again := Held(one.entry, one.key, now))
                queues.postpone(again, now + chance.random() * 3)
                queues.ended(one)
            case _:
                chance.choice([queues.stop, queues.resume])(f"s:p{chance.randrange(2)}")
        busy = [(one.entry.stream, one.entry.fields[b"conversation"]) for one in hands]
        assert len(busy) == len(set(busy))
    assert sum(map(len, ended.values())) == 200
    assert all(numbers == sorted(numbers) for numbers in ended.values())
    assert queues.next_at() is None or queues.next(now + 10) is None


def test_the_number_of_events_that_could_be_handled_at_once_is_that_of_ready_conversations() -> None:
    queues = ConversationQueues()
    assert queues.at_once == 0
    fill(queues, held(1, "A"), held(2, "A"), held(3, "B"))
    assert queues.at_once == 2
    take(queues)
    assert queues.at_once == 1


def test_a_stream_is_at_work_only_while_an_event_of_it_is() -> None:
    queues = ConversationQueues()
    fill(queues, one := held(1, "A", "s:p0"))
    take(queues)
    assert (queues.is_at_work("s:p0"), queues.is_at_work("s:p1")) == (True, False)
    queues.ended(one)
    assert not queues.is_at_work("s:p0")


def test_a_removed_entry_has_no_turn() -> None:
    queues = ConversationQueues()
    fill(queues, one := held(1, "A"))
    queues.remove(one)
    assert queues.next(NOW) is None
    fill(queues, held(2, "A"), held(3, "B"))
    queues.clear()
    assert (queues.next(NOW), len(queues)) == (None, 0)


def test_a_dropped_stream_loses_its_own_entries_and_may_begin_anew() -> None:
    queues = ConversationQueues()
    here, there = held(1, "A", "s:p0"), held(2, "A", "s:p1")
    fill(queues, here, there)
    queues.stop("s:p0")
    assert queues.waiting_in("s:p0") == [here]
    assert queues.drop("s:p0") == [here]
    assert take(queues) is there
    fill(queues, again := held(3, "A", "s:p0"))
    assert take(queues) is again


def test_an_event_that_became_due_stays_due() -> None:
    queues = ConversationQueues()
    fill(queues, one := held(1, "A"))
    queues.postpone(one, NOW + 5)
    assert queues.next(NOW + 5) is one
    queues.stop("s:p0")
    queues.resume("s:p0")
    assert queues.next_at() is None
    assert queues.next(NOW) is one


def test_nothing_is_left_of_entries_that_ended_or_were_removed() -> None:
    queues = ConversationQueues()
    fill(queues, held(1, "A"), held(2, "A"), gone := held(3, "B"))
    queues.remove(gone)
    while (one := take(queues)) is not None:
        queues.ended(one)
    assert not queues._queued
    assert not queues._conversations


def test_all_events_that_are_due_at_the_same_time_become_ready_at_once() -> None:
    queues = ConversationQueues()
    fill(queues, *(three := [held(number, f"C{number}") for number in range(3)]))
    for one in three:
        queues.postpone(one, 1.0)
    assert queues.at_once == 0
    assert queues.next(1.0) is three[0]
    assert queues.at_once == 3
