"""Credentials that change, come from a provider, or from too many places."""

from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventWorker, Operations, RedisMessageQueueBackend, Settings
from abe_redis.cli.follow import follow
from abe_redis.errors import CredentialsRefusedError, RedisUnavailableError, SettingsError
from tests.integration.client.proxied import handle, lone_redis, proxy, publish_and_handle, settings
from tests.integration.conftest import until
from tests.refusing_proxy import RefusingProxy
from tests.servers import HOST, Server

__all__ = ["lone_redis", "proxy"]

pytestmark = pytest.mark.one_server


async def test_a_rotated_password_file_is_a_pause(own_server: Server, tmp_path: Path) -> None:
    topic, file = "slack:x", tmp_path / "password"
    async with Redis(host=HOST, port=own_server.port) as admin:
        await admin.config_set("requirepass", "first")
    file.write_text("first\n")
    handled: list[int] = []
    one = Settings(
        redis_url=f"redis://{HOST}:{own_server.port}", redis_password_file=file, slack_events_topic=topic
    )
    async with RedisMessageQueueBackend(one) as backend, anyio.create_task_group() as tasks:
        tasks.start_soon(handle, backend, handled, 6)
        for number in range(6):
            await backend.publish(topic, {"number": number})
            async with Redis(host=HOST, port=own_server.port, password=file.read_text().strip()) as admin:
                await admin.config_set("requirepass", f"secret-{number}")
                file.write_text(f"secret-{number}")
                await admin.client_kill_filter(_type="normal", skipme=True)
    assert sorted(handled) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("ordered", [False, True])
async def test_a_password_that_is_set_for_a_while_is_a_pause_for_whoever_was_let_in(
    own_server: Server, ordered: bool, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Also for a handler that ends meanwhile, and for who looks on."""
    topic, handled, shown, said = "slack:x", list[int](), list[int](), list[str]()
    one = Settings(redis_url=own_server.url, slack_events_topic=topic, redis_stream_lease_seconds=60)
    begun, go_on = anyio.Event(), anyio.Event()

    async def slow(event: Event) -> None:
        begun.set()
        await go_on.wait()
        handled.append(event["number"])

    async def look(backend: RedisMessageQueueBackend) -> None:
        await follow(
            Operations(backend),
            lambda event: shown.append((event.payload or {})["number"]),
            stream=topic,
            count=1,
            start=None,
        )

    async def all_is_seen() -> bool:
        return (handled, shown) == ([0, 1], [0, 1])

    async def is_said() -> bool:
        said.append(capfd.readouterr().err)
        return "Retrying until it is back" in "".join(said) and "Trying again until it works" in caplog.text

    async with RedisMessageQueueBackend(one) as backend, anyio.create_task_group() as tasks:
        await backend.publish(topic, {"number": 0})
        worker = EventWorker(backend, slow, ordered=ordered)
        tasks.start_soon(worker.run)
        tasks.start_soon(look, backend)
        await begun.wait()
        with own_server.admin() as admin:
            admin.execute_command("ACL", "SETUSER", "default", "resetpass", ">new")
            admin.execute_command("CLIENT", "KILL", "USER", "default")
            go_on.set()
            await until(is_said)
            admin.execute_command("ACL", "SETUSER", "default", "nopass")
        await backend.publish(topic, {"number": 1})  # its connection may be one of the time of the password
        await until(all_is_seen)
        await worker.shutdown()
        tasks.cancel_scope.cancel()


NO_AUTH = b"-NOAUTH Authentication required.\r\n"


@pytest.mark.parametrize("refused", ["EVALSHA", "CLIENT"])
async def test_a_publisher_that_was_let_in_leaves_a_connection_of_the_time_of_another_password(
    proxy: RefusingProxy, lone_redis: Redis, refused: str
) -> None:
    """It is refused in what it asks, or in its greeting; the next connection is not."""
    async with RedisMessageQueueBackend(settings(proxy)) as backend:
        await backend.publish("slack:x", {"number": 0})
        if refused == "CLIENT":
            await lone_redis.client_kill_filter(_type="normal", skipme=True)
        before = proxy.accepted

        def refuse(words: Sequence[bytes]) -> bytes | None:
            is_old = proxy.accepted <= before + (refused == "CLIENT")
            return NO_AUTH if is_old and words[0].upper() == refused.encode() else None

        proxy.refusal = refuse
        await backend.publish("slack:x", {"number": 1})
        assert proxy.accepted > before
    assert await lone_redis.xlen("slack:x") == 2


async def test_a_publisher_that_was_never_let_in_is_told_at_once(proxy: RefusingProxy) -> None:
    proxy.refusal = lambda _: NO_AUTH
    async with RedisMessageQueueBackend(settings(proxy)) as backend:
        with pytest.raises(CredentialsRefusedError):
            await backend.publish("slack:x", {"number": 0})
    assert proxy.accepted == 1, "it does not try again"


async def test_a_provider_is_asked_for_each_connection(
    own_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Redis(host=HOST, port=own_server.port) as admin:
        await admin.config_set("requirepass", "token-1")
    (tmp_path / "cloud.py").write_text(
        "from redis.credentials import CredentialProvider\n"
        "class Tokens(CredentialProvider):\n"
        "    def get_credentials(self):\n"
        "        return ('default', 'token-1')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("REDIS_CREDENTIALS", "cloud:Tokens")
    assert await publish_and_handle(Settings(redis_url=f"redis://{HOST}:{own_server.port}"), "slack:x") == [0]


async def test_a_provider_that_fails_says_so_without_its_words(
    own_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_cloud.py").write_text(
        "def tokens():\n    return Provider()\n"
        "class Provider:\n    def get_credentials(self): raise RuntimeError('the-secret')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    one = Settings(redis_url=f"redis://{HOST}:{own_server.port}", redis_credentials="broken_cloud:tokens")
    async with RedisMessageQueueBackend(one) as backend:
        with pytest.raises(
            RedisUnavailableError, match="REDIS_CREDENTIALS failed with RuntimeError"
        ) as caught:
            await backend.publish("slack:x", {})
    assert "the-secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["nowhere_at_all:x", "os:nothing", "os:path", "json:loads"])
async def test_an_object_that_is_no_provider_is_refused_at_once(name: str) -> None:
    async with RedisMessageQueueBackend(Settings(redis_credentials=name)) as backend:
        with pytest.raises(SettingsError, match=f"REDIS_CREDENTIALS is '{name}'"):
            await backend.publish("slack:x", {})


def test_code_to_run_does_not_come_from_a_file_of_the_directory(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("REDIS_CREDENTIALS=cloud:Tokens\n")
    with pytest.raises(SettingsError, match="Export it in the environment"):
        Settings()


def test_only_one_source_of_credentials_is_taken(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"REDIS_PASSWORD.* and REDIS_PASSWORD_FILE are set"):
        Settings(redis_url="redis://:p@localhost", redis_password_file=tmp_path / "p")
