"""The program of the demo's workers: `python -m abe_redis.cli.demo.worker`, with the queue in REDIS_URL.

It is all that a worker needs: take events as a member of a group, work on them, and on SIGTERM
finish the one in hand and leave. It says what it does in lines of JSON, for the demo to read.
"""

import json
import signal

import anyio

from abe_redis import Event, RedisMessageQueueBackend

GROUP = "workers"
LONG_TASK = "write the report"


async def work() -> None:
    """Process events until a signal comes."""
    async with RedisMessageQueueBackend.from_env() as backend, anyio.create_task_group() as tasks:
        tasks.start_soon(_stop_on_signal, tasks.cancel_scope)
        events = backend.consume(group=GROUP)
        _say("ready")
        async for event in events:  # asking for the next event acknowledges the one before
            with anyio.CancelScope(shield=True):  # what was begun is finished
                _say("took", event)
                await _handle(event)
                _say("finished", event)


async def _handle(event: Event) -> None:
    """The work; a real worker would answer in Slack here."""
    await anyio.sleep(2 if LONG_TASK in event["event"]["text"] else 0.02)


async def _stop_on_signal(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel()


def _say(what: str, event: Event | None = None) -> None:
    facts: dict[str, object] = {"what": what}
    if event is not None:
        facts |= {"event_id": event["event_id"], "deliveries": event.deliveries}
    print(json.dumps(facts), flush=True)  # noqa: T201


if __name__ == "__main__":
    anyio.run(work)
