"""Acks: few commands for many entries, and never one of somebody else's."""

from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis.streams import acks, lease, names, release
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
