"""One back end in several event loops: one after the other, or each in a thread of its own."""

import asyncio
import json
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis import RedisMessageQueueBackend, Settings
from abe_redis.errors import ClosedError
from tests.integration.conftest import until
from tests.patience import PATIENCE

STREAM = "slack_events"

pytestmark = pytest.mark.one_server


async def numbers(redis: Redis) -> Counter[int]:
    rows: Any = await redis.xrange(STREAM)
    return Counter(json.loads(fields[b"data"])["n"] for _, fields in rows)


def script(text: str, *arguments: str, cwd: Path) -> str:
    """Run a script to its end, in which a warning is an error; what it wrote to stderr."""
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(text), *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=cwd, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stderr


async def test_a_loop_after_another_simply_works(redis_url: str, redis: Redis, tmp_path: Path) -> None:
    """Each connection is closed with its loop, and nothing warns of it."""
    said = script(
        """
        import asyncio, sys
        from abe_redis import RedisMessageQueueBackend, Settings

        backend = RedisMessageQueueBackend(Settings(redis_url=sys.argv[1]))

        async def consume():
            async for event in backend.consume():
                if event["n"] == 2:
                    break

        for n in range(3):
            asyncio.run(backend.publish("slack_events", {"n": n}))
        asyncio.run(consume())
        asyncio.run(backend.publish("slack_events", {"n": 3}))
        """,
        redis_url,
        cwd=tmp_path,
    )
    assert said == ""
    assert await numbers(redis) == Counter(range(4))

    async def only_ours() -> bool:
        return len(await redis.client_list()) == 1

    await until(only_ours)


async def test_a_loop_that_was_closed_without_tidying_is_no_obstacle(
    redis_url: str, redis: Redis, tmp_path: Path
) -> None:
    script(
        """
        import asyncio, sys, warnings
        from abe_redis import RedisMessageQueueBackend, Settings

        warnings.simplefilter("ignore", ResourceWarning)  # of the loops that are left as they are
        backend = RedisMessageQueueBackend(Settings(redis_url=sys.argv[1]))
        for n in range(3):
            loop = asyncio.new_event_loop()
            loop.run_until_complete(backend.publish("slack_events", {"n": n}))
            if n != 1:
                loop.close()  # one stays open, as in Celery's tasks
        asyncio.run(backend.close())
        """,
        redis_url,
        cwd=tmp_path,
    )
    assert await numbers(redis) == Counter(range(3))


async def test_nothing_watches_a_loop_that_was_closed_beside_an_open_consumer(
    redis_url: str, tmp_path: Path
) -> None:
    said = script(
        """
        import asyncio, sys, threading, warnings
        from abe_redis import RedisMessageQueueBackend, Settings

        warnings.simplefilter("ignore")  # of what is left as it is
        backend = RedisMessageQueueBackend(Settings(redis_url=sys.argv[1], redis_stream_lease_seconds=1.5))
        loop = asyncio.new_event_loop()
        loop.run_until_complete(backend.publish("slack_events", {"n": 1}))
        stream = backend.consume()
        loop.run_until_complete(anext(stream))
        watches = [one for one in threading.enumerate() if one.name == "abe-redis loop watch"]
        assert len(watches) == 1
        loop.close()
        watches[0].join(float(sys.argv[2]))
        assert not watches[0].is_alive()
        """,
        redis_url,
        str(PATIENCE),
        cwd=tmp_path,
    )
    assert "stood still" not in said


async def test_loops_of_several_threads_share_a_back_end(redis_url: str, redis: Redis) -> None:
    backend = RedisMessageQueueBackend(Settings(redis_url=redis_url))
    failures = list[BaseException]()
    barrier = threading.Barrier(4)

    async def publish(first: int) -> None:
        for n in range(first, first + 50):
            await backend.publish(STREAM, {"n": n})

    def work(first: int) -> None:
        try:
            barrier.wait()
            asyncio.run(publish(first))
        except BaseException as error:  # noqa: BLE001 - it is looked at below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(100 * one,)) for one in range(3)]
    for thread in threads:
        thread.start()
    await asyncio.to_thread(barrier.wait)
    await publish(900)
    for thread in threads:
        await asyncio.to_thread(thread.join)
    await backend.close()
    assert failures == []
    assert await numbers(redis) == Counter(
        n for first in (0, 100, 200, 900) for n in range(first, first + 50)
    )


async def test_closing_ends_what_runs_in_another_thread(redis_url: str, redis: Redis) -> None:
    backend = RedisMessageQueueBackend(Settings(redis_url=redis_url))
    started = threading.Event()
    ended = list[str]()

    async def consume() -> None:
        await backend.publish(STREAM, {"n": 1})
        async for _ in backend.consume():
            started.set()
        ended.append("quietly")

    thread = threading.Thread(target=lambda: asyncio.run(consume()))
    thread.start()
    await asyncio.to_thread(started.wait)
    await backend.close()
    await asyncio.to_thread(thread.join, 30)
    assert ended == ["quietly"]
    with pytest.raises(ClosedError):
        await backend.publish(STREAM, {"n": 2})
    assert await numbers(redis) == Counter([1])


async def test_a_consumer_that_is_asked_in_another_loop_says_what_to_do(redis_url: str) -> None:
    backend = RedisMessageQueueBackend(Settings(redis_url=redis_url))
    await backend.publish(STREAM, {"n": 1})
    stream = backend.consume()
    assert (await anext(stream))["n"] == 1

    async def next_event() -> Any:
        return await anext(stream)

    def elsewhere() -> Any:
        return asyncio.run(next_event())

    with pytest.raises(RuntimeError, match="belongs to the event loop"):
        await asyncio.to_thread(elsewhere)
    await backend.close()
