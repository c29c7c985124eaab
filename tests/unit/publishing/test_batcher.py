"""The batcher against a server that answers when it is told to."""

import asyncio
from typing import Any

import pytest
from redis.exceptions import NoPermissionError, NoScriptError

from abe_redis.client.calls import Words
from abe_redis.events.published import Published
from abe_redis.publishing.batcher import MOST, MOST_BYTES, Batcher
from abe_redis.streams import seen
from tests.unit.fake_server import turns
from tests.unit.publishing.batches import Server, batcher, draft, row, runs, server

__all__ = ["batcher", "server"]


async def test_a_lone_event_is_sent_before_publish_returns(server: Server, batcher: Batcher) -> None:
    for number in range(3):
        waiter = batcher.publish(draft(number))
        assert server.events(number) == [b"%d" % number]
        server.answer(number, row(number))
        assert (await waiter).id == f"{number}-0"


async def test_publishes_during_a_command_share_the_next_one(server: Server, batcher: Batcher) -> None:
    waiters = [batcher.publish(draft(number)) for number in range(5)]
    await turns()
    assert [server.events(at) for at in range(2)] == [[b"0"], [b"1", b"2", b"3", b"4"]]
    server.answer(1, *(row(number) for number in range(1, 5)))
    server.answer(0, row(0))
    assert [(await waiter).id for waiter in waiters] == [f"{number}-0" for number in range(5)]


async def test_it_does_not_wait_for_the_answer_to_the_one_before(server: Server, batcher: Batcher) -> None:
    batcher.publish(draft(0))
    for number in range(1, 4):
        batcher.publish(draft(number))
        await turns()
        assert server.events(number) == [b"%d" % number]


