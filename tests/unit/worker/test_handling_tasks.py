"""The tasks of a worker: what is lost ends its own handler, and no other."""

import asyncio
import logging
from collections import Counter
from types import SimpleNamespace
from typing import Any, override

import anyio
import anyio.lowlevel
import pytest

from abe_redis.consuming.held import Held
from abe_redis.consuming.protocols import ConsumerProtocol, InFlightEvent
from abe_redis.observability.hooks import Outcome
from abe_redis.streams.lease import Leased
from abe_redis.worker import handling_tasks
from abe_redis.worker.handling_tasks import Handle, HandlingTasks

STREAM = "slack_events"


def held_event(number: int) -> Held:
    event: Any = SimpleNamespace(id=f"{number}-1", stream=STREAM, group="g", deliveries=1, origin=None)
    return Held(Leased(STREAM, event.id, {}, 1), (STREAM, event.id), 0.0, opened=event)


class Member:
    """Gives these events, and then no more."""

    def __init__(self, *held: Held) -> None:
        self.left = list(held)
        self.over: list[Held] = []

    def get_nowait(self) -> Held | None:
        return self.left.pop(0) if self.left else None

    async def take(self) -> Held | None:
        return None

    def ended(self, held: Held) -> None:
        self.over.append(held)


class LosesTheFirst(HandlingTasks):
    """Loses its first event while it waits, though that is settled; the others succeed."""

    def __init__(self, concurrency: int = 1) -> None:
        super().__init__(concurrency)
        self.done: list[str] = []

    @override
    async def _treat(
        self, member: ConsumerProtocol, held: InFlightEvent, handle: Handle
    ) -> tuple[Outcome, Exception | None]:
        name = held.event.id
        if not self.done:
            self.done.append(name)
            held.opened = None  # it was given back by hand
            assert held.on_lost is not None
            held.on_lost()
            await anyio.sleep(3600)
        self.done.append(name)
        return "done", None

    async def work(self, member: Any) -> None:
        await self._work(member, None, anyio.Lock())  # type: ignore[arg-type]


async def test_a_handler_is_cancelled_also_when_it_had_settled_its_event(
    caplog: pytest.LogCaptureFixture,
) -> None:
    member, worker = Member(*map(held_event, range(3))), LosesTheFirst()
    with caplog.at_level(logging.WARNING):
        await worker.work(member)
    assert "The handler of 0-1 of 'slack_events' was cancelled: the backend is closed." in caplog.text
    assert worker.done == ["0-1", "1-1", "2-1"], "the next events have a scope of their own"
    assert [held.key[1] for held in member.over] == ["0-1", "1-1", "2-1"]
    assert worker.given_back == 1


async def test_the_loss_of_an_event_that_is_over_cancels_nobody() -> None:
    first, second = held_event(0), held_event(1)

    class LosesWhatIsOver(LosesTheFirst):
        @override
        async def _treat(
            self, member: ConsumerProtocol, held: InFlightEvent, handle: Handle
        ) -> tuple[Outcome, Exception | None]:
            if held is second:
                first.lose()
            await anyio.lowlevel.checkpoint()
            self.done.append(held.event.id)
            return "done", None

    worker = LosesWhatIsOver()
    await worker.work(Member(first, second))
    assert worker.done == ["0-1", "1-1"]
    assert first.lost


@pytest.mark.parametrize(("seconds", "most"), [(3600.0, 4), (0.0, 1)], ids=["by number", "by time"])
async def test_others_have_their_turn_though_no_handler_waits(
    monkeypatch: pytest.MonkeyPatch, seconds: float, most: int
) -> None:
    monkeypatch.setattr(handling_tasks, "TURN_SECONDS", seconds)
    turns = 0
    per_turn = Counter[int]()

    class NeverWaits(LosesTheFirst):
        @override
        async def _treat(
            self, member: ConsumerProtocol, held: InFlightEvent, handle: Handle
        ) -> tuple[Outcome, Exception | None]:
            per_turn[turns] += 1
            return "done", None

    async with anyio.create_task_group() as tasks:

        async def work() -> None:
            await NeverWaits(concurrency=4).work(Member(*map(held_event, range(40))))
            tasks.cancel_scope.cancel()

        tasks.start_soon(work)
        while True:
            turns += 1
            await anyio.lowlevel.checkpoint()
    assert sum(per_turn.values()) == 40
    assert max(per_turn.values()) == most


async def test_a_loss_is_one_also_when_the_handler_leaves_a_cancellation_of_its_own_behind() -> None:
    """So that the scope does not take back ours."""

    class LeavesACancellation(LosesTheFirst):
        @override
        async def _treat(
            self, member: ConsumerProtocol, held: InFlightEvent, handle: Handle
        ) -> tuple[Outcome, Exception | None]:
            if not self.done:
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await asyncio.sleep(0)
            return await super()._treat(member, held, handle)

    member, worker = Member(*map(held_event, range(2))), LeavesACancellation()
    task = asyncio.create_task(worker.work(member))
    await task
    assert worker.done == ["0-1", "1-1"]
    assert [held.key[1] for held in member.over] == ["0-1", "1-1"]
