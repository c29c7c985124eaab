"""The audit dates its records rightly, also after the server's clock was ahead: ids cannot go back."""

from datetime import UTC, datetime, timedelta

from redis.asyncio import Redis

from abe_redis import RedisMessageQueueBackend, Settings
from abe_redis.operations import audit
from abe_redis.operations.scope import Scope
from abe_redis.streams import audit as audits
from abe_redis.streams import names
from tests.clocks import SteppedServer
from tests.integration.stepped import redis, stepped

__all__ = ["redis", "stepped"]

DAY, MINUTE_MS = 86_400.0, 60_000


async def test_records_are_dated_rightly_after_the_clock_was_ahead(
    stepped: SteppedServer, redis: Redis
) -> None:
    now = datetime.now(UTC)
    await redis.xadd(names.AUDIT, {"who": "old"}, id=f"{int(now.timestamp() * 1000) - 90 * MINUTE_MS}-0")
    for who, step in (
        ("first", 0),
        ("ahead", 150 * DAY),
        ("back", -150 * DAY),
        ("older", -DAY),
        ("last", DAY),
    ):
        stepped.step(step)
        await audits.record(redis, who, "ack", {}, "cli")
    async with RedisMessageQueueBackend(Settings(redis_url=stepped.url)) as backend:
        every = (await audit.changes(Scope(backend), count=9)).changes
        lately = (await audit.changes(Scope(backend), count=9, since="1h")).changes
    days = [(one.who, round((one.at - now) / timedelta(days=1))) for one in every]
    assert days == [("last", 0), ("older", -1), ("back", 0), ("ahead", 150), ("first", 0), ("old", 0)]
    assert [one.who for one in lately] == ["last", "back", "ahead", "first"]


async def test_a_record_whose_time_somebody_else_wrote_is_dated_by_its_id(redis: Redis) -> None:
    for number, at in enumerate(("soon", "-5", str(10**30), str(10**15), "")):
        await redis.xadd(names.AUDIT, {"who": "foreign", "at": at}, id=f"{10**12 + number}-0")
    found = await audit.last(redis, 9)
    assert {one.at.year for one in found} == {2001}
