"""Blocking reads that a server does not end, as when its clock was set back."""

from collections.abc import Sequence
from typing import Any

import anyio

from abe_redis.consuming.blocking_reads import BlockingReads
from tests.patience import PATIENCE


class OneSlot:
    """A client whose streams all lie in one slot."""

    def by_slot(self, streams: Sequence[str]) -> list[Sequence[str]]:
        return [streams]


async def test_a_wait_ends_by_our_own_clock_and_the_read_goes_on() -> None:
    reads, comes, begun = BlockingReads[str](leases=True), anyio.Event(), 0
    client: Any = OneSlot()

    async def read(streams: Sequence[str]) -> list[str]:
        nonlocal begun
        begun += 1
        await comes.wait()
        return [*streams]

    with anyio.fail_after(PATIENCE):
        for _ in range(2):
            assert await reads.wait(client, ["a", "b"], read, seconds=0.01) == []
            assert reads.are_under_way
        comes.set()
        assert await reads.wait(client, ["a", "b"], read, seconds=PATIENCE) == ["a", "b"]
    assert not reads.are_under_way
    assert begun == 1
