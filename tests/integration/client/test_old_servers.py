"""A server that lacks what the scripts need says so before it is given an event."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from abe_redis import EventWorker, Operations, RedisMessageQueueBackend, Settings
from abe_redis.errors import RedisRefusedError
from tests.chaos.proxy import Proxy
from tests.servers import HOST, Server

TOPIC = "slack_events"
TOO_OLD = r"(Redis 6\.0\.|Valkey 7\.1\.).* is too old.*Redis 7\.0 or Valkey 7\.2"


@pytest.fixture(params=["lone_server", "system_server"])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(request.param)
    found.reset()
    return found


@pytest.fixture
async def old_url(server: Server) -> AsyncIterator[str]:
    """A server that says of itself that it is an older one."""
    with server.admin() as admin:
        info = admin.info("server")
    version = str(info.get("valkey_version", info["redis_version"])).encode()
    older = (b"7.1" if "valkey_version" in info else b"6.0") + version[3:]
    async with Proxy(server.port) as proxy:
        proxy.replaced = (version, older)
        yield f"redis://{HOST}:{proxy.port}/0"


async def test_nothing_is_accepted(old_url: str, server: Server, tmp_path: Path) -> None:
    for more in ({}, {"redis_outbox": tmp_path / "outbox"}):
        async with RedisMessageQueueBackend(Settings(redis_url=old_url, **more)) as backend:
            with pytest.raises(RedisRefusedError, match=TOO_OLD):
                await backend.publish(TOPIC, {"n": 1})
            with pytest.raises(RedisRefusedError, match=TOO_OLD):
                await backend.publish_many(TOPIC, [{"n": 1}])
            with pytest.raises(RedisRefusedError, match=TOO_OLD):
                await backend.publish("_health_check", {"type": "health_check"})
            assert (await backend.outbox_size()).waiting == 0
    with server.admin() as admin:
        assert not admin.keys("*")


async def test_consumers_and_what_people_do_say_the_same(old_url: str) -> None:
    async with RedisMessageQueueBackend(Settings(redis_url=old_url)) as backend:
        for consume in (backend.consume, backend.consume_ordered):
            with pytest.raises(RedisRefusedError, match=TOO_OLD):
                await anext(consume())
        with pytest.raises(RedisRefusedError, match=TOO_OLD):
            await EventWorker(backend, print, concurrency=1).run()
        with pytest.raises(RedisRefusedError, match=TOO_OLD):
            await Operations(backend).stream_stats(stream=TOPIC)


@pytest.fixture
def without(server: Server) -> Iterator[Callable[[str], None]]:
    """Takes commands from everybody, until the test ends."""
    with server.admin() as admin:
        yield lambda commands: admin.execute_command("ACL", "SETUSER", "default", *commands.split())
        admin.execute_command("ACL", "SETUSER", "default", "+@all")


async def test_a_server_that_does_not_know_hello_is_too_old_all_the_same(
    old_url: str, without: Callable[[str], None]
) -> None:
    without("-hello")
    async with RedisMessageQueueBackend(Settings(redis_url=old_url)) as backend:
        with pytest.raises(RedisRefusedError, match=TOO_OLD):
            await backend.publish(TOPIC, {"n": 1})


async def test_a_server_that_does_not_tell_its_version_is_tried(
    server: Server, without: Callable[[str], None]
) -> None:
    """As some proxies, which know neither HELLO nor INFO."""
    without("-hello -info")
    async with RedisMessageQueueBackend(Settings(redis_url=server.url)) as backend:
        await backend.publish(TOPIC, {"n": 1})
