"""A worker in a program of one's own ends at a signal."""

import asyncio
import logging
import signal
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from abe_redis import Event, EventWorker
from abe_redis.errors import RequestError
from abe_redis.runtime.signals import that_end
from abe_redis.testing import InMemoryBackend
from tests.patience import PATIENCE


async def until_said(words: str, caplog: pytest.LogCaptureFixture) -> None:
    while words not in caplog.text:
        await anyio.sleep(0.005)


async def at_work_until_released(*, drain_seconds: float) -> tuple[EventWorker, anyio.Event, anyio.Event]:
    """A worker whose handler does not end when it is cancelled: it, that it has begun, and its release."""
    backend, begun, release = InMemoryBackend(), anyio.Event(), anyio.Event()

    async def handle(_: Event) -> None:
        begun.set()
        with anyio.CancelScope(shield=True):
            await release.wait()

    await backend.publish("slack_events", {"n": 1})
    return EventWorker(backend, handle, drain_seconds=drain_seconds), begun, release


@pytest.fixture(autouse=True)
def _hears_all(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "abe_redis")


@pytest.mark.usefixtures("not_under_nohup")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_a_signal_lets_the_running_handler_end(
    number: signal.Signals, caplog: pytest.LogCaptureFixture
) -> None:
    """And no other begins; the next one begins at the next start."""
    backend, begun, go_on = InMemoryBackend(), anyio.Event(), anyio.Event()

    async def handle(_: Event) -> None:
        begun.set()
        await go_on.wait()

    await backend.publish_many("slack_events", [{"n": 1}, {"n": 2}])
    worker = EventWorker(backend)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run_until_signal, handle)
            await begun.wait()
            signal.raise_signal(number)
            await until_said("Taking no more events", caplog)
            go_on.set()
    assert (worker.handled, worker.given_back, backend.unfinished()) == (1, 0, 1)


@pytest.mark.usefixtures("not_under_nohup")
async def test_a_second_signal_of_a_closed_terminal_cancels_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The kernel and the shell each send one."""
    backend, begun, go_on = InMemoryBackend(), anyio.Event(), anyio.Event()

    async def handle(_: Event) -> None:
        begun.set()
        await go_on.wait()

    await backend.publish("slack_events", {"n": 1})
    worker = EventWorker(backend, handle)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run_until_signal)
            await begun.wait()
            signal.raise_signal(signal.SIGHUP)
            await until_said("Taking no more events", caplog)
            signal.raise_signal(signal.SIGHUP)
            await anyio.sleep(0.1)
            go_on.set()
    assert (worker.handled, worker.given_back) == (1, 0)
    assert "Second signal" not in caplog.text


@pytest.mark.usefixtures("not_under_nohup")
@pytest.mark.parametrize("owned", [signal.SIG_IGN, lambda *_: None], ids=["nohup", "a reload"])
def test_sighup_is_left_to_a_program_that_handles_or_ignores_it(owned: Any) -> None:
    assert signal.SIGHUP in that_end()
    signal.signal(signal.SIGHUP, owned)
    assert that_end() == (signal.SIGTERM, signal.SIGINT)


async def test_a_second_signal_cancels_the_handlers(caplog: pytest.LogCaptureFixture) -> None:
    backend, begun = InMemoryBackend(), anyio.Event()

    async def handle(_: Event) -> None:
        begun.set()
        await anyio.sleep_forever()

    await backend.publish("slack_events", {"n": 1})
    worker = EventWorker(backend, handle, drain_seconds=600)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run_until_signal)
            await begun.wait()
            signal.raise_signal(signal.SIGTERM)
            await until_said("Taking no more events", caplog)
            signal.raise_signal(signal.SIGTERM)
    assert (worker.handled, worker.given_back, backend.unfinished()) == (0, 1, 1)


async def test_a_signal_that_comes_after_the_drain_ends_the_process(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Though a handler does not end when it is cancelled."""
    monkeypatch.setattr("abe_redis.worker.until_signal.PATIENCE_SECONDS", 0)
    worker, begun, release = await at_work_until_released(drain_seconds=0.01)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run_until_signal)
            await begun.wait()
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
            signal.raise_signal(signal.SIGTERM)
            await until_said("Taking no more events", caplog)
            while signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
                await anyio.sleep(0.005)
            release.set()


async def test_after_the_second_signal_the_next_one_ends_the_process(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """When a handler does not end though it is cancelled."""
    monkeypatch.setattr("abe_redis.worker.until_signal.PATIENCE_SECONDS", 0)
    worker, begun, release = await at_work_until_released(drain_seconds=600)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run_until_signal)
            await begun.wait()
            signal.raise_signal(signal.SIGTERM)
            await until_said("Taking no more events", caplog)
            signal.raise_signal(signal.SIGTERM)
            while signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
                await anyio.sleep(0.005)
            release.set()


async def test_a_worker_that_ends_by_itself_waits_for_no_signal() -> None:
    backend = InMemoryBackend()
    worker = EventWorker(backend, print)
    await worker.shutdown()
    with anyio.fail_after(PATIENCE):
        await worker.run_until_signal()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


async def test_where_no_loop_receives_signals_the_worker_runs_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on Windows."""
    monkeypatch.setattr("abe_redis.worker.until_signal.sys", SimpleNamespace(platform="win32"))
    backend, before = InMemoryBackend(), signal.getsignal(signal.SIGTERM)

    async def handle(_: Event) -> None:
        assert signal.getsignal(signal.SIGTERM) is before
        await worker.shutdown()

    await backend.publish("slack_events", {"n": 1})
    worker = EventWorker(backend, handle)
    with anyio.fail_after(PATIENCE):
        await worker.run_until_signal()
    assert worker.handled == 1


def test_another_thread_receives_no_signals() -> None:
    worker = EventWorker(InMemoryBackend(), print)
    with ThreadPoolExecutor(1) as threads:
        ran = threads.submit(lambda: asyncio.run(worker.run_until_signal()))
        with pytest.raises(RequestError, match=r"another thread than the main one.*Call run\(\) here"):
            ran.result()
