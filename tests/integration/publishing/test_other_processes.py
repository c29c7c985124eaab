"""A back end and an event that are handed to another process."""

import textwrap
from collections import Counter
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.integration.publishing.forking_scripts import published, script

pytestmark = pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="this system has no forks")


@pytest.mark.one_server
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
async def test_a_back_end_is_handed_to_another_process(
    redis_url: str, redis: Redis, tmp_path: Path, method: str
) -> None:
    """By any of multiprocessing's ways, which copy it or pickle it."""
    (tmp_path / "job.py").write_text(
        textwrap.dedent("""
        import asyncio

        async def publish(backend, name, count):
            async with backend:
                for number in range(count):
                    await backend.publish("slack_events", {"by": name, "n": number})

        def work(backend, name):
            asyncio.run(publish(backend, name, 10))
        """)
    )
    script(
        """
        sys.path.insert(0, os.getcwd())
        import job

        backend = RedisMessageQueueBackend(Settings(redis_url=sys.argv[1]))
        asyncio.run(publish(backend, "parent", 10))
        context = multiprocessing.get_context(sys.argv[2])
        children = [context.Process(target=job.work, args=(backend, f"child {n}")) for n in range(2)]
        for child in children:
            child.start()
        for child in children:
            child.join()
            assert child.exitcode == 0
        asyncio.run(backend.close())
        """,
        redis_url,
        method,
        cwd=tmp_path,
    )
    names = ("parent", "child 0", "child 1")
    assert await published(redis) == Counter((name, n) for name in names for n in range(10))


@pytest.mark.one_server
async def test_an_event_crosses_to_another_process(redis_url: str, tmp_path: Path) -> None:
    """As to a pool of processes, where it can be read and not settled."""
    said = script(
        """
        import pickle
        backend = RedisMessageQueueBackend(Settings(redis_url=sys.argv[1]))

        async def main():
            async with backend:
                await publish(backend, "parent", 1)
                event = await anext(backend.consume())
                copy = pickle.loads(pickle.dumps(event))
                say(equal=copy == event, id=copy.id == event.id, deliveries=copy.deliveries)
                try:
                    await copy.nack()
                except AbeRedisError as error:
                    say(error=type(error).__name__)

        asyncio.run(main())
        """,
        redis_url,
        cwd=tmp_path,
    )
    assert said == [{"equal": True, "id": True, "deliveries": 1}, {"error": "LeaseLostError"}]
