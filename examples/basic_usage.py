"""Publish events, consume them, and share them among the members of a group.

    python examples/basic_usage.py                                  # Redis on localhost
    REDIS_URL=redis://some-host:6379/0 python examples/basic_usage.py
    REDIS_URL=embedded:///tmp/example python examples/basic_usage.py    # with the extra "embedded"

It uses a stream of its own, slack:example, prints three published events as they are consumed, then six
more that two members of a group share, and ends by itself.
"""

import anyio

from abe_redis import AbeRedisError, RedisMessageQueueBackend, Settings

STREAM = "slack:example"

# The rest comes from the environment. A real program says RedisMessageQueueBackend.from_env(), and its
# consumers see every stream of REDIS_STREAM_PATTERNS; this one leaves your other events alone.
SETTINGS = Settings(redis_stream_patterns=(STREAM,), slack_events_topic=STREAM)


async def publish(backend: RedisMessageQueueBackend, *texts: str) -> None:
    """When `publish` returns, Redis has the event."""
    for text in texts:
        await backend.publish(STREAM, {"type": "app_mention", "text": text})
        print(f"published   {text}")


async def consume(backend: RedisMessageQueueBackend, member: str, group: str | None = None) -> None:
    """Print events until none has come for a second.

    Asking for the next event acknowledges the one before. An event whose handler raises, or whose process
    dies, is delivered again: to whichever member of the group is alive.
    """
    async with backend.consume(group=group) as events:
        with anyio.CancelScope() as idle:
            idle.deadline = anyio.current_time() + 2
            async for event in events:
                print(f"{member:11} {event['text']}  (delivery {event.deliveries} of {event.id})")
                await anyio.sleep(0.05)  # the work
                idle.deadline = anyio.current_time() + 1


async def main() -> None:
    """Simple first, then with a group."""
    async with RedisMessageQueueBackend(SETTINGS) as backend:
        await publish(backend, "one", "two", "three")
        await consume(backend, "consumer")  # without a group: the default group

        # Another group gets every event too: those above, which are still in the stream, and these.
        await publish(backend, "four", "five", "six", "seven", "eight", "nine")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(consume, backend, "member A", "example-group")
            tasks.start_soon(consume, backend, "member B", "example-group")


if __name__ == "__main__":
    try:
        anyio.run(main)
    except* AbeRedisError as failed:
        raise SystemExit(str(failed.exceptions[0])) from None
