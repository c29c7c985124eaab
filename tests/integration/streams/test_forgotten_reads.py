"""Redis 7.0 tells neither its append-only file nor its replicas how much a group was given.

After a restart, and on a replica that takes over, nothing of what is done waits or is lost for that.
"""

from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventWorker, RedisMessageQueueBackend, Settings
from abe_redis.operations.operations import Operations
from abe_redis.schemas.stats import GroupStats
from abe_redis.streams import lease
from abe_redis.streams.groups import Ensured, Progress, ensure_group, record_progress
from tests.integration.conftest import until
from tests.integration.on_streams import A, fill, hold
from tests.server_binaries import every_binary
from tests.servers import HOST, Server, Servers

STREAM = "slack_events"


@pytest.fixture(params=every_binary(), ids=lambda binary: binary.name)
def servers(request: pytest.FixtureRequest) -> Iterator[Servers]:
    with Servers(request.param) as them:
        yield them


async def started_again(servers: Servers, use: Callable[[Server], Any]) -> Server:
    server = servers(persistent=True)
    await use(server)
    await anyio.to_thread.run_sync(server.restart)
    return server


async def replaced_by_a_replica(servers: Servers, use: Callable[[Server], Any]) -> Server:
    options = {"repl-diskless-sync-delay": "0"}
    primary = servers(options=options)
    replica = servers(options=options | {"replicaof": f"{HOST} {primary.port}"})

    async def has_everything() -> bool:
        with primary.admin() as above, replica.admin() as below:
            given: Any = above.info("replication")
            taken: Any = below.info("replication")
        is_up: bool = taken["master_link_status"] == "up"
        return is_up and given["master_repl_offset"] == taken["slave_repl_offset"]

    await until(has_everything)
    await use(primary)
    await until(has_everything)
    with replica.admin() as admin:
        admin.execute_command("REPLICAOF", "NO", "ONE")
    return replica


def backend_of(server: Server) -> RedisMessageQueueBackend:
    return RedisMessageQueueBackend(Settings(redis_url=server.url))


async def publish(server: Server, count: int) -> None:
    async with backend_of(server) as backend:
        await backend.publish_many(STREAM, [{"n": number} for number in range(count)])


async def work(server: Server, *, added: int) -> None:
    """Handle what there is, until it is recorded that nothing is left."""

    async def handle(_: Event) -> None:
        await anyio.lowlevel.checkpoint()

    async def is_recorded() -> bool:
        with server.admin() as admin:
            floor: Any = admin.hget(f"abe:groups:{{{STREAM}}}", "floor default")
        return str(floor).endswith(f" {added} 0")

    async with backend_of(server) as backend, anyio.create_task_group() as tasks:
        tasks.start_soon(EventWorker(backend, handle).run)
        await until(is_recorded)
        tasks.cancel_scope.cancel()


async def shown(server: Server) -> tuple[GroupStats, int]:
    async with backend_of(server) as backend:
        (stream,) = await Operations(backend).glance(stream=STREAM)
    (group,) = stream.groups
    return group, stream.lost_unread


@pytest.mark.parametrize("again", [started_again, replaced_by_a_replica])
async def test_what_a_group_has_finished_neither_waits_nor_is_lost(
    servers: Servers, again: Callable[[Servers, Any], Any]
) -> None:
    async def use(server: Server) -> None:
        await publish(server, 20)
        await work(server, added=20)
        await publish(server, 4)

    server = await again(servers, use)
    group, lost_unread = await shown(server)
    assert (group.lag, group.pending, group.lost, lost_unread) == (4, 0, 0, 0)
    with server.admin() as admin:
        (first, *_), *_ = admin.xrange(STREAM, count=1)
        admin.xdel(STREAM, first)
        await work(server, added=24)
        admin.xtrim(STREAM, maxlen=0, approximate=False)
    await publish(server, 1)
    await work(server, added=25)
    group, lost_unread = await shown(server)
    assert (group.lag, group.pending, group.lost, lost_unread) == (0, 0, 0, 0)


# What was forgotten before we wrote it there ----------------------------------------------------


async def forget_reads(redis: Redis) -> None:
    """What Redis 7.0 makes of a group that was given five entries, when it restarts."""
    found: Any = await redis.xrevrange(A, count=1)
    await redis.xgroup_setid(A, "g", found[0][0], entries_read=1)


async def reads_and_lag(redis: Redis) -> tuple[int, int]:
    groups: Any = await redis.xinfo_groups(A)
    (found,) = groups
    return found["entries-read"], found["lag"]


@pytest.mark.parametrize("deleted", ["nothing", "what is finished"])
async def test_a_group_that_was_given_everything_has_no_lag(commands: Redis, deleted: str) -> None:
    ids = await hold(commands, A, 5)
    await commands.xack(A, "g", *ids)
    if deleted != "nothing":
        await commands.xdel(A, ids[0])
    assert await record_progress(commands, [A], "g") == [Progress(lost=0, unfinished=0)]
    await forget_reads(commands)
    assert await ensure_group(commands, [A], "g") == [Ensured("ready", 0)]
    assert await record_progress(commands, [A], "g") == [Progress(lost=0, unfinished=0)]
    assert await reads_and_lag(commands) == (5, 0)


async def test_what_is_deleted_unread_after_that_is_lost(commands: Redis) -> None:
    ids = await hold(commands, A, 5)
    await commands.xack(A, "g", *ids)
    await commands.xdel(A, ids[0])
    await record_progress(commands, [A], "g")
    await forget_reads(commands)
    await record_progress(commands, [A], "g")
    news = await fill(commands, A, 3)
    await commands.xdel(A, news[1])
    assert await record_progress(commands, [A], "g") == [Progress(lost=1, unfinished=2)]
    assert await record_progress(commands, [A], "g") == [Progress(lost=0, unfinished=2)]


async def test_a_restart_after_a_read_that_waited_leaves_no_lag(servers: Servers) -> None:
    server = servers(persistent=True)
    async with Redis.from_url(server.url, protocol=2) as redis:
        await fill(redis, A, 1, group="another")
        await ensure_group(redis, [A], "g")
        leased = await lease.take_new(redis, "g", "holder", [A], count=5, block_ms=None)
        await redis.xack(A, "g", *(one.id for one in leased))
        await anyio.to_thread.run_sync(server.restart)
        await until(redis.ping)
        (news,) = await fill(redis, A, 1)
        await lease.take_new(redis, "g", "holder", [A], count=5, block_ms=None)
        await redis.xack(A, "g", news)
        assert await record_progress(redis, [A], "g") == [Progress(lost=0, unfinished=0)]
        rows: Any = await redis.xinfo_groups(A)
        assert {one["name"]: one["lag"] for one in rows}[b"g"] == 0
