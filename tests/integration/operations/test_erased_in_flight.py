"""What is erased while consumers have it does not count as lost, however much that is."""

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventWorker, Operations
from abe_redis.operations import given_up
from abe_redis.operations.erasure import erase
from abe_redis.operations.scope import Scope
from abe_redis.streams import acks, names
from abe_redis.streams.erase import erase as erase_entries
from abe_redis.streams.groups import ensure_group
from abe_redis.streams.release import postpone
from abe_redis.streams.renewal import Claim, hold, never
from tests.integration import on_streams
from tests.integration.conftest import MakeBackend, pending, until
from tests.integration.consuming.foreign_hands import STREAM, working
from tests.integration.on_streams import A, fill, recorded
from tests.integration.streams.removed_consumers import join, record, take
from tests.patience import PATIENCE

MANY, AT_ONCE = 450, 100
"""More than the records keep of what was counted as lost."""


class Failing:
    """A handler whose calls wait until they may end, and then fail."""

    def __init__(self) -> None:
        self.began, self.ended = 0, 0
        self.may_end = anyio.Event()

    async def __call__(self, _: Event) -> None:
        self.began += 1
        await self.may_end.wait()
        self.ended += 1
        raise ValueError(self.began)


@pytest.mark.parametrize("ordered", [False, True])
async def test_what_workers_have_read_ahead_and_begun_is_not_lost(
    make_backend: MakeBackend,
    redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    *,
    ordered: bool,
) -> None:
    monkeypatch.setattr(given_up, "MOST_SECONDS", PATIENCE)
    backend, handler = make_backend(), Failing()
    channels = ["C061EG9SL"] * MANY
    await backend.publish_many(STREAM, [{"type": "message", "channel": one} for one in channels])
    count, began, held = (1, 1, MANY) if ordered else (3, 3 * AT_ONCE, 3 * AT_ONCE)
    workers = [EventWorker(backend, handler, ordered=ordered, concurrency=AT_ONCE) for _ in range(count)]
    async with working(*workers):

        async def has_read_ahead() -> bool:
            return handler.began == began and await pending(redis, STREAM) >= held

        await until(has_read_ahead)
        done = await erase(Scope(backend), channel="C061EG9SL")
        assert [(one.erased, one.unfinished) for one in done.streams] == [(MANY, MANY)]
        handler.may_end.set()

        async def are_over() -> bool:
            return handler.ended == began

        await until(are_over)
    assert handler.began == began
    assert await redis.hget(names.records(STREAM), "lost default") is None
    assert "are gone" not in caplog.text


async def test_what_is_postponed_is_not_lost_when_it_would_be_due(commands: Redis) -> None:
    ids = await on_streams.hold(commands, A, MANY, by="me")
    for one in ids:
        assert await postpone(commands, A, "g", "me", one, delay_seconds=60, reason="later")
    for at in range(0, MANY, AT_ONCE):
        await erase_entries(commands, A, ids[at : at + AT_ONCE])
    assert await commands.exists(names.due(A, "g")) == 0


async def test_what_was_put_back_for_its_holder_is_not_lost(commands: Redis) -> None:
    """As after somebody removed the consumer, which is there again."""
    ids = await on_streams.hold(commands, A, MANY, by="me")
    await commands.xclaim(A, "g", names.NOBODY, 0, [*ids], justid=True)
    for at in range(0, MANY, AT_ONCE):
        await erase_entries(commands, A, ids[at : at + AT_ONCE])
    claims = [Claim(A, one, begun=0, sure=never) for one in ids]
    assert set(await hold(commands, "g", "me", claims)) == {"given_up"}
    assert await recorded(commands, A, "lost") is None


async def test_what_a_destroyed_group_had_is_erased_and_not_lost(commands: Redis) -> None:
    """Its worker, which still has it, makes the group again afterwards."""
    ids = await fill(commands, A, 8)
    await join(commands, "worker")
    await take(commands, "worker", 5)
    await acks.ack(commands, "g", "worker", [(A, ids[0])])
    await postpone(commands, A, "g", "worker", ids[1], delay_seconds=60, reason="they said no")
    await record(commands)
    await commands.xgroup_destroy(A, "g")
    gone = [*ids[:4], ids[6]]
    assert await erase_entries(commands, A, gone, dry_run=True) == (5, 4)
    assert await erase_entries(commands, A, gone) == (5, 4)
    assert await commands.exists(names.due(A, "g"), names.due(A, "g").replace("due", "reasons", 1)) == 0
    (found,) = await ensure_group(commands, [A], "g")
    assert (found.again, found.lost) == (True, 0)
    claims = [Claim(A, one, begun=0, sure=never) for one in ids[1:5]]
    assert (await hold(commands, "g", "worker", claims))[:3] == ["given_up"] * 3
    await record(commands)
    assert await recorded(commands, A, "lost") is None
    assert await take(commands, "worker", 9) == [ids[5], ids[7]]


async def test_nobody_erased_stays_in_the_reasons_of_a_destroyed_group(
    make_backend: MakeBackend, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    backend = make_backend()
    agent = Operations(backend, origin="mcp")
    for user in ("U1", "U2"):
        await backend.publish(STREAM, {"type": "message", "user": user})
    leased = (await agent.lease(stream=STREAM, group="agents")).events
    await agent.release(ids=[one.id for one in leased], delay_seconds=60, reason="U1 said no")
    await redis.xgroup_destroy(STREAM, "agents")
    done = await erase(Scope(backend), user="U1")
    assert [(one.erased, one.unfinished) for one in done.streams] == [(1, 1)]
    reasons = names.due(STREAM, "agents").replace("due", "reasons", 1)
    assert await redis.hkeys(reasons) == [leased[1].id.encode()]
    assert (await agent.lease(stream=STREAM, group="agents")).events == []
    assert await redis.hget(names.records(STREAM), "lost agents") is None
    assert "before group" not in caplog.text
