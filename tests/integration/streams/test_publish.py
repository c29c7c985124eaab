"""Publishing: drafts in order, each once."""

import json
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis
from redis.exceptions import ReadOnlyError, ResponseError

from abe_redis.streams import names, seen
from abe_redis.streams.publish import Draft, announce, command, publish, publish_health_check
from tests.integration.on_streams import (
    A,
    B,
    C,
    entries,
    now_ms,
)
from tests.servers import Server


def draft(stream: str, number: int, *, attempt: str = "first", remember: float = 60) -> Draft:
    fields = {b"data": str(number).encode(), b"more": b"x"}
    return Draft(stream, fields, event_id=f"event:Ev{number}", attempt=attempt, remember_seconds=remember)


async def test_each_of_several_streams_has_its_entries_in_order(commands: Redis) -> None:
    drafts = [draft(A, 1), draft(B, 2), draft(A, 3), draft(C, 4), draft(A, 1, attempt="second")]
    done = await publish(commands, drafts, hard_maxlen=10)
    assert [(one.stream, one.duplicate, one.length) for one in done] == [
        (A, False, 1),
        (B, False, 1),
        (A, False, 2),
        (C, False, 1),
        (A, True, 2),
    ]
    assert done[4].id == done[0].id
    for stream, numbers in ((A, [1, 3]), (B, [2]), (C, [4])):
        assert [fields for _, fields in await entries(commands, stream)] == [
            draft(stream, number).fields for number in numbers
        ]
    assert [one.id for one in done if one.stream == A][:2] == [i for i, _ in await entries(commands, A)]


async def test_an_id_is_remembered_for_the_given_time(commands: Redis) -> None:
    (first,) = await publish(commands, [draft(A, 1, remember=60)], hard_maxlen=10)
    await publish(commands, [draft(A, 2, remember=0), draft(A, 3, remember=0.001)], hard_maxlen=10)
    bucket = seen.buckets(A, "event:Ev1")[0]
    assert 60_000 < (lives := await commands.pttl(bucket)) <= 75_000  # until no id of it can count any more
    assert not await commands.hexists(seen.buckets(A, "event:Ev2")[0], seen.field("event:Ev2"))
    again = await publish(commands, [draft(A, 1), draft(A, 1, attempt="other")], hard_maxlen=10)
    assert [(one.id, one.duplicate, one.length) for one in again] == [
        (first.id, False, 3),
        (first.id, True, 3),
    ]
    assert await commands.pttl(bucket) <= lives  # the time runs from the first
    added = await publish(commands, [draft(A, 2, remember=0)] * 2, hard_maxlen=10)
    assert [(one.duplicate, one.length) for one in added] == [(False, 4), (False, 5)]
    (unasked,) = await publish(commands, [draft(A, 1, remember=0)], hard_maxlen=10)
    assert (unasked.duplicate, unasked.length, unasked.is_kept) == (False, 6, False)


async def test_an_id_does_not_outlive_its_stream_but_its_entry(commands: Redis) -> None:
    (first,) = await publish(commands, [draft(A, 1)], hard_maxlen=10)
    await commands.xtrim(A, maxlen=0, approximate=False)
    (again,) = await publish(commands, [draft(A, 1, attempt="other")], hard_maxlen=10)
    assert (again.id, again.duplicate, again.length) == (first.id, True, 0)
    await commands.delete(A)
    (anew,) = await publish(commands, [draft(A, 1, attempt="other")], hard_maxlen=10)
    assert (anew.duplicate, anew.length) == (False, 1)


async def test_a_refused_event_does_not_fail_the_others(commands: Redis) -> None:
    await commands.set(B, "no stream")
    await publish(commands, [draft(A, 1)], hard_maxlen=9)
    with pytest.raises(ResponseError, match="STREAMFULL it has 2 entries"):
        await publish(commands, [draft(A, 2), draft(A, 3), draft(C, 4), draft(C, 5)], hard_maxlen=2)
    assert (await commands.xlen(A), await commands.xlen(C)) == (2, 2)
    (known,) = await publish(commands, [draft(A, 2, attempt="other")], hard_maxlen=2)  # though it is full
    assert known.duplicate
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await publish(commands, [draft(A, 6), draft(B, 7), draft(B, 8), draft(C, 9)], hard_maxlen=9)
    assert (await commands.xlen(A), await commands.xlen(C)) == (3, 3)


async def test_an_event_that_cannot_be_added_for_another_reason_does_not_fail_the_others_either(
    commands: Redis,
) -> None:
    await commands.xadd(A, {"data": "the last id that there is"}, id=f"{2**64 - 1}-{2**64 - 1}")
    with pytest.raises(ResponseError, match="exhausted the last possible ID"):
        await publish(commands, [draft(B, 1), draft(A, 2), draft(B, 3)], hard_maxlen=9)
    assert (await commands.xlen(A), await commands.xlen(B)) == (1, 2)


async def test_a_server_that_may_not_be_written_to_refuses_the_whole(own_server: Server) -> None:
    """So that the connection is given up, and the primary looked for."""
    with own_server.admin() as admin:
        admin.replicaof("127.0.0.1", "1")
    async with Redis.from_url(own_server.url) as redis:
        send: Any = redis.execute_command
        with pytest.raises(ReadOnlyError):
            await send(*command([draft(A, 1), draft(A, 2)], seen.Views(), hard_maxlen=9, in_full=True))


def test_a_script_is_sent_by_its_digest_unless_in_full() -> None:
    assert command([draft(A, 1)], seen.Views(), hard_maxlen=9)[0] == "EVALSHA"
    assert command([draft(A, 1)], seen.Views(), hard_maxlen=9, in_full=True)[0] == "EVAL"


async def test_health_checks_leave_a_hundred_behind(commands: Redis) -> None:
    for number in range(103):
        data = b'{"type": "health_check", "n": %d}' % number
        (done,) = await publish_health_check(commands, A, {b"data": data}, hard_maxlen=1000)
    there = await entries(commands, A)
    assert [json.loads(fields[b"data"])["n"] for _, fields in there] == list(range(3, 103))
    assert (done.id, done.duplicate, done.length, done.stream) == (there[-1][0], False, 100, A)


async def test_news_are_dated_by_the_server(commands: Redis) -> None:
    for part in (0.1, 0.7):
        while not part <= (await now_ms(commands)) % 1000 / 1000 <= part + 0.2:
            await anyio.sleep(0.01)
        before = await now_ms(commands)
        await announce(commands, [A, B])
        after = await now_ms(commands)
        found: Any = await commands.zrange(names.INDEX, 0, -1, withscores=True)
        assert [name for name, _ in found] == [A.encode(), B.encode()]
        assert all(before - 1 <= score * 1000 <= after + 1 for _, score in found)
