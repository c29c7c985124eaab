"""What is erased while consumers have it does not count as lost, however much that is."""

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventWorker
from abe_redis.operations import given_up
from abe_redis.operations.erasure import erase
from abe_redis.operations.scope import Scope
from abe_redis.streams import names
from abe_redis.streams.erase import erase as erase_entries
from abe_redis.streams.release import postpone
from abe_redis.streams.renewal import Claim, hold, never
from tests.integration import on_streams
from tests.integration.conftest import MakeBackend, pending, until
from tests.integration.consuming.foreign_hands import STREAM, working
from tests.integration.on_streams import A, recorded
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
    assert "were removed" not in caplog.text


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
