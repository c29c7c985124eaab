"""Keeping what is held."""

import pytest
from redis.asyncio import Redis

from abe_redis.streams import acks, renewal
from tests.integration.on_streams import (
    LONG_MS,
    A,
    B,
    C,
    hold,
    let_lapse,
    rows,
)


@pytest.mark.promise("every command that acks, renews or gives back an entry first checks who holds it.")
@pytest.mark.parametrize("how", ["renew", "ack"])
async def test_each_entry_has_its_own_outcome(commands: Redis, how: str) -> None:
    a, b = await hold(commands, A, 3, by="me"), await hold(commands, B, 2, by="me")
    await commands.xclaim(A, "g", "other", 0, [a[1]], justid=True)
    await let_lapse(commands, A, [a[0], a[2]], deliveries=2, by="me")
    await let_lapse(commands, B, b, deliveries=2, by="me")
    entries = [(B, b[1]), (A, a[0]), (A, a[1]), (C, "1-1"), (B, b[0]), (A, "1-1"), (A, a[2])]
    act = renewal.whose if how == "renew" else acks.ack
    outcomes = await act(commands, "g", "me", entries)
    assert outcomes == ["done", "done", "not_held", "unknown", "done", "unknown", "done"]
    left = await rows(commands, A)
    assert left.pop(a[1])[:2] == ("other", 1)
    ours = [*left.values(), *(await rows(commands, B)).values()]
    if how == "ack":
        assert ours == []
    else:
        assert [row[:2] for row in ours] == [("me", 2)] * 4
        assert max(row[2] for row in ours) < LONG_MS / 2
        assert await renewal.renew(commands, "g", "me", entries) == {(A, a[1]), (C, "1-1"), (A, "1-1")}


async def test_an_empty_request_sends_no_command(commands: Redis) -> None:
    assert await acks.ack(commands, "g", "me", []) == []
    assert await renewal.renew(commands, "g", "me", []) == set()
