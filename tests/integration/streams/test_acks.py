"""Acks: few commands for many entries, and never one of somebody else's."""

from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis.streams import acks, lease, names, release
from abe_redis.streams.groups import ensure_group, record_progress
from tests.integration.on_streams import A, B, fill, hold, rows

WORK = ("xpending", "xack", "zcard", "zrem", "exists", "xinfo|consumers", "xrange")


async def worked(redis: Redis) -> int:
    """How many commands of a script the server has executed."""
    stats: Any = await redis.info("commandstats")
    return sum(int(stats.get(f"cmdstat_{name}", {}).get("calls", 0)) for name in WORK)


@pytest.mark.one_server
@pytest.mark.parametrize(("exact", "others"), [(False, 0), (True, 0), (False, 40), (True, 40)])
async def test_many_acks_cost_few_commands(commands: Redis, *, exact: bool, others: int) -> None:
    ids = await hold(commands, A, 60, by="me")
    if others:
        await fill(commands, A, others)
        await lease.take_new(commands, "g", "other", [A], count=others, block_ms=None)
    before = await worked(commands)
    outcomes = await acks.ack(commands, "g", "me", [(A, one) for one in ids], exact=exact)
    assert outcomes == ["done"] * 60
    assert await worked(commands) - before <= 4
    assert {row[0] for row in (await rows(commands, A)).values()} == ({"other"} if others else set())


@pytest.mark.one_server
@pytest.mark.parametrize("others", [0, 1])
async def test_an_ack_alone_costs_one_look(commands: Redis, others: int) -> None:
    (one,) = await hold(commands, A, 1, by="me")
    if others:
        await hold(commands, A, 2, by="other")
    before = await worked(commands)
    assert await acks.ack(commands, "g", "me", [(A, one)], exact=False) == ["done"]
    assert await worked(commands) - before == 3, "whether anything is due, who holds it, and the ack"
    assert one not in await rows(commands, A)


@pytest.mark.parametrize("exact", [True, False])
async def test_what_others_took_over_is_not_acked_among_many(commands: Redis, *, exact: bool) -> None:
    ids = await hold(commands, A, 150, by="me")
    lost = ids[20:130:3]
    await commands.xclaim(A, "g", "other", 0, [*lost], justid=True)
    outcomes = await acks.ack(commands, "g", "me", [(A, one) for one in reversed(ids)], exact=exact)
    refused = [one for one, outcome in zip(reversed(ids), outcomes, strict=True) if outcome != "done"]
    assert refused == lost[::-1]
    assert set(outcomes) == {"done", "not_held"}
    assert {one: row[0] for one, row in (await rows(commands, A)).items()} == dict.fromkeys(lost, "other")


async def test_what_is_not_pending_is_unknown_and_the_others_are_acked(commands: Redis) -> None:
    ids = await hold(commands, A, 5, by="me")
    await commands.xack(A, "g", ids[1])
    entries = [(A, one) for one in ids]
    assert await acks.ack(commands, "g", "me", entries) == ["done", "unknown", "done", "done", "done"]
    assert await rows(commands, A) == {}
    more = await hold(commands, B, 3, by="me")
    await commands.xack(B, "g", more[0])
    outcomes = await acks.ack(commands, "g", "me", [(B, one) for one in more], exact=False)
    assert outcomes[0] == "unknown"
    assert await rows(commands, B) == {}, "whatever is said of them"


async def test_what_stands_under_nobodys_name_is_the_consumers_own(commands: Redis) -> None:
    ids = await hold(commands, A, 3, by="me")
    await commands.xclaim(A, "g", names.NOBODY, 0, [ids[1]], justid=True)
    for exact in (True, False):
        assert await acks.ack(commands, "g", "me", [(A, ids[exact])], exact=exact) == ["done"]
    assert list(await rows(commands, A)) == ids[2:]


async def test_what_is_acked_is_not_due_any_more(commands: Redis) -> None:
    ids = await hold(commands, A, 3, by="me")
    for one in ids:
        await release.postpone(commands, A, "g", "me", one, delay_seconds=60)
    await acks.ack(commands, "g", "me", [(A, one) for one in ids[:2]], exact=False)
    assert await commands.zrange(names.due(A, "g"), 0, -1) == [ids[2].encode()]


