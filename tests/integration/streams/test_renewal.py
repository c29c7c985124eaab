"""Keeping what is held."""

import pytest
from redis.asyncio import Redis

from abe_redis.streams import acks, release, renewal
from tests.integration.on_streams import (
    LONG_MS,
    A,
    B,
    C,
    hold,
    let_lapse,
    recorded,
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
    if how == "renew":
        looked_at = await rows(commands, B)
        assert min(looked_at[one][2] for one in b) >= LONG_MS, "a look changes nothing"
        assert await renewal.renew(commands, "g", "me", entries) == {(A, a[1]), (C, "1-1"), (A, "1-1")}
    left = await rows(commands, A)
    assert left.pop(a[1])[:2] == ("other", 1)
    ours = [*left.values(), *(await rows(commands, B)).values()]
    if how == "ack":
        assert ours == []
    else:
        assert [row[:2] for row in ours] == [("me", 2)] * 4
        assert max(row[2] for row in ours) < LONG_MS / 2


async def test_what_was_removed_is_lost_with_its_renewal(
    commands: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """XCLAIM drops its row, so nobody would hear of it later."""
    first, second = await hold(commands, A, 2, by="me")
    await commands.xdel(A, first)
    for _ in range(2):
        assert await renewal.renew(commands, "g", "me", [(A, first), (A, second)]) == {(A, first)}
    assert await recorded(commands, A, "lost") == b"1"
    assert list(await rows(commands, A)) == [second]
    assert caplog.text.count(f"is gone: {first}.") == 1


@pytest.mark.parametrize("by_name", [True, False])
async def test_what_was_removed_can_be_acked(commands: Redis, *, by_name: bool) -> None:
    (entry_id,) = await hold(commands, A, 1, by="me")
    await commands.xdel(A, entry_id)
    assert await renewal.whose(commands, "g", "me", [(A, entry_id)], by_name=by_name) == ["done"]
    assert await acks.ack(commands, "g", "me", [(A, entry_id)]) == ["done"]
    assert await recorded(commands, A, "lost") is None


async def test_a_renewal_does_not_take_back_what_was_released(commands: Redis) -> None:
    (entry_id,) = await hold(commands, A, 1, by="me")
    assert await release.release(commands, "g", "me", [A], {(A, entry_id): 0}, everything=False) == 1
    assert await renewal.renew(commands, "g", "me", [(A, entry_id)]) == {(A, entry_id)}
    assert (await rows(commands, A))[entry_id][0] == "abe:nobody"
    assert await renewal.whose(commands, "g", "me", [(A, entry_id)], by_name=True) == ["not_held"]
    assert await renewal.whose(commands, "g", "me", [(A, entry_id)]) == ["done"], "it settles what it had"
    assert (await rows(commands, A))[entry_id][0] == "abe:nobody", "until it does, others may take it"
    assert await recorded(commands, A, "given") is not None


async def test_a_renewal_takes_back_what_was_put_back_for_it(commands: Redis) -> None:
    """As in a group that was made again: see `make_again`."""
    (entry_id,) = await hold(commands, A, 1, by="me")
    await commands.xclaim(A, "g", "abe:nobody", 0, [entry_id], justid=True)
    assert await renewal.renew(commands, "g", "me", [(A, entry_id)]) == set()
    assert (await rows(commands, A))[entry_id][0] == "me"


async def test_an_empty_request_sends_no_command(commands: Redis) -> None:
    assert await acks.ack(commands, "g", "me", []) == []
    assert await renewal.renew(commands, "g", "me", []) == set()
