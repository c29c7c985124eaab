"""What a look at a stream says when there is none, or it may not be looked at."""

import pytest
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, ResponseError

from abe_redis import RedisMessageQueueBackend, Settings
from abe_redis.inspection.stats import stream_stats
from abe_redis.streams import brief, names, peek
from tests.integration.on_streams import A, B, fill
from tests.servers import Server


async def test_a_stream_that_is_not_there_has_no_state(commands: Redis) -> None:
    assert await stream_stats(commands, A, Settings()) is None
    assert await peek.groups(commands, A) == []


async def test_a_key_that_is_no_stream_is_reported(commands: Redis) -> None:
    await commands.set(A, "no stream")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await stream_stats(commands, A, Settings())
    assert await peek.groups(commands, A) == []


async def test_stats_fail_when_a_helper_key_has_another_type(commands: Redis) -> None:
    await fill(commands, A, 2)
    await fill(commands, B, 2)
    assert await peek.groups(commands, A) == ["g"]
    length, (group,) = await brief.brief(commands, A)
    assert (length, group.name, group.pending, group.lag) == (2, "g", 0, 2)
    await commands.set(names.records(A), "no hash")
    await commands.set(names.dead_letters(B), "no stream")
    for stream in (A, B):
        with pytest.raises(ResponseError, match="WRONGTYPE"):
            await stream_stats(commands, stream, Settings())


async def test_missing_permission_to_read_groups_is_reported(own_server: Server) -> None:
    async with RedisMessageQueueBackend(Settings(redis_url=own_server.url)) as backend:
        commands = (await backend.connections()).commands
        await fill(commands, A, 2)
        with own_server.admin() as admin:
            admin.execute_command("ACL", "SETUSER", "default", "-time", "-memory")
        stats = await stream_stats(commands, A, Settings())
        assert stats is not None
        assert (stats.length, stats.memory_bytes) == (2, None)
        for what in ("stream", "groups"):
            with own_server.admin() as admin:
                admin.execute_command("ACL", "SETUSER", "default", "+xinfo", f"-xinfo|{what}")
            with pytest.raises(NoPermissionError):
                await stream_stats(commands, A, Settings())
