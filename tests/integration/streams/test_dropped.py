"""What somebody dropped with a consumer is told from what others took over, though both leave no row."""

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis.streams import choose, dead, lease, names, owners, release, renewal
from abe_redis.streams.owners import Owner
from abe_redis.streams.reclaim import reclaim
from tests.integration.on_streams import A, always, consumers, fill, hold, let_lapse, recorded, rows

TAKER = Owner("g", "taker", "the taker's token", 60.0)
LEASE_SECONDS = 60.0


@pytest.fixture
def redis_url(either_url: str) -> str:
    """Every test runs on both servers."""
    return either_url


async def drop(redis: Redis, name: str = "holder") -> None:
    """Somebody removes a consumer, and a read of its own that was on its way makes it again."""
    await redis.xgroup_delconsumer(A, "g", name)
    await redis.xgroup_createconsumer(A, "g", name)


async def take(redis: Redis, how: str, ids: list[str]) -> None:
    """Another takes over what was idle for long."""
    if how == "reclaim":
        leased, _ = await reclaim(redis, "g", "taker", [A], lease_seconds=LEASE_SECONDS, count=10)
        assert [entry.id for entry in leased] == ids
    elif how == "load":
        assert await owners.own(redis, TAKER, [A]) == [A]
        loaded = await owners.load(redis, TAKER, A, everybody=True)
        assert loaded is not None
        assert [entry.id for entry, _ in loaded.entries] == ids
    else:
        chosen = await choose.take_these(
            redis, "g", "taker", A, ids, lease_seconds=LEASE_SECONDS, postponed=True
        )
        assert [entry.id for entry in chosen.leased] == ids


def claims(
    ids: list[str], stage: renewal.Stage = renewal.Stage.AT_WORK, *, sure: renewal.Sure = renewal.never
) -> list[renewal.Claim]:
    return [renewal.Claim(A, entry_id, begun=1, sure=sure, stage=stage) for entry_id in ids]


async def test_a_consumer_that_was_removed_and_is_there_again_takes_back_what_it_has_in_hand(
    commands: Redis,
) -> None:
    ids = await hold(commands, A, 2)
    await drop(commands)
    assert await renewal.hold(commands, "g", "holder", claims(ids, renewal.Stage.OVER)) == ["unknown"] * 2
    assert await renewal.hold(commands, "g", "holder", claims(ids)) == ["dropped"] * 2
    assert {entry_id: row[:2] for entry_id, row in (await rows(commands, A)).items()} == dict.fromkeys(
        ids, ("holder", 1)
    )


@pytest.mark.parametrize("how", ["reclaim", "load", "choose"])
@pytest.mark.parametrize("sure", [renewal.never, always], ids=["in-doubt", "sure"])
async def test_what_others_took_over_and_finished_is_not_taken_back(
    commands: Redis, how: str, sure: renewal.Sure
) -> None:
    """Also when its holder was sure of its lease when it sent a command that arrives later than that."""
    ids = await hold(commands, A, 2)
    await let_lapse(commands, A, ids, deliveries=1)
    await take(commands, how, ids)
    await commands.xack(A, "g", *ids)
    assert await renewal.hold(commands, "g", "holder", claims(ids, sure=sure)) == ["unknown"] * 2
    assert (
        await release.postpone(
            commands, A, "g", "holder", ids[0], delay_seconds=1, begun=1, sure=sure, in_hand=True
        )
        != "done"
    )
    assert await dead.bury(commands, A, "g", "holder", ids[0], "poison", sure=sure, in_hand=True) != "done"
    owner = Owner("g", "holder", TAKER.token if how == "load" else "its token", LEASE_SECONDS)
    await owners.own(commands, owner, [A])
    assert await owners.start(commands, owner, lease.Leased(A, ids[1], {}, 1), sure=sure) == "gone"
    known = dict.fromkeys(((A, entry_id) for entry_id in ids), 1)
    given = await release.release(
        *(commands, "g", "holder", [A], known), everything=False, in_hand=dict.fromkeys(known, sure)
    )
    assert given == 0
    assert await rows(commands, A) == {}


async def test_who_leaves_stays_until_it_has_answered_for_what_was_dropped(commands: Redis) -> None:
    """Else what it says then would be believed, though others may have finished it meanwhile."""
    (entry_id,) = await hold(commands, A, 1)
    await drop(commands)
    known = {(A, entry_id): 1}
    given = await release.release(
        *(commands, "g", "holder", [A], known),
        everything=False,
        leaves=True,
        in_hand={(A, entry_id): renewal.never},
        still=lambda _: False,
    )
    assert given == 0
    assert await consumers(commands, A) == {"holder"}


