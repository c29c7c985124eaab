"""What a removed consumer had taken from others, or begun, after the pending entries were last listed."""

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis.streams import acks, choose, lease, manage, owners, release, renewal
from abe_redis.streams.owners import Owner
from abe_redis.streams.reclaim import reclaim
from abe_redis.streams.trim import trim
from tests.integration.on_streams import A, always, entries, fill, let_lapse, recorded, rows
from tests.integration.streams.removed_consumers import (
    HOW,
    LEASE_SECONDS,
    NOBODY,
    join,
    record,
    remove,
    take,
    taken_over,
)


@pytest.fixture
def redis_url(either_url: str) -> str:
    """Every test runs on both servers."""
    return either_url


MOVES = pytest.mark.parametrize("moved", ["due", "idle", "released", "chosen", "replayed", "owned"])


@HOW
@MOVES
async def test_what_the_removed_consumer_got_from_others_since_the_list_goes_to_another(
    commands: Redis, how: str, moved: str
) -> None:
    """Whoever had it before is there."""
    first, second = await fill(commands, A, 2)
    await join(commands, "alive")
    await take(commands, "alive", 2)
    match moved:
        case "due":
            await release.postpone(commands, A, "g", "alive", first, delay_seconds=0.01, begun=1)
        case "released":
            await release.postpone(commands, A, "g", "alive", first, delay_seconds=0, begun=1)
        case "replayed":
            await acks.ack(commands, "g", "alive", [(A, first)])
            await manage.replay(commands, A, "g", first, first)
        case _:
            await let_lapse(commands, A, [first], deliveries=1, by="alive")
    await record(commands)
    await anyio.sleep(0.02)
    dead_one = Owner("g", "dead", "the dead one's token", LEASE_SECONDS)
    match moved:
        case "chosen":
            chosen = await choose.take_these(
                commands, "g", "dead", A, [first], lease_seconds=LEASE_SECONDS, postponed=False
            )
            taken = [one.id for one in chosen.leased]
        case "owned":
            await owners.own(commands, dead_one, [A])
            loaded = await owners.load(commands, dead_one, A)
            assert loaded is not None
            taken = [entry.id for entry, _ in loaded.entries]
            await owners.disown(commands, dead_one, [A])
        case _:
            leased, _ = await reclaim(commands, "g", "dead", [A], lease_seconds=LEASE_SECONDS, count=1)
            taken = [one.id for one in leased]
    assert taken == [first]
    assert await remove(commands, "dead") == 1
    await acks.ack(commands, "g", "alive", [(A, second)])
    assert [entry_id for entry_id, _ in await taken_over(commands, how)] == [first]
    assert await recorded(commands, A, "lost") is None


@pytest.mark.parametrize("ordered", [False, True])
async def test_the_count_of_a_delivery_that_began_after_the_list_stays(
    commands: Redis, ordered: bool
) -> None:
    """Else an event that kills its worker is never buried, when somebody removes its consumer each time."""
    await fill(commands, A, 1)
    await join(commands, "other")
    for deliveries in (1, 2, 3):
        name = f"dead-{deliveries}"
        await join(commands, name)
        if deliveries == 1:
            (entry_id,) = await take(commands, name, 1)
        else:
            await let_lapse(commands, A, [entry_id], deliveries=deliveries - 1, by=NOBODY)
            leased, _ = await reclaim(
                commands, "g", name, [A], lease_seconds=LEASE_SECONDS, count=1, begun=False
            )
            assert [(one.id, one.deliveries) for one in leased] == [(entry_id, deliveries)]
        if ordered:
            owner = Owner("g", name, f"{name}'s token", LEASE_SECONDS)
            await owners.own(commands, owner, [A])
            assert await owners.start(commands, owner, lease.Leased(A, entry_id, {}, deliveries)) == "started"
            await owners.disown(commands, owner, [A])
        else:
            claim = renewal.Claim(A, entry_id, begun=deliveries, sure=always, stage=renewal.Stage.AT_WORK)
            assert await renewal.hold(commands, "g", name, [claim], begins=True) == ["done"]
        await remove(commands, name)
        assert (await record(commands)).put_back == 1
        assert (await rows(commands, A))[entry_id][:2] == (NOBODY, deliveries)


async def test_what_waits_to_be_replayed_stays_when_somebody_removes_the_name_under_which_it_waits(
    commands: Redis,
) -> None:
    (entry_id,) = await fill(commands, A, 1)
    await join(commands, "alive")
    await take(commands, "alive", 1)
    await acks.ack(commands, "g", "alive", [(A, entry_id)])
    await manage.replay(commands, A, "g", "-", "+")
    await record(commands)
    assert await remove(commands, "abe:replay") == 1
    assert (await record(commands)).put_back == 1
    assert list(await rows(commands, A)) == [entry_id]


@pytest.mark.parametrize("hand", ["XACK", "DELCONSUMER"])
async def test_trimming_keeps_what_is_postponed_though_somebody_dropped_it(
    commands: Redis, hand: str
) -> None:
    ids = await fill(commands, A, 4)
    await join(commands, "alive")
    await take(commands, "alive", 4)
    await release.postpone(commands, A, "g", "alive", ids[1], delay_seconds=0.01, begun=1)
    await acks.ack(commands, "g", "alive", [(A, entry_id) for entry_id in ids if entry_id != ids[1]])
    if hand == "XACK":
        await commands.xack(A, "g", ids[1])
    else:
        await remove(commands, "alive")
    await commands.xgroup_createconsumer(A, "g", "alive")
    await record(commands)
    await trim(commands, [A], 1, idle_days=0)
    assert [entry_id for entry_id, _ in await entries(commands, A)] == ids[1:]
    await anyio.sleep(0.02)
    leased, _ = await reclaim(commands, "g", "alive", [A], lease_seconds=LEASE_SECONDS, count=1)
    assert [(one.id, one.deliveries) for one in leased] == [(ids[1], 2)]
    await acks.ack(commands, "g", "alive", [(A, ids[1])])
    await trim(commands, [A], 1, idle_days=0)
    assert [entry_id for entry_id, _ in await entries(commands, A)] == ids[3:]


@pytest.mark.parametrize("position", ["0-0", "$"])
@pytest.mark.parametrize("by", ["reset", "create", "pause"])
async def test_what_a_consumer_got_right_after_our_command_moved_its_group_goes_to_another(
    commands: Redis, by: str, position: str
) -> None:
    """Nobody has recorded the group since."""
    await fill(commands, A, 2)
    await join(commands, "dead")
    await take(commands, "dead", 2)
    await record(commands)
    match by:
        case "reset":
            assert (await manage.reset(commands, A, "g", position, force=True))[1]
        case "create":
            await commands.xgroup_destroy(A, "g")
            assert (await manage.create(commands, A, "g", position, force=True))[1]
        case _:
            assert (await manage.remove(commands, A, "g", force=True))[1]
            assert await manage.pause(commands, A, "g", paused=True, makes=True)
    await fill(commands, A, 2)
    got = await take(commands, "dead", 2)
    assert len(got) == 2
    await remove(commands, "dead")
    assert [entry_id for entry_id, _ in await taken_over(commands, "owner")][:2] == got
    assert await recorded(commands, A, "lost") is None
