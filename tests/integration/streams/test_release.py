"""Giving back: at once, or with a delay."""

from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis.schemas import MAX_DELAY_SECONDS
from abe_redis.streams import acks, names, release
from tests.integration.on_streams import (
    LONG_MS,
    A,
    B,
    C,
    abandoned,
    consumers,
    hold,
    let_lapse,
    now_ms,
    recorded,
    rows,
)


@pytest.mark.parametrize(
    ("delay", "expected"), [(0.5, 0.5), (5, 5), (10**9, MAX_DELAY_SECONDS), (0.001, 0.001)]
)
async def test_postponed_until_then(commands: Redis, delay: float, expected: float) -> None:
    (entry_id,) = await hold(commands, A, 1, by="me")
    await let_lapse(commands, A, [entry_id], deliveries=3, by="me")
    began = await now_ms(commands)
    assert await release.postpone(commands, A, "g", "me", entry_id, delay_seconds=delay) == "done"
    ended = await now_ms(commands)
    due = names.due(A, "g")
    score: Any = await commands.zscore(due, entry_id)
    assert began - 1 <= int(score) - expected * 1000 <= ended
    assert score % 1 == 3 / 4096, "the count is kept with it"
    ttl: Any = await commands.pttl(due)
    assert abs(ttl - 2 * MAX_DELAY_SECONDS * 1000) < 60_000
    ((consumer, deliveries, idle),) = (await rows(commands, A)).values()
    assert (consumer, deliveries) == ("me", 3)
    assert idle < LONG_MS / 2
    assert MAX_DELAY_SECONDS == 7 * 24 * 3600


@pytest.mark.parametrize("delay", [0, -5, 5])
@pytest.mark.parametrize(
    ("before", "counted", "after"), [(3, True, 3), (3, False, 2), (0, False, 0), (1, False, 0)]
)
async def test_a_delivery_may_not_count(
    commands: Redis, delay: float, before: int, counted: bool, after: int
) -> None:
    (entry_id,) = await hold(commands, A, 1, by="me")
    await let_lapse(commands, A, [entry_id], deliveries=before, by="me")
    assert (
        await release.postpone(commands, A, "g", "me", entry_id, delay_seconds=delay, counted=counted)
        == "done"
    )
    assert (await rows(commands, A))[entry_id][1] == after
    if delay <= 0:
        assert not await commands.exists(names.due(A, "g"))
        taken, _ = await abandoned(commands, A, seconds=10 * 365 * 86_400)  # at once, whatever the lease
        assert taken == [(A, entry_id, after + 1)]


async def test_an_event_that_another_holds_is_not_postponed(commands: Redis) -> None:
    (entry_id,) = await hold(commands, A, 1, by="other")
    assert await release.postpone(commands, A, "g", "me", entry_id, delay_seconds=5) == "not_held"
    assert await release.postpone(commands, A, "none", "me", entry_id, delay_seconds=5) == "unknown"
    assert not await commands.exists(names.due(A, "g"))
    assert (await rows(commands, A))[entry_id][:2] == ("other", 1)


async def test_named_entries_are_given_back(commands: Redis) -> None:
    a, b = await hold(commands, A, 5, by="me"), await hold(commands, B, 1, by="me")
    foreign = await hold(commands, C, 1, by="other")
    known = {(A, a[0]): 7, (A, a[1]): 0, (A, a[2]): release.KEEP, (B, b[0]): 2, (C, foreign[0]): 9}
    streams = [A, "{t}none", B, C]
    assert await release.release(commands, "g", "me", streams, known, everything=False) == 3
    found = await rows(commands, A)
    assert [found[entry_id][1] for entry_id in a] == [7, 0, 1, 1, 1]
    free = [entry_id for entry_id, row in found.items() if row[2] > LONG_MS]
    assert free == a[:2]
    assert (await rows(commands, C))[foreign[0]][:2] == ("other", 1)
    assert await rows(commands, B) != {}


async def test_all_that_is_held_is_given_back_as_not_delivered(commands: Redis) -> None:
    ids = await hold(commands, A, 350, by="me")
    await let_lapse(commands, A, ids[:1], deliveries=4, by="me")
    await let_lapse(commands, A, ids[1:2], deliveries=0, by="me")
    others = await hold(commands, A, 2, by="other")
    known = {(A, ids[2]): 9, (A, ids[120]): release.KEEP}
    assert await release.release(commands, "g", "me", [A], known, everything=True) == 349
    found = await rows(commands, A)
    assert [found[entry_id][1] for entry_id in ids[:4]] == [3, 0, 9, 0]
    kept = [entry_id for entry_id, row in found.items() if row[2] < LONG_MS]
    assert kept == [ids[120], *others]
    assert [found[entry_id][:2] for entry_id in kept] == [("me", 1), ("other", 1), ("other", 1)]


@pytest.mark.parametrize("everything", [True, False])
async def test_a_consumer_that_holds_nothing_leaves_the_group(commands: Redis, everything: bool) -> None:
    for stream in (A, B):
        ids = await hold(commands, stream, 1, by="me")
        if stream == A:
            await acks.ack(commands, "g", "me", [(stream, ids[0])])
    before = int((await commands.time())[0])
    known = {(B, ids[0]): release.KEEP}
    assert await release.release(commands, "g", "me", [A, B], known, everything=everything) == 0
    assert (await consumers(commands, A), await consumers(commands, B)) == (set(), {"me"})
    assert before <= int(await recorded(commands, A, "used")) <= before + 60
    assert await recorded(commands, B, "used") is None
