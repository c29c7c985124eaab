"""Late copies of the command with which a consumer let go of an entry: what Redis remembers of that."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis.streams import choose, dead, lease, manage, names, release
from abe_redis.streams.groups import record_progress
from abe_redis.streams.scripts import Argument, Script
from tests.integration.on_streams import A, hold, recorded, rows

REMEMBERED = 100

type Late = list[Callable[[], Awaitable[Any]]]


@pytest.fixture
def redis_url(either_url: str) -> str:
    """Every test runs on both servers."""
    return either_url


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> Late:
    """Each command that was sent, to be executed once more when nobody waits for it."""
    copies: Late = []

    def noting(script: Script) -> Callable[..., Awaitable[Any]]:
        async def call(redis: Redis, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
            copies.append(lambda: script(redis, keys, arguments))
            return await script(redis, keys, arguments)

        return call

    monkeypatch.setattr(release, "_POSTPONE", noting(release._POSTPONE))
    monkeypatch.setattr(dead, "_BURY", noting(dead._BURY))
    return copies


async def lets_go(redis: Redis, how: str, entry_id: str) -> None:
    """End a hold, which has a name."""
    if how == "bury":
        assert (
            await dead.bury(redis, A, "g", "holder", entry_id, "no good", hold=f"hold of {entry_id}")
            == "done"
        )
    else:
        assert (
            await release.postpone(
                redis,
                A,
                "g",
                "holder",
                entry_id,
                delay_seconds=600,
                counted=False,
                hold=f"hold of {entry_id}",
            )
            == "done"
        )


async def has_in_hand(redis: Redis, entry_id: str) -> bool:
    found = await rows(redis, A)
    is_due = await redis.zscore(names.due(A, "g"), entry_id) is not None
    return found.get(entry_id, ("",))[0] == "holder" and not is_due


async def test_the_last_hundred_holds_are_remembered_and_no_more(commands: Redis, late: Late) -> None:
    ids = await hold(commands, A, REMEMBERED + 1)
    for entry_id in ids:
        await lets_go(commands, "postpone", entry_id)
    noted = await recorded(commands, A, "let go")
    assert noted is not None
    lines = noted.decode().splitlines()
    assert lines == [f"{entry_id} hold of {entry_id}" for entry_id in ids[:0:-1]]
    await choose.take_these(commands, "g", "holder", A, ids[:2], lease_seconds=30, postponed=True)
    await late[1]()
    assert await has_in_hand(commands, ids[1]), "the oldest that is remembered"
    await late[0]()
    assert not await has_in_hand(commands, ids[0]), "nobody can tell it from one of now"


async def test_a_hold_that_ends_twice_takes_one_place(commands: Redis) -> None:
    """As when its answer was lost, and its consumer says it again."""
    first, second = await hold(commands, A, 2)
    for entry_id in (first, second, first):
        await choose.take_these(commands, "g", "holder", A, [entry_id], lease_seconds=30, postponed=True)
        await lets_go(commands, "postpone", entry_id)
    noted = await recorded(commands, A, "let go")
    assert noted is not None
    assert [line.split()[0] for line in noted.decode().splitlines()] == [first, second]


@pytest.mark.parametrize("by", ["XGROUP CREATE", "group create"])
@pytest.mark.parametrize("how", ["postpone", "bury"])
async def test_a_group_that_somebody_makes_again_by_hand_is_protected_too(
    commands: Redis, late: Late, how: str, by: str
) -> None:
    (only,) = await hold(commands, A, 1)
    await lets_go(commands, how, only)
    await record_progress(commands, [A], "g")
    await commands.xgroup_destroy(A, "g")
    if by == "group create":
        assert (await manage.create(commands, A, "g", "0-0", force=True))[1]
    else:
        await commands.xgroup_create(A, "g", "0")
    await commands.delete(names.due(A, "g"))  # which would tell, too
    await lease.take_new(commands, "g", "holder", [A], count=1, block_ms=None)
    assert await has_in_hand(commands, only)
    await late[0]()
    assert await has_in_hand(commands, only)
    assert await commands.xlen(names.dead_letters(A)) == int(how == "bury")
