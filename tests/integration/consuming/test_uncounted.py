"""What is leased ahead counts as not delivered; what a handler has begun with meanwhile counts."""

import pytest
from redis.asyncio import Redis

from abe_redis.streams import lease, names, release, renewal
from tests.integration.conftest import MakeBackend

pytestmark = pytest.mark.one_server


async def count_of(redis: Redis, entry_id: str) -> int:
    (row,) = await redis.xpending_range("s", "g", entry_id, entry_id, 1)
    return int(row["times_delivered"])


@pytest.mark.parametrize("delay", [0.0, 60.0])
async def test_what_was_given_back_keeps_its_count(make_backend: MakeBackend, delay: float) -> None:
    redis = (await make_backend().connections()).commands
    await redis.xgroup_create("s", "g", "0", mkstream=True)
    for number in range(2):
        await redis.xadd("s", {"data": str(number)})
    failed, waiting = await lease.take_new(redis, "g", "one", ["s"], count=2, block_ms=None)
    await release.postpone(redis, "s", "g", "one", failed.id, delay_seconds=delay, begun=1)
    await renewal.uncount(redis, "g", "one", [("s", failed.id), ("s", waiting.id)])
    assert await count_of(redis, failed.id) == 1
    assert await count_of(redis, waiting.id) == 0
    assert (await redis.zscore(names.due("s", "g"), failed.id) is not None) == bool(delay)