@pytest.mark.one_server
async def test_one_command_acks_a_limited_number(commands: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acks, "ACKED_AT_ONCE", 10)
    entries = [(A, one) for one in await hold(commands, A, 24, by="me")]
    entries += [(B, one) for one in await hold(commands, B, 7, by="me")]
    sent = list[int]()
    send: Any = commands.execute_command

    async def execute_command(*words: Any, **options: Any) -> Any:
        sent.append(len(words))
        return await send(*words, **options)

    monkeypatch.setattr(commands, "execute_command", execute_command)
    assert await acks.ack(commands, "g", "me", entries, exact=False) == ["done"] * 31
    assert max(sent) <= 10 + 3 + 4 + 6
    assert await rows(commands, A) == await rows(commands, B) == {}


@pytest.mark.one_server
@pytest.mark.parametrize("streams", [(A,), (A, B)])
@pytest.mark.parametrize(("ids", "counts"), [(("1-0", "2-0"), 0), (("7-0", "12-2"), 1)])
async def test_how_many_acks_are_noted_is_not_counted_each_time(
    commands: Redis, streams: tuple[str, ...], ids: tuple[str, ...], counts: int
) -> None:
    for stream in streams:
        await listed(commands, stream, *ids)
    for one in ids:
        before = await calls_of(commands, "hlen")
        assert await acks.ack(commands, "g", "me", [(stream, one) for stream in streams]) == ["done"] * len(
            streams
        )
        assert await calls_of(commands, "hlen") - before == counts * len(streams)
    for stream in streams:
        noted = await commands.hgetall(names.pending(stream, "g"))
        assert {value for field, value in noted.items() if field} == {one.encode() for one in ids}


@pytest.mark.parametrize("one", ["1-0", "7-0"])
async def test_without_a_list_no_ack_is_noted(commands: Redis, one: str) -> None:
    for stream in (A, B):
        await listed(commands, stream, one)
    await commands.delete(names.pending(A, "g"))
    assert await acks.ack(commands, "g", "me", [(A, one), (B, one)]) == ["done"] * 2
    assert await commands.exists(names.pending(A, "g")) == 0
    assert await commands.hlen(names.pending(B, "g")) == 2
    await listed(commands, A, "8-0")
    await commands.delete(names.pending(A, "g"))
    await commands.zadd(names.due(A, "g"), {"8-0": 1})
    assert await acks.ack(commands, "g", "me", [(A, "8-0")]) == ["done"]
    assert await commands.exists(names.pending(A, "g"), names.due(A, "g")) == 0


async def test_a_list_with_too_many_notes_is_given_up(commands: Redis) -> None:
    await listed(commands, A, "1-0", "7-0")
    await commands.hset(names.pending(A, "g"), mapping={f"{ms}-9 1": f"{ms}-9" for ms in range(5000)})
    assert await acks.ack(commands, "g", "me", [(A, "1-0")]) == ["done"]
    assert await commands.exists(names.pending(A, "g")) == 1
    assert await acks.ack(commands, "g", "me", [(A, "7-0")]) == ["done"]
    assert await commands.exists(names.pending(A, "g")) == 0


async def calls_of(redis: Redis, name: str) -> int:
    stats: Any = await redis.info("commandstats")
    return int(stats.get(f"cmdstat_{name}", {}).get("calls", 0))


async def listed(redis: Redis, stream: str, *ids: str) -> None:
    """Entries that are pending under the name `me`, and are listed as such."""
    for one in ids:
        await redis.xadd(stream, {"data": "{}"}, id=one)
    await ensure_group(redis, [stream], "g")
    await lease.take_new(redis, "g", "me", [stream], count=10, block_ms=None)
    await redis.hdel(names.records(stream), "known g")
    await record_progress(redis, [stream], "g")
    assert await redis.hlen(names.pending(stream, "g")) == 1


@pytest.mark.parametrize("how", ["own", "by_hand"])
async def test_by_its_name_a_consumer_acks_nothing_that_was_given_back(commands: Redis, how: str) -> None:
    ids = await hold(commands, A, 3, by="me")
    for one in ids[:2]:
        assert await release.postpone(commands, A, "g", "me", one, delay_seconds=0) == "done"
    named: dict[str, Any] = {how: True}
    entries = [(A, one) for one in ids]
    assert await acks.ack(commands, "g", "me", entries, **named) == ["not_held", "not_held", "done"]
    assert await acks.ack(commands, "g", "me", entries[:1], **named) == ["not_held"]
    assert {row[0] for row in (await rows(commands, A)).values()} == {names.NOBODY.decode()}
    assert await acks.ack(commands, "g", "me", entries[:1]) == ["done"], "it may not know that yet"
