"""What others took over in such number that of most entries only their former holder is recorded."""

import pytest
from redis.asyncio import Redis

from abe_redis.streams import dead, owners, release, renewal
from abe_redis.streams.lease import Leased
from abe_redis.streams.owners import Owner
from tests.integration.on_streams import LONG_MS, A, fill, hold, rows

TAKER = Owner("g", "taker", "the taker's token", 60.0)


@pytest.fixture
def redis_url(either_url: str) -> str:
    """Every test runs on both servers."""
    return either_url


async def taken_over(redis: Redis) -> list[str]:
    """Another consumer took over 320 entries and finished them."""
    ids = await hold(redis, A, 320)
    await redis.xclaim(A, "g", "holder", 0, [*ids], idle=LONG_MS, retrycount=1, justid=True)
    assert await owners.own(redis, TAKER, [A]) == [A]
    loaded = await owners.load(redis, TAKER, A, everybody=True)
    assert loaded is not None
    assert [entry.id for entry, _ in loaded.entries] == ids
    await redis.xack(A, "g", *ids)
    return ids


@pytest.mark.parametrize("is_removed", [False, True], ids=["there", "removed-since"])
async def test_who_lost_more_entries_than_are_recorded_gives_none_of_them_back(
    commands: Redis, is_removed: bool
) -> None:
    """It says so in several commands. Having said the first, it holds nothing; it is there all the same."""
    ids = await taken_over(commands)
    if is_removed:
        assert await commands.xgroup_delconsumer(A, "g", "holder") == 0
    for some in (ids[:160], ids[160:]):
        known = dict.fromkeys(((A, entry_id) for entry_id in some), 1)
        given = await release.release(
            *(commands, "g", "holder", [A], known),
            everything=False,
            stays=True,
            in_hand=dict.fromkeys(known, renewal.never),
        )
        assert given == 0
    assert await rows(commands, A) == {}


async def test_who_lost_many_takes_back_what_it_was_given_since_and_somebody_dropped(
    commands: Redis,
) -> None:
    await taken_over(commands)
    new = await fill(commands, A, 3)
    await commands.xreadgroup("g", "holder", {A: ">"})
    await commands.xgroup_delconsumer(A, "g", "holder")
    claims = [renewal.Claim(A, entry_id, begun=1, sure=renewal.never) for entry_id in new]
    assert await renewal.hold(commands, "g", "holder", claims) == ["dropped"] * 3
    assert {row[0] for row in (await rows(commands, A)).values()} == {"holder"}


async def test_a_holder_that_was_sure_when_it_asked_is_asked_again_before_anything_is_put_back(
    commands: Redis,
) -> None:
    """It stood still after its question; so many were taken over that of most only their holder is kept."""

    def sure_once() -> renewal.Sure:
        answers = iter([True])
        return lambda: next(answers, False)

    ids = await taken_over(commands)
    asked = [renewal.Claim(A, entry_id, begun=1, sure=sure_once()) for entry_id in ids[:9]]
    assert await renewal.hold(commands, "g", "holder", asked) == ["unknown"] * 9
    begun = [renewal.Claim(A, ids[0], begun=1, sure=sure_once())]
    assert await renewal.hold(commands, "g", "holder", begun, begins=True) == ["unknown"]
    held = (commands, A, "g", "holder", ids[0])
    assert await release.postpone(*held, delay_seconds=1, begun=1, sure=sure_once(), in_hand=True) != "done"
    assert await dead.bury(*held, "poison", sure=sure_once(), in_hand=True) != "done"
    owner = Owner("g", "holder", TAKER.token, TAKER.lease_seconds)
    assert await owners.start(commands, owner, Leased(A, ids[0], {}, 1), sure=sure_once()) == "gone"
    known = dict.fromkeys(((A, entry_id) for entry_id in ids[:9]), 1)
    in_hand = {key: sure_once() for key in known}
    given = await release.release(*held[:1], "g", "holder", [A], known, everything=False, in_hand=in_hand)
    assert given == 0
    assert await rows(commands, A) == {}
