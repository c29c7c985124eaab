"""What the doctor asks a server for, and how often."""

from abe_redis import RedisMessageQueueBackend, Settings
from abe_redis.doctor import examine
from tests.integration.doctor.findings import EVENT, send, sick
from tests.servers import Server

STREAMS, GROUPS = 6, 3


async def test_each_check_looks_at_the_same_state_of_the_streams(redis_url: str, server: Server) -> None:
    """Also those of the order and of a memory that is nearly full."""
    async with RedisMessageQueueBackend(Settings(redis_url=redis_url)) as backend:
        for number in range(STREAMS):
            await backend.publish(f"slack:{number}", EVENT)
    with server.admin() as admin:
        for number in range(STREAMS):
            for group in range(GROUPS):
                admin.xgroup_create(f"slack:{number}", f"g{group}", "0")
        admin.setrange("other", 5_000_000, "x")
        admin.config_set("maxmemory", round(admin.info("memory")["used_memory"] / 0.9))
    send(server, "CONFIG RESETSTAT")
    findings = await examine(Settings(redis_url=server.url))
    assert {"streams", "holders"} <= {one.check for one in sick(findings)}
    with server.admin() as admin:
        calls = {name: one["calls"] for name, one in admin.info("commandstats").items()}
    assert calls["cmdstat_xinfo|stream"] == STREAMS
    assert calls["cmdstat_xinfo|consumers"] == STREAMS * GROUPS
