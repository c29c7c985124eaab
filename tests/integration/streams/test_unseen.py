"""What an owner loads behind the last entry that it has seen: what it was given, and nothing of others."""

import pytest
from redis.asyncio import Redis

from abe_redis.streams import acks, groups, manage, names, owners, release
from abe_redis.streams.lease import Portion
from abe_redis.streams.owners import Owner
from tests.integration.on_streams import A, fill, hold, now_ms, recorded, rows

ME = Owner("g", "me", "my token", 60.0)


async def owned(redis: Redis, count: int = 1) -> list[str]:
    """A stream of mine whose entries I was given and have seen."""
    ids = await fill(redis, A, count)
    await owners.own(redis, ME, [A])
    await given(redis, "0-0")
    return ids


async def given(redis: Redis, last: str) -> None:
    """I am given what is behind an entry."""
    await owners.take_owned(redis, ME, [Portion(A, 1000, last)], most=1000)


async def loaded_behind(redis: Redis, seen: str) -> list[tuple[str, int]]:
    loaded = await owners.load(redis, ME, A, after=seen)
    assert loaded is not None
    assert loaded.rest is None
    return [(entry.id, entry.deliveries) for entry, _ in loaded.entries]


@pytest.mark.parametrize("count", [1, 99, 100, 101, 250])
async def test_it_has_what_it_was_given_though_somebody_removed_its_consumer(
    commands: Redis, count: int
) -> None:
    """As when its connection breaks before it has the answer to a read."""
    (seen,) = await owned(commands)
    *unseen, postponed = await fill(commands, A, count + 1)
    await given(commands, seen)
    await commands.zadd(names.due(A, "g"), {postponed: await now_ms(commands) + 60_000})
    assert await commands.xgroup_delconsumer(A, "g", "me") == count + 2
    assert await loaded_behind(commands, seen) == [(one, 1) for one in unseen]
    assert list(await rows(commands, A)) == unseen


async def test_what_it_was_given_comes_once(commands: Redis) -> None:
    """What it has seen and finished meanwhile is not taken for unseen a second time."""
    (seen,) = await owned(commands)
    unseen = await fill(commands, A, 3)
    await given(commands, seen)
    await commands.xgroup_delconsumer(A, "g", "me")
    assert await loaded_behind(commands, seen) == [(one, 1) for one in unseen]
    await commands.xack(A, "g", *unseen)
    assert await loaded_behind(commands, seen) == []


async def test_what_others_were_given_and_finished_is_not_loaded(commands: Redis) -> None:
    (seen,) = await owned(commands)
    await hold(commands, A, 3, by="other")
    theirs = list(await rows(commands, A))[1:]
    await commands.xack(A, "g", *theirs)
    assert await loaded_behind(commands, seen) == []


@pytest.mark.parametrize("is_given", [False, True])
async def test_what_a_group_is_made_to_skip_is_not_loaded(commands: Redis, is_given: bool) -> None:
    (seen,) = await owned(commands)
    unseen = await fill(commands, A, 3)
    if is_given:
        await given(commands, seen)
    skipped = await fill(commands, A, 3)
    await commands.xgroup_setid(A, "g", skipped[-1])
    if is_given:
        await commands.xgroup_delconsumer(A, "g", "me")
    assert await loaded_behind(commands, seen) == [(one, 1) for one in unseen if is_given]


async def test_what_a_person_settled_before_it_was_seen_is_not_loaded(commands: Redis) -> None:
    (seen,) = await owned(commands)
    unseen = await fill(commands, A, 2)
    await given(commands, seen)
    await groups.record_progress(commands, [A], "g")
    await acks.ack(commands, "g", "me", [(A, unseen[0])], by_hand=True)
    await commands.xgroup_delconsumer(A, "g", "me")
    assert await loaded_behind(commands, seen) == [(unseen[1], 1)]


async def test_what_vanished_with_another_consumer_is_loaded(commands: Redis) -> None:
    """It does not count as finished by the owner, who never had it."""
    (seen,) = await owned(commands)
    theirs = await hold(commands, A, 3, by="other")
    await lease_of(commands, "other")
    await groups.record_progress(commands, [A], "g")
    await commands.xgroup_delconsumer(A, "g", "other")
    assert [one for one, _ in await loaded_behind(commands, seen)] == theirs


async def lease_of(redis: Redis, *consumers: str) -> None:
    """As when they have begun to consume."""
    now = await now_ms(redis)
    await redis.hset(names.leases(A, "g"), mapping=dict.fromkeys(consumers, f"60000 {now:.0f}"))


@pytest.mark.parametrize("removed", ["dead", "abe:nobody"])
@pytest.mark.parametrize("is_noticed_first", [False, True])
async def test_what_vanishes_while_it_is_loaded_is_loaded_too(
    commands: Redis, monkeypatch: pytest.MonkeyPatch, is_noticed_first: bool, removed: str
) -> None:
    """Whether it is put back before the next page, or by it; and whether it had been given back before."""
    monkeypatch.setattr(owners, "_MOST_LOADED", 100)
    ids = await hold(commands, A, 350, by="dead")
    if removed == "abe:nobody":
        known = dict.fromkeys(((A, entry_id) for entry_id in ids), 1)
        assert await release.release(commands, "g", "dead", [A], known, everything=False) == len(ids)
    await lease_of(commands, "dead", "me")
    await groups.record_progress(commands, [A], "g")
    await owners.own(commands, ME, [A])
    loaded = await owners.load(commands, ME, A, everybody=True)
    assert loaded is not None
    found = [entry.id for entry, _ in loaded.entries]
    assert found == ids[:100]
    assert await commands.xgroup_delconsumer(A, "g", removed) == 250
    if is_noticed_first:
        await groups.record_progress(commands, [A], "g")
    while loaded.rest is not None:
        loaded = await owners.load(commands, ME, A, everybody=True, rest=loaded.rest)
        assert loaded is not None
        found += [entry.id for entry, _ in loaded.entries if entry.id not in found]
    assert found == ids
    assert {row[0] for row in (await rows(commands, A)).values()} == {"me"}
    assert list(await rows(commands, A)) == ids


@pytest.mark.parametrize("how", ["reset", "remove"])
async def test_what_is_noted_of_a_read_ends_with_the_position(commands: Redis, how: str) -> None:
    (seen,) = await owned(commands)
    (unseen,) = await fill(commands, A, 1)
    await given(commands, seen)
    assert await recorded(commands, A, "read") == f"{seen} {unseen} me".encode()
    if how == "reset":
        await manage.reset(commands, A, "g", "$", force=True)
        assert await loaded_behind(commands, seen) == []
    else:
        await manage.remove(commands, A, "g", force=True)
    assert await recorded(commands, A, "read") is None
