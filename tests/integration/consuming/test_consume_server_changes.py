"""The server while somebody consumes: flushed, restarted, not there yet; without a stream or a group."""

from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import RedisMessageQueueBackend, Settings
from abe_redis.errors import RedisRefusedError
from tests.integration.conftest import take, take_one
from tests.integration.consuming.numbered_events import numbers, publish, while_asking
from tests.patience import PATIENCE
from tests.servers import Server


@pytest.mark.promise("Consumers outlive restarts, cut connections, `FLUSHALL` and deleted groups.")
async def test_flushall_is_a_pause(backend: RedisMessageQueueBackend, redis: Redis) -> None:
    await publish(backend, 1)
    await publish(backend, 2, stream="slack:other")
    async with backend.consume() as events:
        assert sorted(numbers(await take(events, 2))) == [1, 2]
        await redis.flushall()
        await publish(backend, 3)
        await publish(backend, 4, stream="slack:other")
        assert sorted(numbers(await take(events, 2))) == [3, 4]
    assert await redis.exists("slack:never") == 0


@pytest.mark.promise("Consumers outlive restarts, cut connections, `FLUSHALL` and deleted groups.")
@pytest.mark.promise("If the new primary has an older state of a group or a stream")
async def test_a_deleted_group_goes_on_where_it_was(backend: RedisMessageQueueBackend, redis: Redis) -> None:
    await publish(backend, *range(20))
    async with backend.consume() as events:
        taken = await take(events, 20)
        assert numbers(taken) == list(range(20))

        async def all_on_record() -> bool:
            floor: Any = await redis.hget("abe:groups:{slack_events}", "floor default")
            return floor is not None and floor.decode().split()[0] == taken[-1].id

        await while_asking(events, all_on_record)
        await redis.xgroup_destroy("slack_events", "default")
        await publish(backend, 20, 21)
        assert numbers(await take(events, 2)) == [20, 21]


async def test_a_group_deleted_with_events_pending_loses_none(
    backend: RedisMessageQueueBackend, redis: Redis
) -> None:
    await publish(backend, *range(10))
    async with backend.consume() as events:
        await take(events, 5)
        await redis.xgroup_destroy("slack_events", "default")
        await publish(backend, 10)
        seen: set[int] = set()
        with anyio.fail_after(PATIENCE):
            while not {5, 6, 7, 8, 9, 10} <= seen:
                seen.add((await anext(events))["n"])


@pytest.mark.one_server
@pytest.mark.parametrize("words", [[], ["ERROR"]], ids=["as if its time was over", "with an error"])
async def test_a_read_that_somebody_unblocks_is_a_pause(
    backend: RedisMessageQueueBackend, lone_server: Server, words: list[str]
) -> None:
    async with backend.consume() as events:
        await publish(backend, 0)
        assert numbers([await take_one(events)]) == [0]
        with lone_server.admin() as admin:
            for n in range(1, 6):
                with anyio.fail_after(PATIENCE):
                    async with anyio.create_task_group() as tasks:
                        found: list[int] = []

                        async def take_it(found: list[int] = found) -> None:
                            found.extend(numbers([await anext(events)]))

                        tasks.start_soon(take_it)
                        while not any(
                            admin.execute_command("CLIENT", "UNBLOCK", client["id"], *words)
                            for client in admin.client_list()
                        ):
                            await anyio.sleep(0.02)
                        await publish(backend, n)
                assert found == [n]


async def test_a_deleted_stream_is_not_resurrected(backend: RedisMessageQueueBackend, redis: Redis) -> None:
    await publish(backend, 1)
    async with backend.consume() as events:
        await take_one(events)
        await redis.delete("slack_events")
        await publish(backend, 2, stream="slack:other")
        assert numbers([await take_one(events)]) == [2]
        with anyio.move_on_after(1.8):
            await anext(events)
    assert await redis.exists("slack_events") == 0


@pytest.mark.promise("Consumers outlive restarts, cut connections, `FLUSHALL` and deleted groups.")
@pytest.mark.promise("Consumers wait, and go on when Redis is back")
async def test_a_restart_and_cut_connections_are_pauses(own_server: Server) -> None:
    settings = Settings(redis_url=own_server.url)
    async with RedisMessageQueueBackend(settings) as backend:
        await publish(backend, 1)
        async with backend.consume() as events:
            assert numbers([await take_one(events)]) == [1]
            for number in (2, 3, 4):
                with own_server.admin() as admin:
                    admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                await publish(backend, number)
                assert numbers([await take_one(events)]) == [number]
            own_server.restart()  # and what was in memory is gone
            await publish(backend, 5)
            assert numbers([await take_one(events)]) == [5]


async def test_it_waits_for_a_server_that_is_not_there_yet(own_server: Server) -> None:
    own_server.stop()
    async with RedisMessageQueueBackend(Settings(redis_url=own_server.url)) as backend:
        async with anyio.create_task_group() as tasks:
            got: list[Any] = []

            async def work() -> None:
                async for event in backend.consume():
                    got.append(event["n"])
                    break

            tasks.start_soon(work)
            await anyio.sleep(0.3)
            own_server.start()
            await publish(backend, 1)
        assert got == [1]


async def test_a_refusal_is_raised(own_server: Server) -> None:
    with own_server.admin() as admin:
        admin.execute_command("ACL", "SETUSER", "default", ">secret", "resetpass", ">other")
    settings = Settings(redis_url=own_server.url, redis_password="wrong-password")
    async with RedisMessageQueueBackend(settings) as backend:
        with pytest.raises(RedisRefusedError, match="REDIS_PASSWORD") as caught:
            await take_one(backend.consume())
    assert "wrong-password" not in str(caught.value)
