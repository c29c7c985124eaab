"""Steps that must not stop half done."""

import asyncio
from collections.abc import Callable

import anyio
import pytest

from abe_redis.runtime import tasks


class Step:
    """A step that ends when it may."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()
        self.began = asyncio.Event()
        self.became = "nothing"

    async def run(self) -> str:
        self.became = "begun"
        self.began.set()
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.became = "cancelled"
            raise
        self.became = "done"
        return "it"


async def test_a_result_and_a_failure_are_the_steps_own() -> None:
    step = Step()
    step.may_end.set()
    assert await tasks.to_its_end(step.run(), within=1) == "it"

    async def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await tasks.to_its_end(fail(), within=1)


def _natively(task: asyncio.Task[None], _: anyio.CancelScope) -> None:
    task.cancel()


def _by_scope(_: asyncio.Task[None], scope: anyio.CancelScope) -> None:
    scope.cancel()


@pytest.mark.parametrize("cancel", [_natively, _by_scope])
@pytest.mark.parametrize("ends", [True, False])
async def test_a_cancellation_waits_for_the_step_for_a_time(
    cancel: Callable[[asyncio.Task[None], anyio.CancelScope], None], *, ends: bool
) -> None:
    step, scope, after = Step(), anyio.CancelScope(), list[str]()

    async def call() -> None:
        with scope:
            await tasks.to_its_end(step.run(), within=30 if ends else 0.5)
            after.append("went on")

    task = asyncio.create_task(call())
    await step.began.wait()
    cancel(task, scope)
    await anyio.sleep(0.01)
    assert step.became == "begun"
    if ends:
        step.may_end.set()
    await asyncio.wait([task])
    assert step.became == ("done" if ends else "cancelled")
    assert not after
    assert task.cancelled() == (cancel is _natively)
