"""A Bolt listener that takes too long, or whose event's lease is lost."""

import re
import time
from typing import Any

import anyio
import pytest

from abe_redis import Bury, Event, EventWorker, Retry
from abe_redis.bolt import BoltHandler
from abe_redis.testing import (
    FakeSlack,
    InMemoryBackend,
    app_mention,
    envelope,
    message,
)
from tests.contract.bolt.bots import PATIENCE, Bots, handle


async def test_an_async_listener_that_takes_too_long_is_cancelled(slack: FakeSlack) -> None:
    bots, cancelled, errors = Bots(is_async=True, slack=slack), set[str](), list[Exception]()
    app = bots.app()

    async def forever(body: dict[str, Any]) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.add(body["event"]["type"])

    def again_until_cancelled(event: Event, error: Exception) -> Retry | Bury:
        """On a slow machine the time may be over before the listener begins."""
        errors.append(error)
        return Bury("cancelled") if event["event"]["type"] in cancelled else Retry()

    app.event("app_mention")(forever)
    app.event("message")(ack=bots.fit(lambda: None), lazy=[forever])
    await slack_is_known(app)
    await handle(app, app_mention("hi"), message("hi"), handler_timeout=0.1, policy=again_until_cancelled)
    assert {type(error) for error in errors} == {TimeoutError}
    assert cancelled == {"app_mention", "message"}


@pytest.mark.parametrize("settles", [False, True])
async def test_a_sync_listener_that_takes_too_long_keeps_its_event_until_it_ends(
    slack: FakeSlack, caplog: pytest.LogCaptureFixture, *, settles: bool
) -> None:
    """And may still give it back."""
    app, deliveries = Bots(is_async=False, slack=slack).app(), list[int]()

    def listener(context: Any) -> None:
        event = context["abe_redis_event"]
        deliveries.append(event.deliveries)
        if event.deliveries == 1:
            until = time.monotonic() + PATIENCE
            while "is beyond its limit" not in caplog.text and time.monotonic() < until:
                time.sleep(0.01)
            if settles:
                event.nack()

    app.event("app_mention")(listener)
    seen = await handle(app, app_mention("hi"), handler_timeout=0.1, concurrency=2)
    assert seen.errors == []
    assert deliveries == ([1, 2] if settles else [1])
    # On a slow machine the time may be over before the listener begins.
    assert re.search(r"The handler (\S+\.listener|bots\.py) of ", caplog.text)


async def slack_is_known(app: Any) -> None:
    """Ask `auth.test` now, so that a short time limit is the listener's alone."""
    await BoltHandler(app).handle_event(
        Event(envelope({"type": "x"}), stream="s", group="g", id="1-0", deliveries=1)
    )


async def test_a_lost_lease_cancels_its_listener(slack: FakeSlack) -> None:
    bots, began, deliveries = Bots(is_async=True, slack=slack), anyio.Event(), list[int]()
    app = bots.app()

    async def listener(context: Any) -> None:
        deliveries.append(context["abe_redis_event"].deliveries)
        if len(deliveries) == 1:
            began.set()
            await anyio.sleep_forever()

    app.event("app_mention")(listener)
    backend = InMemoryBackend()
    await backend.publish("slack_events", app_mention("hi"))
    worker = EventWorker(backend, BoltHandler(app), group="bot")
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            await began.wait()
            backend.lose_leases()
            await backend.finished("bot")
            await worker.shutdown()
    assert deliveries == [1, 2]
