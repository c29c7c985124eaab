"""One call of a handler: what is the handler's own, and what is meant for the program."""

import asyncio
import signal
from collections.abc import Awaitable, Callable

import anyio
import anyio.lowlevel
import pytest

from abe_redis import Event, EventWorker
from abe_redis.testing import InMemoryBackend
from abe_redis.worker.call import call

type Handler = Callable[[Event], Awaitable[None]]


def run(handle: Handler) -> None:
    """A program with one event to handle."""

    async def main() -> None:
        backend = InMemoryBackend()
        await backend.publish("slack_events", {"n": 1})
        await EventWorker(backend, handle).run()

    asyncio.run(main())


async def interrupted(_: Event) -> None:
    """Ctrl-C is pressed while it computes."""
    signal.default_int_handler(signal.SIGINT, None)


async def interrupted_twice(_: Event) -> None:
    """At the first time, the loop cancels what it runs, which the handler does not let it do."""
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("handle", [interrupted, interrupted_twice])
def test_ctrl_c_while_a_handler_works_ends_the_program(handle: Handler) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(handle)


def test_ctrl_c_in_a_handler_that_leaves_a_scope_open_ends_the_program_too() -> None:
    async def leaves_it_open(event: Event) -> None:
        anyio.CancelScope().__enter__()  # as a generator does that nobody closes
        await interrupted(event)

    with pytest.raises(KeyboardInterrupt):
        run(leaves_it_open)


async def test_a_handler_that_cancels_the_task_of_its_worker_has_failed() -> None:
    """And that task goes on, with nothing that would end it later."""
    worker = asyncio.current_task()
    assert worker is not None

    async def handle() -> None:
        worker.cancel()
        await asyncio.sleep(3600)

    before = worker.cancelling()
    with pytest.raises(RuntimeError, match="CancelledError"):
        await call(handle, seconds=None)
    assert worker.cancelling() == before
    await anyio.lowlevel.checkpoint()


async def test_a_handler_that_cancels_the_task_of_its_worker_while_that_ends_has_not_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The worker is cancelled in the moment in which it finds out who cancelled its task."""
    scope = anyio.CancelScope()

    async def work() -> None:
        worker = asyncio.current_task()
        assert worker is not None

        async def handle() -> None:
            worker.cancel()
            await anyio.sleep_forever()

        with scope:
            await call(handle, seconds=None)

    async def sleep(_: float) -> None:
        scope.cancel()
        await anyio.lowlevel.checkpoint()

    monkeypatch.setattr(asyncio, "sleep", sleep)
    task = asyncio.create_task(work())
    await asyncio.wait([task])
    assert task.cancelled() or scope.cancelled_caught
