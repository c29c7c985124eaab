"""One address that stays, and leads to another server after a failover; as of a load balancer."""

from typing import Any

import anyio
import pytest

from abe_redis import RedisMessageQueueBackend, Settings
from abe_redis.publishing import publisher
from tests.chaos.proxy import Proxy
from tests.integration.conftest import take_one, until
from tests.patience import PATIENCE
from tests.servers import HOST, Server, Servers

TOPIC = "slack_events"


@pytest.fixture
async def pair(make_server: Servers) -> tuple[Server, Server]:
    """A primary and its replica."""
    options = {"repl-diskless-sync-delay": "0"}
    primary = make_server(options=options)
    replica = make_server(options=options | {"replicaof": f"{HOST} {primary.port}"})

    async def in_sync() -> bool:
        with replica.admin() as admin:
            return bool(admin.info("replication")["master_link_status"] == "up")

    await until(in_sync)
    return primary, replica


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine, the new server is there later than a publish waits for it."""
    monkeypatch.setattr(publisher, "PUBLISH_SECONDS", PATIENCE)


def swap(old: Server, new: Server) -> None:
    """The replica becomes the primary; nobody closes a connection."""
    with old.admin() as before, new.admin() as after:
        after.execute_command("REPLICAOF", "NO", "ONE")
        before.execute_command("REPLICAOF", HOST, new.port)


@pytest.mark.promise("A primary that became a replica is abandoned at its first `READONLY`")
@pytest.mark.parametrize("replicas", [0, 1])
async def test_publishers_and_consumers_follow_it(pair: tuple[Server, Server], replicas: int) -> None:
    old, new = pair
    async with Proxy(old.port) as proxy:
        settings = Settings(
            redis_url=f"redis://{HOST}:{proxy.port}/0",
            redis_wait_replicas=replicas,
            redis_stream_lease_seconds=2,
        )
        async with (
            RedisMessageQueueBackend(settings) as backend,
            backend.consume() as events,
            backend.consume_ordered(group="ordered") as ordered,
        ):
            await backend.publish(TOPIC, {"n": 1})
            for stream in (events, ordered):
                assert await take_one(stream) == {"n": 1}
            swap(old, new)
            proxy.lead_to(new.port)
            published: Any = await backend.publish_event(TOPIC, {"n": 2})
            for stream in (events, ordered):
                while await take_one(stream) != {"n": 2}:
                    pass  # the first again, whose ack the new one does not have
            with new.admin() as admin:
                assert admin.xrange(TOPIC, published.id, published.id)


@pytest.mark.promise("retries after pauses of up to a second.")
async def test_while_it_still_leads_to_the_replica_there_are_pauses(pair: tuple[Server, Server]) -> None:
    """Many who publish do not make many connections a second."""
    old, new = pair
    async with Proxy(old.port) as proxy:
        settings = Settings(redis_url=f"redis://{HOST}:{proxy.port}/0")
        async with RedisMessageQueueBackend(settings) as backend:
            await backend.publish(TOPIC, {"n": 0})
            before = proxy.accepted
            swap(old, new)
            began = anyio.current_time()

            async def has_tried_again() -> bool:
                return proxy.accepted > before

            async with anyio.create_task_group() as tasks:
                for number in range(1, 101):
                    tasks.start_soon(backend.publish, TOPIC, {"n": number})
                await until(has_tried_again)
                await anyio.sleep(1)
                assert proxy.accepted - before <= 15 * (anyio.current_time() - began)
                proxy.lead_to(new.port)
    with new.admin() as admin:
        assert admin.xlen(TOPIC) == 101
