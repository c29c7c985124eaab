"""What a person took from a consumer that may have read it ahead: how much of it Redis keeps in mind."""

from itertools import batched
from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis.streams import acks, given_up, groups, names, release, renewal, slots
from tests.integration.on_streams import A, fill, recorded

WORKER = "slack-workers-6f5d8c9b7d-x2x4z-1-41567f"


async def read_ahead(redis: Redis, count: int) -> list[str]:
    """Entries that the worker has, each of them with another delivery begun already or none."""
    await fill(redis, A, 1)
    pipeline = redis.pipeline(transaction=False)
    for number in range(count - 1):
        pipeline.xadd(A, {"data": str(number)})
    await pipeline.execute()
    read: Any = await redis.xreadgroup("g", WORKER, {A: ">"}, count=count)
    return [entry_id.decode() for entry_id, _ in read[0][1]]


async def begun_by_worker(redis: Redis, ids: list[str]) -> list[str]:
    """Those that the worker does not let go of when it looks."""
    begun = list[str]()
    for some in batched(ids, 250):
        claims = [renewal.Claim(A, entry_id, begun=0, sure=lambda: True) for entry_id in some]
        outcomes = await renewal.hold(redis, "g", WORKER, claims)
        begun += [one for one, outcome in zip(some, outcomes, strict=True) if outcome != "given_up"]
    return begun


@pytest.mark.promise("Redis keeps in mind what no worker has confirmed yet")
async def test_none_of_what_was_acked_in_hundreds_is_begun(commands: Redis) -> None:
    ids = await read_ahead(commands, 25_000)
    for some in batched(ids, 100):
        await acks.ack(commands, "g", WORKER, [(A, one) for one in some], by_hand=True)
    assert await begun_by_worker(commands, ids[:1000] + ids[-1000:]) == []


@pytest.mark.promise("Redis keeps in mind what no worker has confirmed yet")
async def test_none_of_what_was_released_one_by_one_is_begun(commands: Redis) -> None:
    ids = await read_ahead(commands, 2_000)
    for entry_id in ids:
        await release.postpone(commands, A, "g", WORKER, entry_id, delay_seconds=0, by_hand=True)
    assert await begun_by_worker(commands, ids) == []


@pytest.mark.promise("Of what was taken before these, a worker that has not looked yet may begin an event")
async def test_the_oldest_go_first_when_they_take_too_much_room(commands: Redis) -> None:
    first, *ids = await read_ahead(commands, 3)
    await acks.ack(commands, "g", WORKER, [(A, first)], by_hand=True)
    seconds, _ = await commands.time()
    others = b"".join(b"%d000000 1-%d gone\n" % (seconds, number) for number in range(20_000))
    said = await recorded(commands, A, "taken")
    await commands.hset(names.records(A), "taken g", said + others)
    await acks.ack(commands, "g", WORKER, [(A, one) for one in ids], by_hand=True)
    said = await recorded(commands, A, "taken")
    assert len(others) > 512 * 1024 >= len(said) > 511 * 1024
    assert await begun_by_worker(commands, [first, *ids]) == [first]


@pytest.mark.promise("Redis keeps in mind what no worker has confirmed yet")
async def test_what_is_older_than_an_hour_or_broken_is_dropped(commands: Redis) -> None:
    first, second, third = await read_ahead(commands, 3)
    seconds, _ = await commands.time()
    old, young = seconds - 3601, seconds - 3540
    said = f"{old}000000 {first} {WORKER}\nof another program\n{young}000000 {second} {WORKER}\n"
    await commands.hset(names.records(A), "taken g", said)
    await commands.xack(A, "g", first, second)
    await acks.ack(commands, "g", WORKER, [(A, third)], by_hand=True)
    said = (await recorded(commands, A, "taken")).decode()
    assert [line.split()[1:] for line in said.splitlines()] == [[second, WORKER], [third, WORKER]]
    assert await begun_by_worker(commands, [first, second, third]) == [first]


async def test_who_confirms_goes_and_what_comes_later_stays(commands: Redis) -> None:
    first, second = await read_ahead(commands, 2)
    await acks.ack(commands, "g", WORKER, [(A, first)], by_hand=True)
    (progress,) = await groups.record_progress(commands, [A], "g", consumer=WORKER)
    await acks.ack(commands, "g", WORKER, [(A, second)], by_hand=True)
    await given_up.confirm(commands, "g", WORKER, {A: progress.given_up})
    said = (await recorded(commands, A, "taken")).decode()
    assert [line.split()[1:] for line in said.splitlines()] == [[second, WORKER]]
    assert await given_up.unconfirmed(commands, A, "g") == {WORKER}


async def test_a_consumer_of_another_program_whose_name_has_two_lines_is_not_noted(commands: Redis) -> None:
    await fill(commands, A, 1)
    read: Any = await commands.xreadgroup("g", "two\nlines", {A: ">"})
    entry_id = read[0][1][0][0].decode()
    await acks.ack(commands, "g", "two\nlines", [(A, entry_id)], by_hand=True)
    assert await recorded(commands, A, "taken") is None


@pytest.mark.parametrize("known", ["forgotten", "taken"])
async def test_what_is_kept_is_read_once_and_not_for_each_entry(commands: Redis, known: str) -> None:
    ids = await read_ahead(commands, 250)
    seconds, _ = await commands.time()
    said = "".join(
        f"{seconds} worker-{number}\n" if known == "forgotten" else f"{seconds}000000 1-{number} other\n"
        for number in range(1000)
    )
    await commands.hset(names.records(A), f"{known} g", said)
    await commands.xgroup_delconsumer(A, "g", WORKER)
    before = await asked(commands, "hget")
    claims = [renewal.Claim(A, entry_id, begun=0, sure=lambda: True) for entry_id in ids]
    assert set(await renewal.hold(commands, "g", WORKER, claims)) == {"dropped"}
    assert await asked(commands, "hget") - before < 20


async def asked(redis: Redis, command: str) -> int:
    """How often the servers have run a command, also in scripts."""
    stats: list[Any] = [await server.info("commandstats") for server in slots.servers(redis, here=True)]
    return sum(one[f"cmdstat_{command}"]["calls"] for one in stats if f"cmdstat_{command}" in one)
