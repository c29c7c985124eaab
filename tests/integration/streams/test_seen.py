"""What a look at a stream says when there is none, or it may not be looked at."""

import pytest
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, ResponseError

from abe_redis import RedisMessageQueueBackend, Settings
from abe_redis.inspection.stats import stream_stats
from abe_redis.streams import audit, names, peek
from tests.integration.on_streams import A, B, fill, now_ms
from tests.servers import Server


async def test_a_stream_that_is_not_there_has_no_state(commands: Redis) -> None:
    assert await stream_stats(commands, A, Settings()) is None
    assert await peek.groups(commands, A) == []


async def test_what_is_no_stream_is_told(commands: Redis) -> None:
    await commands.set(A, "no stream")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await stream_stats(commands, A, Settings())
    assert await peek.groups(commands, A) == []


async def test_what_stands_beside_a_stream_is_needed_too(commands: Redis) -> None:
    await fill(commands, A, 2)
    await fill(commands, B, 2)
    assert await peek.groups(commands, A) == ["g"]
    length, (brief,) = await peek.brief(commands, A)
    assert (length, brief.name, brief.pending, brief.lag) == (2, "g", 0, 2)
    await commands.set(names.records(A), "no hash")
    await commands.set(names.dead_letters(B), "no stream")
    for stream in (A, B):
        with pytest.raises(ResponseError, match="WRONGTYPE"):
            await stream_stats(commands, stream, Settings())


async def test_who_may_not_ask_for_groups_is_told(own_server: Server) -> None:
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


async def test_what_agents_changed_is_told_newest_first(commands: Redis) -> None:
    for number in range(3):
        await audit.record(commands, "agent", "acked", {"id": f"{number}-0", "text": "ü"})
    changes = await audit.last(commands, 2)
    assert [(one.who, one.what, one.facts) for one in changes] == [
        ("agent", "acked", {"id": f"{number}-0", "text": "ü"}) for number in (2, 1)
    ]
    assert abs(changes[0].at.timestamp() * 1000 - await now_ms(commands)) < 60_000


async def test_what_anybody_wrote_there_is_told_as_far_as_it_can_be(commands: Redis) -> None:
    said = {
        b'{"ids": ["1-0"], "count": 2}': {"ids": ["1-0"], "count": 2},
        b'{"ids": [["1-0"]]}': {},
        b'["1-0"]': {},
        b"not JSON": {},
        b"\xff": {},
    }
    for facts in said:
        await commands.xadd(names.AUDIT, {"who": b"\xff", "facts": facts})
    found = await audit.last(commands, 9)
    assert [one.facts for one in found] == list(said.values())[::-1]
    assert {(one.who, one.what) for one in found} == {("\ufffd", "")}


async def test_only_the_last_ten_thousand_changes_are_kept(commands: Redis) -> None:
    many = "for i = 1, 10500 do redis.call('XADD', KEYS[1], '*', 'who', i) end"
    await commands.eval(many, 1, names.AUDIT)
    await audit.record(commands, "agent", "acked", {})
    assert 10_000 <= await commands.xlen(names.AUDIT) < 10_200, "a node of a stream has a hundred entries"
