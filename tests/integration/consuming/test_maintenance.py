"""The regular work on a group's streams, which one of its consumers does for all."""

from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis import Settings
from abe_redis.consuming import maintenance
from abe_redis.consuming.maintenance import Maintenance
from abe_redis.consuming.optional_steps import Tolerance
from abe_redis.streams import acks
from tests.integration.on_streams import A, B, hold, recorded

pytestmark = pytest.mark.one_server


async def looks(redis: Redis) -> int:
    """How many streams were looked at closely."""
    stats: Any = await redis.info("commandstats")
    return int(stats.get("cmdstat_xinfo|stream", {"calls": 0})["calls"])


async def test_one_consumer_of_a_group_records_a_stream_for_all(
    commands: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "_RECENT_SECONDS", 3600)
    settings = Settings()
    consumers = [Maintenance(settings, "g", Tolerance(settings, "g")) for _ in range(4)]
    held = {stream: await hold(commands, stream, 3, by="me") for stream in (A, B)}
    for stream, ids in held.items():
        await acks.ack(commands, "g", "me", [(stream, ids[0])])
    before = await looks(commands)
    for one in consumers:
        await one.tick(commands, [A, B], active={A, B}, held=set())
    assert await looks(commands) - before == 2
    assert (await recorded(commands, A, "floor")).endswith(b" 3 2")
    # Who left it to another looks again, also if it finishes nothing more: something may be unfinished.
    monkeypatch.setattr(maintenance, "_RECENT_SECONDS", 0)
    await acks.ack(commands, "g", "me", [(A, held[A][1])])
    await consumers[-1].tick(commands, [A, B], active=set(), held=set())
    assert (await recorded(commands, A, "floor")).endswith(b" 3 1")
    assert await looks(commands) - before == 4