async def test_who_lost_an_entry_under_nobodys_name_may_be_anybody(commands: Redis) -> None:
    """A group was made again: what its consumers had is pending under nobody's name, until others take it."""
    ids = await hold(commands, A, 1)
    await let_lapse(commands, A, ids, deliveries=1, by="abe:nobody")
    await take(commands, "reclaim", ids)
    await commands.xack(A, "g", *ids)
    assert await renewal.hold(commands, "g", "holder", claims(ids)) == ["unknown"]


@pytest.mark.parametrize(
    ("how", "delay"), [("reclaim", 0.001), ("load", 0.001), ("load", 60), ("choose", 0.001), ("choose", 60)]
)
@pytest.mark.parametrize("is_there_again", [False, True])
async def test_what_was_dropped_while_it_waited_for_later_and_others_finished_is_not_taken_back(
    commands: Redis, how: str, delay: float, is_there_again: bool
) -> None:
    """Its holder, such as an ordered worker that was suspended, still counts it as its own."""
    (entry_id,) = await hold(commands, A, 1)
    assert (
        await release.postpone(commands, A, "g", "holder", entry_id, delay_seconds=delay, begun=1) == "done"
    )
    await commands.xgroup_delconsumer(A, "g", "holder")
    if is_there_again:
        await commands.xgroup_createconsumer(A, "g", "holder")
    await anyio.sleep(0.01)
    await take(commands, how, [entry_id])
    await commands.xack(A, "g", entry_id)
    known = {(A, entry_id): 1}
    given = await release.release(
        *(commands, "g", "holder", [A], known),
        everything=False,
        stays=True,
        in_hand=dict.fromkeys(known, renewal.never),
    )
    assert given == 0
    assert await renewal.hold(commands, "g", "holder", claims([entry_id])) == ["unknown"]
    assert await rows(commands, A) == {}


@pytest.mark.parametrize("how", ["reclaim", "load", "choose"])
@pytest.mark.parametrize("by", ["taker", "abe:nobody"])
@pytest.mark.parametrize("given_back", [False, True])
async def test_who_lost_an_entry_and_has_it_again_takes_it_back_when_it_is_dropped(
    commands: Redis, how: str, by: str, given_back: bool
) -> None:
    """It was given back meanwhile, or taken in turn; nobody's was a group's that was made again."""
    ids = await hold(commands, A, 1, by="taker")
    await let_lapse(commands, A, ids, deliveries=1, by=by)
    leased, _ = await reclaim(commands, "g", "another", [A], lease_seconds=LEASE_SECONDS, count=10)
    assert [entry.id for entry in leased] == ids
    assert await recorded(commands, A, "reclaimed")
    if given_back:
        await release.release(commands, "g", "another", [A], {(A, ids[0]): 1}, everything=False)
    else:
        await let_lapse(commands, A, ids, deliveries=1, by="another")
    await take(commands, how, ids)
    await drop(commands, "taker")
    assert await renewal.hold(commands, "g", "taker", claims(ids)) == ["dropped"]


@pytest.mark.parametrize("how", ["reclaim", "load", "choose"])
async def test_who_gave_something_back_lost_nothing(commands: Redis, how: str) -> None:
    ids = await hold(commands, A, 1)
    await release.release(commands, "g", "holder", [A], {(A, ids[0]): 0}, everything=False)
    await take(commands, how, ids)
    await commands.xack(A, "g", *ids)
    assert await recorded(commands, A, "reclaimed") is None
    ids = await hold(commands, A, 1)
    await drop(commands)
    assert await renewal.hold(commands, "g", "holder", claims(ids)) == ["dropped"]


@pytest.mark.parametrize("in_hand", [False, True])
async def test_what_was_dropped_is_settled_unless_it_may_be_settled_already(
    commands: Redis, in_hand: bool
) -> None:
    postponed, buried = await hold(commands, A, 2)
    await drop(commands)
    found = [
        await release.postpone(
            commands, A, "g", "holder", postponed, delay_seconds=60, begun=1, in_hand=in_hand
        ),
        await dead.bury(commands, A, "g", "holder", buried, "poison", in_hand=in_hand),
    ]
    assert found == ["done" if in_hand else "unknown"] * 2
    assert list(await rows(commands, A)) == ([postponed] if in_hand else [])
    assert await commands.zcard(names.due(A, "g")) == int(in_hand)
    assert await dead.count(commands, A) == int(in_hand)


