"""An ordered consumer with many streams, on a server that answers slowly, keeps what it owns."""

from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventWorker
from abe_redis.streams import owners
from tests.integration.conftest import MakeBackend, until

STREAMS = [f"slack:{number}" for number in range(48)]
LEASE_SECONDS = 5.0


@pytest.mark.parametrize("step", ["load_claimed", "load_abandoned"])
async def test_leases_do_not_end_while_many_streams_are_taken_over(
    make_backend: MakeBackend,
    redis: Redis,
    step: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """All takeovers together, one after the other, would take far longer than a lease."""
    takes = owners.load
    slow = step == "load_claimed"
    done = list[str]()

    async def load(*arguments: Any, **options: Any) -> Any:
        if slow:
            await anyio.sleep(0.25)
        return await takes(*arguments, **options)

    monkeypatch.setattr(owners, "load", load)

    async def handle(event: Event) -> None:
        done.append(event.stream)

    backend = make_backend(redis_stream_lease_seconds=LEASE_SECONDS, redis_stream_patterns="slack:*")
    for stream in STREAMS:
        await backend.publish(stream, {"n": 1})
    worker = EventWorker(backend, handle, ordered=True)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)

        async def all_done() -> bool:
            return len(done) >= len(STREAMS)

        await until(all_done)
        if not slow:
            slow = True
            await anyio.sleep(1.5 * LEASE_SECONDS)
        await worker.shutdown()
    assert sorted(done) == sorted(STREAMS)
    assert "does not own" not in caplog.text
