"""Consumers of forked processes: their names, their share of the work, and their own events."""

from collections import Counter
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.integration.publishing.forking_scripts import STREAM, script

pytestmark = pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="this system has no forks")


@pytest.mark.one_server
async def test_consumers_of_forked_processes_have_names_of_their_own(redis_url: str, tmp_path: Path) -> None:
    said = script(
        """
        backend = RedisMessageQueueBackend(Settings(redis_url=sys.argv[1]))
        stream = backend.consume()
        say(name=stream.consumer)

        async def work():
            say(name=stream.consumer)
            say(name=backend.consume().consumer)
            await backend.close()

        wait_for(in_children(3, lambda number: asyncio.run(work())))
        """,
        redis_url,
        cwd=tmp_path,
    )
    names = [one["name"] for one in said]
    assert len(set(names)) == len(names) == 7


@pytest.mark.one_server
async def test_forked_consumers_share_the_work(redis_url: str, redis: Redis, tmp_path: Path) -> None:
    """A stream of events that was asked for before the fork serves each child."""
    said = script(
        """
        backend = RedisMessageQueueBackend(Settings(redis_url=sys.argv[1]))
        stream = backend.consume()

        async def work():
            async with stream:
                async for event in stream:
                    say(n=event["n"], pid=os.getpid())
                    if event["n"] >= 300:
                        break
            await backend.close()

        asyncio.run(publish(backend, "parent", 300))
        children = in_children(3, lambda number: asyncio.run(work()))

        async def finish():
            while True:
                redis = (await backend.connections()).commands
                (group,) = await redis.xinfo_groups("slack_events") or [{"lag": 1, "pending": 1}]
                if group["lag"] == 0:
                    break
                await asyncio.sleep(0.05)
            for number in range(3):
                await backend.publish("slack_events", {"by": "parent", "n": 300 + number})

        time.sleep(1)
        asyncio.run(finish())
        wait_for(children)
        """,
        redis_url,
        cwd=tmp_path,
    )
    handled = Counter(one["n"] for one in said if one["n"] < 300)
    assert handled == Counter(range(300)), "an event went to two processes, or to none"
    del redis


@pytest.mark.one_server
async def test_a_child_does_not_hold_its_parents_events(redis_url: str, redis: Redis, tmp_path: Path) -> None:
    """A child neither settles nor consumes on what its parent has begun, and says so."""
    said = script(
        """
        backend = RedisMessageQueueBackend(Settings(redis_url=sys.argv[1]))

        async def settle(event, stream):
            for act in (event.nack, lambda: event.bury(reason="mine?"), lambda: anext(stream)):
                try:
                    await act()
                except AbeRedisError as error:
                    say(error=str(error))
            await backend.close()

        async def main():
            await publish(backend, "parent", 2)
            stream = backend.consume()
            event = await anext(stream)
            wait_for(in_children(1, lambda number: asyncio.run(settle(event, stream))))
            follower = await anext(stream)
            say(n=follower["n"])
            await stream.aclose()
            await backend.close()

        asyncio.run(main())
        """,
        redis_url,
        cwd=tmp_path,
    )
    assert said[-1] == {"n": 1}
    assert len(said) == 4
    for one in said[:3]:
        assert "fork" in one["error"]
    assert (await redis.xpending(STREAM, "default"))["pending"] == 1, "the first is done, the second is not"