@pytest.mark.parametrize("everything", [False, True])
async def test_what_was_dropped_before_it_is_given_back_is_nobodys(commands: Redis, everything: bool) -> None:
    ids = await hold(commands, A, 4)
    await drop(commands)
    await commands.xdel(A, ids[3])
    known = {(A, ids[0]): 1, (A, ids[1]): 0, (A, ids[2]): 1, (A, ids[3]): 1}
    in_hand = {(A, ids[0]): always, (A, ids[1]): renewal.never, (A, ids[3]): renewal.never}
    given = await release.release(
        *(commands, "g", "holder", [A], known), everything=everything, in_hand=in_hand
    )
    assert given == 2
    assert {entry_id: row[:2] for entry_id, row in (await rows(commands, A)).items()} == {
        ids[0]: ("abe:nobody", 1),
        ids[1]: ("abe:nobody", 0),
    }
    assert await recorded(commands, A, "lost") == b"1"


async def test_a_delivery_of_what_was_dropped_starts(commands: Redis) -> None:
    (entry_id,) = await hold(commands, A, 1, by="taker")
    await owners.own(commands, TAKER, [A])
    await drop(commands, "taker")
    entry = lease.Leased(A, entry_id, {}, 1)
    assert await owners.start(commands, TAKER, entry) == "started"


@pytest.mark.parametrize("removed", [False, True])
async def test_what_is_taken_over_is_told_entry_by_entry(commands: Redis, removed: bool) -> None:
    """Somebody dropped one of two, and others took the other."""
    dropped, taken = await hold(commands, A, 2)
    await commands.xack(A, "g", dropped)  # as if with its consumer
    await let_lapse(commands, A, [taken], deliveries=1)
    await take(commands, "load", [taken])
    await commands.xack(A, "g", taken)
    if removed:
        await commands.xgroup_delconsumer(A, "g", "holder")
    assert await renewal.hold(commands, "g", "holder", claims([dropped, taken])) == ["dropped", "unknown"]


async def test_the_record_of_what_was_taken_over_is_bounded_and_forgets(commands: Redis) -> None:
    async def noted() -> list[str]:
        lines = (await recorded(commands, A, "reclaimed") or b"").decode().splitlines()
        return [line.partition(" ")[2] for line in lines]

    async def rob(entry_id: str) -> None:
        await let_lapse(commands, A, [entry_id], deliveries=1)
        await take(commands, "reclaim", [entry_id])

    seconds, _ = await commands.time()
    lines = f"{seconds - 8 * 86_400} 1-0 a week ago\n{seconds - 86_400} 1-0 another\n"
    await commands.hset(names.records(A), "reclaimed g", lines)
    first, second = await hold(commands, A, 2)
    await commands.xclaim(A, "g", "nobody else", 0, [second])
    await rob(first)
    await rob(first)
    assert await noted() == ["1-0 another", f"{first} holder"]
    many = "".join(f"{seconds} {number}-0 many{number % 900}\n" for number in range(1200))
    await commands.hset(names.records(A), "reclaimed g", many)
    await rob(first)
    found = await noted()
    assert len(found) == 1000
    assert found[-1] == f"{first} holder"
    assert found[-200:-1] == [f"{number}-0 many{number % 900}" for number in range(1001, 1200)]
    assert found[:-200] == [f"-{number}-0 many{number % 900}" for number in range(201, 1001)]
    await commands.xgroup_createconsumer(A, "g", "many100")
    around = [renewal.Claim(A, entry_id, begun=1, sure=renewal.never) for entry_id in ("1000-0", "1000-1")]
    assert await renewal.hold(commands, "g", "many100", around) == ["unknown", "deleted"]
    await commands.hset(names.records(A), "reclaimed g", f"{seconds} - many100\n")
    assert await renewal.hold(commands, "g", "many100", around[1:]) == ["unknown"]


async def test_an_agent_that_takes_what_waits_for_later_robs_whoever_waits_for_it(commands: Redis) -> None:
    """An ordered consumer keeps what it postponed."""
    (entry_id,) = await hold(commands, A, 1)
    await release.postpone(commands, A, "g", "holder", entry_id, delay_seconds=60)
    await take(commands, "choose", [entry_id])
    assert b" holder\n" in await recorded(commands, A, "reclaimed")
    assert await fill(commands, A, 1)


@pytest.mark.parametrize("stage", list(renewal.Stage))
async def test_what_was_given_back_is_counted_and_stays_nobodys_unless_it_is_in_hand(
    commands: Redis, stage: renewal.Stage
) -> None:
    """A count that comes late: with its old consumer's name, it would be lost when somebody removes that."""
    (entry_id,) = await hold(commands, A, 1)
    await release.release(commands, "g", "holder", [A], {(A, entry_id): 0}, everything=False)
    assert await renewal.hold(commands, "g", "holder", claims([entry_id], stage)) == ["done"]
    name, deliveries, idle_ms = (await rows(commands, A))[entry_id]
    is_nobodys = stage is renewal.Stage.OVER
    assert (name, deliveries) == ("abe:nobody" if is_nobodys else "holder", 1)
    assert (idle_ms > 10**12) is is_nobodys
