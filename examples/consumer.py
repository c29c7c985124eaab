"""A consumer that shares the work: start it in as many terminals as you like.

    python examples/consumer.py --group=workers
    REDIS_URL=embedded:///tmp/example python examples/consumer.py --group=workers    # without a Redis

Give it something to do from another terminal (with the same REDIS_URL):

    abe-redis publish '{"type": "app_mention", "text": "hello"}'

Each event is printed by one of them. Ctrl-C or SIGTERM ends one in order: it finishes and acknowledges the
event in hand and gives the rest back, which the others get at once. Kill one with SIGKILL, and they get its
event after REDIS_STREAM_LEASE_SECONDS. A second Ctrl-C does not wait for the event in hand.
"""

import argparse
import os
import signal

import anyio

from abe_redis import AbeRedisError, Event, RedisMessageQueueBackend


async def handle(event: Event, seconds: float) -> None:
    """The work goes here. What people wrote is printed as a literal, so that it cannot steer the terminal."""
    print(
        f"[{os.getpid()}] {event.stream} {event.id} delivery {event.deliveries}: {dict(event)!r}", flush=True
    )
    await anyio.sleep(seconds)
    print(f"[{os.getpid()}] {event.stream} {event.id} done", flush=True)


async def consume(group: str, seconds: float) -> None:
    """Handle events until a signal comes."""
    async with RedisMessageQueueBackend.from_env() as backend, anyio.create_task_group() as tasks:
        tasks.start_soon(stop_on_signal, tasks.cancel_scope)
        print(f"[{os.getpid()}] a consumer of group {group!r} waits for events; Ctrl-C ends it", flush=True)
        async for event in backend.consume(group=group):  # asking for the next acknowledges the one before
            with anyio.CancelScope(shield=True):  # what was begun is finished
                await handle(event, seconds)
    print(f"[{os.getpid()}] ended in order", flush=True)


async def stop_on_signal(scope: anyio.CancelScope) -> None:
    """Cancel the wait for the next event at the first signal; the second one finds Python's own handler."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel()
            return


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Share the work of a group of consumers.")
    parser.add_argument("--group", default="workers", help="the group whose work is shared")
    parser.add_argument("--seconds", type=float, default=0.5, help="how long the work on an event takes")
    arguments = parser.parse_args()
    try:
        anyio.run(consume, arguments.group, arguments.seconds)
    except* AbeRedisError as failed:
        raise SystemExit(str(failed.exceptions[0])) from None
