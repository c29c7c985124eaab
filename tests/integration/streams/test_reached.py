"""What consumers have in flight is not new to a group that somebody removes, whoever they have it from."""

import pytest
from redis.asyncio import Redis

from abe_redis.streams import choose, groups, lease, names, release, renewal
from abe_redis.streams.reclaim import reclaim
from tests.integration.on_streams import A, always, hold, rows
from tests.integration.streams.removed_consumers import LEASE_SECONDS, taken_over


@pytest.fixture
def redis_url(either_url: str) -> str:
    """Every test runs on both servers."""
    return either_url


@pytest.mark.parametrize("how", ["reclaim", "owner", "choose"])
async def test_what_was_taken_over_from_a_consumer_that_left_is_not_delivered_as_new(
    commands: Redis, how: str
) -> None:
    """The consumer deletes what it has recorded, since it has nothing in flight."""
    await groups.ensure_group(commands, [A], "g")
    ids = await hold(commands, A, 3)
    known = {(A, entry_id): 0 for entry_id in ids}
    await release.release(commands, "g", "holder", [A], known, everything=False, leaves=True)
    if how == "choose":
        chosen = await choose.take_these(
            commands, "g", "other", A, ids, lease_seconds=LEASE_SECONDS, postponed=True
        )
        assert [entry.id for entry in chosen.leased] == ids
    elif how == "reclaim":
        leased, _ = await reclaim(commands, "g", "other", [A], lease_seconds=LEASE_SECONDS, count=10)
        assert [entry.id for entry in leased] == ids
    else:
        assert [entry_id for entry_id, _ in await taken_over(commands, how)] == ids
    await commands.xgroup_destroy(A, "g")
    await groups.ensure_group(commands, [A], "g")
    assert list(await rows(commands, A)) == ids
    assert await lease.take_new(commands, "g", "other", [A], count=10, block_ms=None) == []


@pytest.mark.parametrize(
    ("stage", "outcome"), [(renewal.Stage.WAITING, "unknown"), (renewal.Stage.AT_WORK, "dropped")]
)
async def test_what_is_new_to_a_group_that_was_made_again_is_not_put_back_unless_a_handler_has_it(
    commands: Redis, stage: renewal.Stage, outcome: renewal.Outcome
) -> None:
    """As after a blocking read just before somebody removed the group: nobody had recorded that read."""
    await groups.ensure_group(commands, [A], "g")
    (entry_id,) = await hold(commands, A, 1)
    await commands.hdel(names.records(A), "last g")
    await commands.xgroup_destroy(A, "g")
    await groups.ensure_group(commands, [A], "g")
    claim = renewal.Claim(A, entry_id, begun=1, sure=always, stage=stage)
    assert await renewal.hold(commands, "g", "holder", [claim]) == [outcome]
    assert list(await rows(commands, A)) == [entry_id] * (outcome == "dropped")
    leased = await lease.take_new(commands, "g", "other", [A], count=10, block_ms=None)
    assert [entry.id for entry in leased] == [entry_id]
