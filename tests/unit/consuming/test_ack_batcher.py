"""When what is finished is acked: soon, along with a read, and again after a failure that passes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError

from abe_redis import Settings
from abe_redis.client import failures
from abe_redis.consuming import ack_batcher
from abe_redis.consuming.ack_batcher import AckBatcher
from abe_redis.errors import RedisRefusedError
from tests.patience import PATIENCE


class InFlight:
    """Notes what is done, and fails as it is told to."""

    def __init__(self, *failures: Exception | None) -> None:
        self.failures = list(failures)
        self.done: list[str] = []
        self.leftovers = ""
        """What is left over, and done when it is seen to."""
        self.memory = anyio.Event()
        self.memory.set()

    async def ack(self, redis: Any) -> None:
        assert redis == "commands"
        if self.failures and (failure := self.failures.pop(0)) is not None:
            self.done.append("failed")
            raise failure
        self.done.append("acked")

    async def bury(self, redis: Any) -> None:
        assert redis == "commands"
        await self.memory.wait()
        self.done += [self.leftovers] if self.leftovers else []
        self.leftovers = ""

    async def say_parted(self, redis: Any) -> None:
        assert redis == "commands"

    async def return_late(self, redis: Any) -> None:
        assert redis == "commands"

    async def count_starts(self, redis: Any) -> None:
        assert redis == "commands"

    async def say_counts(self, redis: Any) -> None:
        assert redis == "commands"

    @property
    def has_untold(self) -> bool:
        return False

    @property
    def has_leftovers(self) -> bool:
        return bool(self.leftovers)

    async def until(self, *done: str) -> None:
        with anyio.fail_after(PATIENCE):
            while self.done != list(done):
                await anyio.sleep(0.005)


def made(in_flight: Any) -> AckBatcher:
    async def connections() -> Any:
        return SimpleNamespace(commands="commands")

    return AckBatcher(connections, Settings(), in_flight, "g")


@asynccontextmanager
async def running(in_flight: InFlight) -> AsyncIterator[AckBatcher]:
    one = made(in_flight)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one.run)
        tasks.start_soon(one.run_leftovers)
        yield one
        tasks.cancel_scope.cancel()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """After how many failures each pause was."""
    counted: list[int] = []

    def pause_seconds(failed: int) -> float:
        counted.append(failed)
        return 0.0

    monkeypatch.setattr(failures, "pause_seconds", pause_seconds)
    return counted


@pytest.mark.promise("A consumer of `consume()` acknowledges an event by asking for the next one")
async def test_a_finished_event_is_settled_once() -> None:
    in_flight = InFlight()
    async with running(in_flight) as one:
        await anyio.sleep(0.05)
        assert in_flight.done == []
        one.finished.set()
        await in_flight.until("acked")
        await anyio.sleep(0.1)
        assert in_flight.done == ["acked"], "nothing more is finished"
        one.finished.set()
        await in_flight.until("acked", "acked")


async def test_no_ack_waits_for_what_is_left_over() -> None:
    in_flight = InFlight()
    in_flight.leftovers, in_flight.memory = "buried", anyio.Event()
    async with running(in_flight) as one:
        for acked in (["acked"], ["acked", "acked"]):
            one.finished.set()
            await in_flight.until(*acked)
        in_flight.memory.set()
        await in_flight.until("acked", "acked", "buried")
        await anyio.sleep(0.1)
        assert in_flight.done == ["acked", "acked", "buried"], "nothing more is left over"


async def test_it_waits_for_a_command_that_goes_out_anyway(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ack_batcher, "ACK_SECONDS", 1000)
    in_flight = InFlight()
    async with running(in_flight) as one:
        one.reading.set()  # this one went out before anything was finished
        await anyio.sleep(0.05)
        one.finished.set()
        await anyio.sleep(0.05)
        assert in_flight.done == []
        one.reading.set()
        await in_flight.until("acked")


async def test_a_temporary_failure_is_retried(pauses: list[int]) -> None:
    in_flight = InFlight(RedisConnectionError("cut"), RedisConnectionError("cut"), None, OSError("cut"))
    async with running(in_flight) as one:
        one.finished.set()
        await in_flight.until("failed", "failed", "acked")
        assert pauses == [1, 2]
        one.finished.set()
        await in_flight.until("failed", "failed", "acked", "failed", "acked")
        assert pauses == [1, 2, 1], "they are counted anew"


async def test_a_refusal_ends_the_ack_batcher(pauses: list[int]) -> None:
    one = made(InFlight(NoPermissionError("NOPERM")))
    one.finished.set()
    with pytest.raises(RedisRefusedError, match="acking in group 'g'"), anyio.fail_after(PATIENCE):
        await one.run()
    assert pauses == []
