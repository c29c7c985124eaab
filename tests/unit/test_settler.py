"""When what is finished is acked: soon, along with a read, and again after a failure that passes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError

from abe_redis import Settings, faults, settler
from abe_redis.errors import RedisRefusedError
from abe_redis.settler import Settler


class Holdings:
    """Notes what is done, and fails as it is told to."""

    def __init__(self, *failures: Exception | None) -> None:
        self.failures = list(failures)
        self.done: list[str] = []

    async def ack(self, redis: Any) -> None:
        assert redis == "commands"
        if self.failures and (failure := self.failures.pop(0)) is not None:
            self.done.append("failed")
            raise failure
        self.done.append("acked")

    async def bury(self, redis: Any) -> None:
        assert redis == "commands"
        self.done.append("buried")

    async def until(self, *done: str) -> None:
        with anyio.fail_after(20):
            while self.done != list(done):
                await anyio.sleep(0.005)


def made(holdings: Any) -> Settler:
    async def connections() -> Any:
        return SimpleNamespace(commands="commands")

    return Settler(connections, Settings(), holdings, "g")


@asynccontextmanager
async def running(holdings: Holdings) -> AsyncIterator[Settler]:
    one = made(holdings)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one.run)
        yield one
        tasks.cancel_scope.cancel()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """After how many failures each pause was."""
    counted: list[int] = []

    def pause_seconds(failures: int) -> float:
        counted.append(failures)
        return 0.0

    monkeypatch.setattr(faults, "pause_seconds", pause_seconds)
    return counted


async def test_what_is_finished_is_settled_once() -> None:
    holdings = Holdings()
    async with running(holdings) as one:
        await anyio.sleep(0.05)
        assert holdings.done == []
        one.finished.set()
        await holdings.until("acked", "buried")
        await anyio.sleep(0.1)
        assert holdings.done == ["acked", "buried"], "nothing more is finished"
        one.finished.set()
        await holdings.until("acked", "buried", "acked", "buried")


async def test_it_waits_for_a_command_that_goes_out_anyway(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settler, "ACK_SECONDS", 1000)
    holdings = Holdings()
    async with running(holdings) as one:
        one.reading.set()  # this one went out before anything was finished
        await anyio.sleep(0.05)
        one.finished.set()
        await anyio.sleep(0.05)
        assert holdings.done == []
        one.reading.set()
        await holdings.until("acked", "buried")


async def test_what_fails_for_a_while_is_tried_again(pauses: list[int]) -> None:
    holdings = Holdings(RedisConnectionError("cut"), RedisConnectionError("cut"), None, OSError("cut"))
    async with running(holdings) as one:
        one.finished.set()
        await holdings.until("failed", "failed", "acked", "buried")
        assert pauses == [1, 2]
        one.finished.set()
        await holdings.until("failed", "failed", "acked", "buried", "failed", "acked", "buried")
        assert pauses == [1, 2, 1], "they are counted anew"


async def test_what_is_refused_ends_it(pauses: list[int]) -> None:
    one = made(Holdings(NoPermissionError("NOPERM")))
    one.finished.set()
    with pytest.raises(RedisRefusedError, match="acking in group 'g'"), anyio.fail_after(20):
        await one.run()
    assert pauses == []