async def test_a_command_has_a_bound_in_events_and_in_bytes(server: Server, batcher: Batcher) -> None:
    for number in range(1 + MOST + 1):
        batcher.publish(draft(number))
    assert [len(server.events(at)) for at in range(2)] == [1, MOST], "a full one is not held back"
    large = b"x" * (MOST_BYTES // 2)
    for number in range(3):
        batcher.publish(draft(100 + number, data=large))
    await turns()
    assert [len(server.events(at)) for at in range(2, 4)] == [3, 1], "the small one before is among them"


def streams(words: Words) -> list[Any]:
    """The streams in a command, event by event."""
    keys, found = list(words[3 : 3 + int(words[2])]), []
    for count in runs(words):
        found += [keys[0]] * count
        del keys[: 2 + count * (len(seen.buckets("", "")) + 1)]
    return found


async def test_streams_share_a_command_too(server: Server, batcher: Batcher) -> None:
    for number, stream in enumerate("aabba"):
        batcher.publish(draft(number, stream=stream))
    await turns()
    assert [streams(words) for words, _ in server.sent] == [["a"], ["a", "b", "b", "a"]]


async def test_in_a_cluster_only_streams_of_a_slot_share_one(server: Server, batcher: Batcher) -> None:
    server.is_cluster = True
    for number, stream in enumerate(["a", "a1", "b", "b1", "a2"]):
        batcher.publish(draft(number, stream=stream))
    await turns()
    assert [streams(words) for words, _ in server.sent] == [["a"], ["a1", "a2"], ["b", "b1"]]


async def test_a_stream_we_have_no_right_to_does_not_keep_back_the_others(
    server: Server, batcher: Batcher
) -> None:
    first, *waiters = [batcher.publish(draft(number, stream=name)) for number, name in enumerate("aabba")]
    await turns()
    server.answer(0, row(0))
    server.refuse(1, NoPermissionError("No permissions to access a key"))
    await turns()
    assert [streams(words) for words, _ in server.sent[2:]] == [["a", "a"], ["b", "b"]]
    server.answer(2, row(1), row(4))
    server.refuse(3, NoPermissionError("No permissions to access a key"))
    outcomes = await asyncio.gather(*waiters, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Published, *[NoPermissionError] * 2, Published]
    assert (await first).id == "0-0"


async def test_a_script_the_server_forgot_is_sent_in_full(server: Server, batcher: Batcher) -> None:
    waiter = batcher.publish(draft())
    server.refuse(0, NoScriptError("NOSCRIPT No matching script."))
    await turns()
    (first, _), (second, _) = server.sent
    assert (first[0], second[0]) == ("EVALSHA", "EVAL")
    assert first[2:] == second[2:]
    server.answer(1, row(1))
    assert (await waiter).id == "1-0"


async def test_a_server_that_forgets_scripts_at_once_is_no_endless_loop(
    server: Server, batcher: Batcher
) -> None:
    waiter = batcher.publish(draft())
    for number in range(2):
        server.refuse(number, NoScriptError("NOSCRIPT No matching script."))
        await turns()
    with pytest.raises(NoScriptError):
        await waiter
    assert len(server.sent) == 2


async def test_a_cancelled_call_disturbs_no_other(server: Server, batcher: Batcher) -> None:
    first, *waiters = [batcher.publish(draft(number)) for number in range(5)]
    waiters[1].cancel()
    await turns()
    assert server.events(1) == [b"1", b"3", b"4"], "cancelled before it was sent, it is not sent"
    waiters[2].cancel()
    first.cancel()
    server.answer(0, row(0))
    server.answer(1, row(1), row(3), row(4))
    assert [(await waiter).id for waiter in (waiters[0], waiters[3])] == ["1-0", "4-0"]


async def test_when_all_are_cancelled_nothing_is_sent(server: Server, batcher: Batcher) -> None:
    for waiter in [batcher.publish(draft(number)) for number in range(3)][1:]:
        waiter.cancel()
    await turns()
    assert len(server.sent) == 1
    server.answer(0, row(0))
    await turns()
    batcher.publish(draft(9))
    assert server.events(1) == [b"9"]


async def test_the_task_of_a_lone_event_runs_when_the_answer_arrives(
    server: Server, batcher: Batcher
) -> None:
    ended: list[str] = []

    async def publish() -> None:
        await batcher.publish(draft(0))
        ended.append("published")

    task = asyncio.create_task(publish())
    await turns()
    loop = asyncio.get_running_loop()
    loop.call_soon(server.answer, 0, row(0))
    loop.call_soon(ended.append, "a turn later")
    await task
    await turns()
    assert ended == ["published", "a turn later"]


async def test_what_the_server_knows_better_is_sent_again_before_the_next(
    server: Server, batcher: Batcher
) -> None:
    first, *waiters = [batcher.publish(draft(number)) for number in range(4)]
    await turns()
    server.answer(0, b"?")
    server.answer(1, *[b"?"] * 3)
    waiters.append(batcher.publish(draft(4)))
    await turns()
    assert [server.events(at) for at in range(2, 5)] == [[b"0"], [b"1", b"2", b"3"], [b"4"]]
    keys = ["s", "state", *["its bucket at each level"] * 5, "its key of earlier versions"]
    assert int(server.sent[2][0][2]) == len(keys)
    for at, numbers in enumerate(([0], [1, 2, 3], [4]), 2):
        server.answer(at, *map(row, numbers))
    assert [(await one).id for one in (first, *waiters)] == [f"{number}-0" for number in range(5)]


async def test_what_is_not_so_simple_is_sent_in_full_before_the_next(
    server: Server, batcher: Batcher
) -> None:
    waiters = [batcher.publish(draft(0))]
    server.answer(0, row(0), said=b"9 0 0 0 0")
    waiters += [batcher.publish(draft(number)) for number in range(1, 6)]
    await turns()
    in_full, *in_few_steps = [words[1] for words, _ in server.sent]
    assert in_full not in in_few_steps
    assert [int(words[2]) for words, _ in server.sent[1:]] == [3, 6], "a bucket each"
    server.sent[1][1].set_result(b"1\n1-0")
    server.sent[2][1].set_result(b"?2\n+2-0\n3-0\n?\n?")
    waiters.append(batcher.publish(draft(6)))
    await turns()
    assert [server.events(at) for at in range(3, 5)] == [[b"4", b"5"], [b"6"]]
    assert [words[1] for words, _ in server.sent[3:]] == [in_full] * 2
    server.answer(3, row(4), row(5, duplicate=True))
    server.answer(4, row(6))
    done = [await waiter for waiter in waiters]
    assert [one.id for one in done] == [f"{number}-0" for number in range(7)]
    assert [one.duplicate for one in done] == [False] * 5 + [True, False]
    assert [one.length for one in done[:4]] == [11, 2, 2, 3]


async def test_a_lone_event_is_added_in_the_fewest_steps_unless_it_is_looked_for_at_two_levels(
    server: Server, batcher: Batcher
) -> None:
    digests = []
    for at, said in enumerate([b"9 1 1 0 0", b"9 1 0 9 0", b"9 1 1 0 0"]):
        batcher.publish(draft(3 * at, stream=f"stream-{at}"))
        server.answer(3 * at, row(3 * at), said=said)
        one, *others = [batcher.publish(draft(3 * at + more, stream=f"stream-{at}")) for more in (1, 2, 3)]
        await turns()
        digests.append([words[1] for words, _ in server.sent[3 * at + 1 :]])
        server.sent[3 * at + 1][1].set_result(b"1\n1-0")
        server.sent[3 * at + 2][1].set_result(b"2\n2-0\n!3-0")
        assert [(await waiter).length for waiter in (one, *others)] == [2, 3, 3]
    (alone, together), below, again = digests
    assert alone != together
    assert below == [together, together]
    assert again == [alone, together]


async def test_now_and_then_one_goes_in_full_so_that_full_buckets_are_seen(
    server: Server, batcher: Batcher
) -> None:
    batcher.publish(draft(0))
    server.answer(0, row(0), said=b"9 0 0 0 0")
    for number in range(1, 1000):
        batcher.publish(draft(number))
        server.sent[number][1].set_result(b"%d\n%d-0" % (number, number))
    in_full = sum(words[1] == server.sent[0][0][1] for words, _ in server.sent)
    assert 1 < in_full < 30
