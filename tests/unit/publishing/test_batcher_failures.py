"""Batches of events that fail: every caller hears of it."""

import asyncio
from typing import Any

import pytest
from redis.exceptions import ConnectionError as LostError
from redis.exceptions import ResponseError

from abe_redis.publishing.batcher import Batcher
from abe_redis.streams import seen
from tests.unit.fake_server import turns
from tests.unit.publishing.batches import Server, batcher, draft, row, server

__all__ = ["batcher", "server"]


async def test_each_has_its_own_error(server: Server, batcher: Batcher) -> None:
    first, *waiters = [batcher.publish(draft(number)) for number in range(4)]
    await turns()
    server.answer(0, row(0))
    server.answer(1, row(1), ResponseError("STREAMFULL it has 3 entries"), row(3, duplicate=True))
    assert (await first).length == 11
    assert ((await waiters[0]).id, (await waiters[0]).length) == ("1-0", 11)
    with pytest.raises(ResponseError, match="STREAMFULL"):
        await waiters[1]
    assert ((await waiters[2]).duplicate, (await waiters[2]).length) == (True, 11)


async def test_a_failure_is_everybodys_with_a_traceback_of_its_own(server: Server, batcher: Batcher) -> None:
    waiters = [batcher.publish(draft(number)) for number in range(3)]
    await turns()
    server.refuse(0, LostError("cut"))
    server.refuse(1, LostError("cut"))
    errors = await asyncio.gather(*waiters, return_exceptions=True)
    assert [str(error) for error in errors] == ["cut"] * 3
    assert len({id(error) for error in errors}) == 3


async def test_a_call_that_waits_too_long_fails_and_its_late_answer_is_dropped(server: Server) -> None:
    batcher = Batcher(server, seen.Views(), hard_maxlen=1000, answer_seconds=0.05)
    waiters = [batcher.publish(draft(number)) for number in range(3)]
    errors = await asyncio.gather(*waiters, return_exceptions=True)
    assert [type(error) for error in errors] == [TimeoutError] * 3
    server.answer(0, row(0))
    server.answer(1, row(1), row(2))
    await turns()
    waiter = batcher.publish(draft(5))
    server.answer(2, row(5))
    assert (await waiter).id == "5-0"


async def test_a_batch_that_cannot_be_sent_fails_all_its_callers(server: Server, batcher: Batcher) -> None:
    first = batcher.publish(draft(0))
    gathered = batcher.publish(draft(1))
    server.error = LostError("the connection was closed")
    await turns()
    alone = batcher.publish(draft(2, stream="other"))
    for waiter in (gathered, alone):
        with pytest.raises(LostError, match="closed"):
            await waiter
    server.answer(0, row(0))
    assert (await first).id == "0-0"


@pytest.mark.parametrize("answer", [b"", b"10 9 3 0 0 1", b"10 9 3 0 0 1\n1-0", [b"ten"], 7], ids=repr)
async def test_an_answer_that_cannot_be_read_fails_all_its_callers(
    server: Server, batcher: Batcher, answer: Any
) -> None:
    first, *waiters = [batcher.publish(draft(number)) for number in range(4)]
    await turns()
    with pytest.raises(Exception):  # noqa: B017, PT011 - the connection hangs up, whatever it is
        server.sent[1][1].set_result(answer)
    for waiter in waiters:
        with pytest.raises(LostError, match="the server sent an invalid answer"):
            await waiter
    server.answer(0, row(0))
    assert (await first).id == "0-0"


async def test_an_event_that_cannot_be_gathered_holds_up_no_later_one(
    server: Server, batcher: Batcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise MemoryError

    batcher.publish(draft(0))
    with monkeypatch.context() as patched:
        patched.setattr(asyncio.get_running_loop(), "call_soon", fails)
        with pytest.raises(MemoryError):
            batcher.publish(draft(1))
    batcher.publish(draft(2))
    await turns()
    assert server.events(1) == [b"2"]
